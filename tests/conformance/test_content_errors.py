"""Arguments of the right shape with wrong content, row by row: what init refuses, and what update and finish do."""

import re
from typing import Any, NamedTuple

import pytest

import huks_async as huks
from huks_async import HuksKeyDigest
from huks_async.crypto.rules import support_table
from tests.conformance import support as s
from tests.conformance.support import NOTHING, Params, data, options, properties, refused

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning"),
    pytest.mark.filterwarnings("ignore::huks_async.HuksCompatibilityWarning"),
]


def key(algorithm: int, size: int, purpose: int, **more: Any) -> Params:
    """Parameters of a key."""
    return {"ALGORITHM": algorithm, "KEY_SIZE": size, "PURPOSE": purpose} | more


def session(algorithm: int, purpose: int, **more: Any) -> Params:
    """Parameters of a session."""
    return {"ALGORITHM": algorithm, "PURPOSE": purpose} | more


AES = key(s.AES, 256, s.CIPHER)
DES = key(s.DES, 64, s.CIPHER)
SM4 = key(s.SM4, 128, s.CIPHER)
RSA_CIPHER = key(s.RSA, 1024, s.CIPHER)
RSA_SIGN = key(s.RSA, 1024, s.SIGNATURE)
ECC = key(s.ECC, 256, s.SIGNATURE)
HMAC = key(s.HMAC, 256, s.MAC)
BASE = key(s.AES, 256, s.DERIVE, DIGEST=s.SHA256)
OPEN_BASE = key(s.AES, 256, s.DERIVE)
RSA_PKCS1 = RSA_SIGN | {"PADDING": s.PKCS1}
RSA_OAEP = key(s.RSA, 1024, s.CIPHER, PADDING=s.OAEP)
DSA = key(s.DSA, 1024, s.SIGNATURE)
DSA_VERIFY = session(s.DSA, s.VERIFY, DIGEST=s.SHA256)
ED = key(s.ED25519, 256, s.SIGNATURE)
X = key(s.X25519, 256, s.AGREE)
ECDH = key(s.ECC, 256, s.AGREE)

CBC = session(s.AES, s.ENCRYPT, BLOCK_MODE=s.CBC, PADDING=s.NOPAD, IV=s.IV16)
ECB = session(s.AES, s.ENCRYPT, BLOCK_MODE=s.ECB, PADDING=s.NOPAD)
GCM = session(s.AES, s.ENCRYPT, BLOCK_MODE=s.GCM, PADDING=s.NOPAD)
GCM_OPEN = GCM | {"PURPOSE": s.DECRYPT, "NONCE": s.NONCE12, "AE_TAG": bytes(16)}
CCM = GCM | {"BLOCK_MODE": s.CCM}
CCM_OPEN = GCM_OPEN | {"BLOCK_MODE": s.CCM}
DES_CBC = session(s.DES, s.ENCRYPT, BLOCK_MODE=s.CBC, PADDING=s.NOPAD, IV=bytes(8))
SM4_CBC = CBC | {"ALGORITHM": s.SM4}
OAEP = session(s.RSA, s.ENCRYPT, PADDING=s.OAEP, DIGEST=s.SHA256, KEY_SIZE=1024)
PSS = session(s.RSA, s.SIGN, PADDING=s.PSS, DIGEST=s.SHA256)
ECDSA = session(s.ECC, s.SIGN, DIGEST=s.SHA256)
MAC = session(s.HMAC, s.MAC, DIGEST=s.SHA256)
HKDF = session(s.HKDF, s.DERIVE, DIGEST=s.SHA256, DERIVE_KEY_SIZE=32)
PBKDF2 = HKDF | {"ALGORITHM": s.PBKDF2, "ITERATION": 1000, "SALT": s.SALT16}
AGREE = session(s.X25519, s.AGREE)
SM2 = key(s.SM2, 256, s.SIGNATURE)


class Row(NamedTuple):
    """A session that is refused at init: its key, its parameters, the code, the tag that the message names."""

    name: str
    key: Params
    session: Params
    code: int
    word: str = ""


