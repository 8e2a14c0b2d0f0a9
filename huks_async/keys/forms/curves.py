"""EC keys in DER as other programs write them, brought to the one form that the library below reads.

It wants the curve by name and the scalar at its full width. Others describe the curve by its parameters, in
ways that the library does not know, or write the scalar as an INTEGER: GnuTLS does, with a zero before every
second one.
"""

import functools
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from huks_async.keys.forms.der import (
    BITS,
    EXPLICIT,
    INTEGER,
    OCTETS,
    OID,
    SEQUENCE,
    elements,
    number,
    sequence,
    shape,
    tlv,
    whole_bytes,
)

EC_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201")
"""1.2.840.10045.2.1"""
_PRIVATE_SHAPES = (
    (INTEGER, OCTETS),
    (INTEGER, OCTETS, EXPLICIT),
    (INTEGER, OCTETS, EXPLICIT + 1),
    (INTEGER, OCTETS, EXPLICIT, EXPLICIT + 1),
)
_PRIVATE_VERSION = b"\x01"
_PKCS8_VERSIONS = (b"\0", b"\x01")
_PRIME_FIELD = bytes.fromhex("2a8648ce3d0101")


class Parameters(NamedTuple):
    """A curve y² = x³ + ax + b over the field of p elements, its base point, and the order of that."""

    p: int
    a: int
    b: int
    x: int
    y: int
    order: int

    @property
    def width(self) -> int:
        """Bytes of a coordinate."""
        return (self.p.bit_length() + 7) // 8

    def are_described_by(self, content: bytes) -> bool:
        """Whether the content of ECParameters (SEC 1, C.2) means this curve and this base point."""
        parts = elements(content)
        if shape(parts)[:5] != (INTEGER, SEQUENCE, SEQUENCE, OCTETS, INTEGER):
            return False
        (_, field), (_, coefficients), (_, base), (_, order) = parts[1:5]
        field_parts, ab = elements(field), elements(coefficients)
        if shape(field_parts) != (OID, INTEGER) or shape(ab)[:2] != (OCTETS, OCTETS):
            return False
        x, y = (coordinate.to_bytes(self.width, "big") for coordinate in (self.x, self.y))
        return (
            field_parts[0][1] == _PRIME_FIELD
            and (number(field_parts[1][1]), number(ab[0][1]), number(ab[1][1])) == (self.p, self.a, self.b)
            and number(order) == self.order
            and base in (b"\x04" + x + y, bytes((6 + self.y % 2,)) + x + y, bytes((2 + self.y % 2,)) + x)
        )


# the library's class, the OID as DER content, and the prime (FIPS 186-4, D.1.2)
_CURVES: tuple[tuple[type[ec.EllipticCurve], bytes, int], ...] = (
    (ec.SECP224R1, bytes.fromhex("2b81040021"), 2**224 - 2**96 + 1),
    (ec.SECP256R1, bytes.fromhex("2a8648ce3d030107"), 2**256 - 2**224 + 2**192 + 2**96 - 1),
    (ec.SECP384R1, bytes.fromhex("2b81040022"), 2**384 - 2**128 - 2**96 + 2**32 - 1),
    (ec.SECP521R1, bytes.fromhex("2b81040023"), 2**521 - 1),
)


@dataclass(frozen=True, slots=True)
class PrivateFields:
    """What stands in an ECPrivateKey (RFC 5915): the scalar, the parameters of the curve, and the point, if any."""

    scalar: bytes = field(repr=False)
    parameters: tuple[int, bytes] | None
    point: bytes


def private_fields(parts: list[tuple[int, bytes]]) -> PrivateFields | None:
    """Take the elements of an ECPrivateKey, each at its place and once; None for others.

    Raises:
        BusinessError: 401 for a point that is no whole number of bytes.

    """
    if shape(parts) not in _PRIVATE_SHAPES or parts[0][1] != _PRIVATE_VERSION:
        return None
    parameters, point = None, b""
    for tag, content in parts[2:]:
        inner = elements(content)
        if tag == EXPLICIT and len(inner) == 1:
            parameters = inner[0]
        elif tag == EXPLICIT + 1 and shape(inner) == (BITS,):
            point = whole_bytes(inner[0][1])
        else:
            return None
    return PrivateFields(parts[1][1], parameters, point)


def in_library_form(der: bytes) -> bytes | None:
    """The same key with its curve named and its scalar at full width.

    Args:
        der: SubjectPublicKeyInfo, PKCS#8 or an ECPrivateKey (RFC 5915).

    Returns:
        None for anything else, a key on a curve that HUKS does not have, and one that is in that form.

    """
    parts = sequence(der)
    tags = shape(parts)
    found: bytes | None = None
    if tags == (SEQUENCE, BITS):
        named = _named_algorithm(parts[0][1])
        found = None if named is None else tlv(SEQUENCE, named[1], tlv(BITS, parts[1][1]))
    elif tags[:3] == (INTEGER, SEQUENCE, OCTETS) and parts[0][1] in _PKCS8_VERSIONS:
        named = _named_algorithm(parts[1][1])
        inner = None if named is None else _private_key(sequence(parts[2][1]), named[0])
        if named is not None and inner is not None:
            found = tlv(SEQUENCE, tlv(INTEGER, b"\0"), named[1], tlv(OCTETS, inner))
    elif tags[:2] == (INTEGER, OCTETS):
        found = _private_key(parts, None)
    return None if found == der else found


@functools.cache
def _parameters(oid: bytes) -> Parameters:
    kind, _, p = next(row for row in _CURVES if row[1] == oid)
    base = ec.derive_private_key(1, kind()).public_key().public_numbers()
    x, y = base.x, base.y
    return Parameters(p, p - 3, (y * y - x * x * x + 3 * x) % p, x, y, kind().group_order)


def _curve(tag: int, content: bytes) -> bytes | None:
    """The OID of the curve that is named or described; None for one that HUKS does not have."""
    for _, oid, _ in _CURVES:
        if (tag == OID and content == oid) or (
            tag == SEQUENCE and _parameters(oid).are_described_by(content)
        ):
            return oid
    return None


def _named_algorithm(identifier: bytes) -> tuple[bytes, bytes] | None:
    """The OID of the curve, and the AlgorithmIdentifier that names it."""
    parts = elements(identifier)
    if len(parts) != 2 or parts[0] != (OID, EC_PUBLIC_KEY):
        return None
    oid = _curve(*parts[1])
    return None if oid is None else (oid, tlv(SEQUENCE, tlv(OID, EC_PUBLIC_KEY), tlv(OID, oid)))


def _private_key(parts: list[tuple[int, bytes]], outer: bytes | None) -> bytes | None:
    """An ECPrivateKey of these elements, whose curve is named by them or around them."""
    fields = private_fields(parts)
    if fields is None:
        return None
    oid = outer if fields.parameters is None else _curve(*fields.parameters)
    if oid is None or (outer is not None and oid != outer):
        return None
    width, scalar = _parameters(oid).width, fields.scalar.lstrip(b"\0")
    if len(scalar) > width:
        return None
    public = tlv(EXPLICIT + 1, tlv(BITS, b"\0", fields.point)) if fields.point else b""
    return tlv(
        SEQUENCE,
        tlv(INTEGER, _PRIVATE_VERSION),
        tlv(OCTETS, scalar.rjust(width, b"\0")),
        tlv(EXPLICIT, tlv(OID, oid)),
        public,
    )
