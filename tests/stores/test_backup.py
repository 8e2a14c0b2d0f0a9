"""A backup of a store in use: what is in it, what it never touches, and that nothing half is left."""

import asyncio
import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading

import anyio
import pytest

import huks_async as huks
from huks_async.access import PinAuthenticator
from huks_async.keys.items.sealing import Sealer
from huks_async.runtime.companions import BACKUP_DRAFT
from huks_async.stores import ItemName, MemoryStore, SqliteStore
from huks_async.stores.sqlite import backup, drafts
from tests.keystore.test_seal_formats import AES
from tests.threads import threads_begun

pytestmark = pytest.mark.asyncio

NONE = huks.HuksOptions()


def _root_key(folder):
    return huks.FileRootKey(folder / "root.key")


def _open(folder, name="keystore.db", **options):
    return huks.Keystore.open(SqliteStore(folder / name), _root_key(folder), monitor=False, **options)


def _files(folder):
    return sorted(file.name for file in folder.iterdir() if not file.name.endswith(".lock"))


@pytest.fixture
def target(tmp_path):
    """A name in a folder of its own, where every file is seen."""
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder / "copy.db"


async def test_a_backup_is_a_store_with_every_key(tmp_path, target):
    """Of all namespaces and levels; it opens with the same root key, and its keys decrypt what the others encrypted."""
    async with _open(tmp_path) as keystore, _open(tmp_path, namespace="other") as other:
        for number in range(20):
            await keystore.generateKeyItem(f"key {number}", AES)
        await other.generateKeyItem("theirs", AES)
        made = await keystore.backup(target)
        assert made == huks.StoreBackup(str(target), 21, target.stat().st_size)
        await keystore.generateKeyItem("later", AES)
        kept = {name: await _bytes_of(keystore, f"key {name}") for name in range(20)}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert _files(target.parent) == ["copy.db"]
    (tmp_path / "copies" / "root.key").write_bytes((tmp_path / "root.key").read_bytes())
    (tmp_path / "copies" / "root.key").chmod(0o600)
    async with (
        _open(target.parent, "copy.db") as copy,
        _open(target.parent, "copy.db", namespace="other") as other,
    ):
        assert {name: await _bytes_of(copy, f"key {name}") for name in range(20)} == kept
        assert not await copy.hasKeyItem("later", NONE)
        assert await other.hasKeyItem("theirs", NONE)
        await copy.generateKeyItem("new", AES)


async def _bytes_of(keystore, alias):
    item = await keystore._state.shelf.find(alias, 1)
    return item.material.secret


async def test_what_an_authenticator_remembers_is_in_the_copy_and_no_key(tmp_path, target):
    """An enrolled PIN is not counted among the keys; those of other users are."""
    authenticator = PinAuthenticator()
    async with _open(tmp_path, authenticator=authenticator, user_id=101) as keystore:
        await keystore.generateKeyItem("key", AES)
        await authenticator.enroll(keystore, 101, "123456")
        assert (await keystore.backup(target)).keys == 1
    (target.parent / "root.key").write_bytes((tmp_path / "root.key").read_bytes())
    (target.parent / "root.key").chmod(0o600)
    async with _open(target.parent, target.name, authenticator=authenticator, user_id=101) as copy:
        with pytest.raises(huks.BusinessError, match="has a PIN already"):
            await authenticator.enroll(copy, 101, "654321")


