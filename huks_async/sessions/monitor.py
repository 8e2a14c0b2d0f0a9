"""The low-memory monitor: when memory is short, stale sessions go, oldest first."""

import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from logging import getLogger
from typing import Any, Final

import anyio
import anyio.lowlevel

from huks_async.model.settings import check_seconds, check_whole
from huks_async.runtime.cancellation import (
    is_being_cancelled,
    past_cancellations,
    raise_unless_failures,
    raise_unless_foreign,
)
from huks_async.runtime.workers import run_to_its_end
from huks_async.sessions.pressure.base import (
    Clock,
    PressureEvent,
    Sensor,
    SensorBroken,
    SensorStatus,
    SensorUnavailable,
    Sleep,
)
from huks_async.sessions.pressure.choose import open_sensor

logger: Final = getLogger("huks_async.pressure")

Purge = Callable[[int], Awaitable[int] | int]
SensorFactory = Callable[[], Awaitable[Sensor] | Sensor]
Shrinker = Callable[[], object]

_LONGEST_CLOSING: Final = 3.0
"""Seconds for which the closing of a keystore waits for a sensor that does not close."""


def trim_heap() -> bool:
    """Give freed memory back to the system, if the C library can (glibc); return whether any went back.

    Without it glibc keeps more than half of what ended sessions have used. Takes milliseconds; the
    interpreter's lock is not held.
    """
    import ctypes

    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return False
    return bool(trim(0))


@dataclass(frozen=True, slots=True)
class MonitorStatistics:
    """What the monitor has seen and done.

    Attributes:
        sensor: name of the sensor in use.
        under_pressure: whether an episode of short memory is going on now.
        events: episodes begun.
        purged: sessions ended.
        rounds: times that memory was given back.
        broken: times that every sensor had failed and sensors were chosen anew.
        failures: times that the purge, a shrinker or the trim raised.
        last_event: clock reading of the last event; None if there was none.
        last_reason: what the sensor said then.

    """

    sensor: str = "none"
    under_pressure: bool = False
    events: int = 0
    purged: int = 0
    rounds: int = 0
    broken: int = 0
    failures: int = 0
    last_event: float | None = None
    last_reason: str = ""


