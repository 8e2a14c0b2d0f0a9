"""Tests of ECDSA and ECDH on the curves of NIST."""

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from huks_async.crypto.asymmetric import dh, elliptic
from huks_async.crypto.key_material import KeyMaterial
from huks_async.model.errors import BusinessError, HuksLegacyWarning
from huks_async.model.limits import Limits
from huks_async.model.tags import HuksTag
from tests.crypto.asymmetric_support import (
    AGREE,
    DEVICE,
    DIGESTS,
    ECC,
    ECDH,
    ENCRYPT,
    MD5,
    NONE,
    SHA1,
    SHA256,
    SIGN,
    VERIFY,
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

SIZES = (224, 256, 384, 521)
KEY_SIZE = HuksTag.HUKS_TAG_KEY_SIZE
weak_digests = pytest.mark.filterwarnings("ignore::huks_async.model.errors.HuksLegacyWarning")


@pytest.fixture(scope="module")
def keys() -> dict[int, KeyMaterial]:
    return {size: elliptic.generate(ECC, size) for size in SIZES}


@weak_digests
@pytest.mark.parametrize("size", SIZES)
def test_nist_signatures_verify_and_changed_ones_do_not(size: int) -> None:
    """Every verdict of FIPS 186-3 SigVer on the four curves is ours too."""
    seen = set()
    for section, case in records("ECDSA/FIPS_186-3/SigVer.rsp", "Result"):
        curve, _, digest = section.partition(",")
        if curve != f"P-{size}":
            continue
        public = elliptic.material_from_parts(
            size, *(bytes.fromhex(case[name].zfill(-(-size // 8) * 2)) for name in ("Qx", "Qy")), b""
        )
        signature = encode_dss_signature(int(case["R"], 16), int(case["S"], 16))
        message = bytes.fromhex(case["Msg"])
        good = verifies(elliptic, public, message, signature, digest=DIGESTS[digest.replace("-", "")])
        assert good == case["Result"].startswith("P"), case
        seen.add((digest, good))
    assert len(seen) >= 8


def test_nist_public_keys_off_the_curve_are_refused() -> None:
    """Import takes exactly the points that FIPS 186-3 PKV calls valid."""
    count = 0
    for section, case in records("ECDSA/FIPS_186-3/PKV.rsp", "Result"):
        if section not in {f"P-{size}" for size in SIZES}:
            continue
        size = int(section[2:])
        parts = [
            bytes.fromhex(case[name].rjust(2 * ((len(case[name]) + 1) // 2), "0")) for name in ("Qx", "Qy")
        ]
        if case["Result"].startswith("P"):
            assert elliptic.material_from_parts(size, *parts, b"").public
        else:
            with refused(401):
                elliptic.material_from_parts(size, *parts, b"")
        count += 1
    assert count == 48


def test_nist_agreement() -> None:
    """The secrets of the NIST key agreement file come out, for every curve and valid key."""
    count = 0
    for section, case in records("ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_init.fax", "Result"):
        size = {"EB": 224, "EC": 256, "ED": 384, "EE": 521}.get(section[:2])
        if size is None or not case["Result"].startswith("P"):
            continue
        width = 2 * (-(-size // 8))
        own = elliptic.material_from_parts(size, b"", b"", bytes.fromhex(case["dsIUT"].zfill(width)))
        peer = elliptic.material_from_parts(
            size, *(bytes.fromhex(case[name].zfill(width)) for name in ("QsCAVSx", "QsCAVSy")), b""
        )
        secret = run(elliptic, AGREE, own, peer.public, algorithm=ECDH, numbers={KEY_SIZE: size})
        assert secret == bytes.fromhex(case["Z"].zfill(width))
        count += 1
    assert count >= 20


def test_wycheproof_signatures() -> None:
    """Every verdict of Wycheproof on P-256 with SHA-256 is ours too."""
    for group in wycheproof("ecdsa_secp256r1_sha256"):
        key = elliptic.material_from_spki(bytes.fromhex(group["publicKeyDer"]), ECC, 256)
        for case in group["tests"]:
            good = verifies(
                elliptic, key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]), digest=SHA256
            )
            assert good == (case["result"] == "valid"), case


def test_wycheproof_agreement() -> None:
    """Agreement gives Wycheproof's secret or refuses; 'acceptable' may be either, never another secret."""
    taken = set()
    for case in (case for group in wycheproof("ecdh_secp256r1") for case in group["tests"]):
        scalar = int(case["private"], 16).to_bytes(32, "big")
        own = elliptic.material_from_parts(256, b"", b"", scalar)
        try:
            secret = run(
                elliptic, AGREE, own, bytes.fromhex(case["public"]), algorithm=ECDH, numbers={KEY_SIZE: 256}
            )
        except BusinessError as error:
            if error.code not in (401, 12000006) or case["result"] == "valid":
                raise
        else:
            assert case["result"] != "invalid", case
            assert secret.hex() == case["shared"], case
            taken.update(case["flags"])
    # of the doubtful forms only compressed points are taken; see RFC 5480 §2.2
    assert {"CompressedPoint"} <= taken
    assert not taken & {"InvalidAsn", "ModifiedGenerator", "WrongOrder", "InvalidCurveAttack"}


@weak_digests
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("digest", ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"])
def test_openssl_takes_our_signatures(
    size: int, digest: str, keys: dict[int, KeyMaterial], tmp_path: Path
) -> None:
    """OpenSSL verifies what we sign, segment by segment."""
    signature = run(elliptic, SIGN, keys[size], b"seg", b"ment", last=b"ed", digest=DIGESTS[digest])
    (tmp_path / "key").write_bytes(keys[size].public)
    (tmp_path / "signature").write_bytes(signature)
    said = openssl(
        "dgst", f"-{digest.lower()}", "-verify", str(tmp_path / "key"), "-keyform", "DER",
        "-signature", str(tmp_path / "signature"), given=b"segmented",
    )  # fmt: skip
    assert b"Verified OK" in said


@pytest.mark.parametrize("size", SIZES)
def test_openssl_signatures_verify(size: int, keys: dict[int, KeyMaterial], tmp_path: Path) -> None:
    """We verify what OpenSSL signs with our key, with the message in updates."""
    (tmp_path / "key").write_bytes(keys[size].secret)
    signature = openssl(
        "dgst", "-sha256", "-sign", str(tmp_path / "key"), "-keyform", "DER", given=b"message"
    )
    public = public_of(keys[size])
    assert run(elliptic, VERIFY, public, b"mess", b"", b"age", last=signature, digest=SHA256) == b""
    with refused(12000006):
        run(elliptic, VERIFY, public, b"massage", last=signature, digest=SHA256)


@pytest.mark.parametrize("size", SIZES)
def test_openssl_agrees(size: int, keys: dict[int, KeyMaterial], tmp_path: Path) -> None:
    """OpenSSL's derivation from our private key and a key of its own gives our secret."""
    name = {224: "secp224r1", 256: "prime256v1", 384: "secp384r1", 521: "secp521r1"}[size]
    theirs = openssl(
        "genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{name}", "-outform", "DER"
    )
    spki = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", given=theirs)
    (tmp_path / "theirs").write_bytes(theirs)
    (tmp_path / "ours").write_bytes(keys[size].public)
    secret = openssl(
        "pkeyutl", "-derive", "-inkey", str(tmp_path / "theirs"), "-keyform", "DER",
        "-peerkey", str(tmp_path / "ours"), "-peerform", "DER",
    )  # fmt: skip
    # the session's size may be that of another curve: it is checked, not compared
    assert (
        run(elliptic, AGREE, keys[size], spki, last=b"?", algorithm=ECDH, numbers={KEY_SIZE: 256}) == secret
    )
    assert len(secret) == -(-size // 8)


@pytest.mark.parametrize("name", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
def test_digest_none_takes_the_hash(name: str, keys: dict[int, KeyMaterial]) -> None:
    """A value of a hash's length is signed as that hash of the message."""
    value = hashlib.new(name, b"message").digest()
    signature = run(elliptic, SIGN, keys[384], value[:5], last=value[5:], digest=NONE)
    assert verifies(elliptic, keys[384], value, signature, digest=NONE)
    if name == "sha384":
        assert verifies(elliptic, keys[384], b"message", signature, digest=DIGESTS["SHA384"])
    assert not verifies(elliptic, keys[384], value[::-1], signature, digest=NONE)


def test_digest_none_refuses_other_lengths(keys: dict[int, KeyMaterial]) -> None:
    """Data that cannot be a hash value is 401; none at all 12000014 where the limits say so."""
    for length in (0, 1, 15, 17, 33, 65, 1000):
        with refused(401):
            run(elliptic, SIGN, keys[256], b"x" * length, digest=NONE)
        with refused(401):
            run(elliptic, VERIFY, keys[256], b"x" * length, last=b"signature", digest=NONE)
    with refused(12000014):
        run(elliptic, SIGN, keys[256], digest=NONE, limits=DEVICE)
    with refused(12000014):
        run(elliptic, VERIFY, keys[256], last=b"signature", digest=NONE, limits=DEVICE)
    assert run(elliptic, SIGN, keys[256], digest=SHA256, limits=DEVICE)


def test_collected_data_is_bounded_and_streamed_is_not(keys: dict[int, KeyMaterial]) -> None:
    """Only what is collected counts against the limit (401), and it is counted in `held`."""
    small = Limits(max_collected_bytes=40)
    operation = start(elliptic, SIGN, keys[256], digest=NONE, limits=small)
    operation.update(b"x" * 32)
    assert operation.held == 32
    assert operation.collects
    with refused(401, "max_collected_bytes"):
        operation.update(b"x" * 9)
    streamed = start(elliptic, SIGN, keys[256], digest=SHA256, limits=small)
    streamed.update(memoryview(b"x" * 5000))
    assert streamed.held == 0
    assert verifies(elliptic, keys[256], b"x" * 5000, streamed.finish(b""), digest=SHA256)


@pytest.mark.parametrize(("size", "most"), [(224, 64), (256, 72), (384, 104), (521, 140)])
def test_signature_lengths(size: int, most: int, keys: dict[int, KeyMaterial]) -> None:
    """Longer than the curve can make: 12000003; none: 401; garbage: 12000006."""
    with refused(12000003):
        run(elliptic, VERIFY, keys[size], b"m", last=b"x" * (most + 1), digest=SHA256)
    with refused(12000006):
        run(elliptic, VERIFY, keys[size], b"m", last=b"x" * most, digest=SHA256)
    with refused(401):
        run(elliptic, VERIFY, keys[size], b"m", last=b"", digest=SHA256)
    with refused(401):
        run(elliptic, VERIFY, keys[size], b"m" * 32, last=b"", digest=NONE)


def test_agreement_refuses_wrong_peers(keys: dict[int, KeyMaterial]) -> None:
    """Another algorithm or curve is 12000006, what is no key of a kind that HUKS has is 401."""
    numbers = {KEY_SIZE: 256}
    other_curve = openssl("ecparam", "-name", "secp256k1", "-genkey", "-noout")
    sm2 = openssl("genpkey", "-algorithm", "SM2")
    peers = {
        12000006: [
            keys[384].public,
            openssl("pkey", "-pubout", "-outform", "DER", given=openssl("genrsa", "1024")),
            dh.generate(103, 2048).public,
            openssl("pkey", "-pubout", "-outform", "DER", given=other_curve),
            openssl("pkey", "-pubout", "-outform", "DER", given=sm2),
        ],
        401: [
            b"",
            b"no key",
            keys[256].public[:-1],
            keys[256].public + b"\0",
            openssl("pkey", "-pubout", "-outform", "DER", given=openssl("genpkey", "-algorithm", "X448")),
        ],
    }
    for code, spkis in peers.items():
        for spki in spkis:
            with refused(code):
                run(elliptic, AGREE, keys[256], spki, algorithm=ECDH, numbers=numbers)


def test_agreement_takes_one_update(keys: dict[int, KeyMaterial]) -> None:
    """A second update is 12000012, finish without any 401, and a size that no curve has 401 at update."""
    operation = start(elliptic, AGREE, keys[256], algorithm=ECDH, numbers={KEY_SIZE: 256})
    assert operation.update(keys[256].public) == b""
    assert operation.held == 32
    with refused(12000012):
        operation.update(keys[256].public)
    with refused(401):
        run(elliptic, AGREE, keys[256], algorithm=ECDH, numbers={KEY_SIZE: 256})
    for numbers in ({}, {KEY_SIZE: 128}):
        operation = start(elliptic, AGREE, keys[256], algorithm=ECDH, numbers=numbers)
        with refused(401, "HUKS_TAG_KEY_SIZE"):
            operation.update(keys[256].public)


def test_a_public_key_neither_signs_nor_agrees(keys: dict[int, KeyMaterial]) -> None:
    """Without the private half both are 401, before any data is taken."""
    with refused(401, "private"):
        start(elliptic, SIGN, public_of(keys[256]), digest=SHA256)
    with refused(401, "private"):
        start(elliptic, AGREE, public_of(keys[256]), algorithm=ECDH, numbers={KEY_SIZE: 256})


def test_parameters_that_curves_do_not_take(keys: dict[int, KeyMaterial]) -> None:
    """Digests, purposes and algorithms outside the matrix have their documented codes."""
    with refused(12000003):
        elliptic.starter(make_spec(SIGN, keys[256], digest=MD5))
    with refused(401):
        elliptic.starter(make_spec(SIGN, keys[256]))
    with refused(12000003):
        elliptic.starter(make_spec(AGREE, keys[256]))
    with refused(12000003):
        elliptic.starter(make_spec(ENCRYPT, keys[256]))
    with refused(12000003):
        elliptic.generate(ECC, 255)


def test_weak_digests_warn(keys: dict[int, KeyMaterial]) -> None:
    """SHA1 works and says that it is weak."""
    with pytest.warns(HuksLegacyWarning, match="SHA1"):
        elliptic.starter(make_spec(SIGN, keys[256], digest=SHA1))


@pytest.mark.parametrize("size", SIZES)
def test_import_of_parts(size: int, keys: dict[int, KeyMaterial]) -> None:
    """The numbers of a key make the same key; halves that do not match are refused."""
    numbers = elliptic.load(keys[size]).private.private_numbers()
    width = -(-size // 8)
    x, y, z = (
        number.to_bytes(width, "big")
        for number in (numbers.public_numbers.x, numbers.public_numbers.y, numbers.private_value)
    )
    pair = elliptic.material_from_parts(size, x, y, z)
    assert pair == keys[size]
    assert elliptic.material_from_parts(size, x, y, b"") == public_of(keys[size])
    alone = elliptic.material_from_parts(size, b"", b"", z)
    assert alone.public == b""
    assert verifies(elliptic, pair, b"m", run(elliptic, SIGN, alone, last=b"m", digest=SHA256), digest=SHA256)
    other = (numbers.private_value ^ 2).to_bytes(width, "big")
    for parts in ((x, y, other), (x, x, b""), (b"", b"", b""), (x, b"", z), (b"", b"", b"\0" * width),
                  (b"", b"", b"\xff" * width)):  # fmt: skip
        with refused(401):
            elliptic.material_from_parts(size, *parts)


def test_import_of_spki(keys: dict[int, KeyMaterial]) -> None:
    """A SubjectPublicKeyInfo imports on its own curve alone, and compressed points become canonical."""
    assert elliptic.material_from_spki(keys[256].public, ECC, 256) == public_of(keys[256])
    compressed = openssl(
        "ec",
        "-pubin",
        "-inform",
        "DER",
        "-outform",
        "DER",
        "-conv_form",
        "compressed",
        given=keys[256].public,
    )
    assert elliptic.material_from_spki(compressed, ECC, 256) == public_of(keys[256])
    for spki, size in ((keys[384].public, 256), (b"x", 256), (keys[256].public, 512), (b"", 256)):
        with refused(401):
            elliptic.material_from_spki(spki, ECC, size)


@pytest.mark.parametrize("size", SIZES)
def test_cost_rows(size: int, keys: dict[int, KeyMaterial]) -> None:
    """Each operation names its row of the cost table."""
    assert start(elliptic, SIGN, keys[size], digest=SHA256).kind == f"ecdsa-p{size}-sign"
    assert start(elliptic, VERIFY, keys[size], digest=NONE).kind == f"ecdsa-p{size}-verify"
    assert start(elliptic, AGREE, keys[size], algorithm=ECDH).kind == f"ecdh-p{size}"
