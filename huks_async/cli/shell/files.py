"""Files and pipes in constant memory: segments in, and outputs that appear only when they are complete."""

import contextlib
import errno
import io
import os
import select
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
from huks_async.cli.shell.placed import PlacedFile
from huks_async.model.params import BytesLike
from huks_async.runtime.folders import sync_folder

SEGMENT = 100 * 1024
"""Bytes that one call takes: the size HUKS advises."""

STANDARD = "-"

_OWNER_ONLY = 0o600
_PIPE_BYTES = 1024 * 1024
"""What the system lets anybody make a pipe as large as."""
_FOLDERS = frozenset({"", ".", ".."})
"""How names end that only a folder can have."""
_DRAFT_BYTES = 100
"""Bytes of the target's name in that of its draft; file systems count bytes, and have room for 255."""
_ACCESS_LIST = "system.posix_acl_access"
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class Output(Protocol):
    """Where results go. What was written counts only after `commit`."""

    hidden: bool
    """Whether nothing is seen before `commit`."""

    def write(self, data: BytesLike) -> None:
        """Add bytes."""

    def write_at(self, data: memoryview, place: int) -> None:
        """Put bytes to a place of their own; where `hidden` only, and from any thread.

        Nothing is copied if their places in memory and in the file agree to a multiple of `placed.BLOCK`.
        """

    def commit(self) -> None:
        """Make the output appear as a whole."""


@contextlib.contextmanager
def open_input(name: str) -> Iterator[io.FileIO]:
    """A file, or standard input for `-`, opened without a buffer.

    Raises:
        CommandError: the name is empty.

    """
    if name == STANDARD:
        yield io.FileIO(standard_input().fileno(), closefd=False)
        return
    if not name:
        raise empty_input()
    with interruptible():
        # opening a named pipe waits for its writer
        file = io.FileIO(name)
    with file:
        yield file


def empty_input() -> CommandError:
    """What is said of a name without characters, which a shell makes of a variable that is not set."""
    return usage_error("the name of the input is empty", hint="name the file to read, - for standard input")


def segments(file: BinaryIO | io.FileIO, length: int | None = None) -> Iterator[bytes]:
    """The bytes of a file in pieces of at most `SEGMENT` bytes, to its end or to `length` bytes."""
    left = sys.maxsize if length is None else length
    while left > 0:
        with interruptible():
            piece = file.read(min(SEGMENT, left))
            while piece is None:
                # another process made the pipe one that does not wait; no data is not its end
                wait_for(file.fileno(), select.POLLIN)
                piece = file.read(min(SEGMENT, left))
        if not piece:
            if length is not None:
                raise CommandError("the input became shorter while it was read")
            return
        left -= len(piece)
        yield piece


def wait_for(descriptor: int, event: int) -> None:
    """Wait until a descriptor, of whatever number, can be read (`select.POLLIN`) or written (`select.POLLOUT`)."""
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()


def enlarge_pipe(descriptor: int) -> None:
    """Let a pipe hold more, so that its two ends take turns less often; of anything else nothing changes."""
    try:
        import fcntl

        if fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) < _PIPE_BYTES:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        # no pipe, not here, or its owner has enough of them: it works all the same
        return


@contextlib.contextmanager
def open_output(
    name: str | None, *, private: bool = False, overwrite: bool = False, source: io.FileIO | None = None
) -> Iterator[Output]:
    """An output: standard output for None and `-`, else a file that appears under `name` at commit.

    A name that is a symbolic link stays one: what it points to is written. Devices, pipes and open
    descriptors (`/dev/stdout`) cannot be replaced and are written as the bytes come.

    Args:
        name: the file.
        private: whether its owner alone may read it; else the mode of the file it replaces, or the
            usual one, holds.
        overwrite: whether a file of this name may be replaced.
        source: what the command reads; it may be replaced in any case, by what becomes of it. Where results are
            written as they come it is refused, for they would be written over what is still to be read.

    Raises:
        CommandError: the name is a folder's, or that of a file that may not be replaced; or the file that is read
            would be written.

    """
    if name is None or name == STANDARD:
        yield _standard_output(source)
        return
    if not name:
        raise usage_error("the name of the output is empty", hint="name the file to write")
    status = _status(name)
    if (status is None and os.path.basename(name) in _FOLDERS) or (
        status is not None and stat.S_ISDIR(status.st_mode)
    ):
        raise usage_error(f"{name} is a folder", hint="name the file to write")
    if status is not None and _is_open_already(name, status):
        yield _standard_output(source)
        return
    if (status is not None and not stat.S_ISREG(status.st_mode)) or _is_descriptor(name):
        _refuse_source(status, source)
        with interruptible():
            # opening a named pipe waits for its reader
            target = io.FileIO(name, "w")
        with target:
            yield _Direct(target, name)
        return
    replaces = overwrite or _is_source(status, source)
    if status is not None and not replaces:
        raise _in_the_way(name)
    with _replacing(name, private=private, replaces=replaces) as output:
        yield output


