"""SQLite connections with the store's settings, which the interpreter of a forked child must never close."""

import ctypes
import os
import sqlite3
from typing import Final
from urllib.parse import quote_from_bytes

MAX_VALUE_BYTES: Final = 16 * 1024 * 1024
"""The longest value in a row. The parameters of a key come to 4 MiB at most, its material to some KiB."""

_keep = ctypes.pythonapi.Py_IncRef
_keep.argtypes = [ctypes.py_object]
_keep.restype = None
_let_go = ctypes.pythonapi.Py_DecRef
_let_go.argtypes = [ctypes.py_object]
_let_go.restype = None


def connect(path: str, busy_timeout: float) -> sqlite3.Connection:
    """Open a connection to a database at an absolute path, which must exist.

    By its bare path SQLite would make an empty database where somebody has just removed the file, and no store
    could be opened there any more.

    In a forked child, the interpreter would close the connection when it ends or collects garbage, and might wait
    for ever for a lock of SQLite's that a thread of the parent held. So the connection is never collected; only
    `close` ends it.
    """
    connection = sqlite3.connect(
        f"file:{quote_from_bytes(os.fsencode(path))}?mode=rw",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    _keep(connection)
    try:
        bound_values(connection)
        # FULL: a commit is synced before it returns
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA temp_store = MEMORY")  # what a connection has for itself, see writes.py
        connection.execute("PRAGMA journal_size_limit = 4194304")
        # checkpoints are made under the lock of all processes, see checkpoints.py
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        close(connection)
        raise
    return connection


def bound_values(connection: sqlite3.Connection) -> None:
    """Have SQLite refuse longer values than a store has, before it takes memory for them: SQLITE_TOOBIG.

    The file may come from somebody else, and one value may have a gigabyte.
    """
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)


def sync_later(connection: sqlite3.Connection) -> None:
    """Leave it to the caller to sync the log after a commit, see `log.py`; checkpoints sync as before."""
    connection.execute("PRAGMA synchronous = NORMAL")


def close(connection: sqlite3.Connection) -> None:
    """Close a connection, in the process that opened it."""
    try:
        connection.close()
    finally:
        _let_go(connection)


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Return the value of a numeric setting."""
    ((value,),) = connection.execute(f"PRAGMA {name}").fetchall()
    return int(value)


def set_busy_timeout(connection: sqlite3.Connection, seconds: float) -> None:
    """Set how long SQLite waits for locks of other programs."""
    connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
