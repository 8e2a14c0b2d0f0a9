"""The lock around each commit, checkpoint, opening and close of a database, among all processes.

SQLite waits for its own write lock by sleeping ever longer, so writers starve; and versions before 3.51.3
can lose a commit that meets a checkpoint of another process. A single kernel lock around commits and checkpoints
prevents both.

The lock is `flock` on a file beside the database, so the kernel releases it when its holder dies. A thread that
waits for it cannot be told to stop waiting, so this object has a thread of its own to wait: once it has the lock,
it calls the caller's function, unless the caller has given up meanwhile.

A caller that finds the lock free takes it even if others wait: handing it to a sleeping process would leave it
unused until that process has woken up. But a caller that has waited for long closes a turnstile, which is another
lock on the same file; then newcomers wait in the kernel's queue behind it.
"""

import errno
import fcntl
import os
import queue
import struct
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from huks_async.model.errors import BusinessError
from huks_async.runtime.forks import tell_after_fork

R = TypeVar("R")

_HAS_TURNSTILE = hasattr(fcntl, "F_OFD_SETLK")
_FLOCK = struct.Struct("hhqqi4x")
_TURNSTILE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
"""The first byte of the file, whose exclusive lock closes the turnstile."""
_LONG = 0.01
"""Seconds of waiting after which a caller closes the turnstile."""


class CommitLock:
    """Calls functions under the lock of one database, for one store object; its threads may do so at the same time.

    Args:
        path: the database, as an absolute path without symbolic links.
        address: the store's address for messages.

    """

    def __init__(self, path: str, address: str) -> None:
        self._address = address
        self._file = LockFile(path)
        self._state = threading.Lock()
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        # a store that is garbage-collected without being closed must not leave the thread and the descriptor behind
        weakref.finalize(self, _forget, self._file, self._requests, os.getpid()).atexit = False
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Forget the thread, which stayed in the parent."""
        self._state = threading.Lock()
        self._requests = queue.SimpleQueue()
        self._thread = None

    def call(self, function: Callable[[], R], timeout: float) -> R:
        """Call `function()` while holding the lock, and return its result or raise its exception.

        Args:
            function: may be called in another thread.
            timeout: seconds to wait for the lock at most.

        Raises:
            BusinessError: 12000004 when the lock is not acquired in time; 12000014 when the system gives no thread
                to wait for it.
            OSError: the lock's file cannot be opened or locked.

        """
        descriptor = self._file.take_at_once()
        if descriptor is not None:
            try:
                return function()
            finally:
                self._file.release(descriptor)
        request = _Request(function)
        with self._state:
            if self._thread is None:
                self._start()
            self._requests.put(request)
        self._wait(request, timeout)
        if request.error is not None:
            raise request.error
        return cast("R", request.result)

    def _wait(self, request: "_Request", timeout: float) -> None:
        deadline = time.monotonic() + timeout
        turnstile: int | None = None
        try:
            while not request.ended.wait(min(_LONG, max(deadline - time.monotonic(), 0.0))):
                if time.monotonic() >= deadline:
                    if request.give_up():
                        raise self._timed_out(timeout)
                    request.ended.wait()  # the function is running under the lock, so its outcome must be awaited
                    return
                if turnstile is None:
                    with suppress(OSError):
                        turnstile = self._file.close_turnstile()
        finally:
            if turnstile is not None:
                _close(turnstile)

    def _timed_out(self, timeout: float) -> BusinessError:
        return BusinessError(
            12000004,
            f"the store {self._address} was held by {holder(self._file.path)} for longer than the busy timeout of "
            f"{timeout:g} s; nothing of this call was acknowledged; wait until that process goes on or end it, and "
            "try again",
        )

    def _start(self) -> None:
        thread = threading.Thread(
            target=_serve, args=(self._file, self._requests), name="huks-store-lock", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            raise BusinessError(
                12000014,
                f"the system gives no thread to wait for the store ({error}); raise its limit of threads",
            ) from None
        self._thread = thread

    def remove_file(self) -> None:
        """Remove the lock's file, while holding the lock. Those who wait for it notice and make a new one."""
        with suppress(OSError):
            os.unlink(self._file.path)

    def close(self) -> None:
        """Let the thread end as soon as it waits no more, and close the descriptor that is kept open."""
        with self._state:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._requests.put(None)
        self._file.close_spare()


