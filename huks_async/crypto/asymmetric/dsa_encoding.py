"""DSA keys in DER from their numbers.

`cryptography` reads, uses and writes DSA keys of every size, but makes them of numbers only where p has
1024, 2048, 3072 or 4096 bits.
"""

_OID = bytes.fromhex("06072a8648ce380401")
"""id-dsa, RFC 3279 section 2.3.2."""

_INTEGER, _BIT_STRING, _OCTET_STRING, _SEQUENCE = 0x02, 0x03, 0x04, 0x30


def spki_of(p: int, q: int, g: int, y: int) -> bytes:
    """SubjectPublicKeyInfo (RFC 3279)."""
    return _element(_SEQUENCE, _algorithm(p, q, g), _element(_BIT_STRING, b"\0", _integer(y)))


def pkcs8_of(p: int, q: int, g: int, x: int) -> bytes:
    """PrivateKeyInfo (RFC 5208)."""
    return _element(_SEQUENCE, _integer(0), _algorithm(p, q, g), _element(_OCTET_STRING, _integer(x)))


def _algorithm(p: int, q: int, g: int) -> bytes:
    return _element(_SEQUENCE, _OID, _element(_SEQUENCE, _integer(p), _integer(q), _integer(g)))


def _integer(value: int) -> bytes:
    # DER integers are signed, so a number needs one bit more than its own for the sign.
    return _element(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _element(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body
