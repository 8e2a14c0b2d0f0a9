"""Locks on a database's files that only their owner can release.

SQLite's own locks are POSIX locks: they vanish when anything in the process closes any descriptor of the
file, as code of the application does that backs up the database or computes its checksum. Another process that
then closes the store believes to be its last user and removes the log that this process uses, or the reverse.

So beside SQLite's locks each open database has two shared locks of its own, which belong to an open file
description (`F_OFD_SETLK`) and not to the process:

- on the bytes of the database file that SQLite locks exclusively at its last close, before it checkpoints
  and deletes the log (os_unix.c, SHARED_FIRST; wal.c, sqlite3WalClose). Otherwise SQLite locks these bytes
  exclusively only in rollback mode: to commit, to undo a hot journal, and to change the journal mode;
- on the byte of the shared memory that SQLite locks exclusively before it decides that nobody uses the index and
  clears it (os_unix.c, UNIX_SHM_DMS).

Both conflict with the exclusive locks of every other owner, including SQLite in this process: while a guard is
held, nobody removes the log, and closing our connections writes nothing.

SQLite's lock of a reader is one that vanishes, too. A query can be repeated, but not the long read of a backup, so
this keeps checkpoints from being made meanwhile: without them no page of the database changes, and the log does not
begin anew behind its readers.
"""

import errno
import fcntl
import mmap
import os
import struct
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Self

from huks_async.model.errors import BusinessError
from huks_async.runtime.taking import taking
from huks_async.stores.sqlite.files import Inode

DATABASE_USERS: Final = (0x40000002, 510)
"""First byte and length of the range that every user of a database file locks as shared."""
INDEX_USERS: Final = (128, 1)
"""The same for its shared memory."""
_WRITER: Final = (120, 1)
"""The byte of the shared memory that SQLite locks exclusively while a connection writes (wal.c, WAL_WRITE_LOCK)."""
_CHECKPOINTS: Final = (121, 1)
"""The byte of the shared memory that SQLite locks exclusively during a checkpoint (wal.c, WAL_CKPT_LOCK)."""
_READERS_FROM: Final = 123
"""The byte of the shared memory that readers lock as shared who do not read the log; four for those who do follow."""
_WHOLE = (0, 0)
_UNTOLD = -1
"""The process of a lock that belongs to an open file description, or that the file system does not tell."""

AVAILABLE: Final = hasattr(fcntl, "F_OFD_SETLK")
"""Whether this system has such locks. Linux has; elsewhere the application must not close files of an open store."""

_FLOCK = struct.Struct("hhqqi4x")


class _Kept:
    __slots__ = ("barred", "descriptor", "guards", "memory", "others", "users")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        # opened in spite of that one, because the file had another name a moment before
        self.others: list[int] = []
        # guards that were not released yet, and those of them that hold the lock
        self.guards = 0
        self.users = 0
        # how many do not want checkpoints now
        self.barred = 0
        # a map has a descriptor of its own, which must not be closed early either
        self.memory: mmap.mmap | None = None


# Descriptors stay here until no process uses the file, because closing them drops the locks of an SQLite
# connection that the application itself may have.
_kept: dict[Inode, _Kept] = {}
_lock = threading.Lock()
_forgotten: "deque[Guard]" = deque()
"""Guards of databases that were garbage-collected, to be released by whoever has the lock next."""
_process = os.getpid()
_inherited: set[Inode] = set()
"""Files that were open here before the fork that made this process."""


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    kept = list(_kept.values())
    _begin_in_child()
    # Parent and child share these locks, which end only when both have closed their descriptors. The child closes
    # its own now, so that the parent alone decides. Stores that were open drop their maps before anything else runs.
    for entry in kept:
        _close(entry)
        if entry.memory is not None:
            entry.memory.close()


os.register_at_fork(after_in_child=_after_fork)


def _close(entry: _Kept) -> None:
    for descriptor in (entry.descriptor, *entry.others):
        os.close(descriptor)


def _notice_fork() -> None:
    # also called before each use, because a fork by C code runs no handlers
    if os.getpid() != _process:
        _begin_in_child()


