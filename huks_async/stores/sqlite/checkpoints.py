"""Checkpoints: copying the log back into the database file, which only a process with the commit lock may do."""

import mmap
import sqlite3

from huks_async.stores.sqlite.connections import set_busy_timeout
from huks_async.stores.sqlite.walindex import frames

_DUE = 1000
"""A checkpoint is due once so many pages of the log are not in the database file; SQLite uses the same number."""
_LARGE = 8000
"""From so many pages on, a checkpoint waits for readers, because a log that is always read never starts anew."""
_PATIENCE = 0.02


class Checkpoints:
    """Makes a checkpoint when it is due, on the connection that writes."""

    def __init__(self, connection: sqlite3.Connection, header: mmap.mmap | None, busy_timeout: float) -> None:
        self._connection = connection
        self._header = header
        self._busy_timeout = busy_timeout
        self._commits = 0

    def after_commit(self) -> None:
        """Make a checkpoint if the log has grown enough. A failure does no harm: the next commit tries again."""
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
            self._run_briefly("RESTART")
        except sqlite3.Error:  # for example a full disk; what was committed is in the log
            return

    def write_back(self) -> bool:
        """Copy the log, waiting for readers as long as for other locks; return whether all of it was copied."""
        busy, length, done = self._run("FULL")
        return not busy and length == done

    def start_anew(self) -> bool:
        """Copy and empty the log, waiting briefly for readers; return whether the database holds everything now."""
        busy, _, _ = self._run_briefly("TRUNCATE")
        return not busy

    def empty(self) -> None:
        """Copy all of the log and truncate it, if that is possible without waiting."""
        try:
            set_busy_timeout(self._connection, 0)
            self._run("TRUNCATE")
        except sqlite3.Error:  # the log stays, and the next process to open the store uses it
            return

    def _run_briefly(self, mode: str) -> tuple[int, int, int]:
        set_busy_timeout(self._connection, _PATIENCE)
        try:
            return self._run(mode)
        finally:
            set_busy_timeout(self._connection, self._busy_timeout)

    def _run(self, mode: str) -> tuple[int, int, int]:
        row: tuple[int, int, int] = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return row
