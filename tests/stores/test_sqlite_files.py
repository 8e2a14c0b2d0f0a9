"""The store's files are read, moved, removed and replaced under it: nothing acknowledged is lost, nothing old is vouched for."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from huks_async.model.errors import BusinessError
from huks_async.stores import SqliteStore
from tests.keystore.test_loops import wait_until
from tests.stores.peer import Peer, name

PARTS = ("", "-wal", "-shm", ".lock")

# makes a file beside the store's folder as soon as an opening was put off
TELLS = """
import pathlib
from huks_async.stores.sqlite import opening
check = opening._check_settled
def telling(*arguments):
    try:
        check(*arguments)
    except opening.UnsettledError:
        pathlib.Path(path).parent.with_name("tried").touch()
        raise
opening._check_settled = telling
"""


@pytest.fixture
def path(tmp_path):
    """A path for a database, in a directory that does not exist yet."""
    return tmp_path / "store" / "keys.db"


def read_files(path):
    """Read all files of a store, as a backup or a checksum does."""
    for part in PARTS:
        with open(f"{path}{part}", "rb") as file:
            file.read()


def rows(path):
    """Give the aliases of a store by plain SQLite, after a check that it is sound."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = {alias.decode() for (alias,) in connection.execute("SELECT alias FROM item")}
        assert connection.execute("SELECT total(items) FROM tally").fetchone() == (len(found),)
        return found


def files(path):
    """Give the names beside the database."""
    return sorted(entry.name for entry in path.parent.iterdir())


async def code_of(call):
    """Give code and message of the error of a call."""
    with pytest.raises(BusinessError) as caught:
        await call
    return caught.value.code, caught.value.message


def test_a_process_that_reads_the_files_keeps_its_log(path):
    """Reading drops SQLite's locks, yet nobody else takes itself for the last user; a kill then loses nothing."""
    with Peer(path) as reader:
        reader.ask("opened()")
        reader.ask("put('a', 'b')")
        reader.ask("read_files()")
        for number in range(3):
            with Peer(path) as visitor:
                assert visitor.ask("opened()")
                assert visitor.ask(f"put('visit {number}')")
                assert visitor.ask("closed()")
        # the sqlite3 program is such a visitor, too, and is no part of ours
        script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM item').fetchall(); c.close()"
        subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        assert files(path) == ["keys.db", "keys.db-shm", "keys.db-wal", "keys.db.lock"]
        assert reader.ask("put('c', 'd', 'e')")
        reader.kill()
    assert rows(path) == {*"abcde", "visit 0", "visit 1", "visit 2"}


@pytest.mark.asyncio
async def test_a_close_copies_no_stale_log(path):
    """After reads of the files on both sides and writes on both, ordinary closes leave a sound store with all rows."""
    store = SqliteStore(path)
    await store.open()
    expected = set()
    for number in range(4):
        await store.put(name(f"own {number}"), b"x" * 3000)
        read_files(path)
        with Peer(path) as other:
            assert other.ask("opened()")
            aliases = [f"{number}-{k}" for k in range(40)]
            assert other.ask(f"put(*{aliases})")
            assert other.ask("read_files()")
            await store.put(name(f"between {number}"), b"x" * 3000)
            assert other.ask("closed()")
        expected |= {f"own {number}", f"between {number}", *aliases}
    read_files(path)
    await store.aclose()
    assert rows(path) == expected
    assert files(path) == ["keys.db"]


