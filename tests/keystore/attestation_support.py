"""An authority made in the test, and certificates of keys with anything in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.2011.2.376.1.3")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
CHALLENGE = b"a challenge of the verifier"


def der(tag: int, *content: bytes) -> bytes:
    """One element of DER, up to 64 KiB."""
    body = b"".join(content)
    size = len(body)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([size]) if size < 128 else bytes([0x80 | len(octets)]) + octets) + body


def claim(number: str, value: bytes, level: int = 2) -> bytes:
    """A claim whose object identifier ends with these hex digits."""
    oid = bytes.fromhex("2b060104018f5b02827802" + number)
    return der(0x30, der(2, bytes([level])), der(6, oid), value)


def octets(value: bytes) -> bytes:
    """An OCTET STRING."""
    return der(4, value)


def attestation(*claims: bytes, version: int = 0) -> bytes:
    """The value of the extension."""
    return der(0x30, der(2, bytes([version])), *claims)


DEVICE_CLAIMS = (
    claim("0104", octets(CHALLENGE), 0),
    claim("0102", octets(b"my key")),
    claim(
        "0103", der(0x30, der(6, bytes.fromhex("2b060104018f5b02827802010301")), octets(b'{"appId": "x"}'))
    ),
    claim("020403", der(0x0C, b"serial number"), 3),
    claim("010b", octets(bytes(4))),
    claim("0105", octets(b"\2\0\0\0")),
    claim("0101", octets(b"\x0c\0\0\0")),
    claim("0108", octets(b"\x0c\0\0\0")),
)
"""What a device would state, written down by hand."""


@dataclass
class Authority:
    """A certificate with its key."""

    key: Key
    certificate: x509.Certificate


def authority(above: Authority | None = None, name: str = "root", **more: Any) -> Authority:
    """An authority below another one, or a root."""
    key: Key = more.pop("key", None) or ec.generate_private_key(ec.SECP256R1())
    extensions = more.pop("extensions", None)
    if extensions is None:
        extensions = [(x509.BasicConstraints(ca=True, path_length=more.pop("below", None)), True)]
    return Authority(
        key, certificate(name, key.public_key(), above, extensions=extensions, self_key=key, **more)
    )


def certificate(
    name: str,
    public_key: Any,
    above: Authority | None,
    *,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    self_key: Key | None = None,
    start: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=1),
    digest: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:
    """A certificate signed by `above`, or by its own key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.certificate.subject if above else subject)
        .public_key(public_key)
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = above.key if above else self_key
    assert signer is not None
    return builder.sign(signer, digest or hashes.SHA256())


def leaf(
    above: Authority,
    value: bytes | None = None,
    *,
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
    **fields: Any,
) -> x509.Certificate:
    """A key's certificate with this attestation; by default what a device would state."""
    value = attestation(*DEVICE_CLAIMS) if value is None else value
    key = ec.generate_private_key(ec.SECP256R1())
    extensions = [(x509.UnrecognizedExtension(EXTENSION, value), False), *more]
    return certificate("A Keymaster Key", key.public_key(), above, extensions=extensions, **fields)


def to_der(*certificates: x509.Certificate) -> list[bytes]:
    """The certificates in DER."""
    return [one.public_bytes(Encoding.DER) for one in certificates]
