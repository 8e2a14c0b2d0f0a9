"""Signals of the service manager and of the old controller."""

import base64
import os
import socket
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from huks_async.sessions.pressure.base import (
    SensorBroken,
    SensorState,
    SensorUnavailable,
)
from huks_async.sessions.pressure.psi import PsiSensor
from huks_async.sessions.pressure.signals import SignalSensor, open_v1_group_signal
from huks_async.sessions.pressure.systemd import open_systemd_sensor, turned_off
from huks_async.sessions.pressure.trigger import StreamTrigger
from tests.adversity.support import descriptors
from tests.skips import need_pressure_file

LOOPS = [
    pytest.param("asyncio", {}, id="asyncio"),
    pytest.param("asyncio", {"use_uvloop": True}, id="uvloop"),
    pytest.param("trio", {}, id="trio"),
]


def run(loop: str, options: dict, function, *arguments) -> None:
    """Run a coroutine function on one of the loops, if it is installed."""
    pytest.importorskip("uvloop" if options else loop)
    anyio.run(partial(function, *arguments), backend=loop, backend_options=options)


def environ(path: str | Path, write: bytes | None = None) -> dict[str, str]:
    """The environment of a service."""
    made = {"MEMORY_PRESSURE_WATCH": str(path)}
    if write is not None:
        made["MEMORY_PRESSURE_WRITE"] = base64.b64encode(write).decode()
    return made


@pytest.mark.parametrize(("loop", "options"), LOOPS)
def test_a_fifo_wakes_every_loop(tmp_path: Path, virtual, loop: str, options: dict) -> None:
    """Bytes on a fifo are pressure for a while, and the last writer may go and come again."""
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main() -> None:
        sensor = await anyio.to_thread.run_sync(
            partial(open_systemd_sensor, environ(path), clock=virtual.clock)
        )
        assert not sensor.under_pressure()
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sensor.wait)
                await anyio.wait_all_tasks_blocked()
                path.write_bytes(b"x" * 5000)
            assert sensor.under_pressure()
            virtual.pass_by(3.9)
            assert sensor.under_pressure()
            virtual.pass_by(0.2)
            assert not sensor.under_pressure()
        assert sensor.status().events == 2
        sensor.close()
        assert sensor.status().state == SensorState.CLOSED

    run(loop, options, main)


def test_what_is_written_to_a_fifo_reaches_its_reader(tmp_path: Path) -> None:
    """The service manager's data goes to the fifo as it is."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sensor = open_systemd_sensor(environ(path, b"hello\0"))
    assert os.read(reader, 100) == b"hello\0"
    sensor.close()
    os.close(reader)


@pytest.mark.asyncio
async def test_a_socket_is_connected_written_to_and_watched(tmp_path: Path) -> None:
    """A socket gets the data, gives signals, and breaks the sensor when its other end goes."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        variables = environ(path, b"some 200000 2000000\0")
        sensor = await anyio.to_thread.run_sync(open_systemd_sensor, variables)
        peer, _ = listener.accept()
    assert peer.recv(100) == b"some 200000 2000000\0"
    peer.send(b"x")
    assert (await sensor.wait()).sensor == "service manager"
    await sensor.wait()
    peer.close()
    assert not sensor.under_pressure()
    with pytest.raises(SensorBroken):
        await sensor.wait()
    assert sensor.status().state == SensorState.BROKEN
    sensor.close()


