"""A store is closed, or a second one opened, after its files were removed or replaced and before anybody has noticed."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from huks_async.model.errors import BusinessError
from huks_async.stores import SqliteStore
from huks_async.stores.sqlite.database import Database
from tests.stores.peer import Peer, name
from tests.stores.test_sqlite_files import files, read_files, rows

BACKED_UP = {f"old {number}" for number in range(60)}


def _nothing(*_):
    return


@pytest.fixture
def path(tmp_path):
    """A path for a database, in a directory that does not exist yet."""
    return tmp_path / "store" / "keys.db"


async def _used(path, **options):
    """Give an open store with a backup beside its folder that is much smaller, and a log that fits the one only."""
    store = SqliteStore(path, **options)
    await store.open()
    for alias in BACKED_UP:
        await store.put(name(alias), b"x" * 300)
    backup = path.parent.with_name("backup.db")
    await store.backup(str(backup), _nothing, _nothing)
    for number in range(200):
        await store.put(name(f"between {number}"), b"x" * 3000)
    await store.aclose()
    await store.open()
    for number in range(5):
        await store.put(name(f"last {number}"), b"x" * 3000)
    return store, backup


@pytest.mark.parametrize("parts", [["-wal"], ["-shm"], ["-wal", "-shm"], ["-wal", "-shm", ".lock"]])
@pytest.mark.asyncio
async def test_what_a_removed_log_holds_is_saved_by_a_close(path, parts):
    """It has no name any more, and is gone with the last who has it open."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    for part in parts:
        os.unlink(f"{path}{part}")
    await store.aclose()
    assert files(path) == ["keys.db", "keys.db.lock"]
    assert rows(path) == {"a"}


@pytest.mark.asyncio
async def test_a_log_is_not_left_beside_another_database(path):
    """A backup that was put in place is what the next opening finds, and what was written before is in the old file."""
    store, backup = await _used(path)
    os.link(path, path.with_name("replaced"))
    os.replace(backup, path)
    await store.aclose()
    assert files(path) == ["keys.db", "keys.db.lock", "replaced"]
    await store.open()
    await store.put(name("new"), b"x")
    await store.aclose()
    assert rows(path) == {*BACKED_UP, "new"}
    assert {"last 0", "last 4", "between 199"} < rows(path.with_name("replaced"))


@pytest.mark.asyncio
async def test_a_log_is_not_left_beside_another_store(path):
    """Also where calls were refused meanwhile, because it is another one."""
    store, backup = await _used(path)
    await store.put_meta("store-key", b"its own")
    os.replace(backup, path)
    with pytest.raises(BusinessError, match="another store"):
        await store.put(name("refused"), b"x")
    await store.aclose()
    assert files(path) == ["keys.db", "keys.db.lock"]
    assert rows(path) == BACKED_UP


@pytest.mark.asyncio
async def test_other_processes_go_on_after_a_close_that_saved_their_log(path):
    """Those that share the files notice at their next use that these have no names."""
    store, backup = await _used(path)
    with Peer(path) as other:
        assert other.ask("opened()") is True
        os.replace(backup, path)
        await store.aclose()
        assert other.ask("put('new')") is True
        assert other.ask("closed()") is True
    assert rows(path) == {*BACKED_UP, "new"}


@pytest.mark.asyncio
async def test_a_close_that_cannot_save_a_log_is_brief_and_says_so(path, caplog):
    """A program that reads for as long as it likes keeps the log from being written back."""
    store = SqliteStore(path, busy_timeout=1_000_000)
    await store.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM item").fetchall()
        await store.put(name("a"), b"x")
        os.unlink(f"{path}-wal")
        await store.aclose()
    assert "could not be saved" in caplog.text


@pytest.mark.asyncio
async def test_a_removed_log_is_noticed_by_the_stamp(path):
    """So that a keystore which uses cached keys only has it saved before it is killed."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    assert store.stamp() is not None
    os.unlink(f"{path}-wal")
    store._threads.view.until = 0.0
    assert store.stamp() is None
    assert await store.get(name("a")) is not None
    assert files(path) == ["keys.db", "keys.db-shm", "keys.db-wal", "keys.db.lock"]
    assert store.stamp() is not None
    await store.aclose()


@pytest.mark.parametrize("read", [False, True], ids=["", "files-read"])
@pytest.mark.asyncio
async def test_a_second_store_of_the_process_does_not_mix_the_files(path, read):
    """It waits until the first has noticed, also where a read of the files took SQLite's locks away."""
    store, backup = await _used(path)
    if read:
        read_files(path)
    os.replace(backup, path)
    second = SqliteStore(path, busy_timeout=0)
    with pytest.raises(BusinessError, match="have not noticed yet"):
        await second.open()
    assert await store.get(name("last 1")) is None
    await second.open()
    await second.put(name("new"), b"x")
    assert await store.get(name("new")) is not None
    await store.aclose()
    await second.aclose()
    assert rows(path) == {*BACKED_UP, "new"}


