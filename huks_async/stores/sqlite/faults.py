"""What failures of SQLite and of the file system mean to the caller."""

import sqlite3

from huks_async.model.errors import BusinessError
from huks_async.stores.sqlite.connections import MAX_VALUE_BYTES

_NOT_WRITTEN = "nothing of this call was acknowledged"

# primary result codes of SQLite, https://www.sqlite.org/rescode.html
_MEANINGS: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_NOTADB: (
        "is not a SQLite database or was overwritten",
        "restore it from a backup, or correct the address",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "is damaged",
        "stop all its users, keep a copy of the file with its -wal, and restore it from a backup",
    ),
    sqlite3.SQLITE_BUSY: (
        "was locked by another process for longer than the busy timeout",
        "try again, and look for a process that keeps a transaction open",
    ),
    sqlite3.SQLITE_FULL: ("has no space left on its disk", "free space and try again"),
    sqlite3.SQLITE_READONLY: (
        "cannot be written",
        "give this user the right to write the file and its directory, on a file system that is not read-only",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        "check that the directory exists and that this user may read and write it",
    ),
    sqlite3.SQLITE_PERM: ("cannot be opened", "check the permissions of the file and its directory"),
    sqlite3.SQLITE_IOERR: (
        "could not be read or written by the system",
        "check the disk and the system's log; network file systems are not supported",
    ),
    sqlite3.SQLITE_PROTOCOL: (
        "could not be locked",
        "check that the file system supports locks; network file systems are not supported",
    ),
    sqlite3.SQLITE_NOMEM: ("needs more memory than the process got", "free memory and try again"),
    sqlite3.SQLITE_TOOBIG: (
        f"has or was given a value of more than {MAX_VALUE_BYTES >> 20} MiB, which is not read or kept",
        "if another program wrote it, delete or replace the key, or restore the store from a backup",
    ),
    sqlite3.SQLITE_CONSTRAINT: (
        "holds values that this package does not write",
        "restore it from a backup",
    ),
}
_OTHER = ("failed", "see the error of SQLite that is given here")


def foreign_value(
    address: str, what: str, way_out: str = "restore the store from a backup", *, of_write: bool = False
) -> BusinessError:
    """Make the BusinessError 12000004 for a value that this package never writes.

    Args:
        address: the store's.
        what: the value.
        way_out: what helps.
        of_write: whether a write found it, of which nothing was acknowledged then.

    """
    outcome = f"{_NOT_WRITTEN}; " if of_write else ""
    return BusinessError(
        12000004,
        f"the store {address} is not as this package writes it: {what}; another program changed it, or its file is "
        f"damaged; {outcome}{way_out}",
    )


def storage_error(address: str, error: sqlite3.Error | OSError) -> BusinessError:
    """Make the BusinessError 12000004 that says which store failed, how, and what helps."""
    if isinstance(error, OSError):
        detail = error.strerror or type(error).__name__
        return BusinessError(
            12000004,
            f"the store {address} cannot be opened or written: {detail}; check that the directory exists, "
            "that this user may write it, and that the disk has space",
        )
    code = getattr(error, "sqlite_errorcode", 0)
    what, way_out = _MEANINGS.get(code & 0xFF, _OTHER)
    return BusinessError(12000004, f"the store {address} {what} ({error}); {_NOT_WRITTEN}; {way_out}")
