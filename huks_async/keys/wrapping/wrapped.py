"""Wrapped import: key material that a server encrypted for one device.

Both halves are here. A keystore opens a container with its wrapping key (`open_wrapped`); a server
that provisions devices makes one from the wrapping key's exported public half (`pack_wrapped`).

A container is a sequence of fields, each a 4-byte little-endian length and that many bytes. Suites
1 and 2 have ten: the caller's public key; data to authenticate, nonce, tag and ciphertext of the
key-encryption key (AES-256-GCM under the agreed secret, taken as it is); data to authenticate,
nonce and tag of the key; the key's length (4 bytes, little-endian); the key's ciphertext (AES-256-GCM
under the key-encryption key). What comes out is the `inData` of an import.
"""

import struct
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)

from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.openssl_random import stir
from huks_async.crypto.spki import load_spki
from huks_async.keys.forms.importing import material_from_import
from huks_async.keys.forms.layouts import algorithm_name, invalid
from huks_async.keys.wrapping import envelope
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg, HuksKeyPurpose, HuksUnwrapSuite
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, ParamSet
from huks_async.model.tags import HuksTag
from huks_async.runtime.randomness import random_bytes

X25519_AES_256_GCM = int(HuksUnwrapSuite.HUKS_UNWRAP_SUITE_X25519_AES_256_GCM_NOPADDING)
ECDH_AES_256_GCM = int(HuksUnwrapSuite.HUKS_UNWRAP_SUITE_ECDH_AES_256_GCM_NOPADDING)
SM2_SM4_ECB = int(HuksUnwrapSuite.HUKS_UNWRAP_SUITE_SM2_SM4_ECB_NOPADDING)

MAX_WRAPPED_BYTES = 1024 * 1024
MAX_WRAPPED_KEY_BYTES = 10_000

_MISSING, _UNSUPPORTED, _CRYPTO_FAIL = 12000002, 12000003, 12000006
_FIELDS = {X25519_AES_256_GCM: 10, ECDH_AES_256_GCM: 10, SM2_SM4_ECB: 2}
_WRAPPING_KEYS = {
    X25519_AES_256_GCM: (HuksKeyAlg.HUKS_ALG_X25519, 256),
    ECDH_AES_256_GCM: (HuksKeyAlg.HUKS_ALG_ECC, 256),
    SM2_SM4_ECB: (HuksKeyAlg.HUKS_ALG_SM2, 256),
}
_LENGTH = struct.Struct("<I")
_NONCE, _TAG, _KEK, _POINT = 12, 16, 32, 65
_ASSOCIATED = b"huks wrapped key"


def required_suite(params: ParamSet) -> int:
    """HUKS_TAG_UNWRAP_ALGORITHM_SUITE.

    Raises:
        BusinessError: 12000002 where it is missing, 12000003 for a suite that does not exist here.

    """
    suite = params.number(HuksTag.HUKS_TAG_UNWRAP_ALGORITHM_SUITE)
    if suite is None:
        raise BusinessError(_MISSING, "HUKS_TAG_UNWRAP_ALGORITHM_SUITE is missing; a wrapped import needs it")
    return _known_suite(suite)


def check_wrapping_purpose(suite: int, purpose: int) -> None:
    """Refuse a wrapping key whose stored purpose does not allow this suite: 12000003."""
    if purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_UNWRAP:
        return
    if suite != SM2_SM4_ECB:
        raise _wrong_purpose(purpose, "be exactly UNWRAP (64)")
    if not purpose & HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT:
        raise _wrong_purpose(purpose, "contain DECRYPT (2) or be UNWRAP (64)")


def split_container(suite: int, blob: BytesLike) -> list[bytes]:
    """The fields of a container.

    Raises:
        BusinessError: 401 for a field of no bytes, a length beyond the blob, bytes after the last
            field, another number of fields than the suite has, or more than 1 MiB.

    """
    if len(blob) > MAX_WRAPPED_BYTES:
        raise _malformed(f"a wrapped key may have {MAX_WRAPPED_BYTES} bytes, got {len(blob)}")
    fields = []
    start = 0
    count = _FIELDS[suite]
    for index in range(1, count + 1):
        if start + _LENGTH.size > len(blob):
            raise _malformed(f"the wrapped key ends before field {index} of {count}")
        (length,) = _LENGTH.unpack_from(blob, start)
        start += _LENGTH.size
        if not 0 < length <= len(blob) - start:
            # without the number: of a key that was not wrapped at all, it is the beginning of the secret
            raise _malformed(
                f"field {index} of {count} of the wrapped key is empty, or longer than the {len(blob) - start} bytes "
                "that follow; lengths have 4 bytes, the lowest first"
            )
        fields.append(bytes(blob[start : start + length]))
        start += length
    if start != len(blob):
        raise _malformed(f"{len(blob) - start} bytes follow field {count}, the last of the wrapped key")
    return fields


