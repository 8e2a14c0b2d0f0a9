"""An operation of a batch names a purpose of its own: it passes by no check that a session for it would meet."""

import warnings
from collections.abc import Collection
from typing import Any

import pytest

from huks_async import AccessRequest, Caller, HuksLegacyWarning, Keystore
from huks_async.access import demand
from huks_async.testing import EverybodyAuthenticator
from tests.access.support import (
    CUSTOM,
    DECRYPT,
    ECC,
    ENCRYPT,
    GCM_KEY,
    GCM_SESSION,
    NONE,
    NORMAL,
    PIN_KEY,
    SIGN,
    SIGN_KEY,
    data,
    finish,
    generate,
    open_session,
    options,
    refused,
)
from tests.access.test_secure_sign_and_batches import BATCH, token_for

pytestmark = pytest.mark.asyncio

CTR = 3
ECB = 1
PKCS7 = 5


class Purposes:
    """A policy that permits some purposes, and remembers what it was asked."""

    def __init__(self) -> None:
        self.permitted = ENCRYPT | DECRYPT
        self.asked: list[AccessRequest] = []

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        """Yes."""
        return True

    def groups_of(self, caller: Caller) -> Collection[str]:
        """None."""
        return ()

    def may_use(self, request: AccessRequest) -> bool:
        """Whether it permits the purposes of the call."""
        self.asked.append(request)
        return not request.purposes & ~self.permitted


def opening(sealed: bytes) -> dict[str, Any]:
    """Options of an operation that decrypts what GCM gave."""
    return options(
        sealed[:-28], **{**GCM_SESSION, "PURPOSE": DECRYPT}, NONCE=sealed[-12:], AE_TAG=sealed[-28:-12]
    )


@pytest.mark.parametrize("user", [None, 101])
async def test_the_policy_is_asked_about_the_purposes_of_a_batch(user: int | None) -> None:
    """Each once, as it is asked about a session; what it does not permit is 201, and the session ends."""
    policy = Purposes()
    async with Keystore.open("memory:", policy=policy, monitor=False) as keystore:
        named = {} if user is None else {"SPECIFIC_USER_ID": user, "AUTH_STORAGE_LEVEL": 1}
        await keystore.generateKeyItem("k", options(**GCM_KEY, BATCH_PURPOSE=ENCRYPT | DECRYPT, **named))
        batch = options(**BATCH, **named)
        handle = (await keystore.initSession("k", batch)).handle
        policy.asked.clear()
        sealing = options(b"text", **GCM_SESSION)
        sealed = (await keystore.updateSession(handle, sealing)).outData
        assert policy.asked == []
        for _ in range(2):
            assert (await keystore.updateSession(handle, opening(sealed))).outData == b"text"
        (request,) = policy.asked
        function = "initSession" if user is None else "initSessionAsUser"
        assert request[1:] == (function, "k", DECRYPT, "default", user or 100, None, 1)
        policy.permitted = ENCRYPT
        handle = (await keystore.initSession("k", batch)).handle
        await keystore.updateSession(handle, sealing)
        await refused(keystore.updateSession(handle, opening(sealed)), 201)
        await refused(keystore.updateSession(handle, sealing), 12000011)


