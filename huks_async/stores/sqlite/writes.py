"""The writing side of the SQLite store: all waiting writes become one transaction."""

import mmap
import sqlite3
from typing import NamedTuple, TypeAlias

from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown
from huks_async.stores.base import ItemName, StoreConflictError, check_level, encode_name
from huks_async.stores.sqlite.faults import foreign_value, storage_error
from huks_async.stores.sqlite.schema import refuse_newer
from huks_async.stores.sqlite.walindex import HEADER, one_commit

Key: TypeAlias = tuple[bytes, int, bytes]
"""The primary key of a row: namespace, level, alias."""


class Put(NamedTuple):
    """Create or replace a row; gives its new version."""

    name: ItemName
    key: Key
    blob: bytes
    expect: int | None


class Delete(NamedTuple):
    """Remove a row; tells whether there was one."""

    name: ItemName
    key: Key
    expect: int | None


class PutMeta(NamedTuple):
    """Set a value of the store; gives the value that is there now."""

    name: str
    value: bytes
    replace: bool


Write: TypeAlias = Put | Delete | PutMeta
Outcome: TypeAlias = int | bool | bytes | BaseException

_LAST_VERSION = 2**63 - 1
"""The largest number of SQLite, which no store comes to by itself."""

_ROWS_AT_ONCE = (64, 16, 4)
"""How many rows one statement writes; few sizes, so that SQLite's compiled statements are reused."""
_UPDATE = "ON CONFLICT DO UPDATE SET version = excluded.version, blob = excluded.blob"
_PUT = {
    rows: " ".join(("INSERT INTO item VALUES", ", ".join(["(?, ?, ?, ?, ?)"] * rows), _UPDATE))
    for rows in (*_ROWS_AT_ONCE, 1)
}
_OUTDATED = "outdated version"
_NEW_VALUE = "UPDATE SET value = excluded.value WHERE value IS NOT excluded.value"
# One row and the counter of versions by one statement, which is a transaction of its own: each statement costs
# several microseconds beside its work. Views and triggers of this kind belong to the connection, not to the file.
_ALONE = (
    "CREATE TEMP VIEW alone AS SELECT namespace, level, alias, version, blob FROM item WHERE 0",
    f"""CREATE TEMP TRIGGER alone_added INSTEAD OF INSERT ON alone BEGIN
        SELECT RAISE(ABORT, '{_OUTDATED}') WHERE (SELECT version FROM sequence) IS NOT NEW.version - 1;
        INSERT INTO item VALUES (NEW.namespace, NEW.level, NEW.alias, NEW.version, NEW.blob) {_UPDATE};
        UPDATE sequence SET version = NEW.version;
    END""",  # noqa: S608 - of constants
)
_PUT_ALONE = "INSERT INTO alone VALUES (?, ?, ?, ?, ?)"


def row_key(name: ItemName) -> Key:
    """Give the primary key of a row."""
    return encode_name("namespace", name.namespace), check_level(name.level), encode_name("alias", name.alias)


