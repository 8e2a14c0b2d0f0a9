"""Where work runs: at once on the event loop, or in a worker thread, by what it costs.

The loop stays responsive under many small calls, too: before a call works inline, it lets others run
if this loop has not done so for `TURN_SECONDS`.
"""

import time

import anyio.lowlevel

from huks_async.runtime.workers import WorkerPool

TURN_SECONDS = 0.0002
"""How long inline work may go on before others get a turn. A timer comes two to three turns late at worst.
Yielding by time instead of at each call keeps 0.9 of the raw throughput instead of 0.7."""


class Dispatcher:
    """Runs the engine's work for one keystore.

    Attributes:
        pool: the worker threads.
        turn_ends: `time.perf_counter()` when the loop should run others before more is done inline.
    """

    __slots__ = ("_waiting", "pool", "turn_ends")

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool
        self.turn_ends = 0.0
        self._waiting = 0

    async def give_turn(self) -> None:
        """Let the other tasks of the loop run once."""
        self._waiting += 1
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            self._waiting -= 1
        # those that wait here go on in the same round of the loop, so they share one turn
        self.turn_ends = time.perf_counter() + TURN_SECONDS / (1 + self._waiting)
