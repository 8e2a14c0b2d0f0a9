"""The write-ahead log's file, and how far it is known to be on the disk.

SQLite would sync each commit before it lets go of its write lock, so that all processes together could make no more
commits than the disk makes syncs. Here a commit reaches the log under the commit lock, and its process syncs the log
when it has let the lock go, before it acknowledges anything. The syncs of several processes overlap, and each of them
covers all commits before it. What other processes have committed is synced by whoever reads it.
"""

import errno
import mmap
import os
import threading
from contextlib import suppress
from typing import Final

from huks_async.runtime.forks import tell_after_fork
from huks_async.stores.sqlite.files import Inode
from huks_async.stores.sqlite.walindex import frames, state

_sync: Final = getattr(os, "fdatasync", os.fsync)


class LogFile:
    """A descriptor of a log, which is used to sync it and for nothing else.

    Closing a descriptor drops the POSIX locks of this process on that file, but SQLite locks the database and
    the shared memory, never the log.

    The descriptor is opened before the first commit and kept, because the system reports a write that failed to
    those who had the file open at that time, once.

    Args:
        path: the log, which exists.
        header: the header of the index, if it can be mapped.

    Raises:
        OSError: it cannot be opened.

    """

    def __init__(self, path: str, header: mmap.mmap | None) -> None:
        self._header = header
        self._lock = threading.Lock()
        self._synced: bytes | None = None
        """A header, up to whose state everything is on the disk."""
        self._failed = False
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor: int | None = os.open(path, flags)
        found = os.fstat(self._descriptor)
        self.inode: Inode = found.st_dev, found.st_ino
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Close the child's copy of the descriptor."""
        self._lock = threading.Lock()
        self.close()

    def sync(self, until: bytes | None) -> None:
        """Return when everything is on the disk up to a state of the index; None is what is committed now.

        Raises:
            OSError: the system could not write it, or the file is closed. What has been committed may be lost.

        """
        with self._lock:
            if self._failed:
                raise OSError(errno.EIO, "an earlier sync of its log failed")
            if until is not None and until == self._synced:
                return
            if self._descriptor is None:
                raise OSError(errno.EBADF, "its log was closed")
            # Looked at before the sync, which covers it then; a header that is just being written equals no other.
            reached = state(self._header)
            try:
                _sync(self._descriptor)
            except OSError:
                # The system now takes the pages for written, so another sync would report a success that is none.
                self._failed = True
                raise
            self._synced = reached

    def is_missing_frames(self) -> bool:
        """Whether the file is empty, although the index says that it holds pages: then they are in another file."""
        descriptor, header = self._descriptor, self._header
        if descriptor is None or header is None:
            return False
        # not fstat(2), after which the file's next write is dearer (see `files`)
        return os.lseek(descriptor, 0, os.SEEK_END) == 0 and frames(header)[0] > 0

    @property
    def failed(self) -> bool:
        """Whether a sync has failed, and the log was not emptied since."""
        return self._failed

    def emptied(self) -> None:
        """Note that everything that was in the log is in the database now, and synced there."""
        with self._lock:
            self._failed = False
            self._synced = None

    def close(self) -> None:
        """Close the descriptor, after a sync that is under way."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):  # the system frees the descriptor all the same
                os.close(descriptor)
