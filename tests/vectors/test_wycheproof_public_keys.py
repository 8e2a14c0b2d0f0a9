"""Wycheproof on signatures, agreements and RSA encryption: what is valid runs, what is invalid is refused.

Cases that Wycheproof calls acceptable are ours to decide; `ACCEPTABLE` has every decision.
"""

import pytest

from huks_async import BusinessError, HuksParam
from huks_async.model.tags import InnerTag
from tests.keys.key_samples import header_form
from tests.vectors.names import (
    AGREE,
    DECRYPT,
    ECC,
    ECDH,
    ED25519,
    OAEP,
    PKCS1,
    PRIVATE,
    PSS,
    PUBLIC,
    RSA,
    SHA1,
    SHA256,
    VERIFY,
)
from tests.vectors.readers import wycheproof
from tests.vectors.runs import Key, Runs, code_of, opened
from tests.vectors.tally import Tally

pytestmark = pytest.mark.asyncio

RUNS, REFUSED = True, False

_PARAMETERS = "a curve given by its parameters, not by name: a peer must not choose the group"

ACCEPTABLE: dict[tuple[str, str], tuple[bool, str]] = {
    ("rsa_signature_2048_sha256", "MissingNull"): (REFUSED, "RFC 8017 has NULL in what is signed"),
    ("ecdh_secp256r1", "CompressedPublic"): (RUNS, "the same point, checked to be on the curve"),
    ("ecdh_secp256r1", "WrongOrder"): (REFUSED, _PARAMETERS),
    ("ecdh_secp256r1", "ModifiedGenerator"): (REFUSED, _PARAMETERS),
    ("ecdh_secp256r1", "ModifiedCofactor"): (REFUSED, _PARAMETERS),
    ("ecdh_secp256r1", "NoCofactor"): (REFUSED, _PARAMETERS),
    ("ecdh_secp256r1", "ModifiedCurveParameter"): (REFUSED, _PARAMETERS),
    ("ecdh_secp256r1", "InvalidAsn"): (REFUSED, "not DER: one key has one encoding"),
}
"""(file, first flag) → whether the case runs, and why. A case without a row fails."""


async def test_ecdsa() -> None:
    """ECDSA over P-256: edge cases of the curve, and signatures spoilt in number and encoding."""
    tally = Tally("Wycheproof ECDSA P-256")
    async with opened() as runs:
        for group, case in wycheproof("ecdsa_secp256r1_sha256"):
            spki = bytes.fromhex(group["publicKeyDer"])
            key = await runs.key(ECC, 256, spki, VERIFY, PUBLIC, keep=True, DIGEST=SHA256)
            await _verdict(runs, tally, key, case)
    tally.settle(sessions=484)


async def test_ed25519() -> None:
    """Ed25519: cut, lengthened and malleable signatures."""
    tally = Tally("Wycheproof Ed25519")
    async with opened() as runs:
        for group, case in wycheproof("ed25519"):
            public = bytes.fromhex(group["publicKey"]["pk"])
            key = await runs.key(ED25519, 256, public, VERIFY, PUBLIC, keep=True)
            await _verdict(runs, tally, key, case)
    tally.settle(sessions=151)


@pytest.mark.parametrize(
    ("name", "fixed", "least"),
    [
        ("rsa_signature_2048_sha256", {"PADDING": PKCS1}, 259),
        ("rsa_pss_2048_sha256_mgf1_32", {"PADDING": PSS, "RSA_PSS_SALT_LEN_TYPE": 0}, 108),
    ],
)
async def test_rsa_signatures(name: str, fixed: dict[str, int], least: int) -> None:
    """RSA signatures: spoilt paddings, other hashes, other encodings of the hash."""
    tally = Tally(f"Wycheproof {name}")
    async with opened() as runs:
        for group, case in wycheproof(name):
            spki = bytes.fromhex(group["publicKeyDer"])
            key = await runs.key(RSA, 2048, spki, VERIFY, PUBLIC, keep=True, DIGEST=SHA256, **fixed)
            await _verdict(runs, tally, key, case, name)
    tally.settle(sessions=least)


async def _verdict(runs: Runs, tally: Tally, key: Key, case: dict[str, object], name: str = "") -> None:
    message, signature = bytes.fromhex(str(case["msg"])), bytes.fromhex(str(case["sig"]))
    good = case["result"] == "valid"
    if case["result"] == "acceptable":
        good = ACCEPTABLE[name, case["flags"][0]][0]  # type: ignore[index]
    tally.check(await runs.verifies(key, VERIFY, message, signature) == good, case)


