"""The database file: how it comes into being, its tables, and the steps from one schema to the next."""

import os
import sqlite3
from contextlib import closing

from huks_async.model.errors import BusinessError

APPLICATION_ID = 0x48554B53
"""Marks a SQLite file as ours ("HUKS")."""

_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
_SMALLEST_FILE = 512  # one page of the smallest size

# Names are BLOBs, so that they sort by bytes and NUL is a character like any other. The sequence gives
# every version once, whatever was deleted since. The tally makes count() a read of one row; it is kept
# by triggers, so that no writer can forget it.
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
"""The statements that lead from schema n to schema n + 1. Only ever added to."""


def connect(path: str, address: str, busy_timeout: float) -> sqlite3.Connection:
    """Open the database at an absolute path, create it where there is none, and bring its schema up to date.

    Args:
        path: absolute path of the file.
        address: the store's address for messages.
        busy_timeout: seconds to wait for the locks of other processes.

    Raises:
        BusinessError: 12000004 when the file is cut short, another program's, or of a newer schema.
        sqlite3.Error: anything else that keeps it from being opened.
        OSError: directory or file cannot be created.

    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise BusinessError(
            12000001,
            f"the store {address} needs SQLite 3.37 or newer, this Python was linked with {sqlite3.sqlite_version}; "
            "use a newer build of Python",
        )
    if not os.path.exists(path):
        _create(path, busy_timeout)
    elif (size := os.path.getsize(path)) < _SMALLEST_FILE:
        # SQLite would take an empty file for a new database. But files of ours are complete from the
        # moment they get their name, so this one lost its content.
        raise BusinessError(
            12000004,
            f"the store {address} is a file of {size} bytes, which a store never is: its content was lost, or "
            "the file was made by hand; restore it from a backup, or remove it to begin a new store",
        )
    connection = _open(path, busy_timeout)
    try:
        _check(connection, address)
        _migrate(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_again(path: str, busy_timeout: float) -> sqlite3.Connection:
    """Open a further connection, for reading, to a database that `connect` has opened."""
    connection = _open(path, busy_timeout)
    try:
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: str, busy_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=busy_timeout, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        # FULL: in WAL mode a commit is synced before it is acknowledged
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA journal_size_limit = 4194304")
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: str, busy_timeout: float) -> None:
    """Make the database under a passing name and link it into place when it is complete.

    So a store has all its tables from the first moment on, whenever the process is killed; and of
    several processes that do this at once one wins and the others use its file.
    """
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    draft = f"{path}.{os.urandom(8).hex()}.new"
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(_open(draft, busy_timeout)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            _migrate(connection, draft)
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        _sync_directory(directory)
    finally:
        for name in (draft, f"{draft}-wal", f"{draft}-shm"):
            if os.path.exists(name):
                os.unlink(name)


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    ((value,),) = connection.execute(f"PRAGMA {name}").fetchall()
    return int(value)


def _check(connection: sqlite3.Connection, address: str) -> None:
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise BusinessError(
            12000004,
            f"the store {address} is a database of another program (its application_id is not "
            f"{APPLICATION_ID:#x}); nothing was changed; correct the address",
        )
    ((mode,),) = connection.execute("PRAGMA journal_mode = WAL").fetchall()
    if mode != "wal":
        raise BusinessError(
            12000004,
            f"the store {address} is on a file system without shared memory (journal mode {mode!r} instead of "
            "'wal'); move it to a local disk",
        )


def _migrate(connection: sqlite3.Connection, address: str) -> None:
    if _pragma(connection, "user_version") == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # read again under the lock: another process may have been faster
        version = _pragma(connection, "user_version")
        if version > len(MIGRATIONS):
            raise BusinessError(
                12000004,
                f"the store {address} has schema {version}, and this version of huks_async knows schemas up to "
                f"{len(MIGRATIONS)}; nothing was changed; use the version that wrote it, or a newer one",
            )
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
