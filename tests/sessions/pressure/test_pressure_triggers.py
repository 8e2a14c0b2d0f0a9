"""Sensors that wait for the kernel or the service manager, on the event loop."""

import base64
import functools
import os
import select
import socket
from pathlib import Path

import anyio
import pytest

from huks_async.sessions.pressure.base import (
    PressureThresholds,
    SensorBroken,
    SensorState,
    SensorUnavailable,
)
from huks_async.sessions.pressure.psi import PsiSensor, open_group_psi, open_system_psi
from huks_async.sessions.pressure.signals import SignalSensor, open_v1_group_signal
from huks_async.sessions.pressure.systemd import open_systemd_sensor, turned_off
from huks_async.sessions.pressure.trigger import PriorityTrigger, StreamTrigger

PSI = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"

LOOPS = [
    pytest.param("asyncio", {}, id="asyncio"),
    pytest.param("asyncio", {"use_uvloop": True}, id="uvloop"),
    pytest.param("trio", {}, id="trio"),
]


def run(loop: str, options: dict, function, *arguments) -> None:
    """Run a coroutine function on one of the loops, if it is installed."""
    pytest.importorskip("uvloop" if options else loop)
    anyio.run(functools.partial(function, *arguments), backend=loop, backend_options=options)


class Urgent:
    """A descriptor with a priority event, like that of a pressure file: out-of-band data of a socket."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.far = socket.create_connection(listener.getsockname())
        self.near, _ = listener.accept()
        listener.close()

    def fire(self) -> None:
        self.far.send(b"!", socket.MSG_OOB)

    def take(self) -> None:
        self.near.recv(1, socket.MSG_OOB)

    def close(self) -> None:
        self.near.close()
        self.far.close()


@pytest.fixture
def urgent():
    """A source of priority events."""
    if not hasattr(select, "epoll"):
        pytest.skip("priority events need epoll")
    source = Urgent()
    yield source
    source.close()


@pytest.mark.parametrize(("loop", "options"), LOOPS)
def test_priority_events_wake_every_loop(urgent, loop: str, options: dict) -> None:
    """A priority event wakes the waiting task; plain data, which is always there, does not."""

    async def main() -> None:
        trigger = PriorityTrigger(urgent.near.fileno(), "socket")
        urgent.far.send(b"plain")
        with anyio.move_on_after(0.02) as plain:
            await trigger.wait()
        assert plain.cancelled_caught
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(trigger.wait)
            await anyio.wait_all_tasks_blocked()
            urgent.fire()
        urgent.take()
        assert not trigger.drain()
        urgent.fire()
        while not trigger.drain():
            await anyio.lowlevel.checkpoint()
        trigger.close()

    run(loop, options, main)


def test_a_plain_file_has_no_priority_events(tmp_path: Path) -> None:
    """What cannot be waited for makes no trigger, and leaves no descriptor behind."""
    path = tmp_path / "memory.pressure"
    path.write_text(PSI.format(0))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SensorUnavailable, match="cannot be waited for"):
        PsiSensor("stalls", path)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.asyncio
async def test_a_group_that_goes_breaks_the_trigger(urgent) -> None:
    """The kernel marks the descriptor of a removed group with an error."""
    trigger = PriorityTrigger(urgent.near.fileno(), "group")
    # a reset is what gives a socket the same mark
    urgent.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    urgent.far.close()
    with pytest.raises(SensorBroken, match="group is gone"):
        await trigger.wait()
    trigger.close()


class StalledFile:
    """A stall sensor over a recorded pressure file and priority events made by hand."""

    def __init__(self, machine, virtual, urgent) -> None:
        self.machine, self.urgent = machine, urgent
        self.set(0)
        path = machine.root / "proc/pressure/memory"
        trigger = PriorityTrigger(urgent.near.fileno(), str(path))
        self.sensor = PsiSensor("stalls", path, trigger=trigger, clock=virtual.clock)

    def set(self, total: int | bytes) -> None:
        content = total if isinstance(total, bytes) else PSI.format(total)
        self.machine.write("proc/pressure/memory", content)


@pytest.fixture
def stalled(machine, virtual, urgent):
    """The sensor, its file and its events."""
    made = StalledFile(machine, virtual, urgent)
    yield made
    made.sensor.close()


@pytest.mark.asyncio
async def test_stalls_last_as_long_as_the_counter_grows(stalled, virtual) -> None:
    """After the trigger the counter of stalled time tells when it is over, and half-seconds are too short."""
    sensor = stalled.sensor
    assert not sensor.under_pressure()
    stalled.set(100_000)
    stalled.urgent.fire()
    event = await sensor.wait()
    stalled.urgent.take()
    assert "proc/pressure/memory" in event.reason
    assert sensor.under_pressure()
    virtual.pass_by(2)
    stalled.set(200_000)
    assert sensor.under_pressure()
    virtual.pass_by(0.4)
    assert sensor.under_pressure()
    virtual.pass_by(1.6)
    stalled.set(219_000)
    assert not sensor.under_pressure()
    assert sensor.status().state == SensorState.CALM
    assert sensor.status().events == 1


@pytest.mark.asyncio
async def test_waiting_while_stalled_returns_at_once(stalled) -> None:
    """Pressure that continues is reported again."""
    stalled.urgent.fire()
    await stalled.sensor.wait()
    await stalled.sensor.wait()
    assert stalled.sensor.status().events == 2


def test_stalls_of_long_ago_are_not_pressure(stalled, virtual) -> None:
    """Growth over more than ten seconds says nothing about now."""
    virtual.pass_by(3600)
    stalled.set(3600 * 1_000_000)
    assert not stalled.sensor.under_pressure()
    virtual.pass_by(1)
    assert not stalled.sensor.under_pressure()


def test_an_event_taken_while_asked_is_pressure(stalled) -> None:
    """Asking takes a pending event off and counts it."""
    stalled.urgent.fire()
    assert stalled.sensor.under_pressure()
    stalled.urgent.take()


@pytest.mark.asyncio
async def test_pressure_files_without_sense_break_the_sensor(stalled, virtual) -> None:
    """Five bad readings in a row break it."""
    stalled.urgent.fire()
    await stalled.sensor.wait()
    stalled.urgent.take()
    virtual.pass_by(1)
    stalled.set(b"some avg10=0.00 avg6")
    for _ in range(4):
        virtual.pass_by(1)
        assert stalled.sensor.under_pressure()
    virtual.pass_by(1)
    assert not stalled.sensor.under_pressure()
    assert stalled.sensor.status().state == SensorState.BROKEN
    with pytest.raises(SensorBroken):
        await stalled.sensor.wait()


@pytest.mark.asyncio
async def test_closed_stall_sensor(stalled) -> None:
    """A closed sensor is calm and cannot be waited for."""
    stalled.sensor.close()
    stalled.sensor.close()
    assert not stalled.sensor.under_pressure()
    assert stalled.sensor.status().state == SensorState.CLOSED
    with pytest.raises(SensorBroken):
        await stalled.sensor.wait()


def test_the_own_group_s_file_is_found(machine, monkeypatch) -> None:
    """The trigger goes to the pressure file of the own group, but not of the root group."""
    machine.v2("/app")
    machine.v2_group("sys/fs/cgroup/app")
    path = machine.write("sys/fs/cgroup/app/memory.pressure", PSI.format(0))
    with pytest.raises(SensorUnavailable, match="cannot be waited for"):
        open_group_psi(machine.root)
    # the recorded file shows what was asked of the kernel
    assert path.read_bytes().startswith(b"some 100000 2000000\n")
    machine.v2("/")
    with pytest.raises(SensorUnavailable, match="root group"):
        open_group_psi(machine.root)


@pytest.mark.parametrize("window", [(100_000, 2_000_000), (300_000, 4_000_000)], ids=str)
def test_the_kernel_takes_our_triggers(window: tuple[int, int]) -> None:
    """This kernel registers triggers whose window is a multiple of two seconds."""
    if not os.access("/proc/pressure/memory", os.W_OK):
        pytest.skip("no memory stall information that may be watched here")
    sensor = open_system_psi(thresholds=PressureThresholds(stall_us=window[0], window_us=window[1]))
    assert sensor.status().source == "/proc/pressure/memory"
    sensor.under_pressure()
    assert sensor.status().failures == 0
    sensor.close()


def test_the_kernel_refuses_a_window_that_is_too_short() -> None:
    """A window below half a second is refused, and the message shows the line."""
    if not os.access("/proc/pressure/memory", os.W_OK):
        pytest.skip("no memory stall information that may be watched here")
    thresholds = PressureThresholds(stall_us=10_000, window_us=100_000)
    with pytest.raises(SensorUnavailable, match="takes no trigger 'some 10000 100000"):
        open_system_psi(thresholds=thresholds)


# the service manager's protocol


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
        sensor = open_systemd_sensor(environ(path), clock=virtual.clock)
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
        sensor = open_systemd_sensor(environ(path, b"some 200000 2000000\0"))
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
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SensorUnavailable, match=reason):
        open_systemd_sensor(variables, tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_turned_off() -> None:
    """/dev/null means: do not watch."""
    assert turned_off({"MEMORY_PRESSURE_WATCH": "/dev/null"})
    assert not turned_off({})
    with pytest.raises(SensorUnavailable):
        open_systemd_sensor({"MEMORY_PRESSURE_WATCH": "/dev/null"})


def test_the_kernel_takes_the_service_manager_s_line() -> None:
    """A real pressure file takes the line with its final zero byte."""
    if not os.access("/proc/pressure/memory", os.W_OK):
        pytest.skip("no memory stall information that may be watched here")
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
    with anyio.move_on_after(0.01):
        await sensor.wait()
    os.write(write, b"x")
    with anyio.fail_after(5):
        await sensor.wait()
    trigger = StreamTrigger(read, "pipe")
    assert not trigger.drain()
    sensor.close()
    os.close(write)