async def test_a_batch_signs_nothing_that_should_name_somebody(
    keystore: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is such a key made, nor does one that was stored serve a batch: its caller could choose the prefix."""
    secure = {**SIGN_KEY, **PIN_KEY, "KEY_SECURE_SIGN_TYPE": 1, "BATCH_PURPOSE": SIGN}
    await refused(keystore.generateKeyItem("s", options(**secure)), 12000001)
    monkeypatch.setattr(demand, "_check_secure_sign", lambda numbers: None)
    await keystore.generateKeyItem("s", options(**secure))
    sign = {"ALGORITHM": ECC, "PURPOSE": SIGN, "DIGEST": 12}
    await refused(keystore.initSession("s", options(**sign, IS_BATCH_OPERATION=True)), 12000001)
    session = await keystore.initSession("s", options(**sign))
    assert len(await finish(keystore, session, token_for(session))) > 24
    await keystore.generateKeyItem("s", options(**{**secure, "BATCH_PURPOSE": 12}))
    session = await keystore.initSession("s", options(**{**sign, "PURPOSE": 8}, IS_BATCH_OPERATION=True))
    await refused(keystore.updateSession(session.handle, options(b"x", **sign), token_for(session)), 12000001)


async def test_a_weak_operation_that_a_filter_refuses_ends_the_batch(keystore: Keystore) -> None:
    """By the warning itself, as it comes out of `initSession`; the session tells why it has gone."""
    ecb = {**GCM_KEY, "PURPOSE": ENCRYPT, "BLOCK_MODE": ECB, "PADDING": PKCS7}
    await keystore.generateKeyItem("k", options(**ecb, BATCH_PURPOSE=ENCRYPT))
    handle = (await keystore.initSession("k", options(**ecb, IS_BATCH_OPERATION=True))).handle
    with warnings.catch_warnings():
        warnings.simplefilter("error", HuksLegacyWarning)
        with pytest.raises(HuksLegacyWarning, match="weak today"):
            await keystore.updateSession(handle, options(b"text", **ecb))
    gone = await refused(keystore.updateSession(handle, options(b"text", **ecb)), 12000011)
    assert "weak today" in gone.message


@pytest.mark.parametrize("kind", [NORMAL, CUSTOM])
async def test_a_batch_that_begins_without_a_token(keystore: Keystore, kind: int) -> None:
    """It has a challenge if one of the purposes of batches needs a token, which must be for this challenge."""
    values = {"BATCH_PURPOSE": ENCRYPT | DECRYPT, "KEY_AUTH_PURPOSE": DECRYPT, "CHALLENGE_TYPE": kind}
    await generate(keystore, **values)
    if kind == CUSTOM:
        await refused(keystore.initSession("key", options(**BATCH)), 401)
    batch = options(**BATCH, CHALLENGE_POS=1 if kind == CUSTOM else None)
    for own in (True, False):
        session = await keystore.initSession("key", batch)
        sealed = (await keystore.updateSession(session.handle, options(b"text", **GCM_SESSION))).outData
        token = token_for(session) if own else token_for(session, challenge=bytes(32))
        opened = keystore.updateSession(session.handle, opening(sealed), token)
        if own:
            assert (await opened).outData == b"text"
        else:
            await refused(opened, 12000008)
    await generate(keystore, **{**values, "BATCH_PURPOSE": ENCRYPT})
    assert (await keystore.initSession("key", options(**BATCH))).challenge == b""


@pytest.mark.parametrize("purpose", [ENCRYPT, DECRYPT])
async def test_a_void_key_serves_no_batch(
    keystore: Keystore, authenticator: EverybodyAuthenticator, purpose: int
) -> None:
    """Whichever purpose the batch began with; what needs no token goes on, as in a session."""
    window = {"CHALLENGE_TYPE": NONE, "AUTH_TIMEOUT": 600, "KEY_AUTH_PURPOSE": DECRYPT}
    await generate(keystore, BATCH_PURPOSE=ENCRYPT | DECRYPT, **window)
    session = await keystore.initSession("key", options(**{**BATCH, "PURPOSE": purpose}))
    token = token_for(session, challenge=bytes(32))
    sealing = options(b"text", **GCM_SESSION)
    sealed = (await keystore.updateSession(session.handle, sealing)).outData
    assert (await keystore.updateSession(session.handle, opening(sealed), token)).outData == b"text"
    authenticator.clear_pin(100)
    await keystore.updateSession(session.handle, sealing)
    await finish(keystore, await open_session(keystore), None)
    await refused(keystore.updateSession(session.handle, opening(sealed), token), 12000007)


async def test_modes_that_single_purposes_rule_out(keystore: Keystore) -> None:
    """A key with demands for single purposes takes some modes alone (12000001), in a batch as in a session."""
    values = {"BLOCK_MODE": None, "BATCH_PURPOSE": ENCRYPT | DECRYPT, "KEY_AUTH_PURPOSE": DECRYPT}
    await generate(keystore, **values)
    counting = {**GCM_SESSION, "BLOCK_MODE": CTR, "IV": bytes(16)}
    await refused(open_session(keystore, **counting), 12000001)
    session = await keystore.initSession("key", options(**BATCH))
    await refused(keystore.updateSession(session.handle, options(b"x", **counting)), 12000001)
    await refused(keystore.updateSession(session.handle, data(b"x")), 12000011)
