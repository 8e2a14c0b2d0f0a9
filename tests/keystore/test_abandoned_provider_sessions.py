"""Calls on sessions at a provider by a task that the garbage collector ends: there nothing may wait."""

import types
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import huks_async as huks
from huks_async.testing.memory_provider import MemoryProvider
from tests import loops
from tests.providers.support import ABILITY, ABILITY_PARAM, NAME, external, pin, rid


class Remote(MemoryProvider):
    """Is asked over a socket."""

    async def onUpdateSession(self, *args: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return await super().onUpdateSession(*args)

    async def onFinishSession(self, *args: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return await super().onFinishSession(*args)


@types.coroutine
def pause() -> Any:
    yield


@pytest.mark.parametrize("loop", loops.LOOPS)
@pytest.mark.parametrize("name", ["updateSession", "finishSession", "abortSession"])
def test_the_event_loop_ends_them(loop: Any, name: str) -> None:
    """The call waited in the task that ran meanwhile: it broke that task's scopes, and cancelled it after its time."""
    provider = Remote()

    async def left(keystore: huks.Keystore, handle: int) -> None:
        try:
            await pause()
        finally:
            await getattr(keystore, name)(handle, external(inData=b"text"))

    async def main() -> None:
        async with huks.Keystore.open("memory:", monitor=False, abilities={ABILITY: provider}) as keystore:
            await keystore.registerProvider(NAME, [ABILITY_PARAM])
            await keystore.openResource(rid())
            await keystore.authUkeyPin(rid(), pin())
            await keystore.generateKeyItem(rid(), external(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3))
            handle = (await keystore.initSession(rid(), external(ALGORITHM=20, PURPOSE=1))).handle
            coroutine = left(keystore, handle)
            coroutine.send(None)
            with anyio.fail_after(60):
                coroutine.close()
                while provider.sessions:
                    await anyio.sleep(0.001)
            with pytest.raises(huks.BusinessError) as gone:
                await keystore.updateSession(handle, external(inData=b"text"))
            assert gone.value.code == 12000011

    loops.runner(loop)(main)
