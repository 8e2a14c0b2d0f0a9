"""A bounded number of processes, for calls that a worker thread cannot run.

These are long calls, because a thread cannot be ended from outside, and calls that hold the interpreter's lock,
because they would stop the event loop even from another thread.
"""

import os
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, cast

import anyio
import anyio.lowlevel

from huks_async.model.errors import BusinessError
from huks_async.runtime.closing import stop_if_abandoned

T = TypeVar("T")
Args = TypeVarTuple("Args")

LONG_SECONDS = 1.0
"""Work that is estimated to take longer runs in a process, which can be ended. For shorter work, a thread is soon
free again, and starting a process, some 0.2 s, would be a noticeable part of the work."""

_STOP_SECONDS = 10.0


class ProcessPool:
    """Runs calls in processes of their own, a bounded number at once, until it is closed.

    Short and long calls are limited separately, so that a few long ones do not keep all others waiting. The pool
    belongs to the event loop in which it is first used.

    Args:
        size: the most processes for short calls, and also the most for long calls.
        owner: the name of what the pool is closed with, for messages.

    """

    def __init__(self, size: int, owner: str) -> None:
        self._size = size
        self._places: dict[bool, anyio.Semaphore] = {}
        self._owner = owner
        self._scopes: set[anyio.CancelScope] = set()
        self._running = 0
        self._closed = False
        self._empty: anyio.Event | None = None

    @property
    def running(self) -> int:
        """How many processes run."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many calls wait for a process."""
        return len(self._scopes) - self._running

    async def run(self, seconds: float, function: Callable[[*Args], T], *args: *Args) -> T:
        """Call `function(*args)` in a process of its own and give its result, or raise its exception.

        Function, arguments and result are pickled: the function must be importable. A process lives for one
        call. When this await is cancelled, or the pool is closed, the process is killed, and the await ends
        once the process is gone.

        Args:
            seconds: the estimate of the time that the call takes.
            function: the function to call.
            args: its arguments.

        Raises:
            BusinessError: 12000005 when the process could not be started or died, 12000014 if the system
                has no memory or no process left, 12000012 when the pool is closed, before or meanwhile.
            GeneratorExit: in a coroutine that may not wait; the call is not made.

        """
        stop_if_abandoned()
        from huks_async.runtime.processes import call_in_process  # late: many services start no process

        if self._closed:
            raise self._end_of(function)
        answer: tuple[T | None, Exception | None] | None = None
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                async with self._places_of(long=seconds > LONG_SECONDS):
                    self._running += 1
                    try:
                        answer = await call_in_process(function, args)
                    finally:
                        self._running -= 1
            finally:
                self._scopes.discard(scope)
                if self._empty is not None and not self._scopes:
                    self._empty.set()
        if answer is None:
            raise self._end_of(function)
        value, error = answer
        if error is not None:
            raise error
        return cast("T", value)

    def _places_of(self, *, long: bool) -> "anyio.Semaphore":
        places = self._places.get(long)
        if places is None:
            places = self._places[long] = anyio.Semaphore(self._size)
        return places

    def close(self) -> None:
        """End all calls, which raise 12000012; await `ended` afterwards. Can be called twice."""
        self._closed = True
        for scope in self._scopes:
            scope.cancel()

    def forget(self) -> None:
        """Forget the running calls: the event loop that would have seen their end has ended itself."""
        self._scopes.clear()

    async def ended(self) -> None:
        """Wait until all processes are gone. A killed process is gone at once, unless the kernel is stuck."""
        if self._scopes:
            self._empty = anyio.Event()
            with anyio.move_on_after(_STOP_SECONDS):
                await self._empty.wait()

    def _end_of(self, function: Callable[..., object]) -> BusinessError:
        from huks_async.runtime.processes import name_of

        return BusinessError(
            12000012, f"{self._owner} was closed, and the process for {name_of(function)} with it"
        )


_shared: anyio.lowlevel.RunVar[ProcessPool] = anyio.lowlevel.RunVar("huks_async processes")


async def run_in_process(seconds: float, function: Callable[[*Args], T], *args: *Args) -> T:
    """Do as `ProcessPool.run` does, with one pool per event loop. For calls that belong to no keystore."""
    try:
        pool = _shared.get()
    except LookupError:
        pool = ProcessPool(os.cpu_count() or 1, "the event loop")
        _shared.set(pool)
    return await pool.run(seconds, function, *args)
