"""Several versions of this library on one store: what each reads, says and leaves alone."""

import pytest

import huks_async as huks
from huks_async.keys.items.storekey import open_store_key
from huks_async.rootkeys import FileRootKey
from huks_async.stores import ItemName, SqliteStore
from tests.keys.items.test_sealing import format_1

pytestmark = pytest.mark.asyncio

_TAG = huks.HuksTag
AES = huks.HuksOptions(
    properties=[
        huks.HuksParam(_TAG.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_AES),
        huks.HuksParam(_TAG.HUKS_TAG_KEY_SIZE, 256),
        huks.HuksParam(_TAG.HUKS_TAG_PURPOSE, huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT),
        huks.HuksParam(_TAG.HUKS_TAG_BLOCK_MODE, huks.HuksCipherMode.HUKS_MODE_GCM),
        huks.HuksParam(_TAG.HUKS_TAG_PADDING, huks.HuksKeyPadding.HUKS_PADDING_NONE),
    ]
)


def _row(alias):
    return ItemName("default", 1, alias)


def _open(path):
    return huks.Keystore.open(SqliteStore(path), FileRootKey(f"{path}.root-key"), monitor=False)


async def test_a_row_of_a_newer_version_is_named_and_left_alone(tmp_path):
    """Every use of the key says so; its row keeps each byte; other keys are not affected."""
    path = tmp_path / "keystore.db"
    store = SqliteStore(path)
    async with _open(path) as keystore:
        await keystore.generateKeyItem("old", AES)
        await keystore.generateKeyItem("new", AES)
        await store.open()
        row = await store.get(_row("new"))
        newer = b"HKi3" + row.blob[4:] + b"more"
        await store.put(_row("new"), newer)
        for use in (
            lambda: keystore.initSession("new", AES),
            lambda: keystore.getKeyItemProperties("new", huks.HuksOptions()),
            lambda: keystore.exportKeyItem("new", huks.HuksOptions()),
        ):
            with pytest.raises(huks.BusinessError, match=r"newer version of this library.*update") as refused:
                await use()
            assert refused.value.code == 12000012
        assert sorted((await keystore.listAliases(huks.HuksOptions())).keyAliases) == ["new", "old"]
        await keystore.initSession("old", AES)
        assert (await store.get(_row("new"))).blob == newer
        await store.aclose()


async def test_a_row_of_the_older_format_is_used_and_replaced(tmp_path):
    """It serves as it is, is not rewritten by that, and is sealed anew when its key is."""
    path = tmp_path / "keystore.db"
    store = SqliteStore(path)
    async with _open(path) as keystore:
        await keystore.generateKeyItem("key", AES)
        await store.open()
        row = await store.get(_row("key"))
        assert row.blob[:4] == b"HKi2"
        store_key = await open_store_key(store, FileRootKey(f"{path}.root-key"))
        params, material = keystore._state.shelf._sealer.open(_row("key"), row.blob)
        before = format_1(store_key, _row("key"), params, material, bytes(12))
        await store.put(_row("key"), before)
        session = await keystore.initSession("key", AES)
        await keystore.finishSession(session.handle, huks.HuksOptions(inData=b"data"))
        assert (await store.get(_row("key"))).blob == before
        await keystore.generateKeyItem("key", AES)
        assert (await store.get(_row("key"))).blob[:4] == b"HKi2"
        await store.aclose()
