"""Where work runs: at once on the event loop, or in a worker thread, by what it costs.

The loop stays responsive under many small calls, too: before a call works inline, it lets others run
if this loop has not done so for `TURN_SECONDS`.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable

import anyio

from huks_async.runtime.owner import Owner
from huks_async.runtime.process_pool import ProcessPool
from huks_async.runtime.rounds import next_round
from huks_async.runtime.workers import WorkerPool

TURN_SECONDS = 0.0005
"""How long inline work may go on before others get a turn: what a timer is late at most, however many
sessions are busy. Yielding by time instead of at each call keeps 0.9 of the raw throughput instead of 0.7."""

_ROUNDS = 3
"""Rounds of the loop between two turns. With one, a timer that ends during a turn is seen after the next turn,
and its task runs after the one that follows. In the second round nothing but the timer is seen, and its task
comes first in the third. The rounds are cheap: 2 µs each, beside 16 µs for the first one."""


class Dispatcher:
    """Runs the engine's work for one keystore.

    Attributes:
        pool: the worker threads.
        processes: where calls run that take too long for them.
        turn_ends: `time.perf_counter()` when the loop should run others before more is done inline.
    """

    __slots__ = ("_line", "_next_round", "_owner", "_taken", "pool", "processes", "turn_ends")

    def __init__(self, pool: WorkerPool, processes: ProcessPool, owner: Owner | None = None) -> None:
        self.pool: WorkerPool = pool
        self._owner = owner
        self.processes: ProcessPool = processes
        self.turn_ends: float = 0.0
        self._next_round: Callable[[], Awaitable[object]] | None = None
        self._taken = False
        # Calls that wait for their turn, and get it one by one: if all went on in the same round of the
        # loop, a timer would be as many turns late as there are busy sessions.
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
            if self._next_round is None:
                self._next_round = next_round()
            for _ in range(_ROUNDS):
                await self._next_round()
            self.turn_ends = time.perf_counter() + TURN_SECONDS
        finally:
            self._call_next()

    def _call_next(self) -> None:
        # whoever is called runs in the next round of the loop
        if self._line:
            self._line.popleft().set()
        else:
            self._taken = False
