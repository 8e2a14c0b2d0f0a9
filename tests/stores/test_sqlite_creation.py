"""A store comes into being whole or not at all: full disks, kills, upgrades."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from huks_async.model.errors import BusinessError
from huks_async.runtime import folders
from huks_async.stores import ItemName, SqliteStore
from huks_async.stores.sqlite import connections, creation, drafts, schema
from tests.stores.peer import Peer, name

# begins, writes and closes a store with little space, tells what was acknowledged; then again with space
LITTLE = """
import asyncio, resource, signal, sys
from huks_async.model.errors import BusinessError
from huks_async.stores import ItemName, SqliteStore
from huks_async.stores.sqlite import log
from tests.stores.test_sqlite_creation import limited

log._sync = lambda descriptor: None  # space is what is tried here, and a disk may take long for thousands of syncs

async def session(store, prefix):
    done = []
    try:
        await store.open()
        for number in range(40):
            alias = f"{prefix}{number}"
            await store.put(ItemName("app", 2, alias), b"x" * 1500)
            done.append(alias)
    except BusinessError as error:
        assert error.code == 12000004, error
    finally:
        await store.aclose()
    return done

async def main(path, kind):
    for kilobytes in range(8, 260, 4):
        with limited(f"{path}/{kilobytes}", kilobytes * 1024, kind) as (folder, more):
            done = await session(SqliteStore(f"{folder}/keys.db"), "a")
            done += await session(SqliteStore(f"{folder}/keys.db"), "b")
            more()
            store = SqliteStore(f"{folder}/keys.db")
            await store.open()
            await store.put(ItemName("app", 2, "last"), b"x")
            found = await store.aliases("app", 2)
            await store.aclose()
            assert set(done) <= set(found), (kilobytes, set(done) - set(found))
            print(kilobytes, len(done))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def limited(folder, size, kind):
    """A folder whose files are limited: by a file system of that size, or by a limit of the process on each file."""
    from contextlib import contextmanager

    @contextmanager
    def disk():
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        try:
            yield (
                f"{folder}/store",
                lambda: subprocess.run(["mount", "-o", "remount,size=8m", folder], check=True),
            )
        finally:
            subprocess.run(["umount", "-l", folder], check=True)

    @contextmanager
    def limit():
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield f"{folder}/store", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    os.mkdir(folder)
    return disk() if kind == "disk" else limit()


def can_mount(folder):
    """Whether this user may mount file systems."""
    return (
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True).returncode == 0
        and subprocess.run(["umount", folder], check=True).returncode == 0
    )


