"""What a log holds that the path no longer names: saved, or kept under another name and told, but never lost in silence."""

import asyncio
import fcntl
import os
import shutil
from contextlib import contextmanager, nullcontext

import pytest

from huks_async.model.errors import BusinessError
from huks_async.stores import SqliteStore
from huks_async.stores.sqlite import saving
from huks_async.stores.sqlite.commitlock import CommitLock
from huks_async.stores.sqlite.connections import pragma
from huks_async.stores.sqlite.database import Database
from huks_async.stores.sqlite.opening import UnsettledError
from tests.stores.peer import Peer, name
from tests.stores.test_sqlite_closing import _look_by_another_program, _sound_rows, _used
from tests.stores.test_sqlite_files import files, rows

LOST = "could not be saved"


@pytest.fixture
def path(tmp_path):
    """A path for a database, in a directory that does not exist yet."""
    return tmp_path / "store" / "keys.db"


async def _written(path, **options):
    store = SqliteStore(path, **options)
    await store.open()
    await store.put(name("in the database"), b"x")
    await store.aclose()
    await store.open()
    await store.put(name("in the log"), b"x")
    return store


@contextmanager
def _lock_held(path):
    descriptor = os.open(f"{path}.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _no_space_beyond(size):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- the lock -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_close_waits_for_the_lock_where_the_log_would_be_lost(path, monkeypatch, caplog):
    """Somebody else commits just then for longer than a close usually waits."""
    store = await _written(path)
    os.unlink(f"{path}-wal")
    call, timeouts = CommitLock.call, []

    def noted(self, function, timeout, **more):
        timeouts.append(timeout)
        if len(timeouts) == 2:
            fcntl.flock(held, fcntl.LOCK_UN)
        return call(self, function, timeout, **more)

    with _lock_held(path) as held:
        monkeypatch.setattr(CommitLock, "call", noted)
        await store.aclose()
    assert timeouts[0] < 1
    assert rows(path) == {"in the database", "in the log"}
    assert not caplog.records


@pytest.mark.parametrize("replaced", [True, False])
@pytest.mark.asyncio
async def test_a_close_that_does_not_get_the_lock_says_what_it_could_not_save(path, caplog, replaced):
    """It waits no longer than for the busy timeout. With its name, the log is there for the next opening."""
    store = await _written(path, busy_timeout=0)
    if replaced:
        os.unlink(f"{path}-wal")
    with _lock_held(path):
        await store.aclose()
    assert (LOST in caplog.text) == replaced
    assert bool(caplog.records) == replaced
    assert rows(path) == {"in the database"} | (set() if replaced else {"in the log"})


@pytest.mark.asyncio
async def test_a_close_tells_the_busy_timeout_as_it_was_set(path, caplog):
    """Also where a part of it had passed when the lock was waited for again."""
    store = await _written(path, busy_timeout=0.3)
    with _lock_held(path):
        os.unlink(f"{path}-wal")
        await store.aclose()
    assert "for longer than the busy timeout of 0.3 s" in caplog.text


@pytest.mark.asyncio
async def test_an_opening_that_tries_again_tells_the_busy_timeout_as_it_was_set(path, monkeypatch):
    """It waits for what is left of it."""
    store = SqliteStore(path, busy_timeout=1_000)
    call = CommitLock.call

    def settled_late(*_, **__):
        monkeypatch.setattr(CommitLock, "call", lambda *given, **more: call(given[0], given[1], 0, **more))
        raise UnsettledError

    await store.open()
    await store.aclose()
    monkeypatch.setattr(CommitLock, "call", settled_late)
    os.close(os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600))
    with _lock_held(path), pytest.raises(BusinessError, match="for longer than the busy timeout of 1000 s"):
        await store.open()


@pytest.mark.asyncio
async def test_a_close_without_the_lock_tells_of_a_log_beside_another_database(path, caplog):
    """Which would be read into that database."""
    store, backup = await _used(path, busy_timeout=0)
    os.replace(backup, path)
    with _lock_held(path):
        await store.aclose()
    assert f"the log '{path}-wal' is beside another database now" in caplog.text


# --- a database that was moved away ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_calls_of_a_store_that_was_moved_away_hold_the_lock_briefly(path, monkeypatch):
    """One waits for whoever keeps the log from being saved, and each tries it. What is put back is used as before."""
    store, tries = await _written(path, busy_timeout=1_000_000), []
    database = store._threads.engine._database

    def write_back(self, patience):
        tries.append((patience, pragma(self.written, "busy_timeout") / 1000))
        return False

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write_back", write_back)
        os.rename(path, path.with_name("moved.db"))
        for _ in range(3):
            with pytest.raises(BusinessError, match="no longer at its path"):
                await store.get(name("in the log"))
    (first, *later) = tries
    assert 0 < first[0] == first[1] < 1
    assert later == [(0, 0), (0, 0)]
    os.rename(path.with_name("moved.db"), path)
    assert await store.get(name("in the log")) is not None
    assert await asyncio.to_thread(pragma, database.written, "busy_timeout") == 1_000_000_000
    await store.aclose()