INIT = [
    # what every session has
    Row("no ALGORITHM", AES, CBC | {"ALGORITHM": None}, 401, "ALGORITHM"),
    Row("ALGORITHM 0", AES, CBC | {"ALGORITHM": 0}, 401, "ALGORITHM"),
    Row("no PURPOSE", AES, CBC | {"PURPOSE": None}, 401, "PURPOSE"),
    Row("PURPOSE 0", AES, CBC | {"PURPOSE": 0}, 401, "PURPOSE"),
    Row("PURPOSE of two operations", AES, CBC | {"PURPOSE": s.CIPHER}, 401, "PURPOSE"),
    Row("PURPOSE WRAP", AES, CBC | {"PURPOSE": s.WRAP}, 401, "PURPOSE"),
    Row("PURPOSE UNWRAP", AES, CBC | {"PURPOSE": s.UNWRAP}, 401, "PURPOSE"),
    Row("PURPOSE unknown", AES, CBC | {"PURPOSE": 1 << 20}, 401, "PURPOSE"),
    Row("PURPOSE the key lacks", AES | {"PURPOSE": s.ENCRYPT}, CBC | {"PURPOSE": s.DECRYPT}, 401, "PURPOSE"),
    Row("PURPOSE of another usage", AES, MAC, 401),
    Row("sign with a cipher key", AES, ECDSA, 401),
    Row("security level", AES, CBC | {"KEY_SECURITY_LEVEL": 1}, 401, "SECURITY_LEVEL"),
    Row("storage level unknown", AES, CBC | {"AUTH_STORAGE_LEVEL": 3}, 401, "STORAGE_LEVEL"),
    Row("storage level of another key", AES, CBC | {"AUTH_STORAGE_LEVEL": s.DE}, 12000011),
    # DIGEST missing, even where the key leaves it open
    Row("no DIGEST for HMAC", HMAC, MAC | {"DIGEST": None}, 401, "DIGEST"),
    Row("no DIGEST for SM3", key(s.SM3_MAC, 256, s.MAC), session(s.SM3_MAC, s.MAC), 401, "DIGEST"),
    Row("no DIGEST for ECDSA", ECC, ECDSA | {"DIGEST": None}, 401, "DIGEST"),
    Row("no DIGEST for RSA", RSA_SIGN, PSS | {"DIGEST": None}, 401, "DIGEST"),
    Row("no DIGEST for SM2", SM2, session(s.SM2, s.VERIFY), 401, "DIGEST"),
    # tags that the key fixes
    Row("ALGORITHM differs", AES, CBC | {"ALGORITHM": s.SM4}, 401, "ALGORITHM"),
    Row("BLOCK_MODE missing", AES | {"BLOCK_MODE": s.CBC}, CBC | {"BLOCK_MODE": None}, 401, "BLOCK_MODE"),
    Row("BLOCK_MODE differs", AES | {"BLOCK_MODE": s.CBC}, ECB, 401, "BLOCK_MODE"),
    Row("PADDING missing", AES | {"PADDING": s.NOPAD}, CBC | {"PADDING": None}, 401, "PADDING"),
    Row("PADDING differs", AES | {"PADDING": s.PKCS7}, CBC, 401, "PADDING"),
    Row("DIGEST differs", ECC | {"DIGEST": s.SHA384}, ECDSA, 401, "DIGEST"),
    Row("DIGEST of HMAC differs", HMAC | {"DIGEST": s.SHA512}, MAC, 401, "DIGEST"),
    Row("DIGEST of OAEP missing", RSA_CIPHER | {"DIGEST": s.SHA256}, OAEP | {"DIGEST": None}, 401, "DIGEST"),
    Row("DIGEST of OAEP differs", RSA_CIPHER | {"DIGEST": s.SHA1}, OAEP, 401, "DIGEST"),
    Row("DIGEST of a base key differs", BASE, HKDF | {"DIGEST": s.SHA512}, 401, "DIGEST"),
    Row("DIGEST of a base key missing", BASE, HKDF | {"DIGEST": None}, 401, "DIGEST"),
    # tags that the key leaves open
    Row("BLOCK_MODE open", AES, CBC | {"BLOCK_MODE": None}, 12000002, "BLOCK_MODE"),
    Row("BLOCK_MODE open and unknown", AES, CBC | {"BLOCK_MODE": 7}, 12000003, "BLOCK_MODE"),
    Row("BLOCK_MODE open, not AES's", AES, CBC | {"BLOCK_MODE": s.OFB}, 12000003, "BLOCK_MODE"),
    Row("PADDING open", AES, CBC | {"PADDING": None}, 12000002, "PADDING"),
    Row("PADDING open and unknown", AES, CBC | {"PADDING": 77}, 12000003, "PADDING"),
    Row("PADDING open, PKCS5", AES, CBC | {"PADDING": s.PKCS5}, 12000003, "PADDING"),
    Row("PADDING open for RSA", RSA_CIPHER, OAEP | {"PADDING": None}, 12000002, "PADDING"),
    Row("DIGEST open for OAEP", RSA_CIPHER, OAEP | {"DIGEST": None}, 12000002, "DIGEST"),
    Row("DIGEST open and unknown", ECC, ECDSA | {"DIGEST": 77}, 12000003, "DIGEST"),
    Row("DIGEST open, SM3 for ECDSA", ECC, ECDSA | {"DIGEST": s.SM3}, 12000003, "DIGEST"),
    Row("DIGEST open, MD5 for HMAC", HMAC, MAC | {"DIGEST": s.MD5}, 12000003, "DIGEST"),
    # combinations
    Row("CTR with PKCS7", AES, CBC | {"BLOCK_MODE": s.CTR, "PADDING": s.PKCS7}, 12000003, "PADDING_PKCS7"),
    Row("GCM with PKCS7", AES, GCM | {"PADDING": s.PKCS7}, 12000003, "PADDING_PKCS7"),
    Row(
        "CFB with PKCS7", SM4, SM4_CBC | {"BLOCK_MODE": s.CFB, "PADDING": s.PKCS7}, 12000003, "PADDING_PKCS7"
    ),
    Row("PADDING of ISO 9796-2", RSA_SIGN, PSS | {"PADDING": 6}, 12000001, "9796"),
    Row("PADDING of ISO 9796-2, key of PKCS1", RSA_PKCS1, PSS | {"PADDING": 6}, 401, "PADDING"),
    Row("PADDING of ISO 9796-2, cipher key of OAEP", RSA_OAEP, OAEP | {"PADDING": 6}, 401, "PADDING"),
    Row("raw signature with a digest", RSA_SIGN, PSS | {"PADDING": s.NOPAD}, 12000003, "DIGEST"),
    # algorithms that a purpose does not serve
    Row("ECC agrees as ECDH", ECDH, session(s.ECC, s.AGREE), 12000003, "ECDH"),
    Row("ED25519 does not agree", key(s.ED25519, 256, s.AGREE), session(s.ED25519, s.AGREE), 12000003),
    Row("HKDF does not encrypt", BASE, CBC | {"ALGORITHM": s.HKDF}, 12000003, "HKDF"),
    Row("AES as a MAC is HMAC", key(s.AES, 256, s.MAC), MAC | {"ALGORITHM": s.AES}, 12000003, "HMAC"),
    Row("AES as a KDF", BASE, HKDF | {"ALGORITHM": s.AES}, 12000003, "HKDF"),
    Row("ECC as a KDF of an open digest", OPEN_BASE, HKDF | {"ALGORITHM": s.ECC}, 12000003, "HKDF"),
    Row("ALGORITHM unknown", AES, CBC | {"ALGORITHM": 999}, 12000003, "999"),
    # RSA signatures
    Row("no PADDING for RSA sign", RSA_SIGN, PSS | {"PADDING": None}, 401, "PADDING"),
    Row(
        "no PADDING though the key has it",
        RSA_SIGN | {"PADDING": s.PSS},
        PSS | {"PADDING": None},
        401,
        "PADDING",
    ),
    Row(
        "salt differs",
        RSA_SIGN | {"RSA_PSS_SALT_LEN_TYPE": 0},
        PSS | {"RSA_PSS_SALT_LEN_TYPE": 1},
        12000012,
        "SALT",
    ),
    Row("salt missing", RSA_SIGN | {"RSA_PSS_SALT_LEN_TYPE": 0}, PSS, 12000012, "SALT"),
    # IV
    Row("no IV for CBC", AES, CBC | {"IV": None}, 401, "IV"),
    Row("empty IV for CBC", AES, CBC | {"IV": b""}, 401, "IV"),
    Row("IV of 17 bytes", AES, CBC | {"IV": bytes(17)}, 12000003, "17"),
    Row("IV of 17 bytes for SM4", SM4, SM4_CBC | {"IV": bytes(17)}, 12000003, "17"),
    Row("no IV for DES", DES, DES_CBC | {"IV": None}, 401, "IV"),
    Row("IV of 7 bytes for DES", DES, DES_CBC | {"IV": bytes(7)}, 12000003, "7"),
    Row("IV of 16 bytes for DES", DES, DES_CBC | {"IV": bytes(16)}, 12000003, "16"),
    # GCM
    Row("GCM decrypt without NONCE", AES, GCM_OPEN | {"NONCE": None}, 401, "NONCE"),
    Row("GCM decrypt with an empty NONCE", AES, GCM_OPEN | {"NONCE": b""}, 401, "NONCE"),
    Row("GCM encrypt with an empty NONCE", AES, GCM | {"NONCE": b""}, 401, "NONCE"),
    Row("GCM with an empty AAD", AES, GCM | {"AAD": b""}, 401, "DATA"),
    Row("GCM with an empty older AAD", AES, GCM | {"ASSOCIATED_DATA": b""}, 401, "DATA"),
    Row("GCM decrypt without AE_TAG", AES, GCM_OPEN | {"AE_TAG": None}, 401, "AE_TAG"),
    Row("GCM decrypt with an empty AE_TAG", AES, GCM_OPEN | {"AE_TAG": b""}, 401, "AE_TAG"),
    Row("GCM AE_TAG of 15 bytes", AES, GCM_OPEN | {"AE_TAG": bytes(15)}, 12000018, "15"),
    Row("GCM AE_TAG of 17 bytes", AES, GCM_OPEN | {"AE_TAG": bytes(17)}, 12000018, "17"),
    Row("GCM AE_TAG_LEN 12", AES, GCM | {"AE_TAG_LEN": 12}, 12000003, "12"),
    Row("GCM AE_TAG_LEN 0", AES, GCM | {"AE_TAG_LEN": 0}, 12000003, "AE_TAG_LEN"),
    # CCM
    Row("CCM decrypt without AE_TAG", AES, CCM_OPEN | {"AE_TAG": None}, 12000002, "AE_TAG"),
    Row("CCM decrypt with an empty AE_TAG", AES, CCM_OPEN | {"AE_TAG": b""}, 12000002, "AE_TAG"),
    Row("CCM AE_TAG of 15 bytes", AES, CCM_OPEN | {"AE_TAG": bytes(15)}, 12000018, "15"),
    Row("CCM AE_TAG not of AE_TAG_LEN", AES, CCM_OPEN | {"AE_TAG_LEN": 8}, 12000018, "8"),
    Row("CCM AE_TAG_LEN 5", AES, CCM | {"AE_TAG_LEN": 5}, 12000003, "5"),
    Row("CCM AE_TAG_LEN 18", AES, CCM | {"AE_TAG_LEN": 18}, 12000003, "18"),
    # RSA encryption
    Row("OAEP without KEY_SIZE", RSA_CIPHER, OAEP | {"KEY_SIZE": None}, 12000004, "KEY_SIZE"),
    Row("OAEP key too small", RSA_CIPHER, OAEP | {"DIGEST": s.SHA512}, 12000004, "SHA512"),
    # derivation: checked at init, where the guide puts all of it
    Row("no DERIVE_KEY_SIZE", BASE, HKDF | {"DERIVE_KEY_SIZE": None}, 401, "DERIVE_KEY_SIZE"),
    Row("DERIVE_KEY_SIZE 0", BASE, HKDF | {"DERIVE_KEY_SIZE": 0}, 401, "DERIVE_KEY_SIZE"),
    Row(
        "DERIVE_KEY_SIZE over 5 MiB",
        BASE,
        PBKDF2 | {"DERIVE_KEY_SIZE": 5 * 2**20 + 1},
        401,
        "DERIVE_KEY_SIZE",
    ),
    Row("DERIVE_KEY_SIZE over HKDF's", BASE, HKDF | {"DERIVE_KEY_SIZE": 255 * 32 + 1}, 12000006, "8160"),
    Row("no ITERATION", BASE, PBKDF2 | {"ITERATION": None}, 12000002, "ITERATION"),
    Row("ITERATION 0", BASE, PBKDF2 | {"ITERATION": 0}, 12000003, "1000"),
    Row("ITERATION 999", BASE, PBKDF2 | {"ITERATION": 999}, 12000003, "1000"),
    Row("derivation of SM3", key(s.SM4, 128, s.DERIVE), HKDF | {"DIGEST": s.SM3}, 12000006, "SM3"),
    # batch sessions
    Row("batch timeout without batch", AES, CBC | {"BATCH_OPERATION_TIMEOUT": 60}, 12000001, "atch"),
    Row("batch", AES, CBC | {"IS_BATCH_OPERATION": True}, 401, "BATCH_PURPOSE"),
]


