"""The public keys that passkeys may bring: those for which nobody but the passkey can sign."""

from typing import Any

_ES256, _EDDSA, _RS256 = -7, -8, -257
ALGORITHMS = (_EDDSA, _ES256, _RS256)
"""The algorithms of COSE that passkeys are asked for, the best first."""

_LEAST_RSA, _MOST_RSA = 2048, 8192
_FIELD = 2**255 - 19
# the heights of the eight points of Ed25519 whose order divides 8
_Y_OF_SMALL_ORDER = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        int.from_bytes(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
        ),
        int.from_bytes(
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
        ),
    }
)


def check_public_key(cose: bytes) -> None:
    """Refuse a key (COSE) that no signature fits, or for which anybody can sign: the library decodes it at its first use.

    Raises:
        ValueError: with what is wrong, to be said of the passkey's answer.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography

    try:
        decoded: Any = decode_credential_public_key(cose)
        key: Any = decoded_public_key_to_cryptography(decoded)
        kind = int(decoded.alg)
    except Exception as error:  # the library raises many kinds of errors for malformed input
        raise ValueError(f"has no public key: {type(error).__name__}") from error
    fits = {
        _ES256: isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1),
        _RS256: isinstance(key, rsa.RSAPublicKey) and _LEAST_RSA <= key.key_size <= _MOST_RSA,
        _EDDSA: isinstance(key, ed25519.Ed25519PublicKey) and not _has_small_order(decoded.x),
    }
    if not fits.get(kind, False):
        raise ValueError("has a public key that is weak, or not of its algorithm")


def _has_small_order(key: bytes) -> bool:
    """Whether an Ed25519 key is one of those few for which one signature fits a good part of all messages."""
    y = int.from_bytes(key, "little") & ((1 << 255) - 1)
    return y % _FIELD in _Y_OF_SMALL_ORDER
