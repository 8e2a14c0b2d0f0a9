"""Hysteresis, and the sensors that read a level: groups of both versions, meminfo, psutil."""

import builtins
from functools import partial
from math import inf

import anyio.to_thread
import pytest

from huks_async.model.errors import BusinessError
from huks_async.sessions.pressure.base import (
    Hysteresis,
    PressureThresholds,
    SensorBroken,
    SensorState,
    SensorUnavailable,
)
from huks_async.sessions.pressure.cgroup import GroupLimitSensor
from huks_async.sessions.pressure.meminfo import MeminfoSensor
from huks_async.sessions.pressure.portable import PortableSensor

MIB = 1 << 20
V1_NONE = 9223372036854771712


@pytest.mark.parametrize(
    ("readings", "states"),
    [
        ([(0, 0.5), (1, 0.89), (2, 0.90)], [False, False, True]),
        ([(0, 0.95), (5, 0.85), (9, 0.81), (12, 0.80)], [True, True, True, False]),
        ([(0, 0.95), (0.5, 0.1), (1.0, 0.1)], [True, True, False]),
        ([(0, 0.95), (2, 0.1), (2.5, 0.95), (3, 0.95)], [True, False, False, True]),
        ([(t / 10, 0.85 + 0.06 * (t % 2)) for t in range(40)], [False] + [True] * 39),
    ],
    ids=["enters", "leaves lower", "dwells before leaving", "dwells before entering", "does not flap"],
)
def test_hysteresis(readings: list[tuple[float, float]], states: list[bool]) -> None:
    """Enter at 0.9, leave at 0.8, dwell for a second."""
    hysteresis = Hysteresis(0.9, 0.8, 1.0)
    assert [hysteresis.update(value, now) for now, value in readings] == states


def test_a_signal_starts_the_dwelling_anew() -> None:
    """A second signal keeps the state for another dwelling time."""
    hysteresis = Hysteresis(0.05, 0.01, 1.0)
    hysteresis.enter(0)
    hysteresis.enter(0.75)
    assert hysteresis.update(0, 1.5)
    assert not hysteresis.update(0, 1.75)


@pytest.mark.parametrize(
    "wrong",
    [
        {"stall_us": 0},
        {"stall_us": 3_000_000},
        {"limit_enter": 0.7},
        {"limit_enter": 1.1},
        {"used_leave": 0},
        {"stall_share_leave": 0.06},
        {"dwell": -1},
        {"hold": float("nan")},
        {"poll_interval": 0},
        {"bad_readings": 0},
        {"bad_readings": "5"},
        {"poll_interval": float("inf")},
        {"window_us": True},
    ],
    ids=str,
)
def test_thresholds_refuse_nonsense(wrong: dict) -> None:
    """Levels in the wrong order and times below zero are refused, with the name in the message."""
    with pytest.raises(BusinessError, match=next(iter(wrong)).split("_")[0]) as refused:
        PressureThresholds(**wrong)
    assert refused.value.code == 401


def test_the_trigger_line_ends_with_a_terminator() -> None:
    """The kernel cuts the last byte off, so it must not be a digit."""
    assert PressureThresholds().trigger == b"some 100000 2000000\n"


# the level of the group


@pytest.mark.parametrize(
    ("group", "share"),
    [
        ({"current": 50 * MIB, "limit": 100 * MIB}, 0.5),
        ({"current": 50 * MIB, "limit": 100 * MIB, "inactive": 40 * MIB}, 0.5),
        ({"current": 95 * MIB, "limit": 100 * MIB}, 0.95),
        ({"current": 95 * MIB, "limit": 100 * MIB, "inactive": 40 * MIB}, 0.55),
        ({"current": 95 * MIB, "limit": 100 * MIB, "inactive": 99 * MIB}, 0.0),
        ({"current": 45 * MIB, "limit": 100 * MIB, "high": 50 * MIB}, 0.9),
        ({"current": 120 * MIB, "limit": 100 * MIB}, 1.0),
        ({"current": 5, "limit": 0}, 1.0),
    ],
    ids=[
        "half",
        "caches not looked at",
        "nearly full",
        "caches not counted",
        "only caches",
        "high",
        "over",
        "zero",
    ],
)
def test_share_of_a_unified_group(machine, group: dict, share: float) -> None:
    """The level is use without droppable caches against the tighter of both limits."""
    machine.v2()
    machine.v2_group("sys/fs/cgroup/app", **group)
    sensor = GroupLimitSensor(machine.root)
    assert sensor.read() == pytest.approx(share)
    sensor.close()


def test_share_of_an_old_group(machine) -> None:
    """The old controller's files give the same level."""
    machine.v1()
    machine.v1_group("sys/fs/cgroup/memory", usage=1, limit=V1_NONE)
    machine.v1_group("sys/fs/cgroup/memory/app", usage=95 * MIB, limit=100 * MIB, inactive=35 * MIB)
    sensor = GroupLimitSensor(machine.root)
    assert sensor.read() == pytest.approx(0.6)
    assert str(machine.root / "sys/fs/cgroup/memory/app") in sensor.describe()
    sensor.close()


