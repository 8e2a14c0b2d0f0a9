"""Answers that were seen on devices where documents and sources are silent or say something else; both profiles."""

import hashlib

import pytest

import huks_async as huks
from huks_async import HuksErrorCode
from tests.conformance import support as s
from tests.conformance.support import NOTHING, Params, options, refused
from tests.conformance.test_content_errors import (
    AES,
    BASE,
    CBC,
    CCM_OPEN,
    ECB,
    ECC,
    ECDSA,
    GCM,
    HKDF,
    HMAC,
    MAC,
    OAEP,
    RSA_CIPHER,
    SM4,
    SM4_CBC,
    key,
    session,
)
from tests.keys.key_samples import sample

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning"),
]

EMPTY_AND_UNUSED = [
    pytest.param(AES, CBC, "SALT", id="SALT in CBC"),
    pytest.param(AES, CBC, "INFO", id="INFO in CBC"),
    pytest.param(AES, CBC, "ASSOCIATED_DATA", id="older AAD in CBC"),
    pytest.param(AES, CBC, "AAD", id="AAD in CBC"),
    pytest.param(AES, CBC, "AE_TAG", id="AE_TAG in CBC"),
    pytest.param(AES, CBC, "NONCE", id="NONCE in CBC"),
    pytest.param(AES, ECB, "IV", id="IV in ECB"),
    pytest.param(AES, ECB, "NONCE", id="NONCE in ECB"),
    pytest.param(AES, GCM, "SALT", id="SALT in GCM"),
    pytest.param(AES, GCM, "IV", id="IV in GCM"),
    pytest.param(AES, GCM, "AE_TAG", id="AE_TAG in sealing with GCM"),
    pytest.param(AES, GCM | {"BLOCK_MODE": s.CCM}, "AE_TAG", id="AE_TAG in sealing with CCM"),
    pytest.param(SM4, SM4_CBC, "SALT", id="SALT in SM4"),
    pytest.param(SM4, SM4_CBC | {"BLOCK_MODE": s.OFB}, "NONCE", id="NONCE in OFB with an IV"),
    pytest.param(RSA_CIPHER, OAEP, "SALT", id="SALT in OAEP"),
    pytest.param(HMAC, MAC, "SALT", id="SALT in a MAC"),
    pytest.param(ECC, ECDSA, "CONTEXT", id="CONTEXT in ECDSA"),
    pytest.param(BASE, HKDF, "NONCE", id="NONCE in a derivation"),
]


@pytest.mark.parametrize(("made", "given", "tag"), EMPTY_AND_UNUSED)
async def test_an_empty_byte_string_is_no_value(
    either: huks.Keystore, made: Params, given: Params, tag: str
) -> None:
    """Also under a tag that the operation does not use: 401, however often the options come, and with what before."""
    await either.generateKeyItem("key", options(**made))
    empty, full = options(**given | {tag: b""}), options(**given | {tag: b"0123456789abcdef"})
    word = "ASSOCIATED_DATA" if tag == "AAD" else tag
    for _ in range(3):
        with refused(401, f"HUKS_TAG_{word} has 0 bytes"):
            await either.initSession("key", empty)
        await either.abortSession((await either.initSession("key", full)).handle, NOTHING)
    value = next(each for each in full["properties"] if each["tag"] == huks.HuksTag[f"HUKS_TAG_{tag}"])
    value["value"] = b""
    with refused(401, f"HUKS_TAG_{word} has 0 bytes"):
        await either.initSession("key", full)
    with refused(401, f"HUKS_TAG_{word} has 0 bytes"):  # another form of the same
        params = [huks.HuksParam(each["tag"], each["value"]) for each in empty["properties"]]
        await either.initSession("key", huks.HuksOptions(params))


async def test_where_an_empty_byte_string_is_a_value(either: huks.Keystore) -> None:
    """Salt and info of a derivation, and the context of ML-DSA, may be empty; other codes keep their place."""
    await either.importKeyItem("base", options(bytes(32), **BASE))
    handle = (await either.initSession("base", options(**HKDF | {"SALT": b"", "INFO": b""}))).handle
    await either.updateSession(handle, NOTHING)
    derived = (await either.finishSession(handle, NOTHING)).outData
    plain = (await either.initSession("base", options(**HKDF))).handle
    await either.updateSession(plain, NOTHING)
    assert (await either.finishSession(plain, NOTHING)).outData == derived
    await either.generateKeyItem("lattice", options(**key(s.ML_DSA, 44, s.SIGNATURE)))
    lattice = session(s.ML_DSA, s.SIGN) | {"CONTEXT": b""}
    await either.abortSession((await either.initSession("lattice", options(**lattice))).handle, NOTHING)
    await either.generateKeyItem("aes", options(**AES))
    with refused(12000002, "AE_TAG"):
        await either.initSession("aes", options(**CCM_OPEN | {"AE_TAG": b""}))


