"""Credentials that change while one is being checked, or while a token of theirs is on its way: it opens nothing."""

import asyncio
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from huks_async import BusinessError, Keystore
from huks_async.access import AuthRequest, PinAuthenticator, Vouched
from huks_async.testing import EverybodyAuthenticator
from tests.access.conftest import Clock
from tests.access.support import (
    ALWAYS,
    GCM_KEY,
    NONE,
    PIN,
    PIN_KEY,
    Meddler,
    finish,
    generate,
    open_session,
    refused,
)
from tests.access.support import options as made_with
from tests.access.test_oidc import CHALLENGE, Issuer, issuer, keys
from tests.access.test_totp import SECRET, Now, code_at

__all__ = ["issuer", "keys"]

pytestmark = pytest.mark.asyncio

ANY_TIME = {**PIN_KEY, "KEY_AUTH_ACCESS_TYPE": ALWAYS, "CHALLENGE_TYPE": NONE, "AUTH_TIMEOUT": 3600}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("kind", ["pin", "totp", "oidc"])
async def test_another_process_removes_what_is_being_checked(issuer: Issuer, kind: str, again: bool) -> None:
    """12000008, also where the user was given the same credential anew: it is another one."""
    now = Now()
    pin, totp, oidc = PinAuthenticator(), now.authenticator(), issuer.authenticator()
    checked: Any = {"pin": pin, "totp": totp, "oidc": oidc}[kind]
    code = code_at(now.wall)
    shown = {"pin": "pin one", "totp": code, "oidc": issuer.token()}[kind]
    async with Keystore.open("memory:", authenticator=checked, monitor=False) as keystore:

        async def enroll() -> None:
            await pin.enroll(keystore, 100, "pin one")
            await totp.enroll(keystore, 100, account="a", issuer="b", secret=SECRET)
            await oidc.enroll(keystore, 100, "ana")

        async def remove() -> None:
            for one in (pin, totp, oidc):
                await one.clear(keystore, 100)
            if again:
                await enroll()

        await enroll()
        request = AuthRequest(CHALLENGE, PIN, 100)
        last = "oidc-used/100" if kind == "oidc" else f"{kind}-attempts/100"
        happened = False

        async def once() -> None:
            nonlocal happened
            # the first write of codes and PINs counts the guess, and comes before the record is read
            if kind == "oidc" or happened:
                await remove()
            happened = True

        await refused(checked.authenticate(Meddler(keystore, last, once), request, shown), 12000008)


@pytest.mark.parametrize("is_new", [False, True], ids=["the old one", "the new one"])
@pytest.mark.parametrize("kind", ["pin", "totp"])
async def test_another_process_gives_a_new_one_before_the_guess_is_compared(kind: str, is_new: bool) -> None:
    """A guess is compared with what is there once it was counted: the old one is wrong, and stays counted."""
    now = Now()
    pin, totp = PinAuthenticator(), now.authenticator()
    checked: Any = pin if kind == "pin" else totp
    secrets = [SECRET, SECRET[::-1]]
    async with Keystore.open("memory:", authenticator=checked, monitor=False) as keystore:

        async def enroll(which: int) -> None:
            await pin.enroll(keystore, 100, f"pin {which}")
            await totp.enroll(keystore, 100, account="a", issuer="b", secret=secrets[which])

        happened = False

        async def once() -> None:
            nonlocal happened
            if not happened:
                happened = True
                await pin.clear(keystore, 100)
                await totp.clear(keystore, 100)
                await enroll(1)

        await enroll(0)
        shown = f"pin {int(is_new)}" if kind == "pin" else code_at(now.wall, secrets[is_new])
        host: Any = Meddler(keystore, f"{kind}-attempts/100", once)
        checking = checked.authenticate(host, AuthRequest(CHALLENGE, PIN, 100), shown)
        if is_new:
            assert (await checking).trust_level > 0
        else:
            await refused(checking, 12000008)
        assert happened
        counted = await keystore.auth_host.vault.get(f"{kind}-attempts/100")
        assert (counted is None) == is_new


