"""Sessions on keys bound to a user: challenge, token, order of checks, and what ends a session."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from huks_async import Keystore
from huks_async.access import combine_challenges
from huks_async.testing import EverybodyAuthenticator
from tests.access.conftest import CIPHER_KEY, MAC_KEY, Clock
from tests.access.support import (
    ALWAYS,
    CLEAR,
    CUSTOM,
    DECRYPT,
    FACE,
    FINGERPRINT,
    GCM_KEY,
    GCM_SESSION,
    IAM,
    NEW_BIO,
    NONE,
    PIN,
    PIN_KEY,
    SIGN_KEY,
    data,
    finish,
    generate,
    make_token,
    open_session,
    options,
    refused,
)

pytestmark = pytest.mark.asyncio


def token_for(session: Any, **fields: Any) -> bytes:
    """A token that the authenticator could have made, with some fields as a test wants them."""
    return make_token(MAC_KEY, CIPHER_KEY, **{"challenge": session.challenge, "time": 1_000_000, **fields})


async def test_a_token_opens_the_session(keystore: Keystore) -> None:
    """The challenge has 32 bytes, another one each time; the token is needed once."""
    await generate(keystore)
    session = await open_session(keystore)
    assert len(session.challenge) == 32
    assert (await open_session(keystore)).challenge != session.challenge
    token = await keystore.authenticate(session.challenge, "any")
    assert len(token) == 280
    first = await keystore.updateSession(session.handle, data(b"one"), token)
    second = await keystore.updateSession(session.handle, data(b"two"))
    assert len(first.outData + second.outData) == 6
    assert len((await keystore.finishSession(session.handle, data(b""))).outData) == 28


async def test_the_token_may_be_a_tag(keystore: Keystore) -> None:
    """HUKS_TAG_AUTH_TOKEN is the same as the argument; both are 401."""
    await generate(keystore)
    session = await open_session(keystore)
    token = token_for(session)
    await keystore.updateSession(session.handle, options(b"x", AUTH_TOKEN=token))
    await keystore.finishSession(session.handle, data(b""))
    session = await open_session(keystore)
    token = token_for(session)
    await refused(keystore.updateSession(session.handle, options(b"x", AUTH_TOKEN=token), token), 401)


async def test_a_session_without_token_ends(keystore: Keystore) -> None:
    """401 without a token, and the session is gone."""
    await generate(keystore)
    for call in (keystore.updateSession, keystore.finishSession):
        session = await open_session(keystore)
        assert "HUKS_TAG_AUTH_TOKEN" in (await refused(call(session.handle, data(b"x")), 401)).message
        await refused(keystore.finishSession(session.handle, data(b"x"), token_for(session)), 12000011)


async def test_each_check_has_its_code(keystore: Keystore) -> None:
    """One wrong field at a time, for a key of access type 1."""
    await generate(keystore)
    for fields, code in (
        ({}, 0),
        ({"challenge": bytes(32)}, 12000008),
        ({"token_type": 1}, 0),
        ({"token_type": 2}, 12000001),
        ({"token_type": 3}, 12000001),
        ({"auth_type": IAM[FACE]}, 12000008),
        ({"auth_type": 8}, 12000001),
        ({"auth_type": 0}, 12000001),
        ({"secure_uid": 1002}, 12000007),
        ({"user_id": 101}, 0),  # access type 1 compares the secure uid alone
        ({"enrolled_id": 9}, 0),
        ({"version": 9, "mode": 9, "security": 9}, 0),
        ({"time": 0}, 0),
    ):
        session = await open_session(keystore)
        call = finish(keystore, session, token_for(session, **fields))
        if code:
            await refused(call, code)
            await refused(finish(keystore, session, token_for(session)), 12000011)
        else:
            assert len(await call) == 4 + 28


async def test_the_order_of_checks(keystore: Keystore) -> None:
    """Length, MAC, token type, encryption, challenge, credential, user: the first mistake decides."""
    await generate(keystore)
    mistakes: list[tuple[dict[str, Any], int]] = [
        ({"token_type": 3}, 12000001),
        ({"challenge": bytes(32)}, 12000008),
        ({"auth_type": 8}, 12000001),
        ({"secure_uid": 5}, 12000007),
    ]
    for first in range(len(mistakes)):
        fields: dict[str, Any] = {}
        for wrong, _ in mistakes[first:]:
            fields |= wrong
        session = await open_session(keystore)
        await refused(finish(keystore, session, token_for(session, **fields)), mistakes[first][1])
    for mac, cipher, length, code in (
        (b"x" * 32, CIPHER_KEY, 279, 401),
        (b"x" * 32, b"x" * 32, 280, 12000008),
        (MAC_KEY, b"x" * 32, 280, 12000006),
    ):
        session = await open_session(keystore)
        await refused(finish(keystore, session, make_token(mac, cipher)[:length]), code)
    session = await open_session(keystore)
    await refused(finish(keystore, session, make_token(MAC_KEY, b"x" * 32, token_type=3)), 12000001)


async def test_coauth_keys_take_tokens_of_other_devices(keystore: Keystore) -> None:
    """Token type 2 is for keys made with HUKS_USER_AUTH_MODE_COAUTH; a key with a trust level skips the check."""
    await generate(keystore, USER_AUTH_MODE=1)
    session = await open_session(keystore)
    await finish(keystore, session, token_for(session, token_type=2))
    session = await open_session(keystore)
    await refused(finish(keystore, session, token_for(session, token_type=3)), 12000001)
    await generate(keystore, USER_AUTH_TYPE_ATL=1)
    session = await open_session(keystore)
    await finish(keystore, session, token_for(session, token_type=3))


@pytest.mark.parametrize("level", [1, 2, 3, 4])
async def test_the_trust_level_is_a_minimum(keystore: Keystore, level: int) -> None:
    """A token of a lower level than the key's is 12000008."""
    for auth_type in (PIN, None):
        await generate(keystore, USER_AUTH_TYPE=auth_type, USER_AUTH_TYPE_ATL=level)
        for given in (10000, 20000, 30000, 40000):
            session = await open_session(keystore)
            call = finish(keystore, session, token_for(session, level=given))
            if given >= level * 10000:
                await call
            else:
                await refused(call, 12000008)


