"""The store object of an open keystore is closed and opened again, and meanwhile something happened to its files."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import huks_async as huks
from tests.keystore.support import AES_CBC, options, refused
from tests.keystore.test_loops import SESSION, use


@asynccontextmanager
async def _opened(tmp_path: Path) -> AsyncIterator[tuple[huks.Keystore, huks.SqliteStore]]:
    """A keystore on a store object, with a key that it has used."""
    async with _keystore(tmp_path / "keys.db") as keystore:
        await use(keystore)
    store = huks.SqliteStore(tmp_path / "keys.db")
    async with _keystore(store) as keystore:
        await use(keystore)
        yield keystore, store


def _keystore(store: Path | huks.SqliteStore) -> huks.Keystore:
    if isinstance(store, Path):
        store = huks.SqliteStore(store)
    root_key = huks.PassphraseRootKey("secret words", log_n=10)
    return huks.Keystore.open(store, root_key=root_key, monitor=False)


@pytest.mark.asyncio
async def test_a_key_that_was_deleted_meanwhile_is_not_used(tmp_path: Path) -> None:
    """What was cached through the files of before does not count for those of now, although they may look the same."""
    async with _opened(tmp_path) as (keystore, store):
        await store.aclose()
        async with _keystore(tmp_path / "keys.db") as other:
            await other.deleteKeyItem("key", {})
        await store.open()
        await refused(keystore.initSession("key", SESSION), 12000011)


@pytest.mark.asyncio
async def test_another_store_that_was_put_there_meanwhile_is_refused(tmp_path: Path) -> None:
    """The keystore would seal keys under the key of its own store, with which nobody opens them there."""
    async with _opened(tmp_path) as (keystore, store):
        async with _keystore(tmp_path / "other.db") as other:
            await use(other)
        await store.aclose()
        os.rename(tmp_path / "keys.db", tmp_path / "moved.db")
        error = await refused(store.open(), 12000004)
        assert "no longer at its path" in error.message
        assert not (tmp_path / "keys.db").exists()
        os.rename(tmp_path / "other.db", tmp_path / "keys.db")
        error = await refused(store.open(), 12000004)
        assert "another store" in error.message
        assert "close the keystore" in error.message
        await refused(keystore.generateKeyItem("new", options(**AES_CBC)), 12000012)
        os.rename(tmp_path / "keys.db", tmp_path / "other.db")
        os.rename(tmp_path / "moved.db", tmp_path / "keys.db")
        await store.open()
        assert await use(keystore) == 16


@pytest.mark.asyncio
async def test_closing_the_keystore_lets_it_open_another_store(tmp_path: Path) -> None:
    """As the messages say: the last keystore that leaves a store object takes along which store it was."""
    async with _opened(tmp_path) as (keystore, store):
        async with _keystore(store) as second:
            await use(second)
        async with _keystore(tmp_path / "other.db") as other:
            await other.generateKeyItem("of the other", options(**AES_CBC))
        await store.aclose()
        os.rename(tmp_path / "other.db", tmp_path / "keys.db")
        await refused(store.open(), 12000004)
        await keystore.aclose()
        async with keystore:
            assert await keystore.hasKeyItem("of the other", {})
            assert not await keystore.hasKeyItem("key", {})
