"""SM2: signatures with SM3 or over a ready-made value, and encryption (GB/T 32918, GM/T 0009).

The curve arithmetic is a backend's (`backend`). Hashing is done here, segment by segment, because
Z depends on the public key alone: a signature of a long message holds none of it.
"""

import secrets
from collections.abc import Mapping

from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.libcrypto.binding import LibcryptoError
from huks_async.crypto.operation import Operation
from huks_async.crypto.sm2 import encoding
from huks_async.crypto.sm2.backend import sm2_backend
from huks_async.crypto.sm2.encoding import FIELD
from huks_async.crypto.sm2.operations import (
    MAX_OVERHEAD,
    HashedMessage,
    ReadyValue,
    Sm2Cipher,
    Sm2Key,
    Sm2Signing,
    Sm2Verification,
    decrypt,
    encrypt,
    need_private,
)
from huks_async.model.enums import HuksKeyAlg, HuksKeyDigest, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits

SIZE = 256

_ILLEGAL, _MISSING, _WRONG = 401, 12000002, 12000003
_NONE, _SM3 = int(HuksKeyDigest.HUKS_DIGEST_NONE), int(HuksKeyDigest.HUKS_DIGEST_SM3)


def generate(algorithm: int, size: int) -> KeyMaterial:
    """Make a key pair. `algorithm` is SM2 and `size` 256.

    Raises:
        BusinessError: 12000001 where no backend is installed.

    """
    # The private key is uniform in 1 … n - 2 (GB/T 32918.1 section 6.1).
    scalar = (1 + secrets.randbelow(encoding.N - 2)).to_bytes(FIELD, "big")
    return KeyMaterial(algorithm, size, scalar, encoding.spki_from_point(public_point(scalar)))


def load(material: KeyMaterial) -> Sm2Key:
    """Make the ready key; the public half of a private-only key is computed here.

    Raises:
        BusinessError: 401 for material that is not a key, 12000001 where no backend is installed.

    """
    backend = sm2_backend()
    try:
        point = encoding.point_from_spki(material.public) if material.public else None
        if material.secret:
            if not encoding.is_scalar(material.secret):
                raise ValueError("the private half is not a scalar of 1 … n - 2")
            handle = backend.private_key(material.secret, point)
            point = point or backend.public_point(handle)
        elif point is not None:
            handle = backend.public_key(point)
        else:
            raise ValueError("no half at all")
    except (ValueError, LibcryptoError) as refused:
        raise BusinessError(_ILLEGAL, f"the material is no SM2 key: {refused}") from None
    return Sm2Key(backend, handle, bool(material.secret), encoding.identity_hash(point))


def public_point(scalar: bytes) -> bytes:
    """The public point x ‖ y, 64 bytes, of a private key of 32 bytes."""
    backend = sm2_backend()
    return backend.public_point(backend.private_key(scalar, None))


def material_from_spki(spki: bytes) -> KeyMaterial:
    """A public key from a SubjectPublicKeyInfo of 91 bytes, or of 92 as older devices export it.

    Raises:
        BusinessError: 401 for anything else, and for a point off the curve.

    """
    try:
        point = encoding.point_from_spki(spki)
    except ValueError as wrong:
        raise BusinessError(
            _ILLEGAL,
            f"the public key of {len(spki)} bytes is {wrong}; it must be DER of {encoding.SPKI_BYTES} bytes: "
            "id-ecPublicKey, curve 1.2.156.10197.1.301, an uncompressed point",
        ) from None
    return KeyMaterial(HuksKeyAlg.HUKS_ALG_SM2, SIZE, public=encoding.spki_from_point(point))


