"""SM2 keys in DER as other programs write them, brought to the one form that the engine takes.

Writers differ in three things: how they name the curve (its OID, its parameters in full, or its OID in
the place of the algorithm), how they write a point (whole or compressed), and what is left out.
"""

from huks_async.crypto.sm2 import encoding as curve
from huks_async.keys.forms.curves import EC_PUBLIC_KEY, Parameters, private_fields
from huks_async.keys.forms.der import (
    BITS,
    NULL,
    OID,
    SEQUENCE,
    elements,
    sequence,
    shape,
    whole_bytes,
)
from huks_async.keys.forms.layouts import invalid
from huks_async.model.errors import BusinessError

SM2_CURVE = bytes.fromhex("2a811ccf5501822d")
"""1.2.156.10197.1.301"""
_FIELD = curve.FIELD
_PARAMETERS = Parameters(curve.P, curve.A, curve.B, curve.GX, curve.GY, curve.N)


def is_sm2(identifier: bytes) -> bool:
    """Whether the content of an AlgorithmIdentifier means SM2."""
    parts = elements(identifier)
    if not parts or parts[0][0] != OID or len(parts) > 2:
        return False
    algorithm, parameters = parts[0][1], parts[1] if len(parts) == 2 else (NULL, b"")
    if algorithm == SM2_CURVE:
        return parameters in ((NULL, b""), (OID, SM2_CURVE))
    return algorithm == EC_PUBLIC_KEY and is_curve(*parameters)


def is_curve(tag: int, content: bytes) -> bool:
    """Whether parameters of an EC key are those of the SM2 curve, by name or in full (SEC 1, C.2)."""
    if tag == OID:
        return content == SM2_CURVE
    return tag == SEQUENCE and _PARAMETERS.are_described_by(content)


def public_key(spki: bytes) -> bytes | None:
    """SubjectPublicKeyInfo in the one form that the engine takes, of an SM2 key in any; None for others.

    Raises:
        BusinessError: 401 for a point that is malformed or not on the curve.

    """
    parts = sequence(spki)
    if shape(parts) != (SEQUENCE, BITS) or not is_sm2(parts[0][1]):
        return None
    return curve.spki_from_point(point(whole_bytes(parts[1][1])))


def point(octets: bytes) -> bytes:
    """The coordinates x ‖ y, 64 bytes, of a point of SEC 1, 2.3.3: whole, compressed or both.

    Raises:
        BusinessError: 401 for anything else, or a point off the curve.

    """
    lead, rest = octets[:1], octets[1:]
    if lead in (b"\x04", b"\x06", b"\x07") and len(rest) == 2 * _FIELD:
        if not curve.is_on_curve(rest) or (lead != b"\x04" and lead[0] % 2 != rest[-1] % 2):
            raise _off_the_curve()
        return rest
    if lead in (b"\x02", b"\x03") and len(rest) == _FIELD:
        try:
            return curve.decompress(rest, odd=lead == b"\x03")
        except ValueError:
            raise _off_the_curve() from None
    raise invalid(f"a point of SM2 has 65 bytes, or 33 compressed, got {len(octets)}")


def _off_the_curve() -> BusinessError:
    return invalid("not a point of the SM2 curve")


def private_key(der: bytes, *, in_pkcs8: bool) -> tuple[bytes, bytes] | None:
    """Scalar (32 bytes) and coordinates of an ECPrivateKey (RFC 5915), these empty where it has none.

    Args:
        der: the structure.
        in_pkcs8: whether the curve was named around it; else it must be named inside.

    Returns:
        None for a key on another curve, or on one that it does not name.

    Raises:
        BusinessError: 401 for a malformed key.

    """
    fields = private_fields(sequence(der))
    if fields is None:
        if in_pkcs8:
            raise invalid("PKCS#8: no ECPrivateKey in it")
        return None
    if not (in_pkcs8 if fields.parameters is None else is_curve(*fields.parameters)):
        return None
    scalar = fields.scalar
    if not any(scalar[:-_FIELD]):
        # zeros before its 32 bytes, as some writers put them
        scalar = scalar[-_FIELD:]
    if not 0 < len(scalar) <= _FIELD:
        raise invalid(f"PKCS#8: an SM2 scalar has up to {_FIELD} bytes, got {len(scalar)}")
    return scalar.rjust(_FIELD, b"\0"), point(fields.point) if fields.point else b""
