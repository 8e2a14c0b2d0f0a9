"""Which files a store's path names at this moment, by device and inode.

Files are only looked at by name and never opened for this purpose, because closing any descriptor of a file drops
all POSIX locks that this process has on it, SQLite's among them.
"""

import os
import time
from typing import NamedTuple, TypeAlias

Inode: TypeAlias = tuple[int, int]
"""Device and inode number. While any process has the file open, no other file can get the same pair."""

LOOK_AGE = 0.0005
"""Seconds for which a look at the name of the shared-memory file stays valid.

No write is acknowledged through files that are newer than twice this time, see `wait_until_noticed`. So when a
process acknowledges that a key is deleted, every look that found the earlier files is too old to be used.
"""


class Files(NamedTuple):
    """The files of a database: itself, its write-ahead log, and the shared memory of its users."""

    database: Inode | None
    log: Inode | None
    shared: Inode | None


def inode(path: str) -> Inode | None:
    """Return the file that a path names; None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None
    return found.st_dev, found.st_ino


def look(path: str) -> Files:
    """Return the files that the path of a database names now."""
    return Files(inode(path), inode(f"{path}-wal"), inode(f"{path}-shm"))


def wait_until_noticed(since: float) -> None:
    """Wait until no process relies on a look from before `since`, a time of `time.monotonic`, any more."""
    remaining = since + 2 * LOOK_AGE - time.monotonic()
    if remaining > 0:
        time.sleep(remaining)
