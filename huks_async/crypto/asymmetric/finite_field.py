"""Finite-field Diffie-Hellman of `cryptography`, without its notice of deprecation.

The notice (touching a class, making or loading a key) is for the author of a program, who can choose
another algorithm; here the algorithm is part of the documented surface. Everything that would
give it passes through this module.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from cryptography.utils import CryptographyDeprecationWarning

_turn = Lock()
_silence: "warnings.catch_warnings[None] | None" = None


def _begin_anew() -> None:
    # a thread that had the turn stayed in the parent, and ends its silence there alone
    global _turn, _silence
    _turn = Lock()
    silence, _silence = _silence, None
    if silence is not None:
        # The thread may have been within its end, or past it: to restore the filters twice does no harm.
        silence.__exit__(None, None, None)


os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def allowed() -> Iterator[None]:
    """Silence the notice. Warning filters are global to the process, so threads take turns."""
    global _silence
    with _turn:
        silence = warnings.catch_warnings()
        try:
            with silence:
                _silence = silence
                warnings.simplefilter("ignore", CryptographyDeprecationWarning)
                yield
        finally:
            _silence = None


with allowed():
    from cryptography.hazmat.primitives.asymmetric.dh import (
        DHParameterNumbers,
        DHPrivateKey,
        DHPublicKey,
        DHPublicNumbers,
    )

__all__ = [
    "DHParameterNumbers",
    "DHPrivateKey",
    "DHPublicKey",
    "DHPublicNumbers",
    "allowed",
]
