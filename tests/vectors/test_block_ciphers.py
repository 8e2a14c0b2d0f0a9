"""AES, DES, 3DES and SM4 without authentication: NIST's and the SM4 draft's vectors, in both directions."""

from pathlib import Path

import pytest

from tests.vectors.names import (
    AES,
    CBC,
    CFB,
    CIPHER,
    CTR,
    DECRYPT,
    DES,
    ECB,
    ENCRYPT,
    NO_PADDING,
    OFB,
    SM4,
    TRIPLE_DES,
    WARNINGS,
)
from tests.vectors.readers import NIST, nist
from tests.vectors.runs import Runs, code_of, opened
from tests.vectors.tally import Tally

pytestmark = [pytest.mark.asyncio, *(pytest.mark.filterwarnings(each) for each in WARNINGS)]


def files(folder: str) -> list[str]:
    """The vector files of a folder, as `nist` takes them."""
    found = sorted(path for path in (NIST / folder).iterdir() if path.suffix in (".rsp", ".txt"))
    return [str(path.relative_to(NIST)) for path in found]


async def both_ways(
    runs: Runs,
    tally: Tally,
    case: dict[str, str],
    algorithm: int,
    secret: bytes,
    mode: int,
    size: int | None = None,
) -> None:
    """Encrypt and decrypt a case under this key."""
    bits = size or 8 * len(secret)
    key = await runs.key(algorithm, bits, secret, CIPHER, BLOCK_MODE=mode, PADDING=NO_PADDING)
    iv = bytes.fromhex(case.get("iv", ""))
    plain, sealed = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
    tally.check(await runs.run(key, ENCRYPT, plain, IV=iv) == sealed, case)
    tally.check(await runs.run(key, DECRYPT, sealed, IV=iv) == plain, case)


@pytest.mark.parametrize(("mode", "least"), [(ECB, 4276), (CBC, 4276), (CTR, 18)], ids=["ECB", "CBC", "CTR"])
async def test_aes(mode: int, least: int) -> None:
    """AES of every key size gives NIST's (CTR: RFC 3686's) results in both directions."""
    name = {ECB: "ECB", CBC: "CBC", CTR: "CTR"}[mode]
    tally = Tally(f"AES-{name}")
    sizes = set()
    async with opened() as runs:
        for path in files(f"ciphers/AES/{name}"):
            for case in nist(path, "ciphertext"):
                secret = bytes.fromhex(case["key"])
                sizes.add(len(secret))
                await both_ways(runs, tally, case, AES, secret, mode)
    assert sizes == {16, 24, 32}
    tally.settle(sessions=least)


@pytest.mark.parametrize("mode", [ECB, CBC, CTR, CFB, OFB], ids=["ECB", "CBC", "CTR", "CFB", "OFB"])
async def test_sm4(mode: int) -> None:
    """SM4 gives the results of the draft in every mode."""
    name = {ECB: "ecb", CBC: "cbc", CTR: "ctr", CFB: "cfb", OFB: "ofb"}[mode]
    tally = Tally(f"SM4-{name.upper()}")
    async with opened() as runs:
        for case in nist(f"ciphers/SM4/draft-ribose-cfrg-sm4-10-{name}.txt", "ciphertext"):
            await both_ways(runs, tally, case, SM4, bytes.fromhex(case["key"]), mode)
    tally.settle(sessions=4)


@pytest.mark.parametrize("mode", [ECB, CBC], ids=["ECB", "CBC"])
async def test_3des_and_des(mode: int) -> None:
    """3DES gives NIST's results; keys whose parts repeat run as 3DES-128 and as DES too."""
    name = {ECB: "ECB", CBC: "CBC"}[mode]
    three, two, one = Tally(f"3DES-192-{name}"), Tally(f"3DES-128-{name}"), Tally(f"DES-{name}")
    async with opened() as runs:
        for path in files(f"ciphers/3DES/{name}"):
            if Path(path).name.startswith("TCBCI"):
                count = sum(1 for line in (NIST / path).read_text().splitlines() if line.startswith("COUNT"))
                three.skip("CBC-I (three interleaved chains) is no HUKS mode", count)
                continue
            for case in nist(path, "ciphertext"):
                names = ("keys",) * 3 if "keys" in case else ("key1", "key2", "key3")
                first, second, third = (bytes.fromhex(case[part]) for part in names)
                await both_ways(runs, three, case, TRIPLE_DES, first + second + third, mode)
                if first == third:
                    await both_ways(runs, two, case, TRIPLE_DES, first + second, mode)
                if first == second == third:
                    await both_ways(runs, one, case, DES, first, mode)
    three.settle(sessions=1060)
    two.settle(sessions=1020)
    one.settle(sessions=980)


@pytest.mark.parametrize("mode", [OFB, CFB], ids=["OFB", "CFB"])
async def test_aes_has_no_other_modes(mode: int) -> None:
    """AES keys for OFB and CFB, which HUKS has for SM4 alone, are refused for every vector of the files."""
    name = {OFB: "OFB", CFB: "CFB"}[mode]
    tally = Tally(f"AES-{name}")
    async with opened() as runs:
        for path in files(f"ciphers/AES/{name}"):
            for case in nist(path, "ciphertext"):
                secret = bytes.fromhex(case["key"])
                call = runs.key(AES, 8 * len(secret), secret, CIPHER, BLOCK_MODE=mode, PADDING=NO_PADDING)
                tally.refuse("AES has ECB, CBC, CTR, GCM and CCM in HUKS", await code_of(call), 12000003)
    tally.settle()
    assert tally.refused.total() > 2000
