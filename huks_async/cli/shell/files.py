"""Files and pipes in constant memory: segments in, and outputs that appear only when they are complete."""

import contextlib
import errno
import io
import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from huks_async.cli.shell.console import (
    STANDARD_INPUT,
    STANDARD_OUTPUT,
    CommandError,
    naming,
    standard_input,
    standard_output,
    usage_error,
)
from huks_async.cli.shell.descriptors import SEGMENT, length_from_here, named_descriptor, wait_for
from huks_async.cli.shell.interrupts import interruptible
from huks_async.cli.shell.targets import Direct, Output, in_the_way, replacing

STANDARD = "-"

_FOLDERS = frozenset({"", ".", ".."})
"""How names end that only a folder can have."""
_CAP_FOWNER = 3
"""The number of a capability in Linux."""


Way = Callable[[], AbstractContextManager[Output]]
"""Opens an output that was looked at before."""


@contextlib.contextmanager
def open_input(name: str) -> Iterator[io.FileIO]:
    """A file, or standard input for `-`, opened without a buffer. A descriptor (`/dev/stdin`) is read where it stands.

    Raises:
        CommandError: the name is empty, or a descriptor's that is not open for reading.

    """
    if name == STANDARD:
        yield _from_descriptor(standard_input().fileno(), STANDARD_INPUT)
        return
    if not name:
        raise empty_input()
    with naming(name):
        descriptor = named_descriptor(name)
    # one that only says which file it is (O_PATH) stands nowhere, and that file is opened
    if descriptor is not None and not _check_given(descriptor, name, os.O_WRONLY, "reading") & os.O_PATH:
        yield _from_descriptor(descriptor, name)
        return
    with interruptible():
        # opening a named pipe waits for its writer
        file = io.FileIO(name)
    with file:
        yield file


def _from_descriptor(descriptor: int, name: str) -> io.FileIO:
    with naming(name, instead=True):
        file = io.FileIO(descriptor, closefd=False)
    # errors name it so
    file.name = name
    return file


def empty_input() -> CommandError:
    """What is said of a name without characters, which a shell makes of a variable that is not set."""
    return usage_error("the name of the input is empty", hint="name the file to read, - for standard input")


def segments(file: io.FileIO, length: int | None = None) -> Iterator[bytes]:
    """The bytes of a file in pieces of at most `SEGMENT` bytes, to its end or to `length` bytes.

    The end of a regular file is where it was at the beginning: bytes that come meanwhile do not count.

    Raises:
        CommandError: the file became shorter.

    """
    if length is None:
        length = length_from_here(file.fileno())
    left = sys.maxsize if length is None else length
    while left > 0:
        with interruptible(), naming(str(file.name)):
            piece = file.read(min(SEGMENT, left))
            while piece is None:
                # another process made the pipe one that does not wait; no data is not its end
                wait_for(file.fileno(), select.POLLIN)
                piece = file.read(min(SEGMENT, left))
        if not piece:
            if length is not None:
                raise shorter(file)
            return
        left -= len(piece)
        yield piece


def shorter(file: io.FileIO) -> CommandError:
    """What is said of an input that ends before the place where it ended at the beginning."""
    return CommandError(f"{file.name} became shorter while it was read")


@contextlib.contextmanager
def open_output(
    name: str | None, *, private: bool = False, overwrite: bool = False, source: io.FileIO | None = None
) -> Iterator[Output]:
    """An output: standard output for None and `-`, else a file that appears under `name` at commit.

    It is `prepare_output` and its opening in one.
    """
    with prepare_output(name, private=private, overwrite=overwrite, source=source)() as output:
        yield output


def prepare_output(
    name: str | None,
    *,
    private: bool = False,
    overwrite: bool = False,
    source: io.FileIO | None = None,
    part: bool = False,
) -> Way:
    """What opens an output; nothing is opened yet, and nothing changed, but what cannot be is refused at once.

    So nobody waits for a result that has no place, and what comes meanwhile has no say in where the result goes.

    A name that is a symbolic link stays one: what it points to is written. Devices, pipes and open
    descriptors (`/dev/stdout`) cannot be replaced and are written as the bytes come, descriptors where they stand.

    Args:
        name: the file.
        private: whether its owner alone may read it; else the mode of the file it replaces, or the
            usual one, holds.
        overwrite: whether a file of this name may be replaced.
        source: what the command reads; it may be replaced by what becomes of it, if that is all of it. Where results
            are written as they come it is refused, for they would be written over what is still to be read.
        part: whether the result is that of a part of the source only.

    Raises:
        CommandError: the name is a folder's, or that of a file that may not be replaced; or the file that is read
            would be written.
        OSError: the file cannot be made there.

    """
    if name is None or name == STANDARD:
        return _to_descriptor(standard_output().fileno(), STANDARD_OUTPUT, source)
    if not name:
        raise usage_error("the name of the output is empty", hint="name the file to write")
    with naming(name):
        descriptor = named_descriptor(name)
        path = os.path.realpath(name)
    if descriptor is not None:
        _check_given(descriptor, name, os.O_RDONLY, "writing")
        return _to_descriptor(descriptor, name, source)
    status = _status(name)
    if (status is None and os.path.basename(name) in _FOLDERS) or (
        status is not None and stat.S_ISDIR(status.st_mode)
    ):
        raise usage_error(f"{name} is a folder", hint="name the file to write")
    if status is not None and _is_open_already(name, status):
        return _to_descriptor(standard_output().fileno(), STANDARD_OUTPUT, source)
    if status is not None and not stat.S_ISREG(status.st_mode):
        _refuse_source(status, source)
        return partial(_opened, name, status)
    if status is not None and not overwrite and (part or not _is_whole_source(status, source)):
        raise in_the_way(name)
    if status is not None and _is_of_processes(name):
        # a file that another process has open need not have a name any more
        _refuse_source(status, source)
        return partial(_opened, name, status)
    _check_folder(path, name, status)
    return partial(replacing, path, name, private=private, overwrite=overwrite, known=status)


