"""HMAC, CMAC, HKDF and PBKDF2: the vectors of the RFCs and of SP 800-38B."""

import pytest

from huks_async import HuksTag
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.mac_and_derivation import derive, mac
from tests.vectors.names import (
    AES,
    CBC,
    CMAC,
    DERIVE,
    DIGESTS,
    HKDF,
    HMAC,
    MAC,
    MD5,
    NO_PADDING,
    PBKDF2,
    SHA1,
    SHA256,
    WARNINGS,
)
from tests.vectors.readers import NIST, nist
from tests.vectors.runs import code_of, engine_run, opened
from tests.vectors.tally import Tally

pytestmark = [pytest.mark.filterwarnings(each) for each in WARNINGS]

ZERO_IV = bytes(8)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("file", "least"), [("rfc-2202-sha1", 7), *((f"rfc-4231-sha{n}", 6) for n in (224, 256, 384, 512))]
)
async def test_hmac(file: str, least: int) -> None:
    """HMAC gives the codes of the RFCs, under keys shorter and longer than a block."""
    tally = Tally(f"HMAC {file}")
    digest = DIGESTS[file.rpartition("-")[2].upper()]
    async with opened() as runs:
        for case in nist(f"HMAC/{file}.txt", "md"):
            secret, message = bytes.fromhex(case["key"]), bytes.fromhex(case["msg"])
            key = await runs.key(HMAC, 8 * len(secret), secret, MAC, DIGEST=digest)
            tally.check(await runs.run(key, MAC, message) == bytes.fromhex(case["md"]), case)
    tally.settle(sessions=least)


@pytest.mark.asyncio
async def test_hmac_digests_that_huks_has_not() -> None:
    """Keys for HMAC with MD5 are refused; RIPEMD-160 has no number at all."""
    tally = Tally("HMAC, other digests")
    async with opened() as runs:
        for case in nist("HMAC/rfc-2202-md5.txt", "md"):
            secret = bytes.fromhex(case["key"])
            code = await code_of(runs.key(HMAC, 8 * len(secret), secret, MAC, DIGEST=MD5))
            tally.refuse("HUKS has no HMAC with MD5 (12000003)", code, 12000003)
    for _ in nist("HMAC/rfc-2286-ripemd160.txt", "md"):
        tally.skip("HUKS has no digest RIPEMD-160")
    tally.settle()
    assert tally.refused.total() == 7


