"""The attestation extension of a key certificate, in DER.

Attestation ::= SEQUENCE { version INTEGER, claims Claim ... }     claims follow directly
Claim       ::= SEQUENCE { level INTEGER, oid OBJECT IDENTIFIER, value ANY }
"""

from collections.abc import Iterable
from dataclasses import dataclass

from huks_async.keys.forms.der import take, tlv

EXTENSION_OID = "1.3.6.1.4.1.2011.2.376.1.3"
VERSION = 0

BOOLEAN, INTEGER, OCTETS, OID, UTF8, SEQUENCE = 0x01, 0x02, 0x04, 0x06, 0x0C, 0x30

_BASE = "1.3.6.1.4.1.2011.2.376.2."
USAGE = f"{_BASE}1.1"
KEY_ID = f"{_BASE}1.2"
APPLICATION = f"{_BASE}1.3"
APPLICATION_KINDS = {f"{_BASE}1.3.1": "application", f"{_BASE}1.3.2": "service", f"{_BASE}1.3.3": "unified"}
SERVICE = f"{_BASE}1.3.2"
CHALLENGE = f"{_BASE}1.4"
KEY_FLAG = f"{_BASE}1.5"
DIGEST = f"{_BASE}1.8"
PADDING = f"{_BASE}1.9"
SIGN_TYPE = f"{_BASE}1.11"
VERSION_INFO = f"{_BASE}2.2.4"
SECURITY_LEVEL_INFO = f"{_BASE}2.2.5"
DEVICE_IDS = {
    f"{_BASE}2.4.{number}": name
    for number, name in enumerate(
        ("imei", "meid", "serial", "brand", "device", "product", "manufacturer", "model", "socid", "udid"),
        start=1,
    )
}
SIGN_RSA_PSS = f"{_BASE}4.1.3"
SIGN_ECDSA = f"{_BASE}4.1.5"
ENCRYPT_RSA_OAEP = f"{_BASE}4.2.2"
ENCRYPT_RSA_OAEP_SHA256 = f"{_BASE}4.2.3"
GROUPS = {
    SIGN_RSA_PSS: "signature RSA-PSS SHA-256",
    # devices use one number for both
    SIGN_ECDSA: "signature ECDSA SHA-256, or SM2 with SM3",
    ENCRYPT_RSA_OAEP: "encryption RSA-OAEP",
    ENCRYPT_RSA_OAEP_SHA256: "encryption RSA-OAEP SHA-256",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement about a key.

    Attributes:
        level: who vouches for it: 0 software, 2 and 3 secure hardware.
        oid: what is stated, in dotted form.
        tag: the DER tag of the value.
        content: the value's content.
    """

    level: int
    oid: str
    tag: int
    content: bytes


def bytes_claim(level: int, oid: str, value: bytes) -> Claim:
    """A claim of bytes."""
    return Claim(level, oid, OCTETS, value)


def number_claim(level: int, oid: str, value: int) -> Claim:
    """A claim of a number, which is 4 bytes, little-endian."""
    return Claim(level, oid, OCTETS, value.to_bytes(4, "little"))


def application_claim(level: int, kind: str, json: bytes) -> Claim:
    """The claim of who holds the key."""
    return Claim(level, APPLICATION, SEQUENCE, _encode_oid(kind) + tlv(OCTETS, json))


def encode(claims: Iterable[Claim]) -> bytes:
    """The value of the extension."""
    return tlv(SEQUENCE, tlv(INTEGER, bytes((VERSION,))), *(_encode_claim(claim) for claim in claims))


def decode(der: bytes) -> list[Claim]:
    """The claims of an extension.

    Raises:
        ValueError: anything but DER of this form and version; BusinessError for bad lengths.
    """
    body, end = take(der, 0, SEQUENCE)
    if end != len(der):
        raise ValueError("bytes follow the extension")
    version, start = take(body, 0, INTEGER)
    if version != bytes((VERSION,)):
        raise ValueError(f"its version is {version.hex()}, known is {VERSION:02}")
    claims = []
    while start < len(body):
        claim, start = take(body, start, SEQUENCE)
        claims.append(_decode_claim(claim))
    return claims


def split_application(content: bytes) -> tuple[str, bytes]:
    """Kind and JSON of an application claim; ValueError or BusinessError for anything else."""
    kind, start = take(content, 0, OID)
    json, end = take(content, start, OCTETS)
    if end != len(content):
        raise ValueError("bytes follow the application")
    return decode_oid(kind), json


def decode_oid(content: bytes) -> str:
    """The dotted form of an object identifier; ValueError for what is none."""
    arcs = []
    value = 0
    for index, octet in enumerate(content):
        if value == 0 and octet == 0x80:
            raise ValueError("an object identifier with a padded arc")
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
        elif index == len(content) - 1 or value >> 32:
            raise ValueError("an object identifier that is cut off, or too large")
    if not arcs:
        raise ValueError("an empty object identifier")
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def _encode_claim(claim: Claim) -> bytes:
    level = tlv(INTEGER, bytes((claim.level,)))
    return tlv(SEQUENCE, level, _encode_oid(claim.oid), tlv(claim.tag, claim.content))


def _decode_claim(data: bytes) -> Claim:
    level, start = take(data, 0, INTEGER)
    oid, start = take(data, start, OID)
    if len(level) != 1 or level[0] > 0x7F or start >= len(data):
        raise ValueError("a claim without a level or value")
    tag = data[start]
    content, end = take(data, start, tag)
    if end != len(data):
        raise ValueError("bytes follow a claim")
    return Claim(level[0], decode_oid(oid), tag, content)


def _encode_oid(dotted: str) -> bytes:
    first, second, *arcs = (int(arc) for arc in dotted.split("."))
    octets = bytearray()
    for arc in (40 * first + second, *arcs):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(groups))
    return tlv(OID, bytes(octets))
