"""Calls that are cancelled when their write is done: it took place, whole, and the next calls see it."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from huks_async import EphemeralRootKey, Keystore
from huks_async.stores import MemoryStore
from tests.keystore.support import AES_CBC, ENCRYPT, options, refused

ENCRYPTION = options(**AES_CBC | {"IV": bytes(16), "PURPOSE": ENCRYPT})
BLOCK = {"inData": b"sixteen bytes ok"}
KEEP = {"KEY_OVERRIDE": False}


class Late(MemoryStore):
    """A store whose writes are done before their callers go on, who wait for ever while it is held."""

    held = False

    def __init__(self) -> None:
        super().__init__()
        self.written = anyio.Event()

    async def put(self, *args: Any, **values: Any) -> int:
        """Write, and stay."""
        version = await super().put(*args, **values)
        await self._stay()
        return version

    async def delete(self, *args: Any, **values: Any) -> bool:
        """Delete, and stay."""
        deleted = await super().delete(*args, **values)
        await self._stay()
        return deleted

    async def _stay(self) -> None:
        if self.held:
            self.written.set()
            await anyio.sleep_forever()

    async def cancel_when_written(self, call: Callable[[], Awaitable[Any]]) -> None:
        """Make a call, and cancel it when its write is done."""
        self.written, self.held = anyio.Event(), True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await self.written.wait()
            tasks.cancel_scope.cancel()
        self.held = False


async def encrypted(keystore: Keystore) -> bytes:
    """What the key makes of a block."""
    session = await keystore.initSession("k", ENCRYPTION)
    return (await keystore.finishSession(session.handle, options(BLOCK["inData"]))).outData


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_call_may_have_replaced_or_deleted_the_key(backend: str) -> None:
    """The new key is whole, and no kept copy of the old one is used; a deleted one is gone."""

    async def main() -> None:
        store = Late()
        async with Keystore.open(store, EphemeralRootKey(), monitor=False) as keystore:
            await keystore.generateKeyItem("k", options(**AES_CBC))
            old = await encrypted(keystore)
            await store.cancel_when_written(lambda: keystore.generateKeyItem("k", options(**AES_CBC)))
            new = await encrypted(keystore)
            assert old != new == await encrypted(keystore)
            given = options(bytes(32), **AES_CBC)
            await store.cancel_when_written(lambda: keystore.importKeyItem("k", given))
            imported = await encrypted(keystore)
            assert imported != new
            await refused(keystore.generateKeyItem("k", options(**AES_CBC, **KEEP)), 12000017)
            assert await encrypted(keystore) == imported
            await store.cancel_when_written(lambda: keystore.deleteKeyItem("k", options()))
            await refused(encrypted(keystore), 12000011)

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_second_try_that_must_not_replace_anything(backend: str) -> None:
    """HUKS_TAG_KEY_OVERRIDE = false: it is refused where the first one stored its key, which stays."""

    async def main() -> None:
        store = Late()
        async with Keystore.open(store, EphemeralRootKey(), monitor=False) as keystore:
            kept = options(**AES_CBC, **KEEP)
            await store.cancel_when_written(lambda: keystore.generateKeyItem("k", kept))
            first = await encrypted(keystore)
            await refused(keystore.generateKeyItem("k", kept), 12000017)
            assert await encrypted(keystore) == first

    anyio.run(main, backend=backend)
