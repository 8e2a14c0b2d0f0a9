"""Signatures that name who was authenticated, batch sessions, and keys that need their user to have a PIN."""

import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from huks_async import HuksKeyAlg, Keystore, Limits
from huks_async.testing import EverybodyAuthenticator
from tests.access.conftest import CIPHER_KEY, MAC_KEY, Clock
from tests.access.support import (
    DECRYPT,
    ECC,
    ENCRYPT,
    GCM_KEY,
    GCM_SESSION,
    NONE,
    PIN_KEY,
    SIGN,
    SIGN_KEY,
    VERIFY,
    data,
    finish,
    generate,
    make_token,
    open_session,
    options,
    refused,
)

pytestmark = pytest.mark.asyncio

RSA, DSA, SM2, ED25519 = (HuksKeyAlg[f"HUKS_ALG_{name}"] for name in ("RSA", "DSA", "SM2", "ED25519"))
SIGN_SESSION = {"ALGORITHM": ECC, "PURPOSE": SIGN, "DIGEST": 12}
PREFIX = struct.pack("<IIQQ", 0x01000001, 4, 1, 7001)


def token_for(session: Any, **fields: Any) -> bytes:
    """A token that the authenticator could have made."""
    return make_token(MAC_KEY, CIPHER_KEY, **{"challenge": session.challenge, "time": 1_000_000, **fields})


async def secure_key(keystore: Keystore, **values: Any) -> None:
    """A P-256 key whose signatures name who was authenticated."""
    await keystore.generateKeyItem("s", options(**SIGN_KEY, **PIN_KEY, KEY_SECURE_SIGN_TYPE=1, **values))


@pytest.mark.parametrize("segments", [[b"one"], [b"one", b"two"], [b"", b"one"]])
async def test_secure_sign(keystore: Keystore, segments: list[bytes]) -> None:
    """The output is prefix and signature; the signature is over prefix and message, as `cryptography` sees it."""
    await secure_key(keystore)
    session = await keystore.initSession("s", options(**SIGN_SESSION))
    token = token_for(session)
    if segments[0] == b"":
        await refused(keystore.updateSession(session.handle, data(b""), token), 401)
        return
    for segment in segments[:-1]:
        await keystore.updateSession(session.handle, data(segment), token)
    out = (await keystore.finishSession(session.handle, data(segments[-1]), token)).outData
    assert out[:24] == PREFIX
    public = load_der_public_key((await keystore.exportKeyItem("s", options())).outData)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(out[24:], PREFIX + b"".join(segments), ec.ECDSA(SHA256()))
    session = await keystore.initSession("s", options(**{**SIGN_SESSION, "PURPOSE": VERIFY}))
    await keystore.updateSession(session.handle, data(out[:24] + b"".join(segments)), token_for(session))
    await keystore.finishSession(session.handle, data(out[24:]))


async def test_secure_sign_with_no_data(keystore: Keystore) -> None:
    """The call that the prefix goes before needs data: 401 also at finish."""
    await secure_key(keystore)
    session = await keystore.initSession("s", options(**SIGN_SESSION))
    await refused(finish(keystore, session, token_for(session), b""), 401)


async def test_secure_sign_without_authentication(keystore: Keystore) -> None:
    """A key that may sign without a token has nobody to name: 12000012."""
    await secure_key(keystore, KEY_AUTH_PURPOSE=VERIFY)
    session = await keystore.initSession("s", options(**SIGN_SESSION))
    assert session.challenge == b""
    await refused(finish(keystore, session, None), 12000012)


@pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")
@pytest.mark.parametrize(
    ("algorithm", "size", "more"),
    [(ECC, 256, {}), (ECC, 521, {}), (DSA, 1024, {}), (SM2, 256, {}), (RSA, 2048, {"PADDING": 2})],
)
async def test_secure_sign_without_a_digest(
    keystore: Keystore, algorithm: int, size: int, more: dict[str, int]
) -> None:
    """12000001: prefix and data are no hash value, and ECDSA and DSA would sign their beginning alone.

    The key is refused when it is made; one that leaves its digest open is refused for such sessions.
    """
    key = {**SIGN_KEY, **PIN_KEY, **more, "ALGORITHM": algorithm, "KEY_SIZE": size, "DIGEST": 0}
    secure = {**key, "KEY_SECURE_SIGN_TYPE": 1}
    error = await refused(keystore.generateKeyItem("s", options(**secure)), 12000001)
    assert "name a digest" in error.message
    await keystore.generateKeyItem("s", options(**{**secure, "DIGEST": None}))
    await keystore.generateKeyItem("plain", options(**key))
    session = {"ALGORITHM": algorithm, "PURPOSE": SIGN, "DIGEST": 0, **more}
    await refused(keystore.initSession("s", options(**session)), 12000001)
    await keystore.initSession("s", options(**{**session, "PURPOSE": VERIFY}))
    await keystore.initSession("plain", options(**session))