async def test_a_backup_has_what_is_in_the_log_alone(tmp_path, target):
    """`cp` of the database file would miss it: the file may hold nothing at all yet."""
    async with _open(tmp_path) as keystore:
        await keystore.generateKeyItem("in the log", AES)
        assert (await keystore.backup(target)).keys == 1


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling link", "pipe", "device", "the store"])
async def test_a_backup_never_replaces_anything(tmp_path, target, kind):
    """401, and whatever was there is as it was."""
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
    elif kind == "link":
        (tmp_path / "mine").write_text("mine")
        target.symlink_to(tmp_path / "mine")
    elif kind == "dangling link":
        target.symlink_to(tmp_path / "nowhere")
    elif kind == "pipe":
        os.mkfifo(target)
    elif kind == "device":
        # one of the test's own: root could replace the machine's, and only root may make one
        with contextlib.suppress(PermissionError):
            os.mknod(target, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    device = target if target.exists() else "/dev/null"
    path = {"device": device, "the store": tmp_path / "keystore.db"}.get(kind, target)
    async with _open(tmp_path) as keystore:
        await keystore.generateKeyItem("key", AES)
        before = os.lstat(path)
        with pytest.raises(huks.BusinessError, match="never replaces anything") as refused:
            await keystore.backup(path)
        assert refused.value.code == 401
        after = os.lstat(path)
        assert (before.st_ino, before.st_mode, before.st_rdev) == (after.st_ino, after.st_mode, after.st_rdev)
        assert await keystore.hasKeyItem("key", NONE)
    assert not (tmp_path / "nowhere").exists()
    if kind == "link":
        assert (tmp_path / "mine").read_text() == "mine"


async def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path, target, monkeypatch):
    """The last step itself refuses, so that there is no moment in between."""
    look_over = backup.Backup._look_over

    def slow(self, *arguments):
        target.write_text("mine")
        return look_over(self, *arguments)

    monkeypatch.setattr(backup.Backup, "_look_over", slow)
    async with _open(tmp_path) as keystore:
        with pytest.raises(huks.BusinessError, match="never replaces") as refused:
            await keystore.backup(target)
    assert refused.value.code == 401
    assert target.read_text() == "mine"
    assert _files(target.parent) == ["copy.db"]


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "meanwhile"])
async def test_a_log_of_an_earlier_file_of_that_name_is_told(tmp_path, target, monkeypatch, ending, late):
    """SQLite would write it over the backup. An empty one does no harm."""
    log = target.with_name(target.name + ending)
    log.touch()
    look_over = backup.Backup._look_over

    def slow(self, *arguments):
        log.write_bytes(b"pages")
        return look_over(self, *arguments)

    async with _open(tmp_path) as keystore:
        await keystore.generateKeyItem("key", AES)
        with monkeypatch.context() as patch:
            if late:
                patch.setattr(backup.Backup, "_look_over", slow)
            else:
                log.write_bytes(b"pages")
            with pytest.raises(huks.BusinessError, match=f"{log.name}.*or remove the log") as refused:
                await keystore.backup(target)
        assert refused.value.code == 401
        assert _files(target.parent) == [log.name]
        assert log.read_bytes() == b"pages"
        log.write_bytes(b"")
        assert (await keystore.backup(target)).keys == 1


@pytest.mark.parametrize("where", ["nothing", "no folder", "another store"])
async def test_a_backup_makes_no_store_and_copies_no_other(tmp_path, target, where):
    """12000004, and nothing is at the path that was not there; with the files back, it is made."""
    folder, away = tmp_path / "store", tmp_path / "away"
    store = SqliteStore(folder / "keys.db")
    await store.open()
    await store.put_meta("store-key", b"mine")
    os.rename(folder, away)
    if where != "no folder":
        folder.mkdir()
    if where == "another store":
        other = SqliteStore(folder / "keys.db")
        await other.open()
        await other.aclose()
    before = where == "no folder" or _files(folder)
    with pytest.raises(
        huks.BusinessError, match="another store" if where == "another store" else "no longer at its path"
    ) as refused:
        await store.backup(str(target), lambda *_: None, lambda _: None)
    assert refused.value.code == 12000004
    assert _files(target.parent) == []
    assert before == (not folder.exists() or _files(folder))
    if folder.exists():
        os.rename(folder, tmp_path / "unwanted")
    os.rename(away, folder)
    assert (await store.backup(str(target), lambda *_: None, lambda _: None)).rows == 0
    await store.aclose()


@pytest.mark.parametrize("path", ["", "a\0b", "\ud800", b"copy", None, 7, object()])
async def test_a_path_that_is_none_is_401(tmp_path, path):
    """Before anything is done."""
    async with _open(tmp_path) as keystore:
        with pytest.raises(huks.BusinessError, match="needs the name of a file") as refused:
            await keystore.backup(path)
    assert refused.value.code == 401


