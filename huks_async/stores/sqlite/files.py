"""Which files a store's path names at this moment, by device and inode.

Files are only looked at by name and never opened for this purpose, because closing any descriptor of a file drops
all POSIX locks that this process has on it, SQLite's among them.

They are looked at by statx(2), which unlike stat(2) can be asked for the inode alone. Since Linux 6.13, the first
write after somebody has asked for a file's times gives it a new time, exact to the nanosecond, which the next sync
may have to bring to the disk. A log is looked at before and after each commit, and syncing it took half as long again.
"""

import ctypes
import errno
import os
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeAlias

Inode: TypeAlias = tuple[int, int]
"""Device and inode number. While any process has the file open, no other file can get the same pair."""

LOOK_AGE = 0.0005
"""Seconds for which a look at the name of the shared-memory file stays valid.

No write is acknowledged through files that are newer than twice this time, see `wait_until_noticed`. So when a
process acknowledges that a key is deleted, every look that found the earlier files is too old to be used.
"""

_MOST_LINKS = 40
"""How many symbolic links Linux follows from one path."""
_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_STATX_INO = 0x100
_Found = ctypes.c_char * 256
_FIELDS = struct.Struct("=32xQ96xII")
"""Of `struct statx`: the inode number, and the two numbers of the device."""
# Without declared types of its arguments a call takes half the time. ctypes releases the interpreter's lock.
_statx: Final[Any] = (
    getattr(ctypes.CDLL(None, use_errno=True), "statx", None) if sys.platform == "linux" else None
)


class Files(NamedTuple):
    """The files of a database: itself, its write-ahead log, and the shared memory of its users."""

    database: Inode | None
    log: Inode | None
    shared: Inode | None


def inode(file: str | int, *, follow: bool = False) -> Inode | None:
    """Return the file that a path names, None if there is none; or the one that a descriptor belongs to.

    Args:
        file: the path or the descriptor.
        follow: whether a path whose last part is a symbolic link names what that leads to, and not the link.

    Raises:
        OSError: it cannot be looked at.

    """
    if _statx is not None:
        found = _Found()
        with suppress(ctypes.ArgumentError):  # no memory to pass an argument
            if isinstance(file, int):
                failed = _statx(file, b"", _AT_EMPTY_PATH, _STATX_INO, found)
            else:
                failed = _statx(_AT_FDCWD, os.fsencode(file), _how(follow), _STATX_INO, found)
            if not failed:
                number, major, minor = _FIELDS.unpack_from(found)
                return os.makedev(major, minor), number
            if ctypes.get_errno() in (errno.ENOENT, errno.ENOTDIR):
                return None
    try:
        result = os.stat(file) if follow or isinstance(file, int) else os.lstat(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return result.st_dev, result.st_ino


def _how(follow: bool) -> int:
    return 0 if follow else _AT_SYMLINK_NOFOLLOW


def look(path: str) -> Files:
    """Return the files that the path of a database names now; a symbolic link in the place of one is another file."""
    return Files(*map(inode, file_names(path)))


def file_names(path: str) -> tuple[str, str, str]:
    """Return the names of a database's files."""
    return path, f"{path}-wal", f"{path}-shm"


def left_log(path: str) -> str | None:
    """Return the log or journal beside a path that SQLite would copy into a new database there; None if none is.

    Raises:
        OSError: one cannot be looked at.

    """
    for name in (f"{path}-wal", f"{path}-journal"):
        with suppress(FileNotFoundError):
            if os.path.getsize(name):
                return name
    return None


def links_from(path: str) -> Iterator[str]:
    """Give the symbolic links that lead from a path to a file, by the names that they have beside others."""
    for _ in range(_MOST_LINKS):
        if not os.path.islink(path):
            return
        yield path
        path = os.path.join(os.path.dirname(path), os.readlink(path))


def is_missing(path: str) -> bool:
    """Whether a path names no database, and no log was left there; False also where that cannot be looked at."""
    try:
        file = os.path.realpath(path)  # as it is opened, also with `..` behind a folder that is missing
    except OSError:  # the present folder is gone
        return False
    try:
        os.stat(file)
    except FileNotFoundError:
        with suppress(OSError):
            return left_log(file) is None
    except OSError:
        pass
    return False


class Names:
    """Paths and the files that they should name, to be looked at often.

    A symbolic link that was left in the place of a file that was moved does not name it: SQLite follows the link of a
    database, and has its log beside where that leads; it opens no log and no shared memory through a link.

    Args:
        wanted: the paths, whose last parts are no links, and their files.
        links: links, which are followed, and the files that they should lead to.

    """

    __slots__ = ("_fields", "_wanted")

    def __init__(
        self, wanted: Iterable[tuple[str, Inode | None]], links: Iterable[tuple[str, Inode | None]] = ()
    ) -> None:
        self._wanted = (*((*one, False) for one in wanted), *((*one, True) for one in links))
        self._fields = tuple(
            (
                os.fsencode(path),
                _how(follow),
                (file[1], os.major(file[0]), os.minor(file[0])) if file else None,
            )
            for path, file, follow in self._wanted
        )

    def hold(self) -> bool:
        """Whether each path names its file now.

        Raises:
            OSError: one cannot be looked at.

        """
        if _statx is not None:
            found = _Found()
            try:
                for path, how, fields in self._fields:
                    if (
                        _statx(_AT_FDCWD, path, how, _STATX_INO, found)
                        or _FIELDS.unpack_from(found) != fields
                    ):
                        break
                else:
                    return True
            except ctypes.ArgumentError:  # no memory to pass an argument
                pass
        return all(inode(path, follow=follow) == file for path, file, follow in self._wanted)


def wait_until_noticed(since: float) -> None:
    """Wait until no process relies on a look from before `since`, a time of `time.monotonic`, any more."""
    remaining = since + 2 * LOOK_AGE - time.monotonic()
    if remaining > 0:
        time.sleep(remaining)