READER = """
import sqlite3, sys
reader = sqlite3.connect(sys.argv[1], isolation_level=None)
reader.execute("BEGIN")
print(reader.execute("SELECT count(*) FROM item").fetchall(), flush=True)
sys.stdin.read()
"""


async def _changed_since(path, between=_nothing):
    """Give an open store whose log changes pages of the database file and adds others, and what is in that file."""
    store = SqliteStore(path)
    await store.open()
    old = {f"old {number}" for number in range(50)}
    for alias in sorted(old):
        await store.put(name(alias), b"x" * 3000)
    await store.aclose()
    await store.open()
    await store.put(name("seen by a reader"), b"x" * 3000)
    between()
    for number in range(20):
        await store.put(name(f"old {number}"), b"y" * 2000)
        await store.put(name(f"new {number}"), b"x" * 3000)
    return store, old


def _sound_rows(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return rows(path)


@pytest.mark.asyncio
async def test_a_removed_log_is_copied_as_a_whole_or_not_at_all(path, caplog):
    """Without space, a close loses what the log holds, and does not damage what was in the database before."""
    resource = pytest.importorskip("resource")
    store, old = await _changed_since(path)
    os.unlink(f"{path}-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
    try:
        await store.aclose()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "could not be saved" in caplog.text
    assert _sound_rows(path) == old


@pytest.mark.asyncio
async def test_a_removed_log_is_not_copied_in_part_because_of_a_reader(path, caplog):
    """One that reads an earlier state, for as long as it likes, and is killed then."""
    reader = None

    def begin():
        nonlocal reader
        command = [sys.executable, "-c", READER, str(path)]
        reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert reader.stdout.readline() == b"[(51,)]\n"

    store, old = await _changed_since(path, begin)
    os.unlink(f"{path}-wal")
    try:
        await store.aclose()
    finally:
        reader.kill()
        reader.communicate()
    assert "could not be saved" in caplog.text
    assert _sound_rows(path) == old


@pytest.mark.asyncio
async def test_a_close_ends_between_two_names(path, monkeypatch):
    """The log goes first: beside a database that was put in place it would be read into that."""
    store, backup = await _used(path)
    os.replace(backup, path)
    unlink, left = os.unlink, [1]

    def fail_later(name):
        if not left:
            raise OSError("the process is killed here")
        left.pop()
        unlink(name)

    monkeypatch.setattr("huks_async.stores.sqlite.engine.os.unlink", fail_later)
    await store.aclose()
    monkeypatch.undo()
    assert files(path) == ["keys.db", "keys.db-shm", "keys.db.lock"]
    assert _sound_rows(path) == BACKED_UP


LOOKS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM item").fetchall()
connection.close()
"""


def _look_by_another_program(path):
    subprocess.run([sys.executable, "-c", LOOKS, str(path)], check=True, timeout=60)


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.asyncio
async def test_a_close_says_what_another_program_keeps_from_being_saved(path, caplog, written):
    """It has made a new log and new shared memory, through which it may have written. Without a loss nothing is said."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    await store.aclose()
    await store.open()
    if written:
        await store.put(name("b"), b"x")
    for ending in ("-wal", "-shm"):
        os.unlink(f"{path}{ending}")
    _look_by_another_program(path)
    assert files(path) == ["keys.db", "keys.db-shm", "keys.db-wal", "keys.db.lock"]
    await store.aclose()
    assert ("could not be saved" in caplog.text) == written
    assert rows(path) == {"a"}


@pytest.mark.asyncio
async def test_an_idle_store_of_the_process_that_holds_up_a_busy_one_is_named(path):
    """It notices a removed log at its next use, and until then has SQLite keep it."""
    busy, idle = SqliteStore(path), SqliteStore(path)
    await busy.open()
    await idle.open()
    await busy.put(name("before"), b"x")
    os.unlink(f"{path}-wal")
    with pytest.raises(
        BusinessError, match="or other keystores, backups or SQLite connections of this process"
    ):
        await busy.put(name("after"), b"x")
    assert await idle.get(name("before")) is not None
    await busy.put(name("after"), b"x")
    await busy.aclose()
    await idle.aclose()
    assert rows(path) == {"before", "after"}


@pytest.mark.asyncio
async def test_what_is_read_is_from_the_files_that_the_path_named_to_the_end(path, monkeypatch):
    """Others are put there after the read has begun; nothing of theirs is missed."""
    store, backup = await _used(path)
    state = Database.state

    def replaced_then(self):
        monkeypatch.undo()
        os.replace(backup, path)
        return state(self)

    monkeypatch.setattr(Database, "state", replaced_then)
    assert await store.get(name("last 0")) is None
    await store.aclose()
    assert rows(path) == BACKED_UP
