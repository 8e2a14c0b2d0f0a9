"""The guards of a store's files stay in place from the moment they are made, whatever other stores do meanwhile."""

import asyncio
import gc
import os
import sqlite3
import threading
from pathlib import Path

import anyio
import pytest

from huks_async.model.errors import BusinessError
from huks_async.stores import ItemName, SqliteStore
from huks_async.stores.sqlite import connections, database, guards, opening
from huks_async.stores.sqlite.files import LOOK_AGE, Names
from huks_async.stores.sqlite.guards import DATABASE_USERS, Guard, close_unused
from tests.adversity.support import descriptors
from tests.garbage import collect_until

A = ItemName("app", 2, "a")


async def _filled(path: Path) -> SqliteStore:
    """Make a store with a row, and leave it open."""
    store = SqliteStore(path)
    await store.open()
    await store.put(A, b"x")
    return store


def _open_here(path: Path) -> list[str]:
    """Give the open files of this process whose path begins with this one."""
    return [target for target in descriptors().values() if target.startswith(str(path))]


def _users(path: Path) -> int:
    """How many guards of a database hold its lock in this process."""
    with Guard(str(path), DATABASE_USERS) as guard:
        return guard.used_here()


def test_a_file_that_is_exchanged_while_it_is_opened_is_closed_with_its_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is open already, by the name that it had. The second descriptor is not closed before: that drops SQLite's locks."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"x")
    second.write_bytes(b"x")
    real = os.stat

    def stat(path: str) -> os.stat_result:
        found = real(path)
        second.replace(first)
        return found

    with Guard(str(second), DATABASE_USERS) as guard:
        assert guard.hold()
        with monkeypatch.context() as patch:
            patch.setattr(guards.os, "stat", stat)
            with Guard(str(first), DATABASE_USERS) as same:
                patch.undo()
                assert same.inode == guard.inode
        close_unused()
        assert len(_open_here(tmp_path)) == 2
    close_unused()
    assert _open_here(tmp_path) == []


@pytest.mark.parametrize("step", ["_check_settled", "_connect", "migrate"])
@pytest.mark.asyncio
async def test_a_store_that_closes_takes_nothing_from_one_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Wherever the opening is when another store closes, it has the files whose locks it set."""
    path = tmp_path / "keys.db"
    await (await _filled(path)).aclose()
    other = await _filled(tmp_path / "other.db")
    reached, go_on = threading.Event(), threading.Event()
    real = getattr(opening, step)

    def slow(*args: object) -> object:
        reached.set()
        assert go_on.wait(120)
        return real(*args)

    store = SqliteStore(path)
    async with anyio.create_task_group() as tasks:
        monkeypatch.setattr(opening, step, slow)
        tasks.start_soon(store.open)
        await anyio.to_thread.run_sync(reached.wait)
        monkeypatch.undo()
        await other.aclose()
        # whatever is opened now would get the number of a descriptor that was closed
        taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
        go_on.set()
    for descriptor in taken:
        os.close(descriptor)
    assert await anyio.to_thread.run_sync(_users, path) == 1
    assert await store.get(A) is not None
    await store.aclose()
    assert _open_here(tmp_path) == []


def test_a_guard_keeps_its_file_until_it_is_released(tmp_path: Path) -> None:
    """Held or not, the guards of a file keep it open, and the last one that is released lets it be closed."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    first, second = Guard(str(path), DATABASE_USERS), Guard(str(path), DATABASE_USERS)
    assert first.hold()
    for _ in range(2):
        first.release()
    close_unused()
    assert second.read(0, 7) == b"content"
    assert second.hold()
    second.release()
    close_unused()
    assert _open_here(path) == []


@pytest.mark.parametrize(
    ("module", "step"),
    [
        (opening, "_check_settled"),
        (opening, "_use_log"),
        (opening, "migrate"),
        (opening, "Database"),
        (database, "LogFile"),
        (database, "GroupCommit"),
        (database, "Checkpoints"),
    ],
)
@pytest.mark.asyncio
async def test_an_opening_that_fails_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, step: str
) -> None:
    """Wherever the opening fails, its files are closed."""
    path = tmp_path / "keys.db"
    await (await _filled(path)).aclose()
    with monkeypatch.context() as patch:
        patch.setattr(module, step, _failing)
        with pytest.raises(BusinessError):
            await SqliteStore(path).open()
    collect_until(lambda: _open_here(tmp_path) == [])


