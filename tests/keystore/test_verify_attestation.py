"""verify_attestation: a chain made here as a device makes it, and every way to spoil one."""

import base64
import pickle
from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from huks_async import AttestationError, AttestationRefusal, BusinessError, verify_attestation
from tests.keystore.attestation_support import (
    CHALLENGE,
    DEVICE_CLAIMS,
    NOW,
    Authority,
    attestation,
    authority,
    certificate,
    claim,
    der,
    leaf,
    octets,
    to_der,
)

R = AttestationRefusal
ROOT = authority(below=2)
DEVICE_CA = authority(ROOT, "device CA", below=1)
DEVICE = authority(DEVICE_CA, "device", below=0)
LEAF = leaf(DEVICE)
CHAIN = to_der(LEAF, DEVICE.certificate, DEVICE_CA.certificate, ROOT.certificate)
ROOTS = [ROOT.certificate]


def refusal_of(chain: list[Any], roots: list[Any] | None = None, at: datetime = NOW) -> AttestationRefusal:
    """Why a chain is refused."""
    with pytest.raises(AttestationError) as caught:
        verify_attestation(chain, CHALLENGE, roots=ROOTS if roots is None else roots, at=at)
    assert caught.value.code == 12000006
    assert caught.value.refusal.value in caught.value.message
    return caught.value.refusal


def spoiled(key_certificate: x509.Certificate, above: Authority = DEVICE) -> list[bytes]:
    """The chain with another key certificate, and perhaps another issuer of it."""
    return to_der(key_certificate, above.certificate, DEVICE_CA.certificate, ROOT.certificate)


def test_a_chain_as_a_device_makes_it() -> None:
    """Every field of the report comes from the claim it should."""
    report = verify_attestation(CHAIN, CHALLENGE, roots=ROOTS, at=NOW)
    public = LEAF.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert report.public_key == public
    assert (report.level, report.is_software, report.origin) == (2, False, 2)
    assert (report.key_id, report.application, report.application_kind) == (
        b"my key",
        {"appId": "x"},
        "application",
    )
    assert (report.purposes, report.digest, report.padding, report.groups) == (12, 12, None, ())
    assert report.device_ids == {"serial": "serial number"}
    assert report.sign_type == 0
    assert len(report.claims) == len(DEVICE_CLAIMS)
    assert report.root == ROOT.certificate.fingerprint(hashes.SHA256()).hex()


def test_forms_of_certificates() -> None:
    """PEM and DER, text and bytes, wrapped or not; the root in the chain or left out."""
    text = [one.public_bytes(Encoding.PEM) for one in (LEAF, DEVICE.certificate, DEVICE_CA.certificate)]
    flat = [
        f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(one).decode()}\n-----END CERTIFICATE-----"
        for one in CHAIN
    ]
    root_pem = ROOT.certificate.public_bytes(Encoding.PEM)
    for chain in (CHAIN, CHAIN[:-1], text, [one.decode() for one in text], flat):
        for root in (ROOT.certificate, root_pem, root_pem.decode(), CHAIN[-1]):
            assert verify_attestation(chain, bytearray(CHALLENGE), roots=[root], at=NOW).origin == 2


def test_a_leaf_with_a_bad_list_of_revocations() -> None:
    """Devices put a malformed extension into the key's certificate; that does not spoil the rest."""
    bad = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.31"), b"\0")
    one = leaf(DEVICE, more=[(bad, False)])
    with pytest.raises(ValueError, match=r"."):
        _ = one.extensions
    assert verify_attestation(spoiled(one), CHALLENGE, roots=ROOTS, at=NOW).origin == 2


def _changed_signature() -> list[bytes]:
    return [CHAIN[0][:-1] + bytes([CHAIN[0][-1] ^ 1]), *CHAIN[1:]]


def _changed_claim() -> list[bytes]:
    at = CHAIN[0].index(b"my key")
    return [CHAIN[0][:at] + b"MY" + CHAIN[0][at + 2 :], *CHAIN[1:]]


def _other_issuer() -> list[bytes]:
    return spoiled(leaf(Authority(ec.generate_private_key(ec.SECP256R1()), DEVICE.certificate)))


