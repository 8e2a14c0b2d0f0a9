"""Providers that give a handle again once it is free: a call that outlives what it is about ends nothing of others."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

import huks_async as huks
from huks_async.providers import (
    CryptoExtensionAbility,
    HuksCryptoExtensionResult,
    HuksCryptoExtensionResultCode,
)
from tests.keystore.test_loops import BACKENDS, run
from tests.providers.support import ABILITY, ABILITY_PARAM, NAME, external, refused, rid

ENCRYPT = external(ALGORITHM=20, PURPOSE=1)
HANDLE_IS_GONE = HuksCryptoExtensionResult(
    HuksCryptoExtensionResultCode.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST
)
Outcome = Exception | HuksCryptoExtensionResult | None


class Slots(CryptoExtensionAbility):
    """Numbers what it opens by the lowest number that is free, as file descriptors are."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.told: list[str] = []
        # what calls end by that wait until they may
        self.outcome: Outcome = None
        self.waits, self.may_end = anyio.Event(), anyio.Event()

    def _give(self) -> HuksCryptoExtensionResult:
        handle = next(number for number in map(str, range(9)) if number not in self.open)
        self.open.add(handle)
        return HuksCryptoExtensionResult(handle=handle)

    def _take(self, handle: str) -> HuksCryptoExtensionResult:
        if handle not in self.open:
            return HANDLE_IS_GONE
        self.open.remove(handle)
        return HuksCryptoExtensionResult()

    async def _wait(self) -> HuksCryptoExtensionResult:
        self.waits.set()
        await self.may_end.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome

    async def onOpenResource(self, *args: Any) -> HuksCryptoExtensionResult:
        return self._give()

    async def onCloseResource(self, handle: str, *args: Any) -> HuksCryptoExtensionResult:
        return self._take(handle)

    async def onInitSession(self, *args: Any) -> HuksCryptoExtensionResult:
        return self._give()

    async def onUpdateSession(self, *args: Any) -> HuksCryptoExtensionResult:
        return await self._wait()

    async def onFinishSession(self, handle: str, *args: Any) -> HuksCryptoExtensionResult:
        return self._take(handle)

    async def onImportWrappedKeyItem(self, *args: Any) -> HuksCryptoExtensionResult:
        return await self._wait()

    async def onDisconnect(self) -> None:
        self.told.append("onDisconnect")


async def outlive(
    provider: Slots, call: Awaitable[object], between: Callable[[], Awaitable[object]]
) -> list[int]:
    """Do something while a call waits at the provider, and then let it end; the codes that it was refused with.

    Without an outcome that the provider has for it, it is cancelled.
    """
    codes = []

    async def wait_for_it() -> None:
        try:
            await call
        except huks.BusinessError as error:
            codes.append(error.code)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_it)
            await provider.waits.wait()
            await between()
            if provider.outcome is None:
                tasks.cancel_scope.cancel()
            provider.may_end.set()
    return codes


def opened(provider: Slots) -> huks.Keystore:
    return huks.Keystore.open("memory:", monitor=False, load_all=False, abilities={ABILITY: provider})


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
@pytest.mark.parametrize(
    ("outcome", "codes"),
    [
        pytest.param(None, [], id="cancelled"),
        pytest.param(huks.BusinessError(12000024, "busy"), [12000024], id="as after its time"),
        pytest.param(huks.BusinessError(12000011, "gone"), [12000011], id="raised"),
        pytest.param(RuntimeError("broken"), [12000020], id="failed"),
    ],
)
def test_a_call_of_a_closed_resource_ends_no_session_of_a_later_one(
    outcome: Outcome, codes: list[int], backend: str, settings: dict[str, Any]
) -> None:
    """The provider was told a second time that the session had ended, by a handle that another session had by then."""

    async def main() -> None:
        provider = Slots()
        provider.outcome = outcome
        async with opened(provider) as keystore:
            await keystore.registerProvider(NAME, [ABILITY_PARAM])
            await keystore.openResource(rid())
            old = (await keystore.initSession(rid(), ENCRYPT)).handle

            async def give_its_handle_again() -> None:
                await keystore.closeResource(rid())
                assert provider.open == set()
                await keystore.openResource(rid())
                await keystore.initSession(rid(), ENCRYPT)

            call = keystore.updateSession(old, external(inData=b"text"))
            assert await outlive(provider, call, give_its_handle_again) == codes
            assert provider.open == {"0", "1"}

    run(main, backend, settings)


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_an_import_closes_no_key_that_was_opened_meanwhile(backend: str, settings: dict[str, Any]) -> None:
    """Both of its keys are closed after a handle that is gone, but not by handles that they have no more."""

    async def main() -> None:
        provider = Slots()
        provider.outcome = HANDLE_IS_GONE
        async with opened(provider) as keystore:
            await keystore.registerProvider(NAME, [ABILITY_PARAM])
            for index in ("wrapping", "new"):
                await keystore.openResource(rid(index))

            async def give_a_handle_again() -> None:
                await keystore.closeResource(rid("wrapping"))
                await keystore.openResource(rid("other"))
                assert provider.open == {"0", "1"}

            call = keystore.importWrappedKeyItem(rid("new"), rid("wrapping"), external(b"wrapped"))
            assert await outlive(provider, call, give_a_handle_again) == [12000011]
            assert provider.open == {"0"}  # that of the other key
            with refused(12000017):
                await keystore.openResource(rid("other"))
            await keystore.openResource(rid("new"))

    run(main, backend, settings)


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_a_call_that_outlives_its_keystore_tells_the_provider_nothing(
    backend: str, settings: dict[str, Any]
) -> None:
    """Its session ended with the keystore; after `onDisconnect` comes nothing more about it."""

    async def main() -> None:
        provider = Slots()
        async with opened(provider) as keystore:
            await keystore.registerProvider(NAME, [ABILITY_PARAM])
            await keystore.openResource(rid())
            handle = (await keystore.initSession(rid(), ENCRYPT)).handle
            finish = provider.onFinishSession

            async def told(*args: Any) -> HuksCryptoExtensionResult:
                provider.told.append("onFinishSession")
                return await finish(*args)

            provider.onFinishSession = told  # type: ignore[method-assign]
            call = keystore.updateSession(handle, external(inData=b"text"))
            assert await outlive(provider, call, keystore.aclose) == []
        assert provider.told == ["onFinishSession", "onDisconnect"]

    run(main, backend, settings)
