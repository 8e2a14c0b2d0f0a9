"""tink: a stateless library of primitives; the primitive is kept, which is its fast way."""

import os
from collections.abc import Callable

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


def streaming(piece: bytes) -> Callable[[int], None]:
    """AES-256-GCM-HKDF in segments of 1 MB, written to nowhere, so many pieces in one stream."""
    try:
        import tink
        from tink import streaming_aead
    except ImportError:
        raise PeerMissing("tink is not installed (extra: bench)") from None
    streaming_aead.register()
    template = streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB
    primitive = tink.new_keyset_handle(template).primitive(streaming_aead.StreamingAead)

    def run(pieces: int) -> None:
        with open(os.devnull, "wb") as nowhere, primitive.new_encrypting_stream(nowhere, b"") as stream:
            for _ in range(pieces):
                stream.write(piece)

    return run
