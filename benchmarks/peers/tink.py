"""tink: a stateless library of primitives; the primitive is kept, which is its fast way."""

from benchmarks.metric import PeerMissing
from benchmarks.peers.raw import Call

NAME = "tink"


def gcm(aad: bytes, data: bytes) -> Call:
    """AES-256-GCM; tink makes the nonce."""
    try:
        import tink  # type: ignore[import-untyped]
        from tink import aead
    except ImportError:
        raise PeerMissing("tink is not installed (extra: bench)") from None
    aead.register()
    primitive = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM).primitive(aead.Aead)
    return lambda: primitive.encrypt(data, aad)


def ecdsa(data: bytes) -> Call:
    """ECDSA P-256 with SHA-256."""
    try:
        import tink
        from tink import signature
    except ImportError:
        raise PeerMissing("tink is not installed (extra: bench)") from None
    signature.register()
    template = signature.signature_key_templates.ECDSA_P256
    primitive = tink.new_keyset_handle(template).primitive(signature.PublicKeySign)
    return lambda: primitive.sign(data)