async def test_secure_sign_with_an_algorithm_that_takes_messages(keystore: Keystore) -> None:
    """It needs no digest."""
    key = {**SIGN_KEY, **PIN_KEY, "ALGORITHM": ED25519, "DIGEST": 0}
    await keystore.generateKeyItem("s", options(**key, KEY_SECURE_SIGN_TYPE=1))
    session = await keystore.initSession("s", options(ALGORITHM=ED25519, PURPOSE=SIGN, DIGEST=0))
    assert (await finish(keystore, session, token_for(session)))[:24] == PREFIX


BATCH = {**GCM_SESSION, "IS_BATCH_OPERATION": True}


async def test_a_batch_session(keystore: Keystore) -> None:
    """One authentication, many operations with parameters of their own; the end does nothing and needs no token."""
    await generate(keystore, BATCH_PURPOSE=ENCRYPT | DECRYPT)
    session = await keystore.initSession("key", options(**BATCH))
    token = token_for(session)
    for number in range(5):
        text = b"message %d" % number
        sealed = (await keystore.updateSession(session.handle, options(text, **GCM_SESSION), token)).outData
        assert len(sealed) == len(text) + 28
        opening = {
            **GCM_SESSION,
            "PURPOSE": DECRYPT,
            "NONCE": sealed[-12:],
            "AE_TAG": sealed[-28:-12],
        }
        opened = await keystore.updateSession(
            session.handle, options(sealed[:-28], **opening, AUTH_TOKEN=token)
        )
        assert opened.outData == text
    assert (await keystore.finishSession(session.handle, data(b""))).outData == b""
    await refused(keystore.updateSession(session.handle, options(b"x", **GCM_SESSION), token), 12000011)


async def test_each_operation_of_a_batch_needs_the_token(keystore: Keystore) -> None:
    """Without it, or with another, the session ends."""
    await generate(keystore, BATCH_PURPOSE=ENCRYPT)
    for token, code in ((None, 401), (make_token(MAC_KEY, CIPHER_KEY), 12000008)):
        session = await keystore.initSession("key", options(**BATCH))
        await keystore.updateSession(session.handle, options(b"x", **GCM_SESSION), token_for(session))
        await refused(keystore.updateSession(session.handle, options(b"x", **GCM_SESSION), token), code)
        await refused(keystore.finishSession(session.handle, data(b"")), 12000011)


async def test_a_batch_cannot_go_beyond_its_purposes(keystore: Keystore) -> None:
    """Neither its beginning nor one of its operations; and a purpose that needs a token needs it there, too."""
    await generate(keystore, BATCH_PURPOSE=ENCRYPT)
    await refused(keystore.initSession("key", options(**{**BATCH, "PURPOSE": DECRYPT})), 12000003)
    session = await keystore.initSession("key", options(**BATCH))
    decrypting = {**GCM_SESSION, "PURPOSE": DECRYPT, "NONCE": bytes(12), "AE_TAG": bytes(16)}
    await refused(
        keystore.updateSession(session.handle, options(b"x", **decrypting), token_for(session)), 12000003
    )
    await generate(keystore, BATCH_PURPOSE=ENCRYPT | DECRYPT, KEY_AUTH_PURPOSE=DECRYPT)
    session = await keystore.initSession("key", options(**BATCH))
    assert len(session.challenge) == 32
    await keystore.updateSession(session.handle, options(b"x", **GCM_SESSION))
    await refused(keystore.updateSession(session.handle, options(b"x", **decrypting)), 401)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"IS_BATCH_OPERATION": True, "BATCH_OPERATION_TIMEOUT": 601}, 12000001),
        ({"IS_BATCH_OPERATION": True, "BATCH_OPERATION_TIMEOUT": 600}, 0),
        ({"BATCH_OPERATION_TIMEOUT": 5}, 12000001),
        ({"IS_BATCH_OPERATION": False, "BATCH_OPERATION_TIMEOUT": 5}, 12000001),
        ({"IS_BATCH_OPERATION": False}, 0),
    ],
)
async def test_tags_of_a_batch(keystore: Keystore, tags: dict[str, Any], code: int) -> None:
    """600 seconds at most, and the time with the batch only."""
    await generate(keystore, BATCH_PURPOSE=ENCRYPT)
    call = keystore.initSession("key", options(**GCM_SESSION, **tags))
    await (refused(call, code) if code else call)


