"""The header of SQLite's WAL index, which shows whether any process has committed since it was last read.

Each process that uses a database in WAL mode shares the file `-shm`. Its first 48 bytes, the header of
the index (https://www.sqlite.org/walformat.html), hold a change counter, the end of the log and its
checksum. A commit writes them before it returns, so a reader that sees the same bytes twice
knows that no commit was acknowledged in between. A look costs a copy of 48 bytes.
"""

import mmap
import struct
import time

from huks_async.stores.sqlite.files import LOOK_AGE, Names

HEADER = slice(48)
_SECOND = slice(48, 96)
COPIES = slice(96)
MAPPED_SIZE = 136

_COMMITS = struct.Struct("I")
_COMMITS_AT = 8
_FRAMES = struct.Struct("I")
_LAST_FRAME_AT = 16
_BACKFILLED_AT = 96
_PAGE_SIZE = struct.Struct("H")
_PAGE_SIZE_AT = 14
_PAGES_AT = 20
_READERS = struct.Struct("4I")
_READERS_AT = 104
"""How much of the log is visible to those who hold the reader's locks 1 to 4."""


def frames(memory: mmap.mmap | bytes) -> tuple[int, int]:
    """Return how many pages the log holds, and how many of them are in the database file already."""
    return _FRAMES.unpack_from(memory, _LAST_FRAME_AT)[0], _FRAMES.unpack_from(memory, _BACKFILLED_AT)[0]


def full_size(memory: mmap.mmap) -> int:
    """Return how many bytes the database file has when all of the log was copied into it."""
    (pages,) = _FRAMES.unpack_from(memory, _PAGES_AT)
    (size,) = _PAGE_SIZE.unpack_from(memory, _PAGE_SIZE_AT)
    return int(pages) * (65_536 if size == 1 else int(size))


def earlier_readers(memory: mmap.mmap) -> list[int]:
    """Return which of the reader's locks are of states before the last one; whoever holds one keeps pages from being copied."""
    last, _ = frames(memory)
    marks = _READERS.unpack_from(memory, _READERS_AT)
    return [number for number, mark in enumerate(marks, 1) if mark < last]


def one_commit(before: bytes, after: bytes) -> bool:
    """Whether one commit lies between two headers: each that changes something adds one to the counter."""
    (first,), (last,) = _COMMITS.unpack_from(before, _COMMITS_AT), _COMMITS.unpack_from(after, _COMMITS_AT)
    return bool((last - first) % 2**32 == 1)


def state(memory: mmap.mmap | None) -> bytes | None:
    """Return the header, which every commit changes; None if it could not be mapped."""
    return None if memory is None else memory[HEADER]


def is_torn(memory: mmap.mmap) -> bool:
    """Whether the two copies of the header differ: somebody is writing them, or was killed between the two."""
    return memory[HEADER] != memory[_SECOND]


class View:
    """The header of the index, and whether the path still names the file that it is in.

    A look at the path is valid for `LOOK_AGE`, so that many uses of a key share one look.
    """

    __slots__ = ("_names", "header", "number", "until")

    def __init__(self, names: Names, header: mmap.mmap, number: int) -> None:
        self.header: mmap.mmap = header
        self.number: int = number
        """Distinguishes the views of one store, even if their headers are equal."""
        self.until: float = 0.0
        """The time of `time.monotonic` until which the last look is valid."""
        self._names = names

    def look(self) -> bool:
        """Look at the paths again; False when one names another file or none, or cannot be looked at."""
        # the time is taken before the look, so that the look is never older than assumed
        now = time.monotonic()
        try:
            if not self._names.hold():
                return False
        except (OSError, MemoryError):
            return False  # the read of the store that follows says what is wrong
        self.until = now + LOOK_AGE
        return True
