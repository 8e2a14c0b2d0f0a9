"""Files beside the database go at the worst moments: while a store opens them, and between a commit and its checkpoint."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from huks_async import BusinessError
from huks_async.stores import SqliteStore
from huks_async.stores.sqlite import opening
from huks_async.stores.sqlite.checkpoints import Checkpoints
from huks_async.stores.sqlite.engine import Engine
from huks_async.stores.sqlite.writes import Put, row_key
from tests.stores.peer import Peer, name


def _rows(path: Path) -> set[str]:
    """Give the aliases of a store by plain SQLite, after a check that it is sound."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {alias.decode() for (alias,) in connection.execute("SELECT alias FROM item")}


@pytest.mark.parametrize("part", ["-wal", "-shm"])
@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
@pytest.mark.asyncio
async def test_both_connections_have_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, replaced: bool
) -> None:
    """A file that goes between the opening of the two makes the store open anew; what it acknowledges is found."""
    path = tmp_path / "keys.db"
    real, gone = opening.migrate, []

    def migrate(connection: sqlite3.Connection, address: str) -> None:
        real(connection, address)
        if not gone:
            gone.append(part)
            if replaced:
                shutil.copy(f"{path}{part}", tmp_path / "copy")
                os.rename(tmp_path / "copy", f"{path}{part}")
            else:
                os.unlink(f"{path}{part}")

    store = SqliteStore(path)
    await store.open()
    await store.aclose()
    monkeypatch.setattr(opening, "migrate", migrate)
    await store.open()
    assert gone
    for number in range(20):
        await store.put(name(f"{number}"), b"x" * 3000)
    assert await store.get(name("7")) is not None
    with Peer(path) as other:
        assert other.ask("opened()") is True
        assert len(other.ask("aliases()")) == 20
    await store.aclose()
    assert len(_rows(path)) == 20


@pytest.mark.asyncio
async def test_a_shared_memory_that_goes_while_it_is_looked_at_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the names and the look at its locks; the next attempt finds none."""
    path = tmp_path / "keys.db"
    with Peer(path) as other:
        assert other.ask("opened()") is True
        assert other.ask("put('a')") is True
        other.kill()
    real = opening.look

    def look(database: str) -> object:
        names = real(database)
        Path(f"{path}-shm").unlink(missing_ok=True)
        return names

    store = SqliteStore(path)
    with monkeypatch.context() as patch:
        patch.setattr(opening, "look", look)
        patch.setattr(opening.UnsettledError, "__init__", lambda *_: patch.undo())
        await store.open()
    assert await store.get(name("a")) is not None
    await store.aclose()


@pytest.mark.asyncio
async def test_new_files_of_others_keep_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are put in place while the old log is written back; what is removed is looked at after that."""
    path = tmp_path / "keys.db"
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    os.unlink(f"{path}-wal")
    write_back = Checkpoints.write_back
    with (tmp_path / "new").open("wb") as new:

        def slow(self: Checkpoints) -> bool:
            saved = write_back(self)
            os.rename(tmp_path / "new", f"{path}-shm")
            return saved

        monkeypatch.setattr(Checkpoints, "write_back", slow)
        await store.put(name("b"), b"x")
        assert os.fstat(new.fileno()).st_nlink == 1
        await store.aclose()
    assert _rows(path) == {"a", "b"}


def _puts(prefix: str, blob: bytes, count: int) -> list[Put]:
    return [
        Put(item, row_key(item), blob, None)
        for item in (name(f"{prefix}{number}") for number in range(count))
    ]


def test_a_commit_whose_files_lost_their_names_makes_no_checkpoint(tmp_path: Path) -> None:
    """It would copy pages over those that others have written through new files meanwhile."""
    path = tmp_path / "keys.db"
    engine = Engine(str(path), "the address", 5, {}, lambda _: None)
    engine.open()
    engine.commit(lambda: [*_puts("old", b"0" * 3000, 300)])
    with Peer(path) as other:
        assert other.ask("opened()") is True
        database = engine._database
        assert database is not None
        commit = database.commit

        def slow(writes: list[Put]) -> object:
            for part in ("-wal", "-shm", ".lock"):
                os.unlink(f"{path}{part}")
            assert other.ask("put('first')") is True
            outcomes = commit(writes)  # type: ignore[arg-type]
            assert other.ask("put(*[f'theirs{n}' for n in range(300)], blob=b'1' * 3000)") is True
            other.ask(
                "store._threads.engine._lock.call("
                "lambda: store._threads.engine._database.checkpoints.start_anew(), 60)"
            )
            return outcomes

        database.commit = slow  # type: ignore[assignment]
        outcomes = engine.commit(lambda: [*_puts("mine", b"2" * 12000, 1000)])
        assert all(isinstance(outcome, BusinessError) for outcome in outcomes)
        assert other.ask("put('last')") is True
        assert other.ask("closed()") is True
    engine.close_read()
    engine.close()
    expected = {f"old{number}" for number in range(300)} | {f"theirs{number}" for number in range(300)}
    assert _rows(path) == expected | {"first", "last"}


@pytest.mark.parametrize("part", ["-wal", "-shm"])
@pytest.mark.asyncio
async def test_files_that_only_the_writing_connection_has_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Replaced by a copy just after SQLite has opened it: nothing is acknowledged into it, and the store opens anew."""
    path, real = tmp_path / "keys.db", opening._use_log
    store = SqliteStore(path)
    await store.open()
    await store.put(name("first"), b"x")
    await store.aclose()

    def replace(connection: sqlite3.Connection, address: str) -> None:
        real(connection, address)
        monkeypatch.setattr(opening, "_use_log", real)
        shutil.copy(f"{path}{part}", f"{path}.copy")
        os.rename(f"{path}.copy", f"{path}{part}")

    monkeypatch.setattr(opening, "_use_log", replace)
    await store.open()
    acknowledged = {"first"}
    for number in range(5):
        try:
            await store.put(name(f"{number}"), b"y" * 300)
        except BusinessError as error:
            assert error.code == 12000004
            assert number == 0
        else:
            acknowledged.add(f"{number}")
    assert len(acknowledged) >= 5
    with Peer(path) as other:
        assert other.ask("opened()") is True
        assert set(other.ask("aliases()")) >= acknowledged
        assert other.ask("closed()") is True
    await store.aclose()
    assert _rows(path) >= acknowledged