async def test_keys_without_batch_purpose(keystore: Keystore) -> None:
    """401 for both kinds of keys; a batch key that is bound to nobody needs no token."""
    await generate(keystore)
    await keystore.generateKeyItem("plain", options(**GCM_KEY))
    for alias in ("key", "plain"):
        await refused(keystore.initSession(alias, options(**BATCH)), 401)
        await refused(
            keystore.initSession(alias, options(**GCM_SESSION, BATCH_OPERATION_TIMEOUT=5)), 12000001
        )
    await keystore.generateKeyItem("batch", options(**GCM_KEY, BATCH_PURPOSE=ENCRYPT))
    session = await keystore.initSession("batch", options(**BATCH))
    assert session.challenge == b""
    out = (await keystore.updateSession(session.handle, options(b"x", **GCM_SESSION))).outData
    assert len(out) == 29


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 60), (5, 5)])
async def test_the_deadline_of_a_batch(
    keystore: Keystore, clock: Clock, timeout: int | None, seconds: int
) -> None:
    """401 after it, and the session is gone."""
    await generate(keystore, BATCH_PURPOSE=ENCRYPT, CHALLENGE_TYPE=NONE)
    session = await keystore.initSession("key", options(**BATCH, BATCH_OPERATION_TIMEOUT=timeout))
    token = token_for(session, challenge=bytes(32))
    clock.now += seconds
    await keystore.updateSession(session.handle, options(b"x", **GCM_SESSION), token)
    clock.now += 0.5
    await refused(keystore.updateSession(session.handle, options(b"x", **GCM_SESSION), token), 401)
    await refused(keystore.updateSession(session.handle, options(b"x", **GCM_SESSION), token), 12000011)


async def test_batches_whose_time_is_over_make_room_first() -> None:
    """At the device's limit an overdue batch session goes before the oldest one."""
    clock = Clock()
    async with Keystore.open(
        "memory:", profile="device", limits=Limits.device(), clock=clock, monitor=False
    ) as keystore:
        await keystore.generateKeyItem("plain", options(**GCM_KEY))
        await keystore.generateKeyItem("batch", options(**GCM_KEY, BATCH_PURPOSE=ENCRYPT))
        oldest = await open_session(keystore, "plain")
        batch = await keystore.initSession("batch", options(**BATCH))
        for _ in range(30):
            await open_session(keystore, "plain")
        clock.now += 61
        await open_session(keystore, "plain")
        await refused(keystore.updateSession(batch.handle, options(b"x", **GCM_SESSION)), 12000011)
        await keystore.updateSession(oldest.handle, data(b"still there"))


async def test_a_device_password_is_needed_at_each_call(
    keystore: Keystore, authenticator: EverybodyAuthenticator
) -> None:
    """12000016 at init, update and finish once the user's PIN is gone."""
    authenticator.enroll(100, 1)
    await keystore.generateKeyItem("d", options(**GCM_KEY, IS_DEVICE_PASSWORD_SET=True))
    first, second, third = [await open_session(keystore, "d") for _ in range(3)]
    assert first.challenge == b""
    await keystore.updateSession(first.handle, data(b"one"))
    await finish(keystore, third, None)
    authenticator.clear_pin(100)
    await refused(keystore.updateSession(first.handle, data(b"two")), 12000016)
    await refused(finish(keystore, second, None), 12000016)
    await refused(finish(keystore, second, None), 12000011)
    await refused(open_session(keystore, "d"), 12000016)
    await refused(keystore.seal("d", b"text"), 12000001)