def material_from_parts(x: bytes, y: bytes, z: bytes) -> KeyMaterial:
    """A key from public coordinates x, y and private scalar z, 32 big-endian bytes each.

    Either half may be missing: x and y both empty, or z empty.

    Raises:
        BusinessError: 401 for other lengths, a point off the curve, a scalar out of range, or halves
            of different keys; 12000001 where both are given and no backend is there to compare them.

    """
    lengths = (len(x), len(y), len(z))
    if lengths not in {(FIELD, FIELD, FIELD), (0, 0, FIELD), (FIELD, FIELD, 0)}:
        raise BusinessError(
            _ILLEGAL,
            f"an SM2 key has x, y and z of {FIELD} bytes each (x and y, or z, may be missing), "
            f"got {lengths[0]}, {lengths[1]} and {lengths[2]}",
        )
    point, spki = bytes(x) + bytes(y), b""
    if point:
        try:
            spki = encoding.spki_from_point(point)
        except ValueError as wrong:
            raise BusinessError(_ILLEGAL, f"the public half (x, y) is {wrong}") from None
    if z and not encoding.is_scalar(z):
        raise BusinessError(_ILLEGAL, "the private half (z) is not a scalar of 1 … n - 2")
    if point and z and public_point(z) != point:
        raise BusinessError(_ILLEGAL, "the private half (z) does not belong to the public half (x, y)")
    return KeyMaterial(HuksKeyAlg.HUKS_ALG_SM2, SIZE, bytes(z), spki)


def starter(spec: OperationSpec) -> Starter:
    """Prepare signing, verification, encryption or decryption.

    Raises:
        BusinessError: 401 for another purpose (an agreement has no documented session) and for a
            signature without DIGEST; 12000002 and 12000003 for a digest missing or wrong.

    """
    purpose, limits = spec.purpose, spec.limits
    if purpose in (HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN, HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY):
        verifying = purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY
        hashing = _digest_is_sm3(spec.digest, missing=_ILLEGAL)
        return _signature_starter(verifying, hashing, limits)
    if purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT:
        if not _digest_is_sm3(spec.digest, missing=_MISSING):
            raise BusinessError(
                _WRONG, "HUKS_TAG_DIGEST: got HUKS_DIGEST_NONE, SM2 encryption needs HUKS_DIGEST_SM3"
            )
        return lambda key, _: Sm2Cipher("sm2-encrypt", key, encrypt, limits.max_collected_bytes)
    if purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT:
        if spec.digest is not None:
            _digest_is_sm3(spec.digest, missing=_MISSING)
        # what encryption took is decrypted, too; a device counts what it is given
        limit = limits.max_collected_bytes + (0 if spec.device else MAX_OVERHEAD)

        def start_decryption(key: Sm2Key, _: Mapping[int, bytes]) -> Operation:
            need_private(key, "decrypt")
            return Sm2Cipher("sm2-decrypt", key, decrypt, limit)

        return start_decryption
    raise BusinessError(
        _ILLEGAL,
        f"HUKS_TAG_PURPOSE: got {purpose}, sessions with SM2 sign, verify, encrypt or decrypt; "
        "the documentation has no SM2 key agreement",
    )


def _signature_starter(verifying: bool, hashing: bool, limits: Limits) -> Starter:
    def start(key: Sm2Key, _: Mapping[int, bytes]) -> Operation:
        if not verifying:
            need_private(key, "sign")
        message = HashedMessage(key, limits) if hashing else ReadyValue(limits)
        return Sm2Verification(key, message) if verifying else Sm2Signing(key, message)

    return start


def _digest_is_sm3(digest: int | None, *, missing: int) -> bool:
    """True for SM3, False for NONE."""
    if digest in (_SM3, _NONE):
        return digest == _SM3
    if digest is None:
        raise BusinessError(missing, "HUKS_TAG_DIGEST is missing; SM2 takes HUKS_DIGEST_SM3")
    raise BusinessError(
        _WRONG,
        f"HUKS_TAG_DIGEST: got {digest}, SM2 takes HUKS_DIGEST_SM3, or for signatures HUKS_DIGEST_NONE",
    )


__all__ = [
    "Sm2Key",
    "decrypt",
    "encrypt",
    "generate",
    "load",
    "material_from_parts",
    "material_from_spki",
    "public_point",
    "starter",
]
