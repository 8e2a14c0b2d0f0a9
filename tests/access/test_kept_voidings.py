"""Tokens that a change of credentials has voided stay void: for keystores opened later, and in other processes."""

import asyncio
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import pytest

from huks_async import Keystore
from huks_async.access import AuthTokenKeys, PinAuthenticator, attempts, voidings
from huks_async.testing import EverybodyAuthenticator
from tests.access.conftest import CIPHER_KEY, MAC_KEY, Clock
from tests.access.support import ALWAYS, NONE, PIN_KEY, finish, generate, open_session, refused
from tests.access.test_changed_meanwhile import Slow

pytestmark = pytest.mark.asyncio

ANY_TIME = {**PIN_KEY, "KEY_AUTH_ACCESS_TYPE": ALWAYS, "CHALLENGE_TYPE": NONE, "AUTH_TIMEOUT": 3600}
GIVEN = AuthTokenKeys(MAC_KEY, CIPHER_KEY)


class Processes:
    """Keystores on one file, each as if in a process of its own."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._address = f"sqlite:///{path}/keys.db"
        self._monkeypatch = monkeypatch

    def opened(self, authenticator: Any, token_keys: Any = "store", **values: Any) -> Keystore:
        """One more, whose block is to be entered next."""
        self._monkeypatch.setattr(voidings, "_of_stores", WeakValueDictionary())
        return Keystore.open(
            self._address, authenticator=authenticator, token_keys=token_keys, monitor=False, **values
        )


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Processes:
    """What opens keystores."""
    return Processes(tmp_path, monkeypatch)


@pytest.mark.parametrize("token_keys", ["store", GIVEN])
async def test_a_restart_makes_no_token_good_again(processes: Processes, token_keys: Any) -> None:
    """The PIN is cleared and another one enrolled; the keystore that opens next refuses tokens of before."""
    pin = PinAuthenticator()
    async with processes.opened(pin, token_keys) as keystore:
        await pin.enroll(keystore, 100, "pin one")
        await generate(keystore, **ANY_TIME)
        token = await keystore.authenticate(b"", "pin one")
    async with processes.opened(pin, token_keys) as keystore:
        await finish(keystore, await open_session(keystore), token)
        await pin.clear(keystore, 100)
        await pin.enroll(keystore, 100, "pin two")
    async with processes.opened(pin, token_keys) as keystore:
        await refused(finish(keystore, await open_session(keystore), token), 12000008)
        token = await keystore.authenticate(b"", "pin two")
        await finish(keystore, await open_session(keystore), token)


@pytest.mark.parametrize("vouches", [True, False])
async def test_another_process_on_the_store(processes: Processes, vouches: bool) -> None:
    """It refuses them from the change on, whether or not it has an authenticator; it makes no token over a change."""
    pin = PinAuthenticator()
    async with (
        processes.opened(pin, GIVEN) as keystore,
        processes.opened(pin if vouches else None, GIVEN) as other,
    ):
        await pin.enroll(keystore, 100, "pin one")
        await generate(keystore, **ANY_TIME)
        token = await keystore.authenticate(b"", "pin one")
        for _ in range(2):
            await finish(other, await open_session(other), token)
        begun = await open_session(other)
        await pin.clear(keystore, 100)
        await refused(finish(other, begun, token), 12000008)
        await pin.enroll(keystore, 100, "pin one")
        await refused(finish(other, await open_session(other), token), 12000008)
        await finish(other, await open_session(other), await keystore.authenticate(b"", "pin one"))


async def test_a_change_in_another_process_while_a_credential_is_checked(processes: Processes) -> None:
    """No token is made, also where an authenticator does not look again."""
    slow, quick = Slow(), EverybodyAuthenticator()
    async with processes.opened(quick) as keystore, processes.opened(slow) as other:
        asking = asyncio.create_task(other.authenticate(b"", "x"))
        await slow.asked.wait()
        await keystore.auth_host.void_tokens(100)
        slow.go.set()
        await refused(asking, 12000008)
        await other.authenticate(b"", "x")


async def test_a_process_that_ends_in_the_midst_of_a_change(processes: Processes) -> None:
    """Once the change is written the tokens are void, though the process came to nothing after it."""
    pin = PinAuthenticator()

    class Ended:
        """What the keystore lends, in a process that ends when the user's record is gone."""

        def __init__(self, keystore: Keystore) -> None:
            host: Any = keystore.auth_host
            self.vault, self.auth_host, self.run = self, self, host.run
            self._host, self.get, self._is_over = host, host.vault.get, False

        async def delete(self, name: str, *, expect: int) -> None:
            await self._host.vault.delete(name, expect=expect)
            self._is_over = name == "user/100"

        async def void_tokens(self, user_id: int) -> None:
            if not self._is_over:
                await self._host.void_tokens(user_id)

        def credentials_changed(self, user_id: int) -> None:
            assert self._is_over

    async with processes.opened(pin) as keystore:
        await pin.enroll(keystore, 100, "pin one")
        await generate(keystore, **ANY_TIME)
        token = await keystore.authenticate(b"", "pin one")
        await refused(pin.enroll(keystore, 100, "pin one"), 12000017)
        await finish(keystore, await open_session(keystore), token)
        await PinAuthenticator().clear(Ended(keystore), 100)
    async with processes.opened(pin) as keystore:
        await refused(finish(keystore, await open_session(keystore), token), 12000008)


async def test_moments_of_other_starts_of_the_machine(
    processes: Processes, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """Their clocks are others: tokens of this start are good. What was voided in one start is known when it goes on."""
    quick = EverybodyAuthenticator()
    quick.enroll(100)
    starts = {bytes([number]) * 16: 100_000.0 - number for number in range(1, 20)}
    tokens = {}
    for start, clock.now in starts.items():
        monkeypatch.setattr(attempts, "boot_id", lambda start=start: start)
        async with processes.opened(quick, GIVEN, clock=clock) as keystore:
            await generate(keystore, **ANY_TIME)
            tokens[start] = await keystore.authenticate(b"", "x")
            await finish(keystore, await open_session(keystore), tokens[start])
            await keystore.auth_host.void_tokens(100)
    start, token = list(tokens.items())[-10]
    clock.now = starts[start]
    monkeypatch.setattr(attempts, "boot_id", lambda: start)
    async with processes.opened(quick, GIVEN, clock=clock) as keystore:
        await refused(finish(keystore, await open_session(keystore), token), 12000008)


async def test_the_store_is_asked_only_after_writes(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens are admitted without a look into the store while nobody writes to it."""
    quick = EverybodyAuthenticator()
    quick.enroll(100)
    async with processes.opened(quick) as keystore:
        vault: Any = keystore.auth_host.vault
        asked, get = [], vault.get

        async def noted(name: str) -> Any:
            asked.append(name)
            return await get(name)

        monkeypatch.setattr(vault, "get", noted)
        await generate(keystore, **ANY_TIME)
        token = await keystore.authenticate(b"", "x")
        for _ in range(5):
            await finish(keystore, await open_session(keystore), token)
        assert asked == ["voided/100"]
