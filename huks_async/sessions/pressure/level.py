"""Sensors that cannot be waited for and are read about once a second."""

import time
from abc import abstractmethod

import anyio
import anyio.lowlevel

from huks_async.sessions.pressure.base import (
    Clock,
    Hysteresis,
    PressureEvent,
    PressureThresholds,
    Sensor,
    SensorBroken,
    SensorState,
    SensorStatus,
    SensorUnavailable,
    Sleep,
)


class LevelSensor(Sensor):
    """Base of the sensors that are polled: `read` returns a share from 0 to 1."""

    def __init__(
        self,
        name: str,
        source: str,
        hysteresis: Hysteresis,
        thresholds: PressureThresholds,
        clock: Clock = time.monotonic,
        sleep: Sleep = anyio.sleep,
    ) -> None:
        self.name = name
        self._source = source
        self._hysteresis = hysteresis
        self._interval = thresholds.poll_interval
        self._bad_limit = thresholds.bad_readings
        self._clock = clock
        self._sleep = sleep
        self._bad_in_a_row = 0
        self._failures = 0
        self._events = 0
        self._reading: float | None = None
        self._closed = False

    @abstractmethod
    def read(self) -> float | None:
        """The level now, 0 to 1; None if the reading is unusable. Never raises."""

    def require_reading(self) -> None:
        """Raise SensorUnavailable if the first reading is unusable."""
        if self.read() is None:
            self.close()
            raise SensorUnavailable(f"{self._source} gives no reading")

    async def wait(self) -> PressureEvent:
        """Poll until the level is high."""
        while not self.under_pressure():
            if self._closed or self._bad_in_a_row >= self._bad_limit:
                raise SensorBroken(
                    f"{self._source} is closed"
                    if self._closed
                    else f"{self._source} gave no reading {self._bad_in_a_row} times in a row"
                )
            await self._sleep(self._interval)
        await anyio.lowlevel.checkpoint()
        self._events += 1
        return PressureEvent(self.name, self._reason(), self._clock())

    def under_pressure(self) -> bool:
        """Read, and judge with hysteresis; bad readings change nothing until there are too many in a row."""
        if self._closed:
            return False
        reading = self.read()
        if reading is None:
            self._failures += 1
            self._bad_in_a_row += 1
            return self._hysteresis.active and self._bad_in_a_row < self._bad_limit
        self._bad_in_a_row = 0
        self._reading = reading
        return self._hysteresis.update(reading, self._clock())

    def _reason(self) -> str:
        return f"{self._source} at {self._reading:.0%}" if self._reading is not None else self._source

    def close(self) -> None:
        """Stop giving readings."""
        self._closed = True

    def status(self) -> SensorStatus:
        """State and counters."""
        if self._closed:
            state = SensorState.CLOSED
        elif self._bad_in_a_row >= self._bad_limit:
            state = SensorState.BROKEN
        else:
            state = SensorState.PRESSURE if self._hysteresis.active else SensorState.CALM
        return SensorStatus(self.name, state, self._source, self._events, self._failures)
