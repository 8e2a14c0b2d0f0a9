"""How often a provider that hangs is waited for, when a key is closed or a session's block is left."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import huks_async as huks
from huks_async.providers import HuksCryptoExtensionResult, HuksCryptoExtensionResultCode, service
from huks_async.testing.memory_provider import MemoryProvider
from tests.keystore.test_loops import BACKENDS, run
from tests.keystore.test_provider_functions import MAKE, SIGN
from tests.providers.support import ABILITY, ABILITY_PARAM, NAME, external, pin, refused, rid


class Hangs(MemoryProvider):
    """When it hangs, no session ends until it is cancelled."""

    hangs = False
    ending = 0

    def __init__(self) -> None:
        super().__init__()
        self.began = anyio.Event()

    async def onFinishSession(self, *args: Any) -> HuksCryptoExtensionResult:
        if self.hangs:
            self.ending += 1
            self.began.set()
            await anyio.sleep_forever()
        return await super().onFinishSession(*args)


async def with_key(provider: MemoryProvider, use: Callable[[huks.Keystore], Awaitable[None]]) -> None:
    async with huks.Keystore.open(
        "memory:", monitor=False, load_all=False, abilities={ABILITY: provider}, provider_timeout=60
    ) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.openResource(rid())
        await keystore.authUkeyPin(rid(), pin())
        await keystore.generateKeyItem(rid(), MAKE)
        await use(keystore)
        provider.hangs = False  # type: ignore[attr-defined]


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_the_sessions_of_a_key_that_is_closed_have_one_limit_together(
    backend: str, settings: dict[str, Any]
) -> None:
    """The first takes all of the time; closing the key ends the others."""

    async def main() -> None:
        provider = Hangs()

        async def close(keystore: huks.Keystore) -> None:
            for _ in range(5):
                await keystore.initSession(rid(), SIGN)
            provider.hangs = True
            # from here on only: what came before may take its time
            keystore._open_state().providers._asker.timeout = 0.05
            await keystore.closeResource(rid())
            assert provider.ending == 1
            assert (provider.sessions, provider.open_resources) == (0, 0)

        await with_key(provider, close)

    run(main, backend, settings)


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
@pytest.mark.parametrize("when", ["before", "while"])
def test_a_block_that_is_cancelled_is_left_after_a_farewell(
    when: str, backend: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was cancelled before it was left or while it is; the limit of a call, a minute here, is longer."""
    monkeypatch.setattr(service, "_LONGEST_FAREWELL", 0.05)

    async def main() -> None:
        provider = Hangs()

        async def leave(keystore: huks.Keystore) -> None:
            with anyio.fail_after(50):
                async with anyio.create_task_group() as tasks:
                    with anyio.CancelScope() as scope:

                        async def cancel() -> None:
                            await provider.began.wait()
                            scope.cancel()

                        async with keystore.session(rid(), SIGN):
                            provider.hangs = True
                            if when == "before":
                                scope.cancel()
                                await anyio.sleep_forever()
                            tasks.start_soon(cancel)
                    assert scope.cancelled_caught
            # a call that was cancelled is made again, and one that was not begun is made once
            assert provider.ending == (1 if when == "before" else 2)

        await with_key(provider, leave)

    run(main, backend, settings)


@pytest.mark.asyncio
async def test_a_block_of_a_task_that_is_cancelled_is_left_after_a_farewell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also by `Task.cancel()`, which cancels no scope."""
    monkeypatch.setattr(service, "_LONGEST_FAREWELL", 0.05)
    provider = Hangs()

    async def leave(keystore: huks.Keystore) -> None:
        inside = anyio.Event()

        async def work() -> None:
            async with keystore.session(rid(), SIGN):
                provider.hangs = True
                inside.set()
                await anyio.sleep_forever()

        task = asyncio.ensure_future(work())
        await inside.wait()
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=50)
        assert done
        assert task.cancelled()
        assert provider.ending == 1

    await with_key(provider, leave)


class Late(MemoryProvider):
    """When it hangs, it does so for a moment, which is longer than the farewell of a cancelled block that has no time."""

    hangs = False

    async def onFinishSession(self, *args: Any) -> HuksCryptoExtensionResult:
        if self.hangs:
            await anyio.sleep(0.001)
        return await super().onFinishSession(*args)

    async def onClearUkeyPinAuthState(self, *args: Any) -> HuksCryptoExtensionResult:
        if self.hangs:
            await anyio.sleep(0.001)
        return await super().onClearUkeyPinAuthState(*args)


@pytest.fixture
def no_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that is left as a cancelled one has no time at all for a provider that waits."""
    monkeypatch.setattr(service, "_LONGEST_FAREWELL", 0.0)


@pytest.mark.usefixtures("no_farewell")
@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_a_block_behind_a_shield_is_not_left_as_a_cancelled_one(
    backend: str, settings: dict[str, Any]
) -> None:
    """Whatever was cancelled around it; its session stayed at the provider."""

    async def main() -> None:
        provider = Late()

        async def leave(keystore: huks.Keystore) -> None:
            with anyio.CancelScope() as scope:
                scope.cancel()
                try:
                    await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True), pytest.raises(ZeroDivisionError):
                        async with keystore.session(rid(), SIGN):
                            provider.hangs = True
                            raise ZeroDivisionError
            assert scope.cancelled_caught
            assert provider.sessions == 0

        await with_key(provider, leave)

    run(main, backend, settings)