class LowMemoryMonitor:
    """Ends stale sessions while memory is short, and gives the memory back.

    `run` belongs in a task group of the caller. While memory is not short, it only waits for a sensor. An
    episode of short memory goes in rounds: a few batches of sessions are purged, with turns for other tasks in
    between; then the shrinkers are called; then the heap is trimmed. This repeats until memory is not short or
    nothing stale is left. If it stays short, sessions that become stale later are purged every `retry_every`.

    Args:
        purge: ends up to n stale sessions, oldest first, and returns how many it ended.
        sensor_factory: makes the sensor; called again when the sensor breaks.
        clock: gives seconds, monotonic.
        sleep: waits for seconds.
        batch: sessions per call of `purge`; 250 take about 0.1 ms.
        batches_per_round: calls of `purge` before memory is given back and the sensor is asked again.
        pause: seconds between rounds, in which the sensors may notice that memory is back.
        retry_every: seconds between attempts while memory stays short.
        reopen_after: seconds before sensors are chosen anew when all of them broke.
        trim: gives freed memory back to the system; runs in a worker thread. None: memory is not given back.

    """

    def __init__(
        self,
        purge: Purge,
        sensor_factory: SensorFactory = open_sensor,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = anyio.sleep,
        batch: int = 250,
        batches_per_round: int = 8,
        pause: float = 0.05,
        retry_every: float = 2.0,
        reopen_after: float = 30.0,
        trim: Callable[[], object] | None = trim_heap,
    ) -> None:
        for name, number in (("batch", batch), ("batches_per_round", batches_per_round)):
            check_whole(number, name)
        for name, seconds in (("retry_every", retry_every), ("reopen_after", reopen_after)):
            check_seconds(seconds, name)
        check_seconds(pause, "pause", zero=True)
        self._purge = purge
        self._sensor_factory = sensor_factory
        self._clock = clock
        self._sleep = sleep
        self._batch = batch
        self._batches_per_round = batches_per_round
        self._pause = pause
        self._retry_every = retry_every
        self._reopen_after = reopen_after
        self._trim = trim
        self._shrinkers: list[Shrinker] = []
        self._last_shrinkers: list[Shrinker] = []
        self._sensor: Sensor | None = None
        self._choosing: Awaitable[Sensor] | None = None
        self._seen = MonitorStatistics()
        self._scope: anyio.CancelScope | None = None
        self._closed = False
        # cancellations of the task of `run` that came before, and were swallowed
        self._since = 0

    def add_shrinker(self, shrink: Shrinker) -> None:
        """Have `shrink()` called when memory is short, so that a cache drops what it can make again."""
        self._shrinkers.append(shrink)

    def add_last_shrinker(self, shrink: Shrinker) -> None:
        """Have `shrink()` called when memory stays short although nothing stale is left and caches are empty.

        It is called once every `retry_every` seconds, so that each call may drop a part of what can be spared.
        """
        self._last_shrinkers.append(shrink)

    def statistics(self) -> MonitorStatistics:
        """Counters so far."""
        return replace(self._seen, sensor=self._sensor.name) if self._sensor else self._seen

    def _note(self, **changes: Any) -> None:
        self._seen = replace(self._seen, **changes)

    def status(self) -> SensorStatus | None:
        """The sensor at a glance; None while there is none."""
        return self._sensor.status() if self._sensor else None

    def close(self) -> None:
        """End `run` at its next await. May be called again, and before `run`."""
        self._closed = True
        if self._scope:
            self._scope.cancel()

    async def abandon(self) -> None:
        """Close the sensor after the event loop of `run` has gone without ending `run`."""
        self._scope = None
        self._end_choosing()
        await self._close_sensor(past_cancellations())

    def let_go(self) -> None:
        """Close the sensor where nothing can be awaited, after the event loop of `run` has gone without ending `run`."""
        self._closed = True
        sensor, self._sensor = self._sensor, None
        try:
            self._end_choosing()
            if sensor is not None:
                sensor.close()
        except Exception:
            logger.exception("a sensor of memory pressure could not be closed")

    def _end_choosing(self) -> None:
        """End the choice of a sensor that an event loop which has gone was waiting for: its coroutine can be told."""
        choosing, self._choosing = self._choosing, None
        if inspect.iscoroutine(choosing):
            choosing.close()

    async def run(self) -> None:
        """Watch until cancelled or closed. Survives sensors that break and callbacks that raise."""
        if self._scope:
            raise RuntimeError("this monitor runs already")
        self._since = past_cancellations()
        with anyio.CancelScope() as self._scope:
            try:
                while not self._closed:
                    await self._watch()
                    await self._rest(self._reopen_after)
            finally:
                self._scope = None
                self._note(under_pressure=False)

    async def _watch(self) -> None:
        """Wait for pressure and relieve it, with one sensor, until that sensor breaks."""
        try:
            made = self._sensor_factory()
            if inspect.isawaitable(made):
                self._choosing = made
                made = await made
                self._choosing = None
            sensor = made
            self._note(sensor=sensor.name)
        except SensorUnavailable as error:
            self._note(broken=self._seen.broken + 1)
            logger.warning("no sensor of memory pressure: %s; next try in %g s", error, self._reopen_after)
            return
        except BaseException as error:
            await self._survive(error, "the choice of a sensor")
            return
        self._sensor = sensor
        try:
            while True:
                event = await sensor.wait()
                await self._relieve(event, sensor)
        except SensorBroken as error:
            self._note(broken=self._seen.broken + 1)
            logger.warning("memory pressure is not sensed: %s; next try in %g s", error, self._reopen_after)
        except GeneratorExit:  # the event loop has gone, so nothing can be waited for
            self._sensor = None
            await sensor.aclose()
            raise
        except BaseException as error:
            await self._survive(error, "a sensor of memory pressure")
        finally:
            self._note(sensor=sensor.name, under_pressure=False)
            await self._close_sensor(self._since)

    async def _close_sensor(self, since: int) -> None:
        """Close the sensor, if there is one. One that fails at this is logged, one that hangs is left alone.

        Args:
            since: of how many cancellations the running task has had the sensor closed none.
        """
        sensor, self._sensor = self._sensor, None
        if sensor is None:
            return
        try:
            with anyio.move_on_after(_LONGEST_CLOSING, shield=True) as scope:
                await sensor.aclose()
            if scope.cancelled_caught:
                logger.error("a sensor of memory pressure did not close within %g s", _LONGEST_CLOSING)
        except BaseException as error:
            await _raise_unless_failed(error, since)
            logger.exception("a sensor of memory pressure could not be closed")

    async def _survive(self, error: BaseException, what: str) -> None:
        """Log a failure, because a bug in a sensor must not end the protection; raise what does end it."""
        await _raise_unless_failed(error, self._since)
        self._note(broken=self._seen.broken + 1)
        logger.error("%s failed; next try in %g s", what, self._reopen_after, exc_info=error)

    async def _rest(self, seconds: float) -> None:
        """Sleep. Raises a cancellation in whose place something has failed before, as a task group may in asyncio."""
        if is_being_cancelled(self._since):
            await anyio.lowlevel.checkpoint_if_cancelled()
            raise anyio.get_cancelled_exc_class()
        await self._sleep(seconds)

    async def _relieve(self, event: PressureEvent, sensor: Sensor) -> None:
        """One episode: from the event until memory is not short any more."""
        self._note(
            events=self._seen.events + 1, under_pressure=True, last_event=event.at, last_reason=event.reason
        )
        before = self._seen.purged
        logger.warning("memory is short (%s: %s)", event.sensor, event.reason)
        first = True
        while True:
            before_round = self._seen.purged
            await self._purge_stale(sensor, give_back=first)
            nothing_left = not first and self._seen.purged == before_round
            if nothing_left and self._last_shrinkers and sensor.under_pressure():
                await self._give_back(self._last_shrinkers)
            first = False
            await self._rest(self._retry_every)
            if not sensor.under_pressure():
                break
        self._note(under_pressure=False)
        logger.warning("memory is not short any more; sessions ended: %d", self._seen.purged - before)

    async def _purge_stale(self, sensor: Sensor, *, give_back: bool) -> None:
        """Purge until nothing stale is left or memory is back."""
        while True:
            ended, more = await self._round()
            # While a shortage lasts, caches that were just emptied are left alone unless sessions ended since.
            if ended or give_back:
                await self._give_back(self._shrinkers)
            if not more or not sensor.under_pressure():
                return
            give_back = False
            await self._rest(self._pause)

    async def _round(self) -> tuple[int, bool]:
        """Purge a few batches; return how many sessions ended, and whether there may be more."""
        ended = 0
        for _ in range(self._batches_per_round):
            try:
                result = self._purge(self._batch)
                count = await result if inspect.isawaitable(result) else result
            except Exception:
                self._failed("the purge of stale sessions")
                return ended, False
            if count <= 0:
                return ended, False
            ended += count
            self._note(purged=self._seen.purged + count)
            await anyio.lowlevel.checkpoint()
        return ended, True

    async def _give_back(self, shrinkers: list[Shrinker]) -> None:
        for shrink in list(shrinkers):
            try:
                result = shrink()
                if inspect.isawaitable(result):
                    await result
            except Exception:
                self._failed("a shrinker")
        if self._trim:
            try:
                # in a thread of its own, because an application may have used up those that anyio lends
                await run_to_its_end(self._trim, name="huks-trim")
            except Exception:
                # when memory is short, the system may refuse even the thread
                self._failed("giving memory back")
        self._note(rounds=self._seen.rounds + 1)

    def _failed(self, what: str) -> None:
        self._note(failures=self._seen.failures + 1)
        logger.exception("%s failed; the monitor goes on", what)


async def _raise_unless_failed(error: BaseException, since: int) -> None:
    """Raise what ends a task; return for any other exception, also if it is one of a cancellation that is not ours.

    Args:
        error: what was raised.
        since: as for `raise_unless_foreign`.
    """
    if isinstance(error, Exception):
        return
    if isinstance(error, BaseExceptionGroup):
        await raise_unless_failures(error, since)
        return
    ends = isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit))
    if ends or not isinstance(error, anyio.get_cancelled_exc_class()):
        raise error
    await raise_unless_foreign(error, since)
