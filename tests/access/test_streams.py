"""Streams of sessions on keys bound to a user: the token goes with the first call."""

from typing import Any

import pytest

from huks_async import HuksKeyAlg, Keystore
from tests.access.support import (
    AES,
    DECRYPT,
    DERIVE,
    ECC,
    GCM_SESSION,
    PIN_KEY,
    SIGN,
    SIGN_KEY,
    generate,
    options,
    refused,
)
from tests.access.test_sessions import token_for

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("chunks", [[b"text"], [b"te", b"", b"xt"], []])
async def test_a_stream_shows_the_token_with_its_first_call(keystore: Keystore, chunks: list[bytes]) -> None:
    """Encryption, and decryption that is held back; without a token, or with a wrong one, nothing comes."""
    await generate(keystore)
    async with keystore.session("key", options(**GCM_SESSION)) as session:
        sealed = b"".join([part async for part in session.stream(chunks, token=token_for(session))])
    size = len(b"".join(chunks))
    cipher, tag, nonce = sealed[:size], sealed[size : size + 16], sealed[size + 16 :]
    opening = options(**GCM_SESSION | {"PURPOSE": DECRYPT, "NONCE": nonce, "AE_TAG": tag})
    for wrong, code in ((False, 0), (True, 12000008), (None, 401)):
        async with keystore.session("key", opening) as session:
            token = token_for(session, **({"challenge": bytes(32)} if wrong else {}))
            parts = session.stream([cipher] if cipher else [], token=None if wrong is None else token)
            if code:
                await refused(anext(parts), code)
            else:
                assert b"".join([part async for part in parts]) == b"".join(chunks)


async def test_a_stream_of_more_than_a_call_takes_shows_the_token_once(keystore: Keystore) -> None:
    """It is cut, and its first piece has the token."""
    await generate(keystore)
    async with keystore.session("key", options(**GCM_SESSION)) as session:
        parts = session.stream([bytes(3 * 1024 * 1024)], token=token_for(session))
        assert sum([len(part) async for part in parts]) == 3 * 1024 * 1024 + 28


async def test_streams_of_keys_that_take_no_empty_segment(keystore: Keystore) -> None:
    """Signatures that name who was authenticated, an agreement, a derivation."""
    agree, hkdf = HuksKeyAlg.HUKS_ALG_X25519, HuksKeyAlg.HUKS_ALG_HKDF
    pair = {"ALGORITHM": agree, "KEY_SIZE": 256, "PURPOSE": 256}
    base = {"ALGORITHM": AES, "KEY_SIZE": 256, "PURPOSE": DERIVE, "DIGEST": 12}
    keys: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "sign": (
            SIGN_KEY | {"PURPOSE": SIGN, "KEY_SECURE_SIGN_TYPE": 1},
            {"ALGORITHM": ECC, "PURPOSE": SIGN, "DIGEST": 12},
        ),
        "agree": (pair, {"ALGORITHM": agree, "PURPOSE": 256}),
        "derive": (base, {"ALGORITHM": hkdf, "PURPOSE": DERIVE, "DIGEST": 12, "DERIVE_KEY_SIZE": 32}),
    }
    await keystore.generateKeyItem("peer", options(**pair))
    chunk = (await keystore.exportKeyItem("peer", options())).outData
    for alias, (made_for, used_for) in keys.items():
        await keystore.generateKeyItem(alias, options(**made_for, **PIN_KEY))
        async with keystore.session(alias, options(**used_for)) as session:
            parts = session.stream([chunk], token=token_for(session))
            assert len(b"".join([part async for part in parts])) >= 32, alias
