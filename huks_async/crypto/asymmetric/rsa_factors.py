"""The primes of an RSA key, from its modulus and exponents.

HUKS's own form of a private key has no primes, and the libraries below want them. The general way
(NIST SP 800-56B, appendix C.1) takes powers of random numbers, up to a second for 4096 bits in Python. The
short way below takes microseconds and finds the primes of nearly every key: those whose exponents are
inverse modulo φ(n), or modulo λ(n) with a small quotient of the two, unless both exponents are large.
"""

import math
import secrets
from collections.abc import Iterator

_LARGEST_QUOTIENT = 512
_MOST_POWERS = 64


def factors(n: int, e: int, d: int) -> tuple[int, int]:
    """The primes of an RSA key, the larger one first; that they are primes is left to be checked.

    Args:
        n: modulus, odd.
        e: public exponent, 3 or more, below the modulus.
        d: private exponent, likewise.

    Raises:
        ValueError: the numbers do not belong together, or are found to be no RSA key.

    """
    found = _by_division(n, e, d)
    if found is not None:
        return found
    # By Fermat's little theorem the divisor is 1 for a product of two different primes; primes and their
    # powers, which have no other square roots of 1 than the search below passes over, show themselves here.
    if math.gcd(pow(2, n, n) - 2, n) != 1:
        raise ValueError("the modulus is not a product of two primes")
    return _by_powers(n, e, d)


def _by_division(n: int, e: int, d: int) -> tuple[int, int] | None:
    """Find φ(n), and from it the primes as the roots of x² - (n + 1 - φ) x + n.

    With e·d = 1 + k·λ and φ = g·λ, g·(e·d - 1) is k·φ; φ is below n by about two square roots of n, so that
    k is the next integer above g·(e·d - 1) / n, as long as it is itself below half a square root of n.
    """
    for quotient in _quotients():
        multiple = quotient * (e * d - 1)
        totient, rest = divmod(multiple, multiple // n + 1)
        if rest:
            continue
        total = n + 1 - totient
        square = total * total - 4 * n
        if square <= 0:
            continue
        difference = math.isqrt(square)
        p, q = (total + difference) // 2, (total - difference) // 2
        if p * q == n and q > 1:
            return p, q
    return None


def _by_powers(n: int, e: int, d: int) -> tuple[int, int]:
    """Find a square root of 1 that is neither 1 nor -1, among the powers of random numbers.

    Where e·d - 1 is a multiple of λ(n), this power of each number is 1, and at least every second number shows such a
    root. One whose power is not 1 so ends the search: whoever forges a key may choose numbers that are right for a
    few and wrong for nearly all.
    """
    exponent = e * d - 1
    twos = (exponent & -exponent).bit_length() - 1
    odd = exponent >> twos
    for _ in range(_MOST_POWERS):
        power = pow(secrets.randbelow(n - 3) + 2, odd, n)
        for _ in range(twos):
            root, power = power, power * power % n
            if power == 1:
                break
        else:
            raise ValueError("the exponents do not belong to the modulus")
        if root not in (1, n - 1):
            p = math.gcd(root + 1, n)
            return max(p, n // p), min(p, n // p)
    raise ValueError("the modulus has no two factors that powers tell apart")


def _quotients() -> Iterator[int]:
    yield 1
    # both primes are odd, so that φ / λ, which is the greatest common divisor of p - 1 and q - 1, is even
    yield from range(2, _LARGEST_QUOTIENT + 1, 2)
