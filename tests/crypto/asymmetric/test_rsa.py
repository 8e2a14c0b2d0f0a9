"""Tests of RSA: encryption, signatures, and keys coming in."""

import hashlib
import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa as library
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from huks_async.crypto.asymmetric import rsa, rsa_key, rsa_oaep_md5
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.libcrypto import generation, search
from huks_async.crypto.libcrypto.binding import LibcryptoError
from huks_async.model.enums import HuksKeyPadding
from huks_async.model.errors import BusinessError, HuksLegacyWarning
from huks_async.model.limits import Limits
from huks_async.model.tags import HuksTag, InnerTag
from tests.crypto.asymmetric_support import (
    AGREE,
    DECRYPT,
    DEVICE,
    DIGESTS,
    ENCRYPT,
    MD5,
    NONE,
    OAEP,
    PKCS1,
    PSS,
    RAW,
    RSA,
    SHA1,
    SHA256,
    SHA384,
    SHA512,
    SIGN,
    VERIFY,
    labelled,
    make_spec,
    openssl,
    public_of,
    records,
    refused,
    run,
    start,
    verifies,
    wycheproof,
)
from tests.skips import skip_unsupported

# keys of 1024 bits and SHA1 are what the published vectors are made with
pytestmark = pytest.mark.filterwarnings("ignore::huks_async.model.errors.HuksLegacyWarning")

SALT = HuksTag.HUKS_TAG_RSA_PSS_SALT_LEN_TYPE
OF_DIGEST, OF_MAX = {SALT: 0}, {SALT: 1}
SIZED = {HuksTag.HUKS_TAG_KEY_SIZE: 2048}


@pytest.fixture(scope="module")
def key() -> KeyMaterial:
    return rsa.generate(RSA, 2048)


@pytest.fixture(scope="module")
def small() -> KeyMaterial:
    """A key of 512 bits from OpenSSL."""
    private = load_pem_private_key(openssl("genrsa", "512"), None)
    assert isinstance(private, library.RSAPrivateKey)
    numbers = private.private_numbers()
    return rsa.material_from_numbers(numbers.public_numbers.n, numbers.public_numbers.e, numbers.d, 512)


def public_from(n: int, e: int) -> KeyMaterial:
    public = library.RSAPublicNumbers(e, n).public_key()
    return KeyMaterial(RSA, n.bit_length(), b"", rsa._spki(public))


def number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def examples(path: str, fields: tuple[str, ...]) -> Iterator[tuple[str, KeyMaterial, dict[str, bytes]]]:
    """(title, key, fields) of a vector file of PKCS #1, for keys of sizes that HUKS has."""
    seen: dict[str, bytes] = {}
    title = ""
    material = None
    for label, data in labelled(path):
        if "Example" in label:
            title = label
            continue
        name = label.rstrip(":")
        if name == "Modulus":
            material = None
        seen[name] = data
        if (
            name == "Coefficient"
            and len(seen["Modulus"].lstrip(b"\0")) * 8 == number(seen["Modulus"]).bit_length()
        ):
            d = number(seen["Exponent"])
            material = rsa.material_from_numbers(number(seen["Modulus"]), number(seen["Public exponent"]), d)
        if name == fields[-1] and material is not None:
            yield title, material, {field: seen[field] for field in fields}


@pytest.mark.parametrize("file", ["SigGen15_186-3", "SigVer15_186-3"])
def test_nist_pkcs1_signatures(file: str) -> None:
    """FIPS 186 signatures of PKCS #1 v1.5 have the verdict of the file, for every digest and size."""
    seen = set()
    for section, case in records(f"RSA/FIPS_186-2/{file}.rsp", "S" if "Gen" in file else "Result"):
        if case["SHAAlg"] not in DIGESTS or int(section.split("=")[1]) not in (1024, 1536, 2048, 3072, 4096):
            continue
        public = public_from(int(case["n"], 16), int(case["e"], 16))
        message, signature = bytes.fromhex(case["Msg"]), bytes.fromhex(case["S"])
        good = verifies(rsa, public, message, signature, padding=PKCS1, digest=DIGESTS[case["SHAAlg"]])
        assert good == (case.get("Result", "P")[0] == "P"), case
        seen.add((section, case["SHAAlg"], good))
    assert len(seen) >= 10


