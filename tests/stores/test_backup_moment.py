"""A backup holds one moment, also while others commit, and while the application reads the files of its store."""

import asyncio
import fcntl
import os
import sqlite3
import struct
from collections import Counter
from pathlib import Path

import pytest

from huks_async import BusinessError
from huks_async.runtime.stops import Stop
from huks_async.stores import ItemName, SqliteStore
from huks_async.stores.sqlite import backup, snapshot
from huks_async.stores.sqlite.database import Database
from huks_async.stores.sqlite.guards import AVAILABLE, INDEX_USERS, Guard
from tests.stores.peer import Peer, name

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this system has no open file description locks")

_COUNT = 150
_ALL = f"put(*[str(n) for n in range({_COUNT})], blob={{!r}} * 8000)"
_CHECKPOINT = "store._threads.engine._lock.call(lambda: store._threads.engine._database.checkpoints._run('RESTART'), 60)[0]"


@pytest.mark.asyncio
async def test_a_backup_is_of_one_moment_also_if_its_locks_of_sqlite_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a file of the store anywhere in the process drops them; checkpoints wait for the end of the backup."""
    path = tmp_path / "keys.db"
    store = SqliteStore(path)
    await store.open()
    with Peer(path) as other:
        assert other.ask("opened()") is True
        assert other.ask(_ALL.format(b"1")) is True
        assert other.ask(_ALL.format(b"2")) is True
        steps, busy = [], []

        def go_on(_: Stop) -> None:
            steps.append(1)
            if len(steps) == 2:
                for part in ("", "-wal", "-shm"):
                    Path(f"{path}{part}").read_bytes()
                for blob in (b"3", b"4"):
                    assert other.ask(_ALL.format(blob)) is True
                    busy.append(other.ask(_CHECKPOINT))

        monkeypatch.setattr(backup, "_PAGES", 20)
        monkeypatch.setattr(Stop, "check", go_on)
        found: Counter[bytes] = Counter()

        def check(_: ItemName, blob: bytes) -> None:
            found.update([blob[:1]])

        await store.backup(str(tmp_path / "copy.db"), check, lambda _: None)
        assert len(steps) > 10
        assert found == {b"2": _COUNT}
        assert busy == [1, 1]
        assert other.ask(_CHECKPOINT) == 0
        assert other.ask("closed()") is True
    await store.aclose()


def test_the_last_backup_that_ends_lets_checkpoints_be_made(tmp_path: Path) -> None:
    """All backups of a process have one lock."""
    path = tmp_path / "file"
    path.write_bytes(bytes(200))
    one, two = (Guard(str(path), INDEX_USERS) for _ in range(2))
    with open(path, "r+b") as other:

        def taken() -> bool:
            try:
                fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 121)
            except OSError:
                return False
            return True

        assert one.bar_checkpoints()
        assert two.bar_checkpoints()
        assert not taken()
        one.allow_checkpoints()
        assert not taken()
        two.allow_checkpoints()
        assert taken()
        assert not one.bar_checkpoints()
    assert one.bar_checkpoints()
    one.allow_checkpoints()
    with open(path, "r+b") as other:
        assert one.bar_checkpoints()
        assert not taken()
        one.release()  # as of a backup that was forgotten
        assert taken()
        one.allow_checkpoints()  # nothing any more
        fcntl.lockf(other, fcntl.LOCK_UN, 1, 121)
        assert two.bar_checkpoints()
        assert not taken()
        two.allow_checkpoints()
    two.release()


@pytest.mark.asyncio
async def test_a_backup_waits_for_the_checkpoint_of_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the busy timeout; then it says what it waits for, and nothing is left of it."""
    path = tmp_path / "keys.db"
    store = SqliteStore(path, busy_timeout=0)
    await store.open()
    await store.put(name("a"), b"x")
    target = tmp_path / "copy.db"
    with Peer(path) as other:
        lock = f"globals().update(held=open({str(path)!r} + '-shm', 'r+b'))"
        assert other.ask(lock) is None
        assert other.ask("__import__('fcntl').lockf(held, 2 | 4, 1, 121)") is None
        with pytest.raises(BusinessError, match="another program makes a checkpoint") as refused:
            await store.backup(str(target), lambda *_: None, lambda _: None)
        assert refused.value.code == 12000004
        assert not target.exists()
        barred: list[bool] = []
        bar = Database.bar_checkpoints

        def once_in_vain(database: Database) -> bool:
            barred.append(bar(database))
            if not barred[-1]:
                assert other.ask("held.close()") is None
            return barred[-1]

        monkeypatch.setattr(Database, "bar_checkpoints", once_in_vain)
        assert store._threads is not None
        assert store._threads.engine is not None
        store._threads.engine._busy_timeout = 60
        assert (await store.backup(str(target), lambda *_: None, lambda _: None)).rows == 1
        assert barred == [False, True]
    await store.aclose()


