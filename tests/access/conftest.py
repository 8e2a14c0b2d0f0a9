"""A keystore with an authenticator, with its clock and token keys in the test's hands."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from huks_async import Keystore
from huks_async.access import AuthTokenKeys
from huks_async.testing import EverybodyAuthenticator

MAC_KEY, CIPHER_KEY = bytes(range(32)), bytes(range(100, 132))


class Clock:
    """Seconds that stand still until they are told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The keystore's clock."""
    return Clock()


@pytest.fixture
def authenticator() -> EverybodyAuthenticator:
    """One with which user 100 has enrolled a PIN."""
    made = EverybodyAuthenticator()
    made.enroll(100)
    return made


@pytest_asyncio.fixture
async def keystore(authenticator: EverybodyAuthenticator, clock: Clock) -> AsyncIterator[Keystore]:
    """A keystore whose tokens a test can make, too."""
    async with Keystore.open(
        "memory:",
        authenticator=authenticator,
        token_keys=AuthTokenKeys(MAC_KEY, CIPHER_KEY),
        clock=clock,
        monitor=False,
    ) as opened:
        yield opened