async def test_ecdh() -> None:
    """ECDH over P-256: edge cases of the addition, points of other curves, curves by their parameters."""
    tally = Tally("Wycheproof ECDH P-256")
    decided = set()
    async with opened() as runs:
        for _, case in wycheproof("ecdh_secp256r1"):
            scalar = int(case["private"], 16).to_bytes(32, "big")
            blob = header_form(ECC, 256, {"x": b"", "y": b"", "z": scalar})
            key = await runs.key(ECC, 256, blob, AGREE, PRIVATE)
            try:
                secret = await runs.derive(key, AGREE, bytes.fromhex(case["public"]), ALGORITHM=ECDH)
            except BusinessError as error:
                agreed = False
                refused_well = error.code in (401, 12000006)
            else:
                agreed, refused_well = secret == bytes.fromhex(case["shared"]), False
            if case["result"] == "acceptable":
                wanted = ACCEPTABLE["ecdh_secp256r1", case["flags"][0]][0]
                decided.add(case["flags"][0])
            else:
                wanted = case["result"] == "valid"
            tally.check(agreed if wanted else not agreed and refused_well, case)
    assert decided == {flag for file, flag in ACCEPTABLE if file == "ecdh_secp256r1"}
    tally.settle(sessions=612)


@pytest.mark.parametrize(
    ("name", "mask", "least"),
    [("rsa_oaep_2048_sha256_mgf1sha1", SHA1, 23), ("rsa_oaep_2048_sha256_mgf1sha256", SHA256, 29)],
)
@pytest.mark.filterwarnings("ignore::huks_async.model.errors.HuksLegacyWarning")
async def test_oaep(name: str, mask: int, least: int) -> None:
    """OAEP: spoilt paddings and lengths; labels, which HUKS does not have."""
    tally = Tally(f"Wycheproof {name}")
    async with opened() as runs:
        for group, case in wycheproof(name):
            key = await _private(runs, group, PADDING=OAEP, DIGEST=SHA256)
            extra = (HuksParam(InnerTag.MGF_DIGEST, mask),)
            call = runs.run(key, DECRYPT, bytes.fromhex(case["ct"]), extra=extra)
            if case["result"] == "invalid":
                tally.check(await code_of(call) == 12000006, case)
            elif case["label"]:
                tally.refuse("HUKS has no label for OAEP (12000006)", await code_of(call), 12000006)
            else:
                tally.check(await call == bytes.fromhex(case["msg"]), case)
    tally.settle(sessions=least)


async def test_pkcs1_decryption() -> None:
    """PKCS #1 v1.5: a spoilt padding gives random bytes, on purpose; a block of another length is refused.

    An error would answer an attacker's question about the padding (Bleichenbacher); so nothing of the
    message comes out, and the outcome does not tell.
    """
    tally = Tally("Wycheproof RSAES-PKCS1")
    async with opened() as runs:
        for group, case in wycheproof("rsa_pkcs1_2048"):
            key = await _private(runs, group, PADDING=PKCS1)
            sealed, message = bytes.fromhex(case["ct"]), bytes.fromhex(case["msg"])
            if case["result"] == "valid":
                tally.check(await runs.run(key, DECRYPT, sealed) == message, case)
            elif "InvalidPkcs1Padding" in case["flags"]:
                first, second = [await runs.run(key, DECRYPT, sealed) for _ in range(2)]
                # the same random bytes each time, so that asking twice does not tell either
                tally.check(first == second and (first != message or not message), case)
            else:
                tally.check(await code_of(runs.run(key, DECRYPT, sealed)) == 12000006, case)
    tally.settle(sessions=67)


async def _private(runs: Runs, group: dict[str, object], **fixed: int) -> Key:
    parts = group["privateKey"]
    assert isinstance(parts, dict)
    fields = {
        name: bytes.fromhex(parts[field]).lstrip(b"\0")
        for name, field in (("n", "modulus"), ("e", "publicExponent"), ("d", "privateExponent"))
    }
    return await runs.key(RSA, 2048, header_form(RSA, 2048, fields), DECRYPT, PRIVATE, keep=True, **fixed)
