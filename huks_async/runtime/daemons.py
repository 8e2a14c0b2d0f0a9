"""Threads of the library, whose start tells when the new thread has died."""

import threading
import weakref
from collections.abc import Callable
from typing import Any

_GLANCE = 0.01
"""Seconds between two looks whether a thread that has not begun yet is still alive."""


class DaemonThread(threading.Thread):
    """A thread that does not outlive the process, and whose `start` does not wait for a thread that has died.

    `Thread.start` waits until the new thread says that it runs. A thread that gets no memory before that ends without
    a word, and whoever started it, an event loop maybe, would stand still for ever.

    Args:
        work: what the thread does.
        args: what it is given.
        name: for debuggers.

    """

    def __init__(
        self, work: Callable[..., object], args: tuple[Any, ...] = (), name: str | None = None
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._started = self._beginning = _Beginning()
        self._ticket = [None]
        self._work = work
        self._work_args = args
        self.is_revoked: bool = False
        """Whether `start` has failed and the work is not and will not be done."""

    @property
    def _bootstrap(self) -> Callable[[], None]:
        # what the interpreter calls in the new thread, made for it alone, so that it ends with the thread
        entry: Callable[[], None] = vars(threading.Thread)["_bootstrap"].__get__(self)
        self._beginning.entry = weakref.ref(entry)
        return entry

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: the system gives none, or no memory for it.

        """
        try:
            super().start()
        except BaseException as error:
            # whoever takes the ticket decides whether the work is done
            try:
                self._ticket.pop()
            except IndexError:
                if isinstance(error, Exception):
                    return  # the thread works, and only the waiting for it went wrong
                raise error from None
            self.is_revoked = True
            if self._beginning.was_missed:
                # or it would be listed as a thread for ever
                vars(threading).get("_limbo", {}).pop(self, None)
            if isinstance(error, MemoryError):
                raise RuntimeError("no memory for a new thread") from error
            raise

    def run(self) -> None:
        """Do the work, unless it was revoked. Needs no memory from where it tells that the thread has begun."""
        self._beginning.tell()
        try:
            self._ticket.pop()
        except IndexError:
            return
        try:
            self._work(*self._work_args)
        finally:
            del self._work, self._work_args  # which may refer to this


class _Beginning(threading.Event):
    """What `Thread.start` waits for: here the first step of `run`, or the end of the thread before it."""

    def __init__(self) -> None:
        super().__init__()
        self.entry: weakref.ref[Callable[[], None]] | None = None
        self.was_missed = False
        self._closed = threading.Lock()
        self._closed.acquire()

    def tell(self) -> None:
        """End the waiting. Needs no memory."""
        self._closed.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the first step.

        Raises:
            RuntimeError: the thread has ended before.

        """
        while not self._closed.acquire(timeout=_GLANCE if timeout is None else timeout):
            if timeout is not None:
                return False
            ended = self.entry is not None and self.entry() is None
            if ended and not self._closed.acquire(blocking=False):
                self.was_missed = True
                raise RuntimeError("no memory for a new thread")
            if ended:
                break
        self._closed.release()
        return True