@pytest.mark.asyncio
async def test_the_application_may_use_sqlite_on_the_file_itself(path):
    """A connection of the application in this very process keeps its locks when the store closes, and its data."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    with closing(sqlite3.connect(path)) as own:
        assert own.execute("SELECT count(*) FROM item").fetchone() == (1,)
        await store.aclose()
        with Peer(path) as other:
            assert other.ask("opened()")
            assert other.ask("put('b')")
            assert other.ask("closed()")
        assert "keys.db-wal" in files(path)
        assert own.execute("SELECT count(*) FROM item").fetchone() == (2,)
    await store.open()
    await store.aclose()
    assert rows(path) == {"a", "b"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "gone", [("-wal",), ("-shm",), ("-wal", "-shm"), (".lock",), PARTS[1:]], ids=" ".join
)
async def test_files_beside_the_database_are_removed(path, gone):
    """The log is written back into the database by whoever notices, and all users go on with new files."""
    store = SqliteStore(path, busy_timeout=5)
    await store.open()
    await store.put(name("old"), b"x")
    with Peer(path) as other:
        assert other.ask("opened()")
        assert other.ask("put('theirs')")
        for part in gone:
            os.unlink(f"{path}{part}")
        await store.put(name("new"), b"y")
        assert store.stamp() is not None
        assert other.ask("put('more')")
        assert other.ask("get('new')") is not None
        assert (await store.get(name("more"))) is not None
        with Peer(path) as third:
            assert third.ask("opened()")
            assert third.ask("aliases()") == ["more", "new", "old", "theirs"]
            assert third.ask("delete('old')")
            assert (await store.get(name("old"))) is None
            third.kill()
        other.kill()
    await store.aclose()
    assert rows(path) == {"more", "new", "theirs"}


@pytest.mark.asyncio
async def test_a_newcomer_waits_while_a_removed_log_is_not_written_back(path):
    """It neither takes the database for whole nor gives up before its time; a use by the others helps."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    os.unlink(f"{path}-wal")
    with Peer(path, busy_timeout=0.3) as hasty, Peer(path, prelude=TELLS) as patient:
        code, message = hasty.ask("opened()")
        assert code == 12000004
        assert "have not noticed yet" in message
        patient.send("opened()")
        await asyncio.to_thread(wait_until, path.parent.with_name("tried").exists)
        assert (await store.get(name("a"))) is not None
        assert patient.answer() is True
        assert patient.ask("aliases()") == ["a"]
    await store.aclose()
    assert rows(path) == {"a"}


@pytest.mark.asyncio
async def test_a_moved_folder_is_told_and_taken_up_again(path):
    """While the path names nothing, nothing is acknowledged and no cached key is vouched for; moved back, all goes on."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    assert store.stamp() is not None
    moved = path.parent.with_name("elsewhere")
    os.rename(path.parent, moved)
    await _age()
    assert store.stamp() is None
    for call in (store.put(name("lost"), b"y"), store.get(name("a")), store.delete(name("a"))):
        code, message = await code_of(call)
        assert code == 12000004
        assert "put all its files back" in message
    assert not path.parent.exists(), "an empty store was made at the old path"
    os.rename(moved, path.parent)
    await store.put(name("b"), b"y")
    assert (await store.get(name("a"))).blob == b"x"
    await store.aclose()
    assert rows(path) == {"a", "b"}


@pytest.mark.asyncio
async def test_a_removed_store_is_not_made_anew_by_a_write(path):
    """A store that was removed stays removed until somebody opens it anew."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    shutil.rmtree(path.parent)
    assert (await code_of(store.put(name("b"), b"y")))[0] == 12000004
    assert not path.exists()
    await store.aclose()
    await store.open()
    assert await store.get(name("a")) is None
    await store.aclose()


@pytest.mark.asyncio
async def test_another_store_at_the_path_is_refused(path, tmp_path):
    """Keys are never sealed into a store with another store key; once no keystore has the old one, that one is used."""
    store = SqliteStore(path)
    await store.open()
    await store.put_meta("store-key", b"one")
    other = SqliteStore(tmp_path / "other.db")
    await other.open()
    await other.put_meta("store-key", b"two")
    await other.aclose()
    os.rename(tmp_path / "other.db", path)
    await _age()
    assert store.stamp() is None
    for call in (store.put(name("a"), b"x"), store.get(name("a"))):
        code, message = await code_of(call)
        assert code == 12000004
        assert "another store was put in the place" in message
    await store.aclose()
    for part in PARTS[1:3]:
        path.with_name(path.name + part).unlink(missing_ok=True)
    code, message = await code_of(store.open())
    assert code == 12000004
    assert "another store was put in the place" in message
    store.forget()
    await store.open()
    assert await store.get_meta("store-key") == b"two"
    assert await store.get(name("a")) is None
    await store.aclose()


