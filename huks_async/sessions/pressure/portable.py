"""Available memory of any system that psutil knows (macOS, BSD, …); the extra `portable`."""

import time
from collections.abc import Callable

import anyio

from huks_async.sessions.pressure.base import (
    Clock,
    Hysteresis,
    PressureThresholds,
    SensorUnavailable,
    Sleep,
)
from huks_async.sessions.pressure.level import LevelSensor

Reader = Callable[[], tuple[int, int]]  # bytes available, bytes in all


def psutil_reader() -> Reader:
    """Read through psutil. Raises SensorUnavailable where it is not installed."""
    try:
        import psutil  # type: ignore[import-untyped,unused-ignore]
    except (ImportError, OSError) as error:  # OSError: the process can open no more files
        raise SensorUnavailable(
            "psutil is not installed: pip install 'huks-async[portable]' to sense memory on this system"
        ) from error

    def read() -> tuple[int, int]:
        memory = psutil.virtual_memory()
        return memory.available, memory.total

    return read


class PortableSensor(LevelSensor):
    """Share of memory that is not available, as psutil tells it.

    Raises:
        SensorUnavailable: psutil is not installed or does not work here.

    """

    def __init__(
        self,
        thresholds: PressureThresholds | None = None,
        *,
        reader: Reader | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = anyio.sleep,
    ) -> None:
        thresholds = thresholds or PressureThresholds()
        self._reader = reader or psutil_reader()
        super().__init__(
            "available memory (psutil)",
            "psutil",
            Hysteresis(thresholds.used_enter, thresholds.used_leave, thresholds.dwell),
            thresholds,
            clock,
            sleep,
        )
        self.require_reading()

    def read(self) -> float | None:
        """Share used."""
        try:
            available, total = self._reader()
        except Exception:
            # psutil does not document which exceptions it raises, and any of them means that there is no reading
            return None
        return 1 - available / total if 0 <= available <= total and total else None
