"""A symbolic link is left in the place of a store's files, which were moved while it was open: no key is lost by it."""

import os
import subprocess
import sys

import pytest

from huks_async.stores import SqliteStore
from huks_async.stores.sqlite import engine
from huks_async.stores.sqlite.database import Database
from huks_async.stores.sqlite.files import links_from
from tests.stores.peer import Peer, name
from tests.stores.test_sqlite_files import PARTS, _age, code_of, files, rows

WRITES = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("INSERT INTO meta VALUES (CAST('by another program' AS BLOB), x'00')")
connection.commit()
connection.close()
"""

IN_PLACE = "a symbolic link was put in the place of the store"


@pytest.fixture
def path(tmp_path):
    """A path for a database, in a directory that does not exist yet."""
    return tmp_path / "store" / "keys.db"


@pytest.fixture
def place(tmp_path):
    """The path that the database is moved to, with a name of its own."""
    (tmp_path / "larger").mkdir()
    return tmp_path / "larger" / "moved.db"


def _move(path, place, parts=("",)):
    """Move files of a store, and leave a link in the place of the database."""
    for part in parts:
        os.rename(f"{path}{part}", f"{place}{part}")
    path.symlink_to(place)


def _write_by_another_program(place):
    subprocess.run([sys.executable, "-c", WRITES, place], check=True)


def _by_link(tmp_path, path):
    link = tmp_path / "address.db"
    link.symlink_to(path)
    return link


@pytest.mark.parametrize("linked", [False, True], ids=["direct", "by a link"])
@pytest.mark.parametrize("parts", [("",), ("", "-wal"), ("", "-shm"), ("", "-wal", "-shm"), PARTS], ids=str)
@pytest.mark.asyncio
async def test_nothing_is_acknowledged_behind_a_link(path, place, tmp_path, parts, linked):
    """Whoever opens the store next follows the link: what was acknowledged before is there, and nothing later is told."""
    address = path
    if linked:
        path.parent.mkdir()
        address = _by_link(tmp_path, path)
    store, other = SqliteStore(address), SqliteStore(address)
    await store.open()
    await store.put(name("a"), b"x")
    assert store.stamp() is not None
    _move(path, place, parts)
    await _age()
    assert store.stamp() is None
    for call in (store.put(name("b"), b"x"), store.get(name("a")), store.put(name("b"), b"x")):
        code, message = await code_of(call)
        assert code == 12000004
        assert IN_PLACE in message
    assert rows(place) == {"a"}  # as after a kill of this process at this moment
    assert not {"keys.db-wal", "keys.db-shm"} & set(files(path))
    with Peer(address) as peer:  # others need not wait for the one that has left
        assert peer.ask("opened()")
        assert peer.ask("put('c')")
        assert peer.ask("closed()")
    await other.open()
    await other.put(name("d"), b"x")
    assert (await code_of(store.get(name("a"))))[0] == 12000004
    await store.aclose()
    await store.open()
    assert await store.count("app", 2) == 3
    await other.aclose()
    await store.aclose()
    assert rows(place) == {"a", "c", "d"}


@pytest.mark.asyncio
async def test_two_that_have_the_files_open(path, place):
    """Each leaves them at its own next use, or at its close; nobody opens them in between."""
    one, two, three = SqliteStore(path), SqliteStore(path), SqliteStore(path, busy_timeout=0.05)
    for store in (one, two):
        await store.open()
    await one.put(name("a"), b"x")
    await two.put(name("b"), b"x")
    with Peer(path) as peer:
        assert peer.ask("opened()")
        assert peer.ask("put('c')")
        _move(path, place)
        assert IN_PLACE in (await code_of(one.put(name("d"), b"x")))[1]
        assert rows(place) == {"a", "b", "c"}
        assert "have not noticed yet" in (await code_of(three.open()))[1]
        assert IN_PLACE in (await code_of(two.put(name("d"), b"x")))[1]
        assert "have not noticed yet" in (await code_of(three.open()))[1]
        assert IN_PLACE in peer.ask("put('d')")[1]
        await three.open()
        await three.put(name("e"), b"x")
        assert peer.ask("closed()")
    for store in (two, one, three):
        await store.aclose()
    assert rows(place) == {"a", "b", "c", "e"}


@pytest.mark.asyncio
async def test_the_files_are_put_back(path, place):
    """The store is used again without being opened anew, with all that was written where the files were."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    _move(path, place)
    assert (await code_of(store.put(name("b"), b"x")))[0] == 12000004
    with Peer(place) as peer:
        assert peer.ask("opened()")
        assert peer.ask("put('c')")
        assert peer.ask("closed()")
    os.rename(place, path)
    await store.put(name("d"), b"x")
    await store.aclose()
    assert rows(path) == {"a", "c", "d"}


