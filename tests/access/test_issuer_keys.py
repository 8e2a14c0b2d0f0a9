"""Keys of an issuer that grow old: fetched at once, whatever pause there is between fetches for unknown key ids."""

import asyncio

import pytest

from huks_async import Keystore
from huks_async.access import OidcAuthenticator
from tests.access.support import refused
from tests.access.test_oidc import CLIENT, ISSUER, Issuer, issuer, keys, refusal

__all__ = ["issuer", "keys"]

pytestmark = pytest.mark.asyncio


async def let_in(keystore: Keystore, issuer: Issuer, number: int) -> None:
    """A good token of this moment is taken."""
    challenge = bytes([number] * 32)
    await keystore.authenticate(challenge, issuer.token(nonce=OidcAuthenticator.nonce(challenge)))


async def test_keys_that_are_kept_for_less_than_the_pause(issuer: Issuer) -> None:
    """Nobody who has a good token is refused, and forged ones fetch nothing while the keys are kept."""
    oidc = issuer.authenticator(keep_keys=10.0, pause=30.0)
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        for number, moment in enumerate((0.0, 9.0, 10.0, 19.0, 20.0, 31.0, 42.0)):
            issuer.since = moment
            await let_in(keystore, issuer, number)
            assert await refusal(keystore, issuer.token(header={"kid": "forged"})) == "kid"
        assert len(issuer.asked) == 2 * 5


async def test_a_fetch_for_an_unknown_key_id_that_is_cancelled_before_the_keys_are_old(
    issuer: Issuer,
) -> None:
    """It makes nobody wait once they are; a fetch that fails does, for a moment."""
    hang = asyncio.Event()

    async def fetch(url: str) -> bytes:
        if hang.is_set():
            hang.clear()
            await asyncio.Event().wait()
        return await issuer.fetch(url)

    oidc = OidcAuthenticator(ISSUER, CLIENT, fetch, clock=lambda: issuer.now, monotonic=lambda: issuer.since)
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        await let_in(keystore, issuer, 0)
        issuer.since = 3599.0
        hang.set()
        forged = issuer.token(header={"kid": "forged"})
        task = asyncio.create_task(keystore.authenticate(bytes(32), forged))
        while hang.is_set():
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await refusal(keystore, forged) == "kid"
        assert len(issuer.asked) == 2
        issuer.since = 3600.0
        await let_in(keystore, issuer, 1)
        issuer.since, issuer.failure = 7200.0, OSError("no route")
        await refused(keystore.authenticate(bytes(32), issuer.token()), 12000015)
        issuer.failure = None
        await refused(keystore.authenticate(bytes(32), issuer.token()), 12000015)
        issuer.since += 2
        await let_in(keystore, issuer, 2)