class _Request:
    """A function to be called under the lock, and its outcome."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.ended = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        self._function = function
        self._state = threading.Lock()
        self._open = True

    @property
    def given_up(self) -> bool:
        """Whether the caller no longer wants the function called."""
        return not self._open

    def give_up(self) -> bool:
        """Prevent the call of the function; False if it was called already or is being called."""
        return self._decide()

    def serve(self, file: "LockFile") -> None:
        """Wait for the lock and call the function, unless it was given up meanwhile."""
        try:
            descriptor = file.take()
        except OSError as error:
            if self._decide():
                self.error = error
                self.ended.set()
            return
        try:
            wanted = self._decide()
            if wanted:
                self.result = self._function()
        except BaseException as error:
            self.error = error
        finally:
            file.release(descriptor)
        if wanted:
            self.ended.set()

    def _decide(self) -> bool:
        with self._state:
            decided, self._open = self._open, False
        return decided


def _forget(file: "LockFile", requests: "queue.SimpleQueue[_Request | None]", process: int) -> None:
    if os.getpid() == process:
        requests.put(None)
        file.close_spare()


def _serve(file: "LockFile", requests: "queue.SimpleQueue[_Request | None]") -> None:
    while (request := requests.get()) is not None:
        if not request.given_up:
            request.serve(file)
        del request  # so that an idle thread does not keep the last result alive


class LockFile:
    """The file that is locked: made beside the database, opened anew for each use."""

    def __init__(self, database: str) -> None:
        self.path: str = f"{database}.lock"
        self._database = database
        self._state = threading.Lock()
        self._open: set[int] = set()
        self._spare: int | None = None
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Close the child's copies of the descriptors, which would hold the lock for as long as the child lives."""
        self._state = threading.Lock()
        for descriptor in self._open:
            # a descriptor that was closed just before the fork may have become another file's since
            if self._is_current(descriptor):
                os.close(descriptor)
        self._open.clear()
        self._spare = None

    def take_at_once(self) -> int | None:
        """Take the lock if it is free and nobody has waited for long; return the descriptor that holds it."""
        while True:
            descriptor = self._descriptor()
            try:
                taken = _passes_turnstile(descriptor) and _flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if taken and self._is_current(descriptor):
                    return descriptor
            except BaseException:
                self.release(descriptor)
                raise
            self.release(descriptor)
            if not taken:
                return None

    def take(self) -> int:
        """Wait for the lock; return the descriptor that holds it."""
        while True:
            descriptor = self._descriptor()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except BaseException:
                self.release(descriptor)
                raise
            if self._is_current(descriptor):
                return descriptor
            self.release(descriptor)  # the file was removed or replaced while we waited

    def release(self, descriptor: int) -> None:
        """Release the lock."""
        # Unlocked explicitly, because closing is not enough: a copy of the descriptor in a child would keep the lock.
        let_go = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        except OSError:  # the file system has gone, so the descriptor can only be closed
            let_go = False
        with self._state:
            if let_go and self._spare is None:
                # kept, so that the lock can be taken even when this process can open no more descriptors
                self._spare = descriptor
                return
            # Removed from the set before it is closed, so that a forked child cannot find it there when its number
            # already belongs to another file.
            self._open.discard(descriptor)
        _close(descriptor)

    def close_turnstile(self) -> int | None:
        """Keep newcomers from taking the lock before those who wait, until the returned descriptor is closed."""
        if not _HAS_TURNSTILE:
            return None
        descriptor = self._open_or_make()
        if _set_turnstile(descriptor, fcntl.F_OFD_SETLK, fcntl.F_WRLCK):
            return descriptor
        _close(descriptor)  # somebody else keeps it closed
        return None

    def close_spare(self) -> None:
        """Close the descriptor that is kept open between two uses."""
        with self._state:
            spare, self._spare = self._spare, None
            if spare is None:
                return
            self._open.discard(spare)
        _close(spare)

    def _descriptor(self) -> int:
        # Opened anew each time, so that a child that C code forks while nothing is locked gets no descriptor that
        # could hold the lock.
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

    def _is_current(self, descriptor: int) -> bool:
        try:
            held, named = os.fstat(descriptor), os.stat(self.path)
        except OSError:
            return False
        return held.st_ino == named.st_ino and held.st_dev == named.st_dev


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


def _set_turnstile(descriptor: int, command: int, kind: int) -> bool:
    try:
        fcntl.fcntl(descriptor, command, _FLOCK.pack(kind, os.SEEK_SET, 0, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def holder(path: str) -> str:
    """Say which process holds the lock of a file, as far as the system tells."""
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


def _close(descriptor: int) -> None:
    """Close a descriptor. An error is ignored, because the system frees the descriptor all the same."""
    try:
        os.close(descriptor)
    except OSError:
        return
