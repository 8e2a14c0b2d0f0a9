"""Creating a database: it is complete, synced and checked before it gets its name."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from huks_async.runtime.folders import sync_folder
from huks_async.runtime.new_names import name_new
from huks_async.stores.sqlite.connections import bound_values, close, connect
from huks_async.stores.sqlite.schema import migrate

_DRAFT = ".new"


def create(path: str, busy_timeout: float) -> None:
    """Make a database under a temporary name and give it its own when it is complete.

    The caller holds the commit lock. A full disk, a kill or a power cut leaves either a whole store or none. The
    draft has no write-ahead log, because the checkpoint that would copy the log at the close may fail silently.
    """
    remove_drafts(path)
    draft = f"{path}.{os.urandom(8).hex()}{_DRAFT}"
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        connection = connect(draft, busy_timeout)
        try:
            migrate(connection, draft)
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        finally:
            close(connection)
        _look_over(draft)
        with suppress(FileExistsError):  # a file that was put there meanwhile is never replaced
            name_new(draft, path)
        sync_folder(os.path.dirname(path))
    finally:
        for name in (draft, f"{draft}-wal", f"{draft}-shm", f"{draft}-journal"):
            with suppress(FileNotFoundError):
                os.unlink(name)


def remove_drafts(path: str) -> None:
    """Remove drafts of killed processes. The caller holds the commit lock, so no live process has a draft."""
    for name in _drafts(path):
        with suppress(OSError):
            os.unlink(name)


def _drafts(path: str) -> Iterator[str]:
    folder, name = os.path.split(path)
    for entry in os.listdir(folder):
        middle = entry.removeprefix(f"{name}.")
        if middle != entry and middle[16:] in {
            _DRAFT,
            *(_DRAFT + tail for tail in ("-wal", "-shm", "-journal")),
        }:
            yield os.path.join(folder, entry)


def _look_over(draft: str) -> None:
    """Sync the draft and read it as it is in the file, without a log.

    Raises:
        sqlite3.DatabaseError: it is not sound.

    """
    descriptor = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with closing(open_still(draft)) as connection:
        ((sound,),) = connection.execute("PRAGMA integrity_check").fetchall()
        ((rows,),) = connection.execute("SELECT count(*) FROM sequence").fetchall()
    if sound != "ok" or rows != 1:
        raise sqlite3.DatabaseError(f"the new database is not whole ({sound})")
    if os.path.exists(f"{draft}-wal") or os.path.exists(f"{draft}-journal"):
        raise sqlite3.DatabaseError("the new database could not be completed")


def open_still(path: str) -> sqlite3.Connection:
    """Open a database to read only what the file itself holds, without locks, without its log, without writing."""
    connection = sqlite3.connect(f"{Path(path).as_uri()}?immutable=1", uri=True, isolation_level=None)
    bound_values(connection)
    return connection
