"""Where a backup may be made and under which names, and that nothing is left there if nobody is told of it."""

import asyncio
import errno
import os

import pytest
import pytest_asyncio

from huks_async import BusinessError
from huks_async.stores import SqliteStore
from huks_async.stores.sqlite import backup
from tests.stores.peer import name

pytestmark = pytest.mark.asyncio


def _nothing(*_):
    return


@pytest_asyncio.fixture
async def store(tmp_path):
    """An open store with a key."""
    store = SqliteStore(tmp_path / "store" / "keys.db")
    await store.open()
    await store.put(name("a"), b"x")
    yield store
    await store.aclose()


@pytest.fixture
def target(tmp_path):
    """A name in a folder of its own, where every file is seen."""
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder / "copy.db"


def _files(target):
    return sorted(file.name for file in target.parent.iterdir())


@pytest.mark.parametrize(
    "ending",
    [
        *("-wal", "-shm", "-journal", ".lock", ".0123456789abcdef.backup-draft", ".0123456789abcdef.new"),
        ".0123456789abcdef.new-journal",
    ],
)
async def test_a_backup_has_no_name_of_a_file_that_belongs_to_a_database(store, target, ending):
    """SQLite or a store would remove or overwrite it when that database is opened."""
    with pytest.raises(BusinessError, match="does not end in -wal") as refused:
        await store.backup(f"{target}{ending}", _nothing, _nothing)
    assert refused.value.code == 401
    assert _files(target) == []


@pytest.mark.parametrize(
    "name", ["keys.db.before-migration.new", "copy.backup-draft", "copy.new", ".lock", "-wal"]
)
async def test_other_names_do_for_backups_and_stay(store, target, name):
    """Those that only look like a companion's, also when a store is made anew beside them."""
    beside = target.with_name(name)
    assert (await store.backup(str(beside), _nothing, _nothing)).rows == 1
    other = SqliteStore(target.with_name("keys.db"))
    await other.open()
    assert (await other.backup(str(target), _nothing, _nothing)).rows == 0
    await other.aclose()
    assert _files(target) == sorted([name, "keys.db", "copy.db"])


@pytest.mark.parametrize("slashes", ["/", "//", "///"])
async def test_a_path_may_begin_with_several_slashes(store, target, slashes):
    """POSIX leaves open what two mean; on Linux they are one."""
    made = await store.backup(f"{slashes}{str(target)[1:]}", _nothing, _nothing)
    assert made.rows == 1
    assert _files(target) == ["copy.db"]


async def test_a_name_that_is_too_long_is_told(store, target):
    """It might do for the complete file, but the draft beside it has a longer one."""
    with pytest.raises(BusinessError, match="choose a shorter one") as refused:
        await store.backup(str(target.with_name("n" * 240)), _nothing, _nothing)
    assert refused.value.code == 401
    assert (await store.backup(str(target.with_name("n" * 200)), _nothing, _nothing)).rows == 1


async def test_a_folder_need_not_be_readable(tmp_path, target, monkeypatch):
    """Drafts that killed processes have left there cannot be found, and nothing else is missed."""
    listed = os.listdir

    def unreadable(path):
        if str(path).startswith(str(tmp_path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return listed(path)

    monkeypatch.setattr(os, "listdir", unreadable)
    store = SqliteStore(tmp_path / "keys.db")
    await store.open()
    await store.put(name("a"), b"x")
    assert (await store.backup(str(target), _nothing, _nothing)).rows == 1
    await store.aclose()


@pytest.mark.parametrize("moment", ["the last sync", "its end"])
@pytest.mark.parametrize("replaced", [False, True], ids=["", "replaced"])
async def test_a_cancelled_backup_leaves_nothing_under_its_name(store, target, monkeypatch, moment, replaced):
    """Also when it has its name already; but not if there is something else by now."""
    run, sync = backup.Backup.run, backup.sync_folder
    loop, works = asyncio.get_running_loop(), []

    def cancelled():
        assert target.exists()
        if replaced:
            os.rename(target, target.with_name("taken"))
            target.write_text("mine")
        loop.call_soon_threadsafe(task.cancel)
        works[0]._stop.wait(120)

    def slow_run(self, *arguments):
        works.append(self)
        made = run(self, *arguments)
        cancelled()
        return made

    def slow_sync(folder):
        sync(folder)
        cancelled()

    if moment == "its end":
        monkeypatch.setattr(backup.Backup, "run", slow_run)
    else:
        monkeypatch.setattr(backup, "sync_folder", slow_sync)
        monkeypatch.setattr(
            backup.Backup, "run", lambda self, *arguments: works.append(self) or run(self, *arguments)
        )
    task = asyncio.create_task(store.backup(str(target), _nothing, _nothing))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _files(target) == (["copy.db", "taken"] if replaced else [])
