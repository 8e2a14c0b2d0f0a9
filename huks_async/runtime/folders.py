"""Folders that survive a power cut: a new name is certain to stay only once the folder that holds it is synced."""

import errno
import os

_UNSYNCED = frozenset({errno.EACCES, errno.EINVAL})
"""How a folder fails that may be written and not read, and how folders of some file systems do."""


def make_folder(path: str) -> None:
    """Make a folder with mode 0700, and those above it that are missing. Each is synced in the one above.

    Args:
        path: an absolute path.

    Raises:
        OSError: one of them cannot be made.

    """
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
        if missing[-1] == path:
            break
    for folder in reversed(missing):
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
        # Synced even if the folder existed: another process may have just made it and not synced it yet.
        sync_folder(os.path.dirname(folder))


def sync_folder(path: str) -> None:
    """Make the names in a folder survive a power cut."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _UNSYNCED:
            raise
        # slower, since everything else that waits is written too
        os.sync()
