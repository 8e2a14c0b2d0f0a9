"""A moment of a store that is being read, for a backup."""

import sqlite3
import time

from huks_async.stores.sqlite.database import Database
from huks_async.stores.sqlite.walindex import COPIES, is_torn

_LONGEST_CHANGE = 1.0
"""Seconds that a living process may need to write both copies of the header, which takes a microsecond."""


class Snapshot:
    """One moment of a store, being read."""

    def __init__(self, database: Database) -> None:
        self.connection: sqlite3.Connection = database.read
        self._header = database.header
        self._torn: tuple[bytes, float] | None = None
        """The index's header when it was first seen torn, and the time; None while it is not."""

    def check(self) -> None:
        """To be called now and then.

        Raises:
            sqlite3.OperationalError: a process was killed while it changed the index. It is mended by the next that
                uses the store, but only when no snapshot keeps it from that.

        """
        if self._header is None or not is_torn(self._header):
            self._torn = None
            return
        now, found = time.monotonic(), self._header[COPIES]
        if self._torn is None or self._torn[0] != found:
            self._torn = found, now
        elif now - self._torn[1] >= _LONGEST_CHANGE:
            raise sqlite3.OperationalError("another process was killed in the middle of a commit")
