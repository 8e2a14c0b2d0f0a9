"""Which libcrypto to use: the first one that is sound and knows the algorithm.

`cryptography` links its own OpenSSL with hidden symbols, so a second one is needed. Candidates, in order:

1. the library that the environment variable `HUKS_ASYNC_LIBCRYPTO` names, and then no other;
2. the system's library;
3. the one inside the wheel of `psycopg-binary`, which the extras `sm2`, `pqc-expanded` and `legacy` install:
   a wheel that follows OpenSSL's releases and leaves the symbols open.

Releases with known timing leaks in elliptic-curve multiplication (CVE-2026-54872, CVE-2026-54875,
CVE-2025-9231) are passed over. A distribution may have mended an older number: an operator who knows
that says so with `HUKS_ASYNC_LIBCRYPTO_ACCEPT`, the exact version to accept.
"""

import functools
import os
import sys
from collections.abc import Iterator, Mapping

from huks_async.crypto.libcrypto.binding import Libcrypto
from huks_async.model.errors import BusinessError

PATH_VARIABLE = "HUKS_ASYNC_LIBCRYPTO"
ACCEPT_VARIABLE = "HUKS_ASYNC_LIBCRYPTO_ACCEPT"
LEGACY = "legacy"
"""The extra that brings a library for what was dropped elsewhere: small RSA, odd DSA sizes, OAEP with MD5."""

_FIXED_IN: dict[tuple[int, int], int] = {(3, 0): 23, (3, 4): 8, (3, 5): 9, (3, 6): 5, (4, 0): 3}
_GATE = ", ".join(f"{major}.{minor}.{patch}" for (major, minor), patch in _FIXED_IN.items())
_WHEEL = "psycopg-binary"
# On macOS loading the unversioned name ends the process, so names carry the number of the interface.
_SYSTEM_NAMES = (
    ("libcrypto.4.dylib", "libcrypto.3.dylib")
    if sys.platform == "darwin"
    else ("libcrypto.so.4", "libcrypto.so.3")
)

_NOT_SUPPORTED = 12000001


def is_sound(version: tuple[int, int, int]) -> bool:
    """Whether a release has the fixes that its branch needs; branches without fixes do not."""
    major, minor, patch = version
    fixed_in = _FIXED_IN.get((major, minor))
    return (major, minor) > max(_FIXED_IN) if fixed_in is None else patch >= fixed_in


@functools.cache
def libcrypto_for(algorithm: str, extra: str, what: str = "") -> Libcrypto:
    """The first sound libcrypto that knows the algorithm; `what` is wanted of it, for the message.

    Raises:
        BusinessError: 12000001 where there is none; the message names the extra that brings one.

    """
    return find(algorithm, extra, os.environ, what)


def find(algorithm: str, extra: str, environment: Mapping[str, str], what: str = "") -> Libcrypto:
    """Like `libcrypto_for`, without a memory, under the given environment variables."""
    accepted = environment.get(ACCEPT_VARIABLE)
    passed_over = []
    for path in candidates(environment):
        try:
            library = Libcrypto(path)
        except OSError:
            passed_over.append(f"{path}: cannot be loaded")
            continue
        except AttributeError:
            passed_over.append(f"{path}: not OpenSSL 3 or later")
            continue
        if not is_sound(library.version) and library.version_text != accepted:
            passed_over.append(f"{path}: {library.version_text} is not among them")
            continue
        library.declare()
        if library.knows(algorithm):
            return library
        passed_over.append(f"{path}: {library.version_text} is built without {algorithm}")
    raise BusinessError(
        _NOT_SUPPORTED,
        f"{what or algorithm} needs OpenSSL's libcrypto {_GATE} or a later one of these branches: install the extra "
        f"'huks-async[{extra}]', or name a library in {PATH_VARIABLE} (and in {ACCEPT_VARIABLE} the version, "
        f"if your distribution has mended an older one). Looked at: {'; '.join(passed_over) or 'nothing'}",
    )


def candidates(environment: Mapping[str, str]) -> Iterator[str]:
    """Names and paths of libraries to try, best first."""
    named = environment.get(PATH_VARIABLE)
    if named:
        yield named
        return
    yield from _SYSTEM_NAMES
    # Imported here, because mostly a library of the system serves.
    try:
        from importlib import metadata

        files = metadata.files(_WHEEL) or []
    except ModuleNotFoundError:  # metadata.PackageNotFoundError is one
        return
    except OSError as error:  # no answer, and so none that is remembered
        raise BusinessError(
            12000012,
            f"the installed packages cannot be searched for a libcrypto ({error.strerror}); raise the limit of open "
            f"files if it is reached, or name a library in {PATH_VARIABLE}",
        ) from error
    for file in files:
        if file.name.startswith("libcrypto") and (".so" in file.name or file.suffix == ".dylib"):
            yield str(file.locate())