@pytest.mark.asyncio
async def test_a_read_that_cannot_begin_leaves_checkpoints_free(tmp_path: Path) -> None:
    """The table that it reads first is gone."""
    path = tmp_path / "keys.db"
    store = SqliteStore(path)
    await store.open()
    assert store._threads is not None
    opened = store._threads.engine
    assert opened is not None
    database = opened._database
    assert database is not None
    await asyncio.to_thread(database.written.execute, "ALTER TABLE sequence RENAME TO other")

    def snapshot() -> None:
        with pytest.raises(sqlite3.OperationalError), opened.snapshot():
            raise AssertionError

    await asyncio.to_thread(snapshot)
    assert database._index._entry.barred == 0
    await asyncio.to_thread(database.read.execute, "ROLLBACK")
    await store.aclose()


@pytest.mark.asyncio
async def test_writes_go_on_while_a_backup_waits_for_another_program(tmp_path: Path) -> None:
    """Whoever makes a checkpoint for long holds up the backup, and nobody else; the backup can be stopped."""
    path = tmp_path / "keys.db"
    # the backup waits for as long as the test may take, the writes of the other process for a part of that
    store = SqliteStore(path, busy_timeout=300)
    await store.open()
    await store.put(name("a"), b"x")
    shared = os.open(f"{path}-shm", os.O_RDWR)
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 121, 1, 0)
    fcntl.fcntl(shared, fcntl.F_OFD_SETLK, lock)
    with Peer(path) as other:
        assert other.ask("opened()") is True
        copying = asyncio.create_task(
            store.backup(str(tmp_path / "copy.db"), lambda *_: None, lambda _: None)
        )
        for number in range(20):
            await asyncio.sleep(0.01)
            assert other.ask(f"put('{number}')") is True
        assert not copying.done()
        copying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copying
        assert other.ask("closed()") is True
    os.close(shared)
    await store.aclose()


@pytest.mark.asyncio
async def test_a_backup_ends_where_the_index_needs_a_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed between the two copies of the header: nobody can commit until no backup is made."""
    path = tmp_path / "keys.db"
    store = SqliteStore(path)
    await store.open()
    for number in range(20):
        await store.put(name(f"{number}"), b"x" * 3000)

    def tear(_: Stop) -> None:
        with open(f"{path}-shm", "r+b", buffering=0) as shared:
            shared.seek(8)
            shared.write(b"\xff\xff")

    with monkeypatch.context() as patched:
        patched.setattr(backup, "_PAGES", 1)
        patched.setattr(Stop, "check", tear)
        # a writer that is only late is waited for, and it counts as late for as long as the test may take
        patched.setattr(snapshot, "_LONGEST_CHANGE", 300)
        assert (await store.backup(str(tmp_path / "first.db"), lambda *_: None, lambda _: None)).rows == 20
        patched.setattr(snapshot, "_LONGEST_CHANGE", 0)
        with pytest.raises(BusinessError, match="killed in the middle of a commit"):
            await store.backup(str(tmp_path / "copy.db"), lambda *_: None, lambda _: None)
    await store.put(name("after"), b"x")
    assert (await store.backup(str(tmp_path / "copy.db"), lambda *_: None, lambda _: None)).rows == 21
    await store.aclose()
