"""What failures of SQLite and of the file system mean to the caller."""

import errno
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


def closed(address: str) -> BusinessError:
    """Make the BusinessError 12000012 of a call to a store that was open before."""
    return BusinessError(
        12000012, f"the store {address} is not open: it was closed meanwhile, or the keystore that used it"
    )


def storage_error(address: str, error: sqlite3.Error | OSError) -> BusinessError:
    """Make the BusinessError 12000004 that says which store failed, how, and what helps."""
    if isinstance(error, OSError):
        detail = error.strerror or type(error).__name__
        way_out = "check that the directory exists, that this user may write it, and that the disk has space"
        if error.errno == errno.ENAMETOOLONG:
            way_out = "give it a shorter name, as the files beside it have longer ones"
        return BusinessError(
            12000004, f"the store {address} cannot be opened or written: {detail}; {way_out}"
        )
    code = getattr(error, "sqlite_errorcode", 0)
    what, way_out = _MEANINGS.get(code & 0xFF, _OTHER)
    return BusinessError(12000004, f"the store {address} {what} ({error}); {_NOT_WRITTEN}; {way_out}")


def not_acknowledged(address: str) -> BusinessError:
    """Make the error for a write whose files lost their names while it was carried out."""
    return BusinessError(
        12000004,
        f"the files of the store {address} were moved, removed or replaced during this call, which is "
        "therefore not acknowledged: it is in the files that were open, and not in those that the path names "
        "now; try again",
    )


def not_synced(address: str, error: OSError) -> BusinessError:
    """Make the error for a write that may not be on the disk."""
    return BusinessError(
        12000004,
        f"the store {address} could not be synced to its disk ({error.strerror}), so this call is not "
        "acknowledged, although it may have been carried out; check the disk and the system's log, and look at "
        "what is there before you try again",
    )


def log_not_mended(address: str) -> BusinessError:
    """Make the error for a log that is not wholly on the disk, nor in the database."""
    return BusinessError(
        12000004,
        f"the store {address} could not be synced to its disk, and its log cannot be written back into the "
        f"database; {_NOT_WRITTEN}; check the disk and the system's log, and try again when no backup is being made",
    )


def log_not_saved(address: str) -> BusinessError:
    """Make the error for a log that has no name any more, and is not in the database."""
    return BusinessError(
        12000004,
        f"the log of the store {address} was removed while it was in use, and could not be written back into the "
        f"database; {_NOT_WRITTEN}; try again, with space on the disk, and when no backup is being made",
    )


def other_link(address: str) -> BusinessError:
    """Make the error for a path that is a link, and leads to another file than before."""
    return BusinessError(
        12000004,
        f"the path of the store {address} is a link that leads to another file since it was opened; {_NOT_WRITTEN}; "
        "close the keystore and open it anew",
    )


def link_in_place(address: str) -> BusinessError:
    """Make the error for a database in whose place a symbolic link was put, which leads to it or to another one."""
    return BusinessError(
        12000004,
        f"a symbolic link was put in the place of the store {address} while it was open; {_NOT_WRITTEN}; close the "
        "keystore and open it anew to use what the link leads to, or put all its files back",
    )


def other_store(address: str) -> BusinessError:
    """Make the error for a path that names another store than the one that was opened."""
    return BusinessError(
        12000004,
        f"another store was put in the place of {address} while it was open; nothing of this call was "
        "acknowledged; close the keystore and open it anew to use that one, or put the files back, and use each keystore "
        "once that has them open",
    )


def gone(address: str) -> BusinessError:
    """Make the error for a path that names nothing any more."""
    return BusinessError(
        12000004,
        f"the store {address} is no longer at its path: it was moved or removed while it was open; "
        f"{_NOT_WRITTEN}; put all its files back, or close the keystore and open it anew",
    )


def unsettled(address: str) -> BusinessError:
    """Make the error for files that other processes have not noticed to be gone."""
    return BusinessError(
        12000004,
        f"files of the store {address} were removed or replaced while other processes, or other keystores, "
        "backups or SQLite connections of this process, have it open, and these have not noticed yet; nothing of this "
        "call was acknowledged; try again once they have used the store, or end or close them",
    )
