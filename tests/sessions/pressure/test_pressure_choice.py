"""Which sensors are chosen, and what happens when they break."""

import asyncio
import contextlib
import errno
import gc
import os
import resource
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from huks_async.sessions.pressure import choose, choose_sensor, open_sensor
from huks_async.sessions.pressure.base import (
    PressureEvent,
    Sensor,
    SensorBroken,
    SensorState,
    SensorStatus,
    SensorUnavailable,
    SilentSensor,
)
from huks_async.sessions.pressure.cgroup import GroupLimitSensor
from huks_async.sessions.pressure.combine import CombinedSensor, FallbackSensor
from huks_async.sessions.pressure.signals import SignalSensor
from tests.adversity.support import descriptors

MIB = 1 << 20


class Scripted(Sensor):
    """A sensor whose moments are made by hand."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.short = False
        self.closed = 0
        self._moment = anyio.Event()
        self._error: SensorBroken | None = None

    def fire(self) -> None:
        self.short = True
        self._moment.set()

    def break_down(self) -> None:
        self._error = SensorBroken(f"{self.name} broke")
        self._moment.set()

    async def wait(self) -> PressureEvent:
        await self._moment.wait()
        if self._error:
            raise self._error
        return PressureEvent(self.name, "scripted", 0)

    def under_pressure(self) -> bool:
        return self.short

    def close(self) -> None:
        self.closed += 1

    def status(self) -> SensorStatus:
        return SensorStatus(self.name, SensorState.PRESSURE if self.short else SensorState.CALM, "script")


def unavailable(reason: str):
    """A candidate that does not work here."""

    def make() -> Sensor:
        raise SensorUnavailable(reason)

    return make


@pytest.mark.asyncio
async def test_the_first_of_several_wakes() -> None:
    """Whichever comes first wakes; the others are not left waiting."""
    slow, quick = Scripted("slow"), Scripted("quick")
    both = CombinedSensor([slow, quick])
    quick.fire()
    assert (await both.wait()).sensor == "quick"
    assert both.under_pressure()
    assert both.status().state == SensorState.PRESSURE
    quick.short = False
    assert not both.under_pressure()
    assert both.name == "slow + quick"
    both.close()
    assert (slow.closed, quick.closed) == (1, 1)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_loop_that_ends_at_once_leaves_no_wait_that_never_began(loop: str, turns: int) -> None:
    """The end of a loop cancels tasks, also those that have not begun; Python would warn of what they await."""
    factory = asyncio.new_event_loop if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    async def main() -> None:
        both = CombinedSensor([SilentSensor("here"), SilentSensor("there")])
        task = asyncio.create_task(both.wait())
        for _ in range(turns):
            await asyncio.sleep(0)
        assert not task.done()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    gc.collect()


@pytest.mark.asyncio
async def test_a_broken_part_is_dropped(caplog) -> None:
    """One that breaks is closed and dropped with a line in the log; the others go on until the last."""
    first, second = Scripted("first"), Scripted("second")
    both = CombinedSensor([first, second])
    first.break_down()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(both.wait)
        await anyio.wait_all_tasks_blocked()
        assert first.closed == 1
        second.fire()
    assert "first is dropped" in caplog.text
    assert [part.name for part in both.status().parts] == ["second", "first"]
    second.break_down()
    with pytest.raises(SensorBroken, match="no sensor is left"):
        await both.wait()
    with pytest.raises(SensorBroken, match="no sensor is left"):
        await both.wait()
    assert both.status().state == SensorState.BROKEN
    assert both.describe() == "no sensor is left"
    assert not both.under_pressure()


@pytest.mark.asyncio
async def test_all_parts_breaking_at_once() -> None:
    """When all break in the same moment the whole breaks once."""
    parts = [Scripted("one"), Scripted("two")]
    both = CombinedSensor(parts)
    for part in parts:
        part.break_down()
    with pytest.raises(SensorBroken, match="no sensor is left"):
        await both.wait()
    assert [part.closed for part in parts] == [1, 1]


@pytest.mark.asyncio
async def test_the_next_sensor_takes_over(caplog) -> None:
    """A sensor that breaks is closed, said in the log, and followed by the next that works."""
    first, second = Scripted("first"), Scripted("second")
    chain = FallbackSensor(
        "machine", [unavailable("not here"), lambda: first, unavailable("nor this"), lambda: second]
    )
    assert chain.name == "first"
    first.break_down()
    second.fire()
    with caplog.at_level("INFO", "huks_async.pressure"):
        assert (await chain.wait()).sensor == "second"
    assert "first broke" in caplog.text
    assert first.closed == 1
    assert chain.name == "second"
    assert chain.under_pressure()
    assert chain.passed_over == ("not here", "first broke", "nor this")
    assert chain.status().failures == 1
    second.break_down()
    with pytest.raises(SensorBroken, match="machine: no sensor is left"):
        await chain.wait()
    assert not chain.under_pressure()
    assert chain.status().state == SensorState.BROKEN
    chain.close()


def test_a_chain_without_a_working_sensor() -> None:
    """Nothing that works: the reasons are all told."""
    with pytest.raises(SensorUnavailable, match="machine: no file; no kernel"):
        FallbackSensor("machine", [unavailable("no file"), unavailable("no kernel")])
    with pytest.raises(SensorUnavailable, match="no sensor"):
        CombinedSensor([])


def names(sensor: Sensor) -> list[str]:
    """The sensors in use, by role."""
    return [f"{role.name}: {part.name}" for role in sensor.status().parts for part in role.parts]


def test_choice_for_recorded_files(machine, virtual) -> None:
    """Without triggers the level of the machine is polled, and that of the container beside it."""
    machine.v2()
    machine.v2_group("sys/fs/cgroup/app", limit=100 * MIB)
    sensor = choose_sensor(root=machine.root, environ={}, clock=virtual.clock, sleep=virtual.sleep)
    assert names(sensor) == ["machine: available memory", "container: container limit"]
    assert any("memory.pressure" in reason for reason in sensor.status().passed_over)
    assert sensor.describe().count("\n") == 1
    machine.v2_group("sys/fs/cgroup/app", current=95 * MIB, limit=100 * MIB)
    assert sensor.under_pressure()
    sensor.close()


@pytest.mark.asyncio
async def test_choice_wakes_on_the_container_alone(machine, virtual) -> None:
    """A full container wakes while the machine has plenty."""
    machine.v2()
    machine.v2_group("sys/fs/cgroup/app", limit=100 * MIB)
    sensor = await anyio.to_thread.run_sync(
        partial(choose_sensor, root=machine.root, environ={}, clock=virtual.clock, sleep=virtual.sleep)
    )
    virtual.at(3, lambda: machine.v2_group("sys/fs/cgroup/app", current=95 * MIB, limit=100 * MIB))
    assert (await sensor.wait()).sensor == "container limit"
    sensor.close()


@pytest.mark.asyncio
async def test_choice_when_the_machine_s_file_breaks(machine, virtual, caplog) -> None:
    """A machine's file that turns to garbage hands over to the portable sensor."""
    pytest.importorskip("psutil")
    sensor = await anyio.to_thread.run_sync(
        partial(choose_sensor, root=machine.root, environ={}, clock=virtual.clock, sleep=virtual.sleep)
    )
    assert names(sensor) == ["machine: available memory"]
    machine.write("proc/meminfo", "garbage")
    with anyio.CancelScope() as scope:
        virtual.at(30, scope.cancel)
        await sensor.wait()
    assert names(sensor) == ["machine: available memory (psutil)"]
    assert "5 times in a row" in caplog.text
    sensor.close()


