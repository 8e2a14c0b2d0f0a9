"""Elliptic curves of NIST (P-224, P-256, P-384, P-521): ECDSA and ECDH."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from huks_async.crypto.asymmetric import signing
from huks_async.crypto.asymmetric.agreement import Agreement, load_peer, wrong_peer
from huks_async.crypto.digests import warn_weak_digest
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.key_material import KeyMaterial, wrong_size
from huks_async.crypto.operation import Operation
from huks_async.crypto.spki import load_spki
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg, HuksKeyDigest, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.model.tags import HuksTag

CURVES: dict[int, ec.EllipticCurve] = {
    224: ec.SECP224R1(),
    256: ec.SECP256R1(),
    384: ec.SECP384R1(),
    521: ec.SECP521R1(),
}

_SCHEMES = {algorithm.name: ec.ECDSA(Prehashed(algorithm)) for algorithm in signing.HASHES.values()}


@dataclass(frozen=True, slots=True)
class EllipticKey:
    """A key of a NIST curve, ready for use."""

    size: int
    public: ec.EllipticCurvePublicKey
    private: ec.EllipticCurvePrivateKey | None


def _curve(size: int, code: int) -> ec.EllipticCurve:
    try:
        return CURVES[size]
    except KeyError:
        raise wrong_size(
            code, f"HUKS_TAG_KEY_SIZE {size} is no ECC size; accepted: 224, 256, 384, 521"
        ) from None


def _spki(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pkcs8(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def generate(algorithm: int, size: int) -> KeyMaterial:
    """Make a new key on the curve of `size` bits.

    Raises:
        BusinessError: 12000003 for a size without a curve.

    """
    private = ec.generate_private_key(_curve(size, 12000003))
    return KeyMaterial(algorithm, size, _pkcs8(private), _spki(private.public_key()))


def load(material: KeyMaterial) -> EllipticKey:
    """Make the key that operations use."""
    if not material.secret:
        public = load_der_public_key(material.public)
        assert isinstance(public, ec.EllipticCurvePublicKey)
        return EllipticKey(material.size, public, None)
    private = load_der_private_key(material.secret, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return EllipticKey(material.size, private.public_key(), private)


def material_from_parts(size: int, x: bytes, y: bytes, z: bytes) -> KeyMaterial:
    """A key from its big-endian numbers: the point (x, y) and the scalar z.

    Args:
        size: bits of the curve.
        x: may be empty together with `y`: a private key without its public half.
        y: see `x`.
        z: may be empty: a public key.

    Raises:
        BusinessError: 401 for numbers that are no point, no scalar, or do not belong together.

    """
    curve = _curve(size, 401)
    if bool(x) != bool(y) or not (x or z):
        raise BusinessError(401, "an ECC key is a point (x and y), a scalar (z), or both")
    public = secret = b""
    try:
        if x:
            numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve)
            point = numbers.public_key()
            # The library below reduces coordinates modulo the field's prime, so that a point would have several
            # forms; one that it changed is refused.
            if point.public_numbers() != numbers:
                raise ValueError
            public = _spki(point)
        if z:
            private = ec.derive_private_key(int.from_bytes(z, "big"), curve)
            secret = _pkcs8(private)
    except ValueError:
        raise BusinessError(401, f"the numbers are no point or no scalar of the {size}-bit curve") from None
    if x and z and _spki(private.public_key()) != public:
        raise BusinessError(401, "the public point of the ECC key does not belong to its private scalar")
    return KeyMaterial(HuksKeyAlg.HUKS_ALG_ECC, size, secret, public)


def material_from_spki(spki: bytes, algorithm: int, size: int) -> KeyMaterial:
    """A public key from its SubjectPublicKeyInfo (DER).

    Raises:
        BusinessError: 401 for other bytes, another algorithm or another curve than `size` names.

    """
    curve = _curve(size, 401)
    try:
        public = load_spki(spki)
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != curve.name:
        raise BusinessError(401, f"the key is no SubjectPublicKeyInfo of a point on the {size}-bit curve")
    return KeyMaterial(algorithm, size, b"", _spki(public))


def starter(spec: OperationSpec) -> Starter:
    """Prepare ECDSA signatures and verifications, or ECDH.

    Raises:
        BusinessError: 401 without a digest, 12000003 for a digest, algorithm or purpose that
            curves do not serve.

    """
    if spec.purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_AGREE and spec.algorithm == HuksKeyAlg.HUKS_ALG_ECDH:
        return _agreement(spec)
    if spec.purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN:
        return _signature(spec, "sign")
    if spec.purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY:
        return _signature(spec, "verify")
    raise BusinessError(
        12000003,
        f"an ECC key signs, verifies and (HUKS_TAG_ALGORITHM HUKS_ALG_ECDH) agrees; got purpose {spec.purpose}, "
        f"algorithm {spec.algorithm}",
        reason=HuksErrorCode.HUKS_ERROR_INVALID_ALGORITHM,
    )


def private_of(key: EllipticKey, what: str) -> ec.EllipticCurvePrivateKey:
    """The private half, which a public key does not have (401)."""
    if key.private is None:
        raise BusinessError(401, f"the ECC key has no private half, which {what} needs")
    return key.private


def _signature(spec: OperationSpec, verb: str) -> Starter:
    algorithm = None
    if spec.digest != HuksKeyDigest.HUKS_DIGEST_NONE:
        algorithm = signing.hash_for(spec.digest, what="ECDSA")
        warn_weak_digest(spec.digest, "ECDSA")
    kind = f"ecdsa-p{spec.size}-{verb}"
    limits = spec.limits

    scheme = None if algorithm is None else ec.ECDSA(algorithm)

    def start_sign(key: EllipticKey, _: Mapping[int, bytes]) -> Operation:
        private = private_of(key, "signing")
        whole = None if scheme is None else (lambda message: private.sign(message, scheme))
        return signing.signer(kind, algorithm, limits, partial(_sign, private), whole)

    def start_verify(key: EllipticKey, _: Mapping[int, bytes]) -> Operation:
        return signing.verifier(kind, algorithm, limits, partial(_verify, key))

    return start_sign if verb == "sign" else start_verify


def _sign(private: ec.EllipticCurvePrivateKey, value: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    return private.sign(value, _SCHEMES[algorithm.name])


def _verify(key: EllipticKey, signature: BytesLike, value: bytes, algorithm: hashes.HashAlgorithm) -> None:
    # This is the documented bound. It lies just above the longest DER form of two numbers of the curve.
    most = 2 * (key.size // 8 + key.size % 8) + 8
    if len(signature) > most:
        raise signing.too_long(len(signature), most)
    try:
        key.public.verify(signature, value, _SCHEMES[algorithm.name])
    except InvalidSignature:
        raise signing.wrong_signature(signature, (key.size + 7) // 8) from None


def _agreement(spec: OperationSpec) -> Starter:
    session_size = spec.numbers.get(HuksTag.HUKS_TAG_KEY_SIZE, 0)
    kind = f"ecdh-p{spec.size}"

    def start(key: EllipticKey, _: Mapping[int, bytes]) -> Operation:
        return Agreement(kind, partial(_agree, private_of(key, "an agreement"), session_size))

    return start


def _agree(private: ec.EllipticCurvePrivateKey, session_size: int, spki: bytes) -> bytes:
    _curve(session_size, 401)
    peer = load_peer(spki)
    if not isinstance(peer, ec.EllipticCurvePublicKey) or peer.curve.name != private.curve.name:
        raise wrong_peer("no key of the same curve")
    return private.exchange(ec.ECDH(), peer)
