"""A PKCS#11 library in this process: loaded once, used by one call at a time, and initialized again to find tokens."""

import importlib
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from huks_async.model.errors import BusinessError
from huks_async.model.secret_text import utf8
from huks_async.model.showing import shown, type_name
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


def text_for_token(value: object, what: str, *, secret: bool = False) -> str:
    """A text that can be given to python-pkcs11, which corrupts memory where it cannot encode an attribute.

    Raises:
        BusinessError: 401 for what is no str, and for lone surrogates; a secret is not shown.
    """
    if not isinstance(value, str):
        raise BusinessError(401, f"{what} must be a str, got {type_name(value) if secret else shown(value)}")
    text = str.__str__(value)
    if utf8(text) is None:
        given = "" if secret else f", got {shown(text)}"
        raise BusinessError(401, f"{what} is not valid Unicode: it holds lone surrogates{given}")
    return text


class Library:
    """One library, shared by all providers and root keys on its tokens.

    python-pkcs11 initializes a library without CKF_OS_LOCKING_OK, so the library takes no locks of its own and may be
    called by one thread at a time, whichever of its tokens the call is for. The login at a token is the whole
    process's, too, so a root key logs in, works and logs out within one call.

    C_Initialize and C_Finalize affect the whole process. A library that has lost a token may find it again only
    after it was initialized again. That ends all of its sessions, so it is done only while no other token has one.
    """

    unclean: bool = False
    """Whether a session was lost and could not be closed, so that the library may still regard it as logged in."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._born = -1
        self.epoch: int = 0
        """Counts how often the library was initialized: sessions of an earlier epoch no longer exist."""
        self.holders: weakref.WeakSet[Any] = weakref.WeakSet()
        """Whoever has a session of the present epoch between calls. It changes only within calls."""

    @contextmanager
    def in_call(self) -> Iterator[Any]:
        """The library, for one call. In a forked child it is initialized again before its first use."""
        pkcs11 = python_pkcs11()
        with self._lock:
            library = pkcs11.lib(self._path)
            if self._born != generation():
                if self._born >= 0 or generation() > 0:
                    self._begin(pkcs11, library)
                self._born = generation()
            yield library

    def begin_anew(self, who: object) -> bool:
        """Initialize the library again, from within a call, unless that would end a session of another holder.

        Args:
            who: the holder whose token is missing.
        """
        if any(holder is not who for holder in self.holders):
            return False
        pkcs11 = python_pkcs11()
        self._begin(pkcs11, pkcs11.lib(self._path))
        return True

    def _begin(self, pkcs11: Any, library: Any) -> None:
        self.epoch += 1
        self.holders.clear()
        self.unclean = False
        with suppress(pkcs11.PKCS11Error):  # in a forked child, the library is not initialized
            library.finalize()
        library.initialize()


def library_of(path: str | os.PathLike[str]) -> Library:
    """The library at a path. One file is one library, by whatever path; the first one is what it is loaded by.

    python-pkcs11 keeps what it has loaded by the text of the path. So a path from the present folder is made whole, and
    a path that leads to another file since is still the library that was loaded by it.

    Raises:
        BusinessError: 12000020 where there is no present folder.
    """
    name = file = os.fspath(path)
    if os.path.dirname(name):  # else the system looks for it in its own folders
        if not os.path.isabs(name):
            name = os.path.join(_present_folder(name), name)
        file = os.path.realpath(name)
    with _making:
        if name not in _libraries:
            _libraries[name] = _libraries.setdefault(file, Library(name))
        return _libraries[name]


def _present_folder(name: str) -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise BusinessError(
            12000020,
            f"the PKCS#11 library {shown(name)} is named from the present folder, which this process cannot find "
            f"({error.strerror}); give the library's absolute path",
        ) from error


def _renew() -> None:
    global _making
    _making = threading.Lock()
    for library in _libraries.values():
        library._lock = threading.Lock()
        library.holders = weakref.WeakSet()


os.register_at_fork(after_in_child=_renew)
