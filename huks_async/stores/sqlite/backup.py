"""A copy of a SQLite store in use: one file with the state of one moment, checked before it gets its name.

The copy is made by SQLite's own backup interface inside one read transaction. Without the transaction, the
interface starts again whenever another process commits, and with a few writers it would never end.

Until it is complete, a copy is a draft with a temporary name: the target's, a random number and `.backup-draft`.
The process that makes it holds a lock on it. So a draft without a lock was left by a killed process, and the next
backup to the same target removes it.
"""

import os
import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress

from huks_async.model.errors import BusinessError
from huks_async.runtime.companions import BACKUP_DRAFT, TAILS, refuse_companion, refuse_too_long
from huks_async.runtime.folders import sync_folder
from huks_async.runtime.new_names import name_new
from huks_async.runtime.paths import absolute
from huks_async.runtime.stops import Check, Stop, StoppedError
from huks_async.stores.base import Copied, ItemName
from huks_async.stores.sqlite import drafts
from huks_async.stores.sqlite.connections import MAX_VALUE_BYTES
from huks_async.stores.sqlite.creation import open_still
from huks_async.stores.sqlite.faults import foreign_value, storage_error
from huks_async.stores.sqlite.files import Inode, inode, left_log
from huks_async.stores.sqlite.guards import open_here
from huks_async.stores.sqlite.snapshot import Snapshot

_PAGES = 1000
"""How many pages are copied before it is checked whether to stop: some 4 MB, which take 10 to 40 ms."""

_ROWS = 32
"""How many rows are opened before other threads, above all the event loop, get the interpreter: 0.3 ms."""

Source = Callable[[Check], AbstractContextManager[Snapshot]]
CheckItem = Callable[[ItemName, bytes], object]
CheckMeta = Callable[[dict[str, bytes]], object]


