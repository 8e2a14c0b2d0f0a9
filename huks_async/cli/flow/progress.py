"""What a long command tells on a terminal: how far it is, how fast, and how long it will still take."""

import os
import sys
import time
from collections.abc import Callable

from huks_async.cli.shell.console import tell

PATIENCE = 1.0
"""Seconds after which something is told; shorter work says nothing."""
INTERVAL = 0.2
"""Seconds between two lines."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class Progress:
    """One line on standard error that is written over and over, and taken away at the end."""

    def __init__(
        self, total: int | None, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._clock = clock
        self._start = clock()
        self._next = self._start + PATIENCE
        self._width = 0
        self._wanted = not quiet and sys.stderr is not None and sys.stderr.isatty()

    @property
    def interval(self) -> float | None:
        """Seconds after which `show` wants to be called again; None where nobody looks."""
        return INTERVAL if self._wanted else None

    def show(self, done: int) -> None:
        """Tell that so many bytes of the input are done, if it is time to."""
        now = self._clock()
        if not self._wanted or now < self._next:
            return
        self._next = now + INTERVAL
        self._write(line(done, self._total, now - self._start))

    def clear(self) -> None:
        """Take the line away."""
        if self._width:
            self._write("")
            self._wanted = False

    def _write(self, text: str) -> None:
        # a line that is wider than the terminal goes on in the next one, where it would not be written over
        room = _columns() - 1
        text = text[:room]
        self._wanted = tell(f"\r{text.ljust(min(self._width, room))}{'' if text else chr(13)}")
        self._width = len(text)


def _columns() -> int:
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        columns = 0
    # a terminal that does not know its width says 0
    return columns or sys.maxsize


def line(done: int, total: int | None, seconds: float) -> str:
    """Bytes done, of how many, per second, and the time left."""
    rate = done / seconds if seconds > 0 else 0.0
    parts = [f"{_bytes(done)} of {_bytes(total)}" if total else _bytes(done), f"{_bytes(rate)}/s"]
    if total:
        parts.insert(0, f"{min(done / total, 1):4.0%}")
        if rate:
            parts.append(f"{_duration((total - done) / rate)} left")
    return "  ".join(parts)


def _bytes(number: float) -> str:
    for unit in _UNITS[:-1]:
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} {_UNITS[-1]}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
