"""RSA: NIST's verifications, the signatures of PKCS #1's authors made again, and both encryptions."""

import itertools
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa as library
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from huks_async import HuksParam, HuksTag
from huks_async.crypto.asymmetric import rsa
from huks_async.crypto.key_material import KeyMaterial
from huks_async.model.tags import InnerTag
from tests.crypto.asymmetric_support import labelled
from tests.keys.key_samples import header_form
from tests.vectors.keyforms import big, rsa_spki
from tests.vectors.names import (
    CIPHER,
    DECRYPT,
    DIGESTS,
    ENCRYPT,
    OAEP,
    PAIR,
    PKCS1,
    PSS,
    PUBLIC,
    RSA,
    SHA1,
    SIGN,
    SIGNATURE,
    VERIFY,
    WARNINGS,
)
from tests.vectors.readers import nist
from tests.vectors.runs import Key, Runs, code_of, engine_run, opened
from tests.vectors.tally import Tally

pytestmark = [pytest.mark.asyncio, *(pytest.mark.filterwarnings(each) for each in WARNINGS)]

ODD_SIZE = "the modulus has 1025…1031 bits; HUKS sizes are multiples of 8"
SMALL_EXPONENT = "the public exponent is {}; key pairs come in from 65537 on"
SALT_OF_DIGEST, SALT_OF_MAX = 0, 1
FOLDER = "asymmetric/RSA"


async def public_key(runs: Runs, case: dict[str, str], padding: int) -> Key:
    n, e = int(case["n"], 16), int(case["e"], 16)
    return await runs.key(RSA, n.bit_length(), rsa_spki(n, e), VERIFY, PUBLIC, keep=True, PADDING=padding)


@pytest.mark.parametrize(
    ("file", "least"),
    [
        ("FIPS_186-2/SigGen15_186-2.rsp", 250),
        ("FIPS_186-2/SigGen15_186-3.rsp", 250),
        ("FIPS_186-2/SigVer15_186-3.rsp", 450),
        ("SigVer15EMTest.txt", 146),
    ],
)
async def test_pkcs1_verification(file: str, least: int) -> None:
    """PKCS #1 v1.5 signatures of every size and digest have NIST's verdict, malformed ones included."""
    tally = Tally(f"RSA PKCS1 {file}")
    seen = set()
    async with opened() as runs:
        for case in nist(f"{FOLDER}/{file}", "s", sticky=("e",)):
            digest = DIGESTS[case["shaalg"]]
            good = case.get("result", "P").startswith("P")
            key = await public_key(runs, case, PKCS1)
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["s"])
            tally.check(await runs.verifies(key, VERIFY, message, signature, DIGEST=digest) == good, case)
            seen.add((case["section"], digest, good))
    assert len({section for section, _, _ in seen}) == 5
    tally.settle(sessions=least)


@pytest.mark.parametrize(
    ("file", "salt"),
    [
        ("FIPS_186-2/SigGenPSS_186-2.rsp", 20),
        ("FIPS_186-2/SigGenPSS_186-3.rsp", 0),
        ("FIPS_186-2/SigVerPSS_186-3.rsp", 10),
    ],
)
async def test_pss_verification(file: str, salt: int) -> None:
    """PSS signatures with the digest's salt length verify; those with another are refused both ways."""
    tally = Tally(f"RSA PSS {file}")
    lengths = {"SHA1": 20, "SHA224": 28, "SHA256": 32, "SHA384": 48, "SHA512": 64}
    async with opened() as runs:
        for case in nist(f"{FOLDER}/{file}", "s", sticky=("e",)):
            good = case.get("result", "P").startswith("P")
            key = await public_key(runs, case, PSS)
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["s"])
            verdicts = [
                await runs.verifies(
                    key,
                    VERIFY,
                    message,
                    signature,
                    DIGEST=DIGESTS[case["shaalg"]],
                    RSA_PSS_SALT_LEN_TYPE=kind,
                )
                for kind in (SALT_OF_DIGEST, SALT_OF_MAX)
            ]
            if good and lengths[case["shaalg"]] != salt:
                reason = f"a PSS salt of {salt} bytes is neither the digest's nor the longest (12000006)"
                tally.refuse(reason, 12000006 if verdicts == [False, False] else None, 12000006, case=case)
            else:
                tally.check(verdicts == [good, False], case)
    tally.settle(sessions={20: 50, 0: 0, 10: 375}[salt])
    assert tally.sessions + tally.refused.total() == (450 if salt == 10 else 250)


