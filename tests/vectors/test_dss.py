"""ECDSA and DSA: NIST's verifications and published signatures, points to be refused, and key pairs."""

import base64
import re
from collections import Counter

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from huks_async import BusinessError
from huks_async.crypto.asymmetric import dsa
from huks_async.crypto.key_material import KeyMaterial
from tests.keys.key_samples import header_form
from tests.vectors.keyforms import CURVES, big, curve_spki, dsa_spki, numbers, signature
from tests.vectors.names import (
    DIGESTS,
    DSA,
    ECC,
    PAIR,
    PUBLIC,
    SHA1,
    SHA256,
    SIGN,
    SIGNATURE,
    VERIFY,
    WARNINGS,
)
from tests.vectors.readers import NIST, nist
from tests.vectors.runs import Key, Runs, code_of, engine_run, opened
from tests.vectors.tally import Tally

pytestmark = [pytest.mark.asyncio, *(pytest.mark.filterwarnings(each) for each in WARNINGS)]

THROUGH_SESSIONS = 2
"""DSA keys of each group above 1024 bits that are imported: the check of a group takes 20 to 70 ms."""

NO_CURVE = "HUKS has no P-192 and no curves of binary fields (B-…, K-…)"


async def curve_key(runs: Runs, bits: int, case: dict[str, str]) -> Key:
    return await runs.key(ECC, bits, curve_spki(bits, *numbers(case, "qx", "qy")), VERIFY, PUBLIC)


@pytest.mark.parametrize(
    ("file", "least"),
    [
        ("FIPS_186-2/SigVer.rsp", 60),
        ("FIPS_186-2/SigGen.txt", 60),
        ("FIPS_186-3/SigVer.rsp", 300),
        ("FIPS_186-3/SigGen.txt", 300),
    ],
)
async def test_ecdsa(file: str, least: int) -> None:
    """Signatures of every curve and digest have NIST's verdict."""
    tally = Tally(f"ECDSA {file}")
    seen = set()
    refusals = 0
    async with opened() as runs:
        for case in nist(f"asymmetric/ECDSA/{file}", "s"):
            curve, _, digest = case["section"].partition(",")
            if curve not in CURVES:
                tally.skip(NO_CURVE)
                continue
            number = DIGESTS[digest.replace("-", "")] if digest else SHA1
            good = case.get("result", "P").startswith("P")
            key = await curve_key(runs, CURVES[curve], case)
            message = bytes.fromhex(case["msg"])
            verified = await runs.verifies(key, VERIFY, message, signature(case), DIGEST=number)
            tally.check(verified == good, case)
            seen.add((curve, number))
            refusals += not good
    assert len(seen) == (4 if "186-2" in file else 20)
    assert refusals > 30 or "SigGen" in file
    tally.settle(sessions=least)


async def test_points() -> None:
    """Points that are not on their curve, or not in the field, are no keys; the others are."""
    tally = Tally("ECC public key validation")
    async with opened() as runs:
        for file in ("FIPS_186-2", "FIPS_186-3"):
            for case in nist(f"asymmetric/ECDSA/{file}/PKV.rsp", "result"):
                bits = CURVES.get(case["section"])
                if bits is None:
                    tally.skip(NO_CURVE)
                    continue
                expected = None if case["result"].startswith("P") else 401
                tally.check(await code_of(curve_key(runs, bits, case)) == expected, case)
    tally.settle(sessions=80)


async def test_ecc_key_pairs() -> None:
    """NIST's key pairs come in, export the point, and sign what the public half alone verifies."""
    tally = Tally("ECC key pairs")
    async with opened() as runs:
        for file in ("FIPS_186-2", "FIPS_186-3"):
            for case in nist(f"asymmetric/ECDSA/{file}/KeyPair.rsp", "d"):
                bits = CURVES.get(case["section"].split(",")[0])
                if bits is None:
                    tally.skip(NO_CURVE)
                    continue
                d, x, y = numbers(case, "d", "qx", "qy")
                width = (bits + 7) // 8
                blob = header_form(ECC, bits, {"x": big(x, width), "y": big(y, width), "z": big(d, width)})
                pair = await runs.key(ECC, bits, blob, SIGNATURE, PAIR, DIGEST=SHA256)
                exported = (await runs.keystore.exportKeyItem(pair.alias, {"properties": []})).outData
                made = await runs.run(pair, SIGN, b"a message")
                public = await curve_key(runs, bits, case)
                good = await runs.verifies(public, VERIFY, b"a message", made, DIGEST=SHA256)
                tally.check(good and exported == curve_spki(bits, x, y), case)
    tally.settle(sessions=80)


