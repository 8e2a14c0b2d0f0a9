"""The documented samples of wrapped import (G) and key encapsulation (H)."""

import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_der_public_key

import huks_async as huks
from tests.conformance import support as s
from tests.conformance.support import NOTHING, Params, data, options, properties, refused, run
from tests.keys.key_samples import sample

pytestmark = [pytest.mark.asyncio, pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")]

# --- G1: ECDH and AES-256-GCM -------------------------------------------------------------------

AAD = b"abababababababab"
NONCE = b"hahahahahaha"
PLAIN_KEY = b"The aes192 key to import"
KEK = b"The is kek to encrypt aes192 key"
WRAPPING_KEY: Params = {"ALGORITHM": s.ECC, "KEY_SIZE": 256, "PURPOSE": s.UNWRAP, "DIGEST": s.SHA256}
TARGET: Params = {
    "ALGORITHM": s.AES,
    "KEY_SIZE": 192,
    "PURPOSE": s.CIPHER,
    "BLOCK_MODE": s.CBC,
    "PADDING": s.NOPAD,
    "UNWRAP_ALGORITHM_SUITE": 2,
}
GCM_KEY: Params = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "BLOCK_MODE": s.GCM, "PADDING": s.NOPAD}


def fields(*parts: bytes) -> bytes:
    """Length-prefixed fields in a row."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


async def wrapped_parts(keystore: huks.Keystore, wrapping: Params = WRAPPING_KEY) -> list[bytes]:
    """The sample's steps 1 to 6 by the keystore itself; gives the ten fields, and cleans up."""
    await keystore.generateKeyItem("wrapping", options(**wrapping))
    wrapping_spki = (await keystore.exportKeyItem("wrapping", NOTHING)).outData
    agreeing = {"ALGORITHM": s.ECC, "KEY_SIZE": 256, "PURPOSE": s.AGREE}
    await keystore.generateKeyItem("caller", options(**agreeing))
    caller_spki = (await keystore.exportKeyItem("caller", NOTHING)).outData
    assert len(wrapping_spki) == len(caller_spki) == 91
    shared = await run(keystore, "caller", wrapping_spki, ALGORITHM=s.ECDH, KEY_SIZE=256, PURPOSE=s.AGREE)
    assert len(shared) == 32
    sealed = []
    for alias, secret, plain in (("kek", KEK, PLAIN_KEY), ("shared", shared, KEK)):
        await keystore.importKeyItem(alias, options(secret, **GCM_KEY, PURPOSE=s.ENCRYPT))
        out = await run(keystore, alias, last=plain, **GCM_KEY, PURPOSE=s.ENCRYPT, AAD=AAD, NONCE=NONCE)
        sealed.append((out[:-16], out[-16:]))
    (key, key_tag), (kek, kek_tag) = sealed
    parts = [
        caller_spki,
        AAD,
        NONCE,
        kek_tag,
        kek,
        AAD,
        NONCE,
        key_tag,
        struct.pack("<I", len(PLAIN_KEY)),
        key,
    ]
    assert [len(part) for part in parts] == [91, 16, 12, 16, 32, 16, 12, 16, 4, 24]
    for alias in ("caller", "kek", "shared"):
        await keystore.deleteKeyItem(alias, NOTHING)
    return parts


async def test_g1_wrapped_import(keystore: huks.Keystore) -> None:
    """The imported key is the sample's plain key: a block under it equals AES-192-CBC of a plain library."""
    blob = fields(*await wrapped_parts(keystore))
    assert await keystore.importWrappedKeyItem("target", "wrapping", options(blob, **TARGET)) is None
    session = {"ALGORITHM": s.AES, "KEY_SIZE": 192, "BLOCK_MODE": s.CBC, "PADDING": s.NOPAD, "IV": s.IV16}
    sealed = await run(keystore, "target", last=bytes(16), **session, PURPOSE=s.ENCRYPT)
    expected = Cipher(algorithms.AES(PLAIN_KEY), modes.CBC(s.IV16)).encryptor().update(bytes(16))
    assert sealed == expected
    for alias in ("wrapping", "target"):
        await keystore.deleteKeyItem(alias, NOTHING)