async def test_always_valid_keys_belong_to_a_user(keystore: Keystore) -> None:
    """Access type 4 compares the user alone: another identity of the same user is as good; imported ones, too."""
    await generate(keystore, KEY_AUTH_ACCESS_TYPE=ALWAYS)
    await keystore.importKeyItem(
        "imported", options(bytes(32), **{**GCM_KEY, **PIN_KEY, "KEY_AUTH_ACCESS_TYPE": ALWAYS})
    )
    for alias in ("key", "imported"):
        session = await open_session(keystore, alias)
        await finish(keystore, session, token_for(session, secure_uid=5, enrolled_id=5))
        session = await open_session(keystore, alias)
        await refused(finish(keystore, session, token_for(session, user_id=101)), 12000007)


async def test_a_new_enrolment_voids_access_type_2(
    keystore: Keystore, authenticator: EverybodyAuthenticator, clock: Clock
) -> None:
    """A fingerprint that was enrolled later voids the key for fingerprints, and not for the PIN."""
    authenticator.enroll(100, FINGERPRINT)
    both = {"USER_AUTH_TYPE": PIN | FINGERPRINT, "KEY_AUTH_ACCESS_TYPE": NEW_BIO}
    await generate(keystore, **both)
    session = await open_session(keystore)
    await finish(
        keystore, session, await keystore.authenticate(session.challenge, "x", auth_type=FINGERPRINT)
    )
    authenticator.enroll(100, FINGERPRINT)
    session = await open_session(keystore)
    token = await keystore.authenticate(session.challenge, "x", auth_type=FINGERPRINT)
    await refused(finish(keystore, session, token), 12000007)
    session = await open_session(keystore)
    await finish(keystore, session, await keystore.authenticate(session.challenge, "x"))
    await generate(keystore, **both)
    session = await open_session(keystore)
    await finish(
        keystore, session, await keystore.authenticate(session.challenge, "x", auth_type=FINGERPRINT)
    )


