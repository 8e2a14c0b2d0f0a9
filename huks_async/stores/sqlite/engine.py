"""The work of a SQLite store's threads: open, commit, read, close, and follow the files that the path names.

One rule holds throughout: a write is acknowledged only if, under the commit lock, it is in the files that the path
names at that moment; and what is read comes from these files.

Longer than other files, and one class: all of its steps share which database is open, and change that under the same two
locks in the same order.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from itertools import count
from typing import Any, TypeVar

from huks_async.model.errors import BusinessError
from huks_async.runtime.folders import make_folder
from huks_async.runtime.stops import Check, wanted
from huks_async.stores.base import STORE_KEY
from huks_async.stores.sqlite.commitlock import CommitLock
from huks_async.stores.sqlite.connections import set_busy_timeout
from huks_async.stores.sqlite.creation import create
from huks_async.stores.sqlite.database import Database
from huks_async.stores.sqlite.faults import (
    closed,
    gone,
    link_in_place,
    log_not_mended,
    not_acknowledged,
    not_synced,
    other_link,
    other_store,
    storage_error,
    unsettled,
)
from huks_async.stores.sqlite.files import Files, Inode, Names, file_names, inode, look
from huks_async.stores.sqlite.guards import close_unused
from huks_async.stores.sqlite.opening import (
    UnsettledError,
    check_version,
    is_same_store,
    open_database,
    refuse_foreign,
    refuse_left_log,
    refuse_log_beside_link,
)
from huks_async.stores.sqlite.saving import save, tell_left
from huks_async.stores.sqlite.snapshot import Snapshot
from huks_async.stores.sqlite.stuck import refuse_stuck
from huks_async.stores.sqlite.walindex import View
from huks_async.stores.sqlite.writes import Outcome, PutMeta, Write

R = TypeVar("R")

logger: logging.Logger = logging.getLogger("huks_async")

_PAUSE = 0.01
_CLOSING = 0.25
"""Seconds that a close waits for the lock. If it does not get it, the log stays for the next user of the store.

