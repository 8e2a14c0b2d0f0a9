"""Reading a file past the system's cache, where most of it is not there yet.

To bring a large file into the cache costs more than to seal or to open it, and drives out what others use. What
the cache has is taken from it.
"""

import ctypes
import mmap
import os

BLOCK = mmap.PAGESIZE
SPARE = 2 * BLOCK
"""What a buffer must have more than what is wanted: whole blocks are read, from one place to another."""

_PROBES = 16
_LEAST = 8 * 1024 * 1024
"""Shorter files come through the cache; there is nothing to gain."""


class UncachedFile:
    """Reads at any place, from several threads at once. The file that it was made from stays as it is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, buffer: memoryview, place: int, length: int) -> tuple[int, int]:
        """Read bytes of the file into a page-aligned buffer that has `SPARE` bytes more.

        Returns:
            Where in the buffer they begin, and how many there are, which may be fewer or none.

        Raises:
            OSError: also where the file system reads through its cache only.

        """
        begin = place % BLOCK
        whole = -(-(begin + length) // BLOCK) * BLOCK
        got = os.preadv(self._descriptor, [buffer[:whole]], place - begin)
        return begin, max(0, min(got - begin, length))

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)


def open_uncached(descriptor: int, start: int, size: int) -> UncachedFile | None:
    """The file behind a descriptor, to be read past the cache; None where that does not help or does not go."""
    try:
        if size < _LEAST or _is_cached(descriptor, start, size):
            return None
        # another description of the file: flags of the one that is given may be those of other processes, too
        flags = os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC
        return UncachedFile(os.open(f"/proc/self/fd/{descriptor}", flags))
    except (AttributeError, OSError, ValueError):
        # not on this system, not on this file system, or not for this user
        return None


def _is_cached(descriptor: int, start: int, size: int) -> bool:
    """Whether the cache has at least half of a file, by looking at places in all its parts.

    The kernel tells it of pages that are mapped. A read that does not wait would tell as well, and bring them in.
    """
    mincore = ctypes.CDLL(None, use_errno=True).mincore
    mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
    found, answer = 0, ctypes.create_string_buffer(1)
    for count in range(_PROBES):
        place = (start + size * count // _PROBES) // BLOCK * BLOCK
        # private, so that its address can be asked for; nobody writes to it
        with mmap.mmap(descriptor, BLOCK, flags=mmap.MAP_PRIVATE, offset=place) as page:
            address = ctypes.addressof(here := ctypes.c_char.from_buffer(page))
            failed = mincore(address, BLOCK, answer)
            del here
        if failed:
            raise OSError(ctypes.get_errno(), "mincore")
        found += answer.raw[0] & 1
    return found * 2 >= _PROBES
