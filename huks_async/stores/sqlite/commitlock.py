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

import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from huks_async.model.errors import BusinessError
from huks_async.runtime.daemons import DaemonThread
from huks_async.runtime.forks import tell_after_fork
from huks_async.runtime.stops import Check, wanted
from huks_async.stores.sqlite.lockfile import LockFile, holder

R = TypeVar("R")

_LONG = 0.01
"""Seconds of waiting after which a caller closes the turnstile."""
_LONGEST = 0.5
"""Seconds between two tries of a caller who finds it closed by others; many who try often hold each other up."""


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
        self._lines: list[_Line] = []
        """The line that callers wait in; none until somebody has to wait."""
        # a store that is garbage-collected without being closed must not leave the thread and the descriptor behind
        weakref.finalize(self, _forget, self._file, self._lines, os.getpid()).atexit = False
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Forget the thread, which stayed in the parent."""
        self._state = threading.Lock()
        self._lines.clear()

    def call(
        self, function: Callable[[], R], timeout: float, *, told: float | None = None, check: Check = wanted
    ) -> R:
        """Call `function()` while holding the lock, and return its result or raise its exception.

        Args:
            function: may be called in another thread.
            timeout: seconds to wait for the lock at most.
            told: the busy timeout of which these are what is left, for the message; None if they are all of it.
            check: called twice a second or more often while the lock is waited for. What it raises ends the wait, unless
                the call of the function has begun.

        Raises:
            BusinessError: 12000004 when the lock is not acquired in time; 12000014 when the system gives no thread
                to wait for it.
            OSError: the lock's file cannot be opened or locked.

        """
        deadline: float | None = None
        while True:
            descriptor = self._file.take_at_once()
            if descriptor is not None:
                try:
                    return function()
                finally:
                    self._file.release(descriptor)
            if deadline is None:
                deadline = time.monotonic() + timeout
            request = _Request(function)
            if self._wait(request, self._join_line(request), deadline, check):
                if request.error is not None:
                    raise request.error
                return cast("R", request.result)
            if time.monotonic() >= deadline:
                raise self._timed_out(timeout if told is None else told)

    def _wait(self, request: "_Request", line: "_Line", deadline: float, check: Check) -> bool:
        """Wait until the request was served; False if it was given up, because it is too late or in a dead line."""
        turnstile: int | None = None
        pause = _LONG
        try:
            while not request.ended.wait(min(pause, max(deadline - time.monotonic(), 0.0))):
                if request.has_outcome:
                    return True
                check()
                pause = min(2 * pause, _LONGEST)
                if time.monotonic() >= deadline or self._is_dead(line):
                    if request.give_up():
                        return False
                    request.wait_for_end()
                    return True
                if turnstile is None:
                    with suppress(OSError):
                        turnstile = self._file.close_turnstile()
            return True
        except BaseException:  # no memory to wait with, or nobody wants it any more
            if request.give_up():
                raise
            request.wait_for_end()
            return True
        finally:
            if turnstile is not None:
                self._file.open_turnstile(turnstile)

    def _is_dead(self, line: "_Line") -> bool:
        """Whether a line's thread waits for a file that was removed, whose lock its holder may keep for ever."""
        with self._state:
            awaited = line.awaited
            if not line.dead and awaited is not None and not self._file.is_current(awaited):
                line.dead = True
                if line in self._lines:
                    self._lines.remove(line)
                    line.end()  # once it has the lock of that file
            return line.dead

    def _timed_out(self, timeout: float) -> BusinessError:
        who, what_helps = holder(self._file.path)
        return BusinessError(
            12000004,
            f"the store {self._address} was held by {who} for longer than the busy timeout of {timeout:g} s; nothing of "
            f"this call was acknowledged; {what_helps}, and try again",
        )

    def _join_line(self, request: "_Request") -> "_Line":
        with self._state:
            if not self._lines:
                line = _Line(self._file)
                try:
                    line.start()
                except RuntimeError as error:
                    raise BusinessError(
                        12000014,
                        f"the system gives no thread to wait for the store ({error}); raise its limit of threads or memory",
                    ) from None
                self._lines.append(line)
            line = self._lines[0]
            line.requests.put(request)
            return line

    def remove_file(self) -> None:
        """Remove the lock's file, while holding the lock. Those who wait for it notice and make a new one."""
        self._file.remove()

    def close(self) -> None:
        """Let the thread end as soon as it waits no more, and close the descriptor that is kept open."""
        with self._state:
            _end(self._lines)
        self._file.close_spare()


class _Line:
    """A thread that waits for the lock, and the requests that it serves in their order."""

    def __init__(self, file: LockFile) -> None:
        self.requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self.awaited: int | None = None
        """The descriptor whose lock the thread waits for now."""
        self.dead = False
        """Whether the file that the thread waits for was removed, so that its requests must be made anew."""
        self._file = file

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: the system gives none.

        """
        DaemonThread(self._serve, name="huks-store-lock").start()

    def end(self) -> None:
        """Let the thread end behind the requests that it has."""
        self.requests.put(None)

    def _serve(self) -> None:
        while True:
            request = None  # an idle thread must not keep the last result alive
            try:
                request = self.requests.get()
                if request is None:
                    return
                if not request.given_up:
                    request.serve(self._file, self._await)
            except BaseException:  # no memory for a moment; whoever waits gives up when it is time
                time.sleep(_LONG)

    def _await(self, descriptor: int | None) -> None:
        self.awaited = descriptor


class _Request:
    """A function to be called under the lock, and its outcome."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.ended = threading.Event()
        """Wakes whoever waits, if there is memory for that; `has_outcome` tells in any case."""
        self.has_outcome = False
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
        given_up = self._decide()
        if given_up:
            self._function = _nothing  # what it holds must not live as long as the thread may wait
        return given_up

    def wait_for_end(self) -> None:
        """Return once the function, which is running under the lock, has an outcome."""
        # Looked at again and again, because the thread may get no memory to wake whoever waits, or this one to wait.
        while not self.has_outcome:
            time.sleep(_LONG)

    def serve(self, file: LockFile, note: Callable[[int | None], None]) -> None:
        """Wait for the lock and call the function, unless it was given up meanwhile; `note` is told what for."""
        try:
            descriptor = file.take(note, lambda: self._open)
        except BaseException as error:
            if self._decide():
                self.error = error
                self._end()
            return
        if descriptor is None:
            return
        wanted = False
        try:
            wanted = self._decide()
            if wanted:
                self.result = self._function()
        except BaseException as error:
            self.error = error
        finally:
            try:
                file.release(descriptor)
            finally:
                if wanted:
                    self._end()

    def _end(self) -> None:
        self.has_outcome = True
        self.ended.set()

    def _decide(self) -> bool:
        # not by `with`, whose end may need memory, without which the lock would stay taken
        self._state.acquire()
        try:
            decided, self._open = self._open, False
        finally:
            self._state.release()
        return decided


def _nothing() -> None:
    return


def _end(lines: list[_Line]) -> None:
    while lines:
        lines.pop().end()


def _forget(file: LockFile, lines: list[_Line], process: int) -> None:
    if os.getpid() == process:
        _end(lines)
        file.close_spare()
