"""The base of all pressure sensors, which can be waited for and asked, and the thresholds of all of them."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from logging import getLogger
from typing import Final

import anyio

from huks_async.model.errors import BusinessError
from huks_async.model.settings import check_seconds, check_share, check_whole

logger: Final = getLogger("huks_async.pressure")

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class SensorUnavailable(Exception):
    """The sensor cannot be opened here: file, permission, kernel feature or package is missing."""


class SensorBroken(Exception):
    """The sensor worked and does not any more: its group is gone, or its file gives no readings."""


class SensorState(StrEnum):
    """What a sensor is doing, for diagnosis."""

    CALM = "calm"
    PRESSURE = "under pressure"
    BROKEN = "broken"
    CLOSED = "closed"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class PressureThresholds:
    """When memory counts as short, for all sensors.

    Args:
        stall_us: microseconds of stall within a window that fire a trigger. 5 % of the window: even a healthy
            busy machine stalls a little when it reclaims memory; above 5 % work visibly waits for memory.
        window_us: microseconds of that window. Without privileges, the kernel accepts multiples of 2 s only.
        stall_share_leave: share of time in stall, 0 to 1, at which a stall counts as over.
        limit_enter: share of a group's limit in use, not counting caches that can be dropped, at which the
            group is short. The last tenth is left for a burst, before the kernel starts to kill.
        limit_leave: share of the limit at which it is not short any more.
        used_enter: share of the machine's memory that is not available, at which it is short. The
            kernel's own reserves begin at a few per cent.
        used_leave: share at which it is not short any more.
        dwell: seconds that a state lasts at least, so that readings around a level do not make it flap.
        hold: seconds that a signal without a reading of its own (fifo, socket, eventfd) counts as pressure;
            two windows, so that the next signal of a lasting stall arrives in time.
        poll_interval: seconds between readings of a level that cannot be waited for. A reading costs
            microseconds; filling the last tenth of a usual container takes seconds.
        bad_readings: how many unusable readings in a row make a sensor count as broken. One may be a file
            caught half-written; five are not chance.

    """

    stall_us: int = 100_000
    window_us: int = 2_000_000
    stall_share_leave: float = 0.01
    limit_enter: float = 0.90
    limit_leave: float = 0.80
    used_enter: float = 0.95
    used_leave: float = 0.92
    dwell: float = 1.0
    hold: float = 4.0
    poll_interval: float = 1.0
    bad_readings: int = 5

    def __post_init__(self) -> None:
        """Refuse what is no threshold: 401."""
        check_whole(self.window_us, "window_us")
        check_whole(self.stall_us, "stall_us", 1, self.window_us)
        for enter, leave in (("limit_enter", "limit_leave"), ("used_enter", "used_leave")):
            high, low = (check_share(getattr(self, name), name) for name in (enter, leave))
            if not 0 < low <= high:
                raise BusinessError(401, f"0 < {leave} <= {enter} must hold, got {low!r} and {high!r}")
        if check_share(self.stall_share_leave, "stall_share_leave") > self.stall_share_enter:
            raise BusinessError(
                401,
                f"stall_share_leave: got {self.stall_share_leave!r}, accepted 0 … {self.stall_share_enter}, "
                "which is stall_us / window_us",
            )
        for name in ("dwell", "hold"):
            check_seconds(getattr(self, name), name, zero=True)
        check_seconds(self.poll_interval, "poll_interval")
        check_whole(self.bad_readings, "bad_readings")

    @property
    def stall_share_enter(self) -> float:
        """Share of time in stall at which a trigger fires."""
        return self.stall_us / self.window_us

    @property
    def trigger(self) -> bytes:
        """The line that registers a trigger with the kernel."""
        # the kernel drops the last byte as a terminator, whatever it is, so there must be one to drop
        return b"some %d %d\n" % (self.stall_us, self.window_us)


@dataclass(frozen=True, slots=True)
class PressureEvent:
    """Memory is short: which sensor says so, why, and when on the sensor's clock (seconds)."""

    sensor: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class SensorStatus:
    """A sensor at a glance.

    Attributes:
        name: what the sensor is called in logs.
        state: what it is doing.
        source: where it reads.
        events: how often it reported pressure.
        failures: unusable readings so far.
        parts: the sensors that it is made of.
        passed_over: better sensors that do not work here, each with the reason.

    """

    name: str
    state: SensorState
    source: str
    events: int = 0
    failures: int = 0
    parts: "tuple[SensorStatus, ...]" = ()
    passed_over: tuple[str, ...] = ()


class Hysteresis:
    """Turns readings into a state that begins at one level, ends at a lower one, and lasts for a least time."""

    __slots__ = ("_dwell", "_enter", "_leave", "_since", "active")

    def __init__(self, enter: float, leave: float, dwell: float) -> None:
        self._enter = enter
        self._leave = leave
        self._dwell = dwell
        self._since = float("-inf")
        self.active: bool = False

    def update(self, value: float, now: float) -> bool:
        """Take a reading; return the state after it."""
        wanted = value > self._leave if self.active else value >= self._enter
        if wanted != self.active and now - self._since >= self._dwell:
            self.active = wanted
            self._since = now
        return self.active

    def enter(self, now: float) -> None:
        """Enter on the word of a signal; a repeated signal starts the dwelling time anew."""
        self.active = True
        self._since = now


class Sensor(ABC):
    """Tells when memory becomes short, and whether it is.

    A sensor is opened by making it, which raises `SensorUnavailable` where it cannot work. Not for
    use by several tasks at once; end a `wait` (cancel it) before `close`.
    """

    name: str

    @abstractmethod
    async def wait(self) -> PressureEvent:
        """Return when memory becomes short, or at once while it is. Safe to cancel.

        Raises:
            SensorBroken: the sensor gives no readings any more.

        """

    @abstractmethod
    def under_pressure(self) -> bool:
        """Whether memory is short now; costs microseconds and never raises."""

    @abstractmethod
    def close(self) -> None:
        """Close the sensor's descriptors. May be called again."""

    async def aclose(self) -> None:
        """Close, without holding up the event loop if `close` takes long. Closes the sensor also when cancelled."""
        self.close()

    @abstractmethod
    def status(self) -> SensorStatus:
        """State and counters."""

    def describe(self) -> str:
        """One line for people."""
        status = self.status()
        return (
            f"{status.name} on {status.source}: {status.state}, "
            f"{status.events} events, {status.failures} bad readings"
        )


class SilentSensor(Sensor):
    """Never reports pressure: monitoring is turned off, or nothing here can be sensed."""

    def __init__(self, why: str, passed_over: tuple[str, ...] = ()) -> None:
        self.name = "none"
        self._why = why
        self._passed_over = passed_over

    async def wait(self) -> PressureEvent:
        """Wait until cancelled."""
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    def under_pressure(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Nothing is held."""

    def status(self) -> SensorStatus:
        """Always off."""
        return SensorStatus(self.name, SensorState.OFF, self._why, passed_over=self._passed_over)
