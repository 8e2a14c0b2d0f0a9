"""Opening the database that a path names, under the commit lock."""

import os
import sqlite3
import stat
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress

from huks_async.model.errors import BusinessError
from huks_async.stores.sqlite import connections, schema
from huks_async.stores.sqlite.creation import open_still, remove_drafts
from huks_async.stores.sqlite.database import Database
from huks_async.stores.sqlite.files import Files, inode, left_log, links_from, look, wait_until_noticed
from huks_async.stores.sqlite.guards import AVAILABLE, DATABASE_USERS, INDEX_USERS, Guard, refuse_inherited
from huks_async.stores.sqlite.schema import APPLICATION_ID, migrate
from huks_async.stores.sqlite.walindex import MAPPED_SIZE, frames

_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
_SMALLEST_FILE = 512  # one page of the smallest size
# the header of a database file, https://www.sqlite.org/fileformat.html
_HEADER_SIZE = 100
_MAGIC = b"SQLite format 3\0"
_WAL_AT = 18  # bytes 18 and 19 are 2 in WAL mode
_APPLICATION_AT = 68


class UnsettledError(Exception):
    """Another user is about to change which files the store consists of. Try again after a moment."""


def check_version(address: str) -> None:
    """Refuse a SQLite that lacks what the store needs: 12000001."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise BusinessError(
            12000001,
            f"the store {address} needs SQLite 3.37 or newer, this Python was linked with {sqlite3.sqlite_version}; "
            "use a newer build of Python",
        )


def open_database(
    path: str, address: str, busy_timeout: float, *, settled: bool = False, vouching: Files | None = None
) -> Database:
    """Open the database at an absolute path, and bring its schema up to date. The caller holds the commit lock.

    Args:
        path: absolute path of the file, without symbolic links.
        address: the store's address for messages.
        busy_timeout: seconds to wait for the locks of other programs.
        settled: the caller has just written back the log that the other users still have open.
        vouching: the files of a database of this process that was opened here and stays open meanwhile.

    Raises:
        UnsettledError: see there.
        BusinessError: 12000004 when the file is cut short, another program's, or of a newer schema; 12000012
            when it was open in the parent of this process.
        sqlite3.Error: anything else that keeps it from being opened.
        OSError: a file cannot be opened.

    """
    refuse_foreign(path, address)
    if os.stat(path).st_nlink > 1:
        _refuse_second_name(path, address)
    with ExitStack() as made:
        file = made.enter_context(Guard(path, DATABASE_USERS))
        left = not settled and _check_settled(path, file) and os.path.exists(f"{path}-wal")
        # in rollback mode, SQLite needs an exclusive lock to change the mode or to undo a hot journal
        ready = file.read(_WAL_AT, 2) == b"\2\2" and not os.path.exists(f"{path}-journal")
        if ready and not file.hold():
            raise UnsettledError
        # the index is made by the connections, but its guard must outlast them
        index_made = made.enter_context(ExitStack())
        before = look(path)
        written = _connect(path, busy_timeout)
        made.callback(connections.close, written)
        _use_log(written, address)
        opened = look(path)
        if any(was not in {None, now} for was, now in zip(before, opened, strict=True)):
            raise UnsettledError  # the connection may have the earlier ones
        if not ready and not file.hold():
            raise UnsettledError
        index = index_made.enter_context(_guard_of_index(path))
        vouched = opened == vouching
        if not (index.hold() and _uses(written, index, vouched=vouched)):
            raise UnsettledError
        migrate(written, address)
        if left:
            _write_back(written)
        read = _connect(path, busy_timeout)
        made.callback(connections.close, read)
        # this makes SQLite open the log, too, and query_only would refuse it
        if not _uses(read, index, vouched=vouched):
            raise UnsettledError
        read.execute("PRAGMA query_only = ON")
        seen = time.monotonic()
        try:
            database = Database(path, address, written, read, (file, index), busy_timeout)
        except FileNotFoundError as error:  # the log, which was there a moment ago
            raise UnsettledError from error
        made.pop_all()  # they end with the database from here on
        made.callback(database.close, tidy=False)
        # Each connection opens the log by its name. If somebody has removed it in between, they have two, and what the
        # one writes into the first would be synced and looked for in the second.
        if database.files != opened or not database.is_named() or database.log.is_missing_frames():
            raise UnsettledError
        made.pop_all()
    wait_until_noticed(seen)
    return database


def _connect(path: str, busy_timeout: float) -> sqlite3.Connection:
    try:
        return connections.connect(path, busy_timeout)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN and not os.path.exists(path):
            raise UnsettledError from error  # it was there a moment ago, and has been removed or moved since
        raise


def _guard_of_index(path: str) -> Guard:
    try:
        return Guard(f"{path}-shm", INDEX_USERS)
    except FileNotFoundError as error:  # it was there a moment ago
        raise UnsettledError from error


def refuse_foreign(path: str, address: str) -> None:
    """Refuse a file that is not a store, before anything is written beside it.

    Raises:
        BusinessError: 12000004 when it is cut short or another program's; 12000012 when it was open in the
            parent of this process.
        OSError: there is none, or it cannot be opened.

    """
    found = os.stat(path)
    refuse_inherited((found.st_dev, found.st_ino), address)
    if stat.S_ISREG(found.st_mode) and found.st_size < _SMALLEST_FILE:
        # SQLite would treat an empty file as a new database. But this library's files are complete from the
        # moment they get their name, so this one has lost its content.
        raise BusinessError(
            12000004,
            f"the store {address} is a file of {found.st_size} bytes, which a store never is: its content was "
            "lost, or the file was made by hand; restore it from a backup, or remove it to begin a new store",
        )
    with Guard(path, DATABASE_USERS) as file:
        header = file.read(0, _HEADER_SIZE)
    if not header.startswith(_MAGIC):
        raise BusinessError(
            12000004,
            f"the store {address} is not a SQLite database or was overwritten; nothing was changed; restore it from "
            "a backup, or correct the address",
        )
    if int.from_bytes(header[_APPLICATION_AT : _APPLICATION_AT + 4], "big") != APPLICATION_ID:
        raise BusinessError(
            12000004,
            f"the store {address} is a database of another program (its application_id is not "
            f"{APPLICATION_ID:#x}); nothing was changed; correct the address",
        )


def refuse_left_log(path: str, address: str) -> None:
    """Refuse to create a store where the log of another one is left.

    SQLite would copy that log over the new database, or undo what a journal of rollback mode names. Killed processes
    and power cuts never leave either without its database, so somebody has removed or moved the database.

    Raises:
        BusinessError: 12000004.

    """
    log = left_log(path)
    if log is not None:
        raise BusinessError(
            12000004,
            f"the store {address} is gone, but its log is there, which may hold keys that are nowhere else; nothing was "
            f"changed; put the database back beside it, or remove the log ('{log}') to begin a new store",
        )


def refuse_log_beside_link(given: str, path: str, address: str) -> None:
    """Refuse to open a store by a symbolic link that has a log beside it, of the time when the database was there.

    SQLite looks for the log where the link leads. So somebody has moved the database without its log, and the process
    that had it open was ended before it noticed.

    Args:
        given: the path that may be a link.
        path: the database that it leads to, or would lead to.
        address: the store's address for messages.

    Raises:
        BusinessError: 12000004.
        OSError: it cannot be looked at.

    """
    for link in links_from(given):
        log = left_log(link)
        if log is None or inode(log, follow=True) == inode(f"{path}{log.removeprefix(link)}"):
            continue
        if os.path.lexists(path):
            with Guard(path, DATABASE_USERS) as file:
                if file.used_here() or file.used_by_others():
                    return  # whoever has it open may be the one whose log it is
        raise BusinessError(
            12000004,
            f"the store {address} is opened by a symbolic link that has a log beside it ('{log}'), which may hold keys "
            "that are nowhere else: the database was moved without it; nothing was changed; move the log to where the "
            "database is, under its name there, if nothing was written to the database since it was moved; else remove it",
        )


def _refuse_second_name(path: str, address: str) -> None:
    # A process that was killed while it created the store may have left the draft's name as a second link.
    remove_drafts(path)
    if os.stat(path).st_nlink > 1:
        raise BusinessError(
            12000004,
            f"the store {address} is a file with several names (hard links), each of which would get a log of its "
            "own; make a copy in place of the link, or remove the other names",
        )


def _check_settled(path: str, file: Guard) -> bool:
    """Check that the files at the path belong together, judging by the locks of their users.

    Returns:
        whether it is certain that nobody uses the database.

    Raises:
        UnsettledError: the database is in use, but its log or shared memory is missing: its users will write the
            log back at their next use. Or the shared memory is in use, but by users of another database; or users of
            this process have another one; or it is of another log.

    """
    names = look(path)
    if names.database != file.inode:
        raise UnsettledError
    used_here = file.used_here() > 0
    if not (used_here or AVAILABLE):
        return False
    if used_here or file.used_by_others():
        if None in names:
            raise UnsettledError
        with _guard_of_index(path) as index:
            # _uses asks it, too, but only when SQLite has read the log
            if used_here and not index.used_here():
                raise UnsettledError
            if _is_missing_frames(path, index):
                raise UnsettledError
        return False
    if names.shared is not None:
        with _guard_of_index(path) as index:
            if index.used_here() or index.used_by_others():
                raise UnsettledError
    return True


def _is_missing_frames(path: str, index: Guard) -> bool:
    """Whether the log is empty, although the index tells of pages in it: an opening has made it that met a removal."""
    header = index.read(0, MAPPED_SIZE)
    try:
        return len(header) == MAPPED_SIZE and frames(header)[0] > 0 and os.path.getsize(f"{path}-wal") == 0
    except FileNotFoundError as error:  # it was there a moment ago
        raise UnsettledError from error


def _write_back(connection: sqlite3.Connection) -> None:
    """Empty a log that killed processes have left.

    It may be on the disk in part only, if a sync of it failed before they ended: the system tells that to nobody who
    opens it later. What was read from it and is written into the database is on the disk.
    """
    with suppress(sqlite3.Error):  # without space, the log is used as it is
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _use_log(connection: sqlite3.Connection, address: str) -> None:
    """Have a connection open the log, making it if there is none."""
    ((mode,),) = connection.execute("PRAGMA journal_mode = WAL").fetchall()
    if mode != "wal":
        raise BusinessError(
            12000004,
            f"the store {address} is on a file system without shared memory (journal mode {mode!r} instead of "
            "'wal'); move it to a local disk",
        )
    # a first read in this mode makes SQLite open the log and the WAL index
    connections.pragma(connection, "user_version")


def _uses(connection: sqlite3.Connection, index: Guard, *, vouched: bool = False) -> bool:
    """Whether a connection has this shared memory open, which the path names; True where the system cannot tell.

    SQLite opens the shared memory of a database once in a process, and every later connection has the same for as long
    as one of them is open, whatever the name says since. The log is opened by its name each time. So where a keystore,
    a backup or the application itself still has a connection from before the files were replaced, a new one would read
    and write the log of others by an index that is not theirs: it misses their keys and writes over them.

    The lock of a writer tells it, which SQLite sets in the shared memory that the connection has. Nothing is written.

    Args:
        connection: has read.
        index: the guard of what the path names.
        vouched: whether a connection of this process that stays open meanwhile was asked before, and the path names the
            same files still. SQLite gives this one the shared memory of that, so where another program is writing just
            now, this one need not be asked.

    """
    patience = connections.pragma(connection, "busy_timeout") / 1000
    if vouched:
        connections.set_busy_timeout(connection, 0)
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if vouched and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return True
        raise
    finally:
        connections.set_busy_timeout(connection, patience)
    try:
        return not AVAILABLE or index.is_written_here()
    finally:
        connection.execute("ROLLBACK")


def is_same_store(path: str, known: Mapping[bytes, bytes]) -> bool:
    """Whether a database that replaced an open one is the same store, judging by the database file alone.

    Args:
        path: the new database.
        known: the values by which the store is known, as far as callers have seen them.

    """
    try:
        with closing(open_still(path)) as connection:
            if connections.pragma(connection, "application_id") != APPLICATION_ID:
                return False
            version = connections.pragma(connection, "user_version")
            if version > len(schema.MIGRATIONS) or schema.foreign_object(connection, version) is not None:
                return False
            return schema.has_values(connection, known)
    except sqlite3.Error:
        return False
