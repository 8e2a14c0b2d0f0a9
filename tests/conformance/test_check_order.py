"""When two things are wrong, the documented order of checks decides which is told."""

from typing import Any, NamedTuple

import pytest

import huks_async as huks
from tests.conformance import support as s
from tests.conformance.support import NOTHING, Params, data, options, refused
from tests.conformance.test_content_errors import (
    AES,
    BASE,
    CBC,
    CCM,
    CCM_OPEN,
    ECC,
    ECDH,
    ECDSA,
    GCM,
    GCM_OPEN,
    HKDF,
    PSS,
    RSA_SIGN,
    inner,
    key,
    session,
)
from tests.keys.key_samples import header_form, sample

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning"),
]
T = huks.HuksTag


class Row(NamedTuple):
    """Two mistakes, and the code of the one that is asked first."""

    name: str
    key: Params
    session: Params
    code: int
    alias: Any = "key"


WRONG_TYPE: Params = {"KEY_ALIAS": "text"}
INIT = [
    Row("shape before another user", AES, CBC | WRONG_TYPE | {"SPECIFIC_USER_ID": 100}, 401),
    Row("shape before an absent key", AES, CBC | WRONG_TYPE, 401, "absent"),
    Row("alias before an absent key", AES, CBC, 401, ""),
    Row("security level before an absent key", AES, CBC | {"KEY_SECURITY_LEVEL": 1}, 401, "absent"),
    Row("storage level before an absent key", AES, CBC | {"AUTH_STORAGE_LEVEL": 9}, 401, "absent"),
    Row("absent key before a missing PURPOSE", AES, CBC | {"PURPOSE": None}, 12000011, "absent"),
    Row("absent key before batch", AES, CBC | {"IS_BATCH_OPERATION": True}, 12000011, "absent"),
    Row(
        "batch before a missing PURPOSE", AES, CBC | {"PURPOSE": None, "BATCH_OPERATION_TIMEOUT": 1}, 12000001
    ),
    Row("missing DIGEST before the algorithm", ECC, ECDSA | {"ALGORITHM": s.HKDF, "DIGEST": None}, 401),
    Row("two purposes before the algorithm", AES, CBC | {"PURPOSE": s.CIPHER, "ALGORITHM": s.HKDF}, 401),
    Row("algorithm before the key's purpose", AES, session(s.ECC, s.AGREE), 12000003),
    Row("algorithm before IV", AES, CBC | {"ALGORITHM": s.ECC, "IV": None}, 12000003),
    Row("RSA padding before an unknown digest", RSA_SIGN, PSS | {"PADDING": None, "DIGEST": 99}, 401),
    Row(
        "salt before the digest",
        RSA_SIGN | {"RSA_PSS_SALT_LEN_TYPE": 0, "DIGEST": s.SHA512},
        PSS | {"RSA_PSS_SALT_LEN_TYPE": 1},
        12000012,
    ),
    Row("ALGORITHM before an open mode", AES, CBC | {"ALGORITHM": s.SM4, "BLOCK_MODE": None}, 401),
    Row(
        "digest before the padding",
        RSA_SIGN | {"PADDING": s.PSS},
        PSS | {"DIGEST": 99, "PADDING": s.PKCS1},
        12000003,
    ),
    Row("mode before the padding", AES | {"PADDING": s.PKCS7}, CBC | {"BLOCK_MODE": 9}, 12000003),
    Row("differing mode before an open padding", AES | {"BLOCK_MODE": s.CTR}, CBC | {"PADDING": None}, 401),
    Row(
        "padding before the purpose",
        AES | {"PURPOSE": s.ENCRYPT},
        CBC | {"PADDING": None, "PURPOSE": s.DECRYPT},
        12000002,
    ),
    Row(
        "combination before the purpose",
        AES | {"PURPOSE": s.ENCRYPT},
        CBC | {"BLOCK_MODE": s.CTR, "PADDING": s.PKCS7, "PURPOSE": s.DECRYPT},
        12000003,
    ),
    Row("purpose before the tag's length", AES | {"PURPOSE": s.ENCRYPT}, GCM_OPEN | {"AE_TAG": b"1"}, 401),
    Row("mode before the tag's length", AES | {"BLOCK_MODE": s.CBC}, GCM | {"AE_TAG_LEN": 5}, 401),
    Row("GCM: NONCE before AE_TAG_LEN", AES, GCM_OPEN | {"NONCE": None, "AE_TAG_LEN": 12}, 401),
    Row("GCM: empty AAD before AE_TAG_LEN", AES, GCM_OPEN | {"AAD": b"", "AE_TAG_LEN": 12}, 401),
    Row("GCM: AE_TAG_LEN before AE_TAG", AES, GCM_OPEN | {"AE_TAG": None, "AE_TAG_LEN": 12}, 12000003),
    Row(
        "GCM: AE_TAG_LEN before the length", AES, GCM_OPEN | {"AE_TAG": bytes(12), "AE_TAG_LEN": 12}, 12000003
    ),
    Row("GCM: NONCE before the length", AES, GCM_OPEN | {"AE_TAG": b"1", "NONCE": None}, 401),
    Row("GCM: empty AAD before the length", AES, GCM_OPEN | {"AE_TAG": b"1", "AAD": b""}, 401),
    Row("CCM: AE_TAG_LEN before AE_TAG", AES, CCM_OPEN | {"AE_TAG": None, "AE_TAG_LEN": 5}, 12000003),
    Row(
        "CCM: AE_TAG before NONCE and AAD",
        AES,
        CCM_OPEN | {"AE_TAG": None, "NONCE": None, "AAD": b""},
        12000002,
    ),
    Row("CCM: mode before AE_TAG_LEN", AES | {"BLOCK_MODE": s.GCM}, CCM | {"AE_TAG_LEN": 5}, 401),
    Row(
        "derivation: digest before the size",
        BASE,
        HKDF | {"DIGEST": s.SHA512, "DERIVE_KEY_SIZE": 255 * 64 + 1},
        401,
    ),
    Row(
        "derivation: digest before the algorithm", BASE, HKDF | {"DIGEST": s.SHA512, "ALGORITHM": s.AES}, 401
    ),
    Row("derivation: purpose before the algorithm", AES, HKDF | {"ALGORITHM": s.AES}, 401),
    Row("agreement: algorithm before the key", ECDH, session(s.HKDF, s.AGREE), 12000003),
]


