"""The little DER that the libraries below do not speak: SM2 keys, and expanded ML private keys."""

from dataclasses import dataclass

from huks_async.keys.forms.layouts import ML_DSA_BYTES, ML_KEM_BYTES, invalid
from huks_async.model.enums import HuksKeyAlg

_INTEGER, _BITS, _OCTETS, _OID, _SEQUENCE = 0x02, 0x03, 0x04, 0x06, 0x30
_CURVE_TAG, _POINT_TAG = 0xA0, 0xA1
_SEED_TAG = 0x80

# OIDs as DER: id-ecPublicKey, the SM2 curve 1.2.156.10197.1.301, and NIST's arcs for ML keys
_EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")
_SM2_CURVE = bytes.fromhex("06082a811ccf5501822d")
_ML_OIDS: dict[tuple[int, int], bytes] = {
    (HuksKeyAlg.HUKS_ALG_ML_DSA, 44): bytes.fromhex("0609608648016503040311"),
    (HuksKeyAlg.HUKS_ALG_ML_DSA, 65): bytes.fromhex("0609608648016503040312"),
    (HuksKeyAlg.HUKS_ALG_ML_DSA, 87): bytes.fromhex("0609608648016503040313"),
    (HuksKeyAlg.HUKS_ALG_ML_KEM, 768): bytes.fromhex("0609608648016503040402"),
    (HuksKeyAlg.HUKS_ALG_ML_KEM, 1024): bytes.fromhex("0609608648016503040403"),
}


def tlv(tag: int, *content: bytes) -> bytes:
    """One element: tag, length, content."""
    body = b"".join(content)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def take(data: bytes, start: int, tag: int) -> tuple[bytes, int]:
    """The content of the element with this tag at `start`, and where the next element begins.

    Raises:
        BusinessError: 401 for another tag, or a length that is not minimal or beyond the data.

    """
    if start + 2 > len(data) or data[start] != tag:
        raise invalid(f"DER: no element with tag {tag:#04x} at byte {start}")
    size = data[start + 1]
    body = start + 2
    if size >= 0x80:
        count = size & 0x7F
        octets = data[body : body + count]
        size = int.from_bytes(octets, "big")
        body += count
        if not 0 < count <= 4 or len(octets) != count or octets[0] == 0 or size < 0x80:
            raise invalid(f"DER: a bad length at byte {start + 1}")
    if body + size > len(data):
        raise invalid(f"DER: the element at byte {start} ends beyond the data")
    return data[body : body + size], body + size


def ml_pkcs8(algorithm: int, size: int, expanded: bytes) -> bytes:
    """PKCS#8 of an expanded ML-DSA or ML-KEM key, the `expandedKey` choice of RFC 9881 and RFC 9935."""
    return _pkcs8(_ML_OIDS[algorithm, size], tlv(_OCTETS, expanded))


def ml_seed_pkcs8(algorithm: int, size: int, seed: bytes) -> bytes:
    """PKCS#8 of the seed of an ML-DSA or ML-KEM key, the `seed` choice of the same documents."""
    return _pkcs8(_ML_OIDS[algorithm, size], tlv(_SEED_TAG, seed))


@dataclass(frozen=True, slots=True)
class Pkcs8:
    """What `read_pkcs8` understood. Not shown by `repr`."""

    algorithm: int
    size: int
    secret: bytes
    point: bytes

    def __repr__(self) -> str:
        return f"Pkcs8(algorithm={self.algorithm}, size={self.size})"


def read_pkcs8(data: bytes) -> Pkcs8 | None:
    """Read PKCS#8 of an SM2 key (scalar and perhaps point), or of an ML key (expanded, or its seed).

    Returns:
        None where the algorithm is another one, or the data is no PKCS#8 at all.

    Raises:
        BusinessError: 401 for a key of these algorithms that is malformed.

    """
    if not any(oid in data[:40] for oid in (_SM2_CURVE, *_ML_OIDS.values())):
        return None
    whole, end = take(data, 0, _SEQUENCE)
    if end != len(data):
        raise invalid("PKCS#8: bytes follow the key")
    version, start = take(whole, 0, _INTEGER)
    identifier, start = take(whole, start, _SEQUENCE)
    key, _ = take(whole, start, _OCTETS)
    if version not in (b"\0", b"\x01"):
        raise invalid("PKCS#8: unknown version")
    if identifier == _EC_PUBLIC_KEY + _SM2_CURVE:
        scalar, point = _ec_private_key(key)
        return Pkcs8(HuksKeyAlg.HUKS_ALG_SM2, 256, scalar, point)
    for (algorithm, size), oid in _ML_OIDS.items():
        if identifier == oid:
            return Pkcs8(algorithm, size, _ml_private_key(algorithm, size, key), b"")
    return None


def read_ec_private_key(data: bytes) -> Pkcs8 | None:
    """Read an `EC PRIVATE KEY` (RFC 5915) on the SM2 curve; None for another curve."""
    if _SM2_CURVE not in data:
        return None
    scalar, point = _ec_private_key(data)
    return Pkcs8(HuksKeyAlg.HUKS_ALG_SM2, 256, scalar, point)


def _ec_private_key(data: bytes) -> tuple[bytes, bytes]:
    body, _ = take(data, 0, _SEQUENCE)
    version, start = take(body, 0, _INTEGER)
    scalar, start = take(body, start, _OCTETS)
    if version != b"\x01" or not 0 < len(scalar) <= 32:
        raise invalid(f"PKCS#8: an SM2 scalar has up to 32 bytes, got {len(scalar)}")
    if body[start : start + 1] == bytes((_CURVE_TAG,)):
        _, start = take(body, start, _CURVE_TAG)
    point = b""
    if start < len(body):
        bits, _ = take(take(body, start, _POINT_TAG)[0], 0, _BITS)
        point = bits[1:]
        if len(point) != 65 or point[0] != 4:
            raise invalid("PKCS#8: the SM2 point must be uncompressed, 65 bytes")
    return scalar, point


def _ml_private_key(algorithm: int, size: int, key: bytes) -> bytes:
    # one of: [0] seed, OCTET STRING expanded, SEQUENCE of both
    sizes, seed_bytes = (ML_DSA_BYTES, 32) if algorithm == HuksKeyAlg.HUKS_ALG_ML_DSA else (ML_KEM_BYTES, 64)
    if key[:1] == bytes((_SEQUENCE,)):
        secret, wanted = take(take(key, 0, _SEQUENCE)[0], 0, _OCTETS)[0], seed_bytes
    elif key[:1] == bytes((_SEED_TAG,)):
        secret, wanted = take(key, 0, _SEED_TAG)[0], seed_bytes
    else:
        secret, wanted = take(key, 0, _OCTETS)[0], sizes[size][1]
    if len(secret) != wanted:
        raise invalid(f"PKCS#8: this form of the ML key has {wanted} bytes, got {len(secret)}")
    return secret


def _pkcs8(identifier: bytes, key: bytes) -> bytes:
    return tlv(_SEQUENCE, tlv(_INTEGER, b"\0"), tlv(_SEQUENCE, identifier), tlv(_OCTETS, key))
