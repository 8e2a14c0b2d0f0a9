"""Calls that the threads of a pool and the event loop take from one queue, with results in order.

A hop to a thread and back costs as much as the encryption of a chunk, and all threads wait for one lock, the
interpreter's. So a thread that has begun goes on with the next call as long as there is one, nobody wakes an event
loop that does not wait, there is one thread less than the pool has, and the event loop works itself where it could
only wait.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from time import perf_counter, sleep, thread_time
from typing import Generic, TypeVar

from huks_async.files.sources import Turns
from huks_async.runtime.closing import stop_if_abandoned
from huks_async.runtime.jobs import PAUSE, Call, Waiter, current_home
from huks_async.runtime.taking import taking
from huks_async.runtime.workers import WorkerPool

T = TypeVar("T")

_DEAR_SECONDS = 0.001
_MOST_DEAR = 3
"""After so many calls in a row that took that much processor time, the event loop makes no more of them, because
other tasks would wait for it. A single one may only have been disturbed."""

_CALLS_IN_A_ROW = 4
"""How many calls a thread makes before it looks whether other work of the pool waits for a thread."""


class SharedWork(Generic[T]):
    """A queue of calls; for one task of one event loop.

    Args:
        pool: its threads make calls.
        turns: lets other tasks of the event loop run between the calls that the loop makes.
    """

    __slots__ = (
        "_awaited",
        "_dear",
        "_helpers",
        "_home",
        "_lock",
        "_order",
        "_pool",
        "_todo",
        "_turns",
        "_waiter",
        "most_helpers",
    )

    def __init__(self, pool: WorkerPool, turns: Turns) -> None:
        self._pool = pool
        self._turns = turns
        self.most_helpers: int = max(1, pool.size - 1)
        """How many threads work on this at most, beside the event loop."""
        self._order: deque[Call[T]] = deque()
        self._todo: deque[Call[T]] = deque()
        self._lock = threading.Lock()
        self._helpers = 0
        self._dear = 0
        self._home = current_home(None)
        self._awaited: Call[T] | None = None
        self._waiter: Waiter | None = None

    def __len__(self) -> int:
        """How many calls were added whose results were not taken."""
        return len(self._order)

    def add(self, function: Callable[[], T]) -> None:
        """Add a call.

        Raises:
            BusinessError: 12000012 when the pool is closed or was made before a fork.
        """
        self._pool.check_open()
        call = Call(function)
        self._order.append(call)
        self._todo.append(call)
        # A further helper is worth its hop when more calls wait than helpers will be free for soon. This is a guess
        # without the lock, as a helper may be about to leave; whoever waits for the call looks exactly.
        if len(self._todo) > self._helpers < self.most_helpers:
            self._call_helper()

    def results(self) -> Iterator[T]:
        """Take the results that are there, in order, up to the first call that has not been made; or raise its error."""
        order = self._order
        while order and order[0].has_run:
            yield order.popleft().value()

    async def reach_first(self) -> None:
        """Wait until the oldest call has been made. Meanwhile the event loop makes calls, too."""
        call = self._order[0]
        while not call.has_run:
            if perf_counter() > self._turns.turn_ends and self._turns.is_due():
                await self._turns.give_turn()
            elif not self._work_here():
                await self._wait(call)

    def drop(self) -> None:
        """Forget all calls. Those that have begun end, and nobody waits for them."""
        # without the lock, which the child of a fork may find held for ever
        self._todo.clear()
        self._order.clear()

    def wake(self) -> None:
        """Let the task look again. Called in the event loop."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _work_here(self) -> bool:
        if self._dear >= _MOST_DEAR:
            return False
        try:
            call = self._todo.popleft()
        except IndexError:
            return False
        began = thread_time()
        call.execute()
        self._dear = self._dear + 1 if thread_time() - began > _DEAR_SECONDS else 0
        return True

    async def _wait(self, call: Call[T]) -> None:
        stop_if_abandoned()
        self._pool.check_open()
        self._waiter = self._home.new_waiter()
        # The order matters. Here the call is named before the look whether it was made and whether a helper is there;
        # a helper says that it was made, or that it leaves, before it looks which call is named. So either this sees
        # what the helper has said, or the helper sees that it must wake the task.
        self._awaited = call
        try:
            self._call_helper()
            if not call.has_run:
                await self._waiter
        finally:
            self._awaited = None

    def _call_helper(self) -> None:
        for _ in taking(self._lock):
            try:
                if not self._todo or self._helpers >= self.most_helpers:
                    return
                self._helpers += 1
            finally:
                self._lock.release()
            break
        try:
            self._pool.start(self._help)
        except BaseException:
            for _ in taking(self._lock):
                try:
                    self._helpers -= 1
                finally:
                    self._lock.release()
                break
            raise

    def _help(self) -> None:
        """Make calls in a thread."""
        calls, call, leaves = 0, None, False
        error: BaseException | None = None
        while True:
            # Where memory runs out for a moment, the handler only keeps that, and the next round does what is left.
            try:
                if error is not None:
                    sleep(PAUSE)
                    if call is not None:
                        call.settle_late(error)
                # when this leaves, the task may wait for a call that nobody makes now
                if self._awaited is not None and (leaves or self._awaited is call):
                    self._home.hand_in(self)
                error = None
                if leaves:
                    return
                call = self._next(calls)
                if call is None:
                    leaves = True
                else:
                    call.execute()
                    calls += 1
            except BaseException as failure:
                error = failure

    def _next(self, calls: int) -> Call[T] | None:
        # no `with`, whose end may need memory; and no `taking`, because no thread but the main one handles signals
        self._lock.acquire()
        try:
            call = None
            if calls < _CALLS_IN_A_ROW or not self._pool.is_crowded:
                # not with `suppress`, whose end may need memory, without which the call would be lost
                try:
                    call = self._todo.popleft()
                except IndexError:
                    call = None
            if call is None:
                self._helpers -= 1
            return call
        finally:
            self._lock.release()
