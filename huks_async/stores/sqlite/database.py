"""One set of open files: the database, its log and its shared memory, with guards against their removal."""

import os
import sqlite3
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from mmap import mmap

from huks_async.stores.sqlite import connections
from huks_async.stores.sqlite.checkpoints import Checkpoints
from huks_async.stores.sqlite.files import Files, Inode, Names, file_names, look
from huks_async.stores.sqlite.guards import Guard, close_unused, release_collected
from huks_async.stores.sqlite.log import LogFile
from huks_async.stores.sqlite.schema import has_values
from huks_async.stores.sqlite.walindex import MAPPED_SIZE, earlier_readers, frames, full_size, state
from huks_async.stores.sqlite.writes import GroupCommit

_PAUSE = 0.01


class Database:
    """Two connections, one to write and one to read, with the guards of their files.

    It is made, written, checkpointed and closed under the commit lock.

    Args:
        path: the database, absolute and without symbolic links.
        address: the store's address for messages.
        written: the connection that writes.
        read: the connection that reads; it has read already, so that the log and the shared memory exist.
        guards: the guards of the database file and of the shared memory, which are held.
        busy_timeout: seconds to wait for locks of other programs.

    """

    def __init__(
        self,
        path: str,
        address: str,
        written: sqlite3.Connection,
        read: sqlite3.Connection,
        guards: tuple[Guard, Guard],
        busy_timeout: float,
    ) -> None:
        self.path = path
        self.written = written
        self.read = read
        self.lost: bool = False
        """Whether a commit went to other files than those that are named: the connection that writes has them open."""
        self.saved_from: Inode | None = None
        """The other database from beside which the log was saved, as far as that was possible; these files stay open."""
        self.waited: bool = False
        """Whether a use has waited for others to save the log from where no database is; these files stay open."""
        self.aside: str | None = None
        """The name that this process has given the log, which was beside another database."""
        self._file, self._index = guards
        self.header: mmap | None = self._index.map(MAPPED_SIZE)
        connections.sync_later(written)
        self.log: LogFile = LogFile(f"{path}-wal", self.header)
        try:
            self.files: Files = Files(self._file.inode, self.log.inode, self._index.inode)
            self._names = Names(zip(file_names(path), self.files, strict=True))
            self.commit: GroupCommit = GroupCommit(written, address, self.header)
            self.checkpoints: Checkpoints = Checkpoints(written, self.header, busy_timeout)
        except BaseException:
            self.log.close()
            raise
        self._forgotten = weakref.finalize(self, _end, (read, written), guards, self.log, os.getpid())
        self._forgotten.atexit = False

    def is_named(self) -> bool:
        """Whether the path names these files now."""
        return not self.lost and self._names.hold()

    def state(self) -> bytes | None:
        """Return the header of the index, which every commit changes; None if it cannot be mapped."""
        return state(self.header)

    def holds(self, known: Mapping[bytes, bytes]) -> bool:
        """Whether the database holds these values, which belong to one store, and so is that store."""
        return has_values(self.read, known)

    def is_shared_here(self) -> bool:
        """Whether another store of this process has the same file open."""
        return self._file.used_here() > 1

    def write_back(self, patience: float) -> bool:
        """Copy all of the log into the database file, or nothing; return whether it is there now.

        For a log that may have lost its name, and so is gone with its last user. A checkpoint that fails in the middle,
        without space or because of somebody who reads an earlier state, would then leave a damaged database.

        Args:
            patience: seconds to wait for such readers.

        Raises:
            OSError: there is no space.
            sqlite3.Error: it cannot be copied.

        """
        if self.header is not None:
            until = time.monotonic() + patience
            while any(map(self._index.is_read, earlier_readers(self.header))):
                if time.monotonic() > until:
                    return False
                time.sleep(_PAUSE)
            self._file.reserve(full_size(self.header))
        return self.checkpoints.write_back()

    def is_written_back(self) -> bool:
        """Whether all of the log is in the database file, as far as the index tells."""
        if self.header is None:
            return False
        length, done = frames(self.header)
        return length == done

    def bar_checkpoints(self) -> bool:
        """Keep everybody from changing the pages of the database; False if somebody is just doing that."""
        return self._index.bar_checkpoints()

    def allow_checkpoints(self) -> None:
        """Take back one `bar_checkpoints`."""
        self._index.allow_checkpoints()

    def close(self, *, tidy: bool) -> bool:
        """Close the files. SQLite writes and removes nothing when they are closed, because the guards are held.

        Args:
            tidy: the caller holds the commit lock and the path names these files; so if nobody else uses them, copy
                the log into the database and remove it.

        Returns:
            whether the database is now a single file that nobody uses.

        """
        alone = tidy and not self.is_shared_here()
        if alone:
            self.checkpoints.empty()
        self._forgotten.detach()
        _close_both((self.read, self.written))
        self.log.close()
        try:
            return alone and self._remove_log()
        finally:
            for guard in (self._index, self._file):
                guard.release()
            close_unused()

    def _remove_log(self) -> bool:
        # While both guards are exclusive, a program that opens the database must wait for them.
        if not (self._file.take_alone() and self._index.take_alone()):
            return False
        return remove_log(self.path, self.files)


def remove_log(path: str, files: Files) -> bool:
    """Remove an empty log and the shared memory, if the path still names these files."""
    try:
        if look(path) != files or os.stat(f"{path}-wal").st_size > 0:
            return False
        os.unlink(f"{path}-wal")
        os.unlink(f"{path}-shm")
    except OSError:
        return False
    return True


def _close_both(both: tuple[sqlite3.Connection, sqlite3.Connection]) -> None:
    for connection in both:
        with suppress(sqlite3.Error):
            connections.close(connection)


def _end(
    both: tuple[sqlite3.Connection, sqlite3.Connection],
    guards: tuple[Guard, Guard],
    log: LogFile,
    process: int,
) -> None:
    """Close files that were never closed, unless this is a forked child, which must not touch its parent's."""
    if os.getpid() == process:
        _close_both(both)
        log.close()
        release_collected(guards)
