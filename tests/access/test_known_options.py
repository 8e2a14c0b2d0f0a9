"""Sessions on bound keys that begin by the short way, held against the same sessions by the long way.

A list of parameters that was seen before is not parsed again, and a call that shows a token is done at once where
nobody else is due. Neither may ever give another answer than parsing, or waiting, does.
"""

from typing import Any

import pytest

from huks_async import BusinessError, HuksParam, Keystore
from huks_async.testing import EverybodyAuthenticator
from tests.access.conftest import CIPHER_KEY, MAC_KEY
from tests.access.support import (
    ALWAYS,
    CUSTOM,
    ENCRYPT,
    GCM_KEY,
    GCM_SESSION,
    NONE,
    PIN_KEY,
    SIGN,
    SIGN_KEY,
    data,
    make_token,
    options,
)

pytestmark = pytest.mark.asyncio

NONCE = {"NONCE": bytes(12)}
SIGN_SESSION = {"ALGORITHM": SIGN_KEY["ALGORITHM"], "PURPOSE": SIGN, "DIGEST": SIGN_KEY["DIGEST"]}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "challenge": ({}, GCM_SESSION | NONCE),
    "part of a challenge": ({"CHALLENGE_TYPE": CUSTOM}, GCM_SESSION | NONCE | {"CHALLENGE_POS": 2}),
    "time": ({"CHALLENGE_TYPE": NONE, "AUTH_TIMEOUT": 5}, GCM_SESSION | NONCE),
    "other purposes": ({"KEY_AUTH_PURPOSE": 2}, GCM_SESSION),
    "these purposes": ({"KEY_AUTH_PURPOSE": ENCRYPT}, GCM_SESSION),
    "a nonce where none is taken": ({"KEY_AUTH_PURPOSE": ENCRYPT}, GCM_SESSION | NONCE),
    "no value": ({}, GCM_SESSION | NONCE | {"IV": b""}),
    "PIN": ({"IS_DEVICE_PASSWORD_SET": True}, GCM_SESSION | NONCE),
    "user": ({"KEY_AUTH_ACCESS_TYPE": ALWAYS}, GCM_SESSION | NONCE),
    "named signature": (SIGN_KEY | {"KEY_SECURE_SIGN_TYPE": 1}, SIGN_SESSION),
    "named signature without a token": (
        SIGN_KEY | {"KEY_SECURE_SIGN_TYPE": 1, "KEY_AUTH_PURPOSE": 8},
        SIGN_SESSION,
    ),
}
TOKENS: dict[str, Any] = {
    "right": {},
    "none": None,
    "of another challenge": {"challenge": bytes(32)},
    "of another user": {"user_id": 101, "secure_uid": 1002},
    "old": {"time": 1_000_000 - 60_000},
    "of another device": {"token_type": 2},
    "of another credential": {"auth_type": 4},
}


def _key(**values: Any) -> dict[str, Any]:
    base = PIN_KEY if "DIGEST" in values else GCM_KEY | PIN_KEY
    return options(**(base | values))


async def _outcome(keystore: Keystore, begin: dict[str, Any], fields: Any, repeats: bool) -> object:
    try:
        session = await keystore.initSession("key", begin)
        challenge = session.challenge
        token = fields
        if fields is not None:
            token = make_token(
                MAC_KEY, CIPHER_KEY, **{"challenge": challenge or bytes(32), "time": 1_000_000, **fields}
            )
        first = await keystore.updateSession(session.handle, data(b"some"), token)
        last = await keystore.finishSession(session.handle, data(b"text"))
    except BusinessError as error:
        return error.code
    made = first.outData + last.outData
    # signatures, and what is encrypted with a nonce of the keystore's own, are others each time
    return len(challenge), made if repeats else len(made) > 8


def _as_objects(begin: dict[str, Any]) -> dict[str, Any]:
    """The same parameters in a form that is parsed each time."""
    return {"properties": tuple(HuksParam(one["tag"], one["value"]) for one in begin["properties"])}


@pytest.mark.parametrize("kind", KINDS)
async def test_known_lists_and_calls_at_once_change_nothing(
    keystore: Keystore, authenticator: EverybodyAuthenticator, kind: str
) -> None:
    """Each demand, with each token: parsed or known, at once or when others were due, the outcome is the same."""
    key, session = KINDS[kind]
    await keystore.generateKeyItem("key", _key(**key))
    begin = options(**session)
    state = keystore._open_state()  # how long a turn lasts cannot be seen from outside
    for name, fields in TOKENS.items():
        outcomes: list[object] = []
        for given in (_as_objects(begin), begin, begin, begin):
            for turn_ends in (float("inf"), 0.0):
                state.dispatcher.turn_ends = turn_ends
                outcomes.append(await _outcome(keystore, given, fields, "NONCE" in session))
        assert outcomes == [outcomes[0]] * 8, (name, outcomes)


async def test_a_known_list_sees_a_new_key(keystore: Keystore) -> None:
    """A bound key that replaces a free one asks for a token at once, and the other way round."""
    begin = options(**GCM_SESSION)
    for _ in range(2):
        await keystore.generateKeyItem("key", options(**GCM_KEY))
        for _ in range(3):
            assert not (await keystore.initSession("key", begin)).challenge
        await keystore.generateKeyItem("key", _key())
        for _ in range(3):
            assert len((await keystore.initSession("key", begin)).challenge) == 32
