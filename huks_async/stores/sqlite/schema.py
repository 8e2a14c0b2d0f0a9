"""The tables of the database, and the steps from one schema to the next."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import cache

from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown
from huks_async.stores.sqlite.connections import pragma

APPLICATION_ID = 0x48554B53
"""Marks a SQLite file as ours ("HUKS")."""


# Names are BLOBs, so that they sort by bytes and may contain NUL. The sequence issues every version only once,
# even if rows are deleted. The tally lets count() read a single row; triggers update it, so that no writer can
# forget to.
_SCHEMA_1 = (
    """CREATE TABLE item (
        namespace BLOB NOT NULL,
        level INTEGER NOT NULL,
        alias BLOB NOT NULL,
        version INTEGER NOT NULL,
        blob BLOB NOT NULL,
        PRIMARY KEY (namespace, level, alias)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE tally (
        namespace BLOB NOT NULL,
        level INTEGER NOT NULL,
        items INTEGER NOT NULL,
        PRIMARY KEY (namespace, level)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE sequence (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        version INTEGER NOT NULL
    ) STRICT""",
    "INSERT INTO sequence VALUES (1, 0)",
    """CREATE TABLE meta (
        name BLOB NOT NULL PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TRIGGER item_added AFTER INSERT ON item BEGIN
        INSERT INTO tally VALUES (NEW.namespace, NEW.level, 1)
            ON CONFLICT DO UPDATE SET items = items + 1;
    END""",
    """CREATE TRIGGER item_removed AFTER DELETE ON item BEGIN
        UPDATE tally SET items = items - 1 WHERE namespace = OLD.namespace AND level = OLD.level;
        DELETE FROM tally WHERE namespace = OLD.namespace AND level = OLD.level AND items = 0;
    END""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_SCHEMA_1,)
"""The statements that lead from schema n to schema n + 1. Entries are only added, never changed."""


def refuse_newer(connection: sqlite3.Connection, address: str) -> int:
    """Return the number of a database's schema; may be called inside or outside a transaction.

    Raises:
        BusinessError: 12000004 when a newer version of this package has written that schema.

    """
    version = pragma(connection, "user_version")
    if version > len(MIGRATIONS):
        raise BusinessError(
            12000004,
            f"the store {address} has schema {version}, and this version of huks_async knows schemas up to "
            f"{len(MIGRATIONS)}; nothing was changed; use the version that wrote it, or a newer one",
        )
    return version


def foreign_object(connection: sqlite3.Connection, version: int) -> str | None:
    """Name something in the database that its schema does not have, has otherwise or lacks; None if there is nothing.

    Triggers and views run code of whoever could once write the file: a deleted key would come back, an acknowledged
    one be gone, and a read never end. So can an index on our tables, which may be unique. Statistics of SQLite's own
    and what belongs to further tables, such as those that Litestream makes, are no matter.
    """
    found, expected = _objects(connection), _expected(MIGRATIONS[: max(version, 0)])
    ours = {table for kind, table, *_ in _expected(MIGRATIONS) if kind == "table"}
    meant = {row for row in found if row[1].lower() in ours}
    wrong = min(meant ^ expected, key=repr, default=None)
    return None if wrong is None else f"{wrong[0]} {shown(wrong[2])}"


def _objects(connection: sqlite3.Connection) -> frozenset[tuple[str, str, str, str]]:
    # whatever their names: whoever writes the schema by hand can make a trigger by the name of one of SQLite's own
    return frozenset(connection.execute("SELECT type, tbl_name, name, sql FROM sqlite_schema"))


@cache
def _expected(steps: tuple[tuple[str, ...], ...]) -> frozenset[tuple[str, str, str, str]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        for statement in (statement for step in steps for statement in step):
            fresh.execute(statement)
        return _objects(fresh)


def has_values(connection: sqlite3.Connection, known: Mapping[bytes, bytes]) -> bool:
    """Whether a database has these values of the store itself."""
    ask = "SELECT value FROM meta WHERE name = ?"
    return all(connection.execute(ask, (name,)).fetchone() == (value,) for name, value in known.items())


def _refuse_foreign_objects(connection: sqlite3.Connection, version: int, address: str) -> None:
    what = foreign_object(connection, version)
    if what is not None:
        raise BusinessError(
            12000004,
            f"the store {address} was changed by another program: its {what} is not as this package makes it, and "
            "could lose keys or bring deleted ones back; nothing was changed; restore the store from a backup",
        )


def migrate(connection: sqlite3.Connection, address: str) -> None:
    """Bring the schema up to date.

    Raises:
        BusinessError: 12000004 when the schema is newer than this package, or was changed by another program.

    """
    version = refuse_newer(connection, address)
    _refuse_foreign_objects(connection, version, address)
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # read again under the lock, because another process may have migrated the schema meanwhile
        version = refuse_newer(connection, address)
        for step in MIGRATIONS[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