def inner(**tags: Any) -> list[dict[str, Any]]:
    """Parameters, with those tags that the declaration leaves out."""
    names = huks.InnerTag.__members__
    found = properties(**{name: value for name, value in tags.items() if name not in names})
    return found + [{"tag": names[name], "value": value} for name, value in tags.items() if name in names]


@pytest.mark.parametrize("row", INIT, ids=lambda row: row.name)
async def test_init_refuses(either: huks.Keystore, row: Row) -> None:
    """Init gives the documented code in both profiles, names what is wrong, and leaves no session."""
    await either.generateKeyItem("key", options(**row.key))
    with refused(row.code, row.word):
        await either.initSession("key", {"properties": inner(**row.session)})
    assert either.statistics().open == 0


@pytest.mark.parametrize(
    "given",
    [
        pytest.param((AES, CBC | {"AE_TAG_LEN": 5}), id="AE_TAG_LEN with CBC"),
        pytest.param((AES, ECB | {"IV": b"x"}), id="IV with ECB"),
        pytest.param((AES, CBC | {"KEY_SIZE": 128}), id="another KEY_SIZE"),
        pytest.param((ED, session(s.ED25519, s.SIGN)), id="Ed25519 without DIGEST"),
        pytest.param((ED, session(s.ED25519, s.SIGN, DIGEST=s.SHA256)), id="Ed25519 with DIGEST"),
        pytest.param((key(s.ML_DSA, 44, s.SIGNATURE), session(s.ML_DSA, s.SIGN)), id="ML-DSA without DIGEST"),
        pytest.param(
            (RSA_CIPHER | {"DIGEST": s.SHA256}, OAEP | {"PADDING": s.PKCS1, "DIGEST": None}),
            id="PKCS1 DIGEST",
        ),
        pytest.param(
            (RSA_CIPHER | {"DIGEST": s.SHA256}, OAEP | {"PADDING": s.PKCS1, "DIGEST": s.SHA512}),
            id="PKCS1 with another DIGEST",
        ),
        pytest.param((key(s.AES, 256, s.MAC), MAC), id="HMAC over an AES key"),
        pytest.param((BASE, HKDF | {"SALT": b"", "INFO": b""}), id="empty SALT and INFO"),
        pytest.param(
            (BASE, PBKDF2 | {"ITERATION": 524_289}), id="more iterations than a device's one-stage API"
        ),
        pytest.param((RSA_SIGN, PSS | {"RSA_PSS_SALT_LEN_TYPE": 0}), id="salt chosen by the session"),
    ],
)
async def test_init_accepts(either: huks.Keystore, given: tuple[Params, Params]) -> None:
    """What plays no part, or may be left out, is no mistake."""
    await either.generateKeyItem("key", options(**given[0]))
    handle = (await either.initSession("key", options(**given[1]))).handle
    await either.abortSession(handle, NOTHING)