@pytest.mark.parametrize("row", INIT, ids=lambda row: row.name)
async def test_order_at_init(keystore: huks.Keystore, row: Row) -> None:
    """Of two mistakes at init the documented one is told."""
    await keystore.generateKeyItem("key", options(**row.key))
    with refused(row.code):
        await keystore.initSession(row.alias, {"properties": inner(**row.session)})


async def test_limit_of_sessions_comes_last(keystore: huks.Keystore) -> None:
    """A session that is wrong is told so before the limit is, and evicts nobody."""
    limits = huks.Limits(max_sessions=1)
    async with huks.Keystore.open("memory:", limits=limits, monitor=False) as full:
        await full.generateKeyItem("key", options(**AES))
        handle = (await full.initSession("key", options(**CBC))).handle
        with refused(401):
            await full.initSession("key", options(**CBC | {"IV": None}))
        with refused(12000010, "1"):
            await full.initSession("key", options(**CBC))
        await full.finishSession(handle, data(bytes(16)))


async def test_a_wrong_session_evicts_nobody_on_a_device(device: huks.Keystore) -> None:
    """An init that fails leaves all 32 sessions of a device as they are."""
    await device.generateKeyItem("key", options(**AES))
    handles = [(await device.initSession("key", options(**CBC))).handle for _ in range(32)]
    with refused(401):
        await device.initSession("key", options(**CBC | {"IV": None}))
    for handle in handles:
        await device.finishSession(handle, data(bytes(16)))


class New(NamedTuple):
    """A new key with two mistakes, under an alias that exists, and the code of the one asked first."""

    name: str
    params: Params
    code: int


