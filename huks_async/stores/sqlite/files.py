"""Which files a store's path names at this moment, by device and inode.

Files are only looked at by name, never opened for that: closing any descriptor of a file drops all POSIX
locks that this process has on it, SQLite's among them.
"""

import os
import time
from typing import NamedTuple, TypeAlias

Inode: TypeAlias = tuple[int, int]
"""Device and inode number. While somebody has the file open, no other file gets the same pair."""

LOOK_AGE = 0.0005
"""Seconds for which a look at the shared-memory file is good.

Nothing is acknowledged through files that are newer than twice this time, see `wait_until_noticed`. So when
a process acknowledges that a key is deleted, every look that named other files is too old to be used.
"""


class Files(NamedTuple):
    """The files of a database: itself, its write-ahead log, and the shared memory of its users."""

    database: Inode | None
    log: Inode | None
    shared: Inode | None


def inode(path: str) -> Inode | None:
    """Give the file that a path names, None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None
    return found.st_dev, found.st_ino


def look(path: str) -> Files:
    """Give the files that the path of a database names now."""
    return Files(inode(path), inode(f"{path}-wal"), inode(f"{path}-shm"))


def wait_until_noticed(since: float) -> None:
    """Wait until nobody relies any more on a look from before `since`, a time of `time.monotonic`."""
    remaining = since + 2 * LOOK_AGE - time.monotonic()
    if remaining > 0:
        time.sleep(remaining)