def examples(path: str, *fields: str) -> Iterator[tuple[tuple[int, int, int], dict[str, bytes]]]:
    """((n, e, d), fields) of every example in a file of PKCS #1's authors, whose last field comes last."""
    seen: dict[str, bytes] = {}
    for label, data in labelled(path):
        name = label.rstrip(":")
        if data or name not in seen:
            seen[name] = data
        if name == fields[-1] and data:
            n, e, d = (
                int.from_bytes(seen[part], "big") for part in ("Modulus", "Public exponent", "Exponent")
            )
            yield (n, e, d), {field: seen[field] for field in fields}


async def pair(
    runs: Runs, tally: Tally, numbers: tuple[int, int, int], purpose: int, **fixed: int
) -> Key | None:
    """The key pair, imported once; None for one that no HUKS size has."""
    n, e, d = numbers
    size = n.bit_length()
    if size % 8:
        tally.skip(ODD_SIZE)
        return None
    if e < 65537:
        tally.skip(SMALL_EXPONENT.format(e))
        return None
    blob = header_form(RSA, size, {"n": big(n), "e": big(e), "d": big(d, size // 8)})
    return await runs.key(RSA, size, blob, purpose, PAIR, keep=True, **fixed)


async def test_pkcs1_signatures_are_made() -> None:
    """PKCS #1 v1.5 with SHA-1 has one signature only, and we make and verify it."""
    tally = Tally("RSA PKCS1 pkcs1v15sign-vectors")
    async with opened() as runs:
        for numbers, case in examples("RSA/pkcs1v15sign-vectors.txt", "Message to be signed", "Signature"):
            key = await pair(runs, tally, numbers, SIGNATURE, PADDING=PKCS1, DIGEST=SHA1)
            if key is None:
                continue
            message, signature = case["Message to be signed"], case["Signature"]
            tally.check(await runs.run(key, SIGN, message) == signature, case)
            tally.check(await runs.verifies(key, VERIFY, message, signature), case)
    tally.settle(sessions=320)


async def test_pss_signatures_of_the_authors() -> None:
    """The authors' PSS signatures, whose salt is as long as SHA-1, verify; so do ours of these keys."""
    tally = Tally("RSA PSS pss-vect")
    async with opened() as runs:
        path = "RSA/pkcs-1v2-1d2-vec/pss-vect.txt"
        for numbers, case in examples(path, "Message to be signed", "Salt", "Signature"):
            fixed = {"PADDING": PSS, "DIGEST": SHA1, "RSA_PSS_SALT_LEN_TYPE": SALT_OF_DIGEST}
            key = await pair(runs, tally, numbers, SIGNATURE, **fixed)
            if key is None:
                continue
            message = case["Message to be signed"]
            for signature in (case["Signature"], await runs.run(key, SIGN, message)):
                tally.check(await runs.verifies(key, VERIFY, message, signature), case)
    tally.settle(sessions=36)


async def test_pkcs1_encryption() -> None:
    """Ciphertexts of PKCS #1 v1.5 open to their message, and what we encrypt opens again."""
    tally = Tally("RSA PKCS1 pkcs1v15crypt-vectors")
    async with opened() as runs:
        for numbers, case in examples("RSA/pkcs1v15crypt-vectors.txt", "Message", "Encryption"):
            key = await pair(runs, tally, numbers, CIPHER, PADDING=PKCS1)
            if key is None:
                continue
            message, sealed = case["Message"], case["Encryption"]
            tally.check(await runs.run(key, DECRYPT, sealed) == message, case)
            ours = await runs.run(key, ENCRYPT, message)
            tally.check(ours != sealed and await runs.run(key, DECRYPT, ours) == message, case)
    tally.settle(sessions=320)


_MADE = ("sha1", "sha224", "sha256", "sha384", "sha512")
_PAIRS = [
    ("sha1", "sha1"),
    *((a, b) for a, b in itertools.product(_MADE, _MADE) if (a, b) != ("sha1", "sha1")),
]


async def test_oaep() -> None:
    """Ciphertexts of OAEP open to their message, for every digest of the label and of the mask.

    Two keys of each file are imported; the others (the check of their primes takes 0.2 s each) open
    their ciphertexts in the crypto room.
    """
    tally = Tally("RSA OAEP")
    done = set()
    async with opened() as runs:
        for mask, label in _PAIRS:
            plain = (mask, label) == ("sha1", "sha1")
            path = (
                "RSA/pkcs-1v2-1d2-vec/oaep-vect.txt" if plain else f"RSA/oaep-custom/oaep-{mask}-{label}.txt"
            )
            digest = DIGESTS[label.upper()]
            mgf = HuksParam(InnerTag.MGF_DIGEST, DIGESTS[mask.upper()])
            imported = set()
            for numbers, case in examples(path, "Prime 1", "Prime 2", "Message", "Encryption"):
                message, sealed = case["Message"], case["Encryption"]
                size = numbers[0].bit_length()
                if numbers not in imported and len(imported) == 2 and size % 8 == 0:
                    known = {HuksTag.HUKS_TAG_KEY_SIZE: size, mgf.tag: mgf.value}
                    material = unchecked(numbers, case["Prime 1"], case["Prime 2"])
                    opened_ = engine_run(
                        rsa, material, DECRYPT, sealed, padding=OAEP, digest=digest, numbers=known
                    )
                    tally.check(opened_ == message, (path, case), engine=True)
                    continue
                key = await pair(runs, tally, numbers, CIPHER, PADDING=OAEP, DIGEST=digest)
                if key is None:
                    continue
                imported.add(numbers)
                tally.check(await runs.run(key, DECRYPT, sealed, extra=(mgf,)) == message, (path, case))
                ours = await runs.run(key, ENCRYPT, message, extra=(mgf,))
                again = await runs.run(key, DECRYPT, ours, extra=(mgf,))
                tally.check(ours != sealed and again == message, (path, case))
                done.add((mask, label))
    assert len(done) == 25
    tally.settle(sessions=600, engine=1158)


def unchecked(numbers: tuple[int, int, int], prime: bytes, other: bytes) -> KeyMaterial:
    """A key of the file's own primes, which nobody looks for again."""
    n, e, d = numbers
    p, q = int.from_bytes(prime, "big"), int.from_bytes(other, "big")
    parts = (library.rsa_crt_dmp1(d, p), library.rsa_crt_dmq1(d, q), library.rsa_crt_iqmp(p, q))
    values = library.RSAPrivateNumbers(p, q, d, *parts, library.RSAPublicNumbers(e, n))
    key = values.private_key(unsafe_skip_rsa_key_validation=True)
    secret = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return KeyMaterial(RSA, n.bit_length(), secret, b"")


async def test_oaep_with_a_label() -> None:
    """HUKS has no label for OAEP: a ciphertext with one does not open."""
    tally = Tally("RSA OAEP with a label")
    async with opened() as runs:
        for case in nist(f"{FOLDER}/oaep-label.txt", "oaeplabel"):
            values = load_der_private_key(bytes.fromhex(case["key"]), None).private_numbers()
            numbers = (values.public_numbers.n, values.public_numbers.e, values.d)
            key = await pair(runs, tally, numbers, CIPHER, PADDING=OAEP, DIGEST=DIGESTS[case["oaepdigest"]])
            assert key is not None
            code = await code_of(runs.run(key, DECRYPT, bytes.fromhex(case["input"])))
            tally.refuse("HUKS has no label for OAEP (12000006)", code, 12000006)
    tally.settle()
    assert tally.refused.total() == 1