def _to_descriptor(descriptor: int, name: str, source: io.FileIO | None) -> Way:
    """An output at the place where a descriptor stands."""
    with naming(name):
        _refuse_source(os.fstat(descriptor), source)
    return lambda: nullcontext(Direct(io.FileIO(descriptor, "w", closefd=False), name))


@contextlib.contextmanager
def _opened(name: str, known: os.stat_result) -> Iterator[Output]:
    with interruptible():
        # opening a named pipe waits for its reader
        descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC)
    with io.FileIO(descriptor, "w") as target:
        status = os.fstat(descriptor)
        if not os.path.samestat(status, known):
            # another file has this name by now
            raise in_the_way(name)
        if stat.S_ISREG(status.st_mode):
            os.ftruncate(descriptor, 0)
        yield Direct(target, name)


def _status(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)
    except FileNotFoundError:
        return None


def _is_open_already(name: str, status: os.stat_result) -> bool:
    # the terminal's own name, or another process's descriptor of the same file: at standard output's position, too
    if sys.stdout is None or not name.startswith(("/dev/", "/proc/")):
        return False
    return os.path.samestat(status, os.fstat(sys.stdout.fileno()))


def _is_of_processes(name: str) -> bool:
    with naming(name):
        return os.path.realpath(os.path.dirname(name)).startswith("/proc/")


def _check_given(descriptor: int, name: str, opposite: int, use: str) -> int:
    """The flags of a descriptor that whoever started the command handed over for this use; others are refused.

    Raises:
        OSError: there is none of this number. One that the command has opened for itself is none: what is written
            there may be the keystore.
        CommandError: it is open for the opposite only.

    """
    import fcntl

    with naming(name):
        if not os.get_inheritable(descriptor):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if flags & os.O_ACCMODE == opposite:
        raise CommandError(f"{name} is not open for {use}")
    return flags


def _check_folder(path: str, name: str, status: os.stat_result | None) -> None:
    """Refuse a folder in which the file cannot be made, or not take the place of the one that is there.

    Raises:
        OSError: there is none, or its mode or owner forbids that.

    """
    folder = os.path.dirname(path)
    with naming(name, instead=True):
        facts = os.stat(folder)
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
    if (
        status is not None
        and facts.st_mode & stat.S_ISVTX
        and os.geteuid() not in (facts.st_uid, status.st_uid)
        and not _counts_as_owner()
    ):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), name)


def _counts_as_owner() -> bool:
    """Whether this process may do to any file what its owner may."""
    try:
        with open("/proc/self/status", "rb") as status:
            capabilities = next(line for line in status if line.startswith(b"CapEff:"))
    except (OSError, StopIteration):
        # not on this system
        return os.geteuid() == 0
    return bool(int(capabilities.split()[1], 16) >> _CAP_FOWNER & 1)


def _is_source(status: os.stat_result | None, source: io.FileIO | None) -> bool:
    return status is not None and source is not None and os.path.samestat(status, os.fstat(source.fileno()))


def _is_whole_source(status: os.stat_result, source: io.FileIO | None) -> bool:
    # what is before the place where the shell's descriptor stands is not read, and would be lost
    return source is not None and _is_source(status, source) and not source.seek(0, os.SEEK_CUR)


def _refuse_source(status: os.stat_result | None, source: io.FileIO | None) -> None:
    """Refuse to write to the file that is read; of pipes, terminals and the like, what is read is gone anyway.

    Raises:
        CommandError: they are one file.

    """
    if (
        status is not None
        and (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode))
        and _is_source(status, source)
    ):
        raise usage_error(
            "the output is the file that is read, and would be written over it",
            hint="name the file with --output FILE: the result takes its place when it is complete",
        )


def refuse_terminal(output: str | None, what: str, *, nature: str = "binary") -> None:
    """Refuse to print binary or secret bytes to a terminal unless `-` was asked for by name."""
    if output is None and standard_output().isatty():
        raise usage_error(
            f"{what} is {nature} and standard output is a terminal",
            hint="name a file with --output FILE, or force it with --output -",
        )
