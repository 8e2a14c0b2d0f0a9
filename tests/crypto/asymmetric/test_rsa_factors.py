"""The primes of an RSA key from its exponents: the short way against the general one."""

import itertools
import math

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from huks_async.crypto.asymmetric import rsa_factors
from huks_async.crypto.asymmetric.rsa import material_from_numbers
from huks_async.crypto.asymmetric.rsa_factors import factors
from huks_async.model.errors import BusinessError

# primes of 512 bits for as many keys as there are pairs of them
PRIMES = [
    prime
    for _ in range(6)
    for numbers in [rsa.generate_private_key(65537, 1024).private_numbers()]
    for prime in (numbers.p, numbers.q)
]
_REFUSED = "not a product of two primes|Unable to compute factors|match"
PAIRS = st.permutations(PRIMES).map(lambda order: (max(order[:2]), min(order[:2])))


@pytest.fixture
def short_way_alone(monkeypatch):
    """The general way is out of order."""

    def fail(*numbers):
        raise AssertionError("the general way was taken")

    monkeypatch.setattr(rsa, "rsa_recover_prime_factors", fail)


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