def _no_authority() -> list[bytes]:
    # a key that was attested, and can sign, certifies another one
    attested_key = ec.generate_private_key(ec.SECP256R1())
    attested = certificate("A Keymaster Key", attested_key.public_key(), DEVICE)
    forged = leaf(Authority(attested_key, attested))
    return to_der(forged, attested, DEVICE.certificate, DEVICE_CA.certificate, ROOT.certificate)


def _says_no_authority() -> list[bytes]:
    plain = [(x509.BasicConstraints(ca=False, path_length=None), True)]
    false = authority(DEVICE_CA, "device", extensions=plain)
    return spoiled(leaf(false), false)


def _path_too_long() -> list[bytes]:
    deeper = authority(DEVICE, "one too many")
    return to_der(
        leaf(deeper), deeper.certificate, DEVICE.certificate, DEVICE_CA.certificate, ROOT.certificate
    )


def _wrong_usage() -> list[bytes]:
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    limited = authority(
        DEVICE_CA, "device", extensions=[(x509.BasicConstraints(ca=True, path_length=0), True), (usage, True)]
    )
    return spoiled(leaf(limited), limited)


def _critical(where: str) -> list[bytes]:
    unknown = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)
    if where == "leaf":
        return spoiled(leaf(DEVICE, more=[unknown]))
    constrained = authority(
        DEVICE_CA, "device", extensions=[(x509.BasicConstraints(ca=True, path_length=0), True), unknown]
    )
    return spoiled(leaf(constrained), constrained)


def _weak_digest() -> list[bytes]:
    return spoiled(leaf(DEVICE, digest=hashes.SHA224()))


def _weak_key() -> list[bytes]:
    weak = authority(DEVICE_CA, "device", key=rsa.generate_private_key(65537, 1024))
    return spoiled(leaf(weak), weak)


def _leaf_as_authority() -> list[bytes]:
    return spoiled(leaf(DEVICE, more=[(x509.BasicConstraints(ca=True, path_length=None), True)]))


