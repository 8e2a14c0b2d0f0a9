"""Loading the whole library when a keystore opens, so that a running service imports nothing of it later.

Importing later may be impossible (no descriptor is left, the package's files are gone, the interpreter ends) or
wrong (the files are those of a newer version). It may also be a trap: if a process forks while another thread
imports, the child inherits an import lock that nobody will ever release.
"""

import sys
from collections.abc import Iterator
from importlib import import_module

import anyio

from huks_async.model.errors import BusinessError
from huks_async.model.showing import type_name
from huks_async.runtime.forks import no_fork
from huks_async.runtime.workers import run_to_its_end

_PACKAGE = __name__.partition(".")[0]

# Not loaded: the command, which has its process to itself, and the helpers for tests, which need no protection.
_NOT_LOADED = (f"{_PACKAGE}.cli", f"{_PACKAGE}.testing")

# Modules that functions of this library, of cryptography and of anyio import when they are called. Some are left
# out, because they come from the system or from other packages and take longer than most services would accept:
# importlib.metadata (a search for libraries with more algorithms), psutil, python-pkcs11.
_OF_OTHERS = (
    "anyio._core._subprocesses",
    "ctypes",
    "datetime",
    "encodings.hex_codec",
    "json",
    "pathlib",
    "tempfile",
    "tomllib",
    "traceback",
)

_loaded = False


async def load_everything() -> None:
    """Load all modules, in a thread, unless they are loaded already.

    Raises:
        BusinessError: 12000012 if a module cannot be loaded, with the cause.
    """
    # anyio loads its backend for this kind of event loop when the first scope is made, which may be this one
    with no_fork():
        anyio.CancelScope()
    if not _loaded:
        await run_to_its_end(_load, name="huks-load")


def _load() -> None:
    global _loaded
    # several keystores may open at once, in several threads
    with no_fork():
        if _loaded:
            return
        try:
            for name in (*_OF_OTHERS, *_modules()):
                import_module(name)
        except (ImportError, OSError, SystemError) as error:
            raise not_loaded(error) from error
        _loaded = True


def not_loaded(error: Exception) -> BusinessError:
    """The error for a module that could not be loaded."""
    return BusinessError(
        12000012,
        f"a part of {_PACKAGE} could not be loaded ({type_name(error)}: {str(error)[:200]}); raise the limit of "
        "open files if it is reached, and start the program anew if its packages were replaced",
    )


def _modules() -> Iterator[str]:
    """The names of all modules, found in the package so that a new module needs no entry here."""
    import pkgutil

    packages = [(_PACKAGE, sys.modules[_PACKAGE].__path__)]
    while packages:
        package, path = packages.pop()
        for module in pkgutil.iter_modules(path, f"{package}."):
            if module.name in _NOT_LOADED:
                continue
            yield module.name
            if module.ispkg:
                packages.append((module.name, import_module(module.name).__path__))
