"""Available memory of a Linux machine, for kernels without pressure stall information."""

import time
from pathlib import Path

import anyio

from huks_async.sessions.pressure.base import Clock, Hysteresis, PressureThresholds, Sleep
from huks_async.sessions.pressure.level import LevelSensor
from huks_async.sessions.pressure.parse import KeptFile, share_used


class MeminfoSensor(LevelSensor):
    """Share of memory that is not available, of /proc/meminfo.

    Raises:
        SensorUnavailable: the file is missing, or has no MemAvailable.

    """

    def __init__(
        self,
        root: Path = Path("/"),
        thresholds: PressureThresholds | None = None,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = anyio.sleep,
    ) -> None:
        thresholds = thresholds or PressureThresholds()
        self._file = KeptFile(root / "proc/meminfo")
        super().__init__(
            "available memory",
            str(self._file.path),
            Hysteresis(thresholds.used_enter, thresholds.used_leave, thresholds.dwell),
            thresholds,
            clock,
            sleep,
        )
        self.require_reading()

    def read(self) -> float | None:
        """Share used."""
        return share_used(self._file.read())

    def close(self) -> None:
        """Close the kept file."""
        super().close()
        self._file.close()