# Keys that leave open what they can, and the sessions that they are for.
OWN_SESSIONS: dict[str, tuple[Params, tuple[str, ...]]] = {
    "AES": (AES, ("CBC", "GCM")),
    "AES derivation": (key(s.AES, 256, s.DERIVE), ("HKDF", "PBKDF2")),
    "AES MAC": (key(s.AES, 256, s.MAC), ("HMAC",)),
    "SM4": (SM4, ("SM4",)),
    "DES": (DES, ("DES",)),
    "RSA cipher": (RSA_CIPHER, ("OAEP", "RSA PKCS1")),
    "RSA signature": (RSA_SIGN, ("PSS",)),
    "ECC signature": (ECC, ("ECDSA",)),
    "ECC agreement": (ECDH, ("ECDH",)),
    "ECC unwrapping": (key(s.ECC, 256, s.UNWRAP), ()),
    "Ed25519": (ED, ("Ed25519",)),
    "X25519": (X, ("X25519",)),
    "SM2 signature": (SM2, ("SM2",)),
    "SM2 cipher": (key(s.SM2, 256, s.CIPHER), ("SM2 cipher",)),
    "HMAC": (HMAC, ("HMAC",)),
    "SM3": (key(s.SM3_MAC, 256, s.MAC), ("SM3",)),
    "ML-DSA": (key(s.ML_DSA, 44, s.SIGNATURE), ("ML-DSA",)),
    "ML-KEM": (key(s.ML_KEM, 768, s.WRAP | s.UNWRAP), ()),
}
ALL_SESSIONS: dict[str, Params] = {
    "CBC": CBC,
    "GCM": GCM,
    "SM4": SM4_CBC,
    "DES": DES_CBC,
    "OAEP": OAEP,
    "RSA PKCS1": session(s.RSA, s.ENCRYPT, PADDING=s.PKCS1, KEY_SIZE=1024),
    "SM2 cipher": session(s.SM2, s.ENCRYPT, DIGEST=s.SM3, PADDING=s.NOPAD),
    "PSS": PSS,
    "ECDSA": ECDSA,
    "Ed25519": session(s.ED25519, s.SIGN),
    "SM2": session(s.SM2, s.SIGN, DIGEST=s.SM3),
    "ML-DSA": session(s.ML_DSA, s.SIGN),
    "HMAC": MAC,
    "SM3": session(s.SM3_MAC, s.MAC, DIGEST=s.SM3),
    "HKDF": HKDF,
    "PBKDF2": PBKDF2,
    "ECDH": session(s.ECDH, s.AGREE, KEY_SIZE=256),
    "X25519": AGREE,
}