def test_choice_of_the_service_manager(machine, virtual) -> None:
    """What the service manager names replaces the own group's trigger."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(machine.root / "socket"))
    listener.listen()
    sensor = choose_sensor(
        root=machine.root, environ={"MEMORY_PRESSURE_WATCH": "/socket"}, clock=virtual.clock
    )
    assert names(sensor) == ["own group: service manager", "machine: available memory"]
    sensor.close()
    listener.close()


def test_choice_turned_off(machine, caplog) -> None:
    """/dev/null turns everything off."""
    with caplog.at_level("INFO", "huks_async.pressure"):
        sensor = choose_sensor(root=machine.root, environ={"MEMORY_PRESSURE_WATCH": "/dev/null"})
    assert isinstance(sensor, SilentSensor)
    assert "turned off by MEMORY_PRESSURE_WATCH" in sensor.describe()
    assert "asks not to watch" in caplog.text


@pytest.mark.asyncio
async def test_choice_where_nothing_can_be_sensed(tmp_path, monkeypatch, caplog) -> None:
    """Nothing to read and no psutil: silent, with every reason told."""
    monkeypatch.setitem(__import__("sys").modules, "psutil", None)
    sensor = await anyio.to_thread.run_sync(partial(choose_sensor, root=tmp_path, environ={}))
    assert sensor.status().state == SensorState.OFF
    assert any("psutil is not installed" in reason for reason in sensor.status().passed_over)
    assert "cannot be sensed" in caplog.text
    assert not sensor.under_pressure()
    with anyio.move_on_after(0.01) as scope:
        await sensor.wait()
    assert scope.cancelled_caught
    sensor.close()


def test_choice_on_this_machine_gives_its_descriptors_back() -> None:
    """Whatever works here is chosen, describes itself, and leaves nothing open."""
    before = descriptors()
    sensor = choose_sensor()
    assert sensor.describe()
    sensor.close()
    sensor.close()
    assert descriptors().items() <= before.items()  # an earlier test may let one go meanwhile


@contextlib.contextmanager
def only(left: int) -> Iterator[None]:
    """In the block, the process can open as many descriptors as said."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    filling: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(descriptors()) + 32, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                filling.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(left):
            os.close(filling.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filling:
            os.close(fd)


def test_no_shortage_of_descriptors_ends_the_choice_or_costs_more_of_them(machine) -> None:
    """With any number of descriptors left, a sensor is found or the reasons are told, and none is lost."""
    machine.v2()
    machine.v2_group("sys/fs/cgroup/app", limit=100 * MIB)
    machine.write("sys/fs/cgroup/app/memory.pressure", "some avg10=0 avg60=0 avg300=0 total=0\n")
    socket_path = machine.root / "watched"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(socket_path))
        server.listen(20)
        for root, environ in (
            (Path("/"), {}),
            (machine.root, {}),
            (machine.root, {"MEMORY_PRESSURE_WATCH": "/watched"}),
        ):
            before = descriptors()
            chosen = set()
            for left in range(16):
                with only(left):
                    sensor = choose_sensor(root=root, environ=environ)
                chosen.add(sensor.name)
                sensor.close()
                assert descriptors().items() <= before.items()  # an earlier test may let one go meanwhile
            assert len(chosen) > 1


