"""A machine made of recorded sensor files, and a time that passes only by sleeping."""

from collections.abc import Callable
from pathlib import Path

import anyio.lowlevel
import pytest

MIB = 1 << 20

MEMINFO = """\
MemTotal:        8000000 kB
MemFree:          500000 kB
MemAvailable:    {available} kB
Buffers:          102400 kB
SwapTotal:             0 kB
"""
PSI = """\
some avg10=0.00 avg60=0.00 avg300=0.00 total={total}
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
"""
V2_MOUNT = "35 24 0:30 {root} {point} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "36 25 0:32 {root} {point} rw,nosuid - cgroup cgroup rw,memory\n"


class VirtualTime:
    """A clock that moves when somebody sleeps; `at` schedules what the world does meanwhile."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self._plan: list[tuple[float, Callable[[], object]]] = []

    def clock(self) -> float:
        return self.now

    def at(self, after: float, happen: Callable[[], object]) -> None:
        self._plan.append((self.now + after, happen))
        self._plan.sort(key=lambda entry: entry[0])

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        while self._plan and self._plan[0][0] <= self.now:
            self._plan.pop(0)[1]()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        assert len(self.slept) < 10_000, "sleeps for ever"
        self.pass_by(seconds)
        await anyio.lowlevel.checkpoint()


class Machine:
    """Files of /proc and /sys under a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: str | bytes) -> Path:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        # in place, as the kernel does: the sensors keep their files open
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def meminfo(self, available: int = 4_000_000) -> None:
        self.write("proc/meminfo", MEMINFO.format(available=available))

    def v2(self, path: str = "/app", mount_root: str = "/", point: str = "/sys/fs/cgroup") -> None:
        self.write("proc/self/cgroup", f"0::{path}\n")
        self.write("proc/self/mountinfo", V2_MOUNT.format(root=mount_root, point=point))

    def v1(self, path: str = "/app", mount_root: str = "/", point: str = "/sys/fs/cgroup/memory") -> None:
        self.write("proc/self/cgroup", f"9:name=systemd:/\n4:cpu,memory:{path}\n0::/\n")
        self.write("proc/self/mountinfo", V1_MOUNT.format(root=mount_root, point=point))

    def v2_group(
        self,
        folder: str,
        current: int = 10 * MIB,
        limit: str | int = "max",
        high: str | int = "max",
        inactive: int = 0,
        oom: int = 0,
    ) -> None:
        self.write(f"{folder}/cgroup.events", "populated 1\nfrozen 0\n")
        self.write(f"{folder}/memory.current", f"{current}\n")
        self.write(f"{folder}/memory.max", f"{limit}\n")
        self.write(f"{folder}/memory.high", f"{high}\n")
        self.write(f"{folder}/memory.stat", f"anon 1\nfile 2\ninactive_file {inactive}\nactive_file 5\n")
        self.write(f"{folder}/memory.events", f"low 0\nhigh 0\nmax 0\noom {oom}\noom_kill 0\n")

    def v1_group(self, folder: str, usage: int, limit: int, inactive: int = 0, kills: int = 0) -> None:
        self.write(f"{folder}/memory.usage_in_bytes", f"{usage}\n")
        self.write(f"{folder}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"{folder}/memory.stat", f"cache 7\ninactive_file 1\ntotal_inactive_file {inactive}\n")
        self.write(f"{folder}/memory.oom_control", f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine of 8 GB with plenty of memory, and no groups yet."""
    made = Machine(tmp_path / "machine")
    made.meminfo()
    return made


@pytest.fixture
def virtual() -> VirtualTime:
    """Virtual time."""
    return VirtualTime()