@pytest.mark.parametrize("name", OWN_SESSIONS)
async def test_a_key_of_another_kind(either: huks.Keystore, name: str) -> None:
    """A right session over a key that is for something else is 401, whatever that key leaves open."""
    made, own = OWN_SESSIONS[name]
    await either.generateKeyItem("key", options(**made))
    for other, given in ALL_SESSIONS.items():
        if other in own:
            await either.abortSession((await either.initSession("key", options(**given))).handle, NOTHING)
        else:
            with refused(401):
                await either.initSession("key", options(**given))


async def test_device_serves_no_cmac(keystore: huks.Keystore, device: huks.Keystore) -> None:
    """CMAC is an algorithm of small devices and of the server, and not of the device profile."""
    cmac = session(s.CMAC, s.MAC, BLOCK_MODE=s.CBC, PADDING=s.NOPAD, IV=bytes(8))
    await device.generateKeyItem("key", options(**HMAC))
    with refused(12000003, "CMAC"):
        await device.initSession("key", options(**cmac))
    await keystore.generateKeyItem("key", options(**key(s.CMAC, 128, s.MAC)))
    assert len(await s.run(keystore, "key", last=b"x", **cmac)) == 8


async def test_device_serves_no_sm4_gcm(keystore: huks.Keystore, device: huks.Keystore) -> None:
    """SM4-GCM is of the server alone: a device makes no key that fixes it, and opens no session."""
    gcm = session(s.SM4, s.ENCRYPT, BLOCK_MODE=s.GCM, PADDING=s.NOPAD)
    with refused(12000003, "BLOCK_MODE"):
        await device.generateKeyItem("key", options(**SM4 | {"BLOCK_MODE": s.GCM}))
    await device.generateKeyItem("key", options(**SM4))
    with refused(12000003, "BLOCK_MODE"):
        await device.initSession("key", options(**gcm))
    assert "GCM" not in " ".join(" ".join(row) for row in support_table.rows(device=True) if row[0] == "SM4")
    await keystore.generateKeyItem("key", options(**SM4 | {"BLOCK_MODE": s.GCM}))
    sealed = await s.run(keystore, "key", b"some ", last=b"text", **gcm)
    assert len(sealed) == 9 + 16 + 12
    back = gcm | {"PURPOSE": s.DECRYPT, "NONCE": sealed[-12:], "AE_TAG": sealed[9:25], "AAD": None}
    assert await s.run(keystore, "key", last=sealed[:9], **back) == b"some text"
    async with keystore.session("key", options(**back | {"AE_TAG": bytes(16)})) as opened:
        with refused(12000006):
            assert not [part async for part in opened.stream([sealed[:9]])]


