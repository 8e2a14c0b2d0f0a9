"""Curve25519: Ed25519 signatures and X25519 agreement."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from huks_async.crypto.asymmetric import signing
from huks_async.crypto.asymmetric.agreement import Agreement, wrong_peer
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.key_material import KeyMaterial, wrong_size
from huks_async.crypto.operation import Operation
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike

KEY_BYTES = 32
SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Ed25519Key:
    """A key for signatures, ready for use."""

    public: Ed25519PublicKey
    private: Ed25519PrivateKey | None


@dataclass(frozen=True, slots=True)
class X25519Key:
    """A key for agreement, ready for use. Nothing here needs its public half."""

    private: X25519PrivateKey | None


def _private_class(algorithm: int) -> type[Ed25519PrivateKey] | type[X25519PrivateKey]:
    return Ed25519PrivateKey if algorithm == HuksKeyAlg.HUKS_ALG_ED25519 else X25519PrivateKey


def generate(algorithm: int, size: int) -> KeyMaterial:
    """Make a new key.

    Raises:
        BusinessError: 12000003 for a size other than 256.

    """
    _check_size(size, 12000003)
    private = _private_class(algorithm).generate()
    return KeyMaterial(algorithm, size, private.private_bytes_raw(), private.public_key().public_bytes_raw())


def load(material: KeyMaterial) -> Ed25519Key | X25519Key:
    """Make the key that operations use."""
    secret = material.secret
    if material.algorithm != HuksKeyAlg.HUKS_ALG_ED25519:
        return X25519Key(X25519PrivateKey.from_private_bytes(secret) if secret else None)
    if not secret:
        return Ed25519Key(Ed25519PublicKey.from_public_bytes(material.public), None)
    private = Ed25519PrivateKey.from_private_bytes(secret)
    return Ed25519Key(private.public_key(), private)


def material_from_parts(algorithm: int, public: bytes, secret: bytes) -> KeyMaterial:
    """A key from its raw halves of 32 bytes, either of which may be empty.

    Raises:
        BusinessError: 401 for other lengths, and for halves that do not belong together.

    """
    if not (public or secret) or len(public) not in (0, KEY_BYTES) or len(secret) not in (0, KEY_BYTES):
        raise BusinessError(
            401, f"each half of a 25519 key has 32 bytes; got {len(public)} public, {len(secret)} private"
        )
    if public and secret:
        computed = _private_class(algorithm).from_private_bytes(secret).public_key().public_bytes_raw()
        if computed != public:
            raise BusinessError(401, "the public half of the 25519 key does not belong to its private half")
    return KeyMaterial(algorithm, 256, secret, public)


def material_from_spki(spki: bytes, algorithm: int, size: int) -> KeyMaterial:
    """A public key from its 32 raw bytes, the form in which these algorithms import.

    Raises:
        BusinessError: 401 for another length or size.

    """
    _check_size(size, 401)
    if len(spki) != KEY_BYTES:
        raise BusinessError(
            401, f"a public 25519 key is 32 raw bytes (no SubjectPublicKeyInfo), got {len(spki)}"
        )
    return KeyMaterial(algorithm, size, b"", spki)


def _check_size(size: int, code: int) -> None:
    if size != 8 * KEY_BYTES:
        raise wrong_size(code, f"HUKS_TAG_KEY_SIZE {size} is no size of a 25519 key; accepted: 256")


def starter(spec: OperationSpec) -> Starter:
    """Prepare Ed25519 signatures and verifications (a digest has no meaning), or X25519.

    Raises:
        BusinessError: 12000003 for a purpose that the algorithm does not serve.

    """
    served = (spec.algorithm, spec.purpose)
    if served == (HuksKeyAlg.HUKS_ALG_X25519, HuksKeyPurpose.HUKS_KEY_PURPOSE_AGREE):
        return _start_agreement
    limits = spec.limits
    if served == (HuksKeyAlg.HUKS_ALG_ED25519, HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN):

        def start_sign(key: Ed25519Key, _: Mapping[int, bytes]) -> Operation:
            if key.private is None:
                raise BusinessError(401, "the Ed25519 key has no private half, which signing needs")
            return signing.Collected("ed25519-sign", limits, key.private.sign)

        return start_sign
    if served == (HuksKeyAlg.HUKS_ALG_ED25519, HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY):

        def start_verify(key: Ed25519Key, _: Mapping[int, bytes]) -> Operation:
            return signing.CollectedVerifier("ed25519-verify", limits, partial(_verify, key.public))

        return start_verify
    raise BusinessError(
        12000003,
        f"Ed25519 signs and verifies, X25519 agrees; got algorithm {spec.algorithm}, purpose {spec.purpose}",
        reason=HuksErrorCode.HUKS_ERROR_INVALID_ALGORITHM,
    )


def _verify(public: Ed25519PublicKey, signature: BytesLike, message: BytesLike) -> None:
    if len(signature) < SIGNATURE_BYTES:
        raise BusinessError(
            12000003,
            f"an Ed25519 signature has {SIGNATURE_BYTES} bytes, got {len(signature)}",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_SIGNATURE_SIZE,
        )
    try:
        public.verify(signature, message)
    except InvalidSignature:
        raise signing.wrong_signature() from None


def _start_agreement(key: X25519Key, _: Mapping[int, bytes]) -> Operation:
    if key.private is None:
        raise BusinessError(401, "the X25519 key has no private half, which an agreement needs")
    return Agreement("x25519", partial(_agree, key.private))


def _agree(private: X25519PrivateKey, peer: bytes) -> bytes:
    if len(peer) != KEY_BYTES:
        raise BusinessError(
            401,
            f"update of an X25519 agreement takes the peer's 32 raw bytes (no SubjectPublicKeyInfo), got {len(peer)}",
        )
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        # A point of low order makes a secret of zeros, which everybody knows (RFC 7748 section 6.1).
        raise wrong_peer("a point of low order") from None
