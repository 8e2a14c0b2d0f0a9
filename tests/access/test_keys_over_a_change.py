"""Keys that are made while their user's credentials change: bound to what is enrolled when they are stored."""

from typing import Any

import pytest

from huks_async import Keystore, pack_wrapped_key
from huks_async.access import Enrolment
from huks_async.testing import EverybodyAuthenticator
from tests.access.support import GCM_KEY, PIN_KEY, finish, open_session, options, refused
from tests.keystore.test_wrapped_import import take_in, wrapping_key

pytestmark = pytest.mark.asyncio

WAYS = ["generated", "imported", "imported wrapped"]


class Changed(EverybodyAuthenticator):
    """Clears the PIN right after it has told what is enrolled, once; another one is enrolled, or not."""

    def __init__(self, *, again: bool) -> None:
        super().__init__()
        self.enroll(100)
        self.changes, self._again = False, again

    async def enrolled(self, host: Any, user_id: int) -> Enrolment:
        told = await super().enrolled(host, user_id)
        if self.changes:
            self.changes = False
            self.clear_pin(user_id)
            if self._again:
                self.enroll(user_id)
        return told


async def make(keystore: Keystore, way: str, authenticator: Changed) -> None:
    """Make the key, during which the credentials change."""
    packed = pack_wrapped_key(bytes(32), await wrapping_key(keystore, 1))
    authenticator.changes = True
    wanted = {**GCM_KEY, **PIN_KEY}
    if way == "generated":
        await keystore.generateKeyItem("key", options(**wanted))
    elif way == "imported":
        await keystore.importKeyItem("key", options(bytes(32), **wanted))
    else:
        await take_in(keystore, packed, "key", **wanted)


@pytest.mark.parametrize("way", WAYS)
async def test_a_key_is_bound_to_who_is_there_when_it_is_stored(way: str) -> None:
    """It is not void from its beginning."""
    authenticator = Changed(again=True)
    async with Keystore.open("memory:", authenticator=authenticator, monitor=False) as keystore:
        await make(keystore, way, authenticator)
        session = await open_session(keystore)
        await finish(keystore, session, await keystore.authenticate(session.challenge, "x"))


@pytest.mark.parametrize("way", WAYS)
async def test_a_key_for_which_nobody_is_left_is_not_stored(way: str) -> None:
    """12000013, as if the PIN had been cleared before."""
    authenticator = Changed(again=False)
    async with Keystore.open("memory:", authenticator=authenticator, monitor=False) as keystore:
        await refused(make(keystore, way, authenticator), 12000013)
        assert not await keystore.hasKeyItem("key", options())