@pytest.mark.asyncio
async def test_a_store_may_be_collected_while_another_one_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A garbage collection at the worst moment, inside the guards' lock, waits for nothing, and nothing stays open."""
    forgotten = [SqliteStore(tmp_path / "forgotten.db")]
    await forgotten[0].open()
    forgotten.append(forgotten)  # type: ignore[arg-type]
    del forgotten
    real = guards._entry

    def collecting(path: str) -> object:
        gc.collect()
        return real(path)

    store = SqliteStore(tmp_path / "keys.db")
    with monkeypatch.context() as patch:
        patch.setattr(guards, "_entry", collecting)
        async with asyncio.timeout(120):
            await store.open()
    await store.aclose()
    collect_until(lambda: _open_here(tmp_path) == [])


def _failing(*_: object) -> None:
    raise sqlite3.OperationalError("no more of this")


@pytest.mark.asyncio
async def test_an_opening_that_fails_at_its_last_step_closes_its_connections_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the path names cannot be looked at, at the last step: each connection is let go of as often as it is kept."""
    path = tmp_path / "keys.db"
    await (await _filled(path)).aclose()
    closed: list[int] = []
    real = connections.close

    def counting(connection: sqlite3.Connection) -> None:
        closed.append(id(connection))
        real(connection)

    def fails(_: Names) -> bool:
        raise PermissionError(13, "may not be looked at")

    with monkeypatch.context() as patch:
        patch.setattr(connections, "close", counting)
        patch.setattr(Names, "hold", fails)
        with pytest.raises(BusinessError):
            await SqliteStore(path).open()
        gc.collect()
    assert len(closed) == len(set(closed)) == 2
    assert _open_here(tmp_path) == []


@pytest.mark.asyncio
async def test_an_opening_that_fails_releases_its_guards_after_its_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a connection is open, no other program may take its files for unused."""
    path = tmp_path / "keys.db"
    await (await _filled(path)).aclose()
    ended: list[str] = []
    close, release = connections.close, Guard.release

    def closing(connection: sqlite3.Connection) -> None:
        ended.append("connection")
        close(connection)

    def releasing(guard: Guard) -> None:
        if guard._held:
            ended.append("guard")
        release(guard)

    with monkeypatch.context() as patch:
        patch.setattr(connections, "close", closing)
        patch.setattr(Guard, "release", releasing)
        patch.setattr(opening, "Database", _failing)
        with pytest.raises(BusinessError):
            await SqliteStore(path).open()
    assert ended == ["connection", "connection", "guard", "guard"]
    assert _open_here(tmp_path) == []


@pytest.mark.asyncio
async def test_a_close_that_gets_no_lock_releases_its_guards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system without free locks (ENOLCK) at that moment leaves the log there, and nothing held for good."""
    path = tmp_path / "keys.db"
    store = await _filled(path)

    def refuse(guard: Guard) -> bool:
        raise OSError(37, "No locks available")

    with monkeypatch.context() as patched:
        patched.setattr(Guard, "take_alone", refuse)
        await store.aclose()
    assert _open_here(path) == []
    store = SqliteStore(path)
    await store.open()
    assert await asyncio.to_thread(_users, path) == 1
    await store.aclose()
    assert os.listdir(tmp_path) == ["keys.db"]


@pytest.mark.asyncio
async def test_a_path_that_cannot_be_looked_at_is_told_by_its_code(tmp_path: Path) -> None:
    """A folder that leads to itself: the stamp vouches for nothing, and what reads the store says why."""
    folder = tmp_path / "in"
    path = folder / "keys.db"
    store = await _filled(path)
    assert store.stamp() is not None
    folder.rename(tmp_path / "out")
    folder.symlink_to(folder)
    await asyncio.sleep(2 * LOOK_AGE)
    assert store.stamp() is None
    for call in (store.get(A), store.put(A, b"y")):
        with pytest.raises(BusinessError) as caught:
            await call
        assert caught.value.code == 12000004
    folder.unlink()
    (tmp_path / "out").rename(folder)
    await store.put(A, b"z")
    assert store.stamp() is not None
    await store.aclose()
