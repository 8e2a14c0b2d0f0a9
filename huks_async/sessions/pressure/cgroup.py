"""The memory limit of the container: how much the process's group, and each above it, uses of its limit.

A container may be near its own limit while the machine as a whole does not stall at all, so this is read in
addition to the triggers.
"""

import os
import time
from contextlib import suppress
from math import inf
from pathlib import Path

import anyio

from huks_async.sessions.pressure.base import (
    Clock,
    Hysteresis,
    PressureThresholds,
    SensorUnavailable,
    Sleep,
)
from huks_async.sessions.pressure.level import LevelSensor
from huks_async.sessions.pressure.locate import find_v1_memory, find_v2
from huks_async.sessions.pressure.parse import KeptFile, count, entry, limit, memory_total

_READINGS_OF_ONE_PLACE = 5
"""After as many readings it is asked whether the process was moved to another group: that costs a reading more."""


class _Group:
    """One limited group: its files, kept open.

    Memory that only caches files is not counted: the kernel drops it at no cost, and a service that streams
    files fills any container with it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limits: tuple[str, ...],
        usage: str,
        inactive: bytes,
        events: str,
        shortage: bytes,
    ) -> None:
        self.folder = folder
        self._inactive = inactive
        self._shortage = shortage
        self._opened: list[KeptFile] = []
        try:
            self._limits = [self._open(folder / name) for name in limits if os.path.exists(folder / name)]
            if not self._limits:
                raise SensorUnavailable(f"{folder} has no limit files")
            self._usage = self._open(folder / usage)
            self._stat = self._open(folder / "memory.stat")
            self._events = self._open(folder / events) if os.path.exists(folder / events) else None
            self._shortages = self._read_shortages()
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path) -> KeptFile:
        file = KeptFile(path)
        self._opened.append(file)
        return file

    def limit(self) -> float | None:
        """The limit in bytes; infinity if there is none; None if a file is unreadable or malformed."""
        values = [limit(file.read()) for file in self._limits]
        known = [value for value in values if value is not None]
        return min(known) if len(known) == len(values) else None

    def share(self, suspicious: float) -> float | None:
        """Share of the limit in use. Caches are subtracted only if the share with them reaches `suspicious`."""
        ceiling = self.limit()
        usage = count(self._usage.read())
        if ceiling is None or usage is None:
            return None
        if ceiling == inf:
            return 0.0
        if self._ran_short():
            return 1.0
        if usage < suspicious * ceiling:
            return usage / ceiling
        inactive = entry(self._stat.read(), self._inactive)
        if inactive is None:
            return None
        return min(max(usage - inactive, 0) / ceiling, 1.0) if ceiling else 1.0

    def _ran_short(self) -> bool:
        """Whether the kernel found nothing left to reclaim in the group since the last look."""
        now = self._read_shortages()
        before, self._shortages = self._shortages, now
        return now is not None and before is not None and now > before

    def _read_shortages(self) -> int | None:
        return entry(self._events.read(), self._shortage) if self._events else None

    def close(self) -> None:
        for file in self._opened:
            file.close()


def _v2(folder: Path) -> _Group:
    return _Group(
        folder,
        limits=("memory.max", "memory.high"),
        usage="memory.current",
        inactive=b"inactive_file",
        events="memory.events",
        shortage=b"oom",
    )


def _v1(folder: Path) -> _Group:
    return _Group(
        folder,
        limits=("memory.limit_in_bytes",),
        usage="memory.usage_in_bytes",
        inactive=b"total_inactive_file",
        events="memory.oom_control",
        shortage=b"oom_kill",
    )


class GroupLimitSensor(LevelSensor):
    """Share of the tightest memory limit above the process that is in use.

    Args:
        root: folder that /proc and /sys are looked for in.
        thresholds: when the group counts as short.
        clock: gives seconds, monotonic.
        sleep: waits for seconds.

    Raises:
        SensorUnavailable: no group is visible, or none has a limit below the machine's memory.

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
        self._root = root
        self._own = _OwnGroups(root)
        self._place = self._own.read()
        self._readings = 0
        try:
            self._groups = _limited_groups(root)
        except BaseException:
            self._own.close()
            raise
        self._suspicious = thresholds.limit_leave
        super().__init__(
            "container limit",
            _folders(self._groups),
            Hysteresis(thresholds.limit_enter, thresholds.limit_leave, thresholds.dwell),
            thresholds,
            clock,
            sleep,
        )
        self.require_reading()

    def read(self) -> float | None:
        """The highest share of all limited groups; None if the process is in none any more."""
        self._readings += 1
        if self._readings % _READINGS_OF_ONE_PLACE == 0 and self._own.read() != self._place:
            self._leave()
        shares = [group.share(self._suspicious) for group in self._groups]
        known = [share for share in shares if share is not None]
        if known and len(known) == len(shares):
            return max(known)
        self._find_again()
        return None

    def _find_again(self) -> None:
        """Look where the process is now: it may have been moved, and its old group removed."""
        place = self._own.read()
        try:
            found = _limited_groups(self._root)
        except (SensorUnavailable, OSError):
            return
        for group in self._groups:
            group.close()
        self._groups, self._place = found, place
        self._source = _folders(found)

    def _leave(self) -> None:
        """Go with the process to where it was moved. The groups that it has left say nothing about it any more."""
        left, self._groups = self._groups, []
        for group in left:
            group.close()
        self._find_again()

    def close(self) -> None:
        """Close the kept files."""
        super().close()
        self._own.close()
        for group in self._groups:
            group.close()


class _OwnGroups:
    """In which groups the process is, in the kernel's words; b"" where it does not tell."""

    def __init__(self, root: Path) -> None:
        # Kept open, because the event loop reads it; it tells of this process, also when it is read later.
        self._file: KeptFile | None = None
        with suppress(SensorUnavailable):
            self._file = KeptFile(root / "proc/self/cgroup")

    def read(self) -> bytes:
        return b"" if self._file is None else self._file.read()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _folders(groups: list[_Group]) -> str:
    return ", ".join(str(group.folder) for group in groups)


def _limited_groups(root: Path) -> list[_Group]:
    reasons = []
    machine = _machine_bytes(root)
    for find, make in ((find_v2, _v2), (find_v1_memory, _v1)):
        try:
            folders = find(root).chain()
        except SensorUnavailable as error:
            reasons.append(str(error))
            continue
        groups = []
        for folder in folders:
            try:
                group = make(folder)
            except SensorUnavailable as error:
                reasons.append(str(error))
                continue
            ceiling = group.limit()
            if ceiling is not None and ceiling < machine:
                groups.append(group)
            else:
                reasons.append(f"{folder} has no limit below the machine's memory")
                group.close()
        if groups:
            return groups
    raise SensorUnavailable("; ".join(reasons))


def _machine_bytes(root: Path) -> float:
    try:
        file = KeptFile(root / "proc/meminfo")
    except SensorUnavailable:
        return inf
    try:
        return memory_total(file.read()) or inf
    finally:
        file.close()
