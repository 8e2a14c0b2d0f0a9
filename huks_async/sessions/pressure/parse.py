"""Parsers for the kernel's files. No function here raises, whatever the bytes are: None means 'no reading'.

The kernel ends every line with a newline, so a number without one was caught half-written.
"""

import os
from math import inf
from pathlib import Path

from huks_async.sessions.pressure.base import SensorUnavailable

_MOST = 8192  # bytes; the largest file read here, memory.stat, has about 2000
_UNLIMITED = 1 << 62  # v1 writes 'no limit' as the largest multiple of a page in a signed 64-bit number


class KeptFile:
    """A file that stays open and is read from its start each time, at a fifth of the cost of opening it again."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: Path, flags: int = os.O_RDONLY) -> None:
        self.path: Path = path
        try:
            self._fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise SensorUnavailable(f"{path}: {error.strerror}") from error

    def fileno(self) -> int:
        """The descriptor; -1 after `close`."""
        return self._fd

    def read(self) -> bytes:
        """The content; b"" if it cannot be read, for which every parser returns None."""
        if self._fd < 0:
            return b""
        try:
            return os.pread(self._fd, _MOST, 0)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Write once. Raises OSError."""
        os.write(self._fd, data)

    def close(self) -> None:
        """Close the descriptor; this also ends a trigger that was registered with it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _number(text: bytes) -> int | None:
    # int() alone would also take signs, underscores and spaces, and raise on very long numbers
    return int(text) if text.isdigit() and len(text) <= 20 else None


def count(content: bytes) -> int | None:
    """The number in a file that holds nothing else."""
    return _number(content[:-1]) if content.endswith(b"\n") else None


def limit(content: bytes) -> float | None:
    """The limit in bytes in a file that holds nothing else; infinity for 'max'."""
    if content == b"max\n":
        return inf
    value = count(content)
    if value is None:
        return None
    return inf if value >= _UNLIMITED else value


def entry(content: bytes, key: bytes) -> int | None:
    """The number after `key` in a file of lines 'key number'."""
    for line in content.splitlines(keepends=True):
        if line.startswith(key) and line[len(key) : len(key) + 1] in (b" ", b"\t"):
            return _number(line[len(key) :].strip()) if line.endswith(b"\n") else None
    return None


def stall_total(content: bytes) -> int | None:
    """Microseconds for which some task has waited for memory, of a pressure file."""
    for line in content.splitlines(keepends=True):
        if line.startswith(b"some ") and line.endswith(b"\n"):
            _, mark, total = line.rstrip(b"\n").rpartition(b" total=")
            return _number(total) if mark else None
    return None


def memory_total(content: bytes) -> int | None:
    """Bytes of memory of the machine, of /proc/meminfo."""
    total = _kilobytes(content, b"MemTotal:")
    return None if total is None else total * 1024


def share_used(content: bytes) -> float | None:
    """Share of the machine's memory that is not available, of /proc/meminfo."""
    total = _kilobytes(content, b"MemTotal:")
    available = _kilobytes(content, b"MemAvailable:")
    if not total or available is None or available > total:
        return None
    return 1 - available / total


def _kilobytes(content: bytes, key: bytes) -> int | None:
    for line in content.splitlines(keepends=True):
        if line.startswith(key):
            return _number(line[len(key) : -4].strip()) if line.endswith(b" kB\n") else None
    return None
