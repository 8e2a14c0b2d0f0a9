"""When a user's identity ends, which voids keys of access type 1, and when it stays without any credential."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from huks_async import Keystore
from huks_async.access import NOBODY_ENROLLED, PinAuthenticator
from tests.access.support import FACE, FINGERPRINT, PIN, finish, generate, open_session, refused
from tests.access.test_oidc import Issuer, issuer, keys
from tests.access.test_totp import SECRET, Now, code_at

__all__ = ["issuer", "keys"]

pytestmark = pytest.mark.asyncio

Show = Callable[[bytes], object]


async def use(keystore: Keystore, show: Show, auth_type: int) -> None:
    """A session on the key, with what the user shows for its challenge."""
    session = await open_session(keystore)
    token = await keystore.authenticate(session.challenge, show(session.challenge), auth_type=auth_type)
    await finish(keystore, session, token)


@pytest.mark.parametrize("auth_type", [FINGERPRINT, FACE, PIN])
@pytest.mark.parametrize("kind", ["totp", "oidc", "webauthn"])
async def test_the_only_credential_is_replaced(
    issuer: Issuer, tmp_path: Path, kind: str, auth_type: int
) -> None:
    """The key goes on, also over an opening of the store, unless it saw the credential as a PIN."""
    now = Now()
    enroll: Callable[[Keystore], Awaitable[Show]]
    if kind == "totp":
        authenticator = now.authenticator(auth_type=auth_type)

        async def enroll(keystore: Keystore) -> Show:
            now.wall += 300
            await authenticator.enroll(keystore, 100, account="a", issuer="b", secret=SECRET)
            return lambda _: code_at(now.wall)
    elif kind == "oidc":
        authenticator = issuer.authenticator(auth_type=auth_type)

        async def enroll(keystore: Keystore) -> Show:
            await authenticator.enroll(keystore, 100, "ana")
            return lambda challenge: issuer.token(nonce=authenticator.nonce(challenge))
    else:
        pytest.importorskip("webauthn", reason="the extra webauthn is not installed")
        from huks_async.access import WebAuthnAuthenticator
        from tests.access import test_webauthn as passkeys

        authenticator = WebAuthnAuthenticator(passkeys.RP, [passkeys.ORIGIN], auth_type=auth_type)

        async def enroll(keystore: Keystore) -> Show:
            return (await passkeys.enroll(authenticator, keystore)).get

    def opened() -> Keystore:
        return Keystore.open(f"sqlite:///{tmp_path}/keys.db", authenticator=authenticator, monitor=False)

    async with opened() as keystore:
        show = await enroll(keystore)
        await generate(keystore, USER_AUTH_TYPE=auth_type)
        await use(keystore, show, auth_type)
        await authenticator.clear(keystore, 100)
        await refused(authenticator.clear(keystore, 100), 12000013)
        await refused(keystore.authenticate(bytes(32), show(bytes(32)), auth_type=auth_type), 12000013)
    async with opened() as keystore:
        show = await enroll(keystore)
        if auth_type == PIN:
            await refused(use(keystore, show, auth_type), 12000007)
        else:
            await use(keystore, show, auth_type)


@pytest.mark.parametrize("last", ["pin", "codes"])
async def test_the_last_of_two_is_removed(last: str) -> None:
    """The identity that there was with the PIN ends with the PIN, whichever goes first."""
    pin, codes = PinAuthenticator(), Now().authenticator(auth_type=FINGERPRINT)
    async with Keystore.open("memory:", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, "pin one")
        await codes.enroll(keystore, 100, account="a", issuer="b", secret=SECRET)
        before = await pin.enrolled(keystore.auth_host, 100)
        for one in (codes, pin) if last == "pin" else (pin, codes):
            await one.clear(keystore, 100)
        left = await pin.enrolled(keystore.auth_host, 100)
        assert (left == NOBODY_ENROLLED) == (last == "pin")
        assert not left.enrolled
        assert left.secure_uid != before.secure_uid


async def test_nothing_is_bound_to_an_identity_without_credentials() -> None:
    """12000013, for keys that name no type, too."""
    codes = Now().authenticator(auth_type=FINGERPRINT)
    async with Keystore.open("memory:", authenticator=codes, monitor=False) as keystore:
        await codes.enroll(keystore, 100, account="a", issuer="b", secret=SECRET)
        await generate(keystore, USER_AUTH_TYPE=None, USER_AUTH_TYPE_ATL=2)
        await codes.clear(keystore, 100)
        for auth_type in (FINGERPRINT, PIN, None):
            made = generate(keystore, USER_AUTH_TYPE=auth_type, USER_AUTH_TYPE_ATL=2)
            assert "has enrolled nothing" in (await refused(made, 12000013)).message
