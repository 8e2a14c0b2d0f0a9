"""The protocol by which a service manager tells a service to watch memory.

`MEMORY_PRESSURE_WATCH` names a pressure file, fifo or socket; `MEMORY_PRESSURE_WRITE` holds, in base64,
what to write to it once. The path /dev/null asks the service to watch nothing.
"""

import base64
import binascii
import os
import socket
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from huks_async.sessions.pressure.base import (
    Clock,
    PressureThresholds,
    Sensor,
    SensorUnavailable,
)
from huks_async.sessions.pressure.psi import PsiSensor
from huks_async.sessions.pressure.signals import SignalSensor

WATCH = "MEMORY_PRESSURE_WATCH"
WRITE = "MEMORY_PRESSURE_WRITE"
_NAME = "service manager"


def turned_off(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the service manager asks not to watch memory."""
    return environ.get(WATCH) == os.devnull


def open_systemd_sensor(
    environ: Mapping[str, str] = os.environ,
    root: Path = Path("/"),
    thresholds: PressureThresholds | None = None,
    *,
    clock: Clock = time.monotonic,
) -> Sensor:
    """Watch what the service manager names.

    Raises:
        SensorUnavailable: it names nothing, or what it names cannot be watched.

    """
    thresholds = thresholds or PressureThresholds()
    watched = environ.get(WATCH, "")
    if not watched.startswith("/") or turned_off(environ):
        raise SensorUnavailable(f"{WATCH} is {watched!r}" if watched else f"{WATCH} is not set")
    if "\0" in watched:  # checked here, because the message of Python for this differs between its versions
        raise SensorUnavailable(f"{WATCH} is {watched!r}, and a path holds no null byte")
    try:
        line = base64.b64decode(environ.get(WRITE, ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SensorUnavailable(f"{WRITE} is not base64: {error}") from error
    path = root / watched.lstrip("/")
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise SensorUnavailable(f"{path}: {error}") from error
    if stat.S_ISREG(mode):
        return PsiSensor(_NAME, path, thresholds, line=line, clock=clock)
    if stat.S_ISFIFO(mode):
        return SignalSensor(_NAME, str(path), _open_fifo(path, line), thresholds, clock=clock)
    if stat.S_ISSOCK(mode):
        return SignalSensor(_NAME, str(path), _open_socket(path, line), thresholds, clock=clock)
    raise SensorUnavailable(f"{path} is neither a file, a fifo nor a socket")


def _open_fifo(path: Path, line: bytes) -> int:
    try:
        # opened for writing too, so that the fifo does not reach its end when the last other writer leaves
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SensorUnavailable(f"{path}: {error.strerror}") from error
    try:
        if line:
            # The line is meant for a reader at the other end. If there is none, it comes back to this process as
            # one false signal, which does no harm.
            os.write(fd, line)
    except OSError as error:
        os.close(fd)
        raise SensorUnavailable(f"{path}: {error.strerror}") from error
    return fd


def _open_socket(path: Path, line: bytes) -> int:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            # connecting to a local socket does not wait unless its backlog is full, and then this fails instead
            connection.setblocking(False)
            connection.connect(str(path))
            if line:
                connection.send(line)
            return connection.detach()
    except OSError as error:
        raise SensorUnavailable(f"{path}: {error}") from error
