"""The lock around each commit, checkpoint, opening and close of a database, among all processes.

SQLite waits for its own write lock by sleeping ever longer, so writers starve; and versions before 3.51.3
can lose a commit that meets a checkpoint of another process. Both end where one lock of the kernel is
taken around either.

The lock is `flock` on a file beside the database, so it ends with the process that holds it. Waiting for it
has no time limit, and so a thread does it: it hands the lock over, or lets it go at once when nobody wants
it any more. Whoever has just had the lock could take it again before a waiting process has woken up;
therefore one first takes a turnstile, another lock on the same file, and keeps it while waiting.
"""

import errno
import fcntl
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from huks_async.model.errors import BusinessError
from huks_async.runtime.forks import tell_after_fork

_HAS_TURNSTILE = hasattr(fcntl, "F_OFD_SETLK")
_FLOCK = struct.Struct("hhqqi4x")


class CommitLock:
    """Takes the lock file of one database for one store object. Several of its threads may wait at once.

    Args:
        path: the database, as an absolute path without symbolic links.
        address: the store's address for messages.

    """

    def __init__(self, path: str, address: str) -> None:
        self.path = f"{path}.lock"
        self._database = path
        self._address = address
        self._state = threading.Lock()
        self._held: set[int] = set()
        self._spare: int | None = None
        self._waiting: list[_Wait] = []
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Close the child's copies, which would hold the lock for as long as the child lives."""
        self._state = threading.Lock()
        for descriptor in self._held:
            # a number that was closed in the moment of the fork may be another file's by now
            if self._is_current(descriptor):
                os.close(descriptor)
        self._held.clear()
        self._spare = None
        self._waiting.clear()

    @contextmanager
    def held(self, timeout: float) -> Iterator[None]:
        """Hold the lock for a block.

        Args:
            timeout: seconds to wait for it at most.

        Raises:
            BusinessError: 12000004 when it is not had in time.
            OSError: its file cannot be opened or locked.

        """
        descriptor = self._acquire(time.monotonic() + timeout, timeout)
        try:
            yield
        finally:
            self._release(descriptor)

    def remove(self) -> None:
        """Remove the file, while holding it. Whoever waits for it notices and makes a new one."""
        with suppress(OSError):
            os.unlink(self.path)

    def close(self) -> None:
        """Close what is kept open between two uses."""
        with self._state:
            spare, self._spare = self._spare, None
        if spare is not None:
            self._close(spare)

    def _acquire(self, deadline: float, timeout: float) -> int:
        while True:
            descriptor = self._take(deadline)
            if descriptor is None:
                raise BusinessError(
                    12000004,
                    f"the store {self._address} was held by {holder(self.path)} for longer than the busy timeout "
                    f"of {timeout:g} s; nothing of this call was acknowledged; wait until that process goes on or "
                    "end it, and try again",
                )
            if self._is_current(descriptor):
                return descriptor
            self._release(descriptor)  # the file was removed or replaced while we waited

    def _take(self, deadline: float) -> int | None:
        wait = self._adopt()
        if wait is None:
            descriptor = self._open()
            try:
                if _take_at_once(descriptor):
                    return descriptor
                wait = _Wait(self, descriptor)
            except BaseException:
                self._close(descriptor)
                raise
            with self._state:
                self._waiting.append(wait)
        return wait.outcome(deadline - time.monotonic())

    def _adopt(self) -> "_Wait | None":
        """Give a thread that still waits for a caller who gave up."""
        with self._state:
            for wait in self._waiting:
                if wait.adopt():
                    return wait
        return None

    def forget(self, wait: "_Wait") -> None:
        """Called by a thread that has ended."""
        with self._state, suppress(ValueError):
            self._waiting.remove(wait)

    def _open(self) -> int:
        """Open the file anew, so that a process forked by C code while nothing is held has no copy that counts."""
        try:
            descriptor = self._open_or_make()
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            with self._state:
                spare, self._spare = self._spare, None
            if spare is None:
                raise
            return spare
        with self._state:
            self._held.add(descriptor)
        return descriptor

    def _open_or_make(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        while True:
            with suppress(FileNotFoundError):
                return os.open(self.path, flags)
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
        """Give the file the database's mode, and its owner where we may, so that its other users can lock it."""
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

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except OSError:
            return False

    def _release(self, descriptor: int) -> None:
        # said in words, not by closing: a copy in a forked child would keep the lock
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        with self._state:
            if self._spare is None and descriptor in self._held:
                # when this process has no descriptors left, the next lock is taken through this one
                self._spare = descriptor
                return
        self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        with self._state:
            known = descriptor in self._held
            self._held.discard(descriptor)
        if known:
            os.close(descriptor)

    def drop(self, descriptor: int) -> None:
        """Give a lock back that nobody wants any more."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        self._close(descriptor)


class _Wait:
    """A thread that waits for the lock."""

    def __init__(self, lock: CommitLock, descriptor: int) -> None:
        self._lock = lock
        self._descriptor = descriptor
        self._state = threading.Lock()
        self._ended = threading.Event()
        self._wanted = True
        self._error: OSError | None = None
        try:
            threading.Thread(target=self._run, name="huks-store-lock", daemon=True).start()
        except RuntimeError as error:
            raise BusinessError(
                12000014,
                f"the system gives no thread to wait for the store ({error}); raise its limit of threads",
            ) from None

    def outcome(self, timeout: float) -> int | None:
        """Give the descriptor that holds the lock, None after `timeout` seconds without it."""
        self._ended.wait(max(timeout, 0.0))
        with self._state:
            if not self._ended.is_set():
                self._wanted = False
                return None
        if self._error is not None:
            raise self._error
        return self._descriptor

    def adopt(self) -> bool:
        """Want the lock again, if it was given up and is still waited for."""
        with self._state:
            if self._wanted or self._ended.is_set():
                return False
            self._wanted = True
            return True

    def _run(self) -> None:
        error: OSError | None = None
        try:
            _set_turnstile(self._descriptor, fcntl.F_WRLCK, wait=True)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            finally:
                _set_turnstile(self._descriptor, fcntl.F_UNLCK, wait=True)
        except OSError as caught:
            error = caught
        self._lock.forget(self)
        with self._state:
            self._error = error
            self._ended.set()
            wanted = self._wanted
        if error is not None or not wanted:
            with suppress(OSError):
                self._lock.drop(self._descriptor)


def _take_at_once(descriptor: int) -> bool:
    if not _set_turnstile(descriptor, fcntl.F_WRLCK, wait=False):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False  # the turnstile is kept: the next one to have the lock are we
    _set_turnstile(descriptor, fcntl.F_UNLCK, wait=False)
    return True


def _set_turnstile(descriptor: int, kind: int, *, wait: bool) -> bool:
    if not _HAS_TURNSTILE:
        return True
    command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    try:
        fcntl.fcntl(descriptor, command, _FLOCK.pack(kind, os.SEEK_SET, 0, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def holder(path: str) -> str:
    """Say who holds the lock of a file, as far as this system tells."""
    try:
        found = os.stat(path)
        place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        with open("/proc/locks", encoding="ascii") as locks:
            owners = [
                int(words[4]) for words in map(str.split, locks) if words[1] == "FLOCK" and words[5] == place
            ]
        process = owners[0]
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
    except (OSError, ValueError, IndexError):
        return "another process"
    stopped = " (stopped)" if rest.split()[:1] in (["T"], ["t"]) else ""
    return f"process {process} {name!r}{stopped}"
