"""Where work runs: at once on the event loop, or in a worker thread, by what it costs.

The loop also stays responsive under many small calls: before a call works inline, it lets other tasks run
if none has had a turn for `TURN_SECONDS` and some wait for one.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable

import anyio

from huks_async.runtime.closing import abandoned
from huks_async.runtime.owner import Owner
from huks_async.runtime.process_pool import ProcessPool
from huks_async.runtime.rounds import other_rounds, others_wait
from huks_async.runtime.workers import WorkerPool

TURN_SECONDS = 0.0005
"""How long inline work may go on before other tasks get a turn. A timer is late by at most this time, however
many sessions are busy. Yielding by time instead of at each call keeps 0.9 of the raw throughput, not 0.7."""

_ROUNDS = 3
"""Rounds of the loop between two turns. With one round, the loop would notice a timer that expired during a turn
only after the next turn, and run its task only after the turn after that. With three, the second round notices
the timer and the third runs its task. The extra rounds are cheap: 2 µs each, beside 16 µs for the first."""

_LONGEST_SECONDS = 0.01
"""How long inline work may go on although nobody was seen to wait. It keeps the steps of a task as short as debuggers
and monitors of event loops expect them to be."""


class Dispatcher:
    """Runs the engine's work for one keystore.

    Attributes:
        pool: the worker threads.
        processes: worker processes, for calls that take too long for a thread.
        turn_ends: reading of `time.perf_counter()` from which `is_due` must be asked before more is done inline;
            0 if there was no turn yet.
    """

    __slots__ = (
        "_given",
        "_line",
        "_others_wait",
        "_owner",
        "_rounds",
        "_taken",
        "pool",
        "processes",
        "turn_ends",
    )

    def __init__(self, pool: WorkerPool, processes: ProcessPool, owner: Owner | None = None) -> None:
        self.pool: WorkerPool = pool
        self._owner = owner
        self.processes: ProcessPool = processes
        self.turn_ends: float = 0.0
        self._given = 0.0
        self._rounds: Callable[[], Awaitable[object]] | None = None
        self._others_wait: Callable[[], bool] | None = None
        self._taken = False
        # Calls that wait for their turn; they get it one by one. If all of them continued in the same round of
        # the loop, a timer would be late by as many turns as there are busy sessions.
        self._line: deque[anyio.Event] = deque()

    def is_due(self) -> bool:
        """Tell, after `turn_ends`, whether `give_turn` must be awaited. If not, the next turn has begun.

        A turn of the loop in which nobody runs takes 25 to 110 µs where the loop's own code and data have left the
        processor's caches; to see that nobody waits takes 1.
        """
        wait, now = self._others_wait, time.perf_counter()
        if wait is None or not self.turn_ends or now > self._given + _LONGEST_SECONDS or wait():
            return True
        self.turn_ends = now + TURN_SECONDS
        return False

    async def turn(self) -> None:
        """Let the other tasks run if one is due a turn. Calls that are made most often ask for themselves."""
        if time.perf_counter() > self.turn_ends and self.is_due():
            await self.give_turn()

    def check_owner(self) -> None:
        """Refuse a call that is not made where the keystore was opened.

        Raises:
            BusinessError: 12000012 in another event loop, thread or process than the keystore's.
        """
        if self._owner is not None:
            self._owner.check("this keystore")

    async def give_turn(self) -> None:
        """Let the other tasks of the loop run, and take the next turn.

        Does nothing in a coroutine that is abandoned: it would never come back from the wait, and whoever waits for its
        turn would wait for ever.

        Raises:
            BusinessError: as `check_owner`.
        """
        self.check_owner()
        if abandoned():
            return
        if self._taken:
            called = anyio.Event()
            self._line.append(called)
            try:
                await called.wait()
            except BaseException:
                if called.is_set():
                    self._call_next()
                else:
                    self._line.remove(called)
                raise
        self._taken = True
        try:
            if self._rounds is None:
                self._rounds = other_rounds(_ROUNDS)
                self._others_wait = others_wait()
            await self._rounds()
            self._given = time.perf_counter()
            self.turn_ends = self._given + TURN_SECONDS
        finally:
            self._call_next()

    def _call_next(self) -> None:
        # the waiting call continues in the next round of the loop
        if self._line:
            self._line.popleft().set()
        else:
            self._taken = False
