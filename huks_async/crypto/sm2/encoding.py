"""SM2 on the wire: public keys, private keys and ciphertexts in DER, and the hash of an identity.

Everything here is public data and bytes, but for `pkcs8`; no curve arithmetic with secrets.
"""

from cryptography.hazmat.primitives import hashes

# The recommended curve of GB/T 32918.5 section 2: y² = x³ + A x + B modulo P, a base point (GX, GY) of order N.
P = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
A = P - 3
B = 0x28E9FA9E_9D9F5E34_4D5A9E4B_CF6509A7_F39789F5_15AB8F92_DDBCBD41_4D940E93
N = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
GX = 0x32C4AE2C_1F198119_5F990446_6A39C994_8FE30BBF_F2660BE1_715A4589_334C74C7
GY = 0xBC3736A2_F4F6779C_59BDCEE3_6B692153_D0A9877C_C62A4740_02DF32E5_2139F0A0

BITS = 256
FIELD = 32
"""Bytes of a coordinate, a scalar, an SM3 hash."""

USER_ID = b"1234567812345678"
"""The identity that HUKS signs under; GM/T 0009 section 10 names it as the default."""

# AlgorithmIdentifier { id-ecPublicKey, 1.2.156.10197.1.301 }, RFC 5480 section 2.1.1 and GM/T 0006
_ALGORITHM = bytes.fromhex("3013 06072a8648ce3d0201 06082a811ccf5501822d")
# SEQUENCE { AlgorithmIdentifier, BIT STRING without unused bits that begins with an uncompressed point }
_SPKI_HEAD = bytes.fromhex("3059") + _ALGORITHM + bytes.fromhex("034200 04")
SPKI_BYTES = len(_SPKI_HEAD) + 2 * FIELD
# the same with SM2's own identifier in the place of id-ecPublicKey: what engines on OpenSSL 1.1.1 exported
_OLD_SPKI_HEAD = bytes.fromhex("305a 3014 06082a811ccf5501822d 06082a811ccf5501822d 034200 04")

# What is hashed before the public key: the length of the identity in bits (16 bits), the identity, the curve and
# the base point (GB/T 32918.2 section 5.5).
_Z_HEAD = (8 * len(USER_ID)).to_bytes(2, "big") + USER_ID
_Z_HEAD += b"".join(number.to_bytes(FIELD, "big") for number in (A, B, GX, GY))

_INTEGER, _OCTET_STRING, _SEQUENCE = 0x02, 0x04, 0x30


def is_on_curve(point: bytes) -> bool:
    """Whether 64 bytes x ‖ y are a point of the curve, coordinates reduced."""
    x, y = int.from_bytes(point[:FIELD], "big"), int.from_bytes(point[FIELD:], "big")
    return len(point) == 2 * FIELD and x < P and y < P and (y * y - (x * x + A) * x - B) % P == 0