@pytest.mark.asyncio
async def test_a_socket_that_closes_while_waited_for() -> None:
    """The end of the other side wakes the waiting task with an error."""
    near, far = socket.socketpair()
    sensor = SignalSensor("test", "socket", near.detach())

    async def close_soon() -> None:
        await anyio.wait_all_tasks_blocked()
        far.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close_soon)
        with pytest.raises(SensorBroken, match="closed by the other side"):
            await sensor.wait()
    assert sensor.status().state == SensorState.BROKEN
    sensor.close()
    sensor.close()


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, "not set"),
        ({"MEMORY_PRESSURE_WATCH": ""}, "not set"),
        ({"MEMORY_PRESSURE_WATCH": "relative"}, "'relative'"),
        ({"MEMORY_PRESSURE_WATCH": "/absent"}, "No such file"),
        ({"MEMORY_PRESSURE_WATCH": "/nul\0"}, "null byte"),
        ({"MEMORY_PRESSURE_WATCH": "/folder"}, "neither a file"),
        ({"MEMORY_PRESSURE_WATCH": "/folder", "MEMORY_PRESSURE_WRITE": "not base64!"}, "not base64"),
        ({"MEMORY_PRESSURE_WATCH": "/folder", "MEMORY_PRESSURE_WRITE": "ü"}, "not base64"),
        ({"MEMORY_PRESSURE_WATCH": "/dead"}, "refused"),
        ({"MEMORY_PRESSURE_WATCH": "/plain"}, "cannot be waited for"),
    ],
    ids=[
        "unset",
        "empty",
        "relative",
        "absent",
        "nul",
        "folder",
        "base64",
        "letters",
        "dead socket",
        "plain file",
    ],
)
def test_what_cannot_be_watched(tmp_path: Path, variables: dict, reason: str) -> None:
    """A wrong variable makes the sensor unavailable with its reason, and leaves no descriptor behind."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    before = descriptors()
    with pytest.raises(SensorUnavailable, match=reason):
        open_systemd_sensor(variables, tmp_path)
    assert descriptors().items() <= before.items()  # an earlier test may let one go meanwhile


def test_turned_off() -> None:
    """/dev/null means: do not watch."""
    assert turned_off({"MEMORY_PRESSURE_WATCH": "/dev/null"})
    assert not turned_off({})
    with pytest.raises(SensorUnavailable):
        open_systemd_sensor({"MEMORY_PRESSURE_WATCH": "/dev/null"})


def test_the_kernel_takes_the_service_manager_s_line() -> None:
    """A real pressure file takes the line with its final zero byte."""
    need_pressure_file()
    sensor = open_systemd_sensor(environ("/proc/pressure/memory", b"some 200000 2000000\0"))
    assert isinstance(sensor, PsiSensor)
    sensor.close()


# the old controller's signal


def test_the_old_controller_is_asked_for_a_signal(machine) -> None:
    """The registration names an eventfd, the level's file, and the level."""
    machine.v1()
    group = machine.root / "sys/fs/cgroup/memory/app"
    machine.v1_group("sys/fs/cgroup/memory/app", usage=1, limit=100)
    with pytest.raises(SensorUnavailable, match=r"memory\.pressure_level: No such file"):
        open_v1_group_signal(machine.root)
    machine.write("sys/fs/cgroup/memory/app/memory.pressure_level", "")
    control = machine.write("sys/fs/cgroup/memory/app/cgroup.event_control", "")
    sensor = open_v1_group_signal(machine.root)
    event, level, name = control.read_bytes().split()
    assert int(level) > 0
    assert name == b"medium"
    assert not sensor.under_pressure()
    os.eventfd_write(int(event), 1)
    assert sensor.under_pressure()
    assert str(group) in sensor.describe()
    sensor.close()


def test_the_old_controller_s_root_group_is_passed_over(machine) -> None:
    """The root group's shortage is that of the machine, which another sensor tells."""
    machine.v1("/")
    machine.v1_group("sys/fs/cgroup/memory", usage=1, limit=100)
    with pytest.raises(SensorUnavailable, match="root group"):
        open_v1_group_signal(machine.root)


@pytest.mark.asyncio
async def test_a_cancelled_wait_takes_no_signal_away() -> None:
    """A signal that comes after a cancelled wait is seen by the next one."""
    read, write = os.pipe()
    sensor = SignalSensor("test", "pipe", read)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sensor.wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    os.write(write, b"x")
    await sensor.wait()
    trigger = StreamTrigger(read, "pipe")
    assert not trigger.drain()
    sensor.close()
    os.close(write)