def _begin_in_child() -> None:
    global _process
    # its parent's, too, where the first process of a PID namespace forks that of another one
    _process = os.getpid()
    # even before its guard is held, SQLite may have the file open
    _inherited.update(inode for inode, entry in _kept.items() if entry.guards)
    _kept.clear()


def refuse_inherited(inode: Inode | None, address: str) -> None:
    """Refuse a database that was open in this process's parent when it was forked.

    SQLite keeps a table of open files. The child's copy of it claims locks that the child does not hold.

    Raises:
        BusinessError: 12000012; the message says what to do.

    """
    with _lock:
        _notice_fork()
        inherited = inode in _inherited
    if inherited:
        raise BusinessError(
            12000012,
            f"the store {address} was open when this process was forked, and SQLite cannot open it a second time "
            "in the child; start processes by spawn or forkserver, or open the store after the fork only",
        )


def was_inherited() -> bool:
    """Whether any database was open in this process's parent, or in one before it, when the process was forked."""
    with _lock:
        _notice_fork()
        return bool(_inherited)


def _set(descriptor: int, kind: int, where: tuple[int, int]) -> bool:
    """Set or release a lock; False if another owner has a conflicting one."""
    if not AVAILABLE:
        return kind != fcntl.F_WRLCK
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, *where, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _others(descriptor: int, where: tuple[int, int]) -> bool:
    return not AVAILABLE or _conflict(descriptor, where) is not None