@pytest.mark.parametrize("parts", [("",), PARTS], ids=str)
@pytest.mark.asyncio
async def test_a_close_saves_the_log_where_the_link_leads(path, place, parts, caplog):
    """Also where nothing was used since the move."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    _move(path, place, parts)
    await store.aclose()
    assert rows(place) == {"a"}
    assert not caplog.records


@pytest.mark.parametrize("link_leads", [True, False], ids=["to another", "nowhere"])
@pytest.mark.asyncio
async def test_a_link_that_leads_elsewhere(path, place, tmp_path, link_leads):
    """The log goes into the database that it belongs to, wherever that is, and no other store gets anything."""
    other = SqliteStore(tmp_path / "other.db")
    await other.open()
    await other.put(name("of the other"), b"x")
    await other.aclose()
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    os.rename(path, place)
    path.symlink_to(tmp_path / ("other.db" if link_leads else "nothing"))
    code, message = await code_of(store.put(name("b"), b"x"))
    assert code == 12000004
    assert IN_PLACE in message
    await store.aclose()
    assert rows(place) == {"a"}
    assert rows(tmp_path / "other.db") == {"of the other"}
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("at_close", [False, True])
@pytest.mark.asyncio
async def test_a_log_that_cannot_be_saved_at_once(path, place, monkeypatch, caplog, at_close):
    """It keeps its name until the next use or the close has saved it; a close that cannot says where it is."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    _move(path, place)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write_back", lambda *_: False)
        assert (await code_of(store.put(name("b"), b"x")))[0] == 12000004
        assert "keys.db-wal" in files(path)
        if at_close:
            await store.aclose()
            assert "belongs to the database that was there" in caplog.text
    if at_close:
        os.rename(f"{path}-wal", f"{place}-wal")
    else:
        assert (await code_of(store.put(name("b"), b"x")))[0] == 12000004
        assert "keys.db-wal" not in files(path)
        await store.aclose()
        assert not caplog.records
    assert rows(place) == {"a"}


@pytest.mark.asyncio
async def test_a_program_that_has_made_a_log_where_the_link_leads(path, place, caplog):
    """It has written without the store's log, which therefore stays as it is and is told of."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    _move(path, place)
    _write_by_another_program(place)
    assert (await code_of(store.put(name("b"), b"x")))[0] == 12000004
    await store.aclose()
    assert "another program has opened it since" in caplog.text
    assert "keys.db-wal" in files(path)
    assert rows(place) == set()


@pytest.mark.parametrize("chain", [False, True])
def test_a_log_that_was_left_beside_a_link(path, place, tmp_path, chain):
    """The process was killed before it noticed: refused until the log is where the database is. Then all is there."""
    with Peer(path) as peer:
        peer.ask("opened()")
        peer.ask("put('a')")
        _move(path, place)
        with Peer(path, busy_timeout=0.1) as other:  # the one that has the log may still save it
            code, message = other.ask("opened()")
            assert code == 12000004
            assert "have not noticed yet" in message
        peer.kill()
    with Peer(_by_link(tmp_path, path) if chain else path) as other:
        code, message = other.ask("opened()")
        assert code == 12000004
        assert f"a log beside it ('{path}-wal')" in message
        os.rename(f"{path}-wal", f"{place}-wal")
        assert other.ask("opened()")
        assert other.ask("aliases()") == ["a"]
        assert other.ask("closed()")
    assert rows(place) == {"a"}


def test_a_log_that_has_a_link_beside_that_of_its_database(path, place):
    """Whoever has linked all the files of a store has left no log."""
    with Peer(path) as peer:
        peer.ask("opened()")
        peer.ask("put('a')")
        peer.kill()
    _move(path, place, ("", "-wal"))
    os.symlink(f"{place}-wal", f"{path}-wal")
    with Peer(path) as other:
        assert other.ask("opened()")
        assert other.ask("aliases()") == ["a"]


@pytest.mark.asyncio
async def test_a_link_that_is_put_in_place_while_it_is_opened(path, place, monkeypatch):
    """After it was looked where the path leads, and before the lock was held."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    await store.aclose()
    with monkeypatch.context() as patch:
        patch.setattr(engine, "refuse_foreign", lambda *_: _move(path, place))
        code, message = await code_of(store.open())
    assert code == 12000004
    assert IN_PLACE in message
    await store.open()
    assert (await store.get(name("a"))).blob == b"x"
    await store.aclose()


@pytest.mark.parametrize("part", ["-wal", "-shm"])
@pytest.mark.asyncio
async def test_a_link_in_the_place_of_the_log(path, place, part, caplog):
    """SQLite opens neither log nor shared memory through a link, so the files are made anew, as when one is removed."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    os.rename(f"{path}{part}", f"{place}{part}")
    os.symlink(f"{place}{part}", f"{path}{part}")
    await _age()
    assert store.stamp() is None
    await store.put(name("b"), b"x")
    with Peer(path) as peer:
        assert peer.ask("opened()")
        assert peer.ask("aliases()") == ["a", "b"]
        assert peer.ask("closed()")
    await store.aclose()
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
    assert rows(path) == {"a", "b"}


@pytest.mark.asyncio
async def test_a_folder_that_is_moved_with_a_link_left(path, tmp_path):
    """All the files are where the path leads, under their own names: the store goes on."""
    store = SqliteStore(path)
    await store.open()
    await store.put(name("a"), b"x")
    os.rename(path.parent, tmp_path / "moved")
    path.parent.symlink_to(tmp_path / "moved")
    await store.put(name("b"), b"x")
    with Peer(path) as peer:
        assert peer.ask("opened()")
        assert peer.ask("aliases()") == ["a", "b"]
        assert peer.ask("put('c')")
        assert peer.ask("closed()")
    assert await store.count("app", 2) == 3
    await store.aclose()
    assert rows(path) == {"a", "b", "c"}


def test_the_links_of_a_chain(tmp_path):
    """Each by the name that it has in its own folder; a loop ends."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "second").symlink_to("../file")
    (tmp_path / "first").symlink_to("folder/second")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    assert [
        os.path.samefile(os.path.dirname(one), tmp_path) for one in links_from(str(tmp_path / "first"))
    ] == [
        True,
        False,
    ]
    assert not list(links_from(str(tmp_path / "file")))
    assert len(list(links_from(str(tmp_path / "loop")))) == 40
