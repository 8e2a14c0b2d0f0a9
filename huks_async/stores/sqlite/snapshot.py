"""A moment of a store that is being read, for a backup."""

import sqlite3

from huks_async.stores.sqlite.database import Database
from huks_async.stores.sqlite.walindex import is_torn


class Snapshot:
    """One moment of a store, being read."""

    def __init__(self, database: Database) -> None:
        self.connection: sqlite3.Connection = database.read
        self._header = database.header
        self._torn = False

    def check(self) -> None:
        """To be called now and then.

        Raises:
            sqlite3.OperationalError: a process was killed while it changed the index. It is mended by the next that
                uses the store, but only when no snapshot keeps it from that.

        """
        torn = self._header is not None and is_torn(self._header)
        if torn and self._torn:
            raise sqlite3.OperationalError("another process was killed in the middle of a commit")
        self._torn = torn
