"""Calls that wait for what the program has implemented itself end when the keystore closes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

import huks_async as huks
from huks_async import HuksCipherMode
from huks_async.testing import EverybodyAuthenticator
from tests.access.support import PIN, data, generate, open_session
from tests.keystore.support import AES_CBC, options
from tests.keystore.test_loops import BACKENDS, run, threads_of_ours, wait_until
from tests.loops import swallow_a_cancellation

PORTABLE = options(**AES_CBC, IS_ALLOWED_WRAP=True)
WRAPPING = options(KEY_WRAP_TYPE=2)


class Silence:
    """Whether questions are answered; if not, they wait for ever."""

    def __init__(self) -> None:
        self.falls = False
        self.asked = 0

    async def keep(self) -> None:
        """Wait for ever if it has fallen."""
        if self.falls:
            self.asked += 1
            await anyio.sleep_forever()


class SilentAuthenticator(EverybodyAuthenticator):
    """Stops answering when told to."""

    def __init__(self, silence: Silence) -> None:
        super().__init__()
        self._silence = silence

    async def enrolled(self, *about: Any) -> Any:
        await self._silence.keep()
        return await super().enrolled(*about)

    async def authenticate(self, *about: Any) -> Any:
        await self._silence.keep()
        return await super().authenticate(*about)


class SilentRootKey(huks.PassphraseRootKey):
    """Stops answering when told to."""

    def __init__(self, silence: Silence) -> None:
        super().__init__("secret words", log_n=10)
        self._silence = silence

    async def wrap(self, key: bytes) -> bytes:
        await self._silence.keep()
        return await super().wrap(key)

    async def unwrap(self, wrapped: bytes) -> bytes:
        await self._silence.keep()
        return await super().unwrap(wrapped)


swallowed_before = pytest.mark.parametrize("swallowed", [False, True], ids=["", "after one was swallowed"])

CALLS: dict[str, Callable[[huks.Keystore, dict[str, Any]], Awaitable[object]]] = {
    "authenticate": lambda keystore, made: keystore.authenticate(bytes(32), "1234"),
    "a new key of a user": lambda keystore, made: generate(keystore, "new"),
    "a new key that needs a PIN": lambda keystore, made: generate(
        keystore, "new", IS_DEVICE_PASSWORD_SET=True
    ),
    "a session that needs a PIN": lambda keystore, made: open_session(keystore, "pin"),
    "finish behind a gate": lambda keystore, made: keystore.finishSession(
        made["session"].handle, data(b"text"), made["token"]
    ),
    "wrap": lambda keystore, made: keystore.wrapKeyItem("portable", WRAPPING),
    "unwrap": lambda keystore, made: keystore.unwrapKeyItem("new", WRAPPING, made["blob"]),
    "backup": lambda keystore, made: keystore.backup(made["copy"]),
}


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_nothing_waits_for_who_does_not_answer(
    tmp_path: Path, backend: str, settings: dict[str, Any]
) -> None:
    """Each call that waits is told 12000012 and leaves nothing; the keystore opens again and does it all."""
    silence = Silence()

    async def main() -> None:
        authenticator = SilentAuthenticator(silence)
        authenticator.enroll(100)
        keystore = huks.Keystore.open(
            f"sqlite:///{tmp_path}/keys.db",
            SilentRootKey(silence),
            wrapping_key=SilentRootKey(silence),
            authenticator=authenticator,
            monitor=False,
        )
        await keystore.aopen()
        await generate(keystore, "pin", USER_AUTH_TYPE=PIN, IS_DEVICE_PASSWORD_SET=True)
        await keystore.generateKeyItem("portable", PORTABLE)

        async def prepare() -> dict[str, Any]:
            session = await open_session(keystore, "pin")
            return {
                "blob": (await keystore.wrapKeyItem("portable", WRAPPING)).outData,
                "session": session,
                "token": await keystore.authenticate(session.challenge, "1234"),
                "copy": tmp_path / "copy.db",
            }

        made = await prepare()
        told: dict[str, str] = {}

        async def attempt(name: str) -> None:
            try:
                await CALLS[name](keystore, made)
            except huks.BusinessError as error:
                told[name] = f"{error.code} {error.message}"

        silence.falls = True
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for name in CALLS:
                    tasks.start_soon(attempt, name)
                while silence.asked < len(CALLS):
                    await anyio.sleep(0.001)
                await keystore.aclose()
        silence.falls = False
        assert told.keys() == CALLS.keys()
        for name, message in told.items():
            assert message.startswith("12000012 "), (name, message)
            assert "was closed before the " in message, (name, message)
        assert not (tmp_path / "copy.db").exists()
        await keystore.aopen()
        assert (await keystore.listAliases(options())).keyAliases == ["pin", "portable"]
        made = await prepare()
        for call in CALLS.values():
            await call(keystore, made)
        await keystore.aclose()

    run(main, backend, settings)
    wait_until(lambda: threads_of_ours() == 0)


@swallowed_before
def test_a_cancellation_that_is_not_the_callers_ends_no_task_of_it(swallowed: bool) -> None:
    """What the authenticator awaited was cancelled: nobody is let in, and the caller is told why."""

    class Lost(EverybodyAuthenticator):
        async def authenticate(self, *about: Any) -> Any:
            waited = asyncio.ensure_future(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(waited.cancel)
            return await waited

    async def main() -> None:
        async with huks.Keystore.open("memory:", authenticator=Lost(), monitor=False) as keystore:
            with pytest.raises(huks.BusinessError, match="nobody was let in") as told:
                if swallowed:
                    await swallow_a_cancellation()
                await keystore.authenticate(bytes(32), "1234")
            assert told.value.code == 12000015

    asyncio.run(main())


@swallowed_before
@pytest.mark.parametrize("method", ["open", "wrap", "unwrap", "aclose"])
def test_a_root_key_that_meets_somebody_elses_cancellation_is_told_as_its_failure(
    method: str, swallowed: bool
) -> None:
    """12000004 from opening, closing, `wrapKeyItem` and `unwrapKeyItem`; nobody's task is cancelled."""
    lost: list[str] = []

    async def meet(now: str) -> None:
        if now in lost:
            waited = asyncio.ensure_future(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(waited.cancel)
            await waited

    class Lost(huks.PassphraseRootKey):
        async def open(self, *, new: bool = True) -> None:
            await meet("open")

        async def aclose(self) -> None:
            await meet("aclose")
            await super().aclose()

        async def wrap(self, key: bytes) -> bytes:
            await meet("wrap")
            return await super().wrap(key)

        async def unwrap(self, wrapped: bytes) -> bytes:
            await meet("unwrap")
            return await super().unwrap(wrapped)

    async def refused(call: Awaitable[object]) -> None:
        with pytest.raises(huks.BusinessError, match=f"Lost.{method} awaited what somebody else") as told:
            await call
        assert told.value.code == 12000004

    async def main() -> None:
        if swallowed:
            await swallow_a_cancellation()
        keys = Lost("secret words", log_n=10), Lost("secret words", log_n=10)
        for root_key, wrapping_key in ((keys[0], None), (huks.EphemeralRootKey(), keys[1])):
            keystore = huks.Keystore.open("memory:", root_key, wrapping_key=wrapping_key, monitor=False)
            if method != "aclose" and (wrapping_key is None or method == "open"):
                lost.append(method)
                await refused(keystore.aopen())
                assert not keystore.is_open
                lost.clear()
            await keystore.aopen()
            if method == "aclose":
                lost.append(method)
                await refused(keystore.aclose())
                assert not keystore.is_open
                lost.clear()
            elif wrapping_key is not None and method != "open":
                await keystore.generateKeyItem("key", PORTABLE)
                blob = (await keystore.wrapKeyItem("key", WRAPPING)).outData
                lost.append(method)
                if method == "wrap":
                    await refused(keystore.wrapKeyItem("key", WRAPPING))
                else:
                    await refused(keystore.unwrapKeyItem("new", WRAPPING, blob))
                lost.clear()
            await keystore.aclose()

    asyncio.run(main())


def test_a_cancellation_of_somebody_else_at_the_moment_of_closing_ends_no_task() -> None:
    """The caller is told that the keystore was closed, whatever the authenticator's wait ends with."""
    asked: list[asyncio.Future[Any]] = []

    class Lost(EverybodyAuthenticator):
        async def authenticate(self, *about: Any) -> Any:
            asked.append(asyncio.get_running_loop().create_future())
            return await asked[0]

    async def main() -> None:
        keystore = huks.Keystore.open("memory:", authenticator=Lost(), monitor=False)
        await keystore.aopen()
        call = asyncio.ensure_future(keystore.authenticate(bytes(32), "1234"))
        while not asked:
            await asyncio.sleep(0)
        asked[0].cancel()
        await keystore.aclose()
        with pytest.raises(huks.BusinessError, match="was closed before the authenticator") as told:
            await call
        assert told.value.code == 12000012

    asyncio.run(main())


@pytest.mark.asyncio
async def test_a_stream_that_is_overtaken_names_the_keystore() -> None:
    """Not the worker pool, which nobody opens or closes by itself."""
    begun, proceed = asyncio.Event(), asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(3_000_000)
        begun.set()
        await proceed.wait()
        yield bytes(3_000_000)

    async def sealed(keystore: huks.Keystore) -> None:
        async for _ in keystore.encrypt_stream("key", pieces()):
            pass

    keystore = huks.Keystore.open("memory:", huks.EphemeralRootKey(), monitor=False)
    await keystore.aopen()
    await keystore.generateKeyItem("key", options(**AES_CBC | {"BLOCK_MODE": HuksCipherMode.HUKS_MODE_GCM}))
    call = asyncio.create_task(sealed(keystore))
    await begun.wait()
    await keystore.aclose()
    proceed.set()
    with pytest.raises(huks.BusinessError, match="the keystore was closed meanwhile") as caught:
        await call
    assert caught.value.code == 12000012