KEEP: Params = {"KEY_OVERRIDE": False}
GENERATE = [
    New("shape before override", AES | KEEP | WRONG_TYPE, 401),
    New("temporary before override", AES | KEEP | {"KEY_STORAGE_FLAG": 0}, 401),
    New("override before ALGORITHM", AES | KEEP | {"ALGORITHM": None}, 12000017),
    New("override before KEY_SIZE", AES | KEEP | {"KEY_SIZE": 200}, 12000017),
    New("ALGORITHM before PURPOSE", AES | {"ALGORITHM": None, "PURPOSE": None}, 12000002),
    New("unknown ALGORITHM before PURPOSE", AES | {"ALGORITHM": 99, "PURPOSE": None}, 12000003),
    New("PURPOSE before KEY_SIZE", AES | {"PURPOSE": None, "KEY_SIZE": 200}, 12000002),
    New("KEY_SIZE before mixed purposes", AES | {"PURPOSE": s.ENCRYPT | s.SIGN, "KEY_SIZE": None}, 12000002),
    New("KEY_SIZE before PADDING", AES | {"KEY_SIZE": None, "PADDING": 99}, 12000002),
    New(
        "derivation: purposes before KEY_SIZE",
        BASE | {"PURPOSE": s.DERIVE | s.MAC, "KEY_SIZE": None},
        12000003,
    ),
    New("derivation: algorithm before KEY_SIZE", key(s.RSA, 0, s.DERIVE) | {"KEY_SIZE": None}, 12000003),
    New("MAC: KEY_SIZE before DIGEST", key(s.HMAC, 0, s.MAC, DIGEST=s.MD5) | {"KEY_SIZE": None}, 12000002),
    New("DIGEST before the engine's size", key(s.HMAC, 256, s.MAC, DIGEST=s.MD5), 12000003),
]


@pytest.mark.parametrize("new", GENERATE, ids=lambda new: new.name)
async def test_order_at_generate(keystore: huks.Keystore, new: New) -> None:
    """Of two mistakes at generation the documented one is told, and the older key stays."""
    await keystore.importKeyItem("key", options(bytes(32), **AES))
    before = await s.run(keystore, "key", last=b"x", **GCM, NONCE=s.NONCE12)
    with refused(new.code):
        await keystore.generateKeyItem("key", {"properties": inner(**new.params)})
    assert await s.run(keystore, "key", last=b"x", **GCM, NONCE=s.NONCE12) == before


def _rsa(**changes: bytes) -> bytes:
    return sample(s.RSA, 2048).blob(**changes)