class Backup:
    """One backup. Its methods block and must be called in one worker thread; any thread may set `stop`.

    Args:
        address: the store's address for messages.
        target: the file to make.
        stop: set to end the work soon; it then raises `StoppedError`.

    """

    def __init__(self, address: str, target: str, stop: Stop) -> None:
        self._address = address
        self._target = target
        self._stop = stop
        self._published: Inode | None = None

    def run(self, source: Source, check_item: CheckItem, check_meta: CheckMeta) -> Copied:
        """Make the copy, check it, and give it its name.

        Args:
            source: gives a moment of the store to read; it is given what raises when the backup is over.
            check_item: called with each key item of the copy; raises for one that does not open.
            check_meta: called with the values in the copy that belong to the store itself.

        Returns:
            where the copy is, and what it holds.

        Raises:
            BusinessError: 401 if there is already something at the target, or a log beside it, or if its name is one
                that files beside a database have, or too long; 12000004 when the copy cannot be made or is not sound.
                Nothing is left of the copy then.
            StoppedError: `stop` was set.

        """
        try:
            # made absolute here and not earlier, because this asks the system and so must run in a worker thread
            self._target = absolute(self._target)
            refuse_companion(self._target, f"the backup {self._target}")
            folder, name = os.path.split(self._target)
            # SQLite opens the draft by where links lead
            there = os.path.join(os.path.realpath(folder), name)
            refuse_too_long(there, BACKUP_DRAFT, f"the backup {self._target}")
            if os.path.lexists(self._target):
                raise self._exists()
            self._refuse_left_log()
            self._remove_stale()
            descriptor, draft = self._begin()
            try:
                with open_here(draft):
                    self._copy(source, draft)
                    keys = self._look_over(draft, check_item, check_meta)
                size = self._publish(descriptor, draft)
            finally:
                for name in (draft, *(draft + tail for tail in TAILS)):
                    with suppress(OSError):
                        os.unlink(name)
                os.close(descriptor)
        except sqlite3.DataError as error:  # a value that is too long for a store
            raise storage_error(self._address, error) from error
        except sqlite3.Error as error:
            if (
                getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            ):  # of the store: nobody uses the draft
                raise storage_error(self._address, error) from error
            raise self._failed(str(error)) from error
        except OSError as error:
            raise self._failed(error.strerror or type(error).__name__) from error
        return Copied(self._target, keys, size)

    def withdraw(self) -> None:
        """Remove a copy that has its name already, because nobody will be told of it."""
        with suppress(OSError):
            if self._published is not None and inode(self._target) == self._published:
                os.unlink(self._target)

    def _begin(self) -> tuple[int, str]:
        descriptor, draft = drafts.begin(self._target, BACKUP_DRAFT)
        try:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            if mode & 0o077:
                raise self._failed(
                    f"its file system gives the file mode {mode:04o}, readable by others; choose a file system that "
                    "keeps modes, or mount it for this user alone"
                )
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            os.close(descriptor)
            raise
        return descriptor, draft

    def _copy(self, source: Source, draft: str) -> None:
        with (
            closing(sqlite3.connect(draft, isolation_level=None)) as copy,
            source(self._stop.check) as snapshot,
        ):
            # An unfinished copy is thrown away, so no change to it needs to be undone or to survive a power cut.
            copy.execute("PRAGMA journal_mode = OFF").fetchall()
            copy.execute("PRAGMA synchronous = OFF")

            def go_on(*_: int) -> None:
                self._stop.check()
                snapshot.check()

            snapshot.connection.backup(copy, pages=_PAGES, progress=go_on)

    def _look_over(self, draft: str, check_item: CheckItem, check_meta: CheckMeta) -> int:
        with closing(open_still(draft)) as copy:
            # so that `stop` also interrupts `integrity_check`, which is one long call
            copy.set_progress_handler(self._stop.is_set, 100_000)
            try:
                ((verdict,), *_) = copy.execute("PRAGMA integrity_check(1)").fetchall()
                if verdict != "ok":
                    raise sqlite3.DatabaseError(f"the copy is not sound: {verdict}")
                check_meta(self._meta(copy))
                ((counted,),) = copy.execute("SELECT total(items) FROM tally").fetchall()
                ((longest,),) = copy.execute("SELECT max(length(blob)) FROM item").fetchall()
                at_once = max(1, min(_ROWS, MAX_VALUE_BYTES // (longest or 1)))
                keys = 0
                rows = copy.execute("SELECT namespace, level, alias, blob FROM item")
                while some := rows.fetchmany(at_once):
                    self._stop.check()
                    for namespace, level, alias, blob in some:
                        check_item(self._name(namespace, level, alias), blob)
                    keys += len(some)
            except sqlite3.OperationalError:
                self._stop.check()
                raise
        if keys != counted:
            raise self._foreign(f"has {keys} keys, and counts {counted:.0f}")
        return keys

    def _name(self, namespace: bytes, level: int, alias: bytes) -> ItemName:
        try:
            return ItemName(namespace.decode(), level, alias.decode())
        except UnicodeDecodeError:
            raise self._foreign("has a key whose name is no text in UTF-8") from None

    def _meta(self, copy: sqlite3.Connection) -> dict[str, bytes]:
        ((size,),) = copy.execute("SELECT total(length(value)) FROM meta").fetchall()
        if size > MAX_VALUE_BYTES:
            raise self._foreign(f"has values of its own of {size:.0f} bytes")
        try:
            return {name.decode(): value for name, value in copy.execute("SELECT name, value FROM meta")}
        except UnicodeDecodeError:
            raise self._foreign("has a value whose name is no text in UTF-8") from None

    def _foreign(self, what: str) -> BusinessError:
        return foreign_value(
            self._address,
            f"a copy of it {what}",
            "try again, as the copy alone may be damaged; if this is told again, restore the store from an older backup",
        )

    def _publish(self, descriptor: int, draft: str) -> int:
        self._stop.check()
        os.fsync(descriptor)
        self._stop.check()
        self._refuse_left_log()
        try:
            name_new(draft, self._target)
        except FileExistsError:
            raise self._exists() from None
        found = os.fstat(descriptor)
        self._published = found.st_dev, found.st_ino
        try:
            sync_folder(os.path.dirname(self._target))
            self._stop.check()
        except (OSError, StoppedError):
            self.withdraw()
            raise
        return found.st_size

    def _remove_stale(self) -> None:
        folder, name = os.path.split(self._target)
        try:
            entries = os.listdir(folder)
        except PermissionError:  # a folder that may be written and not read, where nobody can look for them
            return
        left = re.compile(drafts.pattern_of(name, BACKUP_DRAFT))
        for entry in entries:
            if left.fullmatch(entry):
                drafts.remove_if_stale(os.path.join(folder, entry))

    def _refuse_left_log(self) -> None:
        # SQLite would take it for the copy's own, and write it over the copy.
        log = left_log(self._target)
        if log is not None:
            raise BusinessError(
                401,
                f"there is no {self._target}, but a log of an earlier file of this name ('{log}'), which would destroy "
                "the backup; name another file, or put that file back beside its log, or remove the log",
            )

    def _exists(self) -> BusinessError:
        return BusinessError(
            401,
            f"there is something at {self._target} already, and a backup never replaces anything; name a file that is "
            "not there, or remove it first",
        )

    def _failed(self, how: str) -> BusinessError:
        return BusinessError(
            12000004,
            f"the backup of the store {self._address} to {self._target} failed: {how}; nothing is left under this "
            "name, and the store is as it was; check that the folder exists, that this user may write it, and that "
            "its disk has space",
        )
