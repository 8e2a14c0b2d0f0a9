"""A look into SQLite's WAL index, which tells whether anybody has committed since.

Each process that uses a database in WAL mode shares the file `-shm`. Its first 48 bytes, the header of
the index (https://www.sqlite.org/walformat.html), hold a change counter, the end of the log and its
checksum. A commit writes them before it returns, so a reader that sees the same bytes twice
knows that no commit was acknowledged between. A look costs a copy of 48 bytes.

The file must never be closed while this process has the database open: closing any descriptor of
a file drops the POSIX locks of the whole process on it, SQLite's own included. So files stay in a
list of the process, and are closed when the last user has deleted them.
"""

import mmap
import os
import threading
from dataclasses import dataclass

HEADER_SIZE = 48


@dataclass(slots=True)
class _Mapped:
    descriptor: int
    memory: mmap.mmap


_mapped: dict[tuple[int, int], _Mapped] = {}
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def map_header(database: str) -> mmap.mmap | None:
    """Map the header of a database's WAL index, read-only. A connection to it must be open.

    Returns:
        At least `HEADER_SIZE` bytes that follow each commit, or None where this is not possible.

    """
    path = f"{database}-shm"
    with _lock:
        try:
            found = os.stat(path)
            known = _mapped.get((found.st_dev, found.st_ino))
            if known is not None:
                return known.memory
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        # from here on the descriptor stays open whatever happens, see above
        try:
            found = os.fstat(descriptor)
            if found.st_size < HEADER_SIZE:
                return None
            memory = mmap.mmap(descriptor, HEADER_SIZE, prot=mmap.PROT_READ)
        except (OSError, ValueError):
            return None
        _mapped[found.st_dev, found.st_ino] = _Mapped(descriptor, memory)
        return memory


def close_deleted() -> None:
    """Close the files that no process uses any more, because their last user has deleted them."""
    with _lock:
        for key, entry in list(_mapped.items()):
            if os.fstat(entry.descriptor).st_nlink == 0:
                del _mapped[key]
                os.close(entry.descriptor)
                # the mapping goes with its last reference, and with it the second descriptor
