"""Giving a finished file its name in one step, without ever replacing another file."""

import ctypes
import errno
import os

_AT_FDCWD = -100
_NO_REPLACE = 1
_UNKNOWN = {errno.ENOSYS, errno.EINVAL}
"""Errors of kernels and file systems that have no rename that refuses to replace."""


def name_new(draft: str, name: str) -> None:
    """Rename a file to a name that must be free. The folder has to be synced after that.

    If the system has no rename that refuses to replace, the file gets the second name before it loses the first.
    A process that is killed between these two steps leaves both names.

    Raises:
        FileExistsError: there is something under the name already.
        OSError: another failure; the draft is as it was.

    """
    if not _renamed(os.fsencode(draft), os.fsencode(name)):
        os.link(draft, name)
        os.unlink(draft)


def _renamed(draft: bytes, name: bytes) -> bool:
    try:
        # renameat2 is in glibc 2.28 or newer; ctypes releases the interpreter's lock while it runs
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if rename(_AT_FDCWD, draft, _AT_FDCWD, name, _NO_REPLACE) == 0:
        return True
    error = ctypes.get_errno()
    if error in _UNKNOWN:
        return False
    raise OSError(error, os.strerror(error), os.fsdecode(name))
