"""The default store: a SQLite database that survives kill -9 and power loss, for any number of processes."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any, cast

from anyio import CancelScope, get_cancelled_exc_class

from huks_async.model.errors import BusinessError
from huks_async.model.memory import out_of_memory
from huks_async.model.settings import check_seconds
from huks_async.model.showing import shown
from huks_async.rootkeys.file import FileRootKey
from huks_async.runtime.companions import NEW, refuse_companion, refuse_too_long
from huks_async.runtime.forks import generation, notice_fork, tell_after_fork
from huks_async.runtime.paths import absolute, is_usable, text_of
from huks_async.runtime.stops import Check, Stop, StoppedError
from huks_async.runtime.workers import WorkerPool
from huks_async.stores.base import MAX_NAME_BYTES, Copied, ItemName, Row, Store, check_level, encode_name
from huks_async.stores.sqlite.backup import Backup
from huks_async.stores.sqlite.engine import Engine
from huks_async.stores.sqlite.faults import closed, foreign_value, storage_error
from huks_async.stores.sqlite.snapshot import Snapshot
from huks_async.stores.sqlite.threads import ShowView, Threads
from huks_async.stores.sqlite.walindex import HEADER
from huks_async.stores.sqlite.writes import Delete, Outcome, Put, PutMeta, Write, row_key

_BACKUP_NICE = 5
"""The thread of a backup gives way to the event loop, like the worker threads of a keystore."""


_LONGEST_TIMEOUT = 1_000_000.0
"""Seconds; SQLite takes milliseconds in 32 bits."""

# a longer alias is another program's, and a page of such would take all memory
_ALIASES = f"""SELECT iif(length(alias) <= {MAX_NAME_BYTES}, alias, NULL) FROM item
    WHERE namespace = ? AND level = ?"""  # noqa: S608 - of constants

ROOT_KEY_SUFFIX = ".root-key"


class SqliteStore(Store):
    """Keeps rows in a SQLite database.

    A write waits for others no longer than the disk needs to sync once, because all waiting writes are committed
    together. Reads continue meanwhile, from the last committed state. No file is accessed on the event loop.

    Args:
        path: the database file; the first `open` makes a relative path absolute. If there is no such file, it is
            created with mode 0600; missing directories are created with mode 0700. Its name is none that a file beside
            a database has: it does not end in `-wal`, `-shm`, `-journal` or `.lock`.
        busy_timeout: seconds to wait for other processes that write, up to 1,000,000.

    """

    def __init__(self, path: str | os.PathLike[str], *, busy_timeout: float = 30.0) -> None:
        text = text_of(path)
        if text is None:
            raise BusinessError(
                401, f"the path of a store: got {shown(path)}, accepted a str or a path object"
            )
        self.address: str = f"sqlite:///{text}"
        if not is_usable(text):
            raise BusinessError(
                401, f"the store {self.address!r} has no usable path; write sqlite:///path/to/file"
            )
        refuse_companion(text, f"the store {self.address}")
        self.path: str = text
        self._busy_timeout = check_seconds(busy_timeout, "busy_timeout", zero=True, most=_LONGEST_TIMEOUT)
        self._threads: Threads | None = None
        self._known: dict[bytes, bytes] = {}
        self._changes = 0
        self._stops: set[Stop] = set()
        """Of the openings and backups that are under way, which a close ends."""
        # Both identify the process that opened the store; until then it belongs to no process.
        self._born = 0
        self._process = 0
        self._was_open = False

    def after_fork(self) -> None:
        """Drop the view in a child process, so that `stamp` never says there that a cached key is current."""
        if self._threads is not None:
            self._threads.view = None

    def default_root_key(self) -> FileRootKey:
        """Give a root key in a file beside the database."""
        return _RootKeyBeside(self.path)

    async def open(self) -> None:
        """Open the database, creating it if there is none. Does nothing when it is open.

        Raises:
            BusinessError: 401 where the path leads to the name of a file that belongs to another database, or has no
                room for the names of the files beside a new one; else see `Store.open`.
        """
        threads = self._threads
        if threads is None:
            notice_fork()
            self._born, self._process = generation(), os.getpid()
            self._threads = threads = Threads()
            tell_after_fork(self)
        self._refuse_in_child()
        # Made before anything is opened: it may load a module, which fails if no descriptor is left.
        shield, stop = CancelScope(shield=True), Stop()
        self._stops.add(stop)
        try:
            with suppress(StoppedError):
                await threads.open(partial(self._open_engine, stop.check), stop.set)
        except BaseException:
            if self._threads is threads and not threads.is_wanted:
                with shield:
                    await self.aclose()
            raise
        finally:
            self._stops.discard(stop)
        if self._threads is not threads:
            raise BusinessError(12000012, f"the store {self.address} was closed while it was being opened")
        self._was_open = True

    def _open_engine(self, check: Check, show: ShowView) -> Engine:
        try:
            # made absolute here, because this asks the system and so must run in a worker thread
            self.path = absolute(self.path)
            file = os.path.realpath(self.path)
            refuse_companion(file, f"the file that the store {self.address} leads to")
            if not os.path.lexists(file):
                refuse_too_long(file, NEW, f"the store {self.address}")
            engine = Engine(self.path, self.address, self._busy_timeout, self._known, show)
            engine.open(check=check)
        except (sqlite3.Error, OSError) as error:
            raise storage_error(self.address, error) from error
        except MemoryError as error:
            raise self._out_of_memory() from error
        return engine

    async def aclose(self) -> None:
        """Close the database, once the writes that have begun are done. Does nothing when it is closed.

        Does not wait for other processes: if one of them hangs in the middle of a commit, the log stays beside the
        database, and the next process to open the store uses it.
        Where its files were moved, removed or replaced, it waits for `busy_timeout` at most, to save what is in the log.
        """
        if self._threads is None or self._in_child():
            return
        for stop in self._stops:
            stop.set()
        threads, self._threads = self._threads, None
        await threads.close()

    def forget(self) -> None:
        """Forget which store was there; see `Store.forget`."""
        self._known = {}

    async def get(self, name: ItemName) -> Row | None:
        """Give a row, None if there is none."""
        rows = await self._select(
            "SELECT version, blob FROM item WHERE namespace = ? AND level = ? AND alias = ?", *row_key(name)
        )
        return self._row(name, *rows[0]) if rows else None

    def _row(self, name: ItemName, version: object, blob: object) -> Row:
        # columns have types, but whoever writes the schema by hand gets anything into them
        if type(version) is not int or version < 1 or type(blob) is not bytes:
            raise foreign_value(
                self.address,
                f"the item {shown(name.alias)} has content or a version that items never have",
                "delete or replace the key, or restore the store from a backup; other keys are not affected",
            )
        return Row(version, blob)

    async def put(self, name: ItemName, blob: bytes, *, expect: int | None = None) -> int:
        """Create or replace a row, and give its new version."""
        return cast("int", await self._write(Put(name, row_key(name), bytes(blob), expect)))

    async def delete(self, name: ItemName, *, expect: int | None = None) -> bool:
        """Remove a row, and tell whether there was one."""
        return cast("bool", await self._write(Delete(name, row_key(name), expect)))

    async def aliases(
        self, namespace: str, level: int, *, after: str | None = None, limit: int = 1000
    ) -> list[str]:
        """Give a page of aliases, ordered by their UTF-8 bytes."""
        key = encode_name("namespace", namespace), check_level(level)
        if after is None:
            rows = await self._select(f"{_ALIASES} ORDER BY alias LIMIT ?", *key, limit)
        else:
            rows = await self._select(
                f"{_ALIASES} AND alias > ? ORDER BY alias LIMIT ?",
                *key,
                encode_name("alias", after),
                limit,
            )
        try:
            return [bytes.decode(alias) for (alias,) in rows]
        except (TypeError, UnicodeDecodeError):
            raise foreign_value(
                self.address, "it has an alias that is no text in UTF-8, or too long"
            ) from None

    async def count(self, namespace: str, level: int) -> int:
        """Give the number of rows."""
        rows = await self._select(
            "SELECT items FROM tally WHERE namespace = ? AND level = ?",
            encode_name("namespace", namespace),
            check_level(level),
        )
        ((items,),) = rows or ((0,),)
        if type(items) is not int or items < 0:
            raise foreign_value(self.address, "its count of keys is not a number from 0")
        return items

    async def is_empty(self) -> bool:
        """Tell whether there is no row in any namespace."""
        return not await self._select("SELECT 1 FROM item LIMIT 1")

    async def get_meta(self, name: str) -> bytes | None:
        """Give a value that belongs to the store itself, None if there is none."""
        key = encode_name("name", name)
        rows = await self._select("SELECT value FROM meta WHERE name = ?", key)
        if not rows:
            return None
        ((value,),) = rows
        if type(value) is not bytes:
            raise foreign_value(self.address, f"its value {shown(name)} is not bytes")
        threads = self._threads
        if threads is not None and threads.engine is not None:
            threads.engine.know(key, value)
        return value

    async def put_meta(self, name: str, value: bytes) -> bytes:
        """Set a value unless there is one, and give the value that is there now."""
        encode_name("name", name)
        return cast("bytes", await self._write(PutMeta(name, bytes(value), replace=False)))

    async def replace_meta(self, name: str, value: bytes) -> None:
        """Set a value, whatever there is."""
        encode_name("name", name)
        await self._write(PutMeta(name, bytes(value), replace=True))

    async def backup(
        self,
        target: str,
        check_item: Callable[[ItemName, bytes], object],
        check_meta: Callable[[dict[str, bytes]], object],
    ) -> Copied:
        """Copy the store to a new file; see `Store.backup`. The backup has a thread and connections of its own."""
        self._refuse_in_child()
        if self._threads is None or self._threads.engine is None:
            raise self._closed()
        stop = Stop()
        work = Backup(self.address, target, stop)
        worker: WorkerPool = WorkerPool(1, name="huks-store-backup", nice=_BACKUP_NICE)
        self._stops.add(stop)
        try:
            source = partial(_snapshot, self._threads.engine)
            job = worker.start(work.run, source, check_item, check_meta)
            try:
                return await job.outcome(shield=True, when_cancelled=stop.set)
            except get_cancelled_exc_class():
                # the copy may have got its name before the thread could be told
                await worker.finish(work.withdraw).outcome(shield=True, drop=False)
                raise
        except StoppedError:
            raise BusinessError(
                12000012, f"the store {self.address} was closed during its backup, of which nothing is left"
            ) from None
        except MemoryError as error:
            raise out_of_memory(f"a backup of the store {self.address}") from error
        finally:
            self._stops.discard(stop)
            worker.close()

    def stamp(self) -> object | None:
        """Give the state of the WAL index, which every commit of any process changes before it returns.

        The state counts only while the path names the index, because other files may have been put there, through
        which other processes write. A look at the path is valid for half a millisecond, and no process acknowledges
        a write through files that are not at least a millisecond old.
        """
        threads = self._threads
        view = None if threads is None else threads.view
        if view is None or (monotonic() > view.until and not view.look()):
            return None
        return (self._changes, view.number, view.header[HEADER])

    async def _write(self, write: Write) -> Outcome:
        self._refuse_in_child()
        writer = None if self._threads is None else self._threads.writer
        if writer is None:
            raise self._closed()
        try:
            return await writer.start(write).outcome(shield=True)
        except MemoryError as error:
            raise self._out_of_memory() from error
        finally:
            self._changes += 1

    async def _select(self, statement: str, *values: object) -> list[Any]:
        self._refuse_in_child()
        threads = self._threads
        engine = None if threads is None else threads.engine
        if threads is None or engine is None:
            raise self._closed()
        stop = Stop()
        try:
            return await threads.reader.run(
                engine.select, statement, values, stop.check, when_cancelled=stop.set
            )
        except (sqlite3.Error, OSError) as error:
            raise storage_error(self.address, error) from error
        except MemoryError as error:
            raise self._out_of_memory() from error

    def _out_of_memory(self) -> BusinessError:
        return out_of_memory(f"a call of the store {self.address}")

    def _in_child(self) -> bool:
        # a fork by C code runs no handlers and can be noticed only by the changed process id
        return self._threads is not None and (self._born != generation() or self._process != os.getpid())

    def _refuse_in_child(self) -> None:
        if self._in_child():
            raise BusinessError(
                12000012,
                f"the store {self.address} was opened before this process was forked, and its threads stayed in the "
                "parent; start processes by spawn or forkserver, or open the store after the fork only",
            )

    def _closed(self) -> BusinessError:
        return (
            closed(self.address)
            if self._was_open
            else BusinessError(12000012, f"the store {self.address} is not open; open it before use")
        )


@contextmanager
def _snapshot(opened: Engine, check: Check) -> Iterator[Snapshot]:
    # A second engine on the same file, so that the store can meanwhile be closed, or follow its path to other files.
    engine = opened.another(check)
    try:
        with engine.snapshot(check) as snapshot:
            yield snapshot
    finally:
        engine.close_read()
        engine.close()


class _RootKeyBeside(FileRootKey):
    """A root key in a file beside a database, where the symbolic links to that lead, so that every name of it will do.

    That is looked at by each load: a link may lead to another store since the last.
    A file beside the link is used where there is one: a root key that somebody put there is theirs to place.
    """

    def __init__(self, database: str) -> None:
        super().__init__(f"{database}{ROOT_KEY_SUFFIX}")

    def _file(self) -> str:
        file = super()._file()
        if not os.path.lexists(file):
            file = f"{os.path.realpath(file.removesuffix(ROOT_KEY_SUFFIX))}{ROOT_KEY_SUFFIX}"
        self._name = f"the root key file {file}"
        return file
