"""What the SQLite store promises beyond the contract of all stores."""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import stat
import threading
from contextlib import closing
from unittest.mock import Mock

import anyio
import pytest

from huks_async.model.errors import BusinessError
from huks_async.stores import (
    ItemName,
    MemoryStore,
    SqliteStore,
    StoreConflictError,
    open_store,
)
from huks_async.stores.sqlite import connections, creation, schema
from huks_async.stores.sqlite.writes import Delete, GroupCommit, Put, PutMeta, row_key
from tests.threads import threads_begun

A = ItemName("app", 2, "a")


@pytest.fixture
def path(tmp_path):
    """A path for a database, in a directory that does not exist yet."""
    return tmp_path / "store" / "keys.db"


def open_files(part):
    """Give the open files of this process whose path has this part."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [target for target in found if part in target]


async def filled(path, count=3):
    """Make a store with some rows and close it."""
    store = SqliteStore(path)
    await store.open()
    for number in range(count):
        await store.put(ItemName("app", 2, f"k{number}"), b"x" * 600)
    await store.aclose()


async def refusal(path):
    """Give the message of the error that opening raises."""
    before = path.read_bytes()
    store = SqliteStore(path)
    with pytest.raises(BusinessError) as caught:
        await store.open()
    assert caught.value.code == 12000004
    assert str(path) in caught.value.message
    assert path.read_bytes() == before, "a refused file was changed"
    return caught.value.message


@pytest.mark.asyncio
async def test_files_are_for_their_owner_alone(path):
    """The directory gets mode 0700 and all files 0600, whatever the umask says."""
    old = os.umask(0)
    try:
        store = SqliteStore(path)
        await store.open()
        await store.put(A, b"x")
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert files == {f"keys.db{part}": 0o600 for part in ("", "-wal", "-shm", ".lock")}
        await store.aclose()
        assert [file.name for file in path.parent.iterdir()] == ["keys.db"]
    finally:
        os.umask(old)


@pytest.mark.asyncio
async def test_the_file_is_a_plain_sqlite_database(path):
    """Other tools can read it: marked as ours, STRICT tables, WAL, sound."""
    await filled(path)
    with closing(sqlite3.connect(path)) as connection:
        facts = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "journal_mode", "integrity_check")
        ]
        assert facts == [0x48554B53, len(schema.MIGRATIONS), "wal", "ok"]
        tables = connection.execute(
            "SELECT name, strict FROM pragma_table_list WHERE name NOT LIKE 'sqlite%'"
        )
        assert sorted(tables) == [("item", 1), ("meta", 1), ("sequence", 1), ("tally", 1)]
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (3,)


@pytest.mark.asyncio
async def test_two_stores_on_one_file_see_each_other(path):
    """Writes, versions, counts, conflicts and stamps go across store objects."""
    one, two = SqliteStore(path), SqliteStore(path)
    await asyncio.gather(one.open(), two.open())
    version = await one.put(A, b"one")
    stamp = two.stamp()
    assert (await two.get(A)).version == version
    later = await two.put(A, b"two", expect=version)
    assert later > version
    assert one.stamp() is not None
    assert two.stamp() != stamp
    stamp = two.stamp()
    with pytest.raises(StoreConflictError):
        await one.put(A, b"x", expect=version)
    await one.put(A, b"one again")
    assert two.stamp() != stamp
    assert await two.count("app", 2) == 1
    await asyncio.gather(
        *(store.put(ItemName("app", 2, f"{n}"), b"") for n in range(50) for store in (one, two))
    )
    assert await one.count("app", 2) == await two.count("app", 2) == 51
    await one.aclose()
    assert (await two.get(A)).blob == b"one again"
    await two.aclose()


@pytest.mark.asyncio
async def test_a_closed_store_takes_no_locks_from_another(path, tmp_path):
    """Closing one store leaves the locks that SQLite holds for the other, and no descriptor stays at the end."""
    if not os.access("/proc/locks", os.R_OK):
        pytest.skip("/proc/locks cannot be read")

    def locks(file=f"{path}-shm"):
        inode = os.stat(file).st_ino
        for _ in range(20):  # a list of many locks comes in parts, and what others do meanwhile moves lines
            with open("/proc/locks") as lines:
                found = [line for line in lines if f":{inode} " in line and f" {os.getpid()} " in line]
            if found:
                break
        return found

    with (tmp_path / "of the test").open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        if not locks(file.name):
            pytest.skip("this system does not list locks in /proc/locks")
    one, two = SqliteStore(path), SqliteStore(path)
    await one.open()
    assert locks()
    await two.open()
    await two.aclose()
    assert locks()
    await two.open()
    await one.aclose()
    assert locks()
    await two.aclose()
    assert not open_files(str(path))


@pytest.mark.asyncio
async def test_without_a_map_of_the_log_there_is_no_stamp(path, monkeypatch):
    """Where the file cannot be mapped, the store says that it cannot tell, and works."""
    monkeypatch.setattr(
        "huks_async.stores.sqlite.guards.mmap.mmap", Mock(side_effect=OSError("no maps here"))
    )
    store = SqliteStore(path)
    await store.open()
    assert store.stamp() is None
    await store.put(A, b"x")
    assert (await store.get(A)).blob == b"x"
    await store.aclose()


@pytest.mark.asyncio
async def test_a_store_that_never_was_open_was_not_closed(path):
    """A call says so while it is being opened, and after an opening that failed."""
    store = SqliteStore(path)
    opening = asyncio.ensure_future(store.open())
    await asyncio.sleep(0)
    with pytest.raises(BusinessError, match="is not open; open it before use"):
        await store.get(A)
    await opening
    await store.aclose()
    with pytest.raises(BusinessError, match="it was closed meanwhile"):
        await store.get(A)
    failing = SqliteStore(path.parent)
    with pytest.raises(BusinessError):
        await failing.open()
    with pytest.raises(BusinessError, match="is not open; open it before use"):
        await failing.get(A)


@pytest.mark.asyncio
async def test_writes_go_on_in_order_until_the_close(path):
    """Writes that were under way when the store was closed are there after it; later ones are refused."""
    store = SqliteStore(path)
    await store.open()
    names = [ItemName("app", 2, f"{number:03}") for number in range(100)]
    writes = [asyncio.ensure_future(store.put(name, b"x")) for name in names]
    reads = [asyncio.ensure_future(store.get(name)) for name in names]
    await asyncio.sleep(0)
    engine = store._threads.engine
    await store.aclose()
    for call in (store.get(A), store.put(A, b""), store.count("app", 2), store.get_meta("m")):
        with pytest.raises(
            BusinessError, match="it was closed meanwhile, or the keystore that used it"
        ) as caught:
            await call
        assert caught.value.code == 12000012
    with pytest.raises(BusinessError, match="it was closed meanwhile"):
        engine.select("SELECT 1", ())  # as a call does that the close has overtaken
    assert store.stamp() is None
    versions = await asyncio.gather(*writes)
    assert versions == sorted(versions)
    await asyncio.gather(*reads)
    await store.open()
    assert await store.aliases("app", 2) == [name.alias for name in names]
    await store.aclose()


@pytest.mark.asyncio
async def test_a_cancelled_close_still_closes(path):
    """The files of the write-ahead log are gone and the threads too, though the close was cancelled."""
    store = SqliteStore(path)
    await store.open()
    await store.put(A, b"x")
    task = asyncio.create_task(store.aclose())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [file.name for file in path.parent.iterdir()] == ["keys.db"]
    with anyio.fail_after(120):
        while threads_begun("huks-store"):
            await anyio.sleep(0.001)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.open()
    assert store.stamp() is None
    await store.open()
    assert (await store.get(A)).blob == b"x"
    await store.aclose()


@pytest.mark.asyncio
async def test_a_started_write_is_waited_for_when_cancelled(path, monkeypatch):
    """A put that waits for a lock in the database ends before its cancellation, and leaves no transaction."""
    begun, commit = threading.Event(), GroupCommit.__call__

    def begin(self, writes):
        begun.set()
        return commit(self, writes)

    monkeypatch.setattr(GroupCommit, "__call__", begin)
    store = SqliteStore(path)
    await store.open()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(store.put(A, b"x"))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        late = asyncio.create_task(store.put(ItemName("app", 2, "late"), b"x"))
        await asyncio.sleep(0)
        assert not task.done()
        late.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
        assert late.cancelled(), "a write that has not begun is dropped at once"
        other.execute("COMMIT")
        with pytest.raises(asyncio.CancelledError):
            await task
        other.execute("BEGIN IMMEDIATE")
        assert other.execute("SELECT count(*) FROM item").fetchone() == (1,)
        other.execute("COMMIT")
    assert await store.aliases("app", 2) == ["a"]
    await store.aclose()


@pytest.mark.asyncio
async def test_a_database_that_stays_locked_is_named(path):
    """After the busy timeout the put fails with 12000004, reads go on, and the next write works."""
    store = SqliteStore(path, busy_timeout=0.05)
    await store.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusinessError, match="locked by another process") as caught:
            await store.put(A, b"x")
        assert caught.value.code == 12000004
        assert await store.get(A) is None
        other.execute("COMMIT")
    await store.put(A, b"x")
    await store.aclose()


def test_a_conflict_fails_alone_in_its_batch(path):
    """Writes of one batch are one transaction with an outcome each."""
    path.parent.mkdir()
    creation.create(str(path), 1)
    connection = connections.connect(str(path), 1)
    commits = []
    connection.set_trace_callback(
        lambda statement: commits.append(statement) if statement == "COMMIT" else None
    )
    b, c = ItemName("app", 2, "b"), ItemName("app", 2, "c")
    outcomes = GroupCommit(connection, "s")(
        [
            Put(A, row_key(A), b"1", None),
            Put(A, row_key(A), b"2", 99),
            Put(b, row_key(b), b"1", 0),
            Put(c, row_key(c), b"x" * 10, "no number"),  # no such version either
            Delete(b, row_key(b), None),
            Delete(b, row_key(b), None),
            PutMeta("m", b"1", replace=False),
            PutMeta("m", b"2", replace=False),
        ]
    )
    assert outcomes[0] == 1
    assert isinstance(outcomes[1], StoreConflictError)
    assert outcomes[2] == 2
    assert isinstance(outcomes[3], StoreConflictError)
    assert outcomes[4:] == [True, False, b"1", b"1"]
    assert commits == ["COMMIT"]
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT alias, version, blob FROM item").fetchall() == [(b"a", 1, b"1")]
        assert other.execute("SELECT items FROM tally").fetchall() == [(1,)]
    connections.close(connection)


@pytest.mark.asyncio
async def test_a_full_disk_is_named_and_loses_nothing(path):
    """When there is no room, the put fails with 12000004, and old rows and small writes stay possible."""
    store = SqliteStore(path)
    await store.open()
    version = await store.put(A, b"old")
    connection = store._threads.engine._database.written
    connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(BusinessError, match="no space left") as caught:
        await store.put(A, b"x" * 200_000)
    assert caught.value.code == 12000004
    assert str(path) in caught.value.message
    row = await store.get(A)
    assert (row.version, row.blob) == (version, b"old")
    assert await store.put(A, b"new") > version
    assert await store.count("app", 2) == 1
    await store.aclose()


@pytest.mark.asyncio
async def test_a_newer_schema_is_refused_and_an_older_one_is_brought_forward(path, monkeypatch):
    """Migrations run forward once and keep the rows; a file from the future is left alone."""
    await filled(path)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE later (x INTEGER) STRICT",)))
        stores = [SqliteStore(path) for _ in range(3)]
        await asyncio.gather(*(store.open() for store in stores))
        assert await stores[0].count("app", 2) == 3
        for store in stores:
            await store.aclose()
    message = await refusal(path)
    assert f"has schema {len(schema.MIGRATIONS) + 1}" in message
    assert f"up to {len(schema.MIGRATIONS)}" in message


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [0, 1, 99, 100, 5000])
async def test_a_truncated_file_is_named(path, size):
    """A file that lost its end, or all of it, is refused and not taken for a new store."""
    await filled(path, 50)
    path.write_bytes(path.read_bytes()[:size])
    message = await refusal(path)
    assert "restore it from a backup" in message


@pytest.mark.asyncio
async def test_a_file_that_is_no_database_is_named(path):
    """Text, and another program's database, are refused."""
    path.parent.mkdir()
    path.write_text("not a database\n" * 1000)
    assert "is not a SQLite database" in await refusal(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE item (x)")
    assert "another program" in await refusal(path)


@pytest.mark.asyncio
async def test_damage_that_is_met_later_is_named(path):
    """A page overwritten with noise makes the read fail with 12000004, and nothing crashes."""
    await filled(path, 500)
    content = bytearray(path.read_bytes())
    content[4096 * 8 :] = os.urandom(len(content) - 4096 * 8)
    path.write_bytes(content)
    store = SqliteStore(path)
    await store.open()
    with pytest.raises(BusinessError, match="is damaged") as caught:
        await asyncio.gather(*(store.get(ItemName("app", 2, f"k{number}")) for number in range(500)))
    assert caught.value.code == 12000004
    assert str(path) in caught.value.message
    await store.aclose()


@pytest.mark.asyncio
async def test_a_path_that_cannot_be_used_is_named(tmp_path):
    """A directory in place of the file, and a file in place of the directory."""
    (tmp_path / "file").write_text("x")
    for place in (tmp_path, tmp_path / "file" / "keys.db"):
        store = SqliteStore(place)
        with pytest.raises(BusinessError) as caught:
            await store.open()
        assert caught.value.code == 12000004
        assert str(place) in caught.value.message
        await store.aclose()
    # a thread ends in its own time
    with anyio.fail_after(120):
        while threads_begun("huks-store-write-1"):
            await anyio.sleep(0.001)


@pytest.mark.asyncio
async def test_deleted_content_is_overwritten(path, monkeypatch):
    """A deleted row's bytes are not left in the file, also where SQLite was built to leave them there."""
    connect = sqlite3.connect

    def leaving(*arguments, **more):
        connection = connect(*arguments, **more)
        connection.execute("PRAGMA secure_delete = OFF")
        return connection

    monkeypatch.setattr(connections.sqlite3, "connect", leaving)
    store = SqliteStore(path)
    await store.open()
    await store.put(A, b"PROMINENT" * 50)
    await store.put(ItemName("app", 2, "b"), b"REMAINING" * 50)
    await store.delete(A)
    await store.aclose()
    content = path.read_bytes()
    assert b"REMAINING" in content
    assert b"PROMINENT" not in content


@pytest.mark.asyncio
async def test_a_relative_path_is_settled_by_the_first_open(tmp_path, monkeypatch):
    """A store goes on with its file though the process changes its directory."""
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///x/keys.db")
    await store.open()
    await store.put(A, b"x")
    await store.aclose()
    monkeypatch.chdir("/")
    await store.open()
    assert store.path == str(tmp_path / "x" / "keys.db")
    assert (await store.get(A)).blob == b"x"
    await store.aclose()


def test_addresses(tmp_path):
    """Three slashes are relative, four absolute; unknown kinds are refused without showing what they hold."""
    assert open_store("sqlite:///x/keys.db").path == "x/keys.db"
    assert open_store(f"sqlite:///{tmp_path}/k").path == f"{tmp_path}/k"
    assert open_store(f"sqlite:///{tmp_path}/k").address == f"sqlite:///{tmp_path}/k"
    assert isinstance(open_store("memory:"), MemoryStore)
    store = MemoryStore()
    assert open_store(store) is store
    for address in (
        "",
        "keys.db",
        "sqlite:",
        "sqlite:///",
        "sqlite://host/x",
        "redis://u:secret@h/",
        "memory:x",
        5,
    ):
        with pytest.raises(BusinessError) as caught:
            open_store(address)
        assert caught.value.code == 401
        assert "sqlite:///" in caught.value.message
        assert "secret" not in caught.value.message
    with pytest.raises(BusinessError, match="PostgreSQL") as caught:
        open_store("postgresql://user:secret@host/db")
    assert caught.value.code == 12000001
    assert "secret" not in caught.value.message
    with pytest.raises(BusinessError):
        SqliteStore("a\0b")
    with pytest.raises(BusinessError, match="no usable path"):
        SqliteStore("a\ud800b")


COUNTING = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n) SELECT"


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (
            """CREATE TRIGGER back AFTER DELETE ON item BEGIN
                INSERT INTO item VALUES (OLD.namespace, OLD.level, OLD.alias, OLD.version, OLD.blob);
            END""",
            "trigger 'back'",
        ),
        (
            "CREATE TRIGGER gone AFTER INSERT ON item BEGIN DELETE FROM item WHERE alias = NEW.alias; END",
            "trigger 'gone'",
        ),
        (
            """CREATE TRIGGER hidden AFTER INSERT ON item BEGIN DELETE FROM item; END;
            PRAGMA writable_schema = ON;
            UPDATE sqlite_schema SET name = 'sqlite_hidden', sql = replace(sql, 'hidden', 'sqlite_hidden')
                WHERE name = 'hidden';""",
            "trigger 'sqlite_hidden'",
        ),
        (
            f"DROP TABLE sequence; CREATE VIEW sequence AS {COUNTING} 1 AS only, x AS version FROM n",
            "'sequence'",
        ),
        (f"DROP TABLE meta; CREATE VIEW meta AS {COUNTING} x AS name, x AS value FROM n", "'meta'"),
        ("DROP TABLE item; CREATE TABLE item (namespace, level, alias, version, blob)", "'item'"),
        ("DROP TRIGGER item_added", "trigger 'item_added'"),
        ("CREATE INDEX one ON item (length(blob))", "index 'one'"),
        ("CREATE TRIGGER gone AFTER INSERT ON ITEM BEGIN DELETE FROM item; END", "trigger 'gone'"),
    ],
)
@pytest.mark.asyncio
async def test_a_schema_that_another_program_changed_is_refused(path, statements, what):
    """Triggers could bring deleted keys back or lose acknowledged ones, and a view could go on for ever."""
    await filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(statements)
    message = await refusal(path)
    assert "another program" in message
    assert what in message


@pytest.mark.asyncio
async def test_statistics_and_further_tables_are_no_change(path):
    """An administrator may run ANALYZE and VACUUM, and Litestream keeps tables of its own in what it copies."""
    await filled(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(
            "ANALYZE; VACUUM; CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);"
            "CREATE INDEX by_seq ON _litestream_seq (seq); CREATE VIEW seen AS SELECT seq FROM _litestream_seq"
        )
    store = SqliteStore(path)
    await store.open()
    assert await store.get(ItemName("app", 2, "k1")) is not None
    await store.aclose()