class Use(NamedTuple):
    """A session that opens, and whose last call is refused."""

    name: str
    key: Params
    session: Params
    updates: tuple[bytes, ...]
    last: bytes
    code: int


RSA_VERIFY = PSS | {"PURPOSE": s.VERIFY}
ED_VERIFY = session(s.ED25519, s.VERIFY)
USES = [
    Use("CBC without padding, 15 bytes", AES, CBC, (), bytes(15), 401),
    Use("ECB without padding, 17 bytes in parts", AES, ECB, (bytes(9),), bytes(8), 401),
    Use("decrypt CBC without padding, 15 bytes", AES, CBC | {"PURPOSE": s.DECRYPT}, (), bytes(15), 12000006),
    Use("PKCS7 odd length", AES, CBC | {"PURPOSE": s.DECRYPT, "PADDING": s.PKCS7}, (), bytes(31), 12000006),
    Use("PKCS7 nothing", AES, CBC | {"PURPOSE": s.DECRYPT, "PADDING": s.PKCS7}, (), b"", 12000006),
    Use("DES, 7 bytes", DES, DES_CBC, (), bytes(7), 401),
    Use("decrypt DES, 7 bytes", DES, DES_CBC | {"PURPOSE": s.DECRYPT}, (), bytes(7), 401),
    Use("GCM wrong tag", AES, GCM_OPEN, (b"abc",), b"def", 12000006),
    Use("CCM wrong tag", AES, CCM_OPEN, (b"abc",), b"def", 12000006),
    Use("CCM decrypt without NONCE", AES, CCM_OPEN | {"NONCE": None}, (b"abc",), b"", 401),
    Use("CCM NONCE of 6 bytes", AES, CCM | {"NONCE": bytes(6)}, (b"abc",), b"", 12000006),
    Use("CCM NONCE of 14 bytes", AES, CCM | {"NONCE": bytes(14)}, (b"abc",), b"", 12000006),
    Use("CCM empty AAD", AES, CCM | {"AAD": b""}, (b"abc",), b"", 401),
    Use("OAEP too much", RSA_CIPHER, OAEP, (), bytes(128 - 66 + 1), 12000006),
    Use("PKCS1 too much", RSA_CIPHER, OAEP | {"PADDING": s.PKCS1}, (), bytes(118), 12000006),
    Use("raw RSA, 127 bytes", RSA_CIPHER, OAEP | {"PADDING": s.NOPAD}, (), bytes(127), 12000006),
    Use("raw RSA not below n", RSA_CIPHER, OAEP | {"PADDING": s.NOPAD}, (), b"\xff" * 128, 12000006),
    Use("OAEP decrypt garbage", RSA_CIPHER, OAEP | {"PURPOSE": s.DECRYPT}, (), bytes(128), 12000006),
    Use("OAEP decrypt wrong length", RSA_CIPHER, OAEP | {"PURPOSE": s.DECRYPT}, (), bytes(100), 12000006),
    Use("wrong RSA signature", RSA_SIGN, RSA_VERIFY, (b"text",), b"\1" * 128, 12000006),
    Use("RSA signature short", RSA_SIGN, RSA_VERIFY, (b"text",), b"\1" * 127, 12000006),
    Use("RSA signature long", RSA_SIGN, RSA_VERIFY, (b"text",), b"\1" * 129, 12000003),
    Use(
        "RSA raw sign, 127 bytes",
        RSA_SIGN,
        PSS | {"PADDING": s.NOPAD, "DIGEST": s.NO_DIGEST},
        (),
        bytes(127),
        401,
    ),
    Use("RSA hash of no length", RSA_SIGN, PSS | {"DIGEST": s.NO_DIGEST}, (), bytes(33), 401),
    Use("ECDSA hash of no length", ECC, ECDSA | {"DIGEST": s.NO_DIGEST}, (), bytes(33), 401),
    Use("SM2 value of 31 bytes", SM2, session(s.SM2, s.SIGN, DIGEST=s.NO_DIGEST), (), bytes(31), 401),
    Use("ECDSA signature long", ECC, ECDSA | {"PURPOSE": s.VERIFY}, (b"text",), bytes(73), 12000003),
    Use("ECDSA signature garbage", ECC, ECDSA | {"PURPOSE": s.VERIFY}, (b"text",), b"garbage", 12000006),
    Use("DSA signature long", DSA, DSA_VERIFY, (b"text",), bytes(60), 12000006),
    Use("DSA signature very long", DSA, DSA_VERIFY, (b"text",), bytes(500), 12000006),
    Use("Ed25519 signature short", ED, ED_VERIFY, (b"text",), bytes(63), 12000003),
    Use("Ed25519 signature wrong", ED, ED_VERIFY, (b"text",), bytes(64), 12000006),
    Use("verify without a signature", ECC, ECDSA | {"PURPOSE": s.VERIFY}, (b"text",), b"", 401),
    Use("verify Ed25519 without a signature", ED, ED_VERIFY, (b"text",), b"", 401),
    Use("verify SM2 without a signature", SM2, session(s.SM2, s.VERIFY, DIGEST=s.SM3), (b"text",), b"", 401),
    Use("derive without update", BASE, HKDF, (), b"", 401),
    Use("agree without update", X, AGREE, (), b"", 401),
    Use("agree with 31 bytes", X, AGREE, (bytes(31),), b"", 401),
    Use("agree with nothing", X, AGREE, (b"",), b"", 401),
    Use("agree with a low-order point", X, AGREE, (bytes(32),), b"", 12000006),
    Use("ECDH with garbage", ECDH, session(s.ECDH, s.AGREE, KEY_SIZE=256), (b"garbage",), b"", 401),
    Use(
        "ML-DSA signature wrong",
        key(s.ML_DSA, 44, s.SIGNATURE),
        session(s.ML_DSA, s.VERIFY),
        (b"t",),
        bytes(2420),
        12000006,
    ),
]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.name)
async def test_use_refuses(either: huks.Keystore, use: Use) -> None:
    """The call gives the documented code in both profiles, and the session is gone."""
    await either.generateKeyItem("key", options(**use.key))
    handle = (await either.initSession("key", options(**use.session))).handle
    with refused(use.code):
        for segment in use.updates:
            await either.updateSession(handle, data(segment))
        await either.finishSession(handle, data(use.last))
    assert either.statistics().open == 0
    with refused(12000011, "failed"):
        await either.finishSession(handle, data(b""))


