"""A piece of work that leaves the event loop, and the way its result comes back."""

import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Generic, Protocol, TypeVar

import anyio
import anyio.lowlevel

from huks_async.runtime.loops import asyncio_loop

T = TypeVar("T")

PAUSE = 0.02
"""Seconds after which a worker tries again what it had no memory for."""

_LOST = 1.0
"""Seconds after which a call that was posted to a loop is taken for lost: asyncio drops one that it has no memory for."""


class Waiter(Protocol):
    """What a task waits on: an `asyncio.Future`, or its equivalent for other event loops."""

    def done(self) -> bool:
        """Tell whether it was woken or cancelled."""

    def set_result(self, result: None, /) -> None:
        """Wake the task."""

    def __await__(self) -> Generator[Any, Any, None]: ...


class Wakeable(Protocol):
    """What a loop is told of: a job that has finished, or something else that a task waits for."""

    def wake(self) -> None:
        """Wake the task that waits, if it is still waiting. Called in the event loop."""


class _EventWaiter:
    """A waiter for event loops that are not asyncio's."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def done(self) -> bool:
        return self._event.is_set()

    def set_result(self, result: None, /) -> None:
        self._event.set()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._event.wait().__await__()


class Home:
    """An event loop whose tasks wait for jobs. Jobs that finish close together share one wake-up."""

    __slots__ = ("_finished", "_posted", "key", "new_waiter", "post")

    def __init__(
        self, key: object, post: Callable[[Callable[[], None]], object], new_waiter: Callable[[], Waiter]
    ):
        self.key: object = key
        self.new_waiter: Callable[[], Waiter] = new_waiter
        self.post: Callable[[Callable[[], None]], object] = post
        """Has a function called in the event loop, from any thread; RuntimeError where that has ended."""
        self._finished: deque[Wakeable] = deque()
        self._posted = 0.0  # when; 0 if nothing is

    def hand_in(self, *jobs: Wakeable) -> None:
        """Return finished jobs to this loop, from any thread. Jobs that finish together should be passed together."""
        # The order matters. Here jobs are appended before the flag is read; in _wake_all the flag is cleared before
        # the queue is read. So a job is either seen by a call of _wake_all that is posted already, or posts one.
        while True:
            try:
                self._finished.extend(jobs)
                jobs = ()
                if not self._posted or time.monotonic() - self._posted > _LOST:
                    self._post_once()
            except MemoryError:
                time.sleep(PAUSE)
            else:
                return

    def _post_once(self) -> None:
        self._posted = time.monotonic()
        try:
            self.post(self._wake_all)
        except RuntimeError:  # the loop is closed, so no task waits any more
            self._posted = 0.0
            self._finished.clear()
        except BaseException:
            self._posted = 0.0  # nobody else would post
            raise

    def _wake_all(self) -> None:
        self._posted = 0.0
        finished = self._finished
        while finished:
            job = finished.popleft()
            try:
                job.wake()
            except BaseException:
                finished.appendleft(job)
                self._post_once()  # the others must not wait for the next job that ends
                raise


def current_home(known: Home | None) -> Home:
    """Return the home for the running event loop: `known` if it belongs to that loop, else a new one."""
    loop = asyncio_loop()
    if loop is not None:
        if known is not None and known.key is loop:
            return known
        return Home(loop, loop.call_soon_threadsafe, loop.create_future)
    native: Any = anyio.lowlevel.current_token().native_token
    if known is not None and known.key is native:
        return known
    return Home(native, native.run_sync_soon, _EventWaiter)


class Call(Generic[T]):
    """A call that is made once, in any thread, and what came of it."""

    __slots__ = ("_args", "_function", "error", "has_run", "result")

    result: T

    def __init__(self, function: Callable[..., T] | None, args: tuple[Any, ...] = ()) -> None:
        self.error: BaseException | None = None
        self.has_run: bool = False
        """Whether `execute` has ended; to be read in any thread."""
        self._function = function
        self._args = args

    def execute(self) -> None:
        """Make the call, and keep its result or exception."""
        function, args = self._function, self._args
        assert function is not None
        self._function, self._args = None, ()
        try:
            self.result = function(*args)
        except BaseException as error:
            self.error = error
            self.has_run = True
            # The error's traceback refers to this frame. Without this, call and error would keep each other alive.
            del self, function, args
        else:
            self.has_run = True

    def settle(self, outcome: T | BaseException) -> None:
        """Keep an outcome that the caller determined: an exception is to be raised, anything else is the result."""
        if isinstance(outcome, BaseException):
            self.error = outcome
        else:
            self.result = outcome

    def settle_late(self, error: BaseException) -> None:
        """Keep what went wrong around the call, unless there is an outcome."""
        if self.error is None and not hasattr(self, "result"):
            self.error = error
        self.has_run = True

    def value(self) -> T:
        """Give the result, or raise the exception; once."""
        # The exception's traceback also refers to frames that know this call.
        error, self.error = self.error, None
        if error is None:
            return self.result
        try:
            raise error
        finally:
            del error, self


class Job(Call[T]):
    """One call that waits for a worker, runs, or has run.

    A job has one ticket, and the first to take it decides what happens: a worker takes it to run the job, the
    waiting task takes it to drop the job when it is cancelled.
    """

    __slots__ = ("_ticket", "_waiter", "finished", "home")

    def __init__(self, home: Home, function: Callable[..., T] | None, args: tuple[Any, ...]) -> None:
        super().__init__(function, args)
        self.home: Home = home
        self.finished: bool = False
        self._ticket = [None]
        self._waiter = home.new_waiter()

    def take(self) -> bool:
        """Take the ticket; False when it is gone. Called from any thread."""
        try:
            self._ticket.pop()  # atomic, and far cheaper than a lock for each job
        except IndexError:
            return False
        return True

    def take_back(self) -> bool:
        """Take the ticket for the waiting task, so that the job never runs; False when it has begun."""
        if not self.take():
            return False
        # No worker will ever hand the job in, so whoever still waited for its end would wait for ever.
        self.finished = True
        return True

    @property
    def waits(self) -> bool:
        """Whether nobody has taken the ticket yet."""
        return bool(self._ticket)

    @property
    def is_call(self) -> bool:
        """Whether the job is a function to call; otherwise it is a request to the handler of a `BatchWorker`."""
        return self._function is not None

    def request(self) -> Any:
        """Give the only argument of a request."""
        (request,) = self._args
        self._args = ()
        return request

    def wake(self) -> None:
        """Wake the task that waits, if it is still waiting. Called in the event loop."""
        self.finished = True
        if not self._waiter.done():
            self._waiter.set_result(None)

    async def outcome(
        self, *, shield: bool, drop: bool = True, when_cancelled: Callable[[], object] | None = None
    ) -> T:
        """Wait for the job and give its result, or raise what it raised.

        Args:
            shield: when cancelled while the job runs, wait for its end; if False, it ends unobserved.
            drop: when cancelled before the job has begun, drop it; if False, treat it like a running one.
            when_cancelled: called first when this is cancelled, to tell a long job that it may stop.

        """
        try:
            await self._waiter
        except GeneratorExit:  # the coroutine is being discarded, so it must not await again
            if when_cancelled is not None:
                when_cancelled()
            if drop:
                self.take_back()
            raise
        except BaseException:
            if when_cancelled is not None:
                when_cancelled()
            if not (drop and self.take_back()) and shield:
                await self._end()
            raise
        return self.value()

    async def drop(self) -> None:
        """Give the job up: wait for its end if it has begun, also when cancelled; its outcome is discarded.

        For the only task that waits for the job. The job may have been given up before, by a cancelled `outcome` too.
        """
        if not self.finished and not self.take_back():
            cancelled = await self._end()
            if cancelled is not None:
                raise cancelled

    async def _end(self) -> BaseException | None:
        """Wait for the end, and return the last cancellation that came meanwhile."""
        # the shielded scope keeps out anyio's cancellation; the loop goes on after Task.cancel(), which ignores shields
        cancelled: BaseException | None = None
        with anyio.CancelScope(shield=True):
            while not self.finished:
                self._waiter = self.home.new_waiter()
                try:
                    await self._waiter
                except anyio.get_cancelled_exc_class() as error:
                    cancelled = error
        return cancelled