@pytest.mark.asyncio
async def test_an_earlier_copy_of_the_store_is_taken_up(path, tmp_path):
    """Set back to a copy by a rename, the same store goes on with what the copy holds, and no old stamp counts."""
    store = SqliteStore(path)
    await store.open()
    await store.put_meta("store-key", b"one")
    await store.put(name("kept"), b"1")
    await store.aclose()
    shutil.copy(path, tmp_path / "copy.db")
    await store.open()
    assert await store.get_meta("store-key") == b"one"
    await store.put(name("later"), b"2")
    stamp = store.stamp()
    with Peer(path) as other:
        assert other.ask("opened()")
        os.rename(tmp_path / "copy.db", path)
        await _age()
        assert store.stamp() is None
        await store.put(name("after"), b"3")
        assert store.stamp() not in {stamp, None}
        assert await store.get(name("later")) is None
        assert other.ask("aliases()") == ["after", "kept"]
        assert other.ask("closed()")
    await store.aclose()
    assert rows(path) == {"kept", "after"}
    assert files(path) == ["keys.db"]


@pytest.mark.asyncio
async def test_files_that_change_during_a_commit_are_not_acknowledged_into(path, monkeypatch):
    """A commit whose files were moved away in its middle fails, and says that it is in the files that were open."""
    store = SqliteStore(path)
    await store.open()
    database = store._threads.engine._database
    commit = database.commit

    def move(writes):
        outcomes = commit(writes)
        os.rename(path.parent, path.parent.with_name("elsewhere"))
        return outcomes

    database.commit = move
    code, message = await code_of(store.put(name("a"), b"x"))
    assert code == 12000004
    assert "not acknowledged" in message
    database.commit = commit
    os.rename(path.parent.with_name("elsewhere"), path.parent)
    await store.put(name("b"), b"x")
    await store.aclose()
    assert rows(path) == {"a", "b"}


@pytest.mark.asyncio
async def test_two_stores_of_one_process_follow_together(path):
    """Each store object leaves the old files at its own next use; none mixes old and new ones."""
    one, two = SqliteStore(path, busy_timeout=1), SqliteStore(path, busy_timeout=1)
    await one.open()
    await two.open()
    await one.put(name("a"), b"x")
    os.unlink(f"{path}-wal")
    os.unlink(f"{path}-shm")
    for _ in range(3):
        for store in (one, two):
            try:
                await store.get(name("a"))
            except BusinessError as error:
                assert error.code == 12000004  # until the other one has left the files, too
    await one.put(name("b"), b"x")
    await two.put(name("c"), b"x")
    assert await one.count("app", 2) == await two.count("app", 2) == 3
    await one.aclose()
    await two.aclose()
    assert rows(path) == {"a", "b", "c"}


@pytest.mark.asyncio
async def test_a_link_to_the_database_must_stay(path, tmp_path):
    """Two names of one file by a symbolic link share log and lock; a link that turns elsewhere is told."""
    link = tmp_path / "link.db"
    link.symlink_to(path)
    direct, linked = SqliteStore(path), SqliteStore(link)
    await direct.open()
    await linked.open()
    await linked.put(name("a"), b"x")
    assert (await direct.get(name("a"))).blob == b"x"
    assert linked.stamp() is not None
    other = SqliteStore(tmp_path / "other.db")
    await other.open()
    await other.aclose()
    link.unlink()
    link.symlink_to(tmp_path / "other.db")
    await _age()
    assert linked.stamp() is None
    code, message = await code_of(linked.put(name("b"), b"x"))
    assert code == 12000004
    assert "leads to another file" in message
    await linked.aclose()
    await direct.put(name("c"), b"x")
    await direct.aclose()
    assert rows(path) == {"a", "c"}


@pytest.mark.asyncio
async def test_a_database_with_two_names_is_refused(path, tmp_path):
    """A hard link would have a log of its own; it is refused by either name until it is gone."""
    store = SqliteStore(path)
    await store.open()
    await store.aclose()
    os.link(path, tmp_path / "second.db")
    for place in (path, tmp_path / "second.db"):
        code, message = await code_of(SqliteStore(place).open())
        assert code == 12000004
        assert "several names" in message
    os.unlink(tmp_path / "second.db")
    await store.open()
    await store.aclose()


@pytest.mark.asyncio
async def test_a_store_in_rollback_mode_is_taken_back_into_wal_mode(path):
    """After `PRAGMA journal_mode = DELETE`, as somebody does before copying, the store opens as before."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    await store.aclose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    await store.open()
    await store.put(name("b"), b"x")
    assert store.stamp() is not None
    await store.aclose()
    assert rows(path) == {"a", "b"}


async def _age():
    """Wait until a look at the path is too old to be used."""
    import anyio

    await anyio.sleep(0.002)
