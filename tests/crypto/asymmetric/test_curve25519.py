"""Tests of Ed25519 and X25519."""

from pathlib import Path

import pytest

from huks_async.crypto.asymmetric import curve25519
from huks_async.crypto.key_material import KeyMaterial
from huks_async.model.limits import Limits
from tests.crypto.asymmetric_support import (
    AGREE,
    DEVICE,
    ED25519,
    SHA256,
    SIGN,
    VERIFY,
    X25519,
    make_spec,
    nist,
    openssl,
    public_of,
    records,
    refused,
    run,
    start,
    verifies,
    wycheproof,
)

SPKI_HEADS = {
    ED25519: bytes.fromhex("302a300506032b6570032100"),
    X25519: bytes.fromhex("302a300506032b656e032100"),
}
PKCS8_HEADS = {
    ED25519: bytes.fromhex("302e020100300506032b657004220420"),
    X25519: bytes.fromhex("302e020100300506032b656e04220420"),
}


@pytest.fixture(scope="module")
def key() -> KeyMaterial:
    return curve25519.generate(ED25519, 256)


@pytest.fixture(scope="module")
def pair() -> tuple[KeyMaterial, KeyMaterial]:
    return curve25519.generate(X25519, 256), curve25519.generate(X25519, 256)


def test_published_ed25519_signatures() -> None:
    """The published vectors of Ed25519 come out byte for byte, whatever the digest tag says."""
    lines = nist("Ed25519/sign.input")[::16]
    assert len(lines) == 64
    for line in lines:
        secret, public, message, signature, _ = (bytes.fromhex(part) for part in line.split(":"))
        material = curve25519.material_from_parts(ED25519, public, secret[:32])
        middle = len(message) // 2
        assert run(curve25519, SIGN, material, message[:middle], last=message[middle:]) == signature[:64]
        assert verifies(curve25519, public_of(material), message, signature[:64], digest=SHA256)


