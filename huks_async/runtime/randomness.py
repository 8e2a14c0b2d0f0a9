"""Random bytes of the operating system, fetched at the moment of use.

None are kept for later. What lies in the memory of a process is there twice when the process is copied:
by `fork`, also by one that C code calls and Python does not notice, and by snapshots of machines and
containers (Firecracker, Lambda SnapStart, CRIU). Both copies would make the same keys from it. The kernel
notices such copies and keeps its generator apart.

`os.urandom` lets go of the interpreter's lock. Beside a thread that is as busy as the writer of a store
getting it back takes 15 to 260 µs, more than all the rest of making a symmetric key. `os.getrandom` keeps the
lock, and takes half a microsecond whatever other threads do.
"""

import mmap
import os
from collections.abc import Callable
from typing import Protocol

_MOST = 256
"""Up to this size the kernel gives all bytes at once and is not interrupted (getrandom(2))."""

_WIPE_ON_FORK = 18
"""MADV_WIPEONFORK of Linux 4.14, which `mmap` names in no version of Python."""

# Without waiting: soon after a machine starts its generator may not be ready. `os.urandom` waits for it without
# the lock.
_NO_WAITING: int = getattr(os, "GRND_NONBLOCK", 0)
_getrandom: Callable[[int, int], bytes] | None = getattr(os, "getrandom", None)


def random_bytes(size: int) -> bytes:
    """Give so many random bytes, from any thread."""
    if _getrandom is not None and size <= _MOST:
        try:
            taken = _getrandom(size, _NO_WAITING)
        except OSError:
            # forbidden by a filter of system calls, or not ready: `os.urandom` knows what to do, or says what is wrong
            return os.urandom(size)
        if len(taken) == size:
            return taken
    return os.urandom(size)


class _Page(Protocol):
    def __getitem__(self, place: int, /) -> int: ...
    def __setitem__(self, place: int, value: int, /) -> None: ...


def _wiped_page() -> _Page | None:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_WIPE_ON_FORK)
    except (OSError, ValueError, AttributeError):
        return None
    return page


class ForkWatch:
    """Notices every fork, also one by C code, which runs no handlers of Python's.

    The kernel gives a child zeros in place of a page that it was told to wipe. Looking takes 0.04 µs.
    Snapshots of machines go unnoticed.
    """

    def __init__(self) -> None:
        self._page = _wiped_page()
        # Where the kernel does not wipe pages nothing is ever vouched for.
        self.mark: _Page = bytearray(1) if self._page is None else self._page
        """`mark[0]` is 1 as long as this process is the one that called `renew` last."""

    def renew(self) -> None:
        """Vouch for this process from now on, where that is possible."""
        if self._page is not None:
            self._page[0] = 1
