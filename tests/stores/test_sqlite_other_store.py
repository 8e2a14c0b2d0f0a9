"""Another store is put in place of an open one, also while that has left its files and not opened new ones yet."""

import contextlib
import os

import pytest

from huks_async import BusinessError
from huks_async.stores import SqliteStore
from huks_async.stores.base import ItemName
from huks_async.stores.sqlite.database import Database
from tests.stores.test_sqlite_files import rows

NAME = ItemName("app", 1, "key")


def _unlink(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


async def _make(path, key):
    store = SqliteStore(path)
    await store.open()
    await store.put_meta("store-key", key)
    return store


@pytest.mark.asyncio
async def test_a_store_between_two_sets_of_files_does_not_take_up_another_store(tmp_path):
    """A log that goes while two stores of one process have it makes one leave; what is there then must be the same store."""
    path, other = f"{tmp_path}/keystore.db", f"{tmp_path}/other.db"
    await (await _make(other, b"other")).aclose()
    first, second = await _make(path, b"mine"), await _make(path, b"mine")
    await first.put(NAME, b"mine")
    os.unlink(f"{path}-wal")
    os.unlink(f"{path}-shm")
    with contextlib.suppress(BusinessError):
        await first.put(NAME, b"mine")
    await second.aclose()
    for ending in ("-wal", "-shm"):
        _unlink(path + ending)
    os.rename(other, path)
    with pytest.raises(BusinessError, match="another store") as refused:
        await first.put(NAME, b"mine")
    assert refused.value.code == 12000004
    await first.aclose()
    third = SqliteStore(path)
    await third.open()
    assert await third.is_empty()
    await third.aclose()


@pytest.mark.asyncio
async def test_a_backup_from_before_a_value_of_the_store_is_the_same_store(tmp_path):
    """As of the authority of attestations, which the first of them makes: only the store key tells stores apart."""
    path, copy = f"{tmp_path}/keystore.db", f"{tmp_path}/copy.db"
    store = await _make(path, b"mine")
    await store.put(NAME, b"kept")
    await store.backup(copy, lambda *_: None, lambda _: None)
    await store.put_meta("authority", b"later")
    assert await store.get_meta("authority") == b"later"
    os.rename(copy, path)
    assert await store.put(NAME, b"new")
    assert await store.get_meta("authority") is None
    await store.aclose()


@pytest.mark.asyncio
async def test_the_log_is_saved_once_from_beside_another_store(tmp_path, monkeypatch, caplog):
    """Each refused call would hold up others under the lock, and tell the same again. The close tries it again."""
    path, other = tmp_path / "keys.db", tmp_path / "other.db"
    await (await _make(other, b"other")).aclose()
    store, tries = await _make(path, b"ours"), []
    await store.put(NAME, b"in the log")
    os.rename(path, tmp_path / "moved.db")
    os.rename(other, path)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write_back", lambda *_: bool(tries.append(_)))
        for _ in range(3):
            with pytest.raises(BusinessError, match="another store"):
                await store.put(NAME, b"lost")
            with pytest.raises(BusinessError, match="another store"):
                await store.get(NAME)
    assert len(tries) == 1
    assert caplog.text.count("could not be saved") == 1
    assert len(list(tmp_path.glob("*.unsaved"))) == 1
    await store.aclose()
    assert not list(tmp_path.glob("*.unsaved"))
    assert rows(tmp_path / "moved.db") == {NAME.alias}


@pytest.mark.asyncio
async def test_files_that_are_put_back_are_taken_up_when_all_who_have_them_have_been_used(tmp_path):
    """As the error says; the log was saved, and lost its name, while another store was in place."""
    path, other, moved = tmp_path / "keys.db", tmp_path / "other.db", tmp_path / "moved.db"
    await (await _make(other, b"other")).aclose()
    store, idle = await _make(path, b"ours"), SqliteStore(path)
    await idle.open()
    await store.put(NAME, b"x")
    os.rename(path, moved)
    os.rename(other, path)
    with pytest.raises(
        BusinessError, match="or put the files back, and use each keystore once that has them open"
    ):
        await store.get(NAME)
    os.rename(path, other)
    os.rename(moved, path)
    with pytest.raises(BusinessError, match="have not noticed yet"):
        await store.get(NAME)
    assert await idle.get(NAME) is not None
    assert await store.put(NAME, b"y")
    await store.aclose()
    await idle.aclose()
    assert rows(path) == {NAME.alias}