@pytest.mark.parametrize("lock", [True, False])
@pytest.mark.asyncio
async def test_a_close_says_which_log_belongs_to_a_database_that_was_moved(path, monkeypatch, caplog, lock):
    """Nothing is lost: where both are together again, all is there."""
    store = await _written(path, busy_timeout=0)
    moved = path.with_name("moved.db")
    os.rename(path, moved)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write_back", lambda *_: False)
        with _lock_held(path) if lock else nullcontext():
            await store.aclose()
    (told,) = caplog.messages
    assert f"the log '{path}-wal', which holds what was written to it last, belongs to the database" in told
    assert LOST not in told
    os.rename(f"{path}-wal", f"{moved}-wal")
    assert rows(moved) == {"in the database", "in the log"}


# --- following ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.asyncio
async def test_a_log_that_cannot_be_saved_is_kept_under_a_name_of_its_own(path, caplog, close):
    """A backup is put in place while the disk is full. Beside the database that was there before, the log is whole."""
    store, backup = await _used(path)
    replaced = path.with_name("replaced")
    os.rename(path, replaced)
    os.rename(backup, path)
    with _no_space_beyond(replaced.stat().st_size):
        if not close:
            assert await store.get(name("last 0")) is None
        await store.aclose()
    (kept,) = path.parent.glob("*.unsaved")
    assert kept.name.startswith("keys.db-wal.")
    assert f"'{kept}'" in caplog.text
    assert LOST in caplog.text
    await store.open()
    assert await store.get(name("last 0")) is None
    await store.put(name("new"), b"x")
    await store.aclose()
    assert kept.exists()
    before = _sound_rows(replaced)
    assert "last 0" not in before
    trial = path.with_name("trial.db")
    shutil.copy(replaced, trial)
    os.rename(kept, f"{trial}-wal")
    merged = SqliteStore(trial)
    await merged.open()
    assert await merged.get(name("last 4")) is not None
    await merged.aclose()
    assert _sound_rows(trial) == before | {f"last {number}" for number in range(5)}


@pytest.mark.asyncio
async def test_all_who_have_the_log_tell_its_new_name_until_one_of_them_has_saved_it(path, caplog):
    """They have the same log, which only the first finds under its old name."""
    store, backup = await _used(path)
    others = [SqliteStore(path) for _ in range(2)]
    for other in others:
        await other.open()
    replaced = path.with_name("replaced")
    os.rename(path, replaced)
    os.rename(backup, path)
    with _no_space_beyond(replaced.stat().st_size):
        await store.aclose()
        (kept,) = path.parent.glob("*.unsaved")
        await others[0].aclose()
    assert caplog.text.count(f"'{kept}'") == 2
    await others[1].aclose()
    assert files(path) == ["keys.db", "keys.db.lock", "replaced"]
    assert "last 4" in rows(replaced)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.asyncio
async def test_a_use_says_what_another_program_keeps_from_being_saved(path, caplog, written):
    """It has made a new log, through which it may have written. Without a loss nothing is said."""
    store = await _written(path)
    if not written:
        await store.aclose()
        await store.open()
    for ending in ("-wal", "-shm"):
        os.unlink(f"{path}{ending}")
    _look_by_another_program(path)
    assert (await store.get(name("in the log")) is None) == written
    await store.aclose()
    assert (LOST in caplog.text) == written


@pytest.mark.asyncio
async def test_the_names_of_a_left_log_are_gone_for_good_before_the_new_files_are_used(path, monkeypatch):
    """After a loss of power, the old log would be beside the new database again."""
    store, backup = await _used(path)
    os.replace(backup, path)
    seen = []
    monkeypatch.setattr(saving, "sync_folder", lambda folder: seen.append((folder, files(path))))
    assert await store.get(name("last 0")) is None
    assert seen == [(str(path.parent), ["keys.db", "keys.db.lock"])]
    await store.aclose()


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.asyncio
async def test_an_empty_log_in_place_of_a_removed_one_keeps_nothing_from_being_saved(path, caplog, close):
    """An opening makes it that is just under way when the log is removed, and is given up then."""
    store = await _written(path)
    os.unlink(f"{path}-wal")
    path.with_name(f"{path.name}-wal").touch()
    if not close:
        assert await store.get(name("in the log")) is not None
    await store.aclose()
    assert LOST not in caplog.text
    assert rows(path) == {"in the database", "in the log"}