def test_wycheproof_ed25519() -> None:
    """Every verdict of Wycheproof is ours too, malleable signatures included."""
    for group in wycheproof("ed25519"):
        material = curve25519.material_from_spki(bytes.fromhex(group["publicKey"]["pk"]), ED25519, 256)
        for case in group["tests"]:
            good = verifies(curve25519, material, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert good == (case["result"] == "valid"), case


def test_rfc_7748() -> None:
    """The vectors of RFC 7748 come out."""
    count = 0
    for _, case in records("X25519/rfc7748.txt", "OUTPUT_U"):
        scalar, u, expected = (bytes.fromhex(case[name]) for name in ("INPUT_SCALAR", "INPUT_U", "OUTPUT_U"))
        own = curve25519.material_from_parts(X25519, b"", scalar)
        assert run(curve25519, AGREE, own, u, last=b"ignored") == expected
        count += 1
    assert count == 3


def test_openssl_signs_and_verifies(key: KeyMaterial, tmp_path: Path) -> None:
    """OpenSSL verifies our signature and makes the same one with our key."""
    for name, data in (
        ("public", SPKI_HEADS[ED25519] + key.public),
        ("private", PKCS8_HEADS[ED25519] + key.secret),
        ("message", b"message"),
    ):
        (tmp_path / name).write_bytes(data)
    signature = run(curve25519, SIGN, key, b"mess", last=b"age")
    theirs = openssl(
        "pkeyutl", "-sign", "-rawin", "-in", str(tmp_path / "message"),
        "-inkey", str(tmp_path / "private"), "-keyform", "DER",
    )  # fmt: skip
    assert theirs == signature
    (tmp_path / "signature").write_bytes(signature)
    assert b"Success" in openssl(
        "pkeyutl", "-verify", "-rawin", "-in", str(tmp_path / "message"), "-pubin", "-keyform", "DER",
        "-inkey", str(tmp_path / "public"), "-sigfile", str(tmp_path / "signature"),
    )  # fmt: skip


def test_openssl_agrees(pair: tuple[KeyMaterial, KeyMaterial], tmp_path: Path) -> None:
    """OpenSSL's derivation gives our secret."""
    ours, theirs = pair
    (tmp_path / "private").write_bytes(PKCS8_HEADS[X25519] + theirs.secret)
    (tmp_path / "peer").write_bytes(SPKI_HEADS[X25519] + ours.public)
    secret = openssl(
        "pkeyutl", "-derive", "-inkey", str(tmp_path / "private"), "-keyform", "DER",
        "-peerkey", str(tmp_path / "peer"), "-peerform", "DER",
    )  # fmt: skip
    assert run(curve25519, AGREE, ours, theirs.public) == secret


def test_empty_message(key: KeyMaterial) -> None:
    """RFC 8032 signs the empty message; limits of a device refuse it (12000014)."""
    signature = run(curve25519, SIGN, key)
    assert verifies(curve25519, key, b"", signature)
    with refused(12000014):
        run(curve25519, SIGN, key, b"", limits=DEVICE)
    with refused(12000014):
        run(curve25519, VERIFY, key, last=signature, limits=DEVICE)


def test_signature_lengths(key: KeyMaterial) -> None:
    """None is 401, shorter than 64 bytes 12000003, longer or changed 12000006."""
    signature = run(curve25519, SIGN, key, b"m")
    for wrong, code in ((b"", 401), (signature[:63], 12000003), (signature + b"\0", 12000006),
                        (bytes([signature[0] ^ 1]) + signature[1:], 12000006)):  # fmt: skip
        with refused(code):
            run(curve25519, VERIFY, key, b"m", last=wrong)


def test_messages_are_bounded(key: KeyMaterial) -> None:
    """A message beyond the limit is 401, at update and at finish."""
    limits = Limits(max_collected_bytes=10)
    for updates, last in (((b"x" * 11,), b""), ((b"x" * 5,), b"x" * 6), ((), b"x" * 11)):
        with refused(401, "max_collected_bytes"):
            run(curve25519, SIGN, key, *updates, last=last, limits=limits)
    assert run(curve25519, SIGN, key, b"x" * 5, last=b"x" * 5, limits=limits)


def test_agreement_refuses_wrong_peers(pair: tuple[KeyMaterial, KeyMaterial]) -> None:
    """Other lengths are 401 (a SubjectPublicKeyInfo too), points of low order 12000006, a second peer 12000012."""
    ours, theirs = pair
    for peer in (b"", theirs.public[:31], theirs.public + b"\0", SPKI_HEADS[X25519] + theirs.public):
        with refused(401):
            run(curve25519, AGREE, ours, peer)
    order_8 = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
    for peer in (bytes(32), b"\1" + bytes(31), order_8):
        with refused(12000006):
            run(curve25519, AGREE, ours, peer)
    with refused(12000012):
        run(curve25519, AGREE, ours, theirs.public, theirs.public)
    with refused(401):
        run(curve25519, AGREE, ours)


def test_private_halves_are_needed(key: KeyMaterial, pair: tuple[KeyMaterial, KeyMaterial]) -> None:
    """A public key neither signs nor agrees (401)."""
    with refused(401, "private"):
        start(curve25519, SIGN, public_of(key))
    with refused(401, "private"):
        start(curve25519, AGREE, public_of(pair[0]))


def test_purposes(key: KeyMaterial, pair: tuple[KeyMaterial, KeyMaterial]) -> None:
    """Ed25519 does not agree and X25519 does not sign (12000003)."""
    with refused(12000003):
        curve25519.starter(make_spec(AGREE, key))
    with refused(12000003):
        curve25519.starter(make_spec(SIGN, pair[0]))
    with refused(12000003):
        curve25519.generate(X25519, 255)


@pytest.mark.parametrize("algorithm", [ED25519, X25519])
def test_import(algorithm: int) -> None:
    """Raw halves import alone or together; other lengths and strangers are 401."""
    material = curve25519.generate(algorithm, 256)
    assert curve25519.material_from_parts(algorithm, material.public, material.secret) == material
    assert curve25519.material_from_parts(algorithm, b"", material.secret).public == b""
    assert curve25519.material_from_spki(material.public, algorithm, 256) == public_of(material)
    stranger = curve25519.generate(algorithm, 256).public
    for public, secret in ((stranger, material.secret), (b"", b""), (material.public[1:], b""),
                           (material.public, material.secret + b"\0")):  # fmt: skip
        with refused(401):
            curve25519.material_from_parts(algorithm, public, secret)
    for spki, size in ((SPKI_HEADS[ED25519] + material.public, 256), (material.public, 255)):
        with refused(401):
            curve25519.material_from_spki(spki, algorithm, size)


def test_cost_rows(key: KeyMaterial, pair: tuple[KeyMaterial, KeyMaterial]) -> None:
    """Each operation names its row of the cost table."""
    assert start(curve25519, SIGN, key).kind == "ed25519-sign"
    assert start(curve25519, VERIFY, key).kind == "ed25519-verify"
    assert start(curve25519, AGREE, pair[0]).kind == "x25519"