class Slow(EverybodyAuthenticator):
    """Waits before it answers for user 100, and has looked at what is enrolled before."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = asyncio.Event(), asyncio.Event()
        self.enroll(100)

    async def authenticate(self, host: Any, request: AuthRequest, credential: Any) -> Vouched:
        vouched = await super().authenticate(host, request, credential)
        self.asked.set()
        await self.go.wait()
        return vouched


@pytest.mark.parametrize("user", [100, 101])
async def test_credentials_change_while_one_is_checked(user: int) -> None:
    """Whatever the authenticator found, no token is made for the user: it would be younger than the change."""
    slow = Slow()
    async with Keystore.open("memory:", authenticator=slow, monitor=False) as keystore:
        await generate(keystore, **ANY_TIME)
        asking = asyncio.create_task(keystore.authenticate(b"", "x"))
        await slow.asked.wait()
        keystore.auth_host.credentials_changed(user)
        slow.go.set()
        if user == 100:
            await refused(asking, 12000008)
        else:
            await finish(keystore, await open_session(keystore), await asking)
        await finish(keystore, await open_session(keystore), await keystore.authenticate(b"", "x"))


class Halfway(EverybodyAuthenticator):
    """Stops once before it answers, until the coroutine that awaits it is sent on."""

    stopped = False

    async def authenticate(self, host: Any, request: AuthRequest, credential: Any) -> Vouched:
        vouched = await super().authenticate(host, request, credential)
        self.stopped = True
        await _stop()
        return vouched


@types.coroutine
def _stop() -> Any:
    yield


@pytest.mark.parametrize("reading", ["of the token", "of the change"])
async def test_credentials_change_in_another_thread_while_a_token_is_dated(reading: str) -> None:
    """The clock is read for the token and for the change; whatever comes between, no token outlives the change."""
    meanwhile: list[Callable[[], None]] = []
    now = 1000.0

    def clock() -> float:
        nonlocal now
        read, now = now, now + 0.005
        if meanwhile:
            meanwhile.pop()()
        return read

    codes = []
    halfway = Halfway()
    halfway.enroll(100)
    async with Keystore.open("memory:", authenticator=halfway, clock=clock, monitor=False) as keystore:
        asking = keystore.authenticate(b"", "x")
        while not halfway.stopped:  # a look into the store comes first
            asking.send(None)

        def change() -> None:
            keystore.auth_host.credentials_changed(100)

        def go_on() -> None:
            with pytest.raises(BusinessError) as caught:
                asking.send(None)
            codes.append(caught.value.code)

        first, second = (go_on, change) if reading == "of the token" else (change, go_on)
        meanwhile.append(second)
        first()
    assert codes == [12000008]


async def test_tokens_of_the_moment_of_a_change(
    keystore: Keystore, authenticator: EverybodyAuthenticator, clock: Clock
) -> None:
    """One made before it is void although the clock has not moved; one made after it is good, however often."""
    await generate(keystore, **ANY_TIME)
    for _ in range(3):
        token = await keystore.authenticate(b"", "x")
        await finish(keystore, await open_session(keystore), token)
        keystore.auth_host.credentials_changed(100)
        await refused(finish(keystore, await open_session(keystore), token), 12000008)


@pytest.mark.parametrize("token_keys", [None, "store"])
async def test_a_change_through_another_keystore_of_the_process(tmp_path: Path, token_keys: Any) -> None:
    """It voids tokens of all keystores that the process has open on the store, bound to a challenge or not."""
    pin = PinAuthenticator()

    def opened(name: str = "keys.db") -> Keystore:
        address = f"sqlite:///{tmp_path}/{name}"
        return Keystore.open(address, authenticator=pin, token_keys=token_keys, monitor=False)

    async with opened() as one, opened() as other, opened("others.db") as stranger:
        for keystore in (one, stranger):
            await pin.enroll(keystore, 100, "pin one")
            await keystore.generateKeyItem("key", made_with(**GCM_KEY, **ANY_TIME))
            await keystore.generateKeyItem("bound", made_with(**GCM_KEY, **PIN_KEY))
        token, foreign = [await keystore.authenticate(b"", "pin one") for keystore in (other, stranger)]
        bound = await open_session(other, "bound")
        answer = await other.authenticate(bound.challenge, "pin one")
        await pin.clear(one, 100)
        await refused(finish(other, bound, answer), 12000008)
        await refused(finish(other, await open_session(other), token), 12000008)
        await finish(stranger, await open_session(stranger), foreign)


async def test_a_removal_that_is_cancelled_once_it_is_written() -> None:
    """It voids the tokens, too: nobody can tell that from one that was completed."""
    totp = Now().authenticator()
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        await totp.enroll(keystore, 100, account="a", issuer="b", secret=SECRET)
        await generate(keystore, **ANY_TIME)
        token = await keystore.authenticate(b"", code_at(Now().wall))

        async def cancelled() -> None:
            raise asyncio.CancelledError

        class Handle:
            auth_host = Meddler(keystore, "user/100", cancelled)

        with pytest.raises(asyncio.CancelledError):
            await totp.clear(Handle(), 100)
        with pytest.raises(BusinessError):
            await totp.clear(keystore, 100)
        await refused(finish(keystore, await open_session(keystore), token), 12000008)


@pytest.mark.parametrize("user", ["100", -1, 2**31, True])
async def test_who_is_no_user_has_no_tokens_to_void(keystore: Keystore, user: Any) -> None:
    """401, because nobody would notice that nothing was voided."""
    with pytest.raises(BusinessError) as caught:
        keystore.auth_host.credentials_changed(user)
    assert caught.value.code == 401
    await refused(keystore.auth_host.void_tokens(user), 401)
