"""Wycheproof on ciphers, MACs and derivations: what is valid runs, what is invalid is refused."""

from pathlib import Path

import pytest

from huks_async import BusinessError, HuksParam, HuksTag
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.mac_and_derivation import derive
from tests.vectors.names import (
    AES,
    CBC,
    CIPHER,
    DECRYPT,
    DERIVE,
    DES,
    ENCRYPT,
    GCM,
    HKDF,
    HMAC,
    MAC,
    NO_PADDING,
    PBKDF2,
    PKCS7,
    SHA1,
    SHA256,
    WARNINGS,
)
from tests.vectors.readers import WYCHEPROOF, wycheproof
from tests.vectors.runs import code_of, engine_run, opened
from tests.vectors.tally import Tally

pytestmark = [pytest.mark.asyncio, *(pytest.mark.filterwarnings(each) for each in WARNINGS)]

KEY_BYTES = (8, 16, 24, 32)
"""Lengths of the keys that HUKS derives from: DES, AES and 3DES."""


async def test_aes_cbc() -> None:
    """AES-CBC with PKCS #7 padding, and every way to spoil the padding."""
    tally = Tally("Wycheproof AES-CBC-PKCS5")
    async with opened() as runs:
        for _, case in wycheproof("aes_cbc_pkcs5"):
            secret, iv, plain, sealed = (bytes.fromhex(case[name]) for name in ("key", "iv", "msg", "ct"))
            key = await runs.key(AES, 8 * len(secret), secret, CIPHER, BLOCK_MODE=CBC, PADDING=PKCS7)
            if case["result"] == "valid":
                tally.check(await runs.run(key, ENCRYPT, plain, IV=iv) == sealed, case)
                tally.check(await runs.run(key, DECRYPT, sealed, IV=iv) == plain, case)
            else:
                tally.check(await code_of(runs.run(key, DECRYPT, sealed, IV=iv)) == 12000006, case)
    tally.settle(sessions=288)


async def test_aes_gcm() -> None:
    """AES-GCM with nonces of every length, counters that wrap, and spoilt tags."""
    tally = Tally("Wycheproof AES-GCM")
    async with opened() as runs:
        for _, case in wycheproof("aes_gcm"):
            secret, nonce, aad, plain, sealed, tag = (
                bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")
            )
            key = await runs.key(AES, 8 * len(secret), secret, CIPHER, BLOCK_MODE=GCM, PADDING=NO_PADDING)
            extra = (HuksParam(HuksTag.HUKS_TAG_NONCE, nonce),)
            sealing = runs.run(key, ENCRYPT, plain, AAD=aad, extra=extra)
            opening = runs.run(key, DECRYPT, sealed, AAD=aad, AE_TAG=tag, extra=extra)
            if "ZeroLengthIv" in case["flags"]:
                tally.check(await code_of(sealing) == 401, case)
                tally.check(await code_of(opening) == 401, case)
            elif not 8 <= len(nonce) <= 128:
                reason = "a GCM nonce outside 8…128 bytes (12000006)"
                tally.refuse(reason, await code_of(sealing), 12000006, case=case)
                tally.refuse(reason, await code_of(opening), 12000006, case=case)
            elif case["result"] == "valid":
                tally.check(await sealing == sealed + tag, case)
                tally.check(await opening == plain, case)
            else:
                tally.check(await sealing != sealed + tag, case)
                tally.check(await code_of(opening) == 12000006, case)
    tally.settle(sessions=578)
    assert tally.refused.total() < 120


@pytest.mark.parametrize(("name", "digest"), [("hmac_sha1", SHA1), ("hmac_sha256", SHA256)])
async def test_hmac(name: str, digest: int) -> None:
    """HMAC, whose caller cuts and compares: only valid codes are the start of ours."""
    tally = Tally(f"Wycheproof {name}")
    async with opened() as runs:
        for group, case in wycheproof(name):
            secret, message, tag = (bytes.fromhex(case[field]) for field in ("key", "msg", "tag"))
            key = await runs.key(HMAC, 8 * len(secret), secret, MAC, DIGEST=digest)
            code = await runs.run(key, MAC, message)
            same = code[: group["tagSize"] // 8] == tag
            tally.check(same == (case["result"] == "valid"), case)
    tally.settle(sessions=170)


async def test_hkdf() -> None:
    """HKDF up to its longest output, and the first length beyond it."""
    tally = Tally("Wycheproof HKDF-SHA-256")
    async with opened() as runs:
        for _, case in wycheproof("hkdf_sha256"):
            secret, salt, info, made = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info", "okm"))
            through_engine = len(secret) not in KEY_BYTES
            try:
                if through_engine:
                    blobs = {HuksTag.HUKS_TAG_SALT: salt, HuksTag.HUKS_TAG_INFO: info}
                    got = engine_run(
                        derive,
                        KeyMaterial(AES, 8 * len(secret), secret),
                        DERIVE,
                        b"",
                        b"",
                        algorithm=HKDF,
                        digest=SHA256,
                        numbers={HuksTag.HUKS_TAG_DERIVE_KEY_SIZE: case["size"]},
                        blobs={tag: value for tag, value in blobs.items() if value},
                    )
                else:
                    algorithm = AES if len(secret) > 8 else DES
                    key = await runs.key(algorithm, 8 * len(secret), secret, DERIVE, DIGEST=SHA256)
                    more = {"ALGORITHM": HKDF, "DERIVE_KEY_SIZE": case["size"], "SALT": salt, "INFO": info}
                    got = await runs.derive(key, DERIVE, b"", **more)
            except BusinessError as error:
                refused = case["result"] == "invalid" and error.code == 12000006
                tally.check(refused, (error, case), engine=through_engine)
            else:
                tally.check(case["result"] == "valid" and got == made, case, engine=through_engine)
    tally.settle(sessions=60, engine=26)


async def test_pbkdf2() -> None:
    """PBKDF2: passwords as long as a key, with 1000 rounds or more, run as sessions."""
    tally = Tally("Wycheproof PBKDF2-HMACSHA256")
    async with opened() as runs:
        for _, case in wycheproof("pbkdf2_hmacsha256"):
            password, salt, made = (bytes.fromhex(case[name]) for name in ("password", "salt", "dk"))
            rounds, length = case["iterationCount"], case["dkLen"]
            if len(password) in KEY_BYTES and rounds >= 1000:
                algorithm = AES if len(password) > 8 else DES
                key = await runs.key(algorithm, 8 * len(password), password, DERIVE, DIGEST=SHA256)
                more = {"ALGORITHM": PBKDF2, "DERIVE_KEY_SIZE": length, "ITERATION": rounds, "SALT": salt}
                tally.check(await runs.derive(key, DERIVE, b"", **more) == made, case)
            else:
                got = derive.pbkdf2(SHA256, password, salt, rounds, length)
                tally.check(got == made, case, engine=True)
    tally.settle(sessions=20, engine=20)


async def test_every_file_is_used() -> None:
    """Each of Wycheproof's files beside the project is named in a test of this package."""
    if not WYCHEPROOF.is_dir():
        pytest.skip("Wycheproof's files are not in ../shared/vectors/wycheproof")
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_wycheproof_*.py"))
    files = [path.name.removesuffix("_test.json") for path in WYCHEPROOF.glob("*.json")]
    assert files
    assert [name for name in files if f'"{name}"' not in text] == []