def test_published_pkcs1_signatures_are_made() -> None:
    """PKCS #1 v1.5 with SHA-1 has one signature only, and we make it."""
    count = 0
    for _, material, case in examples("RSA/pkcs1v15sign-vectors.txt", ("Message to be signed", "Signature")):
        made = run(rsa, SIGN, material, case["Message to be signed"], padding=PKCS1, digest=SHA1)
        assert made == case["Signature"]
        count += 1
        if count == 40:
            break
    assert count == 40


def test_published_pss_signatures_verify() -> None:
    """PSS signatures with a salt as long as the digest verify as such, not as ones with the longest salt."""
    count = 0
    fields = ("Message to be signed", "Signature")
    for _, material, case in examples("RSA/pkcs-1v2-1d2-vec/pss-vect.txt", fields):
        message, signature = case["Message to be signed"], case["Signature"]
        assert verifies(rsa, material, message, signature, padding=PSS, digest=SHA1, numbers=OF_DIGEST)
        assert not verifies(rsa, material, message, signature, padding=PSS, digest=SHA1, numbers=OF_MAX)
        assert not verifies(rsa, material, message, signature, padding=PSS, digest=SHA1)
        count += 1
    assert count >= 18


@pytest.mark.parametrize("mask", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha256", "sha384"])
def test_published_oaep_decrypts(digest: str, mask: str) -> None:
    """OAEP vectors decrypt, with the mask's digest equal to the label's and with another one."""
    path = f"RSA/oaep-custom/oaep-{digest}-{mask}.txt"
    if digest == mask == "sha1":
        path = "RSA/pkcs-1v2-1d2-vec/oaep-vect.txt"
    count = 0
    for title, material, case in examples(path, ("Message", "Encryption")):
        algorithms = dict(part.split("=") for part in title.split() if "=" in part)
        numbers = {HuksTag.HUKS_TAG_KEY_SIZE: 1024}
        chosen = {name: DIGESTS[algorithms.get(name, "sha1").upper()] for name in ("alg", "mgf1")}
        if chosen["alg"] != chosen["mgf1"]:
            numbers[InnerTag.MGF_DIGEST] = chosen["mgf1"]
        if material.size // 8 < 2 * hashlib.new(algorithms.get("alg", "sha1")).digest_size + 2:
            continue
        plaintext = run(
            rsa, DECRYPT, material, case["Encryption"], padding=OAEP, digest=chosen["alg"], numbers=numbers
        )
        assert plaintext == case["Message"]
        count += 1
        if count == 8:
            break
    assert count == 8


def test_published_pkcs1_ciphertexts_decrypt() -> None:
    """PKCS #1 v1.5 vectors decrypt."""
    count = 0
    for _, material, case in examples("RSA/pkcs1v15crypt-vectors.txt", ("Message", "Encryption")):
        assert run(rsa, DECRYPT, material, case["Encryption"], padding=PKCS1) == case["Message"]
        count += 1
        if count == 40:
            break
    assert count == 40


def test_wycheproof_pkcs1_signatures() -> None:
    """Every verdict on PKCS #1 v1.5 signatures is ours too; a DigestInfo without NULL ('acceptable') is refused."""
    for group in wycheproof("rsa_signature_2048_sha256"):
        material = rsa.material_from_spki(bytes.fromhex(group["publicKeyDer"]), RSA, 2048)
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            good = verifies(rsa, material, message, signature, padding=PKCS1, digest=SHA256)
            assert good == (case["result"] == "valid"), case


def test_wycheproof_pss_signatures() -> None:
    """Every verdict on PSS signatures with a salt of 32 bytes is ours too."""
    for group in wycheproof("rsa_pss_2048_sha256_mgf1_32"):
        material = rsa.material_from_spki(bytes.fromhex(group["publicKeyDer"]), RSA, 2048)
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            good = verifies(rsa, material, message, signature, padding=PSS, digest=SHA256, numbers=OF_DIGEST)
            assert good == (case["result"] == "valid"), case


@pytest.mark.parametrize("mask", ["sha1", "sha256"])
def test_wycheproof_oaep(mask: str) -> None:
    """OAEP ciphertexts decrypt where they are valid (and have no label, which HUKS lacks), else 12000006."""
    numbers = {**SIZED, InnerTag.MGF_DIGEST: DIGESTS[mask.upper()]}
    for group in wycheproof(f"rsa_oaep_2048_sha256_mgf1{mask}"):
        material = imported(group)
        for case in group["tests"]:
            operation = start(rsa, DECRYPT, material, padding=OAEP, digest=SHA256, numbers=numbers)
            if case["result"] == "valid" and not case["label"]:
                assert operation.finish(bytes.fromhex(case["ct"])).hex() == case["msg"], case
            else:
                with refused(12000006):
                    operation.finish(bytes.fromhex(case["ct"]))


def test_wycheproof_pkcs1_decryption() -> None:
    """Valid ciphertexts decrypt; of invalid ones nobody learns the plaintext, nor that the padding was wrong."""
    silent = 0
    for group in wycheproof("rsa_pkcs1_2048"):
        material = imported(group)
        for case in group["tests"]:
            operation = start(rsa, DECRYPT, material, padding=PKCS1)
            ciphertext = bytes.fromhex(case["ct"])
            if case["result"] == "valid":
                assert operation.finish(ciphertext).hex() == case["msg"], case
            elif len(ciphertext) != 256 or number(ciphertext) >= rsa.load(material).public.public_numbers().n:
                with refused(12000006):
                    operation.finish(ciphertext)
            else:
                assert operation.finish(ciphertext).hex() != case["msg"] or not case["msg"], case
                silent += 1
    assert silent > 10


def imported(group: dict[str, object]) -> KeyMaterial:
    """The private key of a Wycheproof group, by the way of an import."""
    text = group["privateKeyPkcs8"] if "privateKeyPkcs8" in group else group["privateKey"]["privateKeyPkcs8"]  # type: ignore[index]
    private = load_der_private_key(bytes.fromhex(str(text)), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(private, library.RSAPrivateKey)
    return KeyMaterial(RSA, private.key_size, bytes.fromhex(str(text)), rsa._spki(private.public_key()))


@pytest.mark.parametrize("digest", ["MD5", *DIGESTS])
@pytest.mark.parametrize("mode", ["pkcs1", "pss-digest", "pss-max", "pss-absent"])
def test_openssl_takes_our_signatures(digest: str, mode: str, key: KeyMaterial, tmp_path: Path) -> None:
    """OpenSSL verifies what we sign; an absent salt type means the longest salt."""
    numbers = {"pss-digest": OF_DIGEST, "pss-max": OF_MAX}.get(mode, {})
    chosen = {"MD5": MD5, **DIGESTS}[digest]
    padding = PKCS1 if mode == "pkcs1" else PSS
    signature = run(rsa, SIGN, key, b"mess", last=b"age", padding=padding, digest=chosen, numbers=numbers)
    (tmp_path / "key").write_bytes(key.public)
    (tmp_path / "signature").write_bytes(signature)
    digest_size = hashlib.new(digest.lower()).digest_size
    salt = digest_size if mode == "pss-digest" else 256 - digest_size - 2
    options = (
        [] if mode == "pkcs1" else ["-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{salt}"]
    )
    said = openssl(
        "dgst", f"-{digest.lower()}", "-verify", str(tmp_path / "key"), "-keyform", "DER", *options,
        "-signature", str(tmp_path / "signature"), given=b"message",
    )  # fmt: skip
    assert b"Verified OK" in said
    assert verifies(rsa, key, b"message", signature, padding=padding, digest=chosen, numbers=numbers)


@pytest.mark.parametrize("salt", ["digest", "max"])
def test_openssl_pss_signatures_verify(salt: str, key: KeyMaterial, tmp_path: Path) -> None:
    """We verify OpenSSL's PSS signatures with the salt length that is asked for, and no other."""
    (tmp_path / "key").write_bytes(key.secret)
    signature = openssl(
        "dgst", "-sha384", "-sign", str(tmp_path / "key"), "-keyform", "DER", "-sigopt", "rsa_padding_mode:pss",
        "-sigopt", f"rsa_pss_saltlen:{salt}", given=b"message",
    )  # fmt: skip
    for numbers, expected in ((OF_DIGEST, salt == "digest"), (OF_MAX, salt == "max"), ({}, salt == "max")):
        assert expected == verifies(
            rsa, public_of(key), b"message", signature, padding=PSS, digest=SHA384, numbers=numbers
        )


@pytest.mark.parametrize("mode", ["pkcs1", "oaep", "none"])
def test_openssl_encryption_both_directions(mode: str, key: KeyMaterial, tmp_path: Path) -> None:
    """What OpenSSL encrypts we decrypt, and the other way round."""
    padding = {"pkcs1": PKCS1, "oaep": OAEP, "none": RAW}[mode]
    plaintext = b"\0" + bytes(range(255)) if mode == "none" else b"a key"
    options = ["-pkeyopt", f"rsa_padding_mode:{mode}"]
    if mode == "oaep":
        options += ["-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256"]
    (tmp_path / "private").write_bytes(key.secret)
    (tmp_path / "public").write_bytes(key.public)
    theirs = openssl(
        "pkeyutl", "-encrypt", "-pubin", "-inkey", str(tmp_path / "public"), "-keyform", "DER", *options,
        given=plaintext,
    )  # fmt: skip
    chosen = {"padding": padding, "digest": SHA256, "numbers": SIZED}
    assert run(rsa, DECRYPT, key, theirs[:100], last=theirs[100:], **chosen) == plaintext
    ours = run(rsa, ENCRYPT, public_of(key), plaintext[:2], last=plaintext[2:], **chosen)
    again = openssl(
        "pkeyutl", "-decrypt", "-inkey", str(tmp_path / "private"), "-keyform", "DER", *options, given=ours
    )
    assert again == plaintext


def test_openssl_raw_signature(key: KeyMaterial, tmp_path: Path) -> None:
    """The raw signature is OpenSSL's raw private operation, and verifies against exactly its block."""
    (tmp_path / "key").write_bytes(key.secret)
    block = b"\0" + hashlib.shake_256(b"block").digest(255)
    theirs = openssl(
        "pkeyutl", "-decrypt", "-inkey", str(tmp_path / "key"), "-keyform", "DER",
        "-pkeyopt", "rsa_padding_mode:none", given=block,
    )  # fmt: skip
    chosen = {"padding": RAW, "digest": NONE}
    assert run(rsa, SIGN, key, block[:7], last=block[7:], **chosen) == theirs
    assert verifies(rsa, public_of(key), block, theirs, **chosen)
    with refused(12000006):
        run(rsa, VERIFY, key, block[::-1], last=theirs, **chosen)


def test_raw_blocks(key: KeyMaterial) -> None:
    """Raw: signing another length than k is 401, encrypting one 12000006, as is a number beyond the modulus."""
    chosen = {"padding": RAW, "digest": NONE}
    for length in (0, 255, 257):
        for purpose in (SIGN, VERIFY):
            with refused(401):
                run(
                    rsa, purpose, key, b"\1" * length, last=b"s" * 256 if purpose == VERIFY else b"", **chosen
                )
        for purpose in (ENCRYPT, DECRYPT):
            with refused(12000006):
                run(rsa, purpose, key, b"\1" * length, **chosen)
    for purpose in (SIGN, ENCRYPT, DECRYPT):
        with refused(12000006):
            run(rsa, purpose, key, b"\xff" * 256, **chosen)
    with refused(12000006):
        run(rsa, VERIFY, key, b"\1" * 256, last=b"\xff" * 256, **chosen)
    for edge in (0, 1, rsa.load(key).public.public_numbers().n - 1):
        assert number(run(rsa, SIGN, key, edge.to_bytes(256, "big"), **chosen)) == edge


def test_a_faulty_raw_operation_gives_nothing(key: KeyMaterial) -> None:
    """A wrong half of the computation, which would reveal a prime, is caught (12000006)."""
    ready = rsa.load(key)
    assert ready.private is not None
    right = ready.private.private_numbers()

    class Faulty:
        def private_numbers(self) -> library.RSAPrivateNumbers:
            return library.RSAPrivateNumbers(
                right.p, right.q, right.d, right.dmp1 ^ 2, right.dmq1, right.iqmp, right.public_numbers
            )

    with refused(12000006, "inconsistent"):
        rsa_key.raw_private(ready, Faulty(), b"\1" * 256)  # type: ignore[arg-type]


@pytest.mark.parametrize("padding", [PKCS1, PSS])
@pytest.mark.parametrize("name", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
def test_digest_none_is_the_hash_of_its_length(name: str, padding: int, key: KeyMaterial) -> None:
    """A value of a hash's length signs as that hash: the signature verifies over the message."""
    value = hashlib.new(name, b"message").digest()
    signature = run(rsa, SIGN, key, value, padding=padding, digest=NONE, numbers=OF_DIGEST)
    digest = {"MD5": MD5, **DIGESTS}[name.upper()]
    assert verifies(rsa, key, b"message", signature, padding=padding, digest=digest, numbers=OF_DIGEST)
    assert verifies(rsa, key, value, signature, padding=padding, digest=NONE, numbers=OF_DIGEST)


@pytest.mark.parametrize("padding", [PKCS1, PSS])
def test_digest_none_refuses_other_lengths(padding: int, key: KeyMaterial) -> None:
    """What is no hash value is 401; nothing at all 12000014 where the limits say so."""
    for length in (0, 17, 33, 100):
        with refused(401):
            run(rsa, SIGN, key, b"x" * length, padding=padding, digest=NONE)
    with refused(12000014):
        run(rsa, SIGN, key, padding=padding, digest=NONE, limits=DEVICE)


@pytest.mark.parametrize("chosen", [(PKCS1, SHA256), (PSS, SHA256), (PKCS1, NONE), (RAW, NONE)])
def test_signature_lengths(chosen: tuple[int, int], key: KeyMaterial) -> None:
    """None is 401, longer than the modulus 12000003, shorter or garbage 12000006."""
    padding, digest = chosen
    message = b"\1" * (256 if padding == RAW else 32)
    for signature, code in (
        (b"", 401),
        (b"\1" * 257, 12000003),
        (b"\1" * 255, 12000006),
        (b"\1" * 256, 12000006),
    ):
        with refused(code):
            run(rsa, VERIFY, key, message, last=signature, padding=padding, digest=digest)


@pytest.mark.parametrize(("padding", "most"), [(PKCS1, 245), (OAEP, 190)])
def test_plaintext_lengths(padding: int, most: int, key: KeyMaterial) -> None:
    """One block holds k-11 or k-2h-2 bytes; one more is 12000006; nothing is standard, or 12000014 on a device."""
    chosen = {"padding": padding, "digest": SHA256, "numbers": SIZED}
    for length in (0, 1, most):
        ciphertext = run(rsa, ENCRYPT, key, b"x" * length, **chosen)
        assert run(rsa, DECRYPT, key, ciphertext, **chosen) == b"x" * length
    with refused(12000006, str(most)):
        run(rsa, ENCRYPT, key, b"x" * (most + 1), **chosen)
    for purpose in (ENCRYPT, DECRYPT):
        with refused(12000014):
            run(rsa, purpose, key, limits=DEVICE, **chosen)
    for length in (0, 255, 257):
        with refused(12000006):
            run(rsa, DECRYPT, key, b"\1" * length, **chosen)
    with refused(401, "max_collected_bytes"):
        run(rsa, ENCRYPT, key, b"x" * 11, limits=Limits(max_collected_bytes=10), **chosen)


def test_oaep_wrong_ciphertext(key: KeyMaterial) -> None:
    """A changed OAEP ciphertext is 12000006."""
    chosen = {"padding": OAEP, "digest": SHA256, "numbers": SIZED}
    ciphertext = bytearray(run(rsa, ENCRYPT, key, b"x", **chosen))
    ciphertext[-1] ^= 1
    with refused(12000006):
        run(rsa, DECRYPT, key, bytes(ciphertext), **chosen)


def test_oaep_parameters(key: KeyMaterial, small: KeyMaterial) -> None:
    """OAEP: digest, mask and sizes outside the matrix have their documented codes."""
    cases = [
        (12000003, NONE, SIZED),
        (12000002, None, SIZED),
        (12000003, 2, SIZED),
        (12000004, SHA256, {}),
        (12000003, SHA256, {**SIZED, InnerTag.MGF_DIGEST: NONE}),
    ]
    for purpose in (ENCRYPT, DECRYPT):
        for code, digest, numbers in cases:
            with refused(code):
                rsa.starter(make_spec(purpose, key, padding=OAEP, digest=digest, numbers=numbers))
        with refused(12000004, "528"):
            rsa.starter(make_spec(purpose, small, padding=OAEP, digest=SHA256, numbers=SIZED))
    assert run(rsa, ENCRYPT, small, b"x" * 22, padding=OAEP, digest=SHA1, numbers=SIZED)


def test_other_parameters(key: KeyMaterial) -> None:
    """Paddings, digests and purposes that RSA does not serve have their documented codes."""
    iso, pkcs7 = HuksKeyPadding.HUKS_PADDING_ISO_IEC_9796_2, HuksKeyPadding.HUKS_PADDING_PKCS7
    for code, purpose, padding, digest in (
        (401, SIGN, None, SHA256),
        (401, VERIFY, PKCS1, None),
        (12000001, SIGN, iso, SHA256),
        (12000003, VERIFY, OAEP, SHA256),
        (12000003, SIGN, pkcs7, SHA256),
        (12000003, SIGN, PSS, 2),
        (12000003, SIGN, RAW, SHA256),
        (12000002, ENCRYPT, None, SHA256),
        (12000003, ENCRYPT, PSS, SHA256),
        (12000003, AGREE, PSS, SHA256),
        (12000003, SIGN | VERIFY, PSS, SHA256),
    ):
        with refused(code):
            rsa.starter(make_spec(purpose, key, padding=padding, digest=digest))


def test_pss_salt_of_the_key(key: KeyMaterial) -> None:
    """A salt type stored with the key must be repeated (12000012); unknown types are 12000003."""
    for numbers in ({}, OF_MAX):
        with refused(12000012):
            rsa.starter(
                make_spec(SIGN, key, padding=PSS, digest=SHA256, numbers=numbers, key_numbers=OF_DIGEST)
            )
    assert rsa.starter(make_spec(SIGN, key, padding=PSS, digest=SHA256, numbers=OF_MAX, key_numbers=OF_MAX))
    with refused(12000003):
        rsa.starter(make_spec(SIGN, key, padding=PSS, digest=SHA256, numbers={SALT: 2}))


def test_a_public_key_neither_signs_nor_decrypts(key: KeyMaterial) -> None:
    """Without the private half both are 12000006, before any data is taken."""
    for purpose in (SIGN, DECRYPT):
        for padding in (PKCS1, RAW):
            with refused(12000006, "private"):
                start(rsa, purpose, public_of(key), padding=padding, digest=NONE)


def test_small_imported_keys(small: KeyMaterial) -> None:
    """A key of 512 bits works once imported; digests that it cannot hold are 12000006."""
    signature = run(rsa, SIGN, small, b"m", padding=PKCS1, digest=SHA256)
    assert verifies(rsa, small, b"m", signature, padding=PKCS1, digest=SHA256)
    for padding, numbers in ((PKCS1, {}), (PSS, OF_DIGEST), (PSS, OF_MAX)):
        with refused(12000006, "too small"):
            run(rsa, SIGN, small, b"m", padding=padding, digest=SHA512, numbers=numbers)
        with refused(12000006):
            run(rsa, VERIFY, small, b"m", last=b"\1" * 64, padding=padding, digest=SHA512, numbers=numbers)


def test_generation_sizes() -> None:
    """Sizes that HUKS does not know are 12000003; others have that size, and OpenSSL finds the key valid."""
    for size in (0, 1023, 1028, 2056, 5120):
        with refused(12000003):
            rsa.generate(RSA, size)
    material = rsa.generate(RSA, 1032)
    ready = rsa.load(material)
    assert (ready.public.key_size, ready.public.public_numbers().e) == (1032, 65537)
    text = openssl("pkey", "-inform", "DER", "-check", "-noout", given=material.secret)
    assert b"is valid" in text


@pytest.mark.parametrize("size", [512, 768])
def test_generation_of_small_keys(size: int) -> None:
    """Sizes that `cryptography` does not make come from libcrypto; OpenSSL finds the key valid."""
    try:
        material = rsa.generate(RSA, size)
    except BusinessError as error:
        skip_unsupported(error)
    ready = rsa.load(material)
    assert (ready.public.key_size, ready.public.public_numbers().e) == (size, 65537)
    assert b"is valid" in openssl("pkey", "-inform", "DER", "-check", "-noout", given=material.secret)
    assert rsa.generate(RSA, size).public != material.public


@pytest.mark.parametrize("mask", [None, MD5, *DIGESTS.values()])
@pytest.mark.parametrize("digest", [MD5, *DIGESTS.values()])
def test_every_oaep_digest_with_every_mask(
    key: KeyMaterial, digest: int, mask: int | None, tmp_path: Path
) -> None:
    """OpenSSL decrypts OAEP of every pair of digests, and we decrypt what it encrypts."""
    numbers = SIZED if mask is None else {**SIZED, InnerTag.MGF_DIGEST: mask}
    chosen: dict[str, Any] = {"padding": OAEP, "digest": digest, "numbers": numbers}
    if MD5 in (digest, mask):
        try:
            rsa.starter(make_spec(ENCRYPT, key, **chosen))
        except BusinessError as error:
            skip_unsupported(error)
    (tmp_path / "key").write_bytes(key.secret)
    names = {MD5: "md5", **{value: name.lower() for name, value in DIGESTS.items()}}
    arguments = (
        "-inkey", str(tmp_path / "key"), "-keyform", "DER", "-pkeyopt", "rsa_padding_mode:oaep",
        "-pkeyopt", f"rsa_oaep_md:{names[digest]}", "-pkeyopt", f"rsa_mgf1_md:{names[mask or digest]}",
    )  # fmt: skip
    ours = run(rsa, ENCRYPT, public_of(key), b"plain", **chosen)
    assert openssl("pkeyutl", "-decrypt", *arguments, given=ours) == b"plain"
    theirs = openssl("pkeyutl", "-encrypt", *arguments, given=b"plain")
    assert run(rsa, DECRYPT, key, theirs, **chosen) == b"plain"
    with refused(12000006):
        run(rsa, DECRYPT, key, theirs[:-1] + bytes((theirs[-1] ^ 1,)), **chosen)
    with refused(12000006, "more than one RSA block"):
        run(rsa, ENCRYPT, key, bytes(256), **chosen)


def test_weak_choices_warn(key: KeyMaterial) -> None:
    """Small keys, SHA1 and MD5 work and say that they are weak."""
    material = rsa.generate(RSA, 1024)
    with pytest.warns(HuksLegacyWarning, match="RSA with 1024 bits"):
        rsa.starter(make_spec(SIGN, material, padding=PKCS1, digest=SHA256))
    with pytest.warns(HuksLegacyWarning, match="MD5"):
        rsa.starter(make_spec(SIGN, key, padding=PKCS1, digest=MD5))
    with pytest.warns(HuksLegacyWarning, match="OAEP with HUKS_DIGEST_SHA1"):
        rsa.starter(make_spec(ENCRYPT, key, padding=OAEP, digest=SHA1, numbers=SIZED))


def test_import_of_numbers(key: KeyMaterial) -> None:
    """The numbers of a key make the same key again, whatever the exponent is reduced by."""
    private = rsa.load(key).private
    assert private is not None
    numbers = private.private_numbers()
    n, e = numbers.public_numbers.n, numbers.public_numbers.e
    again = rsa.material_from_numbers(n, e, numbers.d, 2048)
    assert again.public == key.public
    assert (again.algorithm, again.size) == (RSA, 2048)
    message = run(rsa, SIGN, again, b"m", padding=PKCS1, digest=SHA256)
    assert message == run(rsa, SIGN, key, b"m", padding=PKCS1, digest=SHA256)
    euler = pow(e, -1, (numbers.p - 1) * (numbers.q - 1))
    carmichael = pow(e, -1, math.lcm(numbers.p - 1, numbers.q - 1))
    for d in (euler, carmichael):
        assert rsa.material_from_numbers(n, e, d).public == key.public
    assert pickle.loads(pickle.dumps(again)) == again
    assert pickle.loads(pickle.dumps(rsa.material_from_numbers)) is rsa.material_from_numbers


def test_import_of_numbers_that_are_no_key(key: KeyMaterial) -> None:
    """Numbers that do not belong together are 401 and are found out quickly: a prime, a square, three primes too."""
    private = rsa.load(key).private
    assert private is not None
    numbers = private.private_numbers()
    n, e, d = numbers.public_numbers.n, numbers.public_numbers.e, numbers.d
    p = numbers.p
    wrong = [(n, e, d + 2), (n, e + 2, d), (n + 2, e, d), (n, 1, 1), (n, e, 0), (n, e, n + d), (n, 0, d),
             (n - 1, e, d), (0, e, d), (n >> 7, e, d)]  # fmt: skip
    wrong.append((p, e, pow(e, -1, p - 1)))
    wrong.append((p * p, e, pow(e, -1, p * (p - 1))))
    for values in wrong:
        with refused(401):
            rsa.material_from_numbers(*values)
    with refused(401, "2048"):
        rsa.material_from_numbers(n, e, d, 1024)
    three = [library.generate_private_key(65537, 1024).private_numbers() for _ in range(2)]
    primes = (three[0].p, three[0].q, three[1].p)
    product = math.prod(primes)
    assert product.bit_length() in (1535, 1536)
    with refused(401):
        rsa.material_from_numbers(product, 65537, pow(65537, -1, math.lcm(*(prime - 1 for prime in primes))))


def test_import_of_spki(key: KeyMaterial) -> None:
    """A SubjectPublicKeyInfo imports with its own size alone; other bytes and algorithms are 401."""
    assert rsa.material_from_spki(key.public, RSA, 2048) == public_of(key)
    curve = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    other = openssl("pkey", "-pubout", "-outform", "DER", given=curve)
    bare = rsa.load(key).public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    for spki, size in (
        (key.public, 1024),
        (key.public, 2047),
        (other, 2048),
        (bare, 2048),
        (b"", 2048),
        (key.public[:-1], 2048),
    ):
        with refused(401):
            rsa.material_from_spki(spki, RSA, size)
    n = rsa.load(key).public.public_numbers().n
    even = bytearray(key.public)
    even[even.index(n.to_bytes(256, "big")) + 255] &= 0xFE
    with refused(401):
        rsa.material_from_spki(bytes(even), RSA, 2048)


@pytest.mark.parametrize(
    ("size", "row"), [(512, 1024), (1032, 2048), (2048, 2048), (3072, 3072), (4096, 4096)]
)
def test_cost_rows(size: int, row: int) -> None:
    """Sizes between the rows of the cost table take the next one."""
    assert rsa_key.cost_row(size, "private") == f"rsa-{row}-private"


def test_operations_name_their_cost(key: KeyMaterial) -> None:
    """Private and public halves have rows of their own; the raw private operation counts many times."""
    assert start(rsa, SIGN, key, padding=PKCS1, digest=SHA256).kind == "rsa-2048-private"
    assert start(rsa, VERIFY, key, padding=PKCS1, digest=SHA256).kind == "rsa-2048-public"
    assert start(rsa, ENCRYPT, key, padding=PKCS1).kind == "rsa-2048-public"
    raw = start(rsa, DECRYPT, key, padding=RAW)
    assert (raw.kind, raw.work > 10, raw.collects) == ("rsa-2048-private", True, True)


def test_errors_show_no_key(key: KeyMaterial) -> None:
    """Neither material nor a ready key shows its secret bytes, nor does a failure show what could not be decrypted."""
    ready = rsa.load(key)
    assert ready.private is not None
    numbers = ready.private.private_numbers()
    shown = repr(key) + repr(ready)
    assert "secret" not in repr(key)
    for secret in (
        key.secret,
        *(value.to_bytes(256, "big").lstrip(b"\0") for value in (numbers.d, numbers.p)),
    ):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    assert str(numbers.d) not in shown
    with pytest.raises(BusinessError) as caught:
        run(rsa, DECRYPT, key, b"\xab" * 255, padding=PKCS1)
    assert "abab" not in str(caught.value)


class _Forbidding:
    """A libcrypto whose configuration forbids what is asked."""

    def public_key(self, *_: object) -> None:
        raise LibcryptoError("no RSA key")

    private_key = public_key


@pytest.mark.parametrize("step", ["generate", "encrypt", "decrypt"])
def test_a_library_that_refuses_by_policy(
    key: KeyMaterial, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small keys and OAEP with MD5 come from libcrypto, which a policy of the system may keep from them."""

    def forbidding(*_: object) -> None:
        raise LibcryptoError("no key")

    if step == "generate":
        monkeypatch.setattr(search, "libcrypto_for", lambda *_: _Forbidding())
        monkeypatch.setattr(generation, "generate_rsa", forbidding)
        with refused(12000001, "a policy of the system"):
            rsa.generate(RSA, 512)
        return
    monkeypatch.setattr(rsa_oaep_md5, "libcrypto_for", lambda *_: _Forbidding())
    purpose, data = (ENCRYPT, b"plain") if step == "encrypt" else (DECRYPT, bytes(256))
    with refused(12000006, "a policy of the system"):
        run(rsa, purpose, key, data, padding=OAEP, digest=MD5, numbers=SIZED)