def _standard_output(source: io.FileIO | None) -> "_Direct":
    descriptor = standard_output().fileno()
    _refuse_source(os.fstat(descriptor), source)
    return _Direct(io.FileIO(descriptor, "w", closefd=False), STANDARD_OUTPUT)


def _status(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)
    except FileNotFoundError:
        return None


def _is_open_already(name: str, status: os.stat_result) -> bool:
    # `-o /dev/stdout` is to go where the shell has led standard output, at its position, a file or not
    if sys.stdout is None or not name.startswith(("/dev/", "/proc/")):
        return False
    return os.path.samestat(status, os.fstat(sys.stdout.fileno()))


def _is_descriptor(name: str) -> bool:
    return _resolved(name, os.path.dirname(name)).startswith("/proc/")


def _resolved(name: str, path: str) -> str:
    with naming(name):
        # a working folder that was removed has no path
        return os.path.realpath(path)


def _is_source(status: os.stat_result | None, source: io.FileIO | None) -> bool:
    return status is not None and source is not None and os.path.samestat(status, os.fstat(source.fileno()))


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


def _in_the_way(name: str) -> CommandError:
    return CommandError(f"{name} exists already", hint="--force overwrites it")


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
        self._enlarged = False

    def write(self, data: BytesLike) -> None:
        view = memoryview(data)
        if len(view) >= SEGMENT and not self._enlarged:
            self._enlarged = True
            enlarge_pipe(self._target.fileno())
        while view:
            with interruptible(), naming(self._name):
                written = self._target.write(view)
                if written is None:
                    # a pipe that does not wait and is full
                    wait_for(self._target.fileno(), select.POLLOUT)
                view = view[written or 0 :]

    def write_at(self, data: memoryview, place: int) -> None:
        raise io.UnsupportedOperation(f"{self._name} is written from its beginning to its end")

    def commit(self) -> None:
        # what a stream was given is out already; there is nothing left to make visible
        return


class _Replacing:
    """Writes a draft beside the target, which takes the target's place at commit."""

    hidden = True

    def __init__(
        self, name: str, path: Path, draft: Path, file: io.FileIO, *, private: bool, replaces: bool
    ) -> None:
        self._name = name
        self._path = path
        self._draft = draft
        self._file = file
        self._private = private
        self._replaces = replaces
        self._direct = _Direct(file, name)
        self._placed = PlacedFile(file.fileno())

    def write(self, data: BytesLike) -> None:
        if self._placed.direct:
            self._placed.through_cache()
        self._direct.write(data)

    def write_at(self, data: memoryview, place: int) -> None:
        with naming(self._name):
            self._placed.write(data, place)

    def commit(self) -> None:
        with naming(self._name):
            self._placed.finish()
            self._take_over()
            os.fsync(self._file.fileno())
        if self._replaces:
            self._draft.replace(self._path)
        else:
            self._appear()
        sync_folder(str(self._path.parent))

    def _appear(self) -> None:
        try:
            # unlike a rename, a link never takes the place of a file that came in the meantime
            self._path.hardlink_to(self._draft)
        except FileExistsError:
            raise _in_the_way(self._name) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if self._path.exists():
                raise _in_the_way(self._name) from None
            self._draft.replace(self._path)

    def _take_over(self) -> None:
        """Give the draft the owner and the mode that the result is to have."""
        descriptor = self._file.fileno()
        if self._private:
            os.fchmod(descriptor, _OWNER_ONLY)
            return
        try:
            before = self._path.stat()
        except FileNotFoundError:
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(descriptor, 0o666 & ~mask)
            return
        mode = stat.S_IMODE(before.st_mode)
        if not _give(descriptor, before) or _has_access_list(self._path):
            # the group's bits were for another group, or are what a list grants at most: this group gets what all get
            mode = mode & ~stat.S_IRWXG | (mode << 3 & mode & stat.S_IRWXG)
        os.fchmod(descriptor, mode)


def _give(descriptor: int, before: os.stat_result) -> bool:
    """Give a file the owner and group of the one that it replaces; whether it has that group then."""
    # only root can give files away, but everybody can to a group of their own
    for owner in (before.st_uid, -1):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, owner, before.st_gid)
            return True
    return False


def _has_access_list(path: Path) -> bool:
    try:
        return _ACCESS_LIST in os.listxattr(path)
    except (AttributeError, OSError):
        # not on this system, or not on this file system
        return False


@contextlib.contextmanager
def _replacing(name: str, *, private: bool, replaces: bool) -> Iterator[Output]:
    path = Path(_resolved(name, name))
    start = os.fsencode(path.name)[:_DRAFT_BYTES].decode(sys.getfilesystemencoding(), "ignore")
    draft = path.with_name(f".{start}.{os.urandom(8).hex()}")
    try:
        # readable by nobody else while it is incomplete
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY)
    except OSError as error:
        error.filename = name
        raise
    try:
        with io.FileIO(descriptor, "w") as file:
            yield _Replacing(name, path, draft, file, private=private, replaces=replaces)
    finally:
        draft.unlink(missing_ok=True)
