"""A real shortage of memory, made on purpose, from the kernel's signal to the purge.

A process of its own, alone in a group that is limited to 150 MB, keeps touching a mapped file of
400 MB until the test has seen what it waits for. Needs root and the memory controller of the first version.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from huks_async.sessions.monitor import LowMemoryMonitor
from huks_async.sessions.pressure.base import Sensor, SensorUnavailable
from huks_async.sessions.pressure.combine import CombinedSensor
from huks_async.sessions.pressure.psi import open_system_psi
from tests.disks import on_a_disk

LIMIT = 150 << 20
FILE = 400 << 20
PATIENCE = 120
"""Seconds until a test gives up; it is done as soon as the kernel tells of the shortage."""

HOG = f"""
import mmap, os, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as procs:
    procs.write(str(os.getpid()))
fd = os.open(sys.argv[2], os.O_RDWR)
memory = mmap.mmap(fd, {FILE})
while True:
    for page in range(0, {FILE}, 16 * mmap.PAGESIZE):
        memory[page]
"""


def mounted_memory_controller() -> Path | None:
    """Where the memory controller of the first version is mounted whole."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if kind[0] == "cgroup" and "memory" in kind[2].split(",") and fields[3] == "/":
            return Path(fields[4])
    return None


@contextmanager
def memory_controller(scratch: Path) -> Iterator[Path]:
    """The memory controller's folder, mounted for the time of the test if it is not."""
    there = mounted_memory_controller()
    if there:
        yield there
        return
    point = scratch / "memory-controller"
    point.mkdir()
    command = ["mount", "-t", "cgroup", "-o", "memory", "none", str(point)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except OSError as error:
        pytest.skip(f"the memory controller (v1) is not mounted, and mount does not start: {error}")
    if done.returncode:
        pytest.skip(f"the memory controller (v1) cannot be mounted: {done.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], timeout=120, check=True)


@contextmanager
def no_other_shortage() -> Iterator[None]:
    """Wait until no other run of these tests on this machine makes a shortage: the kernel tells of it everywhere."""
    with (Path(tempfile.gettempdir()) / "huks-async-test-shortage.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def hog(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process that is short of memory; it and its group are gone afterwards."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("a real shortage needs root, to make a memory group")
    with on_a_disk(tmp_path) as disk, no_other_shortage(), memory_controller(tmp_path) as controller:
        file = disk / "mapped"
        with file.open("wb") as mapped:
            mapped.truncate(FILE)
        group = controller / f"huks-async-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / "memory.limit_in_bytes").write_text(str(LIMIT))
        except OSError as error:
            if group.is_dir():
                group.rmdir()
            pytest.skip(f"a group under the memory controller (v1) cannot be made: {error}")
        process = None
        try:
            process = subprocess.Popen([sys.executable, "-c", HOG, str(group), str(file)])
            yield process
        finally:
            if process:
                process.kill()
                process.wait(60)
            # a group stays busy for a moment after its last process has gone
            for _ in range(1200):
                try:
                    group.rmdir()
                    break
                except OSError:
                    time.sleep(0.05)
            file.unlink()
            assert not group.exists()


@pytest.mark.parametrize(
    ("loop", "options"),
    [
        pytest.param("asyncio", {}, id="asyncio"),
        pytest.param("asyncio", {"use_uvloop": True}, id="uvloop"),
        pytest.param("trio", {}, id="trio"),
    ],
)
def test_a_real_shortage_purges_stale_sessions(
    hog: subprocess.Popen[bytes], loop: str, options: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kernel's trigger fires on a real shortage, and the stale sessions of this process go."""
    pytest.importorskip("uvloop" if options else loop)
    stale = list(range(10_000))
    fired: list[float] = []
    purged: list[float] = []
    gone: list[anyio.Event] = []

    class Noted(CombinedSensor):
        async def wait(self):
            event = await super().wait()
            fired.append(time.perf_counter())
            return event

    async def sensor() -> Sensor:
        return Noted([await anyio.to_thread.run_sync(open_system_psi)])

    try:
        open_system_psi().close()
    except SensorUnavailable as error:
        pytest.skip(f"no trigger on the system's memory stalls: {error}")

    def purge(most: int) -> int:
        purged.append(time.perf_counter())
        ended = len(stale[:most])
        del stale[:most]
        if not stale:
            gone[0].set()
        return ended

    monitor = LowMemoryMonitor(purge, sensor, pause=0.001)

    async def main() -> None:
        gone.append(anyio.Event())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(monitor.run)
            with anyio.move_on_after(PATIENCE):
                await gone[0].wait()
            monitor.close()

    started = time.perf_counter()
    anyio.run(main, backend=loop, backend_options=options)
    statistics = monitor.statistics()
    assert fired, f"no stall was signalled; the hog ended with {hog.poll()}"
    assert statistics.events >= 1
    assert purged
    assert not stale
    assert statistics.purged == 10_000
    assert statistics.failures == 0
    assert statistics.sensor == "system stalls"
    with capsys.disabled():
        print(
            f"\n{loop} {options or ''}: shortage to event {fired[0] - started:.2f} s, event to purge {(purged[0] - fired[0]) * 1e3:.3f} ms, "
            f"10,000 sessions gone after {(purged[-1] - fired[0]) * 1e3:.1f} ms"
        )
