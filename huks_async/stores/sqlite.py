"""The default store: a SQLite database that survives kill -9 and power loss, for any number of processes."""

import mmap
import os
import sqlite3
import threading
from typing import Any, TypeVar, TypeVarTuple, cast

import anyio

from huks_async.model.errors import BusinessError
from huks_async.rootkeys.file import FileRootKey
from huks_async.runtime.batches import BatchWorker
from huks_async.runtime.forks import generation, refuse_after_fork, tell_after_fork
from huks_async.runtime.workers import SerialWorker
from huks_async.stores.base import ItemName, Row, Store, encode_name
from huks_async.stores.faults import storage_error
from huks_async.stores.schema import connect, connect_again
from huks_async.stores.walindex import HEADER_SIZE, close_deleted, map_header
from huks_async.stores.writes import Delete, GroupCommit, Outcome, Put, PutMeta, Write, row_key

T = TypeVar("T")
Args = TypeVarTuple("Args")


class _Database:
    """What an open store has: one connection to write and one to read, each with a thread of its own."""

    def __init__(self, path: str, address: str, busy_timeout: float) -> None:
        self._read_closed = threading.Event()
        self.written = connect(path, address, busy_timeout)
        try:
            self.read = connect_again(path, busy_timeout)
            try:
                # a first read makes SQLite create the WAL index
                self.read.execute("SELECT version FROM sequence").fetchall()
                self.header = map_header(path)
            except BaseException:
                self.read.close()
                raise
        except BaseException:
            self.written.close()
            raise

    def close_read(self) -> None:
        self.read.close()
        self._read_closed.set()

    def close(self) -> None:
        self._read_closed.wait()
        self.written.close()
        close_deleted()