Files that the path does not name are waited for no longer, where they stay open because they may be put back.
"""
_READS = 3
_numbers = count(1)
"""Of the views, each used once in a process: a cache may outlast the engine that it was filled through."""


class Engine:
    """The open files of a store, which change when other files are put at its path.

    One thread calls `commit` and another calls `select`. The lock `_change` is held while the reading connection is
    used and while the files are exchanged; it is always taken after the commit lock.

    Args:
        given: the database's path, absolute. If it is a symbolic link, it must keep leading to the same file.
        address: the store's address for messages.
        busy_timeout: seconds to wait for other processes.
        known: by what the store is known, as far as callers have seen it, here or before an earlier close.
        show: called whenever the files change, with the new `View` on their index, or None if there is none.

    """

    def __init__(
        self,
        given: str,
        address: str,
        busy_timeout: float,
        known: dict[bytes, bytes],
        show: "Callable[[View | None], None]",
    ) -> None:
        check_version(address)
        # SQLite names log and shared memory after the file that a link leads to
        self._path = os.path.realpath(given)
        self._link = given if given != self._path else None
        self._address = address
        self._busy_timeout = busy_timeout
        self._briefly = min(busy_timeout, _CLOSING)
        self._show = show
        self._lock = CommitLock(self._path, address)
        self._change = threading.Lock()
        self._database: Database | None = None
        self._closed = False
        self._read_closed = threading.Event()
        self._known = known
        self._creates = not known

    def another(self, check: Check) -> "Engine":
        """Open an engine of its own on the files that the path names now, for another thread.

        Args:
            check: of the wait for the lock.

        Raises:
            BusinessError: 12000004 when the path names no database, or another store.
            sqlite3.Error, OSError: it cannot be opened.

        """
        engine = Engine(self._path, self._address, self._busy_timeout, {}, lambda _: None)
        engine._creates = False
        engine.open(beside=self, check=check)
        return engine

    # --- opening and closing -----------------------------------------------------------------------

    def open(self, *, beside: "Engine | None" = None, check: Check = wanted) -> None:
        """Open the database, creating it if there is none.

        Args:
            beside: has it open already. Nobody who writes at that moment is waited for then.
            check: of the wait for the lock.

        Raises:
            BusinessError, sqlite3.Error, OSError: it cannot be opened.

        """
        try:
            refuse_stuck(self._address, check)
            self._open_settled(beside, check)
        except BaseException:
            self._lock.close()
            close_unused()
            raise

    def _open_settled(self, beside: "Engine | None", check: Check) -> None:
        lock = (beside or self)._lock
        patience = self._busy_timeout
        deadline = time.monotonic() + patience
        folder = os.path.dirname(self._path)
        if os.path.lexists(self._path):
            refuse_foreign(self._path, self._address)
        while True:
            if self._creates:
                make_folder(folder)
            elif not os.path.lexists(self._path):
                raise gone(self._address)
            try:
                lock.call(partial(self._open, beside), patience, told=self._busy_timeout, check=check)
                return
            except UnsettledError:
                if time.monotonic() > deadline:
                    raise unsettled(self._address) from None
            check()
            time.sleep(_PAUSE)
            patience = max(deadline - time.monotonic(), 0.0)

    def _open(self, beside: "Engine | None") -> None:
        with self._change, beside._kept_open() if beside else nullcontext() as vouching:
            if os.path.islink(self._path):  # since it was looked where the address leads
                raise link_in_place(self._address)
            if self._link is not None:
                refuse_log_beside_link(self._link, self._path, self._address)
            if self._creates and not os.path.lexists(self._path):
                refuse_left_log(self._path, self._address)
                create(self._path, self._busy_timeout)
            database = open_database(self._path, self._address, self._busy_timeout, vouching=vouching)
            if not database.holds(self._known):
                database.close(tidy=True)
                raise other_store(self._address)
            self._use(database)

    @contextmanager
    def _kept_open(self) -> Iterator[Files]:
        """The files that the path names now, which stay open here to the end of the block. Under the commit lock."""
        database = self._settle()
        with self._change:
            if self._current() is not database:
                raise closed(self._address)
            yield database.files

    def close_read(self) -> None:
        """Note that no more reads will come."""
        self._read_closed.set()

    def close(self) -> None:
        """Close the files, after the last read.

        Waits only briefly for other processes, and for as long as any call does where the path does not name the files.
        """
        self._read_closed.wait()
        close, briefly = partial(self._close, tidy=True), self._briefly
        try:
            try:
                self._lock.call(close, briefly)
            except BusinessError:  # another process keeps the lock
                if not self._is_left(self._database):
                    raise
                self._lock.call(close, max(self._busy_timeout - briefly, 0.0), told=self._busy_timeout)
        except (BusinessError, OSError) as error:  # so the files are left as they are
            self._tell_left(error)
            self._close(tidy=False)
        self._lock.close()

    def _is_left(self, database: Database | None) -> bool:
        """Whether the path does not name the files; a changed link takes no names from them."""
        return database is not None and not database.lost and not database.is_named()

    def _tell_left(self, error: BusinessError | OSError) -> None:
        if isinstance(error, FileNotFoundError):  # the folder, with all that is in it
            return
        with suppress(OSError):
            database = self._database
            if database is not None and self._is_left(database):
                tell_left(self._path, self._address, database, error)

    def _close(self, *, tidy: bool) -> None:
        with self._change:
            database, self._database = self._database, None
            self._closed = True
            if database is None:
                return
            tidy = tidy and self._is_kept(database)
            if tidy and database.log.failed:
                with suppress(BusinessError):  # a disk that still fails
                    self._mend(database)
            if database.close(tidy=tidy):
                self._lock.remove_file()

    def _is_kept(self, database: Database) -> bool:
        """Whether the path names the files that are to be closed. If not, their log is written back, as when following.

        Whoever opens the store later would otherwise miss what a removed log holds, or read the log of a replaced
        database into the new one.
        """
        try:
            if self._is_named(database):
                return True
            if self._is_left(database):
                self._save_left(database, self._briefly)
        except (BusinessError, OSError, sqlite3.Error) as error:
            tell_left(self._path, self._address, database, error)
        return False

    def _use(self, database: Database | None) -> None:
        self._database = database
        view = None
        if database is not None and database.header is not None:
            # Nobody writes through another log and the same index. But what a log without a name holds is lost with
            # its last user, so whoever has it is to notice soon, also where only cached keys are used.
            names = zip(file_names(self._path), database.files, strict=True)
            links = [] if self._link is None else [(self._link, database.files.database)]
            view = View(Names(names, links), database.header, next(_numbers))
        self._show(view)

    # --- writing -----------------------------------------------------------------------------------

    def commit(self, begin: Callable[[], list[Write]], check: Check = wanted) -> list[Outcome]:
        """Carry out writes as one transaction, and return the outcome of each after the commit.

        Args:
            begin: returns the writes; called under the lock, because those may be dropped that still wait for it.
            check: of the wait for the lock.

        """
        try:
            outcomes, database, state = self._locked(partial(self._commit, begin), check)
        except BusinessError as error:
            return [BusinessError(error.code, error.message) for _ in begin()]
        except (sqlite3.Error, OSError) as error:
            return [storage_error(self._address, error) for _ in begin()]
        try:
            database.log.sync(state)
        except OSError as error:
            self._mend_soon()
            return _refused(outcomes, partial(not_synced, self._address, error))
        self._remember(begin(), outcomes)
        return outcomes

    def _locked(self, function: Callable[[], R], check: Check) -> R:
        try:
            return self._lock.call(function, self._busy_timeout, check=check)
        except FileNotFoundError:
            # a missing lock file would have been made, so it must be the folder that is missing
            raise gone(self._address) from None

    def _commit(self, begin: Callable[[], list[Write]]) -> tuple[list[Outcome], Database, bytes | None]:
        """Carry out the writes, and return their outcomes with the state that must be synced before they are told."""
        database = self._settle()
        before, changes = database.state(), database.written.total_changes
        outcomes = database.commit(begin())
        after = database.state()
        # A commit that does not change the shared memory that the path names, or its log, did not go to its files.
        changed = changes != database.written.total_changes
        # Changes that were rolled back, as on a full disk, count as changes, too; nothing would be acknowledged then.
        told = any(not isinstance(outcome, BaseException) for outcome in outcomes)
        unseen = changed and told and before is not None
        unseen = unseen and (before == after or database.log.is_missing_frames())
        named = self._is_named(database)
        if unseen or not named:
            outcomes = _refused(outcomes, partial(not_acknowledged, self._address))
        database.lost = unseen
        if named and not unseen:
            database.checkpoints.after_commit()
        return outcomes, database, after

    def _remember(self, writes: list[Write], outcomes: list[Outcome]) -> None:
        for write, outcome in zip(writes, outcomes, strict=True):
            if type(write) is PutMeta and isinstance(outcome, bytes):
                self.know(write.name.encode(), outcome)

    def know(self, name: bytes, value: bytes) -> None:
        """Remember by what the store is known, when a caller has seen it: a file that replaces ours must hold it, too.

        Other values come later: a backup from before is the same store.
        """
        if name == STORE_KEY.encode():
            self._known[name] = value

    def _mend_soon(self) -> None:
        """After a sync that failed, begin the log anew, if that is possible at once; otherwise the next use does it.

        Whoever opens the store later is not told of the failure, and would write behind what is not on the disk.
        """
        with suppress(BusinessError, OSError, sqlite3.Error):
            self._lock.call(self._settle, self._briefly)

    def _mend(self, database: Database) -> None:
        """After a sync that failed, move everything from the log into the database. Under the commit lock.

        What the log has on the disk is unknown then, so nothing that follows it there would be safe.
        """
        for _ in range(2):  # SQLite's own descriptor of the log is told of the failure once, too
            with suppress(sqlite3.Error):
                if database.checkpoints.start_anew():
                    database.log.emptied()
                    return
        raise log_not_mended(self._address)

    # --- reading -----------------------------------------------------------------------------------

    def select(self, statement: str, values: tuple[Any, ...], check: Check = wanted) -> list[Any]:
        """Return all rows of a query, from one committed state of the database.

        SQLite may have lost its locks without noticing (see `guards`), and then pages can change while they are
        read. So a result counts only if nobody has committed meanwhile; after some attempts, the query runs under
        the commit lock, where nobody can. What another process has committed is synced before it is told here, because
        that process may not have come to it yet.

        Args:
            statement: of SQL.
            values: for its placeholders.
            check: of the wait for the lock.

        """
        try:
            return self._select(statement, values, check)
        except OSError:
            self._mend_soon()
            raise

    def _select(self, statement: str, values: tuple[Any, ...], check: Check) -> list[Any]:
        for _ in range(_READS):
            with self._change:
                database = self._current()
                if database is not None and not database.log.failed:
                    before = database.state()
                    # The names are looked at last: what is read counts only if the path still named these files then.
                    try:
                        rows = database.read.execute(statement, values).fetchall()
                    except sqlite3.DatabaseError:
                        if before != database.state():
                            continue
                        if self._is_named(database):
                            raise
                    else:
                        if before != database.state():
                            continue
                        if self._is_named(database):
                            database.log.sync(before)
                            return rows
            self._locked(self._settle, check)
        return self._locked(partial(self._select_alone, statement, values), check)

    def _select_alone(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        database = self._settle()
        with self._change:
            rows = database.read.execute(statement, values).fetchall()
        database.log.sync(database.state())
        return rows

    @contextmanager
    def snapshot(self, check: Check = wanted) -> Iterator[Snapshot]:
        """Return the reading connection in a transaction that keeps the state of this moment.

        Every write that was acknowledged before is in it. Other processes may commit meanwhile, and the log grows
        until this ends, because there are no checkpoints.

        Args:
            check: of the wait for the lock, and for other programs.

        """
        deadline = time.monotonic() + self._busy_timeout
        while (database := self._locked(self._begin_reading, check)) is None:
            if time.monotonic() > deadline:
                raise sqlite3.OperationalError(
                    "another program makes a checkpoint for longer than the busy timeout"
                )
            check()
            time.sleep(_PAUSE)
        with self._change:
            try:
                yield Snapshot(database)
            finally:
                database.allow_checkpoints()
                database.read.execute("ROLLBACK")

    def _begin_reading(self) -> Database | None:
        """Begin to read; None if another program is making a checkpoint, for whose end nobody should hold the lock."""
        database = self._settle()
        if not database.bar_checkpoints():
            return None
        try:
            database.read.execute("BEGIN")
            # SQLite fixes the state that a transaction sees at its first read
            database.read.execute("SELECT version FROM sequence").fetchall()
        except BaseException:
            database.allow_checkpoints()
            raise
        return database

    def _current(self) -> Database | None:
        if self._closed:
            raise closed(self._address)
        return self._database

    # --- following the path ------------------------------------------------------------------------

    def _settle(self) -> Database:
        """Return the database that the path names now, reopened if necessary and safe. Under the commit lock.

        Raises:
            BusinessError: 12000004 when the path names no database, or another store.

        """
        database = self._current()
        if database is not None and self._is_named(database):
            if database.log.failed:
                self._mend(database)
            return database
        with self._change:
            try:
                self._follow(database)
            except UnsettledError:
                raise unsettled(self._address) from None
        database = self._database
        assert database is not None
        return database

    def _is_named(self, database: Database) -> bool:
        return database.is_named() and self._leads_to(database.files.database)

    def _leads_to(self, file: Inode | None) -> bool:
        return self._link is None or inode(self._link, follow=True) == file

    def _follow(self, old: Database | None) -> None:
        names = look(self._path)
        if names.database is None:
            if old is not None:
                with suppress(BusinessError):  # the next use and the close try again
                    self._save_left(old, 0.0 if old.waited else self._briefly)
                old.waited = True
            raise gone(self._address)
        if os.path.islink(self._path):
            if old is not None:
                with suppress(BusinessError, OSError):  # the next use and the close try again
                    self._leave_to_link(old)
            raise link_in_place(self._address)
        if not self._leads_to(names.database):
            raise other_link(self._address)
        settled = old is not None and self._renew(old, names)
        new = open_database(self._path, self._address, self._busy_timeout, settled=settled)
        if not new.holds(self._known):
            # Another store's database was put in place after the names were looked at, or while this store had
            # closed its old files and not yet opened the new ones.
            new.close(tidy=False)
            raise other_store(self._address)
        self._use(new)
        logger.warning(
            "the files of the store %s were replaced while it was open; it was opened anew", self._address
        )

    def _renew(self, old: Database, names: Files) -> bool:
        """Leave files that the path does not name; return whether the database stays, with its log written back."""
        if names.database != old.files.database:
            self._exchange(old, names)
            return False
        if old.lost:
            # Which files the connections have is unknown, so nothing is written back. What is lost was not acknowledged.
            self._leave(old)
            return False
        if old.is_shared_here():
            # Reopened now, SQLite would keep using the old shared memory, which other stores of this process have open.
            # They may stay idle until the process ends, so the log is saved already.
            self._save(old)
            self._leave(old)
            raise UnsettledError
        written_back = self._save(old)
        self._leave(old)
        return written_back

    def _exchange(self, old: Database, names: Files) -> None:
        """Leave a database file that was replaced by another one, if the new one is the same store."""
        if not is_same_store(self._path, self._known):
            # The files may be put back, so they stay open. But if this process is killed before that, whoever opens the
            # other store must not read the log into it. Once is enough: what cannot be saved has a name of its own then,
            # and the close tries again.
            if old.saved_from != names.database or names.log == old.files.log:
                with suppress(OSError):
                    self._save_left(old, self._briefly)
                    old.saved_from = names.database
            raise other_store(self._address)
        self._save(old)
        self._leave(old)

    def _leave_to_link(self, old: Database) -> None:
        """Leave files in whose place a symbolic link is, once where they are has all that was acknowledged.

        Whoever opens the store now follows the link, under a lock beside where it leads, so these files are used no more.
        Should they be put back, they are opened anew.
        """
        if not old.lost:
            patience, old.waited = 0.0 if old.waited else self._briefly, True
            self._save_left(old, patience)
        self._leave(old)

    def _save(self, old: Database) -> bool:
        return save(self._path, self._address, old, self._busy_timeout)

    def _save_left(self, old: Database, patience: float) -> None:
        """Save the log of files that stay open, because they may be put back, under the lock of all processes."""
        set_busy_timeout(old.written, patience)
        try:
            save(self._path, self._address, old, patience)
        finally:
            set_busy_timeout(old.written, self._busy_timeout)

    def _leave(self, old: Database) -> None:
        self._use(None)
        old.close(tidy=False)


def _refused(outcomes: list[Outcome], error: Callable[[], BusinessError]) -> list[Outcome]:
    """Give an error in place of each outcome that would be acknowledged."""
    return [outcome if isinstance(outcome, BaseException) else error() for outcome in outcomes]