def join_container(fields: Sequence[bytes]) -> bytes:
    """The opposite of `split_container`."""
    return b"".join(_LENGTH.pack(len(field)) + field for field in fields)


def open_wrapped(suite: int, blob: BytesLike, wrapping: KeyMaterial, params: ParamSet) -> bytes:
    """Decrypt a container to what `importKeyItem` would take as `inData`.

    Args:
        suite: HUKS_TAG_UNWRAP_ALGORITHM_SUITE.
        blob: the container.
        wrapping: the wrapping key with its private half; its purpose is checked before, by
            `check_wrapping_purpose`.
        params: the parameters of the key to import; suite 5 needs them to tell what was encrypted.

    Raises:
        BusinessError: 12000003 for an unknown suite, 401 for a malformed container or a wrapping
            key of another algorithm (12000006 with suite 1), 12000006 where something does not decrypt.

    """
    suite = _known_suite(suite)
    fields = split_container(suite, blob)
    algorithm, size = _WRAPPING_KEYS[suite]
    if (wrapping.algorithm, wrapping.size) != (algorithm, size) or not wrapping.secret:
        half = "" if wrapping.secret else " without its private half"
        message = (
            f"suite {suite} needs a {algorithm_name(algorithm)} {size} wrapping key, "
            f"got {algorithm_name(wrapping.algorithm)} {wrapping.size}{half}"
        )
        if suite == X25519_AES_256_GCM and wrapping.algorithm != algorithm:
            # devices notice this when they agree with it, not before
            raise BusinessError(_CRYPTO_FAIL, message)
        raise invalid(message)
    if suite == SM2_SM4_ECB:
        return envelope.open_envelope(fields, wrapping, params)
    return _open_gcm(suite, fields, wrapping)


def material_from_wrapped(suite: int, blob: bytes, wrapping: KeyMaterial, params: ParamSet) -> KeyMaterial:
    """Decrypt a container and import what it holds; errors of `open_wrapped` and of an import."""
    return material_from_import(params, open_wrapped(suite, blob, wrapping, params))


def pack_wrapped(
    suite: int, key: bytes, device_public_key: bytes, *, associated_data: bytes = _ASSOCIATED
) -> bytes:
    """Encrypt a key for a device: the server's half of a wrapped import.

    Args:
        suite: 1 (X25519) or 2 (ECDH P-256); for suite 5 see `envelope.pack_envelope`.
        key: what `importKeyItem` would take as `inData`, 1 to 10,000 bytes.
        device_public_key: what `exportKeyItem` of the wrapping key gave: 32 raw bytes (suite 1) or
            SubjectPublicKeyInfo DER (suite 2).
        associated_data: authenticated with both ciphertexts, not secret, not empty.

    Returns:
        The container for `importWrappedKeyItem`. Secret and key-encryption key are new in each call.

    Raises:
        BusinessError: 401 for a key, a public key or data of the wrong form; 12000003 for a suite
            that this function does not make.

    """
    if suite not in (X25519_AES_256_GCM, ECDH_AES_256_GCM):
        raise _bad_suite(suite, (X25519_AES_256_GCM, ECDH_AES_256_GCM))
    if not 0 < len(key) <= MAX_WRAPPED_KEY_BYTES:
        raise invalid(f"a wrapped key must have 1 to {MAX_WRAPPED_KEY_BYTES} bytes, got {len(key)}")
    if not associated_data:
        raise invalid("associated_data must not be empty: a container has no empty fields")
    caller_public, shared = _new_agreement(suite, device_public_key)
    kek = random_bytes(_KEK)
    kek_nonce, key_nonce = random_bytes(_NONCE), random_bytes(_NONCE)
    sealed_kek = AESGCM(shared).encrypt(kek_nonce, kek, associated_data)
    sealed_key = AESGCM(kek).encrypt(key_nonce, bytes(key), associated_data)
    return join_container(
        (
            caller_public,
            associated_data,
            kek_nonce,
            sealed_kek[-_TAG:],
            sealed_kek[:-_TAG],
            associated_data,
            key_nonce,
            sealed_key[-_TAG:],
            _LENGTH.pack(len(key)),
            sealed_key[:-_TAG],
        )
    )