async def test_a_folder_that_is_missing_is_named(tmp_path, target):
    """12000004; it is not made, since a mistyped mount point would fill the wrong disk."""
    async with _open(tmp_path) as keystore:
        with pytest.raises(
            huks.BusinessError, match=r"No such file or directory.*check that the folder"
        ) as refused:
            await keystore.backup(target.parent / "none" / "copy.db")
    assert refused.value.code == 12000004
    assert _files(target.parent) == []


async def test_a_store_in_memory_says_that_it_has_none(target):
    """12000001, with the way out."""
    async with huks.Keystore.open(MemoryStore(), monitor=False) as keystore:
        with pytest.raises(huks.BusinessError, match="sqlite:///path") as refused:
            await keystore.backup(target)
    assert refused.value.code == 12000001


async def test_a_keystore_that_is_closed_has_no_backup(tmp_path, target):
    """Never a file."""
    keystore = _open(tmp_path)
    with pytest.raises(huks.BusinessError) as refused:
        await keystore.backup(target)
    assert refused.value.code == 12000012


async def test_a_key_that_does_not_open_is_named_and_nothing_is_left(tmp_path, target):
    """A backup that holds a damaged key would pass for a good one until it is needed."""
    async with _open(tmp_path) as keystore:
        for number in range(5):
            await keystore.generateKeyItem(f"key {number}", AES)
        store = SqliteStore(tmp_path / "keystore.db")
        await store.open()
        row = await store.get(ItemName("default", 1, "key 3"))
        await store.put(ItemName("default", 1, "key 3"), row.blob[:-1] + bytes([row.blob[-1] ^ 1]))
        with pytest.raises(huks.BusinessError, match=r"'key 3'.*was changed") as refused:
            await keystore.backup(target)
        assert refused.value.code == 12000012
        assert _files(target.parent) == []
        await keystore.deleteKeyItem("key 3", NONE)
        assert (await keystore.backup(target)).keys == 4
        await store.aclose()


async def test_a_root_key_that_is_changed_meanwhile_is_in_the_copy(tmp_path, target, monkeypatch):
    """The copy holds the wrapped key that was tried out, and not one that was put there since."""
    from huks_async.keys.items.storekey import rewrap_store_key

    other = huks.FileRootKey(tmp_path / "other.key")
    store = SqliteStore(tmp_path / "keystore.db")
    await store.open()
    calls = []
    whole = SqliteStore.backup

    async def rewrapped(self, *arguments):
        calls.append(1)
        if len(calls) == 1:
            await rewrap_store_key(store, _root_key(tmp_path), _root_key(tmp_path))
        return await whole(self, *arguments)

    monkeypatch.setattr(SqliteStore, "backup", rewrapped)
    async with _open(tmp_path) as keystore:
        await keystore.generateKeyItem("key", AES)
        await keystore.backup(target)
        assert len(calls) == 2
        await rewrap_store_key(store, _root_key(tmp_path), other)
        with pytest.raises(
            huks.BusinessError, match="use the root key that the store was made with"
        ) as refused:
            await keystore.backup(target.with_name("second.db"))
        assert refused.value.code == 12000012
    await store.aclose()
    assert _files(target.parent) == ["copy.db"]


# --- interrupted -------------------------------------------------------------------------------------------------


@pytest.fixture
def held(monkeypatch):
    """Backups that stop in front of each key until they are let go; tells that one is there."""
    arrived, go = threading.Event(), threading.Event()
    opened = Sealer.open

    def slow(self, name, blob):
        if threading.current_thread().name.startswith("huks-store-backup"):
            arrived.set()
            go.wait(120)
        return opened(self, name, blob)

    monkeypatch.setattr(Sealer, "open", slow)
    yield arrived, go
    go.set()


async def _wait(event):
    with anyio.fail_after(120):
        while not event.is_set():
            await anyio.sleep(0.005)


