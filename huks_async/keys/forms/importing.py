"""From `inData` and parameters of an import to checked key material.

Pure and synchronous. Parameters were checked against the support matrix before (sizes, paddings,
digests, modes, combinations of purposes); here the bytes are checked, and what only imports ask.
"""

from collections.abc import Callable

from huks_async.crypto.key_material import SYMMETRIC_ALGORITHMS, KeyMaterial
from huks_async.keys.forms.import_params import import_type, required, unsupported
from huks_async.keys.forms.layouts import (
    DEFAULT_RSA_EXPONENT,
    LAYOUTS,
    ML_DSA_BYTES,
    ML_KEM_BYTES,
    KeyParts,
    algorithm_name,
    check_import_length,
    check_parts,
    invalid,
    unpack,
)
from huks_async.model.enums import HuksErrorCode, HuksImportKeyType, HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.memory import refuse_out_of_memory
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag

_PUBLIC = HuksImportKeyType.HUKS_KEY_TYPE_PUBLIC_KEY
_PRIVATE = HuksImportKeyType.HUKS_KEY_TYPE_PRIVATE_KEY
_PAIR = HuksImportKeyType.HUKS_KEY_TYPE_KEY_PAIR

_ALGORITHM = HuksTag.HUKS_TAG_ALGORITHM
_KEY_SIZE = HuksTag.HUKS_TAG_KEY_SIZE

_RSA = HuksKeyAlg.HUKS_ALG_RSA
_ECC = HuksKeyAlg.HUKS_ALG_ECC
_DSA = HuksKeyAlg.HUKS_ALG_DSA
_DH = HuksKeyAlg.HUKS_ALG_DH
_SM2 = HuksKeyAlg.HUKS_ALG_SM2
_X25519 = HuksKeyAlg.HUKS_ALG_X25519
_ED25519 = HuksKeyAlg.HUKS_ALG_ED25519
_ML_DSA = HuksKeyAlg.HUKS_ALG_ML_DSA
_ML_KEM = HuksKeyAlg.HUKS_ALG_ML_KEM

# algorithms with a short list of sizes; the others take multiples of 8 (RSA: see its family)
_SIZES: dict[int, tuple[int, ...]] = {
    HuksKeyAlg.HUKS_ALG_AES: (128, 192, 256),
    HuksKeyAlg.HUKS_ALG_SM4: (128,),
    HuksKeyAlg.HUKS_ALG_DES: (64,),
    HuksKeyAlg.HUKS_ALG_3DES: (128, 192),
    _ECC: (224, 256, 384, 521),
    _DH: (2048, 3072, 4096),
    _SM2: (256,),
    _X25519: (256,),
    _ED25519: (256,),
    _ML_DSA: tuple(ML_DSA_BYTES),
    _ML_KEM: tuple(ML_KEM_BYTES),
}
# symmetric algorithms that have no private or paired form, although they have a raw one
_PUBLIC_TYPE_ONLY = frozenset({HuksKeyAlg.HUKS_ALG_DES, HuksKeyAlg.HUKS_ALG_3DES, HuksKeyAlg.HUKS_ALG_CMAC})
_RAW_PUBLIC = frozenset({_X25519, _ED25519})
# raw keys whose bytes are counted before any other parameter is looked at
_COUNTED_FIRST = frozenset({HuksKeyAlg.HUKS_ALG_AES, HuksKeyAlg.HUKS_ALG_DES, HuksKeyAlg.HUKS_ALG_3DES})
MIN_RSA_EXPONENT = 65537
"""Of private keys and key pairs."""

_FAR_TOO_LONG = 64 * 1024

CHECK_SECONDS = 0.5
"""What the slowest check of a key that comes in takes: RSA or DH of 4096 bits."""


def is_slow_to_translate(params: ParamSet) -> bool:
    """Whether `translated` may keep the interpreter busy for longer than a few milliseconds.

    A public DSA key brings a group of its own, which is checked by exponentiations of its full size.
    """
    return params.number(_ALGORITHM) == _DSA and import_type(params) == _PUBLIC


def refuse_too_long(params: ParamSet, length: int) -> None:
    """Refuse key material that is far too long before it is copied, or sent to another process.

    Raises:
        BusinessError: 401.

    """
    algorithm = params.number(_ALGORITHM)
    if algorithm is None or not (algorithm in SYMMETRIC_ALGORITHMS or algorithm in LAYOUTS):
        return
    if length > _FAR_TOO_LONG or is_slow_to_translate(params):
        check_import_length(algorithm, length)


def is_slow(params: ParamSet) -> bool:
    """The same of `material_from_import`, for what `translated` has left.

    The primes of an RSA key are not in its header form, and must be found and checked; a DH or DSA key is
    checked by exponentiations of its full size.
    """
    return import_type(params) != _PUBLIC and params.number(_ALGORITHM) in (_RSA, _DH, _DSA)


