"""Random bytes of the operating system, fetched at the moment of use.

No random bytes are kept for later. Bytes in the memory of a process exist twice after the process is copied: by
`fork`, also by one that C code calls and Python does not notice, and by snapshots of machines and containers
(Firecracker, Lambda SnapStart, CRIU). Both copies would make the same keys from them. The kernel notices such
copies, and its generator gives different bytes in each.

`os.urandom` releases the interpreter's lock. While another thread is as busy as the writer of a store, getting
the lock back takes 15 to 260 µs, more than all the rest of making a symmetric key. `os.getrandom` keeps the lock,
and takes half a microsecond whatever other threads do.
"""

import mmap
import os
from collections.abc import Callable
from typing import Protocol

_MOST = 256
"""Up to this size, getrandom(2) always returns all bytes and is not interrupted."""

_WIPE_ON_FORK = 18
"""MADV_WIPEONFORK of Linux 4.14, for which no version of Python has a name."""

# getrandom is called in the mode that does not wait. Soon after a machine starts, its generator may not be ready;
# then `os.urandom` is called instead, which waits without holding the interpreter's lock.
_NO_WAITING: int = getattr(os, "GRND_NONBLOCK", 0)
_getrandom: Callable[[int, int], bytes] | None = getattr(os, "getrandom", None)


def random_bytes(size: int) -> bytes:
    """Return `size` random bytes. May be called from any thread."""
    if _getrandom is not None and size <= _MOST:
        try:
            taken = _getrandom(size, _NO_WAITING)
        except OSError:
            # The call is forbidden by a filter of system calls, or the generator is not ready. `os.urandom` has ways
            # to deal with both, or raises the right error.
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
    """Notices every fork, even one by C code, which runs none of Python's handlers.

    It holds a page of memory that the kernel was told to wipe: a child finds zeros there. Looking takes 0.04 µs.
    Snapshots of machines are not noticed.
    """

    def __init__(self) -> None:
        self._page = _wiped_page()
        # If the kernel cannot wipe pages, the mark stays 0, so that every use looks like the first one after a fork.
        self.mark: _Page = bytearray(1) if self._page is None else self._page
        """`mark[0]` is 1 as long as this process is the one that called `renew` last."""

    def renew(self) -> None:
        """Set the mark for this process, if the kernel would wipe it in a child."""
        if self._page is not None:
            self._page[0] = 1
