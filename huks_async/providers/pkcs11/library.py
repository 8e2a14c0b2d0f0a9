"""A PKCS#11 library in this process: loaded once, and initialized again to find tokens that were reinserted."""

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
    """Import the package python-pkcs11, which the extra `pkcs11` installs."""
    try:
        return importlib.import_module("pkcs11")
    except ImportError:
        raise BusinessError(
            12000001, "PKCS#11 tokens need an extra: pip install 'huks-async[pkcs11]'"
        ) from None


class Library:
    """One library, shared by all providers on its tokens.

    C_Initialize and C_Finalize affect the whole process. A library that has lost a token may find it again only
    after it was initialized again. That ends all of its sessions, so it is done only while no other token is in a
    call.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._in_calls = 0
        self._born = -1
        self.epoch: int = 0
        """Counts how often the library was initialized: sessions of an earlier epoch no longer exist."""

    @contextmanager
    def in_call(self) -> Iterator[Any]:
        """The library, for one call of a token. In a forked child it is initialized again before its first use."""
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
        """Initialize the library again from within a call, unless another token is in a call.

        Args:
            seen: the epoch in which the caller's token was missing. If the present one is later, nothing is done.
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
        with suppress(pkcs11.PKCS11Error):  # in a forked child, the library is not initialized
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