async def test_bad_padding_is_refused(either: huks.Keystore) -> None:
    """A last block that ends in zero has no PKCS#7 padding. (Under a random key, one ciphertext in 256 has some.)"""
    await either.generateKeyItem("key", options(**AES))
    opening = CBC | {"PURPOSE": s.DECRYPT}
    handle = (await either.initSession("key", options(**CBC))).handle
    sealed = (await either.finishSession(handle, data(bytes(32)))).outData
    handle = (await either.initSession("key", options(**opening | {"PADDING": s.PKCS7}))).handle
    with refused(12000006):
        await either.finishSession(handle, data(sealed))


EMPTY = {
    "CCM": (AES, CCM | {"NONCE": s.NONCE12}, 16),
    "RSA PKCS1": (RSA_CIPHER, OAEP | {"PADDING": s.PKCS1}, 128),
    "RSA OAEP": (RSA_CIPHER, OAEP, 128),
    "Ed25519": (ED, session(s.ED25519, s.SIGN), 64),
    "ML-DSA": (key(s.ML_DSA, 44, s.SIGNATURE), session(s.ML_DSA, s.SIGN), 2420),
}


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("updates", [0, 2])
async def test_no_data_at_all(
    keystore: huks.Keystore, device: huks.Keystore, name: str, updates: int
) -> None:
    """Collecting operations take no data as their standard says; a device refuses it with 12000014."""
    made, opened, length = EMPTY[name]
    for store in (keystore, device):
        await store.generateKeyItem("key", options(**made))
    assert len(await s.run(keystore, "key", *[b""] * updates, **opened)) == length
    with refused(12000014):
        await s.run(device, "key", *[b""] * updates, **opened)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param((ECC, ECDSA | {"DIGEST": s.NO_DIGEST}, 401), id="ECDSA"),
        pytest.param((SM2, session(s.SM2, s.SIGN, DIGEST=s.NO_DIGEST), 401), id="SM2"),
        pytest.param((RSA_SIGN, PSS | {"DIGEST": s.NO_DIGEST}, 401), id="PSS"),
    ],
)
async def test_no_hash_value_at_all(
    keystore: huks.Keystore, device: huks.Keystore, given: tuple[Params, Params, int]
) -> None:
    """No hash value has no bytes: 401, and 12000014 on a device, where nothing can be collected."""
    made, opened, code = given
    for store, expected in ((keystore, code), (device, 12000014)):
        await store.generateKeyItem("key", options(**made))
        with refused(expected):
            await s.run(store, "key", **opened)