async def test_a_token_of_before_an_enrolment_elsewhere_opens_nothing(
    keystore: Keystore, authenticator: EverybodyAuthenticator, clock: Clock
) -> None:
    """Another process has enrolled a fingerprint: older tokens of it are void, those of the PIN are not."""
    authenticator.enroll(100, FINGERPRINT)
    await generate(
        keystore,
        USER_AUTH_TYPE=PIN | FINGERPRINT,
        KEY_AUTH_ACCESS_TYPE=NEW_BIO,
        CHALLENGE_TYPE=NONE,
        AUTH_TIMEOUT=60,
    )
    session = await open_session(keystore)
    finger = await keystore.authenticate(session.challenge, "x", auth_type=FINGERPRINT)
    code = await keystore.authenticate(session.challenge, "x")
    await finish(keystore, session, finger)
    authenticator.enroll(100, FINGERPRINT)
    await refused(finish(keystore, await open_session(keystore), finger), 12000007)
    await finish(keystore, await open_session(keystore), code)


async def test_a_cleared_pin_voids_access_type_1(
    keystore: Keystore, authenticator: EverybodyAuthenticator
) -> None:
    """Another PIN after a cleared one is another identity."""
    await generate(keystore)
    authenticator.clear_pin(100)
    authenticator.enroll(100)
    session = await open_session(keystore)
    await refused(finish(keystore, session, await keystore.authenticate(session.challenge, "x")), 12000007)


async def test_access_type_3_compares_both(keystore: Keystore, authenticator: EverybodyAuthenticator) -> None:
    """Neither another identity nor another enrolment opens the key."""
    authenticator.enroll(100, FACE)
    await generate(keystore, USER_AUTH_TYPE=PIN | FACE, KEY_AUTH_ACCESS_TYPE=CLEAR | NEW_BIO)
    for fields, code in (
        ({}, 0),
        ({"secure_uid": 5}, 12000007),
        ({"enrolled_id": 5}, 12000007),
        ({"auth_type": IAM[FACE], "enrolled_id": 1}, 12000007),
        ({"auth_type": IAM[FACE], "enrolled_id": 2}, 0),
    ):
        session = await open_session(keystore)
        call = finish(keystore, session, token_for(session, **fields))
        await (refused(call, code) if code else call)


async def test_custom_challenges_share_a_token(keystore: Keystore) -> None:
    """One token opens four sessions, each at its position, and none at another one."""
    sessions = []
    for position in range(4):
        await generate(keystore, f"key{position}", CHALLENGE_TYPE=CUSTOM)
        sessions.append(await open_session(keystore, f"key{position}", CHALLENGE_POS=position))
    token = await keystore.authenticate(combine_challenges(*(one.challenge for one in sessions)), "x")
    for session in sessions:
        await finish(keystore, session, token)
    for position in range(4):
        session = await open_session(keystore, "key0", CHALLENGE_POS=position)
        places: list[bytes | None] = [None] * 4
        places[(position + 1) % 4] = session.challenge
        token = await keystore.authenticate(combine_challenges(*places), "x")
        await refused(finish(keystore, session, token), 12000008)


async def test_custom_challenges_need_a_position(keystore: Keystore) -> None:
    """CHALLENGE_POS: absent or above 3 is 401."""
    await generate(keystore, CHALLENGE_TYPE=CUSTOM)
    await refused(open_session(keystore), 401)
    await refused(open_session(keystore, CHALLENGE_POS=4), 401)


@pytest.mark.parametrize(("timeout", "window"), [(None, 3), (1, 1), (60, 60)])
async def test_the_window_of_time(keystore: Keystore, clock: Clock, timeout: int | None, window: int) -> None:
    """Whole seconds between token and initSession, on both sides, and not a challenge."""
    await generate(keystore, CHALLENGE_TYPE=NONE, AUTH_TIMEOUT=timeout)
    clock.now = 1000.9
    for seconds, good in (
        (1000 - window, True),
        (1000 - window - 0.001, False),
        (1000, True),
        (1000 + window + 0.999, True),
        (1000 + window + 1, False),
    ):
        session = await open_session(keystore)
        assert session.challenge == b""
        clock.now += 500  # the time of use plays no part
        call = finish(keystore, session, token_for(session, challenge=bytes(32), time=round(seconds * 1000)))
        await (call if good else refused(call, 12000009))
        clock.now -= 500
    token = await keystore.authenticate(b"", "x")
    await finish(keystore, await open_session(keystore), token)
    await finish(keystore, await open_session(keystore), token)