def test_mixed_hierarchies_use_the_one_with_the_limit(machine) -> None:
    """A unified hierarchy without memory beside the old controller is passed over."""
    machine.v1()
    table = machine.root / "proc/self/mountinfo"
    table.write_text(table.read_text() + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n")
    machine.write("sys/fs/cgroup/unified/cgroup.procs", "1\n")
    machine.v1_group("sys/fs/cgroup/memory/app", usage=10 * MIB, limit=100 * MIB)
    sensor = GroupLimitSensor(machine.root)
    assert sensor.read() == pytest.approx(0.1)
    sensor.close()


@pytest.mark.parametrize("limit", ["max", 9_000_000 * 1024, ""], ids=["max", "above the machine", "empty"])
def test_no_limit_no_sensor(machine, limit: str | int) -> None:
    """A group without a limit below the machine's memory is not polled."""
    machine.v2()
    machine.v2_group("sys/fs/cgroup/app", limit=limit)
    with pytest.raises(SensorUnavailable, match="no limit"):
        GroupLimitSensor(machine.root)


@pytest.mark.asyncio
async def test_limit_sensor_wakes_and_calms(machine, virtual) -> None:
    """It polls once a second, wakes at nine tenths, and is calm again at eight."""
    machine.v2()
    group = "sys/fs/cgroup/app"
    machine.v2_group(group, current=50 * MIB, limit=100 * MIB)
    sensor = await anyio.to_thread.run_sync(
        partial(GroupLimitSensor, machine.root, clock=virtual.clock, sleep=virtual.sleep)
    )
    virtual.at(4.5, lambda: machine.v2_group(group, current=92 * MIB, limit=100 * MIB))
    event = await sensor.wait()
    assert (event.sensor, event.at) == ("container limit", 1005)
    assert "92%" in event.reason
    assert virtual.slept == [1.0] * 5
    assert sensor.under_pressure()
    assert (await sensor.wait()).at == 1005
    virtual.pass_by(2)
    machine.v2_group(group, current=85 * MIB, limit=100 * MIB)
    assert sensor.under_pressure()
    machine.v2_group(group, current=80 * MIB, limit=100 * MIB)
    assert not sensor.under_pressure()
    assert sensor.status().state == SensorState.CALM
    assert sensor.status().events == 2
    sensor.close()
    assert sensor.status().state == SensorState.CLOSED
    assert not sensor.under_pressure()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_out_of_memory_counts_at_any_level(machine, virtual, version: str) -> None:
    """A shortage that the kernel counted since the last look is pressure, once."""

    def write(count: int) -> None:
        if version == "v2":
            machine.v2_group("sys/fs/cgroup/app", limit=100 * MIB, oom=count)
        else:
            machine.v1_group("sys/fs/cgroup/memory/app", usage=10 * MIB, limit=100 * MIB, kills=count)

    getattr(machine, version)()
    write(3)
    sensor = GroupLimitSensor(machine.root, clock=virtual.clock)
    assert not sensor.under_pressure()
    virtual.pass_by(1)
    write(4)
    assert sensor.under_pressure()
    virtual.pass_by(1)
    assert not sensor.under_pressure()
    sensor.close()


def test_a_limit_that_is_lifted(machine) -> None:
    """A limit that is taken away while the sensor lives ends the pressure."""
    machine.v2()
    machine.v2_group("sys/fs/cgroup/app", current=99 * MIB, limit=100 * MIB)
    sensor = GroupLimitSensor(machine.root)
    assert sensor.read() == 0.99
    machine.v2_group("sys/fs/cgroup/app", current=99 * MIB, limit="max")
    assert sensor.read() == 0
    sensor.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("garbage", [b"", b"10485", b"\x00\xff\n", b"-5\n", b"ten\n"], ids=repr)
async def test_five_bad_readings_break_the_sensor(machine, virtual, garbage: bytes) -> None:
    """Half-written and garbage files are counted, and five in a row break the sensor."""
    machine.v2()
    machine.v2_group("sys/fs/cgroup/app", limit=100 * MIB)
    sensor = await anyio.to_thread.run_sync(
        partial(GroupLimitSensor, machine.root, clock=virtual.clock, sleep=virtual.sleep)
    )
    machine.write("sys/fs/cgroup/app/memory.current", garbage)
    for _ in range(4):
        assert not sensor.under_pressure()
    machine.write("sys/fs/cgroup/app/memory.current", "10485760\n")
    assert not sensor.under_pressure()
    machine.write("sys/fs/cgroup/app/memory.current", garbage)
    with pytest.raises(SensorBroken, match="5 times in a row"):
        await sensor.wait()
    assert sensor.status().state == SensorState.BROKEN
    assert sensor.status().failures == 9
    sensor.close()


def test_pressure_survives_a_bad_reading_but_not_a_broken_sensor(machine, virtual) -> None:
    """One bad reading leaves the state as it is; too many end it, for nobody would end it else."""
    machine.meminfo(available=80_000)
    sensor = MeminfoSensor(machine.root, clock=virtual.clock)
    assert sensor.under_pressure()
    machine.write("proc/meminfo", "MemTotal:   8000")
    assert [sensor.under_pressure() for _ in range(6)] == [True] * 4 + [False] * 2
    sensor.close()


def test_moved_to_another_group(machine) -> None:
    """When the old group is gone the sensor looks where the process is now."""
    machine.v2("/old")
    machine.v2_group("sys/fs/cgroup/old", limit=100 * MIB)
    sensor = GroupLimitSensor(machine.root)
    machine.v2("/new")
    machine.v2_group("sys/fs/cgroup/new", current=95 * MIB, limit=100 * MIB)
    machine.write("sys/fs/cgroup/old/memory.current", "")
    assert sensor.read() is None
    assert sensor.read() == 0.95
    sensor.close()


def test_moved_to_another_group_while_the_old_one_stays(machine) -> None:
    """Within five readings the sensor is where the process is, and says so."""
    machine.v2("/old")
    machine.v2_group("sys/fs/cgroup/old", limit=100 * MIB)
    machine.v2_group("sys/fs/cgroup/new", current=95 * MIB, limit=100 * MIB)
    sensor = GroupLimitSensor(machine.root)
    for place, share in (("/new", 0.95), ("/old", 0.1), ("/new", 0.95)):
        machine.v2(place)
        assert share in [sensor.read() for _ in range(5)]
        assert [sensor.read() for _ in range(20)] == [share] * 20
        assert sensor.status().source == str(machine.root / f"sys/fs/cgroup{place}")
    sensor.close()


def test_moved_to_a_group_without_a_limit(machine) -> None:
    """There is nothing to read until the process is in a limited group again."""
    machine.v2("/old")
    machine.v2_group("sys/fs/cgroup/old", current=95 * MIB, limit=100 * MIB)
    machine.v2_group("sys/fs/cgroup/new")
    sensor = GroupLimitSensor(machine.root)
    machine.v2("/new")
    assert None in [sensor.read() for _ in range(5)]
    assert sensor.read() is None
    machine.v2("/old")
    assert sensor.read() is None
    assert sensor.read() == 0.95
    sensor.close()


def test_permission_denied_passes_on(machine, monkeypatch) -> None:
    """A file that may not be read makes the sensor unavailable, with the reason."""
    machine.v2()
    machine.v2_group("sys/fs/cgroup/app", limit=100 * MIB)
    deny(monkeypatch, "memory.current")
    with pytest.raises(SensorUnavailable, match=r"memory\.current: Permission denied"):
        GroupLimitSensor(machine.root)


def deny(monkeypatch, name: str) -> None:
    """Refuse files of this name, as the kernel does to users that are not root."""
    import os

    real = os.open

    def refusing(path, *arguments, **options):
        if str(path).endswith(name):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refusing)


