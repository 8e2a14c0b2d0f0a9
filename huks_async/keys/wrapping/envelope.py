"""Suite 5 of wrapped import: a digital envelope of SM2 and SM4.

A container of two fields: a new SM4 key, encrypted to the SM2 wrapping key (DER), and the key data
under SM4-ECB without padding. Key data is a raw symmetric key, or the private part of an asymmetric
one, of KEY_SIZE / 8 bytes; the public part travels in HUKS_TAG_ASYMMETRIC_PUBLIC_KEY_DATA.

ECB without authentication is what the suite defines: a changed second field opens to another
symmetric key. Where that matters choose suite 1 or 2.
"""

import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from huks_async.crypto.key_material import SYMMETRIC_ALGORITHMS, KeyMaterial
from huks_async.keys.forms.fields import parts_of, public_fields
from huks_async.keys.forms.import_params import import_type
from huks_async.keys.forms.layouts import (
    LAYOUTS,
    KeyParts,
    algorithm_name,
    check_import_length,
    invalid,
    pack,
)
from huks_async.model.enums import HuksErrorCode, HuksImportKeyType, HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag
from huks_async.runtime.randomness import random_bytes

_MISSING, _UNSUPPORTED, _NOT_HERE, _CRYPTO_FAIL = 12000002, 12000003, 12000001, 12000006
_SM4_BYTES = 16
_BLOCK = 16
_LENGTH = struct.Struct("<I")

# which field of the header form an envelope carries
_PRIVATE_FIELD: dict[int, str] = {
    HuksKeyAlg.HUKS_ALG_RSA: "d",
    HuksKeyAlg.HUKS_ALG_ECC: "z",
    HuksKeyAlg.HUKS_ALG_SM2: "z",
    HuksKeyAlg.HUKS_ALG_DH: "private",
    HuksKeyAlg.HUKS_ALG_X25519: "private",
    HuksKeyAlg.HUKS_ALG_ED25519: "private",
}


def open_envelope(fields: list[bytes], wrapping: KeyMaterial, params: ParamSet) -> bytes:
    """Decrypt the two fields of an envelope to what `importKeyItem` would take as `inData`.

    Args:
        fields: the SM2 ciphertext of the SM4 key, and the SM4 ciphertext of the key data.
        wrapping: the SM2 wrapping key with its private half.
        params: ALGORITHM, KEY_SIZE, for asymmetric keys IMPORT_KEY_TYPE and
            ASYMMETRIC_PUBLIC_KEY_DATA of the key to import.

    Raises:
        BusinessError: 12000002 without ALGORITHM or KEY_SIZE; 12000001 for an algorithm that
            envelopes do not carry; 12000003 for a size that is no multiple of the block or not that
            of the ciphertext; 401 for a public part that is missing or does not fit; 12000006
            where the SM4 key does not decrypt.

    """
    algorithm = _required(params, HuksTag.HUKS_TAG_ALGORITHM)
    size = _required(params, HuksTag.HUKS_TAG_KEY_SIZE)
    sealed_sm4, sealed_key = fields
    if algorithm in SYMMETRIC_ALGORITHMS:
        return _open_key(wrapping, sealed_sm4, sealed_key, algorithm, size)
    private_field = _private_field(algorithm)
    public = params.blob(HuksTag.HUKS_TAG_ASYMMETRIC_PUBLIC_KEY_DATA)
    if not public:
        raise invalid(
            "HUKS_TAG_ASYMMETRIC_PUBLIC_KEY_DATA is missing; an asymmetric key in an envelope needs it"
        )
    check_import_length(algorithm, len(public))
    if import_type(params) == HuksImportKeyType.HUKS_KEY_TYPE_PUBLIC_KEY:
        return public
    parts = dict.fromkeys(LAYOUTS[algorithm].names, b"")
    parts.update(public_fields(algorithm, size, public))
    parts[private_field] = _open_key(wrapping, sealed_sm4, sealed_key, algorithm, size)
    return pack(KeyParts(algorithm, size, parts))