@pytest.mark.parametrize("how", ["scope", "task"])
async def test_a_cancelled_backup_leaves_nothing(tmp_path, target, held, how):
    """No file, no thread; the await ends when the thread has."""
    arrived, go = held
    async with _open(tmp_path) as keystore:
        for number in range(3):
            await keystore.generateKeyItem(f"key {number}", AES)
        task = asyncio.create_task(keystore.backup(target))
        await _wait(arrived)
        assert [name for name in _files(target.parent) if not name.endswith(BACKUP_DRAFT)] == []

        async def let_go():
            while not all(stop.is_set() for stop in keystore._store._stops):
                await asyncio.sleep(0.001)
            go.set()

        letting_go = asyncio.create_task(let_go())
        if how == "task":
            task.cancel()
        else:
            with anyio.move_on_after(0.01):
                await task
        with pytest.raises(asyncio.CancelledError):
            await task
        await letting_go
        assert _files(target.parent) == []
        with anyio.fail_after(120):
            while threads_begun("huks-store-backup"):
                await anyio.sleep(0.001)
        assert (await keystore.backup(target)).keys == 3


async def test_closing_the_keystore_ends_its_backup(tmp_path, target, held):
    """12000012, and nothing is left."""
    arrived, go = held
    keystore = _open(tmp_path)
    await keystore.aopen()
    for number in range(600):
        await keystore.generateKeyItem(f"key {number}", AES)
    task = asyncio.create_task(keystore.backup(target))
    await _wait(arrived)
    await keystore.aclose()
    go.set()
    with pytest.raises(huks.BusinessError, match="closed during its backup") as refused:
        await task
    assert refused.value.code == 12000012
    assert _files(target.parent) == []


async def test_the_loop_goes_on_during_a_backup(tmp_path, target, held):
    """Keys are made and used while it stands still."""
    arrived, go = held
    async with _open(tmp_path) as keystore:
        await keystore.generateKeyItem("key", AES)
        task = asyncio.create_task(keystore.backup(target))
        await _wait(arrived)
        for number in range(50):
            await keystore.generateKeyItem(f"later {number}", AES)
        go.set()
        assert (await task).keys == 1


async def test_what_a_killed_backup_left_is_removed_by_the_next(tmp_path, target):
    """A draft without a lock; one that is locked, and files of other names, stay."""
    import fcntl

    stale = target.with_name(f"copy.db.{'0' * 16}{BACKUP_DRAFT}")
    busy = target.with_name(f"copy.db.{'1' * 16}{BACKUP_DRAFT}")
    others = [
        target.with_name(name)
        for name in (f"else.db.{'0' * 16}{BACKUP_DRAFT}", "copy.db.old", f"copy.db.{BACKUP_DRAFT}")
    ]
    for file in (stale, busy, *others):
        file.write_text("x")
    with busy.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        async with _open(tmp_path) as keystore:
            await keystore.backup(target)
    assert _files(target.parent) == sorted(file.name for file in (target, busy, *others))


# --- disks -------------------------------------------------------------------------------------------------------


