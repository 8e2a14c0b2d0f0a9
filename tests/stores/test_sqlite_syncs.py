"""A commit is synced after its lock is free and before it is told, to its writer and to whoever reads it."""

import asyncio
import errno
import multiprocessing
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from huks_async import BusinessError
from huks_async.stores import ItemName, SqliteStore
from huks_async.stores.sqlite import checkpoints, log

ONE, TWO = ItemName("app", 1, "one"), ItemName("app", 1, "two")


class Disk:
    """Stands before the system's sync: counts, lets a thread wait, or fails as a disk does, once."""

    def __init__(self) -> None:
        self.syncs = 0
        self.failures = 0
        self.held = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def hold_next(self) -> None:
        self.held.clear()
        self.goes_on.clear()

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if not self.goes_on.is_set() and not self.held.is_set():
            self.held.set()
            assert self.goes_on.wait(60)
        os.fdatasync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(log, "_sync", disk.sync)
    yield disk
    disk.goes_on.set()


@pytest_asyncio.fixture
async def store(tmp_path: Path, disk: Disk) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "keys.db", busy_timeout=5)
    await store.open()
    yield store
    disk.goes_on.set()
    await store.aclose()


@pytest_asyncio.fixture
async def other(store: SqliteStore, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A second store object on the same file, as another process has one."""
    other = SqliteStore(tmp_path / "keys.db", busy_timeout=5)
    await other.open()
    yield other
    await other.aclose()


async def held(disk: Disk) -> None:
    assert await asyncio.to_thread(disk.held.wait, 60)


@pytest.mark.asyncio
async def test_a_write_is_told_after_its_sync_and_others_write_meanwhile(
    store: SqliteStore, disk: Disk, other: SqliteStore
) -> None:
    """The lock of all processes is free while a commit is being synced."""
    disk.hold_next()
    write = asyncio.create_task(store.put(ONE, b"one"))
    await held(disk)
    assert await other.put(TWO, b"two") == 2
    assert not write.done()
    disk.goes_on.set()
    assert await write == 1


@pytest.mark.asyncio
async def test_what_another_one_wrote_is_synced_before_it_is_read(
    store: SqliteStore, disk: Disk, other: SqliteStore
) -> None:
    """Else a power cut would take back what a reader has seen; but nothing is synced twice for reading."""
    await other.get(ONE)
    disk.hold_next()
    write = asyncio.create_task(store.put(ONE, b"one"))
    await held(disk)
    before = disk.syncs
    row = await other.get(ONE)
    assert row is not None
    assert row.blob == b"one"
    assert disk.syncs == before + 1
    assert await other.aliases("app", 1) == ["one"]
    assert disk.syncs == before + 1
    assert not write.done()
    disk.goes_on.set()
    await write


@pytest.mark.asyncio
async def test_own_writes_are_synced_once(store: SqliteStore, disk: Disk) -> None:
    """A store that has its file for itself never syncs for a read."""
    before = disk.syncs
    for number in range(5):
        await store.put(ItemName("app", 1, f"key {number}"), b"blob")
        await store.get(ONE)
        await store.count("app", 1)
    assert disk.syncs == before + 5


@pytest.mark.asyncio
async def test_a_sync_that_fails_acknowledges_nothing_and_the_log_is_begun_anew(
    store: SqliteStore, disk: Disk, tmp_path: Path
) -> None:
    """The system takes pages whose write failed for written, so what follows them in the log would not be safe."""
    await store.put(ONE, b"one")
    disk.failures = 1
    with pytest.raises(
        BusinessError, match="not acknowledged, although it may have been carried out"
    ) as refused:
        await store.put(TWO, b"two")
    assert refused.value.code == 12000004
    assert os.strerror(errno.EIO) in refused.value.message
    syncs = disk.syncs
    assert await store.put(ItemName("app", 1, "three"), b"three") == 3
    assert disk.syncs == syncs + 1
    # what was in the log before is in the database file itself, without the log
    with closing(sqlite3.connect(f"{(tmp_path / 'keys.db').as_uri()}?immutable=1", uri=True)) as still:
        assert still.execute("SELECT alias FROM item ORDER BY alias").fetchall() == [(b"one",), (b"two",)]


@pytest.mark.asyncio
async def test_a_read_after_a_failed_sync_begins_the_log_anew(store: SqliteStore, disk: Disk) -> None:
    """A row is told only when it is on the disk, in the log or in the database."""
    disk.failures = 1
    with pytest.raises(BusinessError):
        await store.put(ONE, b"one")
    row = await store.get(ONE)
    assert row is not None
    assert row.blob == b"one"


@pytest.mark.asyncio
async def test_a_read_whose_sync_fails_is_refused(store: SqliteStore, disk: Disk, other: SqliteStore) -> None:
    """The next one finds a sound log again."""
    await store.put(ONE, b"one")
    disk.failures = 1
    with pytest.raises(BusinessError, match=os.strerror(errno.EIO)) as refused:
        await other.get(ONE)
    assert refused.value.code == 12000004
    assert await other.get(ONE) is not None


@pytest.mark.asyncio
async def test_nothing_is_acknowledged_while_the_log_cannot_be_begun_anew(
    store: SqliteStore, disk: Disk, tmp_path: Path
) -> None:
    """Another program's long read keeps the log in use."""
    await store.put(ONE, b"one")
    with closing(sqlite3.connect(tmp_path / "keys.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM item").fetchall()
        disk.failures = 1
        with pytest.raises(BusinessError):
            await store.put(TWO, b"two")
        with pytest.raises(BusinessError, match="cannot be written back") as refused:
            await store.put(TWO, b"two")
        assert refused.value.code == 12000004
        with pytest.raises(BusinessError, match="cannot be written back"):
            await store.get(ONE)
        reader.execute("ROLLBACK")
    assert await store.put(TWO, b"two") == 3
    assert await store.get(ONE) is not None


def _in_the_file(path: Path) -> list[bytes]:
    """Give the aliases of the database file itself, without its log."""
    with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as still:
        return [alias for (alias,) in still.execute("SELECT alias FROM item ORDER BY alias")]


@pytest.mark.asyncio
async def test_a_log_whose_sync_failed_is_begun_anew_at_once(
    store: SqliteStore, disk: Disk, tmp_path: Path, other: SqliteStore
) -> None:
    """A process that is killed then, or ends, leaves nothing to those who would not be told of the failure."""
    path = tmp_path / "keys.db"
    disk.failures = 1
    with pytest.raises(BusinessError):
        await store.put(ONE, b"one")
    assert _in_the_file(path) == [b"one"]
    assert not (tmp_path / "keys.db-wal").stat().st_size
    await store.put(TWO, b"two")
    disk.failures = 1
    with pytest.raises(BusinessError):
        await other.get(TWO)
    assert _in_the_file(path) == [b"one", b"two"]
    assert not (tmp_path / "keys.db-wal").stat().st_size


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
@pytest.mark.asyncio
async def test_a_log_whose_sync_failed_is_begun_anew_by_the_close(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """SQLite's own descriptor of the log is told of the failure once, too, so the first attempt fails."""
    path = tmp_path / "keys.db"
    store, other = SqliteStore(path, busy_timeout=5), SqliteStore(path, busy_timeout=5)
    await store.open()
    if shared:
        await other.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM item").fetchall()
        disk.failures = 1
        with pytest.raises(BusinessError):
            await store.put(ONE, b"one")
        reader.execute("ROLLBACK")
    run, failures = checkpoints.Checkpoints._run, [1]

    def fails_once(self: checkpoints.Checkpoints, mode: str) -> tuple[int, int, int]:
        if failures:
            failures.pop()
            raise sqlite3.OperationalError("disk I/O error")
        return run(self, mode)

    monkeypatch.setattr(checkpoints.Checkpoints, "_run", fails_once)
    await store.aclose()
    assert not failures
    assert _in_the_file(path) == [b"one"]
    await other.aclose()


@pytest.mark.asyncio
async def test_a_conflict_stays_a_conflict_when_the_sync_of_others_fails(
    store: SqliteStore, disk: Disk
) -> None:
    """Only what would have been acknowledged is not."""
    await store.put(ONE, b"one")
    disk.failures = 1
    answers = await asyncio.gather(
        store.put(ONE, b"x", expect=7), store.put(TWO, b"two"), return_exceptions=True
    )
    assert type(answers[0]).__name__ == "StoreConflictError"
    assert isinstance(answers[1], BusinessError)


def _writes(path: str, count: int) -> None:
    async def main() -> None:
        store = SqliteStore(path)
        await store.open()
        for number in range(count):
            await store.put(ItemName("app", 1, f"{os.getpid()}-{number}"), bytes(300))
        await store.aclose()

    asyncio.run(main())


@pytest.mark.asyncio
async def test_processes_that_sync_for_one_another_lose_nothing(store: SqliteStore, tmp_path: Path) -> None:
    """Versions are issued once, whoever syncs."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_writes, args=(str(tmp_path / "keys.db"), 200)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join)
        assert process.exitcode == 0
    assert await store.count("app", 1) == 800
    with closing(sqlite3.connect(tmp_path / "keys.db")) as look:
        ((rows, versions, last),) = look.execute(
            "SELECT count(*), count(DISTINCT version), max(version) FROM item"
        ).fetchall()
    assert (rows, versions, last) == (800, 800, 800)


def test_a_forked_child_keeps_no_descriptor_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    file = log.LogFile(str(path), None)
    child = os.fork()
    if not child:
        names = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
        os._exit(str(path) in names)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    file.sync(None)
    file.close()


def test_a_closed_log_syncs_nothing(tmp_path: Path) -> None:
    """The number of its descriptor may be another file's by then."""
    path = tmp_path / "log"
    path.touch()
    file = log.LogFile(str(path), None)
    file.close()
    file.close()
    with pytest.raises(OSError, match="closed"):
        file.sync(None)
