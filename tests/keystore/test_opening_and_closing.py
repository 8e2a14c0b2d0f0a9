"""Opening that fails leaves nothing open, and a keystore that was closed is closed, whoever asked for it."""

import asyncio
import sys
from pathlib import Path

import pytest

import huks_async as huks
from tests.adversity.support import descriptors
from tests.keystore.support import AES_CBC, options
from tests.keystore.test_loops import threads_of_ours, use, wait_until


def _nothing_is_left(folder: Path) -> None:
    wait_until(lambda: threads_of_ours() == 0)
    assert not [path for path in descriptors().values() if str(folder) in path]


def test_a_part_that_cannot_be_loaded_leaves_no_store_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last thing that opening does is to load modules; where one cannot be loaded, the store is closed again."""
    store = f"sqlite:///{tmp_path}/keys.db"

    async def main() -> None:
        keystore = huks.Keystore.open(store, monitor=False, load_all=False)
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "huks_async.access.control", None)
            with pytest.raises(huks.BusinessError, match="could not be loaded") as caught:
                await keystore.aopen()
            assert caught.value.code == 12000012
        _nothing_is_left(tmp_path)
        async with keystore:
            assert keystore.is_open

    asyncio.run(main())


def test_a_keystore_in_memory_can_be_opened_again() -> None:
    """After a close it has the keys that it had, in another event loop too; an opening that is cancelled spoils nothing."""
    keystore = huks.Keystore.open("memory:", monitor=False)

    async def first() -> None:
        for turns in range(30):
            opening = asyncio.create_task(keystore.aopen())
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await keystore.aclose()
        async with keystore:
            await keystore.generateKeyItem("key", options(**AES_CBC))

    async def again() -> None:
        async with keystore:
            assert await keystore.hasKeyItem("key", options())
            assert await use(keystore) == 16

    asyncio.run(first())
    asyncio.run(again())
