"""Files and pipes in constant memory: segments in, and outputs that appear only when they are complete."""

import contextlib
import io
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from huks_async.cli.shell.console import (
    STANDARD_OUTPUT,
    CommandError,
    naming,
    standard_input,
    standard_output,
    usage_error,
)
from huks_async.cli.shell.interrupts import interruptible

SEGMENT = 100 * 1024
"""Bytes that one call takes: the size HUKS advises."""

STANDARD = "-"

_OWNER_ONLY = 0o600


class Output(Protocol):
    """Where results go. What was written counts only after `commit`."""

    hidden: bool
    """Whether nothing is seen before `commit`."""

    def write(self, data: bytes) -> None:
        """Add bytes."""
        ...

    def commit(self) -> None:
        """Make the output appear as a whole."""
        ...


@contextlib.contextmanager
def open_input(name: str) -> Iterator[io.FileIO]:
    """A file, or standard input for `-`, opened without a buffer."""
    if name == STANDARD:
        yield io.FileIO(standard_input().fileno(), closefd=False)
        return
    with interruptible():
        # opening a named pipe waits for its writer
        file = io.FileIO(name)
    with file:
        yield file


def segments(file: BinaryIO | io.FileIO, length: int | None = None) -> Iterator[bytes]:
    """The bytes of a file in pieces of at most `SEGMENT` bytes, to its end or to `length` bytes."""
    left = sys.maxsize if length is None else length
    while left > 0:
        with interruptible():
            piece = file.read(min(SEGMENT, left))
        if not piece:
            if length is not None:
                raise CommandError("the input became shorter while it was read")
            return
        left -= len(piece)
        yield piece


@contextlib.contextmanager
def open_output(name: str | None, *, private: bool = False) -> Iterator[Output]:
    """An output: standard output for None and `-`, else a file that replaces `name` at commit.

    Args:
        name: the file.
        private: whether its owner alone may read it; else the mode of the file it replaces, or the
            usual one, holds.

    """
    if name is None or name == STANDARD:
        yield _Direct(io.FileIO(standard_output().fileno(), "w", closefd=False), STANDARD_OUTPUT)
        return
    path = Path(os.path.realpath(name))
    if path.is_dir():
        raise usage_error(f"{name} is a folder", hint="name the file to write")
    if path.exists() and not path.is_file():
        # a device or a named pipe cannot be replaced
        with interruptible():
            target = io.FileIO(path, "w")
        with target:
            yield _Direct(target, name)
        return
    with _replacing(path, private) as output:
        yield output


def refuse_terminal(output: str | None, what: str, *, nature: str = "binary") -> None:
    """Refuse to print binary or secret bytes to a terminal unless `-` was asked for by name."""
    if output is None and standard_output().isatty():
        raise usage_error(
            f"{what} is {nature} and standard output is a terminal",
            hint="name a file with --output FILE, or force it with --output -",
        )


class _Direct:
    """Writes at once."""

    hidden = False

    def __init__(self, target: io.FileIO, name: str) -> None:
        self._target = target
        self._name = name

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            with interruptible(), naming(self._name):
                view = view[self._target.write(view) :]

    def commit(self) -> None:
        # what a stream was given is out already; there is nothing left to make visible
        return


class _Replacing:
    """Writes a temporary file beside the target and renames it at commit."""

    hidden = True

    def __init__(self, path: Path, temporary: Path, file: io.FileIO, private: bool) -> None:
        self._path = path
        self._private = private
        self._temporary = temporary
        self._file = file
        self._direct = _Direct(file, str(path))

    def write(self, data: bytes) -> None:
        self._direct.write(data)

    def commit(self) -> None:
        with naming(str(self._path)):
            os.fchmod(self._file.fileno(), self._mode())
            os.fsync(self._file.fileno())
        self._temporary.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _mode(self) -> int:
        if self._private:
            return _OWNER_ONLY
        try:
            return stat.S_IMODE(self._path.stat().st_mode)
        except FileNotFoundError:
            mask = os.umask(0)
            os.umask(mask)
            return 0o666 & ~mask


@contextlib.contextmanager
def _replacing(path: Path, private: bool) -> Iterator[Output]:
    temporary = path.with_name(f".{path.name[:100]}.{os.urandom(8).hex()}")
    # readable by nobody else while it is incomplete
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY)
    try:
        with io.FileIO(descriptor, "w") as file:
            yield _Replacing(path, temporary, file, private)
    finally:
        temporary.unlink(missing_ok=True)
