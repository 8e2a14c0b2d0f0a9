"""SubjectPublicKeyInfo as others send it, without what the library below should not be given of it."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

# the arc of PKCS#1's identifiers: rsaEncryption, RSASSA-PSS
_RSA_ARC = bytes.fromhex("2a864886f70d0101")
PKCS3_DH = bytes.fromhex("06092a864886f70d010301")
X9_42_DH = bytes.fromhex("06072a8648ce3e0201")
"""Diffie-Hellman in a finite field, as the two standards name it (DER)."""
_HEAD = 40
MAX_SPKI_BYTES = 16 * 1024
"""More than any public key has that is used here: the longest, of ML-DSA-87, has 2.6 KB."""


def is_finite_field(der: bytes) -> bool:
    """Whether a SubjectPublicKeyInfo (DER) says that its key is one of Diffie-Hellman in a finite field."""
    return any(oid in der[:_HEAD] for oid in (PKCS3_DH, X9_42_DH))


def load_spki(der: bytes) -> PublicKeyTypes:
    """The public key in a SubjectPublicKeyInfo (DER), of any algorithm but Diffie-Hellman in a finite field.

    Loading such a key would test whether the numbers of a stranger's group are prime: 13 s for 4096 bits.

    The library also takes the bare RSAPublicKey of PKCS#1, which names no algorithm and is not documented.

    Raises:
        ValueError: for other bytes.
        UnsupportedAlgorithm: for an algorithm or a curve that the library does not know, and for Diffie-Hellman.

    """
    if len(der) > MAX_SPKI_BYTES:
        raise ValueError("longer than any public key")
    if is_finite_field(der):
        raise UnsupportedAlgorithm("a key of Diffie-Hellman in a finite field")
    key = load_der_public_key(der)
    if isinstance(key, rsa.RSAPublicKey) and _RSA_ARC not in der[:_HEAD]:
        raise ValueError("an RSAPublicKey of PKCS#1 is no SubjectPublicKeyInfo")
    return key