RSA_PAIR = key(s.RSA, 2048, s.SIGNATURE, IMPORT_KEY_TYPE=s.PAIR)
ECC_PRIVATE = key(s.ECC, 256, s.SIGN, IMPORT_KEY_TYPE=s.PRIVATE)
BOUND = {"USER_AUTH_TYPE": 4, "KEY_AUTH_ACCESS_TYPE": 1, "CHALLENGE_TYPE": 0}
IMPORT: dict[str, tuple[Params, bytes, int]] = {
    "override before the bytes": (AES | KEEP, b"short", 12000017),
    "symmetric bytes before PURPOSE": (AES | {"PURPOSE": None}, bytes(31), 401),
    "symmetric bytes before PADDING": (AES | {"PADDING": 99}, bytes(31), 401),
    "symmetric bytes before KEY_SIZE": (AES | {"KEY_SIZE": 200}, bytes(25), 401),
    "PURPOSE before the size of symmetric bytes": (AES | {"PURPOSE": None}, bytes(24), 12000002),
    "mixed purposes before the size of symmetric bytes": (
        AES | {"PURPOSE": s.ENCRYPT | s.SIGN},
        bytes(24),
        12000003,
    ),
    "PADDING before the size of symmetric bytes": (AES | {"PADDING": 4}, bytes(24), 12000003),
    "mode before the size of symmetric bytes": (AES | {"BLOCK_MODE": 99}, bytes(24), 12000003),
    "PURPOSE before an unknown KEY_SIZE": (AES | {"PURPOSE": None, "KEY_SIZE": 200}, bytes(32), 12000002),
    "PURPOSE before the size of an SM4 key": (key(s.SM4, 128, 0), bytes(15), 12000002),
    "DIGEST before the size of an HMAC key": (key(s.HMAC, 256, s.MAC, DIGEST=s.MD5), bytes(31), 12000003),
    "DIGEST before the size of an SM3 key": (
        key(s.SM3_MAC, 256, s.MAC, DIGEST=s.SHA256),
        bytes(31),
        12000003,
    ),
    "PURPOSE before the size of a 3DES key": (key(s.DES3, 192, 0), bytes(16), 12000002),
    "PURPOSE before KEY_SIZE of 25519": (key(s.X25519, 255, 0), bytes(32), 12000002),
    "size of symmetric bytes before whom a key is bound to": (AES | BOUND, bytes(24), 12000013),
    "no bytes before PURPOSE": (AES | {"PURPOSE": None}, b"", 401),
    "SPKI before PURPOSE": (ECC | {"PURPOSE": None}, b"no key", 401),
    "SPKI of another size before PURPOSE": (ECC | {"PURPOSE": None}, sample(s.ECC, 384).spki, 401),
    "25519 bytes before PURPOSE": (key(s.X25519, 256, 0), bytes(31), 401),
    "ALGORITHM before the bytes": (AES | {"ALGORITHM": None}, bytes(31), 12000002),
    "unknown ALGORITHM before PURPOSE": (AES | {"ALGORITHM": 99, "PURPOSE": None}, bytes(32), 12000003),
    "ECDH is no import": (key(s.ECDH, 256, s.AGREE), bytes(32), 12000003),
    "RSA header before PURPOSE": (RSA_PAIR | {"PURPOSE": None}, b"no key at all, really", 401),
    "PURPOSE before an ECC header": (ECC_PRIVATE | {"PURPOSE": None}, b"no key at all, really", 12000002),
    "DIGEST before an ECC header": (ECC_PRIVATE | {"DIGEST": 99}, b"no key at all, really", 12000003),
    "ECC header before the type's purpose": (
        ECC_PRIVATE | {"PURPOSE": s.VERIFY},
        b"no key at all, really",
        401,
    ),
    "RSA sizes before the type's purpose": (
        RSA_PAIR | {"PURPOSE": s.SIGNATURE, "IMPORT_KEY_TYPE": s.PRIVATE},
        header_form(s.RSA, 1024, sample(s.RSA, 2048).fields),
        401,
    ),
    "the type's purpose before the numbers": (
        RSA_PAIR | {"IMPORT_KEY_TYPE": s.PRIVATE},
        _rsa(d=b"\2" * 256),
        12000003,
    ),
    "SPKI before the type's purpose": (ECC | {"PURPOSE": s.SIGN}, b"no key", 401),
    "ALGORITHM before whom a key is bound to": (AES | {"ALGORITHM": None} | BOUND, bytes(32), 12000002),
    "no import before whom a key is bound to": (key(s.ECDH, 256, s.AGREE) | BOUND, bytes(32), 12000003),
    "symmetric bytes before whom a key is bound to": (AES | BOUND, bytes(31), 401),
    "SPKI before whom a key is bound to": (ECC | BOUND, b"no key", 401),
    "whom a key is bound to before PURPOSE": (AES | {"PURPOSE": None} | BOUND, bytes(32), 12000013),
    "whom a key is bound to before a header": (ECC_PRIVATE | BOUND, b"no key at all, really", 12000013),
}


@pytest.mark.parametrize("name", IMPORT)
async def test_order_at_import(keystore: huks.Keystore, name: str) -> None:
    """Of two mistakes at import the documented one is told, and the older key stays."""
    params, material, code = IMPORT[name]
    await keystore.importKeyItem("key", options(bytes(32), **AES))
    with refused(code):
        await keystore.importKeyItem("key", {"properties": inner(**params), "inData": material})
    assert len(await s.run(keystore, "key", last=b"x", **GCM)) == 1 + 16 + 12


# --- update and finish --------------------------------------------------------------------------

TWICE = [{"tag": T.HUKS_TAG_IV, "value": b"1"}] * 2
UNKNOWN = [{"tag": 77, "value": 1}]
TOO_MANY = [
    {"tag": tag, "value": b"x" if tag >> 28 == 5 else True if tag >> 28 == 4 else 1}
    for tag in [tag for tag in T if tag not in (0, T.HUKS_TAG_PROCESS_NAME, T.HUKS_TAG_AAD)][:43]
]


