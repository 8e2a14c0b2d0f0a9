"""Enrolments of passkeys that are cancelled, or fail, between their two writes: nothing survives a `clear` meanwhile.

What is undone costs the user no keys.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from huks_async import Keystore
from huks_async.access import WebAuthnAuthenticator
from huks_async.access.credentials import change_user
from tests.access.support import FACE, FINGERPRINT, NEW_BIO, PIN, finish, generate, open_session, refused
from tests.access.test_totp import SECRET, Now, code_at
from tests.access.test_webauthn import ORIGIN, RP, Passkey, enroll, text

pytestmark = pytest.mark.asyncio


class Meanwhile:
    """What the keystore lends; `clear` comes before the first write of a passkey, and `then` after one is written."""

    def __init__(
        self, keystore: Keystore, clear: Callable[[], Any] | None, then: Callable[[], object]
    ) -> None:
        host: Any = keystore.auth_host
        self._host, self._clear, self._then = host, clear, then
        self.auth_host, self.vault = self, self
        self.run, self.get, self.delete = host.run, host.vault.get, host.vault.delete
        self.credentials_changed, self.void_tokens = host.credentials_changed, host.void_tokens

    async def put(self, name: str, data: bytes, *, expect: int) -> int:
        """Write. After `clear` that is in vain, and tried again."""
        if name == "user/100" and self._clear is not None:
            clear, self._clear = self._clear, None
            await clear()
        version: int = await self._host.vault.put(name, data, expect=expect)
        if name == "user/100":
            then, self._then = self._then, lambda: None
            then()
        return version


@pytest.mark.parametrize("how", ["task", "scope", "the store fails"])
async def test_a_passkey_that_was_cleared_while_its_enrolment_was_cut_short(how: str) -> None:
    """It is not among those that unlock keys, whatever became of the call."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        await enroll(web, keystore)
        asked = await web.begin_enroll(keystore, 100, name="ana")
        passkey = Passkey()
        scope = anyio.CancelScope()

        async def enrolled() -> None:
            with scope:
                await web.finish_enroll(Meanwhile(keystore, clear, cut), 100, passkey.create(asked))
                raise AssertionError("it was enrolled")

        async def clear() -> None:
            await web.clear(keystore, 100)

        def cut() -> None:
            if how == "task":
                task.cancel()
            elif how == "scope":
                scope.cancel()
            else:
                raise OSError("the disk is gone")

        task = asyncio.create_task(enrolled())
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        expected = {"task": asyncio.CancelledError, "scope": Exception, "the store fails": OSError}[how]
        assert isinstance(outcome, expected)
        await refused(web.options(keystore, 100, bytes(32)), 12000013)


async def test_an_enrolment_that_is_cancelled_and_was_not_ended() -> None:
    """It is complete: the next one begins beside it."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        asked = await web.begin_enroll(keystore, 100, name="ana")
        passkey = Passkey()
        lent = Meanwhile(keystore, None, lambda: task.cancel())
        task = asyncio.create_task(web.finish_enroll(lent, 100, passkey.create(asked)))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert text(passkey.id) in await web.options(keystore, 100, bytes(32))
        assert await keystore.auth_host.vault.get("webauthn-enrolling/100") is None
        await enroll(web, keystore)


def _fail() -> None:
    raise OSError("the disk is gone")


async def test_an_undone_enrolment_leaves_keys_of_access_type_2() -> None:
    """A new passkey voids them; one that is not there in the end does not."""
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open("memory:", authenticator=web, monitor=False) as keystore:
        first = await enroll(web, keystore)
        await generate(keystore, USER_AUTH_TYPE=FINGERPRINT, KEY_AUTH_ACCESS_TYPE=NEW_BIO)
        asked = await web.begin_enroll(keystore, 100, name="ana")
        with pytest.raises(OSError, match="gone"):
            await web.finish_enroll(Meanwhile(keystore, None, _fail), 100, Passkey().create(asked))
        session = await open_session(keystore)
        shown = first.get(session.challenge)
        token = await keystore.authenticate(session.challenge, shown, auth_type=FINGERPRINT)
        await finish(keystore, session, token)


@pytest.mark.parametrize("changed", [False, True])
async def test_an_undone_enrolment_of_a_passkey_that_keys_see_as_a_pin(changed: bool) -> None:
    """The user's identity is as before, unless something else has changed meanwhile: then the last PIN is gone."""
    now = Now()
    codes, web = now.authenticator(auth_type=FACE), WebAuthnAuthenticator(RP, [ORIGIN], auth_type=PIN)
    async with Keystore.open("memory:", authenticator=codes, monitor=False) as keystore:
        await codes.enroll(keystore, 100, account="a", issuer="b", secret=SECRET)
        await generate(keystore, USER_AUTH_TYPE=FACE)
        asked = await web.begin_enroll(keystore, 100, name="ana")
        lent = Meanwhile(keystore, None, lambda: None)

        async def delete(name: str, *, expect: int) -> None:
            if changed:
                await change_user(
                    keystore.auth_host,
                    100,
                    lambda record: (record.with_new("other", FINGERPRINT, b""), None),
                    void=True,
                )
            _fail()

        lent.delete = delete
        with pytest.raises(OSError, match="gone"):
            await web.finish_enroll(lent, 100, Passkey().create(asked))
        session = await open_session(keystore)
        token = await keystore.authenticate(session.challenge, code_at(now.wall), auth_type=FACE)
        if changed:
            await refused(finish(keystore, session, token), 12000007)
        else:
            await finish(keystore, session, token)