def _conflict(descriptor: int, where: tuple[int, int]) -> int | None:
    """Return the process of a lock that conflicts with an exclusive one here, `_UNTOLD` included; None if there is none."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, *where, 0)
    kind, *_, process = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else process


def _entry(path: str) -> tuple[Inode, _Kept]:
    _notice_fork()
    found = os.stat(path)
    inode = found.st_dev, found.st_ino
    entry = _kept.get(inode)
    if entry is None:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        # the file may have been replaced between the two calls
        found = os.fstat(descriptor)
        inode = found.st_dev, found.st_ino
        entry = _kept.setdefault(inode, _Kept(descriptor))
        if entry.descriptor != descriptor:
            entry.others.append(descriptor)
    return inode, entry


class Guard:
    """A shared lock on a file of a database. The first holder in this process sets it, the last one releases it.

    The file stays open until `release`, whether the lock is held or not; as a context manager, a guard is released at
    the end of the block.
    """

    def __init__(self, path: str, where: tuple[int, int]) -> None:
        """Open the file without locking it.

        Raises:
            OSError: it cannot be opened for reading and writing.

        """
        self._where = where
        self._held = False
        self._barred = 0
        self._released = False
        with _lock:
            _release_forgotten()
            inode, self._entry = _entry(path)
            self._entry.guards += 1
            self.inode: Inode = inode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def hold(self) -> bool:
        """Set the lock; False if another owner has locked the file exclusively."""
        with _lock:
            _release_forgotten()
            if self._entry.users == 0 and not _set(self._entry.descriptor, fcntl.F_RDLCK, self._where):
                return False
            self._entry.users += 1
            self._held = True
            return True

    def bar_checkpoints(self) -> bool:
        """On the shared memory: keep everybody from checkpoints until `allow_checkpoints`; False if one is being made."""
        with _lock:
            if self._entry.barred == 0 and not _set(self._entry.descriptor, fcntl.F_RDLCK, _CHECKPOINTS):
                return False
            self._entry.barred += 1
            self._barred += 1
            return True

    def allow_checkpoints(self) -> None:
        """Take back one `bar_checkpoints`. The guard is not released yet."""
        with _lock:
            _notice_fork()
            if self._barred and _kept.get(self.inode) is self._entry:
                self._allow(1)

    def _allow(self, number: int) -> None:
        self._barred -= number
        self._entry.barred -= number
        if self._entry.barred == 0:
            _set(self._entry.descriptor, fcntl.F_UNLCK, _CHECKPOINTS)

    def is_read(self, number: int) -> bool:
        """On the shared memory: whether somebody holds one of the reader's locks, as far as the system tells."""
        return AVAILABLE and _others(self._entry.descriptor, (_READERS_FROM + number, 1))

    def is_written_here(self) -> bool:
        """On the shared memory: whether SQLite in this process holds the lock of a writer. Only if `AVAILABLE`.

        File systems that keep locks themselves (FUSE with locks) tell that somebody holds it, and never who.
        There it is taken for the own: whoever else could have it is another program that writes at this moment.
        """
        return _conflict(self._entry.descriptor, _WRITER) in {os.getpid(), _UNTOLD}

    def reserve(self, length: int) -> None:
        """Make the file at least so long, on space of the disk that is its own from then on.

        Raises:
            OSError: there is no such space.

        """
        now = os.fstat(self._entry.descriptor).st_size
        if now < length and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._entry.descriptor, now, length - now)
            except OSError as error:
                if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                    raise

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes of the file."""
        return os.pread(self._entry.descriptor, length, offset)

    def map(self, length: int) -> mmap.mmap | None:
        """Map the beginning of the file, read-only; None if that is not possible."""
        with _lock:
            if self._entry.memory is None:
                try:
                    if os.fstat(self._entry.descriptor).st_size < length:
                        return None
                    self._entry.memory = mmap.mmap(self._entry.descriptor, length, prot=mmap.PROT_READ)
                except (OSError, ValueError):
                    return None
            return self._entry.memory

    def used_here(self) -> int:
        """How many holders this guard has in this process."""
        return self._entry.users

    def used_by_others(self) -> bool:
        """Whether anybody else uses the file: another process, or a connection of this one's SQLite."""
        return _others(self._entry.descriptor, self._where)

    def take_alone(self) -> bool:
        """Make the lock exclusive until `release`; False if another owner shares it."""
        with _lock:
            _release_forgotten()
            return (
                AVAILABLE
                and self._held
                and self._entry.users == 1
                and _set(self._entry.descriptor, fcntl.F_WRLCK, self._where)
            )

    def release(self) -> None:
        """Release the lock, if it is held, and let the file be closed. May be called again.

        Connections to the database must be closed before this.
        """
        with _lock:
            self._release()
            _release_forgotten()

    def _release(self) -> None:
        _notice_fork()
        if self._released or _kept.get(self.inode) is not self._entry:
            return
        self._released = True
        self._entry.guards -= 1
        if self._barred:  # by a backup that was forgotten
            self._allow(self._barred)
        if self._held:
            self._held = False
            self._entry.users -= 1
            if self._entry.users == 0:
                _set(self._entry.descriptor, fcntl.F_UNLCK, self._where)


@contextmanager
def open_here(path: str) -> Iterator[None]:
    """A block in which SQLite has a file open that is no store yet: a child that is forked meanwhile refuses it as one.

    To be entered before SQLite opens the file, and left when all of its connections are closed.

    Raises:
        OSError: it cannot be opened for reading and writing.

    """
    try:
        with Guard(path, DATABASE_USERS):
            yield
    finally:
        close_unused()


def close_unused() -> None:
    """Close the descriptors of files that have no guard here and that nobody else uses."""
    with _lock:
        _close_unused()


def release_collected(guards: Iterable[Guard]) -> None:
    """Release guards of a database that was garbage-collected, and close what nobody uses then.

    A collection may begin at any allocation, also in a thread that has the lock; then the next who takes it does this.
    """
    _forgotten.extend(guards)
    lock = _lock
    for _ in taking(lock, blocking=False):
        try:
            _close_unused()
        finally:
            lock.release()
        break


def _release_forgotten() -> None:
    while _forgotten:
        _forgotten.popleft()._release()


def _close_unused() -> None:
    _notice_fork()
    _release_forgotten()
    for inode, entry in list(_kept.items()):
        if entry.guards == 0 and (
            os.fstat(entry.descriptor).st_nlink == 0 or not AVAILABLE or not _others(entry.descriptor, _WHOLE)
        ):
            del _kept[inode]
            _close(entry)
            # the map's own descriptor is closed when the last reference to the map goes
