"""Public keys of the vector files as SubjectPublicKeyInfo, and signatures as DER.

Curves are encoded here by hand: a library would refuse the points that the files want refused by us.
"""

from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_CURVE_OIDS = {224: "2b81040021", 256: "2a8648ce3d030107", 384: "2b81040022", 521: "2b81040023"}
_EC_PUBLIC_KEY = "2a8648ce3d0201"
CURVES = {"P-224": 224, "P-256": 256, "P-384": 384, "P-521": 521}


def big(number: int, width: int | None = None) -> bytes:
    """A number as bytes, big-endian."""
    return number.to_bytes(width or (number.bit_length() + 7) // 8, "big")


def der(tag: int, *parts: bytes) -> bytes:
    """One DER element."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = big(len(body))
    return bytes((tag, 0x80 | len(length))) + length + body


def curve_spki(bits: int, x: int, y: int) -> bytes:
    """A point, which need not be on its curve; coordinates beyond the field's width stay as they are."""
    width = (bits + 7) // 8
    longest = max(width, (x.bit_length() + 7) // 8, (y.bit_length() + 7) // 8)
    oids = (der(6, bytes.fromhex(_EC_PUBLIC_KEY)), der(6, bytes.fromhex(_CURVE_OIDS[bits])))
    return der(0x30, der(0x30, *oids), der(3, b"\0\4", big(x, longest), big(y, longest)))


def rsa_spki(n: int, e: int) -> bytes:
    """An RSA public key."""
    key = rsa.RSAPublicNumbers(e, n).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def dsa_spki(p: int, q: int, g: int, y: int) -> bytes:
    """A DSA public key."""
    key = dsa.DSAPublicNumbers(y, dsa.DSAParameterNumbers(p, q, g)).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def numbers(case: dict[str, str], *names: str) -> list[int]:
    """Hexadecimal fields as numbers."""
    return [int(case[name], 16) for name in names]


def signature(case: dict[str, str]) -> bytes:
    """The fields r and s as DER."""
    return encode_dss_signature(*numbers(case, "r", "s"))
