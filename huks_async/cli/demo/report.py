"""What the demo prints: lines of results on standard output, a bar on standard error at a terminal."""

import contextlib
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from huks_async.cli.shell.console import escape, show, tell

if TYPE_CHECKING:
    from huks_async.cli.demo.witness import Witness


class _Terminal:
    """Standard error as the bar sees it: `tell` knows how long to wait for it, in rich's own thread not at all."""

    def __init__(self, stream: TextIO) -> None:
        # rich puts something of its own in place of `sys.stderr`, which writes to the bar again
        self._stream = stream
        self.encoding = stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def write(self, text: str) -> int:
        tell(text, self._stream)
        return len(text)

    def flush(self) -> None:
        # all is written at once
        return


class Reporter:
    """Prints what was done and who agrees, and counts who does not."""

    def __init__(self) -> None:
        self._checks = 0
        self._wrong = 0
        console = Console(file=cast("TextIO", _Terminal(sys.stderr)) if sys.stderr else None, stderr=True)
        self._bar = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            console=console,
            transient=True,
            # the results go where standard output leads, which need not be the terminal that has the bar
            redirect_stdout=False,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, file: Path, size: int, witness: "Witness") -> None:
        """The first lines: the file, and who checks."""
        self._print(
            f"file      {escape(file.name, also='')}, {show_size(size)}, in segments of 102,400 bytes"
        )
        self._print(f"checked   by {witness.name}")

    def title(self, text: str) -> None:
        """A new operation."""
        self._print(f"\n{text}")

    def did(self, what: str, size: int, seconds: float) -> None:
        """Something was done with so many bytes in so many seconds."""
        rate = size / max(seconds, 1e-9) / 1e6
        self._print(f"  {what:<34}{show_size(size):>10} {seconds:8.2f} s {rate:8,.0f} MB/s")

    def made(self, what: str, seconds: float) -> None:
        """Something small was done in so many seconds."""
        self._print(f"  {what:<34}{'':>10} {seconds * 1000:8.2f} ms")

    def check(self, what: str, by: str, agrees: bool) -> None:
        """The result of an independent check."""
        self._checks += 1
        self._wrong += not agrees
        self._print(f"    {'ok   ' if agrees else 'WRONG'}  {what} ({by})")

    def end(self, seconds: float, memory: int) -> bool:
        """The last lines; whether every check agreed."""
        self._print(
            f"\n{self._checks - self._wrong} of {self._checks} checks agree; "
            f"{seconds:.1f} s; at most {show_size(memory)} of memory"
        )
        return self._wrong == 0 and self._checks > 0

    @contextlib.contextmanager
    def progress(self, what: str, size: int) -> Iterator[Callable[[int], None]]:
        """A bar for so many bytes; gives the function that moves it."""
        task = self._bar.add_task(what, total=size)
        try:
            yield lambda count: self._bar.advance(task, count)
        finally:
            self._bar.remove_task(task)

    def _print(self, text: str) -> None:
        if self._bar.disable or sys.stdout is None or not sys.stdout.isatty():
            show(text, flush=True)
        else:
            # above the bar, which owns the terminal
            self._bar.console.print(text, markup=False, highlight=False)


def show_size(size: int) -> str:
    """Bytes in words."""
    value = float(size)
    for unit in ("B", "KB", "MB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GB"


def peak_memory() -> int:
    """The most bytes of memory this process has held so far (resident set)."""
    # Linux lets getrusage start from what the parent held, so the process's own mark comes first
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