@pytest.mark.asyncio
async def test_one_time_passwords() -> None:
    """The HMACs below HOTP (RFC 4226) and TOTP (RFC 6238), cut to digits here, are those of the RFCs."""
    tally = Tally("HMAC below HOTP and TOTP")
    async with opened() as runs:
        for case in nist("twofactor/rfc-4226.txt", "hotp"):
            secret, moment = case["secret"].encode(), int(case["counter"]).to_bytes(8, "big")
            key = await runs.key(HMAC, 8 * len(secret), secret, MAC, DIGEST=SHA1)
            code = await runs.run(key, MAC, moment)
            tally.check(code.hex() == case["intermediate"] and _digits(code, 6) == case["hotp"], case)
        for case in nist("twofactor/rfc-6238.txt", "totp"):
            secret, moment = case["secret"].encode(), (int(case["time"]) // 30).to_bytes(8, "big")
            key = await runs.key(HMAC, 8 * len(secret), secret, MAC, DIGEST=DIGESTS[case["mode"]])
            tally.check(_digits(await runs.run(key, MAC, moment), 8) == case["totp"], case)
    tally.settle(sessions=28)


def _digits(code: bytes, count: int) -> str:
    start = code[-1] & 15
    number = int.from_bytes(code[start : start + 4], "big") & 0x7FFFFFFF
    return str(number % 10**count).zfill(count)


@pytest.mark.asyncio
async def test_cmac() -> None:
    """CMAC with two-key 3DES runs as a session, with three keys in the engine; with AES HUKS has none."""
    tally = Tally("CMAC")
    async with opened() as runs:
        for case in nist("CMAC/nist-800-38b-3des.txt", "output"):
            first, second, third = (bytes.fromhex(case[name]) for name in ("key1", "key2", "key3"))
            message, code = bytes.fromhex(case["message"]), bytes.fromhex(case["output"])
            if first == third:
                key = await runs.key(CMAC, 128, first + second, MAC, BLOCK_MODE=CBC, PADDING=NO_PADDING)
                tally.check(await runs.run(key, MAC, message, IV=ZERO_IV) == code, case)
                continue
            material = KeyMaterial(CMAC, 192, first + second + third)
            blobs = {HuksTag.HUKS_TAG_IV: ZERO_IV}
            tally.check(
                engine_run(mac, material, MAC, message[:5], message[5:], blobs=blobs) == code,
                case,
                engine=True,
            )
    for size in (128, 192, 256):
        for _ in nist(f"CMAC/nist-800-38b-aes{size}.txt", "output"):
            tally.skip("CMAC of HUKS is over 3DES alone")
    tally.settle(sessions=4, engine=4)


@pytest.mark.asyncio
@pytest.mark.parametrize("file", ["rfc-5869-HKDF-SHA1", "rfc-5869-HKDF-SHA256", "hkdf-generated"])
async def test_hkdf(file: str) -> None:
    """HKDF gives the keys of RFC 5869 and a long one; no HUKS key has the lengths of their inputs."""
    tally = Tally(f"HKDF {file}")
    for case in nist(f"KDF/{file}.txt", "okm"):
        secret = bytes.fromhex(case["ikm"])
        assert len(secret) not in (8, 16, 24, 32), "such a key can be imported: run it through a session"
        salt, info = bytes.fromhex(case["salt"]), bytes.fromhex(case["info"])
        digest = DIGESTS[case["hash"].replace("-", "")]
        made = derive.hkdf(digest, secret, salt or None, info, int(case["l"]))
        tally.check(made == bytes.fromhex(case["okm"]), case, engine=True)
        if digest == SHA256:
            tally.check(_hkdf_operation(secret, salt, info, int(case["l"])) == made, case, engine=True)
    tally.settle(engine=2)


def _hkdf_operation(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    blobs = {HuksTag.HUKS_TAG_SALT: salt, HuksTag.HUKS_TAG_INFO: info}
    return engine_run(
        derive,
        KeyMaterial(AES, 8 * len(secret), secret),
        DERIVE,
        b"",
        b"",
        algorithm=HKDF,
        digest=SHA256,
        numbers={HuksTag.HUKS_TAG_DERIVE_KEY_SIZE: length},
        blobs={tag: value for tag, value in blobs.items() if value},
    )


@pytest.mark.asyncio
async def test_pbkdf2() -> None:
    """PBKDF2 gives the keys of RFC 6070 (SHA-1, which sessions do not take), up to 16 million rounds."""
    tally = Tally("PBKDF2 rfc-6070")
    for case in nist("KDF/rfc-6070-PBKDF2-SHA1.txt", "derived_key"):
        password, salt = (case[name].replace("\\0", "\0").encode() for name in ("password", "salt"))
        made = derive.pbkdf2(SHA1, password, salt, int(case["iterations"]), int(case["length"]))
        tally.check(made == bytes.fromhex(case["derived_key"]), case, engine=True)
    tally.settle(engine=6)


@pytest.mark.asyncio
async def test_pbkdf2_refuses_sha1() -> None:
    """A key for PBKDF2 with SHA-1 does not come in."""
    async with opened() as runs:
        assert await code_of(runs.key(AES, 128, bytes(16), DERIVE, DIGEST=SHA1)) == 12000003
        key = await runs.key(AES, 128, bytes(16), DERIVE, DIGEST=SHA256)
        more = {"ALGORITHM": PBKDF2, "DERIVE_KEY_SIZE": 16, "ITERATION": 1000, "SALT": bytes(16)}
        assert len(await runs.derive(key, DERIVE, b"", **more)) == 16


def test_files_of_other_derivations_are_named() -> None:
    """The package's derivations that HUKS does not have are these, and no others are forgotten."""
    used = {"rfc-5869-HKDF-SHA1", "rfc-5869-HKDF-SHA256", "hkdf-generated", "rfc-6070-PBKDF2-SHA1"}
    absent = {"ansx963_2001", "argon2d", "argon2i", "argon2id", "nist-800-108-KBKDF-CTR", "scrypt"}
    assert {path.stem for path in (NIST / "KDF").iterdir() if path.suffix == ".txt"} == used | absent
