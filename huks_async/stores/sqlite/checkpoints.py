"""Copying the log back into the database file. Only ever done by a process that holds the commit lock."""

import mmap
import sqlite3

from huks_async.stores.sqlite.connections import set_busy_timeout
from huks_async.stores.sqlite.walindex import frames

_DUE = 1000
"""Pages of the log that are not in the database file yet, as SQLite's own automatic checkpoint counts."""
_LARGE = 8000
"""Pages of a log that does not begin anew because somebody reads all the time; they are waited for then."""
_PATIENCE = 0.02


class Checkpoints:
    """Makes a checkpoint when it is due, on the connection that writes."""

    def __init__(self, connection: sqlite3.Connection, header: mmap.mmap | None, busy_timeout: float) -> None:
        self._connection = connection
        self._header = header
        self._busy_timeout = busy_timeout
        self._commits = 0

    def after_commit(self) -> None:
        """Make a checkpoint if the log has grown enough. What fails here fails at the next one, too, and harms nothing."""
        if self._header is None:
            self._commits += 1
            if self._commits % 100:
                return
            length = 0
        else:
            length, done = frames(self._header)
            if length - done < _DUE:
                return
        try:
            if length < _LARGE:
                self._run("PASSIVE")
                return
            set_busy_timeout(self._connection, _PATIENCE)
            try:
                self._run("RESTART")
            finally:
                set_busy_timeout(self._connection, self._busy_timeout)
        except sqlite3.Error:  # a full disk, say; the log has what was committed
            return

    def write_back(self) -> bool:
        """Copy all of the log, waiting for readers as long as for other locks; tells whether all of it was."""
        busy, length, done = self._run("FULL")
        return not busy and length == done

    def empty(self) -> None:
        """Copy all of the log and cut it to nothing, if that is possible at once."""
        try:
            set_busy_timeout(self._connection, 0)
            self._run("TRUNCATE")
        except sqlite3.Error:  # the log stays, and the next one to open the store takes it up
            return

    def _run(self, mode: str) -> tuple[int, int, int]:
        row: tuple[int, int, int] = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return row
