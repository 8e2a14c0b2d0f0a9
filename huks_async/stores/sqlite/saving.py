"""Saving what a log holds when the path no longer names it beside its database: it is gone with its last user."""

import logging
import os
import sqlite3
from contextlib import suppress

from huks_async.runtime.folders import sync_folder
from huks_async.runtime.randomness import random_bytes
from huks_async.stores.sqlite.database import Database
from huks_async.stores.sqlite.faults import log_not_saved
from huks_async.stores.sqlite.files import Files, file_names, inode, look

logger: logging.Logger = logging.getLogger("huks_async")

_UNSAVED = ".unsaved"


def save(path: str, address: str, old: Database, patience: float) -> bool:
    """Write a log whose name is gone, or whose database was moved, back into the database file it belongs to.

    This is safe while all users still share these files. It is not done if the database has got another log or
    shared memory since, through which others may have written; an opening that met the removal leaves an empty log.
    What cannot be saved stays where it is if another try may save it; else it is told in the program's log. A log that is
    beside another database now gets a name of its own until it is saved.

    Args:
        path: the database's.
        address: the store's address for messages.
        old: the files that are left.
        patience: seconds to wait for those who read.

    Returns:
        whether everything that was in the log is in the database now.

    Raises:
        BusinessError: 12000004 when another try may save it.
        OSError: the old files have kept their names, or may get them back at a loss of power.

    """
    if os.path.islink(path):
        place = os.path.realpath(path)
        if inode(place) == old.files.database:
            return _save_moved(path, place, address, old, patience)
    return _save(path, address, old, patience)


def _save_moved(path: str, place: str, address: str, old: Database, patience: float) -> bool:
    """Save the log of a database that was moved with a symbolic link left in its place, which whoever opens it follows."""
    if look(place) == old.files:  # all was moved together, and is in use there
        return False
    saved = _save(place, address, old, patience)
    if old.is_written_back():
        # If the database is put back when it has changed, the log must not be there, which would be read into it.
        names, (_, log, shared) = look(path), file_names(path)
        if names.database != old.files.database:
            for name, now, was in ((log, names.log, old.files.log), (shared, names.shared, old.files.shared)):
                if now == was:
                    _remove(name)
            sync_folder(os.path.dirname(path))
    return saved


def _save(path: str, address: str, old: Database, patience: float) -> bool:
    names = _look(path)
    same = names.database == old.files.database
    if same and (names.shared not in {None, old.files.shared} or _is_written_anew(path, names, old)):
        if not old.is_written_back() and names.log != old.files.log:
            _tell_loss(address, "another program has opened it since, and got a new log")
        return False
    _, log, shared = file_names(path)
    if not same and names.database is not None and names.log == old.files.log:
        # First of all, because whoever opens the other database after a kill would read the log into it.
        with suppress(OSError):
            _move_aside(log, old)
    saved = False
    with suppress(sqlite3.Error, OSError):
        saved = old.write_back(patience)
    if same and not saved:
        raise log_not_saved(address)
    lost = not saved and not old.is_written_back()
    # Where somebody has removed the lock's file, too, others may have made new files during the write-back.
    names = _look(path)
    if names.database is None:
        if lost:
            raise log_not_saved(address)
        return saved
    # Files of the old set must not be mixed with those of the new one.
    if names.log == old.files.log:
        _move_aside(log, old)
    aside = _find_aside(log, old)
    if lost and aside is not None:
        _tell_loss(
            address, f"it is in the log '{aside}' alone, which belongs to the database that was there before"
        )
    elif lost:
        _tell_loss(address, "its log has lost its name")
    elif aside is not None:
        _remove(aside)
    if names.shared == old.files.shared:
        _remove(shared)
    if not lost:
        for link, file in ((log, old.files.log), (shared, old.files.shared)):
            if os.path.islink(link) and inode(link, follow=True) == file:
                _remove(link)
    sync_folder(os.path.dirname(path))
    return saved


def _look(path: str) -> Files:
    """Look at the names; a link in the place of log or shared memory is none, because SQLite opens neither by one."""
    _, log, shared = file_names(path)
    names = look(path)
    return names._replace(
        log=None if os.path.islink(log) else names.log,
        shared=None if os.path.islink(shared) else names.shared,
    )


def _is_written_anew(path: str, names: Files, old: Database) -> bool:
    if names.log in {None, old.files.log}:
        return False
    try:
        return os.path.getsize(f"{path}-wal") > 0
    except FileNotFoundError:  # removed since
        return False


def _move_aside(log: str, old: Database) -> None:
    # needs no space, unlike all else that could keep it
    aside = f"{log}.{random_bytes(8).hex()}{_UNSAVED}"
    os.rename(log, aside)
    old.aside = aside


def _find_aside(log: str, old: Database) -> str | None:
    """Find the name that this or another process has given the log."""
    folder, name = os.path.split(log)
    names = [] if old.aside is None else [os.path.basename(old.aside)]
    with suppress(PermissionError):  # a folder that may be written, but not read
        names += os.listdir(folder)
    for found in names:
        if found.startswith(f"{name}.") and found.endswith(_UNSAVED):
            aside = os.path.join(folder, found)
            if inode(aside) == old.files.log:
                return aside
    return None


def _remove(name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name)


def tell_left(path: str, address: str, old: Database, error: Exception) -> None:
    """Say in the program's log what becomes of files that are closed although the path does not name them.

    Args:
        path: the database's.
        address: the store's address for messages.
        old: the files.
        error: why their log was not saved, or why its name is left.

    """
    why = getattr(error, "strerror", None) or error
    names = there = Files(None, None, None)
    with suppress(OSError):
        names = there = look(path)
        if os.path.islink(path):
            there = look(os.path.realpath(path))
    has_its_name = names.log == old.files.log
    alone = names.database is None or there is not names
    if has_its_name and not alone and names.database != old.files.database:
        _tell(
            address,
            f"the log '{path}-wal' is beside another database now; move it away before that is opened",
            why,
        )
    elif old.is_written_back() or there[:2] == old.files[:2]:
        return
    elif has_its_name and alone:
        _tell(
            address,
            f"the log '{path}-wal', which holds what was written to it last, belongs to the database that was there; "
            "put that back, or move the log to where it is now, before that is opened",
            why,
        )
    else:
        _tell_loss(address, why)


def _tell_loss(address: str, why: object) -> None:
    _tell(address, "what was written to it last could not be saved", why)


def _tell(address: str, what: str, why: object) -> None:
    logger.error(
        "the files of the store %s were moved, removed or replaced while it was open, and %s: %s",
        address,
        what,
        why,
    )
