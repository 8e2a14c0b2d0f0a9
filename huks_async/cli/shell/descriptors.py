"""Pipes, terminals and other descriptors, also those that do not wait.

Another process can make a pipe or terminal one that does not wait, before the command begins or while it works.
"""

import io
import os
import re
import select
import stat
from typing import TYPE_CHECKING

from huks_async.model.params import BytesLike

if TYPE_CHECKING:
    from typing_extensions import Buffer

SEGMENT = 100 * 1024
"""Bytes that one call takes: the size HUKS advises."""

_PIPE_BYTES = 1024 * 1024
"""What the system lets anybody make a pipe as large as."""
_MOST_LINKS = 40
"""As many as the system follows."""


def wait_for(descriptor: int, event: int) -> None:
    """Wait until a descriptor, of whatever number, can be read (`select.POLLIN`) or written (`select.POLLOUT`)."""
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()


def write_all(descriptor: int, data: BytesLike) -> None:
    """Write all bytes, and wait for room where there is none."""
    left = memoryview(data).cast("B")
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            wait_for(descriptor, select.POLLOUT)


class WaitingFile(io.FileIO):
    """An open descriptor that takes all it is given to write."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: "Buffer", /) -> int:
        """Write all bytes; gives their number."""
        view = memoryview(data)
        write_all(self.fileno(), view)
        return view.nbytes


def length_from_here(descriptor: int) -> int | None:
    """The bytes of a regular file from where its descriptor stands; None for what does not tell them."""
    status = os.fstat(descriptor)
    # files of /proc have a size of 0 and content all the same
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return None
    try:
        if not os.pread(descriptor, 1, status.st_size - 1):
            # files of /sys have the size of a page, whatever their content
            return None
    except OSError:
        # whoever reads it up to there is told
        return None
    return max(0, status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR))


def enlarge_pipe(descriptor: int) -> None:
    """Let a pipe hold more, so that its two ends take turns less often; of anything else nothing changes."""
    try:
        import fcntl

        if fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) < _PIPE_BYTES:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        # no pipe, not here, or its owner has enough of them: it works all the same
        return


def named_descriptor(name: str) -> int | None:
    """The descriptor of this process that a name leads to, as `/dev/fd/3` does, itself or as what a link says."""
    own = re.compile(re.escape(os.path.realpath("/proc/self")) + r"(?:/task/[0-9]+)?/fd/(0|[1-9][0-9]{0,8})")
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(os.path.dirname(name))
        name = os.path.join(folder, os.path.basename(name))
        if found := own.fullmatch(name):
            return int(found[1])
        try:
            # what follows the folder, which is the name of a file, is looked at link by link: the last one leads
            # from the descriptor to the file behind it
            name = os.path.join(folder, os.readlink(name))
        except OSError:
            return None
    return None
