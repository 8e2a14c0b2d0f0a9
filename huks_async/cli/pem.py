"""Public keys and certificates in the form other programs read."""

import base64
import textwrap

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from huks_async.model.enums import HuksKeyAlg


def spki(exported: bytes, algorithm: object) -> bytes:
    """SubjectPublicKeyInfo (DER) of what `exportKeyItem` gives, which is bare for the 25519 curves."""
    if algorithm == HuksKeyAlg.HUKS_ALG_ED25519:
        edwards = Ed25519PublicKey.from_public_bytes(exported)
        return edwards.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if algorithm == HuksKeyAlg.HUKS_ALG_X25519:
        montgomery = X25519PublicKey.from_public_bytes(exported)
        return montgomery.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return exported


def to_pem(der: bytes) -> bytes:
    """PEM text of a SubjectPublicKeyInfo (RFC 7468), of algorithms unknown to the library below too."""
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""]).encode()


def to_pem_lines(pem: str) -> bytes:
    """PEM whose body is one long line, in the lines of 64 characters that every program reads."""
    begin, body, end = pem.split("\n")
    return "\n".join([begin, *textwrap.wrap(body, 64), end, ""]).encode()
