"""The key of a store, wrapped by a root key."""

import asyncio

import pytest

from huks_async.keys.items.storekey import open_store_key, rewrap_store_key
from huks_async.keystore import Keystore
from huks_async.model.errors import BusinessError
from huks_async.rootkeys import EphemeralRootKey, FileRootKey, PassphraseRootKey, RootKey
from huks_async.stores import ItemName, MemoryStore, SqliteStore
from huks_async.stores.base import STORE_KEY
from tests.keystore.support import AES_CBC, options

KEY = bytes(range(32))


@pytest.mark.asyncio
async def test_a_store_gets_one_key_and_keeps_it(tmp_path):
    """The key is made once, is the same after a restart, and is not in the files in the clear."""
    keys = []
    for _ in range(2):
        store = SqliteStore(tmp_path / "keys.db")
        await store.open()
        keys.append(await open_store_key(store, FileRootKey(tmp_path / "root.key")))
        await store.aclose()
    assert keys[0] == keys[1]
    assert len(keys[0]) == 32
    assert keys[0] not in (tmp_path / "keys.db").read_bytes() + (tmp_path / "root.key").read_bytes()


@pytest.mark.asyncio
async def test_all_that_begin_a_store_at_once_get_the_same_key(tmp_path):
    """Ten openings race, through two store objects and ten root key objects."""
    stores = [SqliteStore(tmp_path / "keys.db") for _ in range(2)]
    for store in stores:
        await store.open()
    keys = await asyncio.gather(
        *(open_store_key(stores[number % 2], FileRootKey(tmp_path / "root.key")) for number in range(10))
    )
    assert len(set(keys)) == 1
    for store in stores:
        await store.aclose()


@pytest.mark.asyncio
async def test_a_store_that_another_one_fills_between_two_looks_is_opened(tmp_path):
    """Many processes begin one store at once: the key and the first items may come while one of them looks."""

    class Slow(SqliteStore):
        async def is_empty(self):
            other = SqliteStore(tmp_path / "keys.db")
            await other.open()
            keys.append(await open_store_key(other, FileRootKey(tmp_path / "root.key")))
            await other.put(ItemName("app", 1, "first"), b"sealed")
            await other.aclose()
            return await super().is_empty()

    keys = []
    store = Slow(tmp_path / "keys.db")
    await store.open()
    keys.append(await open_store_key(store, FileRootKey(tmp_path / "root.key")))
    assert keys[0] == keys[1]
    await store.aclose()


@pytest.mark.asyncio
async def test_randomness_is_injected():
    """The key is what the given source gives."""
    store, root_key = MemoryStore(), EphemeralRootKey()
    assert await open_store_key(store, root_key, random=lambda size: b"\7" * size) == b"\7" * 32
    assert await open_store_key(store, root_key) == b"\7" * 32


@pytest.mark.asyncio
async def test_a_root_key_of_another_store_is_named():
    """12000012 with the store and both ids, and the store keeps its key."""
    store, mine, other = MemoryStore(), EphemeralRootKey(), EphemeralRootKey()
    key = await open_store_key(store, mine)
    with pytest.raises(BusinessError, match="memory: cannot be opened") as caught:
        await open_store_key(store, other)
    assert caught.value.code == 12000012
    assert mine.key_id in caught.value.message
    assert other.key_id in caught.value.message
    with pytest.raises(BusinessError) as caught:
        await open_store_key(store, PassphraseRootKey("x", log_n=10))
    assert caught.value.code == 12000012
    assert await open_store_key(store, mine) == key


@pytest.mark.asyncio
async def test_a_root_key_can_be_changed():
    """After rewrapping, the new root key opens the store and the old one does not; the key is the same."""
    store, old, new = MemoryStore(), EphemeralRootKey(), PassphraseRootKey("x", log_n=10)
    with pytest.raises(BusinessError, match="has no key yet") as caught:
        await rewrap_store_key(store, old, new)
    assert caught.value.code == 12000011
    key = await open_store_key(store, old)
    with pytest.raises(BusinessError) as caught:
        await rewrap_store_key(store, EphemeralRootKey(), new)
    assert caught.value.code == 12000012
    await rewrap_store_key(store, old, new)
    assert await open_store_key(store, new) == key
    with pytest.raises(BusinessError) as caught:
        await open_store_key(store, old)
    assert caught.value.code == 12000012


@pytest.mark.asyncio
async def test_a_root_key_file_that_was_lost_does_not_open_the_store(tmp_path):
    """A new root key file would be another key: the store is refused, and no new file misleads."""
    store = MemoryStore()
    await open_store_key(store, FileRootKey(tmp_path / "root.key"))
    (tmp_path / "root.key").unlink()
    with pytest.raises(BusinessError, match="is not there") as caught:
        await open_store_key(store, FileRootKey(tmp_path / "root.key"))
    assert caught.value.code == 12000004
    assert not (tmp_path / "root.key").exists()


@pytest.mark.asyncio
async def test_a_store_that_has_items_and_no_key_is_refused():
    """A new key would not open them, and would hide that the old one is missing."""
    store = MemoryStore()
    await store.put(ItemName("app", 1, "one"), b"sealed")
    with pytest.raises(BusinessError, match="the key that they are sealed under is missing") as caught:
        await open_store_key(store, EphemeralRootKey())
    assert caught.value.code == 12000012
    assert await store.get_meta("store-key") is None


class _Answering(RootKey):
    """A root key of an application's own that answers what it is told."""

    key_id = "answering"

    def __init__(self, wrapped, key):
        self._wrapped, self._key = wrapped, key

    async def wrap(self, key):
        return self._wrapped

    async def unwrap(self, wrapped):
        return self._key


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wrapped", "key"),
    [(wrapped, KEY) for wrapped in (None, 60, "text", [1, 2], b"", bytes(65_536))]
    + [(b"wrapped", key) for key in (None, 32, "x" * 32, [1] * 32, KEY[:5], KEY + b"x")],
)
async def test_what_a_root_key_answers_is_checked(wrapped, key):
    """What is no wrapped key is not stored, and what is no key of 32 bytes seals nothing; also of an operator."""
    store, broken = MemoryStore(), _Answering(wrapped, key)
    with pytest.raises(BusinessError, match="_Answering") as caught:
        await open_store_key(store, broken)
    assert caught.value.code == 12000004
    if key == KEY:
        assert await store.get_meta(STORE_KEY) is None
    async with Keystore.open("memory:", wrapping_key=broken, monitor=False) as keystore:
        await keystore.generateKeyItem("key", options(**AES_CBC, IS_ALLOWED_WRAP=True))
        call = options(KEY_WRAP_TYPE=2)
        with pytest.raises(BusinessError, match="_Answering") as caught:
            blob = (await keystore.wrapKeyItem("key", call)).outData
            await keystore.unwrapKeyItem("other", call, blob)
        assert caught.value.code == 12000004