@pytest.mark.parametrize(
    ("made", "size", "length", "code"),
    [
        (AES, 512, 64, 401),
        (AES, 512, 32, 12000003),
        (AES, 200, 25, 401),
        (SM4, 256, 32, 12000003),
        (AES, 64, 8, 401),
        (AES, None, 25, 401),
    ],
)
async def test_the_deprecated_import_names_a_wrong_size_as_bad_key_information(
    either: huks.Keystore, made: Params, size: int | None, length: int, code: int
) -> None:
    """-19 for a raw key, not -113; the newer function says whether the bytes or the parameter are wrong."""
    given = options(bytes(length), **made | {"KEY_SIZE": size})
    assert (
        (await either.importKey("key", given)).errorCode == HuksErrorCode.HUKS_ERROR_INVALID_KEY_INFO == -19
    )
    with refused(code, "bytes" if code == 401 else "KEY_SIZE"):
        await either.importKeyItem("key", given)
    assert not await either.hasKeyItem("key", NOTHING)


@pytest.mark.parametrize(
    ("made", "given", "reason"),
    [
        pytest.param(
            key(s.DES, 64, s.CIPHER),
            session(s.DES, s.ENCRYPT, BLOCK_MODE=s.ECB, PADDING=s.PKCS7),
            -114,
            id="DES",
        ),
        pytest.param(
            key(s.DES3, 192, s.CIPHER),
            session(s.DES3, s.ENCRYPT, BLOCK_MODE=s.ECB, PADDING=s.PKCS7),
            -114,
            id="3DES",
        ),
        pytest.param(RSA_CIPHER, OAEP | {"PADDING": s.PKCS7}, -114, id="RSA"),
        pytest.param(AES, CBC | {"BLOCK_MODE": s.OFB}, -116, id="AES-OFB"),
        pytest.param(ECC, ECDSA | {"DIGEST": s.MD5}, -117, id="ECDSA-MD5"),
        pytest.param(HMAC, MAC | {"DIGEST": s.MD5}, -117, id="HMAC-MD5"),
        pytest.param(RSA_CIPHER, OAEP | {"DIGEST": s.NO_DIGEST}, -117, id="OAEP without digest"),
    ],
)
async def test_a_value_that_the_algorithm_does_not_have(
    either: huks.Keystore, made: Params, given: Params, reason: int
) -> None:
    """12000003 where the key left it open, and the deprecated code of a wrong value, not of a missing one."""
    await either.generateKeyItem("key", options(**made))
    with refused(12000003):
        await either.initSession("key", options(**given))
    assert (await either.init("key", options(**given))).errorCode == reason


async def test_sm2_public_keys_of_older_devices(either: huks.Keystore) -> None:
    """92 bytes, with SM2's own identifier as the algorithm: imported, exported in today's form, and verifies."""
    made = sample(s.SM2, 256)
    point = made.fields["x"] + made.fields["y"]
    older = bytes.fromhex("305a3014 06082a811ccf5501822d 06082a811ccf5501822d 034200 04") + point
    verify = key(s.SM2, 256, s.VERIFY, DIGEST=s.SM3)
    await either.importKeyItem("older", options(older, **verify))
    assert (await either.exportKeyItem("older", NOTHING)).outData == made.spki
    pair = key(s.SM2, 256, s.SIGNATURE, DIGEST=s.SM3, IMPORT_KEY_TYPE=s.PAIR)
    await either.importKeyItem("pair", options(made.blob(), **pair))
    text = hashlib.sha256(b"text").digest()
    signature = await s.run(either, "pair", last=text, **session(s.SM2, s.SIGN, DIGEST=s.SM3))
    assert await s.verifies(either, "older", text, signature, ALGORITHM=s.SM2, DIGEST=s.SM3)


async def test_a_wrapped_key_for_x25519_under_another_key(either: huks.Keystore) -> None:
    """12000006 where the wrapping key is of another algorithm; its purpose is looked at before."""
    await either.generateKeyItem("x", options(**key(s.X25519, 256, s.UNWRAP, DIGEST=s.SHA256)))
    public = (await either.exportKeyItem("x", NOTHING)).outData
    blob = huks.pack_wrapped_key(bytes(32), public).inData
    await either.generateKeyItem("ecc", options(**key(s.ECC, 256, s.UNWRAP, DIGEST=s.SHA256)))
    given = options(blob, **AES | {"UNWRAP_ALGORITHM_SUITE": 1})
    with refused(12000006, "suite 1"):
        await either.importWrappedKeyItem("new", "ecc", given)
    await either.generateKeyItem("signs", options(**key(s.ECC, 256, s.SIGN, DIGEST=s.SHA256)))
    with refused(12000003, "PURPOSE"):
        await either.importWrappedKeyItem("new", "signs", given)
    await either.importWrappedKeyItem("new", "x", given)
