"""Calls on a keystore by a task that the garbage collector ends: there nothing may wait."""

import types
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import huks_async as huks
from huks_async.testing.memory_provider import MemoryProvider
from tests import loops
from tests.adversity import support
from tests.conformance.support import options
from tests.garbage import close
from tests.providers.support import ABILITY, ABILITY_PARAM, NAME, external, pin, rid

Call = Callable[[Any], Awaitable[object]]


class Remote(MemoryProvider):
    """Is asked over a socket, and notes what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if not name.startswith("on"):
            return method

        async def ask(*args: Any) -> Any:
            self.asked.append(name)
            await anyio.lowlevel.checkpoint()
            return await method(*args)

        return ask


@types.coroutine
def pause() -> Any:
    yield


async def left(keystore: Any, call: Call, ended: list[BaseException | None]) -> None:
    try:
        await pause()
    finally:
        try:
            await call(keystore)
        except BaseException as error:
            ended.append(error)
            raise
        ended.append(None)


async def opened(provider: Remote, keystore: huks.Keystore, caller: Any) -> None:
    await keystore.registerProvider(NAME, [ABILITY_PARAM])
    await caller.openResource(rid())
    await caller.authUkeyPin(rid(), pin())
    await caller.generateKeyItem(rid(), external(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3))
    provider.asked.clear()


ENDS: dict[str, tuple[Call, str]] = {
    "closeResource": (lambda keystore: keystore.closeResource(rid()), "onCloseResource"),
    "clearUkeyPinAuthState": (
        lambda keystore: keystore.clearUkeyPinAuthState(rid()),
        "onClearUkeyPinAuthState",
    ),
    "unregisterProvider": (lambda keystore: keystore.unregisterProvider(NAME), "onDisconnect"),
}


@pytest.mark.parametrize("loop", loops.LOOPS)
@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["this thread", "another thread"])
@pytest.mark.parametrize("for_caller", [False, True])
def test_the_event_loop_ends_what_they_end(loop: Any, name: str, elsewhere: bool, for_caller: bool) -> None:
    """The call waited in the task that ran meanwhile: it broke that task's scopes, and cancelled it after its time."""
    provider = Remote()
    call, method = ENDS[name]

    async def main() -> None:
        async with huks.Keystore.open("memory:", monitor=False, abilities={ABILITY: provider}) as keystore:
            caller = keystore.for_caller("default") if for_caller else keystore
            await opened(provider, keystore, caller)
            ended: list[BaseException | None] = []
            coroutine = left(caller, call, ended)
            coroutine.send(None)
            with anyio.fail_after(60):
                close(coroutine, elsewhere=elsewhere)
                assert ended == [None]
                while method not in provider.asked:
                    await anyio.sleep(0.001)

    loops.runner(loop)(main)


@pytest.mark.parametrize("loop", loops.LOOPS)
def test_nothing_is_ended_of_a_keystore_that_is_closed_meanwhile(loop: Any, caplog: Any) -> None:
    async def main() -> None:
        provider = Remote()
        keystore = huks.Keystore.open("memory:", monitor=False, abilities={ABILITY: provider})
        async with keystore:
            await opened(provider, keystore, keystore)
            ended: list[BaseException | None] = []
            coroutines = [left(keystore, ENDS["closeResource"][0], ended) for _ in range(2)]
            for coroutine in coroutines:
                coroutine.send(None)
            coroutines[0].close()
        coroutines[1].close()
        await anyio.lowlevel.checkpoint()
        assert ended == [None, None]
        assert provider.asked.count("onCloseResource") == 1

    loops.runner(loop)(main)
    assert not caplog.records


ASK: dict[str, Call] = {
    "registerProvider": lambda keystore: keystore.registerProvider("other", [ABILITY_PARAM]),
    "openResource": lambda keystore: keystore.openResource(rid("other")),
    "authUkeyPin": lambda keystore: keystore.authUkeyPin(rid(), pin()),
    "getUkeyPinAuthState": lambda keystore: keystore.getUkeyPinAuthState(rid()),
    "getProperty": lambda keystore: keystore.getProperty(rid(), "SKF_GetDevInfo"),
    "initSession": lambda keystore: keystore.initSession(rid(), external(ALGORITHM=20, PURPOSE=1)),
    "exportKeyItem": lambda keystore: keystore.exportKeyItem(rid(), external()),
    "generateKeyItem": lambda keystore: keystore.generateKeyItem(
        rid(), external(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3)
    ),
}


@pytest.mark.parametrize("loop", loops.LOOPS)
@pytest.mark.parametrize("name", ASK)
def test_a_provider_is_not_asked_for_anything_else(loop: Any, name: str) -> None:
    async def main() -> None:
        provider = Remote()
        async with huks.Keystore.open("memory:", monitor=False, abilities={ABILITY: provider}) as keystore:
            await opened(provider, keystore, keystore)
            ended: list[BaseException | None] = []
            coroutine = left(keystore, ASK[name], ended)
            coroutine.send(None)
            with anyio.fail_after(60):
                coroutine.close()
                assert [type(error) for error in ended] == [GeneratorExit]
                await anyio.lowlevel.checkpoint()
            assert not provider.asked

    loops.runner(loop)(main)


RSA = options(ALGORITHM=1, KEY_SIZE=3072, PURPOSE=12, DIGEST=12, PADDING=2)
AES = options(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3)
OWN: dict[str, Call] = {
    "a process": lambda keystore: keystore.generateKeyItem("new", RSA),
    "the store": lambda keystore: keystore.generateKeyItem("new", AES),
    "a deletion": lambda keystore: keystore.deleteKeyItem("aes", {}),
    "a worker": lambda keystore: keystore.seal("aes", bytes(4_000_000)),
    "a root key": lambda keystore: keystore.wrapKeyItem("aes", options(KEY_WRAP_TYPE=2)),
    "a backup": lambda keystore: keystore.backup("backup.db"),
    "a keystore": lambda keystore: huks.Keystore.open("memory:", monitor=False).aopen(),
}


@pytest.mark.parametrize("loop", loops.LOOPS)
@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("store", ["memory:", "sqlite:///keystore.db"])
def test_a_call_that_would_wait_ends_the_task_and_changes_nothing(
    loop: Any, name: str, store: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was begun, and Python reported that the task ignored its end."""
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        async with huks.Keystore.open(store, monitor=False, wrapping_key=huks.EphemeralRootKey()) as keystore:
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            ended: list[BaseException | None] = []
            coroutine = left(keystore, OWN[name], ended)
            coroutine.send(None)
            with anyio.fail_after(60):
                coroutine.close()
                assert [type(error) for error in ended] == [GeneratorExit]
                await anyio.lowlevel.checkpoint()
            assert await keystore.hasKeyItem("aes", {})
            assert not await keystore.hasKeyItem("new", {})
            assert not [*tmp_path.glob("backup*")]

    loops.runner(loop)(main)
