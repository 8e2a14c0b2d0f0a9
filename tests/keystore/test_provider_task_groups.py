"""Providers whose methods have task groups, which raise groups of exceptions, in each event loop."""

import asyncio
from typing import Any

import anyio
import pytest

import huks_async as huks
from huks_async.providers import HuksCryptoExtensionResult
from huks_async.testing.memory_provider import MemoryProvider
from tests.keystore.test_loops import BACKENDS, run
from tests.providers.support import ABILITY, ABILITY_PARAM, NAME, refused, rid

in_each_loop = pytest.mark.parametrize(("backend", "settings"), BACKENDS)


class Groups(MemoryProvider):
    """Its method `method` has two tasks, of which one fails when it is cancelled."""

    method = ""
    disconnected = False

    def __init__(self) -> None:
        super().__init__()
        self.began = anyio.Event()

    def __getattribute__(self, name: str) -> Any:
        honest = super().__getattribute__(name)
        return self._wait if name == super().__getattribute__("method") else honest

    async def _wait(self, *args: Any) -> HuksCryptoExtensionResult:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            group.start_soon(self._hang_up)
        raise AssertionError("nobody has cancelled it")

    async def _hang_up(self) -> None:
        self.began.set()
        try:
            await anyio.sleep_forever()
        finally:
            raise RuntimeError("could not hang up")

    async def onDisconnect(self) -> None:
        self.disconnected = True


async def opened(provider: MemoryProvider) -> huks.Keystore:
    """A keystore with a key of the provider open."""
    keystore = huks.Keystore.open("memory:", monitor=False, load_all=False, abilities={ABILITY: provider})
    await keystore.aopen()
    await keystore.registerProvider(NAME, [ABILITY_PARAM])
    await keystore.openResource(rid())
    return keystore


@in_each_loop
def test_one_that_takes_too_long_is_12000024(backend: str, settings: dict[str, Any]) -> None:
    """Whatever its tasks raise when they are cancelled; the keystore closes as ever, and tells the provider."""

    async def main() -> None:
        provider = Groups()
        keystore = await opened(provider)
        # from here on only: what came before may take its time
        keystore._open_state().providers._asker.timeout = 0.05
        provider.method = "onGetProperty"
        with refused(12000024, "onGetProperty"):
            await keystore.getProperty(rid(), "x")
        provider.method = "onCloseResource"
        await keystore.aclose()
        assert provider.disconnected

    run(main, backend, settings)


@in_each_loop
def test_a_caller_that_is_cancelled_stays_cancelled(backend: str, settings: dict[str, Any]) -> None:
    """What fails meanwhile does not take the place of the cancellation."""

    async def main() -> None:
        provider = Groups()
        keystore = await opened(provider)
        provider.method = "onGetProperty"
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:

                async def cancel() -> None:
                    await provider.began.wait()
                    scope.cancel()

                tasks.start_soon(cancel)
                await keystore.getProperty(rid(), "x")
            assert scope.cancelled_caught
        provider.method = ""
        await keystore.aclose()

    run(main, backend, settings)


@pytest.mark.asyncio
@pytest.mark.parametrize("mine", [True, False], ids=["the task's", "somebody else's"])
async def test_a_cancellation_in_a_group_of_a_provider_s_own_making(mine: bool) -> None:
    """That of the task ends it, and one that nobody asked for is the provider's failure."""

    class Collects(MemoryProvider):
        began = asyncio.Event()

        async def onGetProperty(self, *args: Any) -> HuksCryptoExtensionResult:
            try:
                if mine:
                    self.began.set()
                    await asyncio.Event().wait()
                raise asyncio.CancelledError
            except asyncio.CancelledError as error:
                raise BaseExceptionGroup("all", [RuntimeError(), BaseExceptionGroup("x", [error])]) from None

    provider = Collects()
    keystore = await opened(provider)
    task = asyncio.ensure_future(keystore.getProperty(rid(), "x"))
    if mine:
        await provider.began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        with refused(12000020, "BaseExceptionGroup"):
            await task
    await keystore.aclose()