class GroupCommit:
    """Handles batches of writes on one connection. Lives in the writer's thread.

    Syncing the disk takes as long for one row as for a hundred, so all waiting writes share one transaction and are
    acknowledged together after its commit.
    """

    def __init__(self, connection: sqlite3.Connection, address: str, header: mmap.mmap | None = None) -> None:
        self._connection = connection
        self._address = address
        self._header = header
        self._own: bytes | None = None
        """The header after this connection's last commit: while it is unchanged, nobody else has committed."""
        self._version = 0
        """The version that was issued last, as of that commit."""
        for statement in _ALONE:
            connection.execute(statement)

    def __call__(self, writes: list[Write]) -> list[Outcome]:
        """Carry out the writes in order, and give the outcome of each after the commit."""
        try:
            return self._commit(writes)
        except (sqlite3.Error, OSError) as error:
            self._roll_back()
            return [storage_error(self._address, error) for _ in writes]
        except BusinessError as error:
            self._roll_back()
            return [BusinessError(error.code, error.message) for _ in writes]
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                # the error before it is the one to report; the next open undoes what is left
                return

    def _commit(self, writes: list[Write]) -> list[Outcome]:
        if len(writes) == 1:
            version = self._put_alone(writes[0])
            if version is not None:
                return [version]
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        header = self._header
        before, changes = None if header is None else header[HEADER], connection.total_changes
        if before is None or before != self._own:
            # Another process has committed: it may have issued versions, and if it runs a newer version of this
            # package, it may have changed the tables.
            refuse_newer(connection, self._address)
            self._version = self._last_version()
        version = self._version
        if version > _LAST_VERSION - len(writes) and any(type(write) is Put for write in writes):
            raise foreign_value(
                self._address, "the number that counts its versions is at its end", of_write=True
            )
        outcomes: list[Outcome] = []
        place = 0
        while place < len(writes):
            together = self._put_together(writes, place, version)
            if together:
                outcomes += range(version + 1, version + 1 + together)
                version += together
                place += together
                continue
            write = writes[place]
            place += 1
            # No savepoints: a conflict is found before anything is changed, and each write changes
            # rows by one statement, which SQLite undoes by itself when it fails.
            try:
                if isinstance(write, Put):
                    outcomes.append(self._put(write, version + 1))
                    version += 1
                elif isinstance(write, Delete):
                    outcomes.append(self._delete(write))
                else:
                    outcomes.append(self._put_meta(write))
            except (StoreConflictError, BusinessError) as refused:
                outcomes.append(refused)
            except sqlite3.Error as error:
                if not connection.in_transaction:  # the failure undid the whole transaction
                    raise
                outcomes.append(storage_error(self._address, error))
        if version != self._version:
            connection.execute("UPDATE sequence SET version = ?", (version,))
        connection.execute("COMMIT")
        self._version = version
        if connection.total_changes == changes:
            self._own = before
        else:
            self._note_own(before)
        return outcomes

    def _note_own(self, before: bytes | None) -> None:
        """Keep the header that a commit has left, given the one from before it."""
        # Where somebody removed the lock's file, another process may have committed before this look, and the header
        # would vouch for a version and a schema that are no longer the last.
        after = None if self._header is None else self._header[HEADER]
        self._own = after if before and after and one_commit(before, after) else None

    def _put_alone(self, write: Write) -> int | None:
        """Write a single row by one statement, and return its version; None if it must go the ordinary way."""
        header, own = self._header, self._own
        if type(write) is not Put or write.expect is not None or header is None or header[HEADER] != own:
            return None
        version = self._version + 1
        if version > _LAST_VERSION:
            return None
        try:
            self._connection.execute(_PUT_ALONE, (*write.key, version, write.blob))
        except sqlite3.IntegrityError as error:
            if str(error) != _OUTDATED:
                raise
            return None  # another program has changed the counter since the header was looked at
        self._version = version
        self._note_own(own)
        return version

    def _last_version(self) -> int:
        rows = self._connection.execute("SELECT version FROM sequence LIMIT 2").fetchall()
        # otherwise it is unknown which versions were issued, so no new one can be issued safely
        if len(rows) != 1 or type(rows[0][0]) is not int or rows[0][0] < 0:
            raise foreign_value(
                self._address, "the number that counts its versions is missing or damaged", of_write=True
            )
        return rows[0][0]

    def _exists(self, name: ItemName, key: Key, expect: int | None) -> bool:
        rows = self._connection.execute(
            "SELECT version FROM item WHERE namespace = ? AND level = ? AND alias = ?", key
        ).fetchall()
        # a row is there whatever version another program may have given it, 0 included
        current = rows[0][0] if rows else 0
        if expect is not None and (expect != current or bool(expect) != bool(rows)):
            raise StoreConflictError(name, current)
        return bool(rows)

    def _put_together(self, writes: list[Write], place: int, version: int) -> int:
        """Write several rows from `place` on by one statement; return how many, 0 if that is not possible.

        Each statement releases the interpreter's lock to the event loop's thread and must wait to get it back,
        which takes longer than writing a row.
        """
        if len(writes) - place < _ROWS_AT_ONCE[-1]:
            return 0
        run = 0
        for write in writes[place : place + _ROWS_AT_ONCE[0]]:
            if type(write) is not Put or write.expect is not None:
                break
            run += 1
        rows = next((rows for rows in _ROWS_AT_ONCE if rows <= run), 0)
        if not rows:
            return 0
        values: list[object] = []
        for number, write in enumerate(writes[place : place + rows], version + 1):
            assert type(write) is Put
            values += write.key
            values.append(number)
            values.append(write.blob)
        try:
            self._connection.execute(_PUT[rows], values)
        except sqlite3.Error:
            if not self._connection.in_transaction:
                raise
            return 0  # SQLite has undone it; when the rows are written one by one, only the faulty one fails
        return rows

    def _put(self, write: Put, version: int) -> int:
        key = write.key
        if write.expect is not None:
            self._exists(write.name, key, write.expect)
        # One statement instead of a look-up and a write, because each statement adds much to the cost of a row.
        self._connection.execute(_PUT[1], (*key, version, write.blob))
        return version

    def _delete(self, write: Delete) -> bool:
        key = write.key
        if not self._exists(write.name, key, write.expect):
            return False
        self._connection.execute("DELETE FROM item WHERE namespace = ? AND level = ? AND alias = ?", key)
        return True

    def _put_meta(self, write: PutMeta) -> bytes:
        name = encode_name("name", write.name)
        # Equal values would count as a change that the log does not have.
        rule = f"DO {_NEW_VALUE if write.replace else 'NOTHING'}"
        self._connection.execute(
            f"INSERT INTO meta VALUES (?, ?) ON CONFLICT {rule}",  # noqa: S608 - one of two constants
            (name, write.value),
        )
        ((value,),) = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchall()
        if type(value) is not bytes:
            raise foreign_value(self._address, f"its value {shown(write.name)} is not bytes", of_write=True)
        return value
