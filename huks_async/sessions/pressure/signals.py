"""Sensors to which bytes on a descriptor signal pressure."""

import os
import time
from pathlib import Path

import anyio.lowlevel

from huks_async.sessions.pressure.base import (
    Clock,
    PressureEvent,
    PressureThresholds,
    Sensor,
    SensorBroken,
    SensorState,
    SensorStatus,
    SensorUnavailable,
)
from huks_async.sessions.pressure.locate import find_v1_memory
from huks_async.sessions.pressure.trigger import StreamTrigger


class SignalSensor(Sensor):
    """A descriptor on which bytes arrive when memory is short. Owns the descriptor.

    A signal does not say when pressure ends, so memory counts as short for `hold` seconds after each.
    """

    def __init__(
        self,
        name: str,
        source: str,
        fd: int,
        thresholds: PressureThresholds | None = None,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self.name = name
        self._source = source
        self._fd = fd
        try:
            self._trigger = StreamTrigger(fd, source)
        except BaseException:
            os.close(fd)
            raise
        self._hold = (thresholds or PressureThresholds()).hold
        self._clock = clock
        self._until = float("-inf")
        self._events = 0
        self._gone = False

    async def wait(self) -> PressureEvent:
        """Return when bytes arrive, or at once within `hold` seconds of the last ones."""
        if self.under_pressure():
            await anyio.lowlevel.checkpoint()
        else:
            if self._gone or self._fd < 0:
                raise SensorBroken(f"{self._source} is closed")
            try:
                await self._trigger.wait()
            except SensorBroken:
                self._gone = True
                raise
            self._until = self._clock() + self._hold
        self._events += 1
        return PressureEvent(self.name, f"signal on {self._source}", self._clock())

    def under_pressure(self) -> bool:
        """Whether the last signal is younger than `hold`."""
        if self._gone or self._fd < 0:
            return False
        try:
            if self._trigger.drain():
                self._until = self._clock() + self._hold
        except SensorBroken:
            self._gone = True
            return False
        return self._clock() < self._until

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd >= 0:
            self._trigger.close()
            os.close(self._fd)
            self._fd = -1

    def status(self) -> SensorStatus:
        """State and counters."""
        if self._fd < 0:
            state = SensorState.CLOSED
        elif self._gone:
            state = SensorState.BROKEN
        else:
            state = SensorState.PRESSURE if self._clock() < self._until else SensorState.CALM
        return SensorStatus(self.name, state, self._source, self._events)


def open_v1_group_signal(
    root: Path = Path("/"), thresholds: PressureThresholds | None = None, *, clock: Clock = time.monotonic
) -> SignalSensor:
    """The signal that the old memory controller offers instead of stall triggers: an eventfd per group.

    Level 'medium' means that the kernel has trouble finding memory of the group to reclaim.
    Raises SensorUnavailable, as usual for processes without privileges.
    """
    group = find_v1_memory(root)
    if group.folder == group.top:
        raise SensorUnavailable(f"{group.folder} is the root group, whose shortage is the system's")
    if not hasattr(os, "eventfd"):
        raise SensorUnavailable("this system has no eventfd")
    path = group.folder / "memory.pressure_level"
    try:
        event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    except OSError as error:
        raise SensorUnavailable(f"{path}: no descriptor to be signalled on: {error.strerror}") from error
    opened: list[int] = []
    try:
        opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        opened.append(os.open(group.folder / "cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC))
        os.write(opened[1], b"%d %d medium" % (event, opened[0]))
    except OSError as error:
        os.close(event)
        raise SensorUnavailable(f"{path}: {error.strerror}") from error
    finally:
        for fd in opened:
            os.close(fd)
    return SignalSensor("group reclaim", str(path), event, thresholds, clock=clock)