@pytest.mark.parametrize("hidden", ["sys/fs/cgroup", "sys/fs/cgroup/app/cgroup.events", "memory.max"])
def test_what_may_not_be_looked_into_passes_on(machine, monkeypatch, hidden: str) -> None:
    """A folder or file that may not even be looked for leaves the machine's sensor, at the start and later."""
    machine.v2()
    machine.v2_group("sys/fs/cgroup/app", limit=100 * MIB)
    usage = machine.root / "sys/fs/cgroup/app/memory.current"
    moved = choose_sensor(root=machine.root, environ={})
    real = os.stat

    def refusing(path, *arguments, **options):
        if hidden in str(path):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refusing)
    before = descriptors()
    sensor = choose_sensor(root=machine.root, environ={})
    assert "available memory" in sensor.name
    sensor.close()
    assert descriptors().items() <= before.items()
    usage.write_text("")
    assert not moved.under_pressure()
    moved.close()


@pytest.mark.asyncio
async def test_what_the_event_loop_may_not_watch_leaves_the_levels(machine, virtual, monkeypatch) -> None:
    """Where the user has no more descriptors to be watched, levels are read, which need none."""
    machine.v2()
    machine.v2_group("sys/fs/cgroup/app", limit=100 * MIB)
    near, far = socket.socketpair()

    def signals() -> Sensor:
        return SignalSensor("signal", "socket", near.detach())

    def level() -> Sensor:
        return GroupLimitSensor(machine.root, clock=virtual.clock, sleep=virtual.sleep)

    async def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(anyio, "wait_readable", full)
    sensor = CombinedSensor([FallbackSensor("own group", [signals, level])])
    virtual.at(5, lambda: machine.write("sys/fs/cgroup/app/memory.current", f"{99 * MIB}\n"))
    assert (await sensor.wait()).sensor == "container limit"
    sensor.close()
    far.close()


def test_an_unforeseen_failure_of_the_choice_leaves_nothing_open(machine, monkeypatch) -> None:
    """What was opened before it is closed."""
    before = descriptors()

    def fail(*_: object, **__: object) -> Sensor:
        raise ZeroDivisionError

    monkeypatch.setattr("huks_async.sessions.pressure.cgroup.GroupLimitSensor", fail)
    with pytest.raises(ZeroDivisionError):
        choose_sensor(root=machine.root, environ={})
    assert descriptors().items() <= before.items()


@pytest.mark.asyncio
async def test_a_sensor_is_found_and_given_up_beside_the_loop(monkeypatch) -> None:
    """Looking for sensors takes 1 to 20 ms, and the kernel 7 to let go of a trigger: the loop does neither."""
    threads = []
    closed = threading.Event()

    class Noted(CombinedSensor):
        def close(self) -> None:
            threads.append(threading.current_thread())
            super().close()
            closed.set()

    def find() -> Sensor:
        threads.append(threading.current_thread())
        return Noted([SilentSensor("here")])

    monkeypatch.setattr(choose, "choose_sensor", find)
    sensor = await open_sensor()
    await sensor.aclose()
    assert await anyio.to_thread.run_sync(closed.wait, 60)
    assert len(threads) == 2
    assert threading.current_thread() not in threads


@pytest.mark.asyncio
async def test_a_sensor_that_nobody_waits_for_any_more_is_closed(monkeypatch) -> None:
    """A search that is cancelled goes to its end, and what it found is closed."""
    searching, found, closed = threading.Event(), threading.Event(), []

    class Noted(SilentSensor):
        def close(self) -> None:
            closed.append(True)

    def find() -> Sensor:
        searching.set()
        assert found.wait(120)
        return Noted("here")

    monkeypatch.setattr(choose, "choose_sensor", find)
    task = asyncio.create_task(open_sensor())
    while not searching.is_set():
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    found.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [True]