def _without_extension() -> list[bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    return spoiled(certificate("A Keymaster Key", key.public_key(), DEVICE))


def _claims(*claims: bytes, version: int = 0) -> Callable[[], list[bytes]]:
    return lambda: spoiled(leaf(DEVICE, attestation(*claims, version=version)))


CHALLENGED = DEVICE_CLAIMS[0]
TAMPERED: dict[str, tuple[Callable[[], list[Any]], AttestationRefusal]] = {
    "no certificate": (list, R.EMPTY_CHAIN),
    "nine certificates": (lambda: [*CHAIN, *CHAIN, CHAIN[0]], R.CHAIN_TOO_LONG),
    "rubbish": (lambda: [b"rubbish", *CHAIN[1:]], R.MALFORMED_CERTIFICATE),
    "cut off": (lambda: [CHAIN[0][:-5], *CHAIN[1:]], R.MALFORMED_CERTIFICATE),
    "too large": (lambda: [b"\x30" + bytes(70_000), *CHAIN[1:]], R.MALFORMED_CERTIFICATE),
    "reversed": (lambda: CHAIN[::-1], R.WRONG_ORDER),
    "swapped": (lambda: [CHAIN[0], CHAIN[2], CHAIN[1], CHAIN[3]], R.WRONG_ORDER),
    "one left out": (lambda: [CHAIN[0], *CHAIN[2:]], R.WRONG_ORDER),
    "signature changed": (_changed_signature, R.BAD_SIGNATURE),
    "claim changed": (_changed_claim, R.BAD_SIGNATURE),
    "signed by another key": (_other_issuer, R.BAD_SIGNATURE),
    "SHA-224": (_weak_digest, R.WEAK_SIGNATURE),
    "RSA 1024": (_weak_key, R.WEAK_SIGNATURE),
    "attested key as issuer": (_no_authority, R.NOT_AN_AUTHORITY),
    "issuer says it is none": (_says_no_authority, R.NOT_AN_AUTHORITY),
    "one authority too many": (_path_too_long, R.PATH_TOO_LONG),
    "issuer's key usage": (_wrong_usage, R.ISSUER_KEY_USAGE),
    "critical extension of the key": (lambda: _critical("leaf"), R.UNKNOWN_CRITICAL_EXTENSION),
    "critical extension of an issuer": (lambda: _critical("CA"), R.UNKNOWN_CRITICAL_EXTENSION),
    "key as authority": (_leaf_as_authority, R.KEY_IS_AUTHORITY),
    "no attestation": (_without_extension, R.NO_ATTESTATION),
    "attestation of another version": (_claims(CHALLENGED, version=1), R.MALFORMED_ATTESTATION),
    "attestation is rubbish": (lambda: spoiled(leaf(DEVICE, b"rubbish")), R.MALFORMED_ATTESTATION),
    "bytes after the attestation": (
        lambda: spoiled(leaf(DEVICE, attestation(CHALLENGED) + b"\0")),
        R.MALFORMED_ATTESTATION,
    ),
    "number of 3 bytes": (_claims(CHALLENGED, claim("0105", octets(bytes(3)))), R.MALFORMED_ATTESTATION),
    "challenge is no bytes": (_claims(claim("0104", der(0x0C, CHALLENGE))), R.MALFORMED_ATTESTATION),
    "application is no JSON": (
        _claims(CHALLENGED, claim("0103", der(0x30, der(6, b"\x2a\x03"), octets(b"{")))),
        R.MALFORMED_ATTESTATION,
    ),
    "claim twice": (_claims(CHALLENGED, claim("0105", octets(bytes(4))) * 2), R.DUPLICATE_CLAIM),
    "challenge twice": (_claims(claim("0104", octets(b"other")), CHALLENGED), R.DUPLICATE_CLAIM),
    "no challenge": (_claims(*DEVICE_CLAIMS[1:]), R.NO_CHALLENGE),
    "empty challenge": (_claims(claim("0104", octets(b""))), R.NO_CHALLENGE),
    "another challenge": (_claims(claim("0104", octets(CHALLENGE + b"x"))), R.WRONG_CHALLENGE),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_is_refused(name: str) -> None:
    """Each kind of tampering is refused for its own reason."""
    make, expected = TAMPERED[name]
    assert refusal_of(make()) is expected


def test_an_issuer_with_a_key_of_diffie_hellman() -> None:
    """It is refused by the name of its algorithm: to load it would test its numbers for being prime, for seconds."""
    numbers = der(0x30, der(2, b"\x7f" * 32) + der(2, b"\2"))
    algorithm = der(0x30, der(6, bytes.fromhex("2a864886f70d010301")) + numbers)
    stranger = der(0x30, algorithm + der(3, b"\0" + der(2, b"\x11" * 32)))
    own = DEVICE.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert len(stranger) == len(own)
    body = DEVICE.certificate.tbs_certificate_bytes.replace(own, stranger)
    assert isinstance(DEVICE_CA.key, ec.EllipticCurvePrivateKey)
    signature = DEVICE_CA.key.sign(body, ec.ECDSA(hashes.SHA256()))
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    issuer = der(0x30, body + ecdsa_with_sha256 + der(3, b"\0" + signature))
    chain = [CHAIN[0], issuer, *CHAIN[2:]]
    with pytest.raises(AttestationError, match="Diffie-Hellman") as caught:
        verify_attestation(chain, CHALLENGE, roots=ROOTS, at=NOW)
    assert caught.value.refusal is R.WEAK_SIGNATURE


def test_every_reason_occurs() -> None:
    """There is no reason that nothing is refused for."""
    elsewhere = {R.UNTRUSTED_ROOT, R.EXPIRED, R.NOT_YET_VALID}
    assert {expected for _, expected in TAMPERED.values()} | elsewhere == set(R)


def test_nothing_is_trusted_by_default() -> None:
    """A chain to a root that was not given is refused, with a lookalike of the root given as well."""
    lookalike = authority(name="root")
    assert refusal_of(CHAIN, []) is R.UNTRUSTED_ROOT
    assert refusal_of(CHAIN, [lookalike.certificate]) is R.UNTRUSTED_ROOT
    assert refusal_of(CHAIN[:-1], [lookalike.certificate]) is R.UNTRUSTED_ROOT
    assert refusal_of(CHAIN[:1]) is R.UNTRUSTED_ROOT
    # the key's own certificate is no root, even if somebody gives it as one
    assert refusal_of(CHAIN[:1], [LEAF]) is R.UNTRUSTED_ROOT
    both = [lookalike.certificate, ROOT.certificate]
    assert verify_attestation(CHAIN[:-1], CHALLENGE, roots=both, at=NOW).origin == 2


def test_time() -> None:
    """A chain is good while all of it is valid, the root included, and not a second before or after."""
    second = timedelta(seconds=1)
    first, last = LEAF.not_valid_before_utc, LEAF.not_valid_after_utc
    for at in (first, last):
        assert verify_attestation(CHAIN, CHALLENGE, roots=ROOTS, at=at).not_after == last
    assert refusal_of(CHAIN, at=first - second) is R.NOT_YET_VALID
    assert refusal_of(CHAIN, at=last + second) is R.EXPIRED
    old = authority(name="old", start=NOW - timedelta(days=9), end=NOW - second)
    assert refusal_of(to_der(leaf(old), old.certificate), [old.certificate]) is R.EXPIRED
    # without a time it is today's that counts, which on every machine is later than this
    past = {"start": datetime(1960, 1, 1, tzinfo=UTC), "end": datetime(1960, 1, 2, tzinfo=UTC)}
    bygone = authority(name="bygone", **past)
    with pytest.raises(AttestationError) as caught:
        verify_attestation(
            to_der(leaf(bygone, **past), bygone.certificate), CHALLENGE, roots=[bygone.certificate]
        )
    assert caught.value.refusal is R.EXPIRED


class NoZone(tzinfo):
    """A time zone that does not say how far it is from UTC."""

    def utcoffset(self, _: datetime | None) -> None:
        return None


def test_arguments() -> None:
    """Wrong types are 401, not a refusal."""
    released = memoryview(CHAIN[0])
    released.release()
    calls: list[tuple[Any, Any, Any, Any]] = [
        (CHAIN[0], CHALLENGE, ROOTS, NOW),
        (CHAIN, "text", ROOTS, NOW),
        (CHAIN, CHALLENGE, CHAIN[-1], NOW),
        (CHAIN, CHALLENGE, ROOTS, NOW.replace(tzinfo=None)),
        (CHAIN, CHALLENGE, ROOTS, NOW.replace(tzinfo=NoZone())),
        (CHAIN, CHALLENGE, ROOTS, "now"),
        (released, CHALLENGE, ROOTS, NOW),
        (memoryview(CHAIN[0]), CHALLENGE, ROOTS, NOW),
        (bytearray(CHAIN[0]), CHALLENGE, ROOTS, NOW),
        (array("B", CHAIN[0][:5]), CHALLENGE, ROOTS, NOW),
        (CHAIN, CHALLENGE, released, NOW),
        ([123], CHALLENGE, ROOTS, NOW),
        ([None, *CHAIN[1:]], CHALLENGE, ROOTS, NOW),
        ([released], CHALLENGE, ROOTS, NOW),
        (CHAIN, CHALLENGE, [123], NOW),
    ]
    for chain, challenge, roots, at in calls:
        with pytest.raises(BusinessError) as caught:
            verify_attestation(chain, challenge, roots=roots, at=at)
        assert caught.value.code == 401, (chain, at)


def test_errors_cross_processes() -> None:
    """A refusal keeps its reason when it is pickled."""
    error = pickle.loads(pickle.dumps(AttestationError(R.EXPIRED, "detail")))
    assert isinstance(error, AttestationError)
    assert (error.refusal, error.code, error.detail) == (R.EXPIRED, 12000006, "detail")


@settings(max_examples=150, deadline=None)
@example(at=len(CHAIN[0]) - len(x509.load_der_x509_certificate(CHAIN[0]).signature) - 1, mask=1)
@given(at=st.integers(0, len(CHAIN[0]) - 1), mask=st.integers(1, 255))
def test_any_changed_byte_of_the_key_certificate(at: int, mask: int) -> None:
    """No byte of the key's certificate can be changed, and none makes anything but a refusal."""
    changed = CHAIN[0][:at] + bytes([CHAIN[0][at] ^ mask]) + CHAIN[0][at + 1 :]
    refusal_of([changed, *CHAIN[1:]])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_signed_rubbish(data: st.DataObject) -> None:
    """Whatever a trusted issuer signs as claims, the answer is a report or a refusal."""
    good = attestation(*DEVICE_CLAIMS)
    at = data.draw(st.integers(0, len(good) - 1))
    value = good[:at] + data.draw(st.binary(min_size=1, max_size=4)) + good[at + 1 :]
    try:
        report = verify_attestation(spoiled(leaf(DEVICE, value)), CHALLENGE, roots=ROOTS, at=NOW)
    except AttestationError:
        return
    assert report.challenge == CHALLENGE