@pytest.mark.parametrize("field", [5, 10])
async def test_g1_changed_ciphertext(keystore: huks.Keystore, field: int) -> None:
    """A flipped byte of the sealed KEK or of the sealed key is noticed, and nothing is stored."""
    parts = await wrapped_parts(keystore)
    parts[field - 1] = bytes([parts[field - 1][0] ^ 1]) + parts[field - 1][1:]
    with refused(12000006):
        await keystore.importWrappedKeyItem("target", "wrapping", options(fields(*parts), **TARGET))
    assert not await keystore.hasKeyItem("target", NOTHING)


@pytest.mark.parametrize(("suite", "code"), [(None, 12000002), (77, 12000003), (0, 12000003)])
async def test_g1_suite(keystore: huks.Keystore, suite: int | None, code: int) -> None:
    """The suite must be given, and known."""
    blob = fields(*await wrapped_parts(keystore))
    with refused(code, "HUKS_TAG_UNWRAP_ALGORITHM_SUITE"):
        await keystore.importWrappedKeyItem(
            "target", "wrapping", options(blob, **TARGET | {"UNWRAP_ALGORITHM_SUITE": suite})
        )


async def test_g1_wrapping_key_of_another_purpose(keystore: huks.Keystore) -> None:
    """A key made for agreement does not unwrap."""
    blob = fields(*await wrapped_parts(keystore, WRAPPING_KEY | {"PURPOSE": s.AGREE}))
    with refused(12000003, "UNWRAP"):
        await keystore.importWrappedKeyItem("target", "wrapping", options(blob, **TARGET))


@pytest.mark.parametrize(
    "damage",
    [lambda blob: blob + b"\0", lambda blob: bytes(4) + blob[4:], lambda blob: blob[:-1], lambda _: b""],
    ids=["byte-after", "zero-length", "cut", "nothing"],
)
async def test_g1_wrong_format(keystore: huks.Keystore, damage) -> None:  # type: ignore[no-untyped-def]
    """Bytes that are not exactly ten fields are refused."""
    blob = damage(fields(*await wrapped_parts(keystore)))
    with refused(401):
        await keystore.importWrappedKeyItem("target", "wrapping", options(blob, **TARGET))


async def test_g1_wrapping_key_absent(keystore: huks.Keystore) -> None:
    """An unknown wrapping alias is named."""
    blob = fields(*await wrapped_parts(keystore))
    with refused(12000011, "nobody"):
        await keystore.importWrappedKeyItem("target", "nobody", options(blob, **TARGET))


# --- G2, G3: envelope -----------------------------------------------------------------------------

SM4_KEY = bytes.fromhex("b9ef3549b70091580c6f4328f8951c02")
ENVELOPE_KEY: Params = {
    "ALGORITHM": s.SM2,
    "KEY_SIZE": 256,
    "PURPOSE": s.CIPHER,
    "DIGEST": s.SM3,
    "PADDING": s.NOPAD,
}


def sm4_ecb(plain: bytes) -> bytes:
    """SM4-ECB under the sample's key."""
    return Cipher(algorithms.SM4(SM4_KEY), modes.ECB()).encryptor().update(plain)


async def envelope(keystore: huks.Keystore, plain: bytes) -> bytes:
    """A blob of suite 5 for the key 'WrappedKey', made by it."""
    await keystore.generateKeyItem("WrappedKey", options(**ENVELOPE_KEY))
    sealed = await run(keystore, "WrappedKey", last=SM4_KEY, **ENVELOPE_KEY | {"PURPOSE": s.ENCRYPT})
    return fields(sealed, sm4_ecb(plain))


async def test_g2_envelope_of_an_rsa_pair(keystore: huks.Keystore) -> None:
    """The private exponent comes in the envelope, the public half as a tag; the pair works."""
    key = sample(s.RSA, 2048)
    n, e, d = key.fields["n"], key.fields["e"], key.fields["d"]
    blob = await envelope(keystore, d)
    raw = {"ALGORITHM": s.RSA, "KEY_SIZE": 2048, "PADDING": s.NOPAD, "BLOCK_MODE": s.ECB}
    await keystore.importWrappedKeyItem(
        "target",
        "WrappedKey",
        options(
            blob,
            **raw,
            PURPOSE=s.CIPHER,
            IMPORT_KEY_TYPE=s.PAIR,
            UNWRAP_ALGORITHM_SUITE=5,
            ASYMMETRIC_PUBLIC_KEY_DATA=key.spki,
        ),
    )
    assert (await keystore.exportKeyItem("target", NOTHING)).outData == key.spki
    plain = bytes(1) + b"m" * 255
    sealed = await run(keystore, "target", last=plain, **raw, PURPOSE=s.ENCRYPT)
    power = pow(int.from_bytes(plain, "big"), int.from_bytes(e, "big"), int.from_bytes(n, "big"))
    assert sealed == power.to_bytes(256, "big")
    assert await run(keystore, "target", last=sealed, **raw, PURPOSE=s.DECRYPT) == plain


