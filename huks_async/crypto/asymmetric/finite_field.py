"""Finite-field Diffie-Hellman of `cryptography`, without its notice of deprecation.

The notice (touching a class, making or loading a key) is for the author of a program, who can choose
another algorithm; here the algorithm is part of the documented surface. Everything that would
give it passes through this module.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from cryptography.utils import CryptographyDeprecationWarning

from huks_async.runtime.randomness import random_bytes

_turn = Lock()
_BLINDING_BYTES = 8


@contextmanager
def allowed() -> Iterator[None]:
    """Silence the notice. Warning filters are global to the process, so threads take turns."""
    with _turn, warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def blinded_power(base: int, exponent: int, order: int, prime: int) -> int:
    """A power of an element of this order, in a time that says nothing of the exponent.

    A random multiple of the order hides the exponent from whoever measures how long the power takes.
    """
    factor = int.from_bytes(random_bytes(_BLINDING_BYTES), "big")
    return pow(base, exponent + order * factor, prime)


with allowed():
    from cryptography.hazmat.primitives.asymmetric.dh import (
        DHParameterNumbers,
        DHPrivateKey,
        DHPrivateNumbers,
        DHPublicKey,
        DHPublicNumbers,
    )

__all__ = [
    "DHParameterNumbers",
    "DHPrivateKey",
    "DHPrivateNumbers",
    "DHPublicKey",
    "DHPublicNumbers",
    "allowed",
    "blinded_power",
]
