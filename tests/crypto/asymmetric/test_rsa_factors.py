"""The primes of an RSA key from its exponents: the short way against the general one."""

import itertools
import json
import math
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from huks_async.crypto.asymmetric import rsa_factors
from huks_async.crypto.asymmetric.rsa import material_from_numbers
from huks_async.crypto.asymmetric.rsa_factors import factors
from huks_async.keys.forms import convert
from huks_async.keys.forms.layouts import KeyParts, pack
from huks_async.model.errors import BusinessError

# primes of 512 bits for as many keys as there are pairs of them
PRIMES = [
    prime
    for _ in range(6)
    for numbers in [rsa.generate_private_key(65537, 1024).private_numbers()]
    for prime in (numbers.p, numbers.q)
]
_REFUSED = "not a product of two primes|do not belong to the modulus"
PAIRS = st.permutations(PRIMES).map(lambda order: (max(order[:2]), min(order[:2])))


@pytest.fixture
def short_way_alone(monkeypatch):
    """The general way is out of order."""

    def fail(*numbers):
        raise AssertionError("the general way was taken")

    monkeypatch.setattr(rsa_factors, "_by_powers", fail)


def exponent(p, q, e, *, reduced):
    """The private exponent modulo φ(n), or modulo λ(n)."""
    modulus = math.lcm(p - 1, q - 1) if reduced else (p - 1) * (q - 1)
    assume(math.gcd(e, modulus) == 1)
    return pow(e, -1, modulus)


@settings(deadline=None, max_examples=50)  # the comparison computes powers
@given(PAIRS, st.sampled_from([3, 5, 17, 257, 65537, 2**32 - 5, 2**200 + 9]), st.booleans())
def test_primes_of_keys(pair, e, reduced):
    """The primes come back, the larger one first, as the library's own function finds them."""
    p, q = pair
    d = exponent(p, q, e, reduced=reduced)
    assert factors(p * q, e, d) == (p, q)
    assert set(rsa.rsa_recover_prime_factors(p * q, e, d)) == {p, q}


@settings(deadline=None, max_examples=50)  # the comparison computes powers
@given(PAIRS, st.integers(3, 2**500).map(lambda number: number | 1))
def test_any_public_exponent(pair, e):
    """Whatever the exponent, and with both large by the general way."""
    p, q = pair
    d = exponent(p, q, e, reduced=False)
    assert factors(p * q, e, d) == (p, q)
    assert factors(p * q, d, e) == (p, q)  # a large public exponent and a small private one


def test_the_ordinary_key_needs_no_powers(short_way_alone):
    """With 65537, and both reductions of the private exponent, no power is computed.

    Of random pairs of primes, one in three hundred has a quotient of φ and λ that the short way does not try.
    """
    ordinary = [
        pair for pair in itertools.combinations(PRIMES, 2) if math.gcd(*(prime - 1 for prime in pair)) <= 512
    ]
    assert len(ordinary) > 33  # half of them all
    for p, q in ordinary:
        for modulus in ((p - 1) * (q - 1), math.lcm(p - 1, q - 1)):
            assert factors(p * q, 65537, pow(65537, -1, modulus)) == (max(p, q), min(p, q))


def _prime_after(start, step):
    """A prime that is 1 above a multiple of `step`, found by Fermat's test to many bases."""
    number = start // step * step + 1
    while any(pow(base, number - 1, number) != 1 for base in (2, 3, 5, 7, 11, 13)):
        number += step
    return number


@pytest.mark.parametrize("common", [2 * 3, 2 * 2 * 2 * 2 * 31, 2 * 257, 2**20])
def test_primes_whose_predecessors_share_a_divisor(common):
    """A quotient of φ and λ that is small, or larger than the short way tries."""
    p, q = _prime_after(2**256 + 2**200, common), _prime_after(2**255 + 2**190, common)
    assert math.gcd(p - 1, q - 1) % common == 0
    d = pow(65537, -1, math.lcm(p - 1, q - 1))
    assert factors(p * q, 65537, d) == (p, q)


@settings(deadline=None, max_examples=50)  # the comparison computes powers
@given(PAIRS, st.integers(3, 2**1000), st.integers(3, 2**1000))
def test_numbers_that_do_not_belong_together(pair, e, d):
    """Refused, by either way."""
    p, q = pair
    assume((e * d - 1) % math.lcm(p - 1, q - 1))
    with pytest.raises(ValueError, match=_REFUSED):
        factors(p * q, e, d)