@pytest.mark.parametrize("name", ["updateSession", "finishSession"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"properties": [], "inData": "text"},
        {"properties": [{"tag": T.HUKS_TAG_IV, "value": 5}]},
        {"properties": [], "inData": bytes(1001)},
        {"properties": TOO_MANY},
        {"properties": TOO_MANY[:42] + TOO_MANY[:1]},
        {"properties": [{"tag": T.HUKS_TAG_IV, "value": bytes(4 * 1024 * 1024 + 1)}]},
        5,
    ],
    ids=["data", "value", "too-large", "43", "43-one-twice", "4-MiB", "options"],
)
async def test_shape_comes_before_the_handle(name: str, wrong: Any) -> None:
    """What is wrong in shape or too large is told before an unknown handle, and leaves the session."""
    limits = huks.Limits(max_call_bytes=1000)
    async with huks.Keystore.open("memory:", limits=limits, monitor=False) as small:
        await small.generateKeyItem("key", options(**AES))
        handle = (await small.initSession("key", options(**CBC))).handle
        for given in (7, handle):
            with refused(401):
                await getattr(small, name)(given, wrong)
        assert len((await small.finishSession(handle, data(bytes(16)))).outData) == 16


@pytest.mark.parametrize("name", ["updateSession", "finishSession"])
@pytest.mark.parametrize(
    ("given", "token", "told"),
    [(bytes(1001), None, "1001 bytes"), ("text", None, "inData"), (bytes(16), "text", "token")],
    ids=["too-large", "data", "token"],
)
@pytest.mark.parametrize(
    "wrong",
    [TWICE, UNKNOWN, inner(KEY_SECURITY_LEVEL=1)],
    ids=["twice", "unknown", "security-level"],
)
async def test_shape_comes_before_the_parameters(
    name: str, given: Any, token: Any, told: str, wrong: Any
) -> None:
    """What is wrong in shape or too large is told before parameters that end the session, and leaves it."""
    limits = huks.Limits(max_call_bytes=1000)
    async with huks.Keystore.open("memory:", limits=limits, monitor=False) as small:
        await small.generateKeyItem("key", options(**AES))
        handle = (await small.initSession("key", options(**CBC))).handle
        with refused(401, told):
            await getattr(small, name)(handle, {"properties": wrong, "inData": given}, token)
        assert len((await small.finishSession(handle, data(bytes(16)))).outData) == 16


@pytest.mark.parametrize("name", ["updateSession", "finishSession"])
@pytest.mark.parametrize("wrong", [TWICE, UNKNOWN], ids=["twice", "unknown"])
async def test_an_illegal_set_comes_after_the_handle(keystore: huks.Keystore, name: str, wrong: Any) -> None:
    """A set that is illegal as a whole is told after an unknown handle, and ends the session."""
    await keystore.generateKeyItem("key", options(**AES))
    handle = (await keystore.initSession("key", options(**CBC))).handle
    with refused(12000011):
        await getattr(keystore, name)(7, {"properties": wrong})
    with refused(401):
        await getattr(keystore, name)(handle, {"properties": wrong})
    with refused(12000011, "failed"):
        await keystore.finishSession(handle, NOTHING)


@pytest.mark.parametrize("wrong", [TWICE, UNKNOWN], ids=["twice", "unknown"])
async def test_abort_of_an_unknown_handle_succeeds_whatever_is_given(
    either: huks.Keystore, wrong: Any
) -> None:
    """Abort knows no unknown handle: a set that is illegal as a whole is told only where there is a session."""
    await either.generateKeyItem("key", options(**AES))
    handle = (await either.initSession("key", options(**CBC))).handle
    assert await either.abortSession(7, {"properties": wrong}) is None
    with refused(401):
        await either.abortSession(handle, {"properties": wrong})
    assert either.statistics().open == 0
    assert await either.abortSession(handle, {"properties": wrong}) is None


@pytest.mark.parametrize(("name", "stays"), [("updateSession", True), ("finishSession", False)])
async def test_security_level_comes_after_the_handle(keystore: huks.Keystore, name: str, stays: bool) -> None:
    """A security level is told after an unknown handle; update leaves the session, finish ends it."""
    await keystore.generateKeyItem("key", options(**AES))
    handle = (await keystore.initSession("key", options(**CBC))).handle
    level = options(bytes(16), KEY_SECURITY_LEVEL=1)
    with refused(12000011):
        await getattr(keystore, name)(7, level)
    with refused(401, "SECURITY_LEVEL"):
        await getattr(keystore, name)(handle, level)
    assert keystore.statistics().open == (1 if stays else 0)