class SqliteStore(Store):
    """Keeps rows in a SQLite database.

    Writes wait for each other only as long as a disk needs to sync once: all that wait are committed
    together. Reads go on meanwhile, from the last committed state. Nothing runs on the event loop.

    Args:
        path: the database file; a relative one is settled by the first `open`. Where there is none it is created with mode 0600; a directory that
            is missing is created with mode 0700.
        busy_timeout: seconds to wait for other processes that write.

    """

    def __init__(self, path: str | os.PathLike[str], *, busy_timeout: float = 30.0) -> None:
        text = os.fspath(path)
        self.address = f"sqlite:///{text}"
        if not text or "\0" in text:
            raise BusinessError(
                401, f"the store {self.address!r} has no usable path; write sqlite:///path/to/file"
            )
        self.path = text
        self._busy_timeout = busy_timeout
        self._born = generation()
        self._database: _Database | None = None
        self._header: mmap.mmap | None = None
        self._reader: SerialWorker | None = None
        self._writer: BatchWorker[Write, Outcome] | None = None
        self._changes = 0
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Vouch for nothing in a child process."""
        self._header = None

    def default_root_key(self) -> FileRootKey:
        """Give a root key in a file beside the database."""
        return FileRootKey(f"{self.path}.root-key")

    async def open(self) -> None:
        """Open the database, creating it where there is none. Does nothing when it is open."""
        refuse_after_fork(self._born, f"the store {self.address}")
        if self._database is not None:
            return
        if self._reader is None:
            self._reader = SerialWorker(name="huks-store-read")
        try:
            await self._reader.run_shielded(self._open)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.aclose()
            raise

    def _open(self) -> None:
        # runs in the reader's thread, so that tasks that open the same store do it one after the other
        if self._database is not None:
            return
        self.path = os.path.abspath(
            self.path
        )  # asks the system, and so belongs here; later opens find it absolute
        try:
            database = _Database(self.path, self.address, self._busy_timeout)
        except (sqlite3.Error, OSError) as error:
            raise storage_error(self.address, error) from error
        self._writer = BatchWorker(GroupCommit(database.written, self.address), name="huks-store-write")
        self._header = database.header
        self._database = database

    async def aclose(self) -> None:
        """Close the database, after the writes that have begun. Does nothing when it is closed."""
        if self._reader is None or self._born != generation():
            return
        reader, self._reader = self._reader, None
        writer, self._writer = self._writer, None
        database, self._database = self._database, None
        self._header = None
        if writer is None or database is None:
            reader.close()
            return
        # Both ends are on their way before the first await, so that nothing that befalls it stops them.
        reader.finish(database.close_read)
        await writer.finish(database.close).outcome(shield=True, drop=False)

    async def get(self, name: ItemName) -> Row | None:
        """Give a row, None where there is none."""
        rows = await self._select(
            "SELECT version, blob FROM item WHERE namespace = ? AND level = ? AND alias = ?", *row_key(name)
        )
        return Row(*rows[0]) if rows else None

    async def put(self, name: ItemName, blob: bytes, *, expect: int | None = None) -> int:
        """Create or replace a row, and give its new version."""
        row_key(name)
        return cast("int", await self._write(Put(name, bytes(blob), expect)))

    async def delete(self, name: ItemName, *, expect: int | None = None) -> bool:
        """Remove a row, and tell whether there was one."""
        row_key(name)
        return cast("bool", await self._write(Delete(name, expect)))

    async def aliases(
        self, namespace: str, level: int, *, after: str | None = None, limit: int = 1000
    ) -> list[str]:
        """Give a page of aliases, ordered by their UTF-8 bytes."""
        key = encode_name("namespace", namespace), level
        if after is None:
            rows = await self._select(
                "SELECT alias FROM item WHERE namespace = ? AND level = ? ORDER BY alias LIMIT ?", *key, limit
            )
        else:
            rows = await self._select(
                "SELECT alias FROM item WHERE namespace = ? AND level = ? AND alias > ? ORDER BY alias LIMIT ?",
                *key,
                encode_name("alias", after),
                limit,
            )
        return [alias.decode() for (alias,) in rows]

    async def count(self, namespace: str, level: int) -> int:
        """Give the number of rows."""
        rows = await self._select(
            "SELECT items FROM tally WHERE namespace = ? AND level = ?",
            encode_name("namespace", namespace),
            level,
        )
        return int(rows[0][0]) if rows else 0

    async def is_empty(self) -> bool:
        """Tell whether there is no row in any namespace."""
        return not await self._select("SELECT 1 FROM item LIMIT 1")

    async def get_meta(self, name: str) -> bytes | None:
        """Give a value that belongs to the store itself, None where there is none."""
        rows = await self._select("SELECT value FROM meta WHERE name = ?", encode_name("name", name))
        return bytes(rows[0][0]) if rows else None

    async def put_meta(self, name: str, value: bytes) -> bytes:
        """Set a value unless there is one, and give the value that is there now."""
        encode_name("name", name)
        return cast("bytes", await self._write(PutMeta(name, bytes(value), replace=False)))

    async def replace_meta(self, name: str, value: bytes) -> None:
        """Set a value, whatever there is."""
        encode_name("name", name)
        await self._write(PutMeta(name, bytes(value), replace=True))

    def stamp(self) -> object | None:
        """Give the state of the WAL index, which every commit of any process changes before it returns."""
        header = self._header
        return None if header is None else (self._changes, header[:HEADER_SIZE])

    async def _write(self, write: Write) -> Outcome:
        refuse_after_fork(self._born, f"the store {self.address}")
        if self._writer is None:
            raise self._closed()
        try:
            return await self._writer.run(write)
        finally:
            self._changes += 1

    async def _select(self, statement: str, *values: object) -> list[Any]:
        refuse_after_fork(self._born, f"the store {self.address}")
        database, reader = self._database, self._reader
        if database is None or reader is None:
            raise self._closed()
        try:
            return await reader.run(_fetch_all, database.read, statement, values)
        except sqlite3.ProgrammingError:
            if self._database is database:
                raise
            raise self._closed() from None  # it was closed while this call waited
        except sqlite3.Error as error:
            raise storage_error(self.address, error) from error

    def _closed(self) -> BusinessError:
        return BusinessError(12000012, f"the store {self.address} is not open; open it before use")


def _fetch_all(connection: sqlite3.Connection, statement: str, values: tuple[Any, ...]) -> list[Any]:
    # all rows at once: a half-read cursor would hold on to an old state of the database
    return connection.execute(statement, values).fetchall()