# the machine's level


@pytest.mark.asyncio
async def test_meminfo_wakes_and_calms(machine, virtual) -> None:
    """Short below 5 % available, calm again from 8 %."""
    sensor = await anyio.to_thread.run_sync(
        partial(MeminfoSensor, machine.root, clock=virtual.clock, sleep=virtual.sleep)
    )
    virtual.at(2.5, lambda: machine.meminfo(available=390_000))
    event = await sensor.wait()
    assert event.at == 1003
    virtual.pass_by(2)
    machine.meminfo(available=600_000)
    assert sensor.under_pressure()
    machine.meminfo(available=650_000)
    assert not sensor.under_pressure()
    sensor.close()
    sensor.close()
    with pytest.raises(SensorBroken, match="closed"):
        await sensor.wait()


def test_meminfo_of_an_old_kernel(machine) -> None:
    """Without MemAvailable the sensor does not work."""
    machine.write("proc/meminfo", "MemTotal: 8000 kB\nMemFree: 100 kB\n")
    with pytest.raises(SensorUnavailable, match="no reading"):
        MeminfoSensor(machine.root)


@pytest.mark.parametrize("reading", [(5, 0), (-1, 10), (11, 10)], ids=str)
def test_portable_readings_without_sense(reading: tuple[int, int]) -> None:
    """Numbers that cannot be are no reading."""
    with pytest.raises(SensorUnavailable):
        PortableSensor(reader=lambda: reading)


def test_portable_survives_its_reader() -> None:
    """Whatever the package raises is no reading."""
    readings = iter([(2, 10), (0, 10)])
    sensor = PortableSensor(reader=lambda: next(readings))
    assert sensor.under_pressure()
    assert sensor.under_pressure()
    assert sensor.status().failures == 1


def test_portable_agrees_with_the_kernel() -> None:
    """psutil's level on this machine is a share."""
    pytest.importorskip("psutil")
    reading = PortableSensor().read()
    assert reading is not None
    assert 0 < reading < 1 < inf


def test_portable_names_the_extra(monkeypatch) -> None:
    """Without psutil the message says what to install."""
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "psutil":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SensorUnavailable, match=r"huks-async\[portable\]"):
        PortableSensor()
