"""AES-GCM and AES-CCM: NIST's vectors, with every key, nonce and tag length that the files have."""

import pytest

import huks_async as huks
from tests.vectors.names import AES, CCM, CIPHER, DECRYPT, ENCRYPT, GCM, NO_PADDING, SM4
from tests.vectors.readers import nist
from tests.vectors.runs import Runs, code_of, opened
from tests.vectors.tally import Tally

pytestmark = pytest.mark.asyncio

SHORT_TAG = "a GCM tag below 16 bytes does not open (12000018)"
NONCE_RANGE = "a GCM nonce outside 8…128 bytes (12000006)"
TAG = 16


async def aead_key(runs: Runs, secret: bytes, mode: int) -> object:
    return await runs.key(AES, 8 * len(secret), secret, CIPHER, BLOCK_MODE=mode, PADDING=NO_PADDING)


@pytest.mark.parametrize("size", [128, 192, 256])
async def test_gcm_encryption(size: int) -> None:
    """Encryption gives NIST's ciphertext and tag; a shorter tag of a file is the start of ours."""
    tally = Tally(f"AES-{size}-GCM encrypt")
    async with opened() as runs:
        for case in nist(f"ciphers/AES/GCM/gcmEncryptExtIV{size}.rsp", "ct"):
            plain, sealed, tag, aad, nonce = (
                bytes.fromhex(case[name]) for name in ("pt", "ct", "tag", "aad", "iv")
            )
            key = await aead_key(runs, bytes.fromhex(case["key"]), GCM)
            call = runs.run(key, ENCRYPT, plain, NONCE=nonce, AAD=aad)
            if not 8 <= len(nonce) <= 128:
                tally.refuse(NONCE_RANGE, await code_of(call), 12000006, case=case)
                continue
            got = await call
            tally.check(len(got) == len(plain) + TAG and got.startswith(sealed + tag), case)
    tally.settle(sessions=5250)


@pytest.mark.parametrize("size", [128, 192, 256])
async def test_gcm_decryption(size: int) -> None:
    """Decryption gives NIST's plaintext, and refuses what NIST marks as not authentic."""
    tally = Tally(f"AES-{size}-GCM decrypt")
    refusals = 0
    async with opened() as runs:
        for case in nist(f"ciphers/AES/GCM/gcmDecrypt{size}.rsp", "ct"):
            sealed, tag, aad, nonce = (bytes.fromhex(case[name]) for name in ("ct", "tag", "aad", "iv"))
            key = await aead_key(runs, bytes.fromhex(case["key"]), GCM)
            call = runs.run(key, DECRYPT, sealed, NONCE=nonce, AAD=aad, AE_TAG=tag)
            if len(tag) != TAG:
                tally.refuse(SHORT_TAG, await code_of(call), 12000018, case=case)
                if "fail" not in case and 8 <= len(nonce) <= 128:
                    # the other direction, whose full tag starts with the file's
                    got = await runs.run(key, ENCRYPT, bytes.fromhex(case["pt"]), NONCE=nonce, AAD=aad)
                    tally.check(got.startswith(sealed + tag), case)
            elif not 8 <= len(nonce) <= 128:
                tally.refuse(NONCE_RANGE, await code_of(call), 12000006, case=case)
            elif "fail" in case:
                refusals += 1
                tally.check(await code_of(call) == 12000006, case)
            else:
                tally.check(await call == bytes.fromhex(case["pt"]), case)
    assert refusals > 300
    tally.settle(sessions=2970)


@pytest.mark.parametrize("size", [128, 192, 256])
async def test_ccm(size: int) -> None:
    """CCM gives NIST's results for every length of data, associated data, nonce and tag, both ways."""
    tally = Tally(f"AES-{size}-CCM")
    seen = set()
    async with opened() as runs:
        for name in ("VADT", "VNT", "VPT", "VTT"):
            for case in nist(f"ciphers/AES/CCM/{name}{size}.rsp", "ct", sticky=("key", "nonce")):
                secret, nonce, sealed = (bytes.fromhex(case[field]) for field in ("key", "nonce", "ct"))
                # the files write one zero byte for nothing at all
                aad = bytes.fromhex(case["adata"])[: int(case["alen"])]
                plain = bytes.fromhex(case["payload"])[: int(case["plen"])]
                length = int(case["tlen"])
                seen.add((len(nonce), length))
                key = await aead_key(runs, secret, CCM)
                more = {"NONCE": nonce, "AAD": aad, "AE_TAG_LEN": length}
                tally.check(await runs.run(key, ENCRYPT, plain, **more) == sealed, case)
                body, tag = sealed[: len(plain)], sealed[len(plain) :]
                tally.check(await runs.run(key, DECRYPT, body, AE_TAG=tag, **more) == plain, case)
        for case in nist(f"ciphers/AES/CCM/DVPT{size}.rsp", "result", sticky=("key",)):
            secret, nonce, sealed = (bytes.fromhex(case[field]) for field in ("key", "nonce", "ct"))
            aad = bytes.fromhex(case["adata"])[: int(case["alen"])]
            length, count = int(case["tlen"]), int(case["plen"])
            key = await aead_key(runs, secret, CCM)
            more = {"NONCE": nonce, "AAD": aad, "AE_TAG_LEN": length, "AE_TAG": sealed[count:]}
            call = runs.run(key, DECRYPT, sealed[:count], **more)
            if case["result"].startswith("Pass"):
                tally.check(await call == bytes.fromhex(case["payload"])[:count], case)
            else:
                tally.check(await code_of(call) == 12000006, case)
    assert {nonce for nonce, _ in seen} == set(range(7, 14))
    assert {tag for _, tag in seen} == {4, 6, 8, 10, 12, 14, 16}
    tally.settle(sessions=1680)


async def test_sm4_gcm() -> None:
    """SM4-GCM is an extension of the server's: a device refuses the key of RFC 8998's vector when it comes in."""
    tally = Tally("SM4-GCM")
    async with huks.Keystore.open("memory:", profile="device", monitor=False) as keystore:
        runs = Runs(keystore)
        for case in nist("ciphers/SM4/rfc8998.txt", "ciphertext"):
            call = runs.key(SM4, 128, bytes.fromhex(case["key"]), CIPHER, BLOCK_MODE=GCM, PADDING=NO_PADDING)
            tally.refuse("SM4 has ECB, CBC, CTR, CFB and OFB in HUKS", await code_of(call), 12000003)
    tally.settle()
    assert tally.refused.total() == 1
