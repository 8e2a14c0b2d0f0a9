"""Credentials that are shown for another type than they were enrolled as: no token says that type."""

from typing import Any

import pytest

from huks_async import Keystore
from huks_async.access import AuthHost, AuthRequest, Enrolment, PinAuthenticator, Vouched
from huks_async.access.credentials import Credential, vouch_for
from tests.access.support import ALWAYS, FINGERPRINT, PIN, finish, generate, open_session, refused
from tests.access.test_oidc import CHALLENGE, Issuer, issuer, keys
from tests.access.test_totp import SECRET, Now, code_at

__all__ = ["issuer", "keys"]

pytestmark = pytest.mark.asyncio


class Either:
    """Asks one of the library's by what was shown, as a program with several ways to sign in does."""

    auth_types = PIN | FINGERPRINT

    def __init__(self, pin: PinAuthenticator, other: Any) -> None:
        self._pin, self._other = pin, other

    async def enrolled(self, host: AuthHost, user_id: int) -> Enrolment:
        """One record for all of them."""
        return await self._pin.enrolled(host, user_id)

    async def authenticate(self, host: AuthHost, request: AuthRequest, credential: Any) -> Vouched:
        """A PIN has no digit here."""
        asked = self._pin if credential == "pin one" else self._other
        vouched: Vouched = await asked.authenticate(host, request, credential)
        return vouched


async def test_a_pin_is_no_fingerprint() -> None:
    """Nor is a code that keys see as a fingerprint a PIN. Neither is counted as a guess, or used up."""
    now = Now()
    pin, codes = PinAuthenticator(), now.authenticator(auth_type=FINGERPRINT)
    async with Keystore.open("memory:", authenticator=Either(pin, codes), monitor=False) as keystore:
        await pin.enroll(keystore, 100, "pin one")
        await codes.enroll(keystore, 100, account="a", issuer="b", secret=SECRET)
        code = code_at(now.wall)
        for shown, as_what, by in (("pin one", FINGERPRINT, PIN), (code, PIN, FINGERPRINT)):
            await generate(keystore, "key", USER_AUTH_TYPE=as_what, KEY_AUTH_ACCESS_TYPE=ALWAYS)
            await generate(keystore, "own", USER_AUTH_TYPE=by)
            for _ in range(6):
                session = await open_session(keystore)
                error = await refused(
                    keystore.authenticate(session.challenge, shown, auth_type=as_what), 12000013
                )
                assert f"got {as_what}, the credential of user 100 is of type {by}" in error.message
            session = await open_session(keystore, "own")
            token = await keystore.authenticate(session.challenge, shown, auth_type=by)
            await finish(keystore, session, token)


async def test_a_keystore_that_is_opened_with_another_type(issuer: Issuer) -> None:
    """What is enrolled keeps its type; cleared and enrolled anew, it is of the other."""
    now = Now()
    kinds: list[tuple[Any, Any, Any]] = [
        (now.authenticator(), now.authenticator(auth_type=FINGERPRINT), code_at(now.wall)),
        (issuer.authenticator(), issuer.authenticator(auth_type=FINGERPRINT), issuer.token()),
    ]
    for before, after, shown in kinds:

        async def enroll(authenticator: Any, keystore: Keystore) -> None:
            if hasattr(authenticator, "nonce"):
                await authenticator.enroll(keystore, 100, "ana")
            else:
                await authenticator.enroll(keystore, 100, account="a", issuer="b", secret=SECRET)

        async with Keystore.open("memory:", authenticator=after, monitor=False) as keystore:
            await enroll(before, keystore)
            await refused(keystore.authenticate(CHALLENGE, shown, auth_type=FINGERPRINT), 12000013)
            await before.clear(keystore, 100)
            await enroll(after, keystore)
            await keystore.authenticate(CHALLENGE, shown, auth_type=FINGERPRINT)


async def test_passkeys_of_another_type() -> None:
    """They are not asked for; one that is shown uses up no challenge."""
    pytest.importorskip("webauthn", reason="the extra webauthn is not installed")
    from huks_async.access import WebAuthnAuthenticator
    from tests.access.test_webauthn import ORIGIN, RP, enroll, text

    as_pin = WebAuthnAuthenticator(RP, [ORIGIN], auth_type=PIN)
    as_finger = WebAuthnAuthenticator(RP, [ORIGIN])
    either = Either(PinAuthenticator(), as_pin)
    async with Keystore.open("memory:", authenticator=either, monitor=False) as keystore:
        old = await enroll(as_pin, keystore)
        await refused(as_finger.options(keystore, 100, CHALLENGE), 12000013)
        new = await enroll(as_finger, keystore)
        for web, one, other in ((as_finger, new, old), (as_pin, old, new)):
            asked = await web.options(keystore, 100, CHALLENGE)
            assert text(one.id) in asked
            assert text(other.id) not in asked
        shown = old.get(CHALLENGE)
        await refused(keystore.authenticate(CHALLENGE, shown, auth_type=FINGERPRINT), 12000013)
        await keystore.authenticate(CHALLENGE, shown, auth_type=PIN)


async def test_an_authenticator_of_ones_own_that_forgets_to_look() -> None:
    """Its last step refuses."""
    pin = PinAuthenticator()
    async with Keystore.open("memory:", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, "pin one")
        request = AuthRequest(CHALLENGE, FINGERPRINT, 100)
        await refused(vouch_for(keystore.auth_host, request, Credential("pin", PIN, 1, b""), 3), 12000013)
