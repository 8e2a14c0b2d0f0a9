"""Finite-field Diffie-Hellman of `cryptography`, without its notice of deprecation.

The notice (touching a class, making or loading a key) is for the author of a program, who can choose
another algorithm; here the algorithm is part of the documented surface. Everything that would
give it passes through this module.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

from cryptography.utils import CryptographyDeprecationWarning

_turn = Lock()
_silence = ExitStack()


def _begin_anew() -> None:
    # a thread that had the turn stayed in the parent, and ends its silence there alone
    global _turn
    _turn = Lock()
    _silence.close()


os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def allowed() -> Iterator[None]:
    """Silence the notice. Warning filters are global to the process, so threads take turns."""
    global _silence
    with _turn, ExitStack() as _silence:
        _silence.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


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