@pytest.mark.usefixtures("no_farewell")
@pytest.mark.asyncio
async def test_a_block_after_a_swallowed_cancellation_is_not_left_as_a_cancelled_one() -> None:
    """The task goes on, as if it had not been cancelled."""
    provider = Late()

    async def leave(keystore: huks.Keystore) -> None:
        begun = anyio.Event()

        async def work() -> None:
            begun.set()
            with pytest.raises(asyncio.CancelledError):
                await anyio.sleep_forever()
            with pytest.raises(ZeroDivisionError):
                async with keystore.session(rid(), SIGN):
                    provider.hangs = True
                    raise ZeroDivisionError
            assert provider.sessions == 0

        task = asyncio.ensure_future(work())
        await begun.wait()
        task.cancel()
        await task

    await with_key(provider, leave)


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
@pytest.mark.parametrize("begun", [False, True], ids=["not begun", "begun"])
@pytest.mark.parametrize("end", ["closed", "unregistered"])
def test_no_call_at_a_provider_outlives_its_end(
    end: str, begun: bool, backend: str, settings: dict[str, Any]
) -> None:
    """One that the event loop makes for a block in a generator that was left, in a task by itself."""

    class Ends(MemoryProvider):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[str] = []
            self.began, self.closed = anyio.Event(), anyio.Event()

        async def onFinishSession(self, *args: Any) -> HuksCryptoExtensionResult:
            self.told.append("finish")
            self.began.set()
            await self.closed.wait()
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            self.told.append("finished")
            return await super().onFinishSession(*args)

        async def onCloseResource(self, *args: Any) -> HuksCryptoExtensionResult:
            self.told.append("close")
            self.closed.set()
            return await super().onCloseResource(*args)

        async def onDisconnect(self) -> None:
            self.told.append("disconnect")

    async def main() -> None:
        provider = Ends()

        async def leave(keystore: huks.Keystore) -> None:
            async def parts() -> AsyncGenerator[None, None]:
                async with keystore.session(rid(), SIGN):
                    yield

            async with aclosing(parts()) as generator:
                await anext(generator)
            if begun:
                await provider.began.wait()
            else:
                provider.closed.set()
            if end == "unregistered":
                await keystore.unregisterProvider(NAME)

        await with_key(provider, leave)
        told = list(provider.told)
        assert told[-1] == "disconnect"
        assert told == (["finish", "close", "finished", "disconnect"] if begun else told)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert provider.told == told

    run(main, backend, settings)


HANDLE_IS_GONE = HuksCryptoExtensionResult(
    HuksCryptoExtensionResultCode.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST
)


async def import_with_a_handle_gone(keystore: huks.Keystore, provider: MemoryProvider) -> None:
    """An import after which nobody knows which of its two keys the provider does not know any more."""
    await keystore.openResource(rid("new"))
    provider.answers["onImportWrappedKeyItem"] = HANDLE_IS_GONE
    provider.hangs = True  # type: ignore[attr-defined]
    await keystore.importWrappedKeyItem(rid("new"), rid(), external(b"wrapped", ALGORITHM=20))


@pytest.mark.usefixtures("no_farewell")
@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_the_keys_of_a_failed_import_are_closed_at_a_provider_that_takes_its_time(
    backend: str, settings: dict[str, Any]
) -> None:
    """Nobody has cancelled it; keys of a provider that took more than a second stayed open there."""

    async def main() -> None:
        provider = Late()

        async def fail(keystore: huks.Keystore) -> None:
            with refused(12000011):
                await import_with_a_handle_gone(keystore, provider)
            assert provider.open_resources == 0

        await with_key(provider, fail)

    run(main, backend, settings)


@pytest.mark.usefixtures("no_farewell")
@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
@pytest.mark.parametrize("how", ["it raised", "its block was left"])
def test_a_session_that_ends_with_a_call_ends_at_a_provider_that_takes_its_time(
    how: str, backend: str, settings: dict[str, Any]
) -> None:
    """Nobody has cancelled it; a session of a provider that took more than a second stayed open there."""

    async def main() -> None:
        provider = Late()

        async def fail(keystore: huks.Keystore) -> None:
            handle = (await keystore.initSession(rid(), SIGN)).handle
            provider.hangs = True

            async def leave(*args: Any) -> HuksCryptoExtensionResult:
                if how == "it raised":
                    raise RuntimeError
                await keystore._session_parts().leave(handle, None)
                return HuksCryptoExtensionResult()

            provider.onUpdateSession = leave  # type: ignore[method-assign]
            if how == "it raised":
                with refused(12000020):
                    await keystore.updateSession(handle, external(b"x"))
            else:
                await keystore.updateSession(handle, external(b"x"))
            assert provider.sessions == 0

        await with_key(provider, fail)

    run(main, backend, settings)


@pytest.mark.asyncio
async def test_both_keys_of_a_failed_import_are_closed_if_its_task_is_cancelled_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By `Task.cancel()` while the first one is being closed; the second one stayed open at the provider."""
    monkeypatch.setattr(service, "_LONGEST_FAREWELL", 50)

    class Once(Late):
        """It hangs once."""

        began = asyncio.Event()

        async def onClearUkeyPinAuthState(self, *args: Any) -> HuksCryptoExtensionResult:
            if self.hangs and not self.began.is_set():
                self.began.set()
                await anyio.sleep_forever()
            return await super().onClearUkeyPinAuthState(*args)

    provider = Once()

    async def fail(keystore: huks.Keystore) -> None:
        task = asyncio.ensure_future(import_with_a_handle_gone(keystore, provider))
        await provider.began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert provider.open_resources == 0

    await with_key(provider, fail)
