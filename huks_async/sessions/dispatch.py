"""Where work runs: at once on the event loop, or in a worker thread, by what it costs.

The loop also stays responsive under many small calls: before a call works inline, it lets other tasks run
if none has had a turn for `TURN_SECONDS`.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable

import anyio

from huks_async.runtime.owner import Owner
from huks_async.runtime.process_pool import ProcessPool
from huks_async.runtime.rounds import other_rounds
from huks_async.runtime.workers import WorkerPool

TURN_SECONDS = 0.0005
"""How long inline work may go on before other tasks get a turn. A timer is late by at most this time, however
many sessions are busy. Yielding by time instead of at each call keeps 0.9 of the raw throughput, not 0.7."""

_ROUNDS = 3
"""Rounds of the loop between two turns. With one round, the loop would notice a timer that expired during a turn
only after the next turn, and run its task only after the turn after that. With three, the second round notices
the timer and the third runs its task. The extra rounds are cheap: 2 µs each, beside 16 µs for the first."""


class Dispatcher:
    """Runs the engine's work for one keystore.

    Attributes:
        pool: the worker threads.
        processes: worker processes, for calls that take too long for a thread.
        turn_ends: reading of `time.perf_counter()` from which other tasks must run before more is done inline.
    """

    __slots__ = ("_line", "_owner", "_rounds", "_taken", "pool", "processes", "turn_ends")

    def __init__(self, pool: WorkerPool, processes: ProcessPool, owner: Owner | None = None) -> None:
        self.pool: WorkerPool = pool
        self._owner = owner
        self.processes: ProcessPool = processes
        self.turn_ends: float = 0.0
        self._rounds: Callable[[], Awaitable[object]] | None = None
        self._taken = False
        # Calls that wait for their turn; they get it one by one. If all of them continued in the same round of
        # the loop, a timer would be late by as many turns as there are busy sessions.
        self._line: deque[anyio.Event] = deque()

    async def give_turn(self) -> None:
        """Let the other tasks of the loop run, and take the next turn.

        Raises:
            BusinessError: 12000012 in another event loop, thread or process than the keystore's.
        """
        if self._owner is not None:
            self._owner.check("this keystore")
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
            await self._rounds()
            self.turn_ends = time.perf_counter() + TURN_SECONDS
        finally:
            self._call_next()

    def _call_next(self) -> None:
        # the waiting call continues in the next round of the loop
        if self._line:
            self._line.popleft().set()
        else:
            self._taken = False