def material_from_import(params: ParamSet, data: bytes) -> KeyMaterial:
    """Make checked key material of what `importKeyItem` was given.

    Args:
        params: ALGORITHM, KEY_SIZE and, unless the key is public or symmetric, IMPORT_KEY_TYPE.
        data: `inData` in the form that algorithm and type ask for: raw (symmetric; public and bare
            private 25519), SubjectPublicKeyInfo DER (other public keys), the header form (others).

    Raises:
        BusinessError: 12000002 without ALGORITHM or KEY_SIZE; 12000003 for an algorithm, size or
            type that is not imported; 401 for bytes that are not such a key; 12000006 for an ML
            public key that does not parse.

    """
    algorithm, kind = _known_algorithm(params), import_type(params)
    _check_length(algorithm, kind, len(data))
    size = required(params, _KEY_SIZE)
    _check_size(algorithm, size)
    if algorithm in SYMMETRIC_ALGORITHMS:
        return _symmetric(algorithm, size, kind, bytes(data))
    if kind == _PUBLIC:
        return _public(algorithm, size, bytes(data))
    return material_from_parts(parts_from_import(params, data), kind)


def parts_from_import(params: ParamSet, data: bytes) -> KeyParts:
    """Take apart the header form of a private key or a key pair, and check the lengths of its fields.

    Raises:
        BusinessError: 401 for bytes that have no such form or contradict ALGORITHM and KEY_SIZE.

    """
    algorithm, size, kind = required(params, _ALGORITHM), required(params, _KEY_SIZE), import_type(params)
    if kind not in (_PRIVATE, _PAIR):
        raise invalid(f"HUKS_TAG_IMPORT_KEY_TYPE takes 0 (public), 1 (private) or 2 (pair), got {kind}")
    if kind == _PRIVATE and algorithm in _RAW_PUBLIC and len(data) == 32:
        return KeyParts(algorithm, size, {"public": b"", "private": bytes(data)})
    parts = unpack(data, algorithm=algorithm, size=size)
    check_parts(parts, kind)
    return parts


def translated(params: ParamSet, data: bytes) -> KeyMaterial | None:
    """Do what an import begins with, before the other parameters are looked at.

    A SubjectPublicKeyInfo is read; of an RSA or 25519 key in the header form, its header. Raw bytes are counted,
    by what their algorithm has at all: KEY_SIZE has its turn with the other parameters.

    Returns:
        the material, or None for keys that are read later.

    Raises:
        BusinessError: see `material_from_import`.

    """
    algorithm, kind = _known_algorithm(params), import_type(params)
    if _is_raw(algorithm, kind):
        _check_length(algorithm, kind, len(data))
    elif kind == _PUBLIC:
        return material_from_import(params, data)
    elif algorithm == _RSA or (algorithm in _RAW_PUBLIC and len(data) != 32):
        unpack(data, algorithm=algorithm)
    return None


def measured(params: ParamSet, data: bytes) -> KeyMaterial | None:
    """Hold what `translated` left against the parameters, once these are known to be right.

    Returns:
        the material of raw bytes, or None for the header form, whose fields are in place and are read last.

    Raises:
        BusinessError: see `material_from_import`.

    """
    if _is_raw(required(params, _ALGORITHM), import_type(params)):
        return material_from_import(params, data)
    parts_from_import(params, data)
    return None


def material_from_parts(parts: KeyParts, kind: int = _PAIR) -> KeyMaterial:
    """Make checked key material of the fields of a private key or a key pair.

    Raises:
        BusinessError: 401 for fields that are no such key.

    """
    check_parts(parts, kind)
    return _checked(lambda: _MAKERS[parts.algorithm](parts), parts.algorithm)


def _known_algorithm(params: ParamSet) -> int:
    algorithm = required(params, _ALGORITHM)
    if algorithm not in SYMMETRIC_ALGORITHMS and algorithm not in LAYOUTS:
        raise unsupported(
            f"HUKS_TAG_ALGORITHM {algorithm_name(algorithm)}: such keys cannot be imported",
            HuksErrorCode.HUKS_ERROR_INVALID_ALGORITHM,
        )
    return algorithm


def _is_raw(algorithm: int, kind: int) -> bool:
    return algorithm in SYMMETRIC_ALGORITHMS or (algorithm in _RAW_PUBLIC and kind == _PUBLIC)