AES_PLAIN = bytes.fromhex("6235bdb00ac826311ef5001689d75589")
ENVELOPE_TARGET: Params = {
    "ALGORITHM": s.AES,
    "KEY_SIZE": 128,
    "PURPOSE": s.CIPHER,
    "BLOCK_MODE": s.CBC,
    "PADDING": s.PKCS7,
    "UNWRAP_ALGORITHM_SUITE": 5,
}


async def test_g3_envelope_of_an_aes_key(keystore: huks.Keystore) -> None:
    """The sample's envelope holds the sample's AES key."""
    assert sm4_ecb(AES_PLAIN).hex() == "a5a4ef4b8769f1d07cd0559ae0b88c36"
    blob = await envelope(keystore, AES_PLAIN)
    await keystore.importWrappedKeyItem("target", "WrappedKey", options(blob, **ENVELOPE_TARGET))
    session = ENVELOPE_TARGET | {"UNWRAP_ALGORITHM_SUITE": None, "PURPOSE": s.ENCRYPT, "IV": s.IV16}
    sealed = await run(keystore, "target", last=b"", **session)
    assert sealed == Cipher(algorithms.AES(AES_PLAIN), modes.CBC(s.IV16)).encryptor().update(b"\x10" * 16)


async def test_envelope_for_a_key_that_only_unwraps(keystore: huks.Keystore) -> None:
    """An SM2 key of purpose UNWRAP opens envelopes, too, and decrypts in no session."""
    await keystore.generateKeyItem("WrappedKey", options(**ENVELOPE_KEY | {"PURPOSE": s.UNWRAP}))
    public = (await keystore.exportKeyItem("WrappedKey", NOTHING)).outData
    sender = ENVELOPE_KEY | {"PURPOSE": s.ENCRYPT}
    await keystore.importKeyItem("sender", options(public, **sender))
    sealed = await run(keystore, "sender", last=SM4_KEY, **sender)
    blob = fields(sealed, sm4_ecb(AES_PLAIN))
    await keystore.importWrappedKeyItem("target", "WrappedKey", options(blob, **ENVELOPE_TARGET))
    session = ENVELOPE_TARGET | {"UNWRAP_ALGORITHM_SUITE": None, "PURPOSE": s.ENCRYPT, "IV": s.IV16}
    opened = await run(keystore, "target", last=b"", **session)
    assert opened == Cipher(algorithms.AES(AES_PLAIN), modes.CBC(s.IV16)).encryptor().update(b"\x10" * 16)
    with refused(401, "PURPOSE"):
        await run(keystore, "WrappedKey", last=sealed, **ENVELOPE_KEY | {"PURPOSE": s.DECRYPT})


async def test_g3_envelope_of_192_bits(keystore: huks.Keystore) -> None:
    """A key that is no whole number of SM4 blocks cannot come in an envelope."""
    blob = await envelope(keystore, bytes(32))
    with refused(12000003, "HUKS_TAG_KEY_SIZE"):
        await keystore.importWrappedKeyItem(
            "target", "WrappedKey", options(blob, **ENVELOPE_TARGET | {"KEY_SIZE": 192})
        )


# --- H: ML-KEM ----------------------------------------------------------------------------------

KEM_KEY: Params = {"ALGORITHM": s.ML_KEM, "KEY_SIZE": 768, "PURPOSE": s.WRAP | s.UNWRAP}
WRAP_CALL = properties(ALGORITHM=s.ML_KEM, KEY_SIZE=768, PURPOSE=s.WRAP)
UNWRAP_CALL = properties(ALGORITHM=s.ML_KEM, KEY_SIZE=768, PURPOSE=s.UNWRAP)
SHARED: Params = {
    "ALGORITHM": s.AES,
    "KEY_SIZE": 256,
    "PURPOSE": s.CIPHER,
    "PADDING": s.NOPAD,
    "BLOCK_MODE": s.CBC,
}