def envelope_parts(material: KeyMaterial) -> tuple[bytes, bytes]:
    """What an envelope carries of a key, and the public part that travels beside it.

    Args:
        material: a symmetric key, or a pair of RSA, ECC, SM2, DH, X25519 or Ed25519.

    Returns:
        Key data for `pack_envelope`, and the value of HUKS_TAG_ASYMMETRIC_PUBLIC_KEY_DATA (empty
        for a symmetric key).

    Raises:
        BusinessError: 12000001 for an algorithm that envelopes do not carry, 401 for half a pair.

    """
    if material.is_symmetric:
        return material.secret, b""
    private_field = _private_field(material.algorithm)
    if not material.public:
        raise invalid("an envelope needs both halves of an asymmetric key")
    private = parts_of(material)[private_field]
    return private.rjust(material.size // 8, b"\0"), material.public


def pack_envelope(key_data: bytes, device_public_key: bytes) -> bytes:
    """Encrypt key data for a device: the server's half of suite 5.

    Args:
        key_data: a raw symmetric key, or a private part of KEY_SIZE / 8 bytes (`envelope_parts`);
            a multiple of 16 bytes.
        device_public_key: SubjectPublicKeyInfo DER, as `exportKeyItem` of the SM2 wrapping key gave it.

    Returns:
        The container for `importWrappedKeyItem`; the SM4 key in it is new in each call.

    Raises:
        BusinessError: 12000003 for a length that is no multiple of 16, 401 for a public key that
            is not SM2.

    """
    if not key_data or len(key_data) % _BLOCK:
        raise _bad_size(f"key data in an envelope must be a multiple of {_BLOCK} bytes, got {len(key_data)}")
    sm4 = random_bytes(_SM4_BYTES)
    sealed_sm4 = _sm2_encrypt(device_public_key, sm4)
    cipher = Cipher(algorithms.SM4(sm4), modes.ECB()).encryptor()  # noqa: S305 - the suite's definition
    fields = (sealed_sm4, cipher.update(bytes(key_data)) + cipher.finalize())
    return b"".join(_LENGTH.pack(len(field)) + field for field in fields)


def _open_key(
    wrapping: KeyMaterial, sealed_sm4: bytes, sealed_key: bytes, algorithm: int, size: int
) -> bytes:
    if size == 0 or size % (8 * _BLOCK):
        raise _bad_size(
            f"HUKS_TAG_KEY_SIZE {size}: an envelope carries keys of whole blocks, multiples of {8 * _BLOCK} bits"
        )
    if len(sealed_key) != size // 8:
        raise _bad_size(
            f"field 2 of the envelope must have {size // 8} bytes for a {algorithm_name(algorithm)} key of "
            f"HUKS_TAG_KEY_SIZE {size}, got {len(sealed_key)}"
        )
    sm4 = _sm2_decrypt(wrapping, sealed_sm4)
    if len(sm4) != _SM4_BYTES:
        raise BusinessError(_CRYPTO_FAIL, f"field 1 of the envelope holds {len(sm4)} bytes, no SM4 key")
    cipher = Cipher(algorithms.SM4(sm4), modes.ECB()).decryptor()  # noqa: S305 - the suite's definition
    return cipher.update(sealed_key) + cipher.finalize()


def _private_field(algorithm: int) -> str:
    try:
        return _PRIVATE_FIELD[algorithm]
    except KeyError:
        raise BusinessError(
            _NOT_HERE,
            f"an envelope does not carry {algorithm_name(algorithm)} keys; it carries symmetric keys and "
            f"{', '.join(map(algorithm_name, _PRIVATE_FIELD))}",
        ) from None


def _required(params: ParamSet, tag: HuksTag) -> int:
    value = params.number(tag)
    if value is None:
        raise BusinessError(_MISSING, f"{tag.name} is missing; an envelope needs it")
    return value


def _bad_size(message: str) -> BusinessError:
    return BusinessError(_UNSUPPORTED, message, reason=HuksErrorCode.HUKS_ERROR_INVALID_KEY_SIZE)


def _sm2_decrypt(wrapping: KeyMaterial, ciphertext: bytes) -> bytes:
    from huks_async.crypto.sm2 import sm2

    return sm2.decrypt(sm2.load(wrapping), ciphertext)


def _sm2_encrypt(public: bytes, plaintext: bytes) -> bytes:
    from huks_async.crypto.sm2 import sm2

    return sm2.encrypt(sm2.load(sm2.material_from_spki(public)), plaintext)
