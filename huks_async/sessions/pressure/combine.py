"""Sensors made of sensors: the first of a list that works, and several at once."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import anyio

from huks_async.runtime.workers import run_to_its_end
from huks_async.sessions.pressure.base import (
    PressureEvent,
    Sensor,
    SensorBroken,
    SensorState,
    SensorStatus,
    SensorUnavailable,
    logger,
)
from huks_async.sessions.pressure.closing import close_later

SensorFactory = Callable[[], Sensor]


def _given(coroutine: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    """Gives a coroutine that was made already to `start_soon`, which takes functions only."""
    return coroutine


class FallbackSensor(Sensor):
    """The first sensor that can be opened; when it breaks, the next one takes over.

    Args:
        role: what the sensors are for, for logs.
        candidates: make the sensors, best first.

    Raises:
        SensorUnavailable: none of them works here.

    """

    def __init__(self, role: str, candidates: Iterable[SensorFactory]) -> None:
        self._role = role
        self._left = iter(candidates)
        self._passed_over: list[str] = []
        self._failures = 0
        self._sensor: Sensor | None = None
        if not self._open_next():
            raise SensorUnavailable(f"{role}: {'; '.join(self._passed_over) or 'nothing to try'}")

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the sensor in use."""
        return self._sensor.name if self._sensor else self._role

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Why better sensors are not in use."""
        return tuple(self._passed_over)

    def _open_next(self) -> bool:
        for candidate in self._left:
            try:
                self._sensor = candidate()
            except (SensorUnavailable, OSError) as error:
                logger.info("%s: sensor passed over: %s", self._role, error)
                self._passed_over.append(str(error))
            else:
                logger.info("%s: sensed by %s", self._role, self._sensor.describe())
                return True
        return False

    async def wait(self) -> PressureEvent:
        """Wait on the sensor in use."""
        while self._sensor:
            try:
                return await self._sensor.wait()
            except SensorBroken as error:
                logger.warning("%s: sensor %s broke: %s", self._role, self._sensor.name, error)
                self._passed_over.append(str(error))
                self._failures += 1
                await self._sensor.aclose()
                self._sensor = None
                await run_to_its_end(self._open_next, name="huks-sensor")
        raise SensorBroken(f"{self._role}: no sensor is left")

    def under_pressure(self) -> bool:
        """Ask the sensor in use."""
        return self._sensor is not None and self._sensor.under_pressure()

    def close(self) -> None:
        """Close the sensor in use, and try no other."""
        self._left = iter(())
        if self._sensor:
            self._sensor.close()

    async def aclose(self) -> None:
        """Close it in a thread."""
        await close_later(self.close)

    def status(self) -> SensorStatus:
        """The status of the sensor in use."""
        parts = (self._sensor.status(),) if self._sensor else ()
        state = parts[0].state if parts else SensorState.BROKEN
        events = sum(part.events for part in parts)
        failures = self._failures + sum(part.failures for part in parts)
        return SensorStatus(self._role, state, self.name, events, failures, parts, self.passed_over)


class CombinedSensor(Sensor):
    """Several sensors at once: wakes on whichever comes first, and reports pressure while any of them does.

    A sensor that breaks is dropped; when the last one breaks, the combination is broken.

    Args:
        sensors: at least one; the combination owns them.
        passed_over: sensors that do not work here, each with the reason.

    """

    def __init__(self, sensors: Sequence[Sensor], passed_over: Sequence[str] = ()) -> None:
        if not sensors:
            raise SensorUnavailable("; ".join(passed_over) or "no sensor")
        self._sensors = list(sensors)
        self._broken: list[SensorStatus] = []
        self._passed_over = tuple(passed_over)

    @property
    def name(self) -> str:  # type: ignore[override]
        """Names of the sensors in use."""
        return " + ".join(sensor.name for sensor in self._sensors) or "none"

    async def wait(self) -> PressureEvent:
        """Wait until the first of the sensors reports pressure."""
        events: list[PressureEvent] = []
        if len(self._sensors) == 1:
            await self._wait_one(self._sensors[0], events)
        elif self._sensors:
            await self._wait_all(events)
        if not events:
            raise SensorBroken("no sensor is left")
        return events[0]

    async def _wait_all(self, events: list[PressureEvent]) -> None:
        async def watch(sensor: Sensor) -> None:
            await self._wait_one(sensor, events)
            if events or not self._sensors:
                tasks.cancel_scope.cancel()

        watches = [watch(sensor) for sensor in self._sensors]
        try:
            async with anyio.create_task_group() as tasks:
                for each in watches:
                    tasks.start_soon(_given, each)
        finally:
            # A loop that ends may cancel a task before it begins; its coroutine was then never awaited, and
            # would warn of that if it were not closed here.
            for each in watches:
                each.close()

    async def _wait_one(self, sensor: Sensor, events: list[PressureEvent]) -> None:
        try:
            events.append(await sensor.wait())
        except SensorBroken as error:
            logger.warning("sensor %s is dropped: %s", sensor.name, error)
            self._sensors.remove(sensor)
            self._broken.append(sensor.status())
            await sensor.aclose()

    def under_pressure(self) -> bool:
        """Whether any of them reports pressure."""
        # Not any(), which stops at the first True: each sensor must be asked, to keep its readings fresh.
        short = [sensor.under_pressure() for sensor in self._sensors]
        return True in short

    def close(self) -> None:
        """Close all."""
        for sensor in self._sensors:
            sensor.close()

    async def aclose(self) -> None:
        """Close all in a thread."""
        await close_later(self.close)

    def status(self) -> SensorStatus:
        """States and counters of all."""
        working = tuple(sensor.status() for sensor in self._sensors)
        states = {part.state for part in working}
        order = (SensorState.PRESSURE, SensorState.CALM, SensorState.CLOSED)
        state = next((state for state in order if state in states), SensorState.BROKEN)
        parts = (*working, *self._broken)
        return SensorStatus(
            self.name,
            state,
            ", ".join(part.source for part in working) or "nothing",
            sum(part.events for part in parts),
            sum(part.failures for part in parts),
            parts,
            self._passed_over,
        )

    def describe(self) -> str:
        """A line for each sensor."""
        return "\n".join(sensor.describe() for sensor in self._sensors) or "no sensor is left"
