"""Sensors that wait for the kernel on the event loop, without polling or a thread."""

import asyncio
import errno
import functools
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
from huks_async.sessions.pressure.trigger import PriorityTrigger
from tests.adversity.support import descriptors
from tests.skips import need_pressure_file

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
        assert select.select([], [], [self.near], 60)[2]  # the kernel may bring it a moment later

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
        woken = []

        async def wait_for_plain() -> None:
            await trigger.wait()
            woken.append(True)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_plain)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert not woken
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
    before = descriptors()
    with pytest.raises(SensorUnavailable, match="cannot be waited for"):
        PsiSensor("stalls", path)
    assert descriptors().items() <= before.items()  # an earlier test may let one go meanwhile


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


@pytest.mark.asyncio
async def test_a_descriptor_that_the_event_loop_may_not_watch_breaks_the_trigger(urgent, monkeypatch) -> None:
    """A user has so many of these, and memory may be too short for one more."""
    loop = asyncio.get_running_loop()
    trigger = PriorityTrigger(urgent.near.fileno(), "group")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(loop, "add_reader", full)
    with pytest.raises(SensorBroken, match="group cannot be waited for: No space left"):
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
    need_pressure_file()
    sensor = open_system_psi(thresholds=PressureThresholds(stall_us=window[0], window_us=window[1]))
    assert sensor.status().source == "/proc/pressure/memory"
    sensor.under_pressure()
    assert sensor.status().failures == 0
    sensor.close()


def test_the_kernel_refuses_a_window_that_is_too_short() -> None:
    """A window below half a second is refused, and the message shows the line."""
    need_pressure_file()
    thresholds = PressureThresholds(stall_us=10_000, window_us=100_000)
    with pytest.raises(SensorUnavailable, match="takes no trigger 'some 10000 100000"):
        open_system_psi(thresholds=thresholds)