# --- kills --------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_log_is_not_beside_another_database_while_it_is_saved(path, monkeypatch):
    """Whoever opened that after a kill in the middle would read the log into it."""
    store, backup = await _used(path)
    os.replace(backup, path)
    write_back, seen = Database.write_back, []

    def noted(self, patience):
        seen.append([entry for entry in files(path) if "-wal" in entry])
        return write_back(self, patience)

    monkeypatch.setattr(Database, "write_back", noted)
    assert await store.get(name("last 0")) is None
    await store.aclose()
    ((during,),) = seen
    assert during.endswith(".unsaved")
    assert files(path) == ["keys.db"]


_MADE = """
async def made(who):
    await store.open()
    await store.put_meta("store-key", who.encode())
    return await put(*[f"{who} {number}" for number in range(100)])
"""


@pytest.mark.parametrize("killed", [True, False])
def test_another_store_in_place_gets_nothing_of_the_log(path, killed):
    """It is refused; the log is saved where it belongs, and the process is killed, or the files are put back."""
    other, moved = path.with_name("other.db"), path.with_name("moved.db")
    with Peer(other, prelude=_MADE) as peer:
        assert peer.ask("made('other')") is True
        assert peer.ask("closed()")
    with Peer(path, prelude=_MADE) as peer:
        assert peer.ask("made('ours')") is True
        os.rename(path, moved)
        os.rename(other, path)
        for _ in range(2):
            assert "another store" in peer.ask("get('ours 0')")[1]
        if killed:
            peer.kill()
        else:
            os.rename(path, other)
            os.rename(moved, path)
            assert peer.ask("put('more')")
            assert peer.ask("closed()")
    theirs, ours = (path, moved) if killed else (other, path)
    assert rows(theirs) == {f"other {number}" for number in range(100)}
    assert rows(ours) == {f"ours {number}" for number in range(100)} | (set() if killed else {"more"})


def test_an_idle_store_of_the_process_does_not_keep_a_removed_log_from_being_saved(path):
    """The log would be gone with the process, because the busy store leaves the files to the idle one."""
    with Peer(path, prelude="idle = type(store)(path)") as peer:
        peer.ask("opened()")
        peer.ask("idle.open()")
        peer.ask("put('acknowledged')")
        os.unlink(f"{path}-wal")
        assert "other keystores, backups or SQLite connections of this process" in peer.ask("put('more')")[1]
        peer.kill()
    assert rows(path) == {"acknowledged"}


# --- no loss ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_close_after_the_shared_memory_was_replaced_loses_nothing_and_says_nothing(path, caplog):
    """The log has its name, and is there for the next opening."""
    store = await _written(path)
    os.unlink(f"{path}-shm")
    _look_by_another_program(path)
    assert f"{path.name}-shm" in files(path)
    await store.aclose()
    assert not caplog.records
    assert rows(path) == {"in the database", "in the log"}


@pytest.mark.asyncio
async def test_a_folder_that_cannot_be_synced_after_a_log_was_saved_is_no_loss(path, monkeypatch, caplog):
    """What was in the log is in the database, and on the disk."""
    store = await _written(path)
    os.unlink(f"{path}-wal")

    def broken(_):
        raise OSError(5, "the disk fails")

    monkeypatch.setattr(saving, "sync_folder", broken)
    await store.aclose()
    assert not caplog.records
    assert rows(path) == {"in the database", "in the log"}


# --- a folder that may be written, but not read -----------------------------------------------------------------------


@pytest.fixture
def unreadable(monkeypatch):
    """Refuse to list a folder, as the system does where this user may only write it; gives what ends that."""

    def denied(folder):
        raise PermissionError(13, "Permission denied", folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", denied)
        yield patch.undo


@pytest.mark.asyncio
async def test_a_removed_log_is_saved_in_a_folder_that_cannot_be_read(path, unreadable):
    """The store goes on with new files."""
    store = await _written(path)
    os.unlink(f"{path}-wal")
    assert await store.get(name("in the log")) is not None
    await store.put(name("after"), b"x")
    await store.aclose()
    unreadable()
    assert rows(path) == {"in the database", "in the log", "after"}


@pytest.mark.asyncio
async def test_a_saved_log_leaves_no_name_in_a_folder_that_cannot_be_read(path, unreadable):
    """Nobody but the process that gave it knows it there."""
    store, backup = await _used(path)
    replaced = path.with_name("replaced")
    os.rename(path, replaced)
    os.rename(backup, path)
    assert await store.get(name("last 0")) is None
    await store.aclose()
    unreadable()
    assert files(path) == ["keys.db", "replaced"]
    assert "last 4" in rows(replaced)
