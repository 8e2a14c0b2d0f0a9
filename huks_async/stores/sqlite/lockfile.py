"""The file beside a database whose kernel lock its users commit under.

Anybody may remove the file at any time. Whoever then gets the lock of the removed file notices it and takes the lock
of the new one.
"""

import errno
import fcntl
import os
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from huks_async.runtime.forks import tell_after_fork
from huks_async.stores.sqlite.files import inode

_HAS_TURNSTILE = hasattr(fcntl, "F_OFD_SETLK")
_FLOCK = struct.Struct("hhqqi4x")
_TURNSTILE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
"""The first byte of the file, whose exclusive lock closes the turnstile."""


class LockFile:
    """The file that is locked: made beside the database, opened anew for each use."""

    def __init__(self, database: str) -> None:
        self.path: str = f"{database}.lock"
        self._database = database
        self._state = threading.Lock()
        self._open: set[int] = set()
        self._spare: int | None = None
        self._closed = False
        self._mine = threading.local()
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Close the child's copies of the descriptors, which would hold the lock for as long as the child lives."""
        self._state = threading.Lock()
        for descriptor in self._open:
            _close(descriptor)
        self._open.clear()
        self._spare = None

    def take_at_once(self) -> int | None:
        """Take the lock if it is free and nobody has waited for long; return the descriptor that holds it."""
        while True:
            descriptor = self._descriptor()
            try:
                taken = _passes_turnstile(descriptor) and _flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if taken and self.is_current(descriptor):
                    self._mine.held = descriptor
                    return descriptor
            except BaseException:
                self.release(descriptor)
                raise
            self.release(descriptor)
            if not taken:
                return None

    def take(
        self,
        note: Callable[[int | None], None] = lambda _: None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> int | None:
        """Wait for the lock; return the descriptor that holds it.

        Args:
            note: called with the descriptor that is waited for, and with None when the waiting is over.
            wanted: asked before each wait for a file; when it is no, the result is None.

        """
        while wanted():
            descriptor = self._descriptor()
            try:
                note(descriptor)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                finally:
                    note(None)
            except BaseException:
                self.release(descriptor)
                raise
            if self.is_current(descriptor):
                self._mine.held = descriptor
                return descriptor
            self.release(descriptor)  # the file was removed or replaced while we waited
        return None

    def release(self, descriptor: int) -> None:
        """Release the lock."""
        self._mine.held = None
        # Unlocked explicitly, because closing is not enough: a copy of the descriptor in a child would keep the lock.
        let_go = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        except OSError:  # the file system has gone, so the descriptor can only be closed
            let_go = False
        # Looked at before the lock is taken: it allocates, and the garbage collector may close another store's lock then,
        # or this one's.
        keep = let_go and not self._closed and self._spare is None and self.is_current(descriptor)
        with self._state:
            if keep and not self._closed and self._spare is None:
                # kept, so that the lock can be taken even when this process can open no more descriptors
                self._spare = descriptor
                return
            self._open.discard(descriptor)  # before it is closed, as in `_discard`
        _close(descriptor)

    def remove(self) -> None:
        """Remove the file, if it is the one whose lock this thread holds."""
        held = getattr(self._mine, "held", None)
        if held is not None and self.is_current(held):
            with suppress(OSError):
                os.unlink(self.path)

    def close_turnstile(self) -> int | None:
        """Keep newcomers from taking the lock before those who wait; return what `open_turnstile` needs.

        None if somebody else keeps it closed, or the system has no such lock.
        """
        if not _HAS_TURNSTILE:
            return None
        descriptor = self._open_or_make()
        with self._state:
            self._open.add(descriptor)
        closed = False
        try:
            closed = _set_turnstile(descriptor, fcntl.F_WRLCK)
        finally:
            if not closed:
                self._discard(descriptor)
        return descriptor if closed else None

    def open_turnstile(self, descriptor: int) -> None:
        """Let newcomers take the lock again."""
        # Unlocked explicitly, because a copy of the descriptor in a child would keep it closed.
        with suppress(OSError):
            _set_turnstile(descriptor, fcntl.F_UNLCK)
        self._discard(descriptor)

    def _discard(self, descriptor: int) -> None:
        # Removed from the set before it is closed, so that a forked child cannot find it there when its number
        # already belongs to another file.
        with self._state:
            self._open.discard(descriptor)
        _close(descriptor)

    def close_spare(self) -> None:
        """Close the descriptor that is kept open between two uses, and keep none from now on."""
        with self._state:
            # A thread that still waits for the lock has it, and gives it back, at any time after this.
            self._closed = True
            spare, self._spare = self._spare, None
        if spare is not None:
            self._discard(spare)

    def _descriptor(self) -> int:
        # Opened anew each time, so that a child that C code forks while nothing is locked gets no descriptor that
        # could hold the lock.
        while True:
            try:
                descriptor = self._open_or_make()
            except OSError as error:
                if error.errno not in {errno.EMFILE, errno.ENFILE}:
                    raise
                with self._state:
                    spare, self._spare = self._spare, None
                if spare is None:
                    raise
                if self.is_current(spare):
                    return spare
                self._discard(
                    spare
                )  # of a file that was removed since; its number serves to open the new one
                continue
            with self._state:
                self._open.add(descriptor)
            return descriptor

    def _open_or_make(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        while True:
            try:
                return os.open(self.path, flags)
            except FileNotFoundError:
                pass
            try:
                descriptor = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            try:
                self._dress(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor

    def _dress(self, descriptor: int) -> None:
        """Give the file the database's mode, and its owner if permitted, so that its other users can lock it."""
        try:
            like = os.stat(self._database)
        except FileNotFoundError:
            like = os.stat(os.path.dirname(self._database))
            mode = 0o600
        else:
            mode = like.st_mode & 0o666
        os.fchmod(descriptor, mode)
        if os.geteuid() == 0:
            os.fchown(descriptor, like.st_uid, like.st_gid)

    def is_current(self, descriptor: int) -> bool:
        """Whether the path names the file of a descriptor."""
        try:
            held = inode(descriptor)  # None from file systems that know a file by its name only
            return held is not None and held == inode(self.path)
        except OSError:
            return False


def _flock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    return True


def _passes_turnstile(descriptor: int) -> bool:
    if not _HAS_TURNSTILE:
        return True
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _TURNSTILE)
    return bool(_FLOCK.unpack(answer)[0] == fcntl.F_UNLCK)


def _set_turnstile(descriptor: int, kind: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, 0, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def holder(path: str) -> tuple[str, str]:
    """Say which process holds the lock of a file, as far as the system tells, and what helps."""
    wait = "wait until that process goes on or end it"
    try:
        found = os.stat(path)
        place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        with open("/proc/locks", encoding="ascii") as locks:
            owners = [
                int(words[4]) for words in map(str.split, locks) if words[1] == "FLOCK" and words[5] == place
            ]
        process = owners[0]
        if process == os.getpid():
            return (
                "another call of this process",
                "see whether another program keeps a transaction open in which it writes to the database's file",
            )
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
    except (OSError, ValueError, IndexError):
        return "another process", wait
    stopped = " (stopped)" if rest.split()[:1] in (["T"], ["t"]) else ""
    return f"process {process} {name!r}{stopped}", wait


def _close(descriptor: int) -> None:
    """Close a descriptor. An error is ignored, because the system frees the descriptor all the same."""
    try:
        os.close(descriptor)
    except OSError:
        return