async def test_a_disk_that_is_full_leaves_nothing(tmp_path, target):
    """At every size at which writing can stop: 12000004 and no file; then, with space, a backup."""
    async with _open(tmp_path) as keystore:
        for number in range(100):
            await keystore.generateKeyItem(f"key {number}", AES)
    program = """
import asyncio, pathlib, resource, sys
import huks_async as huks
folder = pathlib.Path(sys.argv[1])
target = folder / "copies" / "copy.db"
async def main():
    async with huks.Keystore.open(huks.SqliteStore(folder / "keystore.db"), huks.FileRootKey(folder / "root.key"), monitor=False) as ks:
        await ks.hasKeyItem("key 1", huks.HuksOptions())
        for limit in range(0, 60_000, 7_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                outcome = (await ks.backup(target)).keys
            except huks.BusinessError as error:
                outcome = error.code
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            left = sorted(path.name for path in target.parent.iterdir())
            print(outcome, *left)
            target.unlink(missing_ok=True)
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = done.stdout.splitlines()
    assert len(outcomes) == 9
    assert set(outcomes) == {"100 copy.db", "12000004"}
    assert target.parent.is_dir()


async def test_a_folder_that_cannot_be_synced_is_told(tmp_path, target, monkeypatch):
    """A backup that a power cut could take is not acknowledged, and not there."""

    def broken(_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(backup, "sync_folder", broken)
    async with _open(tmp_path) as keystore:
        with pytest.raises(huks.BusinessError, match=os.strerror(errno.EIO)) as refused:
            await keystore.backup(target)
    assert refused.value.code == 12000004
    assert _files(target.parent) == []


async def test_a_file_system_that_keeps_no_modes_is_refused(tmp_path, target, monkeypatch):
    """Everybody could read the copy there."""
    monkeypatch.setattr(drafts, "_MODE", 0o644)
    old = os.umask(0o022)
    try:
        async with _open(tmp_path) as keystore:
            with pytest.raises(huks.BusinessError, match="mode 0644, readable by others") as refused:
                await keystore.backup(target)
    finally:
        os.umask(old)
    assert refused.value.code == 12000004
    assert _files(target.parent) == []


async def test_the_copy_is_checked_as_a_database(tmp_path, target, monkeypatch):
    """A copy in which a page is wrong is never given out."""
    copy = backup.Backup._copy

    def damaged(self, source, draft):
        copy(self, source, draft)
        with open(draft, "r+b") as file:
            file.seek(os.path.getsize(draft) - 4096)
            file.write(b"\xff" * 2048)

    monkeypatch.setattr(backup.Backup, "_copy", damaged)
    async with _open(tmp_path) as keystore:
        for number in range(50):
            await keystore.generateKeyItem(f"key {number}", AES)
        with pytest.raises(huks.BusinessError) as refused:
            await keystore.backup(target)
    assert refused.value.code == 12000004
    assert _files(target.parent) == []


@pytest.mark.parametrize(("what", "code"), [("gone", 12000004), ("another", 12000012)])
async def test_a_backup_reads_the_file_of_the_root_key_again(tmp_path, target, what, code):
    """While the keystore has it in memory, nothing else tells that nobody will open store or copy after it."""
    async with _open(tmp_path) as keystore:
        await keystore.generateKeyItem("key", AES)
        (tmp_path / "root.key").rename(tmp_path / "safe.key")
        if what == "another":
            await huks.FileRootKey(tmp_path / "root.key").open()
        with pytest.raises(huks.BusinessError, match=r"root\.key") as refused:
            await keystore.backup(target)
        assert refused.value.code == code
        assert _files(target.parent) == []
        assert (tmp_path / "root.key").exists() == (what == "another")
        (tmp_path / "safe.key").rename(tmp_path / "root.key")
        async with huks.Keystore.open(keystore._store, keystore._root_key, monitor=False) as another:
            assert await another.isKeyItemExist("key", NONE)
        assert (await keystore.backup(target)).keys == 1


async def test_a_root_key_that_is_closed_while_a_backup_reads_it_stays_forgotten(
    tmp_path, target, monkeypatch
):
    """The next opening reads the file, and does not use what the backup found before."""
    reading, go_on = threading.Event(), threading.Event()
    root_key = _root_key(tmp_path)
    keystore = huks.Keystore.open(SqliteStore(tmp_path / "keystore.db"), root_key, monitor=False)
    await keystore.aopen()
    await keystore.generateKeyItem("key", AES)
    read = root_key._read

    def read_slowly(path):
        content = read(path)
        reading.set()
        go_on.wait(120)
        return content

    monkeypatch.setattr(root_key, "_read", read_slowly)
    made = asyncio.create_task(keystore.backup(target))
    assert await asyncio.to_thread(reading.wait, 120)
    await keystore.aclose()
    go_on.set()
    with pytest.raises(huks.BusinessError) as refused:
        await made
    assert refused.value.code == 12000012
    (tmp_path / "root.key").unlink()
    with pytest.raises(huks.BusinessError, match=r"root\.key is not there"):
        await keystore.aopen()


async def test_a_root_key_that_meets_a_foreign_cancellation_when_it_is_read_again(tmp_path, target):
    """As with all that root keys do: the backup is told, and its task goes on."""

    class OfAnApplication(huks.FileRootKey):
        async def unwrap_anew(self, wrapped):
            other = asyncio.get_running_loop().create_future()
            other.cancel()
            await other

    store = SqliteStore(tmp_path / "keystore.db")
    async with huks.Keystore.open(store, OfAnApplication(tmp_path / "root.key"), monitor=False) as keystore:
        await keystore.generateKeyItem("key", AES)
        with pytest.raises(huks.BusinessError, match=r"OfAnApplication\.unwrap_anew") as refused:
            await keystore.backup(target)
        assert refused.value.code == 12000004
