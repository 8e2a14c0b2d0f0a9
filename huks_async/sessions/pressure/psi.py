"""Pressure stall information of Linux: the kernel wakes us when tasks wait for memory."""

import os
import time
from pathlib import Path

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
)
from huks_async.sessions.pressure.closing import close_later
from huks_async.sessions.pressure.locate import find_v2
from huks_async.sessions.pressure.parse import KeptFile, stall_total
from huks_async.sessions.pressure.trigger import PriorityTrigger, Trigger

# Seconds between two looks at the stall counter: a shorter span is mostly noise, a longer one is out of date.
_SHORTEST_SPAN = 0.5
_LONGEST_SPAN = 10.0


class PsiSensor(Sensor):
    """A trigger on a pressure file (`memory.pressure` of a group, or /proc/pressure/memory).

    The trigger says when pressure begins. Whether it lasts is read from the file's counter of stalled
    microseconds, which is always up to date, while the averages in the file lag by seconds.

    Args:
        name: for logs.
        path: the pressure file.
        thresholds: levels; `line` replaces their trigger.
        line: what to write to register the trigger; b"" if nothing is to be written.
        trigger: what to wait for instead of the file's own descriptor.
        clock: gives seconds.

    Raises:
        SensorUnavailable: the file is missing, not permitted, or takes no trigger.

    """

    def __init__(
        self,
        name: str,
        path: Path,
        thresholds: PressureThresholds | None = None,
        *,
        line: bytes | None = None,
        trigger: Trigger | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        thresholds = thresholds or PressureThresholds()
        line = thresholds.trigger if line is None else line
        self.name = name
        self._clock = clock
        self._bad_limit = thresholds.bad_readings
        self._hysteresis = Hysteresis(
            thresholds.stall_share_enter, thresholds.stall_share_leave, thresholds.dwell
        )
        self._events = 0
        self._failures = 0
        self._bad_in_a_row = 0
        self._gone = False
        # two descriptors: the protocol of service managers forbids reading from the one with the trigger
        self._file = KeptFile(path)
        try:
            self._watched = KeptFile(path, os.O_RDWR if line else os.O_RDONLY)
        except BaseException:
            self._file.close()
            raise
        try:
            if line:
                self._register(line)
            self._trigger = trigger or PriorityTrigger(self._watched.fileno(), str(path))
        except BaseException:
            self._close_files()
            raise
        self._at = clock()
        self._total = stall_total(self._file.read())

    def _register(self, line: bytes) -> None:
        try:
            self._watched.write(line)
        except OSError as error:
            raise SensorUnavailable(
                f"{self._file.path} takes no trigger {line.decode(errors='replace')!r}: {error.strerror}"
            ) from error

    async def wait(self) -> PressureEvent:
        """Return when the kernel fires the trigger, or at once while a stall lasts."""
        if not self.under_pressure():
            if self._broken():
                raise SensorBroken(f"{self._file.path} is gone or gives no readings")
            try:
                await self._trigger.wait()
            except SensorBroken:
                self._gone = True
                raise
            self._fired()
        else:
            await anyio.lowlevel.checkpoint()
        self._events += 1
        return PressureEvent(self.name, f"stalls on {self._file.path}", self._clock())

    def under_pressure(self) -> bool:
        """Whether tasks still stall: the counter's growth over at least half a second."""
        if self._broken():
            return False
        try:
            if self._trigger.drain():
                self._fired()
        except SensorBroken:
            self._gone = True
            return False
        now = self._clock()
        span = now - self._at
        if span < _SHORTEST_SPAN:
            return self._hysteresis.active
        total = stall_total(self._file.read())
        if total is None:
            self._failures += 1
            self._bad_in_a_row += 1
            return self._hysteresis.active and not self._broken()
        self._bad_in_a_row = 0
        before, self._total, self._at = self._total, total, now
        if before is None or span > _LONGEST_SPAN:
            # The last look is too long ago to say anything about now; the trigger would have fired by itself.
            return self._hysteresis.active
        return self._hysteresis.update((total - before) / (span * 1e6), now)

    def _fired(self) -> None:
        self._at = self._clock()
        self._total = stall_total(self._file.read())
        self._hysteresis.enter(self._at)

    def _broken(self) -> bool:
        return self._gone or self._file.fileno() < 0 or self._bad_in_a_row >= self._bad_limit

    def close(self) -> None:
        """Unregister the trigger."""
        if self._file.fileno() >= 0:
            self._trigger.close()
            self._close_files()

    async def aclose(self) -> None:
        """Unregister the trigger in a thread, because the kernel takes its time for that."""
        await close_later(self.close)

    def _close_files(self) -> None:
        self._file.close()
        self._watched.close()

    def status(self) -> SensorStatus:
        """State and counters."""
        if self._file.fileno() < 0:
            state = SensorState.CLOSED
        elif self._broken():
            state = SensorState.BROKEN
        else:
            state = SensorState.PRESSURE if self._hysteresis.active else SensorState.CALM
        return SensorStatus(self.name, state, str(self._file.path), self._events, self._failures)


def open_system_psi(
    root: Path = Path("/"), thresholds: PressureThresholds | None = None, *, clock: Clock = time.monotonic
) -> PsiSensor:
    """The trigger of the whole machine. Raises SensorUnavailable."""
    return PsiSensor("system stalls", root / "proc/pressure/memory", thresholds, clock=clock)


def open_group_psi(
    root: Path = Path("/"), thresholds: PressureThresholds | None = None, *, clock: Clock = time.monotonic
) -> PsiSensor:
    """The trigger of the process's own group. Raises SensorUnavailable."""
    folder = find_v2(root).folder
    # This file exists in every group except the true root. The path does not tell: in a container's namespace,
    # any group may look like the root.
    if not os.path.exists(folder / "cgroup.events"):
        raise SensorUnavailable(
            f"{folder} is the root group, whose stalls are the system's, or may not be looked into"
        )
    return PsiSensor("group stalls", folder / "memory.pressure", thresholds, clock=clock)