def _check_length(algorithm: int, kind: int, length: int) -> None:
    """Refuse bytes that are no key of the algorithm, whatever size is asked for."""
    check_import_length(algorithm, length)
    if algorithm in _RAW_PUBLIC and kind == _PUBLIC and length != 32:
        raise invalid(
            f"inData of a public {algorithm_name(algorithm)} key must be the 32 raw bytes, got {length}; "
            "of a SubjectPublicKeyInfo these are the last 32"
        )
    if algorithm in _COUNTED_FIRST and kind not in (_PRIVATE, _PAIR) and length * 8 not in _SIZES[algorithm]:
        accepted = " or ".join(str(size // 8) for size in _SIZES[algorithm])
        raise invalid(f"inData of {algorithm_name(algorithm)} must have {accepted} bytes, got {length}")


def _check_size(algorithm: int, size: int) -> None:
    sizes = _SIZES.get(algorithm)
    if size == 0 or (size % 8 if sizes is None else size not in sizes):
        accepted = "multiples of 8" if sizes is None else f"one of {list(sizes)}"
        message = f"HUKS_TAG_KEY_SIZE {size}: {algorithm_name(algorithm)} takes {accepted}"
        raise unsupported(message, HuksErrorCode.HUKS_ERROR_INVALID_KEY_SIZE)


def _symmetric(algorithm: int, size: int, kind: int, data: bytes) -> KeyMaterial:
    if kind in (_PRIVATE, _PAIR) and algorithm in _PUBLIC_TYPE_ONLY:
        raise unsupported(
            f"HUKS_TAG_IMPORT_KEY_TYPE {kind}: {algorithm_name(algorithm)} keys are imported without it",
            HuksErrorCode.HUKS_ERROR_INVALID_ALGORITHM,
        )
    if len(data) != size // 8:
        raise invalid(
            f"inData of {algorithm_name(algorithm)} with HUKS_TAG_KEY_SIZE {size} must have {size // 8} bytes, "
            f"got {len(data)}"
        )
    return KeyMaterial(algorithm, size, secret=data)


def _public(algorithm: int, size: int, data: bytes) -> KeyMaterial:
    if algorithm in _RAW_PUBLIC:
        return KeyMaterial(algorithm, size, public=data)
    return _checked(lambda: _from_spki(algorithm, size, data), algorithm)


def _checked(make: Callable[[], KeyMaterial], algorithm: int) -> KeyMaterial:
    # what a library below says about bad numbers must not name them
    try:
        return make()
    except BusinessError as error:
        if error.code == 401 and error.reason == HuksErrorCode.HUKS_ERROR_INVALID_ARGUMENT:
            raise invalid(error.message) from None
        raise
    except Exception as error:
        refuse_out_of_memory(error, "reading a key")
        raise invalid(f"inData is no {algorithm_name(algorithm)} key of this size") from None


# The families are imported when they are needed: many applications hold symmetric keys alone.


def _from_spki(algorithm: int, size: int, der: bytes) -> KeyMaterial:
    from huks_async.crypto.asymmetric import dh, dsa, elliptic, rsa
    from huks_async.crypto.postquantum import mldsa, mlkem
    from huks_async.crypto.sm2 import sm2

    match algorithm:
        case HuksKeyAlg.HUKS_ALG_RSA:
            return rsa.material_from_spki(der, algorithm, size)
        case HuksKeyAlg.HUKS_ALG_ECC:
            return elliptic.material_from_spki(der, algorithm, size)
        case HuksKeyAlg.HUKS_ALG_DSA:
            return dsa.material_from_spki(der, algorithm, size)
        case HuksKeyAlg.HUKS_ALG_DH:
            return dh.material_from_spki(der, algorithm, size)
        case HuksKeyAlg.HUKS_ALG_SM2:
            return sm2.material_from_spki(der)
        case HuksKeyAlg.HUKS_ALG_ML_DSA:
            return mldsa.material_from_spki(size, der)
    return mlkem.material_from_spki(size, der)


def _make_rsa(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto.asymmetric import rsa

    n, e, d = (int.from_bytes(parts[name], "big") for name in "ned")
    if not parts["e"]:
        e = int.from_bytes(DEFAULT_RSA_EXPONENT, "big")
    if n.bit_length() != parts.size:
        raise invalid(f"the modulus has {n.bit_length()} bits, HUKS_TAG_KEY_SIZE says {parts.size}")
    if e < MIN_RSA_EXPONENT or e % 2 == 0 or e >= n:
        raise invalid(f"the public exponent must be odd, below the modulus and at least {MIN_RSA_EXPONENT}")
    return rsa.material_from_numbers(n, e, d, parts.size)


def _make_ecc(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto.asymmetric import elliptic

    return elliptic.material_from_parts(parts.size, *(parts[name] for name in "xyz"))


def _make_sm2(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto.sm2 import sm2

    numbers = (parts[name] for name in "xyz")
    return sm2.material_from_parts(*(number.rjust(32, b"\0") if number else b"" for number in numbers))


def _make_dsa(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto.asymmetric import dsa

    return dsa.material_from_parts(parts.size, *(parts[name] for name in "xypqg"))


def _make_dh(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto.asymmetric import dh

    return dh.material_from_parts(parts.size, parts["public"], parts["private"])


def _make_25519(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto.asymmetric import curve25519

    return curve25519.material_from_parts(parts.algorithm, parts["public"], parts["private"])


def _make_ml_dsa(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto.postquantum import mldsa

    return mldsa.material_from_parts(parts.size, parts["public"], parts["private"])


def _make_ml_kem(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto.postquantum import mlkem

    return mlkem.material_from_parts(parts.size, parts["public"], parts["private"])


_MAKERS: dict[int, Callable[[KeyParts], KeyMaterial]] = {
    _RSA: _make_rsa,
    _ECC: _make_ecc,
    _SM2: _make_sm2,
    _DSA: _make_dsa,
    _DH: _make_dh,
    _X25519: _make_25519,
    _ED25519: _make_25519,
    _ML_DSA: _make_ml_dsa,
    _ML_KEM: _make_ml_kem,
}
