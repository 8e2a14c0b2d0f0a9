"""Creating a database: it is complete, synced and checked before it gets its name."""

import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from huks_async.runtime.companions import NEW, TAILS
from huks_async.runtime.folders import sync_folder
from huks_async.runtime.new_names import name_new
from huks_async.stores.sqlite import drafts
from huks_async.stores.sqlite.connections import bound_values, close, connect
from huks_async.stores.sqlite.guards import open_here
from huks_async.stores.sqlite.schema import migrate


def create(path: str, busy_timeout: float) -> None:
    """Make a database under a temporary name and give it its own when it is complete.

    The caller holds the commit lock. A full disk, a kill or a power cut leaves either a whole store or none. The
    draft has no write-ahead log, because the checkpoint that would copy the log at the close may fail silently.
    """
    remove_drafts(path)
    descriptor, draft = drafts.begin(path, NEW)
    try:
        with open_here(draft):
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
        try:
            _remove(draft)
        finally:
            os.close(descriptor)


def _remove(draft: str) -> None:
    for name in (draft, *(draft + tail for tail in TAILS)):
        with suppress(FileNotFoundError):
            os.unlink(name)


def remove_drafts(path: str) -> None:
    """Remove drafts of killed processes.

    The caller holds the commit lock; but where somebody removed its file, another process may be making a draft.
    """
    folder, name = os.path.split(path)
    try:
        entries = os.listdir(folder)
    except PermissionError:  # a folder that may be written and not read, where nobody can look for them
        return
    left = re.compile(rf"({drafts.pattern_of(name, NEW)})(?:{'|'.join(TAILS)})?")
    for entry in entries:
        found = left.fullmatch(entry)
        if found is None:
            continue
        draft = os.path.join(folder, found[1])
        with suppress(OSError):
            if drafts.remove_if_stale(draft) or not os.path.lexists(draft):
                _remove(draft)


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
