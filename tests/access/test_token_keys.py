"""Whose tokens a keystore takes: its own, those of its store, those of an authenticator elsewhere."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from huks_async import BusinessError, Caller, Keystore
from huks_async.access import Enrolment, PinAuthenticator, Vouched, attempts
from huks_async.testing import EverybodyAuthenticator
from tests.access.support import (
    ALWAYS,
    GCM_KEY,
    GCM_SESSION,
    NONE,
    PIN_KEY,
    data,
    finish,
    open_session,
    options,
    refused,
)

pytestmark = pytest.mark.asyncio

ANY_TIME = {**PIN_KEY, "CHALLENGE_TYPE": NONE, "AUTH_TIMEOUT": 3600}


def authenticator() -> EverybodyAuthenticator:
    """One with which user 100 has enrolled a PIN; all have the same numbers."""
    made = EverybodyAuthenticator()
    made.enroll(100)
    return made


def opened(path: Path, token_keys: Any = None) -> Keystore:
    """A keystore on the file."""
    return Keystore.open(
        f"sqlite:///{path}/keys.db", authenticator=authenticator(), token_keys=token_keys, monitor=False
    )


async def test_tokens_end_with_the_keystore(tmp_path: Path) -> None:
    """By default each opening has keys of its own, also beside another one on the same store."""
    async with opened(tmp_path) as keystore, opened(tmp_path) as other:
        await keystore.generateKeyItem("key", options(**GCM_KEY, **ANY_TIME))
        token = await keystore.authenticate(b"", "x")
        await finish(keystore, await open_session(keystore), token)
        await refused(finish(other, await open_session(other), token), 12000008)
    async with opened(tmp_path) as keystore:
        await refused(finish(keystore, await open_session(keystore), token), 12000008)


async def test_tokens_of_the_store_end_with_the_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With token_keys="store" all keystores on it take them, until the machine starts anew."""
    async with opened(tmp_path, "store") as keystore, opened(tmp_path, "store") as other:
        await keystore.generateKeyItem("key", options(**GCM_KEY, **ANY_TIME))
        token = await keystore.authenticate(b"", "x")
        await finish(other, await open_session(other), token)
    async with opened(tmp_path, "store") as keystore:
        await finish(keystore, await open_session(keystore), token)
    (tmp_path / "elsewhere").mkdir()
    async with opened(tmp_path / "elsewhere", "store") as stranger:
        await stranger.generateKeyItem("key", options(**GCM_KEY, **ANY_TIME))
        await refused(finish(stranger, await open_session(stranger), token), 12000008)
    monkeypatch.setattr(attempts, "boot_id", lambda: b"another boot, 16")
    async with opened(tmp_path, "store") as keystore:
        await refused(finish(keystore, await open_session(keystore), token), 12000008)