@pytest.mark.parametrize("data_given", [(), (b"",), (b"", b"x")], ids=["none", "empty", "before data"])
async def test_sm2_encryption_of_nothing(either: huks.Keystore, data_given: tuple[bytes, ...]) -> None:
    """SM2 encrypts at least one byte, and its first update is not empty: 12000014 in both profiles."""
    await either.generateKeyItem("key", options(**key(s.SM2, 256, s.CIPHER)))
    opened = session(s.SM2, s.ENCRYPT, DIGEST=s.SM3)
    with refused(12000014):
        await s.run(either, "key", *data_given, **opened)


_EVERY = {digest.name.removeprefix("HUKS_DIGEST_") for digest in HuksKeyDigest}
_DIGESTS: list[tuple[str, Params, set[str]]] = [
    ("AES", AES, set()),
    ("RSA cipher", RSA_CIPHER, _EVERY),
    ("RSA signature", RSA_SIGN, _EVERY - {"SM3"}),
    ("ECC", ECC, _EVERY - {"SM3", "MD5"}),
    ("HMAC", HMAC, _EVERY - {"NONE", "MD5"}),
    ("base of a derivation", BASE, {"SHA256", "SHA384", "SHA512"}),
    ("Ed25519", ED, set()),
    ("X25519", X, set()),
    ("SM2", SM2, {"SM3", "NONE"}),
]


@pytest.mark.parametrize(("made", "known"), [pytest.param(*row, id=name) for name, *row in _DIGESTS])
async def test_every_digest_is_known_or_refused(
    keystore: huks.Keystore, made: Params, known: set[str]
) -> None:
    """A key is made for the digests of its algorithm; others are refused with 12000003 and a list of these.

    Where a digest plays no part, any number is kept, as a device keeps it.
    """
    for digest in [*HuksKeyDigest, 3, 99]:
        given = options(**made | {"DIGEST": digest})
        if not known or (digest in list(HuksKeyDigest) and HuksKeyDigest(digest).name[12:] in known):
            await keystore.generateKeyItem("key", given)
            continue
        with refused(12000003, "HUKS_TAG_DIGEST") as caught:
            await keystore.generateKeyItem("key", given)
        _, _, accepted = caught.value.message.partition("accepts ")
        assert set(re.findall(r"HUKS_DIGEST_(\w+)", accepted)) == known


@pytest.mark.parametrize("value", [0, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
async def test_long_numbers_are_kept(keystore: huks.Keystore, value: int) -> None:
    """A tag of type ULONG keeps 64 bits."""
    await keystore.generateKeyItem("key", options(**AES, CREATION_DATETIME=value))
    found = (await keystore.getKeyItemProperties("key", NOTHING)).properties
    tag = huks.HuksTag.HUKS_TAG_CREATION_DATETIME
    assert [param.value for param in found if param.tag == tag] == [value]