@settings(deadline=None, max_examples=50)  # the comparison computes powers
@given(st.sampled_from(PRIMES), st.sampled_from([3, 65537]))
def test_powers_and_primes(prime, e):
    """A prime, its square and its cube are no modulus, also with exponents that fit them."""
    for n, totient in ((prime, prime - 1), (prime**2, prime * (prime - 1)), (prime**2, (prime - 1) ** 2)):
        assume(math.gcd(e, totient) == 1)
        with pytest.raises(ValueError, match=_REFUSED):
            factors(n, e, pow(e, -1, totient))


def test_composites_in_the_place_of_primes_are_refused():
    """The short way finds two factors of a product of four primes; the check of the key does not take them."""
    a, b, c, d = (_prime_after(2**512 - number * 2**500, 2) for number in range(1, 5))
    p, q = a * b, c * d
    assert (p * q).bit_length() == 2048
    n = p * q
    d = pow(65537, -1, (p - 1) * (q - 1))
    assert rsa_factors.factors(n, 65537, d) == (max(p, q), min(p, q))
    with pytest.raises(BusinessError) as caught:
        material_from_numbers(n, 65537, d, 2048)
    assert caught.value.code == 401


def forged():
    """A modulus and exponents that go together for the powers of 17, and for those of nearly no other number.

    The orders of 17 modulo the two factors are 13 and 991; e·d - 1 is a multiple of both, and of many twos, so that a
    search among squares has long to go.
    """
    n = (17**13 - 1) // 16 * ((17**991 - 1) // 16)
    d = pow(65537, -1, 13 * 991 << 2000)
    assert n.bit_length() == 4096
    assert pow(17, 65537 * d, n) == 17
    assert math.gcd(pow(2, n, n) - 2, n) == 1
    return n, 65537, d


def _octets(number):
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _from_numbers(n, e, d):
    material_from_numbers(n, e, d, 4096)


def _from_header_form(n, e, d):
    convert.from_layout(pack(KeyParts(1, 4096, {"n": _octets(n), "e": _octets(e), "d": _octets(d)})))


def _from_jwk(n, e, d):
    texts = {name: urlsafe_b64encode(_octets(number)).rstrip(b"=").decode() for name, number in
             (("n", n), ("e", e), ("d", d))}  # fmt: skip
    convert.from_jwk(json.dumps({"kty": "RSA", **texts}))


@pytest.mark.parametrize("read", [_from_numbers, _from_header_form, _from_jwk])
def test_the_first_number_shows_that_a_key_is_forged(monkeypatch, read):
    """A stranger's kilobyte asks for a power or two, not for a million of them."""
    asked = []

    def counted(*arguments):
        asked.append(arguments)
        assert len(asked) < 5, "powers without end"
        return pow(*arguments)

    monkeypatch.setattr(rsa_factors, "pow", counted, raising=False)
    monkeypatch.setattr(rsa, "pow", counted, raising=False)
    with pytest.raises(BusinessError, match="do not belong together") as caught:
        read(*forged())
    assert caught.value.code == 401
    assert len(asked) == 2  # the one that primes show themselves by, and that of the first number


def test_a_search_that_finds_nothing_ends(monkeypatch):
    """Where power after power is -1, whose square shows no other root of 1."""
    n = PRIMES[0] * PRIMES[1]
    monkeypatch.setattr(rsa_factors, "pow", lambda *_: n - 1, raising=False)
    with pytest.raises(ValueError, match="tell apart"):
        rsa_factors._by_powers(n, 3, 3)


@pytest.mark.parametrize("small", [257, 65537])
def test_a_key_with_a_small_prime_is_refused_before_its_primes_are_tested(monkeypatch, small):
    """The test of the other one, which is nearly as long as the modulus, takes many seconds for 4096 bits."""
    large = _prime_after(2**1023 // small + 2**900, 2)
    n, totient = small * large, (small - 1) * (large - 1)
    e = next(e for e in (65539, 65543, 65551) if math.gcd(e, totient) == 1)
    monkeypatch.setattr(rsa, "RSAPrivateNumbers", lambda **_: pytest.fail("its primes were tested"))
    with pytest.raises(BusinessError, match="do not belong together"):
        material_from_numbers(n, e, pow(e, -1, totient))
