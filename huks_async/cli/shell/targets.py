"""What results are written to: a stream as they come, or a draft that takes the place of a file when it is complete."""

import contextlib
import errno
import io
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from huks_async.cli.shell.console import CommandError, naming
from huks_async.cli.shell.descriptors import SEGMENT, enlarge_pipe, write_all
from huks_async.cli.shell.interrupts import interruptible
from huks_async.cli.shell.placed import PlacedFile
from huks_async.model.params import BytesLike
from huks_async.runtime.folders import sync_folder

_OWNER_ONLY = 0o600
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


def in_the_way(name: str) -> CommandError:
    """What is said of a file that may not be overwritten."""
    return CommandError(f"{name} exists already", hint="--force overwrites it")


class Direct:
    """Writes to an open file at once."""

    hidden = False

    def __init__(self, target: io.FileIO, name: str) -> None:
        self._target = target
        self._name = name
        self._enlarged = False

    def write(self, data: BytesLike) -> None:
        """Write all bytes, and wait for room as long as no signal arrives."""
        view = memoryview(data)
        if len(view) >= SEGMENT and not self._enlarged:
            self._enlarged = True
            enlarge_pipe(self._target.fileno())
        with interruptible(), naming(self._name):
            write_all(self._target.fileno(), view)

    def write_at(self, data: memoryview, place: int) -> None:
        """Refuse: what is written at once has no places."""
        raise io.UnsupportedOperation(f"{self._name} is written from its beginning to its end")

    def commit(self) -> None:
        """Do nothing: what a stream was given is out already."""


class _Replacing:
    """Writes a draft beside the target, which takes the target's place at commit."""

    hidden = True

    def __init__(
        self,
        name: str,
        path: Path,
        draft: Path,
        file: io.FileIO,
        *,
        private: bool,
        overwrite: bool,
        known: os.stat_result | None,
    ) -> None:
        self._name = name
        self._path = path
        self._draft = draft
        self._file = file
        self._private = private
        self._overwrite = overwrite
        self._known = known
        self._direct = Direct(file, name)
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
        # nobody knows the draft, whose name is in what the system says
        with naming(self._name, instead=True):
            if self._overwrite or self._is_as_known():
                self._draft.replace(self._path)
            else:
                self._appear()
            sync_folder(str(self._path.parent))

    def _is_as_known(self) -> bool:
        """Whether the file that may be replaced is there, and as it was.

        Raises:
            CommandError: it was changed, or another one has taken its place.

        """
        if self._known is None:
            return False
        try:
            now = self._path.lstat()
        except FileNotFoundError:
            return False
        if _state(now) != _state(self._known):
            raise CommandError(
                f"{self._name} was changed while it was read, and stays as it is",
                hint="call the command again",
            )
        return True

    def _appear(self) -> None:
        try:
            # unlike a rename, a link never takes the place of a file that came in the meantime
            self._path.hardlink_to(self._draft)
        except FileExistsError:
            raise in_the_way(self._name) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(self._path):
                raise in_the_way(self._name) from None
            self._draft.replace(self._path)

    def _take_over(self) -> None:
        """Give the draft the owner and the mode that the result is to have."""
        descriptor = self._file.fileno()
        if self._private:
            os.fchmod(descriptor, _OWNER_ONLY)
            return
        try:
            before = self._path.lstat()
        except FileNotFoundError:
            before = None
        if before is None or not stat.S_ISREG(before.st_mode):
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(descriptor, 0o666 & ~mask)
            return
        mode, listed = stat.S_IMODE(before.st_mode), _has_access_list(self._path)
        if not listed:
            # the draft has that which its folder gives to what is new there, and the mode would put it into force
            _drop_access_list(descriptor)
        if not _give(descriptor, before) or listed:
            # the group's bits were for another group, or are what a list grants at most: this group gets what all get
            mode = mode & ~stat.S_IRWXG | (mode << 3 & mode & stat.S_IRWXG)
        os.fchmod(descriptor, mode)


def _state(status: os.stat_result) -> tuple[int, ...]:
    """Which file it is, and what tells that its content was changed."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _give(descriptor: int, before: os.stat_result) -> bool:
    """Give a file the owner and group of the one that it replaces; whether it has that group then."""
    # only root can give files away, but everybody can to a group of their own; in a container not even root can
    # where the owner or group has no number there
    for owner in (before.st_uid, -1):
        with contextlib.suppress(OSError):
            os.fchown(descriptor, owner, before.st_gid)
            return True
    return False


def _has_access_list(path: Path) -> bool:
    try:
        return _ACCESS_LIST in os.listxattr(path, follow_symlinks=False)
    except (AttributeError, OSError):
        # not on this system, or not on this file system
        return False


def _drop_access_list(descriptor: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        # it has none, or there are none here
        os.removexattr(descriptor, _ACCESS_LIST)


@contextlib.contextmanager
def replacing(
    path: str, name: str, *, private: bool, overwrite: bool, known: os.stat_result | None
) -> Iterator[Output]:
    """A file that appears under its name at commit, and is gone if that does not come.

    Args:
        path: the file, which no link is followed to any more.
        name: what it was called, which may be a link.
        private: whether its owner alone may read it.
        overwrite: whether it may take the place of any file.
        known: a file whose place it may take, as long as that stays as it is.

    """
    target = Path(path)
    start = os.fsencode(target.name)[:_DRAFT_BYTES].decode(sys.getfilesystemencoding(), "ignore")
    draft = target.with_name(f".{start}.{os.urandom(8).hex()}")
    with naming(name, instead=True):
        # readable by nobody else while it is incomplete
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY)
    try:
        with io.FileIO(descriptor, "w") as file:
            yield _Replacing(name, target, draft, file, private=private, overwrite=overwrite, known=known)
    finally:
        draft.unlink(missing_ok=True)