@pytest.mark.parametrize("kind", ["disk", "limit"])
def test_little_space(tmp_path, kind):
    """On disks of every size, and with files limited to it: what was acknowledged is there, and with space all goes on."""
    if kind == "disk" and not can_mount(tmp_path):
        pytest.skip("this user may not mount a small file system")
    done = subprocess.run(
        [sys.executable, "-c", LITTLE, str(tmp_path), kind], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert len(counts) == 63
    assert counts[0] == 0
    assert counts[-1] > 5


@pytest.mark.asyncio
@pytest.mark.parametrize("step", ["migrate", "_look_over", "sync_folder"])
async def test_a_failure_leaves_nothing_half(tmp_path, monkeypatch, step):
    """Whichever step of the creation fails, there is a whole store or none, and no draft."""
    real = getattr(creation, step)

    def fail(*args):
        if step != "sync_folder" or (tmp_path / "keys.db").exists():
            raise OSError(28, "No space left on device")
        return real(*args)

    monkeypatch.setattr(creation, step, fail)
    store = SqliteStore(tmp_path / "keys.db")
    with pytest.raises(BusinessError, match="No space left") as caught:
        await store.open()
    assert caught.value.code == 12000004
    assert {entry.name for entry in tmp_path.iterdir()} <= {"keys.db", "keys.db.lock"}
    monkeypatch.undo()
    await store.open()
    await store.put(name("a"), b"x")
    await store.aclose()
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.db"]


@pytest.mark.parametrize("after", ["connect", "migrate", "_look_over", "name_new"])
def test_a_kill_during_the_creation(tmp_path, after):
    """Killed after any step, the next process makes or takes up the store, and removes what was left."""
    script = f"""
import asyncio, os, signal, sys
from huks_async.stores import SqliteStore
from huks_async.stores.sqlite import creation
real = getattr(creation, {after!r})
def die(*args, **more):
    result = real(*args, **more)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(creation, {after!r}, die)
asyncio.run(SqliteStore(sys.argv[1]).open())
"""
    path = tmp_path / "keys.db"
    done = subprocess.run([sys.executable, "-c", script, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) >= 2
    with Peer(path) as other:
        assert other.ask("opened()") is True
        assert other.ask("put('a')") is True
        assert other.ask("closed()") is True
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.db"]


def test_a_new_store_needs_no_log(tmp_path):
    """The file that gets the name is complete by itself, in WAL mode, and sound."""
    path = tmp_path / "keys.db"
    creation.create(str(path), 1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.db"]
    assert path.read_bytes()[18:20] == b"\2\2"
    with closing(creation.open_still(str(path))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
        assert connection.execute("SELECT version FROM sequence").fetchall() == [(0,)]


def test_every_new_folder_is_synced_in_its_parent(tmp_path, monkeypatch):
    """A power cut after the creation of a store leaves the folders above it, too."""
    synced = []
    monkeypatch.setattr(folders, "sync_folder", synced.append)
    folders.make_folder(str(tmp_path / "a" / "b" / "c"))
    assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]
    assert os.stat(tmp_path / "a").st_mode & 0o777 == 0o700
    folders.make_folder(str(tmp_path / "a" / "b"))
    assert len(synced) == 3


# a package of the next schema, which keeps a note of each row beside it
NEWER = """
from huks_async.stores.sqlite import schema
schema.MIGRATIONS = (*schema.MIGRATIONS, (
    "CREATE TABLE note (text TEXT) STRICT",
    "CREATE TRIGGER noted AFTER INSERT ON item BEGIN INSERT INTO note VALUES ('new'); END",
))
"""


@pytest.mark.asyncio
async def test_an_older_process_stops_writing_once_a_newer_one_has_come(tmp_path):
    """Both have the store open: the older says so at its next write and changes nothing, and still reads what it can."""
    path = tmp_path / "keys.db"
    store = SqliteStore(path)
    await store.open()
    await store.put(name("old"), b"1")
    with Peer(path, prelude=NEWER) as newer:
        assert newer.ask("opened()") is True
        assert newer.ask("put('new')") is True
        for call in (store.put(name("x"), b"2"), store.delete(name("old")), store.put_meta("m", b"")):
            with pytest.raises(BusinessError) as caught:
                await call
            assert caught.value.code == 12000004
            assert "has schema 2" in caught.value.message
            assert "nothing was changed" in caught.value.message
        assert (await store.get(name("new"))).blob.endswith(b"new")
        assert newer.ask("aliases()") == ["new", "old"]
        await store.aclose()
        with pytest.raises(BusinessError, match="has schema 2"):
            await store.open()
        assert newer.ask("put('more')") is True
        assert newer.ask("closed()") is True
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM note").fetchone() == (2,)


@pytest.mark.asyncio
async def test_writers_of_both_schemas_at_once(tmp_path):
    """While several older processes write, a newer one comes: each acknowledged row is there, each refusal names the schema."""
    path = tmp_path / "keys.db"
    with Peer(path) as first, Peer(path) as second, Peer(path, prelude=NEWER) as newer:
        for peer in (first, second):
            assert peer.ask("opened()") is True
            peer.send("put(*[f'{os.getpid()}-{n}' for n in range(60)])")
        await asyncio.sleep(0.02)
        assert newer.ask("opened()") is True
        answers = {}
        for peer in (first, second):
            answers[peer] = answer = peer.answer()
            assert answer is True or (answer[0] == 12000004 and "has schema 2" in answer[1])
            code, _ = peer.ask("put('late')")
            assert code == 12000004
        found = newer.ask("aliases()")
        for peer in (first, second):
            own = [int(alias.split("-")[1]) for alias in found if alias.startswith(f"{peer.process.pid}-")]
            assert sorted(own) == list(range(len(own)))
            assert answers[peer] is not True or len(own) == 60
        assert newer.ask("put('more')") is True


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["keys.db", "odd ?mode=ro#%25 name.db"])
async def test_a_file_that_is_removed_while_it_is_opened_leaves_none_that_is_empty(
    tmp_path, monkeypatch, name
):
    """Between the look at a database and its opening somebody removes it: SQLite must not make an empty one there."""
    path = tmp_path / name
    store = SqliteStore(path)
    await store.open()
    await store.aclose()
    real, removed = connections.connect, []

    def connect(opened, busy_timeout):
        if not removed and opened == str(path):
            path.unlink()
            removed.append(opened)
            try:
                return real(opened, busy_timeout)
            finally:
                assert not path.exists()
        return real(opened, busy_timeout)

    monkeypatch.setattr(connections, "connect", connect)
    await store.open()
    assert removed
    await store.put(ItemName("app", 2, "a"), b"x")
    await store.aclose()
    assert path.stat().st_size > 0
    assert sorted(file.name for file in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize("step", ["migrate", "_look_over", "name_new", "sync_folder"])
@pytest.mark.asyncio
async def test_a_draft_is_not_taken_from_whoever_makes_it(tmp_path, monkeypatch, step):
    """Where the lock's file is removed, two processes make a store at once; both have it, with what each has written."""
    path = tmp_path / "keys.db"
    mine, theirs, carried_out = SqliteStore(path), SqliteStore(path), getattr(creation, step)

    def late(*arguments):
        monkeypatch.setattr(creation, step, carried_out)
        os.unlink(f"{path}.lock")
        asyncio.run(write())
        return carried_out(*arguments)

    async def write():
        await theirs.open()
        await theirs.put(name("theirs"), b"x")
        await theirs.aclose()

    monkeypatch.setattr(creation, step, late)
    await mine.open()
    await mine.put(name("mine"), b"x")
    assert await mine.aliases("app", 2) == ["mine", "theirs"]
    await mine.aclose()
    assert os.listdir(tmp_path) == ["keys.db"]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    """Drafts that nobody makes, and the parts of drafts that are gone."""
    path, middle = str(tmp_path / "keys.db"), "0123456789abcdef"
    left = [f"{path}.{middle}.new{tail}" for tail in ("", "-wal", "-journal")]
    left.append(f"{path}.fedcba9876543210.new-shm")
    others = [f"{path}.new", f"{path}.{middle}.newer", f"{path}.{middle}.new-other", f"{path}2.{middle}.new"]
    others += [
        f"{path}.before-migration.new",
        f"{path}.{middle.upper()}.new",
        f"{path}.before-migration.new-wal",
    ]
    for file in left + others:
        with open(file, "x"):
            pass
    live = f"{path}.aaaabbbbccccdddd.new"
    descriptor = drafts.make(live)
    with open(f"{live}-wal", "x"):
        pass
    creation.remove_drafts(path)
    assert sorted(os.listdir(tmp_path)) == sorted(map(os.path.basename, [*others, live, f"{live}-wal"]))
    os.close(descriptor)
    creation.remove_drafts(path)
    assert sorted(os.listdir(tmp_path)) == sorted(map(os.path.basename, others))


def test_a_draft_that_cannot_be_removed_is_not_kept_open(tmp_path, monkeypatch):
    """As in a folder that has become read-only: the next attempt removes it."""
    path, unlink = str(tmp_path / "keys.db"), os.unlink

    def refuse(name, *arguments, **more):
        if ".new" in str(name):
            raise PermissionError(13, "Permission denied")
        unlink(name, *arguments, **more)

    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(creation, "migrate", fail)
        patched.setattr(os, "unlink", refuse)
        for _ in range(3):
            with pytest.raises(PermissionError):
                creation.create(path, 5)
    assert len(os.listdir(tmp_path)) == 3
    creation.create(path, 5)
    assert os.listdir(tmp_path) == ["keys.db"]
