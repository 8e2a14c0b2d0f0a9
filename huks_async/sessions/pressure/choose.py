"""Which sensors serve this process best, found by trying."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import anyio

from huks_async.runtime.workers import run_to_its_end
from huks_async.sessions.pressure.base import (
    Clock,
    PressureThresholds,
    Sensor,
    SensorUnavailable,
    SilentSensor,
    Sleep,
    logger,
)


def choose_sensor(
    *,
    root: Path = Path("/"),
    environ: Mapping[str, str] = os.environ,
    thresholds: PressureThresholds | None = None,
    clock: Clock = time.monotonic,
    sleep: Sleep = anyio.sleep,
) -> Sensor:
    """Combine the sensors that work here into one that wakes on whichever comes first.

    Three questions are answered side by side, because no answer implies another:
    does the process's group stall (what the service manager names, else a trigger on the group)?
    Does the machine run short (a trigger, else available memory)?
    Does the container near its limit (its level, if it has a limit)?

    Args:
        root: folder that /proc and /sys are looked for in.
        environ: the environment, for the service manager's protocol.
        thresholds: when memory counts as short.
        clock: gives seconds, monotonic.
        sleep: waits for seconds.

    Returns:
        A sensor, never None: where nothing can be sensed, one that is silent and says why.

    """
    # late: only a program that runs a monitor needs these
    from huks_async.sessions.pressure.cgroup import GroupLimitSensor
    from huks_async.sessions.pressure.combine import CombinedSensor, FallbackSensor, SensorFactory
    from huks_async.sessions.pressure.meminfo import MeminfoSensor
    from huks_async.sessions.pressure.portable import PortableSensor
    from huks_async.sessions.pressure.psi import open_group_psi, open_system_psi
    from huks_async.sessions.pressure.signals import open_v1_group_signal
    from huks_async.sessions.pressure.systemd import WATCH, open_systemd_sensor, turned_off

    levels = thresholds or PressureThresholds()
    if turned_off(environ):
        logger.info("the service manager asks not to watch memory (%s=%s)", WATCH, os.devnull)
        return SilentSensor(f"turned off by {WATCH}={os.devnull}")
    roles: dict[str, list[SensorFactory]] = {
        "own group": [
            lambda: open_systemd_sensor(environ, root, levels, clock=clock),
            lambda: open_group_psi(root, levels, clock=clock),
            lambda: open_v1_group_signal(root, levels, clock=clock),
        ],
        "machine": [
            lambda: open_system_psi(root, levels, clock=clock),
            lambda: MeminfoSensor(root, levels, clock=clock, sleep=sleep),
            lambda: PortableSensor(levels, clock=clock, sleep=sleep),
        ],
        "container": [lambda: GroupLimitSensor(root, levels, clock=clock, sleep=sleep)],
    }
    sensors: list[Sensor] = []
    passed_over: list[str] = []
    try:
        for role, candidates in roles.items():
            try:
                sensor = FallbackSensor(role, candidates)
            except SensorUnavailable as error:
                passed_over.append(str(error))
            else:
                sensors.append(sensor)
                passed_over.extend(f"{role}: {reason}" for reason in sensor.passed_over)
    except BaseException:
        for opened in sensors:
            opened.close()
        raise
    if not sensors:
        logger.warning("memory pressure cannot be sensed here: %s", "; ".join(passed_over))
        return SilentSensor("nothing can be sensed here", tuple(passed_over))
    return CombinedSensor(sensors, passed_over)


async def open_sensor() -> Sensor:
    """`choose_sensor()` in a thread, because trying the sensors takes 1 to 20 ms."""
    made: list[Sensor] = []
    gone = False

    def choose() -> None:
        made.append(choose_sensor())
        if gone:
            _close_all(made)

    try:
        await run_to_its_end(choose, name="huks-sensor")
    except GeneratorExit:  # the event loop has gone, perhaps before the thread has come to its end
        gone = True
        _close_all(made)
        raise
    except anyio.get_cancelled_exc_class():
        for sensor in made:
            await sensor.aclose()
        raise
    return made[0]


def _close_all(sensors: list[Sensor]) -> None:
    """Close each once, although two threads may call this at the same time."""
    while sensors:
        with suppress(IndexError):
            sensors.pop().close()
