"""SQLite keeps one shared memory of a database for a whole process, also when its name has gone to another file."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from huks_async import BusinessError
from huks_async.stores import SqliteStore
from huks_async.stores.sqlite import engine as engine_module
from huks_async.stores.sqlite import guards, opening
from huks_async.stores.sqlite.files import Files
from huks_async.stores.sqlite.guards import AVAILABLE
from tests.stores.peer import Peer, name

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="no such locks on this system")
THEIRS = [f"theirs{number}" for number in range(30)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a store."""
    return tmp_path / "keys.db"


@pytest.fixture
def other(path: Path) -> Iterator[Peer]:
    """Another process that has the store open."""
    with Peer(path) as peer:
        assert peer.ask("opened()") is True
        assert peer.ask("put('first')") is True
        yield peer


def _read(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT count(*) FROM item").fetchall()


def _follow(other: Peer, path: Path, part: str) -> None:
    """Remove a file, and let the other process make new ones."""
    os.unlink(f"{path}{part}")
    assert other.ask(f"put(*{THEIRS})") is True


def _content(path: Path) -> list[bytes]:
    return [Path(f"{path}{part}").read_bytes() for part in ("", "-wal")]


async def _refused(store: SqliteStore) -> None:
    for call in (lambda: store.get(name("first")), lambda: store.put(name("lost"), b"x")) * 2:
        with pytest.raises(BusinessError, match="have it open, and these have not noticed yet") as error:
            await call()
        assert error.value.code == 12000004


async def _agree(store: SqliteStore, other: Peer, path: Path) -> None:
    """Check that both see all that was acknowledged, each what the other writes, and that a kill loses nothing."""
    expected = {"first", *THEIRS}
    assert set(await store.aliases("app", 2)) == expected == set(other.ask("aliases()"))
    await store.put(name("mine"), b"x")
    assert other.ask("put('last')") is True
    expected |= {"mine", "last"}
    assert set(await store.aliases("app", 2)) == expected == set(other.ask("aliases()"))
    other.kill()
    await store.aclose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert {alias.decode() for (alias,) in connection.execute("SELECT alias FROM item")} == expected


@pytest.mark.parametrize("part", ["-wal", "-shm"])
@pytest.mark.asyncio
async def test_an_idle_store_of_the_process_keeps_no_other_one_on_the_files_of_before(
    path: Path, other: Peer, part: str
) -> None:
    """What others have written to new files since is neither hidden by the shared memory of before nor written over."""
    store, idle, late = (SqliteStore(path, busy_timeout=0.2) for _ in range(3))
    await store.open()
    await idle.open()
    await store.put(name("first"), b"x")
    _follow(other, path, part)
    await _refused(store)
    with pytest.raises(BusinessError, match="have not noticed yet"):
        await late.open()
    assert await idle.get(name("theirs0")) is not None
    assert await store.get(name("theirs0")) is not None
    await late.open()
    await idle.aclose()
    await late.aclose()
    await _agree(store, other, path)


@pytest.mark.parametrize("part", ["-wal", "-shm"])
@pytest.mark.asyncio
async def test_a_connection_of_the_application_keeps_no_store_on_the_files_of_before(
    path: Path, other: Peer, part: str
) -> None:
    """It is told until the connection is closed, both to a store that was open and to one that is opened then."""
    store, late = (SqliteStore(path, busy_timeout=0.2) for _ in range(2))
    await store.open()
    with closing(sqlite3.connect(path)) as plain:
        _read(plain)
        _follow(other, path, part)
        await _refused(store)
        with pytest.raises(BusinessError, match="have not noticed yet"):
            await late.open()
    await late.open()
    await late.aclose()
    await _agree(store, other, path)


def test_the_lock_of_another_writer_is_not_taken_for_the_own(path: Path, other: Peer) -> None:
    """Another program may write to the new files at the moment in which a connection is asked for its index."""
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        _read(plain)
        _follow(other, path, "-wal")
        other.ask("store._threads.engine._database.written.execute('BEGIN IMMEDIATE') and None")
        with opening.Guard(f"{path}-shm", opening.INDEX_USERS) as index:
            assert not opening._uses(plain, index)
        other.ask("store._threads.engine._database.written.execute('ROLLBACK') and None")


@pytest.mark.asyncio
async def test_a_file_system_that_does_not_tell_whose_a_lock_is_has_stores(
    path: Path, other: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As FUSE with locks of its own: F_OFD_GETLK gives -1 there. That nobody has the lock is told there, too."""
    ask = guards._conflict
    monkeypatch.setattr(guards, "_conflict", lambda *lock: None if ask(*lock) is None else -1)
    store = SqliteStore(path, busy_timeout=0)
    await store.open()
    await store.put(name("second"), b"x")
    assert set(other.ask("aliases()")) == {"first", "second"}
    await store.aclose()
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        _read(plain)
        _follow(other, path, "-wal")
        with pytest.raises(BusinessError, match="have not noticed yet"):
            await store.open()


@pytest.mark.asyncio
async def test_a_backup_is_made_beside_a_program_that_writes(path: Path, other: Peer) -> None:
    """Its connections cannot be asked then, but the store's have been, and SQLite gives those of a process the same."""
    store = SqliteStore(path, busy_timeout=0)
    await store.open()
    other.ask("store._threads.engine._database.written.execute('BEGIN IMMEDIATE') and None")
    other.ask("store._threads.engine._database.written.execute('DELETE FROM item') and None")
    made = await store.backup(str(path.with_name("copy.db")), lambda *_: None, lambda *_: None)
    assert made.rows == 1
    other.ask("store._threads.engine._database.written.execute('ROLLBACK') and None")
    await store.aclose()


@pytest.mark.asyncio
async def test_only_a_database_on_the_same_files_vouches_for_a_connection(path: Path, other: Peer) -> None:
    """Beside a program that writes, others are not opened."""
    store = SqliteStore(path, busy_timeout=0)
    await store.open()
    engine = store._threads.engine  # type: ignore[union-attr]
    files = engine._database.files  # type: ignore[union-attr]
    other.ask("store._threads.engine._database.written.execute('BEGIN IMMEDIATE') and None")

    def open_beside(vouching: Files) -> None:
        opening.open_database(str(path), "sqlite:", 0, vouching=vouching).close(tidy=False)

    await asyncio.to_thread(open_beside, files)
    for part in ("database", "log", "shared"):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await asyncio.to_thread(open_beside, files._replace(**{part: (0, 0)}))
    other.ask("store._threads.engine._database.written.execute('ROLLBACK') and None")
    await store.aclose()


@pytest.mark.asyncio
async def test_a_backup_that_meets_a_locked_store_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder and the space of the target are no matter then."""
    store = SqliteStore(path, busy_timeout=0)
    await store.open()

    def locked(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    monkeypatch.setattr(engine_module, "open_database", locked)
    with pytest.raises(BusinessError, match=r"locked by another process.*keeps a transaction open") as error:
        await store.backup(str(path.with_name("copy.db")), lambda *_: None, lambda *_: None)
    assert error.value.code == 12000004
    assert not list(path.parent.glob("copy*"))
    await store.aclose()


@pytest.mark.asyncio
async def test_asking_for_the_index_changes_nothing(path: Path) -> None:
    """Keys that are kept stay valid, and others see no commit."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("first"), b"x")
    before = _content(path)

    def ask() -> None:
        with (
            closing(sqlite3.connect(path, isolation_level=None)) as plain,
            opening.Guard(f"{path}-shm", opening.INDEX_USERS) as index,
        ):
            header = index.read(0, 96)
            assert opening._uses(plain, index)
            assert index.read(0, 96) == header

    await asyncio.to_thread(ask)
    assert _content(path) == before
    await store.aclose()


@pytest.mark.asyncio
async def test_an_empty_log_beside_the_shared_memory_of_another_is_not_written(
    path: Path, other: Peer
) -> None:
    """An opening leaves it that met the removal of the log. What the index tells of is in the log that lost its name."""
    os.unlink(f"{path}-wal")
    os.close(os.open(f"{path}-wal", os.O_CREAT | os.O_WRONLY, 0o600))
    store = SqliteStore(path, busy_timeout=0.2)
    with pytest.raises(BusinessError, match="have not noticed yet"):
        await store.open()
    assert other.ask(f"put(*{THEIRS})") is True
    await store.open()
    await _agree(store, other, path)
