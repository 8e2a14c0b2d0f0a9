"""SubjectPublicKeyInfo, without the other form that the library below reads in its place."""

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

# the arc of PKCS#1's identifiers: rsaEncryption, RSASSA-PSS
_RSA_ARC = bytes.fromhex("2a864886f70d0101")
_HEAD = 40


def load_spki(der: bytes) -> PublicKeyTypes:
    """The public key in a SubjectPublicKeyInfo (DER).

    The library also takes the bare RSAPublicKey of PKCS#1, which names no algorithm and is not documented.

    Raises:
        ValueError: for other bytes.
        UnsupportedAlgorithm: for an algorithm or a curve that the library does not know.

    """
    key = load_der_public_key(der)
    if isinstance(key, rsa.RSAPublicKey) and _RSA_ARC not in der[:_HEAD]:
        raise ValueError("an RSAPublicKey of PKCS#1 is no SubjectPublicKeyInfo")
    return key
