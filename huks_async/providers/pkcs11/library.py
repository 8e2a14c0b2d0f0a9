"""A PKCS#11 library in this process: loaded once, and begun anew where its tokens came back."""

import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from huks_async.model.errors import BusinessError
from huks_async.runtime.forks import generation

_libraries: dict[str, "Library"] = {}
_making = threading.Lock()


def python_pkcs11() -> Any:
    """The package python-pkcs11, which comes with the extra."""
    try:
        return importlib.import_module("pkcs11")
    except ImportError:
        raise BusinessError(
            12000001, "PKCS#11 tokens need an extra: pip install 'huks-async[pkcs11]'"
        ) from None


class Library:
    """One library, whatever the number of its tokens and of the providers on them.

    C_Initialize and C_Finalize are the whole process's. A library that has lost sight of a token may only find it
    after it was begun anew, which ends all its sessions: so that is done only while no token of it is in a call.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._in_calls = 0
        self._born = -1
        self.epoch: int = 0
        """Counts how often it was begun: sessions of an earlier epoch are no more."""

    @contextmanager
    def in_call(self) -> Iterator[Any]:
        """The library for one call of a token. Never used in a child of a fork as the parent left it."""
        pkcs11 = python_pkcs11()
        with self._lock:
            library = pkcs11.lib(self._path)
            if self._born != generation():
                if self._born >= 0 or generation() > 0:
                    self._begin(pkcs11, library)
                self._born = generation()
            self._in_calls += 1
        try:
            yield library
        finally:
            with self._lock:
                self._in_calls -= 1

    def begin_anew(self, seen: int) -> bool:
        """Begin it anew from within a call, unless another token is in one.

        Args:
            seen: the epoch in which the caller found it wanting; a later one is new enough.
        """
        pkcs11 = python_pkcs11()
        with self._lock:
            if self.epoch != seen:
                return True
            if self._in_calls > 1:
                return False
            self._begin(pkcs11, pkcs11.lib(self._path))
            return True

    def _begin(self, pkcs11: Any, library: Any) -> None:
        self.epoch += 1
        with suppress(pkcs11.PKCS11Error):  # a child of a fork finds it not begun
            library.finalize()
        library.initialize()


def library_of(path: str | os.PathLike[str]) -> Library:
    """The library at a path."""
    name = os.path.realpath(path)
    with _making:
        if name not in _libraries:
            _libraries[name] = Library(os.fspath(path))
        return _libraries[name]


def _renew() -> None:
    global _making
    _making = threading.Lock()
    for library in _libraries.values():
        library._lock = threading.Lock()
        library._in_calls = 0


os.register_at_fork(after_in_child=_renew)