async def test_refined_control(keystore: Keystore) -> None:
    """KEY_AUTH_PURPOSE: only decryption needs a token; the nonce of an encryption is the keystore's."""
    await generate(keystore, KEY_AUTH_PURPOSE=DECRYPT)
    session = await open_session(keystore)
    assert session.challenge == b""
    sealed = await finish(keystore, session, None, b"secret")
    cipher, tag, nonce = sealed[:6], sealed[6:22], sealed[22:]
    session = await open_session(keystore, PURPOSE=DECRYPT, NONCE=nonce, AE_TAG=tag)
    assert await finish(keystore, session, token_for(session), cipher) == b"secret"
    session = await open_session(keystore, PURPOSE=DECRYPT, NONCE=nonce, AE_TAG=tag)
    await refused(finish(keystore, session, None, cipher), 401)
    await refused(open_session(keystore, NONCE=bytes(12)), 12000001)


async def test_tokens_made_before_a_change_are_void(keystore: Keystore, clock: Clock) -> None:
    """What `credentials_changed` was told about ends the tokens that are out."""
    await generate(keystore)
    session = await open_session(keystore)
    token = await keystore.authenticate(session.challenge, "x")
    clock.now += 1
    keystore.auth_host.credentials_changed(100)
    await refused(finish(keystore, session, token), 12000008)
    session = await open_session(keystore)
    await finish(keystore, session, await keystore.authenticate(session.challenge, "x"))


async def test_a_void_token_says_nothing_of_the_key(
    keystore: Keystore, authenticator: EverybodyAuthenticator
) -> None:
    """A token of an identity that has ended, shown to a sound key of the next one: it asks for another token."""
    old = await keystore.authenticate(b"", "x")
    authenticator.clear_pin(100)
    authenticator.enroll(100)
    keystore.auth_host.credentials_changed(100)
    await generate(keystore, CHALLENGE_TYPE=NONE, AUTH_TIMEOUT=3600)
    error = await refused(finish(keystore, await open_session(keystore), old), 12000008)
    assert "authenticate again" in error.message
    await finish(keystore, await open_session(keystore), await keystore.authenticate(b"", "x"))


async def test_a_key_of_tokens_of_any_time_is_asked_about_once(keystore: Keystore) -> None:
    """Once the token was good, the session's calls are those of a key without demands."""
    await generate(keystore, KEY_AUTH_ACCESS_TYPE=ALWAYS, CHALLENGE_TYPE=NONE, AUTH_TIMEOUT=60)
    session = await open_session(keystore)
    entered = keystore._open_state().table.sessions[session.handle]
    assert entered.operation.guard is not None
    await keystore.updateSession(session.handle, data(b"x"), token_for(session, challenge=bytes(32)))
    assert entered.operation.guard is None
    await keystore.finishSession(session.handle, data(b"x"))


async def test_repeated_options_need_a_token_each_time(keystore: Keystore) -> None:
    """A list that was seen before opens no session without its gate."""
    await generate(keystore)
    same = options(**GCM_SESSION)
    for _ in range(4):
        session = await keystore.initSession("key", same)
        assert session.challenge
        await refused(finish(keystore, session, None), 401)


async def test_what_asks_for_nothing(keystore: Keystore) -> None:
    """Existence, properties, export, lists and deletion take no token; snapshots are not shown."""
    await generate(keystore)
    assert await keystore.hasKeyItem("key", options())
    assert (await keystore.listAliases(options())).keyAliases == ["key"]
    shown = (await keystore.getKeyItemProperties("key", options())).properties
    assert not {param.tag & 0x0FFF_FFFF for param in shown} & {10014, 10015}
    await keystore.generateKeyItem("pair", options(**SIGN_KEY, **PIN_KEY))
    exported = (await keystore.exportKeyItem("pair", options())).outData
    assert load_der_public_key(exported).key_size == 256
    await keystore.deleteKeyItem("key", options())
