"""What a keystore does when memory is short, and what it counts."""

from collections.abc import Awaitable, Callable
from logging import Logger, getLogger
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from weakref import WeakMethod

import anyio
import anyio.lowlevel

from huks_async.keystore.caller_functions import CallerStates
from huks_async.keystore.loading import not_loaded
from huks_async.keystore.open_state import KeystoreFunctions
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.runtime.background import Background
from huks_async.runtime.closing import stop_if_abandoned
from huks_async.runtime.forks import no_fork

if TYPE_CHECKING:
    from huks_async.keystore.statistics import KeystoreStatistics
    from huks_async.sessions.monitor import LowMemoryMonitor
    from huks_async.sessions.pressure import Sensor

P = ParamSpec("P")
T = TypeVar("T")

LOW_MEMORY = "purged on low memory"
PURGED_BY_CALL = "purged as stale by the service"
PURGE_BATCH = 500
"""Sessions that are ended between two turns of other tasks."""

logger: Logger = getLogger("huks_async")


class LowMemoryFunctions(KeystoreFunctions):
    """Ends stale sessions, by itself or when asked to, and counts what became of them."""

    _callers: CallerStates
    _limits: Limits
    _clock: Callable[[], float]
    _sensor: "Callable[[], Awaitable[Sensor] | Sensor] | None"
    _background: Background
    _monitor: "LowMemoryMonitor"
    _monitor_scope: "anyio.CancelScope | None"  # quoted: half of anyio comes with it

    async def monitor_low_memory(self) -> None:
        """Purge stale sessions whenever memory is short, until cancelled or the keystore closes.

        To be run in a task group of the program's own, with `Keystore.open(monitor=False)`. If the keystore runs
        a monitor itself, that one is ended first.
        """
        self._open_state()
        stop_if_abandoned()
        if self._monitor_scope is not None:
            raise BusinessError(12000012, "this keystore's memory is monitored already, by another task")
        monitor = self._monitor
        with anyio.CancelScope() as scope:
            self._monitor_scope = scope
            try:
                await self._background.stop()
                await monitor.run()
            finally:
                # else the keystore was closed, and may be open and monitored again
                if self._monitor_scope is scope:
                    self._monitor_scope = None

    async def purge_stale_sessions(self) -> int:
        """End all sessions idle for longer than `Limits.stale_after`, and give memory back.

        For services that learn of short memory in a way of their own. Works in small batches, between which
        other tasks run.

        Returns:
            how many were ended.
        """
        state = self._open_state()
        stop_if_abandoned()
        ended = 0
        while True:
            batch = state.table.purge_stale(PURGE_BATCH, self._limits.stale_after, PURGED_BY_CALL)
            ended += batch
            if batch < PURGE_BATCH:
                break
            await anyio.lowlevel.checkpoint()
        if ended:
            # the C library keeps freed memory until it is told to return it to the system
            from huks_async.sessions.monitor import trim_heap

            state.table.compact()
            try:
                await state.pool.run(trim_heap)
            except Exception:
                # when memory is short, the system may refuse even the thread
                logger.exception("giving memory back failed; the sessions were ended all the same")
        return ended

    def _purge_on_low_memory(self, at_most: int) -> int:
        if self._state is None:
            return 0
        return self._state.table.purge_stale(at_most, self._limits.stale_after, LOW_MEMORY)

    def _forget_fates(self) -> None:
        if self._state is not None:
            self._state.table.forget_fates()

    def _shrink(self) -> None:
        if self._state is not None:
            self._callers.shrink()
            self._state.table.compact()

    def statistics(self) -> "KeystoreStatistics":
        """Give a snapshot of counters."""
        # late: not every service asks
        from huks_async.keystore.statistics import CountsByCaller, KeystoreStatistics

        state = self._open_state()
        table = state.table
        table.catch_up()
        counts = table.counts
        return KeystoreStatistics(
            open=len(table),
            busy=table.count_busy(),
            stale=table.count_stale(),
            bytes_held=table.held,
            opened=table.opened,
            finished=table.finished,
            aborted=counts.aborted,
            failed=counts.failed,
            evicted=counts.evicted,
            purged=dict(counts.purged),
            peak_open=counts.peak_open,
            peak_bytes_held=counts.peak_bytes,
            open_by_caller=CountsByCaller(table.owners()),
            cached_keys=self._callers.count_keys(),
            jobs=state.pool.active,
            processes=state.processes.running,
            processes_waited_for=state.processes.waiting,
            memory=self._monitor.statistics(),
        )

    def _make_monitor(self) -> "LowMemoryMonitor":
        """A monitor that does not keep this keystore alive."""
        # late: programs that only import names of this library need no sensors
        try:
            with no_fork():
                from huks_async.sessions.monitor import LowMemoryMonitor
                from huks_async.sessions.pressure import open_sensor
        except (ImportError, OSError) as error:
            raise not_loaded(error) from error

        monitor = LowMemoryMonitor(
            _weakly(self._purge_on_low_memory, 0), self._sensor or open_sensor, clock=self._clock
        )
        monitor.add_shrinker(_weakly(self._shrink, None))
        monitor.add_last_shrinker(_weakly(self._forget_fates, None))
        return monitor


def _weakly(method: Callable[P, T], otherwise: T) -> Callable[P, T]:
    """Call a bound method without keeping its object alive; give `otherwise` once the object has gone."""
    kept = WeakMethod(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        found = kept()
        return otherwise if found is None else found(*args, **kwargs)

    return call