def _open_gcm(suite: int, fields: list[bytes], wrapping: KeyMaterial) -> bytes:
    peer, kek_aad, kek_nonce, kek_tag, sealed_kek, key_aad, key_nonce, key_tag, said, sealed_key = fields
    if len(said) != _LENGTH.size:
        raise _malformed(f"field 9 of the wrapped key must be 4 bytes, got {len(said)}")
    (length,) = _LENGTH.unpack(said)
    if not 0 < length <= MAX_WRAPPED_KEY_BYTES or length != len(sealed_key):
        raise _malformed(
            f"field 9 of the wrapped key says {length} bytes of key, field 10 has {len(sealed_key)}; "
            f"both must be the same and at most {MAX_WRAPPED_KEY_BYTES}"
        )
    if len(kek_tag) != _TAG or len(key_tag) != _TAG or len(sealed_kek) != _KEK:
        raise _malformed(
            f"fields 4 and 8 of the wrapped key must be tags of {_TAG} bytes and field 5 a key of {_KEK}, "
            f"got {len(kek_tag)}, {len(key_tag)} and {len(sealed_kek)}"
        )
    shared = _agree_x25519(wrapping, peer) if suite == X25519_AES_256_GCM else _agree_ecdh(wrapping, peer)
    kek = _decrypt(shared, kek_nonce, sealed_kek + kek_tag, kek_aad, "key-encryption key")
    return _decrypt(kek, key_nonce, sealed_key + key_tag, key_aad, "key")


def _decrypt(key: bytes, nonce: bytes, sealed: bytes, associated_data: bytes, what: str) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, associated_data)
    except (InvalidTag, ValueError):
        raise BusinessError(
            _CRYPTO_FAIL,
            f"the wrapped {what} does not decrypt: it was changed, or made for another wrapping key",
        ) from None


def _agree_x25519(wrapping: KeyMaterial, peer: bytes) -> bytes:
    public = _x25519_public(peer, "field 1 of the wrapped key")
    try:
        return x25519.X25519PrivateKey.from_private_bytes(wrapping.secret).exchange(public)
    except ValueError:
        raise BusinessError(
            _CRYPTO_FAIL, "field 1 of the wrapped key is an X25519 point of small order: nothing is agreed"
        ) from None


def _agree_ecdh(wrapping: KeyMaterial, peer: bytes) -> bytes:
    public = _p256_public(peer, "field 1 of the wrapped key")
    private = load_der_private_key(wrapping.secret, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.key_size != 256:
        raise invalid("the wrapping key is not on P-256")
    return private.exchange(ec.ECDH(), public)


def _new_agreement(suite: int, device_public_key: bytes) -> tuple[bytes, bytes]:
    if suite == X25519_AES_256_GCM:
        device = _x25519_public(device_public_key, "device_public_key")
        stir()
        mine = x25519.X25519PrivateKey.generate()
        try:
            return mine.public_key().public_bytes_raw(), mine.exchange(device)
        except ValueError:
            raise invalid("device_public_key is an X25519 point of small order") from None
    point = _p256_public(device_public_key, "device_public_key")
    stir()
    own = ec.generate_private_key(ec.SECP256R1())
    spki = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return spki, own.exchange(ec.ECDH(), point)


def _x25519_public(data: bytes, what: str) -> x25519.X25519PublicKey:
    if len(data) != 32:
        raise invalid(f"{what} must be a raw X25519 public key of 32 bytes, got {len(data)}")
    return x25519.X25519PublicKey.from_public_bytes(data)


def _p256_public(data: bytes, what: str) -> ec.EllipticCurvePublicKey:
    # exported keys are SubjectPublicKeyInfo; the guide can be read as the bare point, so that too
    try:
        if len(data) in (_POINT, _POINT - 1):
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data.rjust(_POINT, b"\x04"))
        public = load_spki(data)
    except (ValueError, UnsupportedAlgorithm):
        raise invalid(f"{what} is no P-256 public key (SubjectPublicKeyInfo DER, or the point)") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise invalid(f"{what} is a public key, but not one on P-256")
    return public


def _known_suite(suite: int) -> int:
    if suite not in _FIELDS:
        raise _bad_suite(suite, tuple(_FIELDS))
    return suite


def _bad_suite(suite: int, accepted: tuple[int, ...]) -> BusinessError:
    return BusinessError(
        _UNSUPPORTED, f"HUKS_TAG_UNWRAP_ALGORITHM_SUITE {suite}: accepted are {list(accepted)}"
    )


def _wrong_purpose(purpose: int, wanted: str) -> BusinessError:
    return BusinessError(
        _UNSUPPORTED,
        f"the wrapping key's HUKS_TAG_PURPOSE is {purpose}; for this suite it must {wanted}",
        reason=HuksErrorCode.HUKS_ERROR_INVALID_PURPOSE,
    )


def _malformed(message: str) -> BusinessError:
    return BusinessError(401, message, reason=HuksErrorCode.HUKS_ERROR_INVALID_KEY_INFO)