def decompress(x: bytes, *, odd: bool) -> bytes:
    """The point x ‖ y, 64 bytes, with this x (32 bytes) and a y that is odd or even.

    Raises:
        ValueError: the curve has no such point.

    """
    number = int.from_bytes(x, "big")
    # This power is a square root where there is one, since P is 3 modulo 4 (SEC 1, section 2.3.4).
    root = pow((number * number + A) * number + B, (P + 1) // 4, P)
    y = root if root & 1 == odd else P - root
    point = x + y.to_bytes(FIELD, "big")
    if not is_on_curve(point):
        raise ValueError("not a point of the SM2 curve")
    return point


def is_scalar(secret: bytes) -> bool:
    """Whether 32 bytes are a private key: 1 … n - 2 (GB/T 32918.1 section 6.1)."""
    return len(secret) == FIELD and 1 <= int.from_bytes(secret, "big") <= N - 2


def spki_from_point(point: bytes) -> bytes:
    """SubjectPublicKeyInfo, 91 bytes, of a point x ‖ y of 64 bytes.

    Raises:
        ValueError: the point is not on the curve.

    """
    if not is_on_curve(point):
        raise ValueError("not a point of the SM2 curve")
    return _SPKI_HEAD + point


def point_from_spki(spki: bytes) -> bytes:
    """The point x ‖ y, 64 bytes, of a SubjectPublicKeyInfo with a named curve and an uncompressed point.

    Raises:
        ValueError: anything but the DER form of an SM2 public key, today's or the older one of 92 bytes, or
            a point off the curve.

    """
    for head in (_SPKI_HEAD, _OLD_SPKI_HEAD):
        if len(spki) == len(head) + 2 * FIELD and spki.startswith(head):
            point = spki[len(head) :]
            break
    else:
        raise ValueError("not the SubjectPublicKeyInfo of an SM2 key")
    if not is_on_curve(point):
        raise ValueError("not a point of the SM2 curve")
    return point


def pkcs8(scalar: bytes, point: bytes | None) -> bytearray:
    """PrivateKeyInfo (RFC 5208) around ECPrivateKey (RFC 5915), in a buffer that the caller wipes."""
    key = bytearray(bytes.fromhex("020101 0420"))
    key += scalar
    if point is not None:
        key += bytes.fromhex("a144 034200 04") + point
    inner = bytearray((_SEQUENCE, len(key))) + key
    body = bytearray(bytes.fromhex("020100")) + _ALGORITHM
    body += bytes((_OCTET_STRING, len(inner)))
    body += inner
    der = bytearray((_SEQUENCE,)) + _length(len(body)) + body
    for copy in (key, inner, body):
        wipe(copy)
    return der


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer with zeros."""
    buffer[:] = bytes(len(buffer))


def identity_hash(point: bytes) -> bytes:
    """Z of GB/T 32918.2 section 5.5: identity, curve and public key, hashed with SM3."""
    sm3 = hashes.Hash(hashes.SM3())
    sm3.update(_Z_HEAD)
    sm3.update(point)
    return sm3.finalize()


def parse_ciphertext(der: bytes) -> tuple[bytes, bytes, bytes]:
    """C1 as x ‖ y (64 bytes), C3 (32 bytes) and C2 (1 byte or more) of a ciphertext.

    The form is SEQUENCE { INTEGER x, INTEGER y, OCTET STRING C3, OCTET STRING C2 }, GM/T 0009 section 7.2.

    Raises:
        ValueError: anything but the DER of such a sequence, or C1 off the curve.

    """
    body, rest = _take(der, _SEQUENCE)
    x, body = _take(body, _INTEGER)
    y, body = _take(body, _INTEGER)
    c3, body = _take(body, _OCTET_STRING)
    c2, body = _take(body, _OCTET_STRING)
    if rest or body:
        raise ValueError("bytes after the end")
    point = _coordinate(x) + _coordinate(y)
    if len(c3) != FIELD or not c2 or not is_on_curve(point):
        raise ValueError("not an SM2 ciphertext")
    return point, c3, c2


def build_ciphertext(point: bytes, c3: bytes, c2: bytes) -> bytes:
    """The opposite of `parse_ciphertext`."""
    body = _positive(point[:FIELD]) + _positive(point[FIELD:])
    for content in (c3, c2):
        body += bytes((_OCTET_STRING,)) + _length(len(content)) + content
    return bytes((_SEQUENCE,)) + _length(len(body)) + body


def _positive(number: bytes) -> bytes:
    """A big-endian number as INTEGER: without leading zeros, but for the one that keeps it positive."""
    shortest = number.lstrip(b"\0") or b"\0"
    content = b"\0" + shortest if shortest[0] > 0x7F else shortest
    return bytes((_INTEGER, len(content))) + content


def _take(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element and what follows it; X.690 section 10.1: shortest length form."""
    if len(der) < 2 or der[0] != tag:
        raise ValueError("not the expected element")
    length, start = der[1], 2
    if length > 0x7F:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
        if der[1:start] != _length(length):
            raise ValueError("not the shortest form of a length")
    end = start + length
    if end > len(der):
        raise ValueError("cut off")
    return der[start:end], der[end:]


def _length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def _coordinate(content: bytes) -> bytes:
    """The 32 bytes of a non-negative INTEGER; X.690 section 8.3: shortest form, a sign bit."""
    if not content or content[0] > 0x7F or (content[0] == 0 and content[1:2] < b"\x80" and len(content) > 1):
        raise ValueError("not the shortest form of a positive number")
    if len(content.lstrip(b"\0")) > FIELD:
        raise ValueError("a coordinate too long")
    return content.lstrip(b"\0").rjust(FIELD, b"\0")