async def test_deterministic_signatures() -> None:
    """The signatures of RFC 6979, which OpenSSL's file adds longer digests to, verify."""
    tally = Tally("ECDSA RFC 6979")
    text = (NIST / "asymmetric/ECDSA/RFC6979/evppkey_ecdsa_rfc6979.txt").read_text()
    keys = {
        name: base64.b64decode(body)
        for name, body in re.findall(r"PublicKey=(\S+)_PUB\n-+BEGIN PUBLIC KEY-+\n([^-]+)-+END", text)
    }
    async with opened() as runs:
        for paragraph in text.split("\n\n"):
            case = dict(re.findall(r"^(\w+)\s*=\s*(.+)$", paragraph, re.MULTILINE))
            if "DigestSign" not in case or "Output" not in case:
                continue
            curve = case["Key"].removesuffix("_PRIV")
            digest = DIGESTS.get(case["DigestSign"].replace("-", ""))
            if curve not in CURVES:
                tally.skip(NO_CURVE)
                continue
            if digest is None:
                tally.skip(f"HUKS has no digest {case['DigestSign']}")
                continue
            key = await runs.key(ECC, CURVES[curve], keys[curve], VERIFY, PUBLIC, DIGEST=digest)
            message = case["Input"].strip('"').encode()
            tally.check(await runs.verifies(key, VERIFY, message, bytes.fromhex(case["Output"])), case)
    tally.settle(sessions=40)


@pytest.mark.parametrize(
    ("file", "least", "engine"),
    [
        ("FIPS_186-2/SigVer.rsp", 15, 0),
        ("FIPS_186-2/SigGen.txt", 15, 0),
        ("FIPS_186-3/SigVer.rsp", 105, 195),
        ("FIPS_186-3/SigGen.txt", 105, 195),
    ],
)
async def test_dsa(file: str, least: int, engine: int) -> None:
    """Signatures of every size and digest have NIST's verdict."""
    tally = Tally(f"DSA {file}")
    turn: Counter[str] = Counter()
    seen = set()
    refusals = 0
    async with opened() as runs:
        for case in nist(f"asymmetric/DSA/{file}", "s"):
            digest = (
                DIGESTS[re.sub(r".*(SHA)-(\d+)", r"\1\2", case["section"])]
                if "SHA" in case["section"]
                else SHA1
            )
            good = case.get("result", "P").startswith("P")
            p, q, g, y = numbers(case, "p", "q", "g", "y")
            spki = dsa_spki(p, q, g, y)
            message = bytes.fromhex(case["msg"])
            size = p.bit_length()
            turn[case["section"]] += 1
            if size > 1024 and turn[case["section"]] > THROUGH_SESSIONS:
                material = KeyMaterial(DSA, size, b"", spki)
                try:
                    verified = (
                        engine_run(dsa, material, VERIFY, message, signature(case), digest=digest) == b""
                    )
                except BusinessError as error:
                    verified = error.code != 12000006
                tally.check(verified == good, case, engine=True)
                refusals += not good
                continue
            try:
                key = await runs.key(DSA, size, spki, VERIFY, PUBLIC, keep=True, DIGEST=digest)
            except BusinessError as error:
                # a changed public value is not in the group any more: no key comes of it
                tally.check(error.code == 401 and "Y changed" in case.get("result", ""), case)
                refusals += 1
                continue
            tally.check(await runs.verifies(key, VERIFY, message, signature(case)) == good, case)
            seen.add((size, q.bit_length(), digest))
            refusals += not good
    assert len(seen) == (1 if "186-2" in file else 20)
    assert refusals > 5 or "SigGen" in file
    tally.settle(sessions=least, engine=engine)


async def test_dsa_key_pairs() -> None:
    """NIST's key pairs come in, and sign what another library verifies with the public half."""
    tally = Tally("DSA key pairs")
    async with opened() as runs:
        for case in nist("asymmetric/DSA/FIPS_186-3/KeyPair.rsp", "x"):
            p, q, g, x, y = numbers(case, "p", "q", "g", "x", "y")
            fields = {name: big(number) for name, number in zip("xypqg", (x, y, p, q, g), strict=True)}
            blob = header_form(DSA, p.bit_length(), fields)
            pair = await runs.key(DSA, p.bit_length(), blob, SIGNATURE, PAIR, DIGEST=SHA256)
            made = await runs.run(pair, SIGN, b"a message")
            public = load_der_public_key(dsa_spki(p, q, g, y))
            public.verify(made, b"a message", hashes.SHA256())
            tally.check(await runs.verifies(pair, VERIFY, b"a message", made), case)
    tally.settle(sessions=40)
