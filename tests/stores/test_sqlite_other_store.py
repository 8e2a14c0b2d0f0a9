"""Another store is put in place while this one has left its files and not opened new ones yet."""

import contextlib
import os

import pytest

from huks_async import BusinessError
from huks_async.stores import SqliteStore
from huks_async.stores.base import ItemName

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