async def test_a_system_that_does_not_tell_its_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There tokens of the store would outlive a restart of the machine, so it has none."""
    monkeypatch.setattr(attempts, "boot_id", lambda: bytes(16))
    with pytest.raises(BusinessError) as caught:
        async with opened(tmp_path, "store"):
            pass
    assert caught.value.code == 12000012
    assert "boot_id" in caught.value.message
    async with opened(tmp_path):
        pass


@pytest.mark.parametrize("wrong", [None, "1", 1.5])
async def test_an_authenticator_whose_numbers_are_none(wrong: Any) -> None:
    """It vouches for nobody, 12000015."""

    class Odd(EverybodyAuthenticator):
        async def authenticate(self, host: Any, request: Any, credential: Any) -> Vouched:
            good = await super().authenticate(host, request, credential)
            return dataclasses.replace(good, enrolled_id=wrong)

    odd = Odd()
    odd.enroll(100)
    async with Keystore.open("memory:", authenticator=odd, monitor=False) as keystore:
        await refused(keystore.authenticate(bytes(32), "x"), 12000015)


@pytest.mark.parametrize(
    "wrong",
    [
        Enrolment(2**64, {4: 1}),
        Enrolment("x", {4: 1}),  # type: ignore[arg-type]
        Enrolment(-1, {4: 1}),
        Enrolment(5, {4: -1}),
        Enrolment(5, {4: 2**64}),
        Enrolment(5, {2**32: 1, 4: 1}),
        Enrolment(5, {"pin": 1}),  # type: ignore[dict-item]
        Enrolment(5, None),  # type: ignore[arg-type]
    ],
)
async def test_an_authenticator_whose_enrolments_are_none(wrong: Enrolment) -> None:
    """No key is made for them, and none that asks for a PIN is used: 12000015."""

    class Odd(EverybodyAuthenticator):
        odd = False

        async def enrolled(self, host: Any, user_id: int) -> Enrolment:
            return wrong if self.odd else await super().enrolled(host, user_id)

    odd = Odd()
    odd.enroll(100)
    async with Keystore.open("memory:", authenticator=odd, monitor=False) as keystore:
        await keystore.generateKeyItem("pin", options(**GCM_KEY, IS_DEVICE_PASSWORD_SET=True))
        odd.odd = True
        await refused(keystore.generateKeyItem("key", options(**GCM_KEY, **PIN_KEY)), 12000015)
        await refused(open_session(keystore, "pin"), 12000015)


async def test_tokens_belong_to_one_session() -> None:
    """Replayed in the same key's next session, in another key's, after its session ended: 12000008, 12000011."""
    async with Keystore.open("memory:", authenticator=authenticator(), monitor=False) as keystore:
        for alias in ("key", "other"):
            await keystore.generateKeyItem(alias, options(**GCM_KEY, **PIN_KEY))
        session = await open_session(keystore)
        token = await keystore.authenticate(session.challenge, "x")
        beside = await open_session(keystore)
        await refused(finish(keystore, beside, token), 12000008)
        await refused(finish(keystore, await open_session(keystore, "other"), token), 12000008)
        await finish(keystore, session, token)
        await refused(finish(keystore, session, token), 12000011)
        await refused(finish(keystore, await open_session(keystore), token), 12000008)
        aborted = await open_session(keystore)
        token = await keystore.authenticate(aborted.challenge, "x")
        await keystore.abortSession(aborted.handle, data(b""))
        await refused(finish(keystore, aborted, token), 12000011)
        await refused(finish(keystore, await open_session(keystore), token), 12000008)


class ActsForAnybody:
    """A policy under which callers may act for any user."""

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        """Yes."""
        return True

    def groups_of(self, caller: Caller) -> list[str]:
        """None."""
        return []


async def test_keys_of_another_user_take_that_user_s_tokens() -> None:
    """A key made with …AsUser is bound to that user, by whichever access type."""
    vouching = authenticator()
    vouching.enroll(101)
    async with Keystore.open(
        "memory:", authenticator=vouching, policy=ActsForAnybody(), monitor=False
    ) as keystore:
        for access in (1, ALWAYS):
            key = {**GCM_KEY, **PIN_KEY, "KEY_AUTH_ACCESS_TYPE": access}
            await keystore.generateKeyItemAsUser(101, "key", options(**key))
            for user, code in ((101, 0), (100, 12000007)):
                session = await keystore.initSessionAsUser(101, "key", options(**GCM_SESSION))
                token = await keystore.authenticate(session.challenge, "x", user_id=user)
                call = finish(keystore, session, token)
                await (refused(call, code) if code else call)


async def test_a_key_that_is_void_takes_no_older_token_in_another_process(tmp_path: Path) -> None:
    """Tokens of a window outlive the PIN they were made with, and the key with it; the key must not, wherever it is used."""
    pin = PinAuthenticator()

    def fresh() -> Keystore:
        return Keystore.open(
            f"sqlite:///{tmp_path}/keys.db", authenticator=pin, token_keys="store", monitor=False
        )

    async with fresh() as keystore, fresh() as other:
        await pin.enroll(keystore, 100, "pin one")
        await keystore.generateKeyItem("key", options(**GCM_KEY, **ANY_TIME))
        token = await keystore.authenticate(b"", "pin one")
        await finish(other, await open_session(other), token)
        early = await open_session(other)
        await pin.clear(keystore, 100)
        await refused(finish(other, early, token), 12000007)
        await refused(finish(other, await open_session(other), token), 12000007)
        await pin.enroll(keystore, 100, "pin two")
        await refused(finish(other, await open_session(other), token), 12000007)
    async with fresh() as keystore:
        await refused(finish(keystore, await open_session(keystore), token), 12000007)
        again = await keystore.authenticate(b"", "pin two")
        await refused(finish(keystore, await open_session(keystore), again), 12000007)


@pytest.mark.parametrize("given", [object(), PinAuthenticator, "pin", 1])
async def test_what_cannot_vouch_is_refused_at_once(given: Any) -> None:
    """An object without the functions of an authenticator, and a class in place of an object."""
    with pytest.raises(BusinessError) as caught:
        Keystore.open("memory:", authenticator=given)
    assert caught.value.code == 401
    assert "PinAuthenticator" in caught.value.message