async def kem_keys(keystore: huks.Keystore) -> bytes:
    """B's key, and its public half imported by A; gives the exported form."""
    await keystore.generateKeyItem("ml_kem_key_b", options(**KEM_KEY))
    spki = (await keystore.exportKeyItem("ml_kem_key_b", NOTHING)).outData
    assert len(spki) == 1206
    await keystore.importKeyItem(
        "ml_kem_pub_key_b", options(spki, **KEM_KEY | {"PURPOSE": s.WRAP}, IMPORT_KEY_TYPE=s.PUBLIC)
    )
    return spki


async def test_h1_secrets_are_equal(keystore: huks.Keystore) -> None:
    """Both sides get the same 32 bytes, and a plain library's ciphertext opens."""
    spki = await kem_keys(keystore)
    sent = await keystore.encapsulate("ml_kem_pub_key_b", WRAP_CALL)
    assert len(sent.outData) == 1088
    assert len(sent.sharedSecret) == 32
    got = await keystore.decapsulate("ml_kem_key_b", UNWRAP_CALL, sent.outData)
    assert got.sharedSecret == sent.sharedSecret
    public = load_der_public_key(spki)
    assert isinstance(public, mlkem.MLKEM768PublicKey)
    secret, ciphertext = public.encapsulate()
    assert (await keystore.decapsulate("ml_kem_key_b", UNWRAP_CALL, ciphertext)).sharedSecret == secret


async def test_h2_secrets_are_stored(keystore: huks.Keystore) -> None:
    """With an alias the secret becomes a key on both sides, and is not given out."""
    await kem_keys(keystore)
    a, b = "ml_kem_shared_key_a", "ml_kem_shared_key_b"
    sent = await keystore.encapsulate("ml_kem_pub_key_b", WRAP_CALL, a, properties(**SHARED))
    got = await keystore.decapsulate("ml_kem_key_b", UNWRAP_CALL, sent.outData, b, properties(**SHARED))
    assert sent.sharedSecret == got.sharedSecret == b""
    session = SHARED | {"IV": s.IV16}
    sealed = await run(keystore, a, last=bytes(32), **session | {"PURPOSE": s.ENCRYPT})
    assert await run(keystore, b, last=sealed, **session | {"PURPOSE": s.DECRYPT}) == bytes(32)
    for alias, flag in ((a, 2), (b, 1)):
        found = (await keystore.getKeyItemProperties(alias, NOTHING)).properties
        assert next(p.value for p in found if p.tag == huks.HuksTag.HUKS_TAG_KEY_FLAG) == flag


async def test_h3_mistakes(keystore: huks.Keystore) -> None:
    """A shared key of 128 bits, no algorithm, and a key that cannot encapsulate are refused."""
    await kem_keys(keystore)
    with refused(12000003, "HUKS_TAG_KEY_SIZE"):
        await keystore.encapsulate(
            "ml_kem_pub_key_b", WRAP_CALL, "shared", properties(**SHARED | {"KEY_SIZE": 128})
        )
    with refused(12000002, "HUKS_TAG_ALGORITHM"):
        await keystore.encapsulate("ml_kem_pub_key_b", properties(KEY_SIZE=768, PURPOSE=s.WRAP))
    await keystore.generateKeyItem("opens", options(**KEM_KEY | {"PURPOSE": s.UNWRAP}))
    with refused(12000003):
        await keystore.encapsulate("opens", WRAP_CALL)


async def test_h4_changed_ciphertext(keystore: huks.Keystore) -> None:
    """A flipped bit gives another secret and no error, as FIPS 203 wants."""
    await kem_keys(keystore)
    sent = await keystore.encapsulate("ml_kem_pub_key_b", WRAP_CALL)
    changed = bytes([sent.outData[0] ^ 1]) + sent.outData[1:]
    got = await keystore.decapsulate("ml_kem_key_b", UNWRAP_CALL, changed)
    assert len(got.sharedSecret) == 32
    assert got.sharedSecret != sent.sharedSecret


async def test_unwrap_keys_have_no_sessions(keystore: huks.Keystore) -> None:
    """WRAP and UNWRAP are no purposes of a session."""
    await keystore.generateKeyItem("key", options(**WRAPPING_KEY))
    await keystore.generateKeyItem("kem", options(**KEM_KEY))
    for alias, algorithm, purpose in (("key", s.ECC, s.UNWRAP), ("kem", s.ML_KEM, s.WRAP)):
        with refused(401, "HUKS_TAG_PURPOSE"):
            await keystore.initSession(alias, options(ALGORITHM=algorithm, PURPOSE=purpose))
    with refused(12000011):
        await keystore.finishSession(0, data(b""))
