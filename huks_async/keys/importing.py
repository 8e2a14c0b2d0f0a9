"""From `inData` and parameters of an import to checked key material.

Pure and synchronous. Parameters were checked against the support matrix before (sizes, paddings,
digests, modes, combinations of purposes); here the bytes are checked, and what only imports ask.
"""

from collections.abc import Callable
from dataclasses import replace

from huks_async.crypto.material import SYMMETRIC_ALGORITHMS, KeyMaterial
from huks_async.keys.layouts import (
    DEFAULT_RSA_EXPONENT,
    LAYOUTS,
    KeyParts,
    algorithm_name,
    check_import_length,
    check_parts,
    invalid,
    unpack,
)
from huks_async.model.enums import HuksErrorCode, HuksImportKeyType, HuksKeyAlg, HuksKeyPadding, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag

_MISSING = 12000002
_UNSUPPORTED = 12000003

_PUBLIC = HuksImportKeyType.HUKS_KEY_TYPE_PUBLIC_KEY
_PRIVATE = HuksImportKeyType.HUKS_KEY_TYPE_PRIVATE_KEY
_PAIR = HuksImportKeyType.HUKS_KEY_TYPE_KEY_PAIR

_ALGORITHM = HuksTag.HUKS_TAG_ALGORITHM
_KEY_SIZE = HuksTag.HUKS_TAG_KEY_SIZE
_IMPORT_TYPE = HuksTag.HUKS_TAG_IMPORT_KEY_TYPE
_PURPOSE = HuksTag.HUKS_TAG_PURPOSE
_PADDING = HuksTag.HUKS_TAG_PADDING

_RSA = HuksKeyAlg.HUKS_ALG_RSA
_ECC = HuksKeyAlg.HUKS_ALG_ECC
_DSA = HuksKeyAlg.HUKS_ALG_DSA
_DH = HuksKeyAlg.HUKS_ALG_DH
_SM2 = HuksKeyAlg.HUKS_ALG_SM2
_X25519 = HuksKeyAlg.HUKS_ALG_X25519
_ED25519 = HuksKeyAlg.HUKS_ALG_ED25519
_ML_DSA = HuksKeyAlg.HUKS_ALG_ML_DSA
_ML_KEM = HuksKeyAlg.HUKS_ALG_ML_KEM

# sizes that a raw key can have, in bits; algorithms that are not here take every whole byte
_RAW_SIZES: dict[int, tuple[int, ...]] = {
    HuksKeyAlg.HUKS_ALG_AES: (128, 192, 256),
    HuksKeyAlg.HUKS_ALG_SM4: (128,),
    HuksKeyAlg.HUKS_ALG_DES: (64,),
    HuksKeyAlg.HUKS_ALG_3DES: (128, 192),
}
# symmetric algorithms that have no private or paired form, although they have a raw one
_PUBLIC_TYPE_ONLY = frozenset({HuksKeyAlg.HUKS_ALG_DES, HuksKeyAlg.HUKS_ALG_3DES, HuksKeyAlg.HUKS_ALG_CMAC})
_RAW_PUBLIC = frozenset({_X25519, _ED25519})
_MIN_RSA_EXPONENT = 65537

_P = HuksKeyPurpose
_ENCRYPT, _DECRYPT = int(_P.HUKS_KEY_PURPOSE_ENCRYPT), int(_P.HUKS_KEY_PURPOSE_DECRYPT)
_SIGN, _VERIFY = int(_P.HUKS_KEY_PURPOSE_SIGN), int(_P.HUKS_KEY_PURPOSE_VERIFY)
_WRAP, _UNWRAP = int(_P.HUKS_KEY_PURPOSE_WRAP), int(_P.HUKS_KEY_PURPOSE_UNWRAP)
_AGREE = int(_P.HUKS_KEY_PURPOSE_AGREE)

# (algorithm, import type) → the purposes of which HUKS_TAG_PURPOSE must be exactly one
_IMPORT_PURPOSES: dict[tuple[int, int], tuple[int, ...]] = {
    (_RSA, _PUBLIC): (_VERIFY, _ENCRYPT),
    (_RSA, _PRIVATE): (_SIGN, _DECRYPT),
    (_ECC, _PUBLIC): (_VERIFY, _AGREE),
    (_ECC, _PRIVATE): (_SIGN, _AGREE),
    (_DSA, _PUBLIC): (_VERIFY,),
    (_DSA, _PRIVATE): (_SIGN,),
    (_ED25519, _PUBLIC): (_VERIFY,),
    (_ED25519, _PRIVATE): (_SIGN,),
    (_SM2, _PUBLIC): (_VERIFY, _ENCRYPT),
    (_SM2, _PRIVATE): (_SIGN,),
    (_ML_DSA, _PRIVATE): (_SIGN,),
    (_ML_KEM, _PUBLIC): (_WRAP,),
    (_ML_KEM, _PRIVATE): (_UNWRAP,),
}
_NO_WRAPPING_KEY = frozenset({_ECC, _X25519, _SM2, _ML_DSA})
_RSA_PUBLIC_PADDINGS: dict[int, tuple[int, ...]] = {
    _ENCRYPT: (
        HuksKeyPadding.HUKS_PADDING_NONE,
        HuksKeyPadding.HUKS_PADDING_OAEP,
        HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5,
    ),
    _VERIFY: (
        HuksKeyPadding.HUKS_PADDING_NONE,
        HuksKeyPadding.HUKS_PADDING_PSS,
        HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5,
        HuksKeyPadding.HUKS_PADDING_ISO_IEC_9796_2,
    ),
}


def import_type(params: ParamSet) -> int:
    """HUKS_TAG_IMPORT_KEY_TYPE, whose default is a public (or symmetric) key."""
    given = params.number(_IMPORT_TYPE)
    return int(_PUBLIC) if given is None else given


def is_slow(params: ParamSet) -> bool:
    """Whether `material_from_import` may keep the interpreter busy for longer than a few milliseconds.

    The primes of an RSA key are not in its header form and must be found again; a DH or DSA key is
    checked by exponentiations of its full size.
    """
    return import_type(params) != _PUBLIC and params.number(_ALGORITHM) in (_RSA, _DH, _DSA)


def check_import_purpose(params: ParamSet) -> None:
    """Check HUKS_TAG_PURPOSE against algorithm and import type, and the padding of RSA public keys.

    Raises:
        BusinessError: 12000002 without purpose or algorithm, 12000003 for a purpose or padding that
            this import does not take.

    """
    algorithm = _required(params, _ALGORITHM)
    purpose = _required(params, _PURPOSE)
    kind = import_type(params)
    name = algorithm_name(algorithm)
    if algorithm in _NO_WRAPPING_KEY and purpose & (_WRAP | _UNWRAP):
        raise _unsupported(
            f"HUKS_TAG_PURPOSE {purpose}: {name} keys to wrap or unwrap with cannot be imported; generate one",
            HuksErrorCode.HUKS_ERROR_INVALID_PURPOSE,
        )
    accepted = _IMPORT_PURPOSES.get((algorithm, kind))
    if accepted is not None and purpose not in accepted:
        kind_name = "public" if kind == _PUBLIC else "private"
        raise _unsupported(
            f"HUKS_TAG_PURPOSE {purpose}: importing a {name} {kind_name} key takes one of {list(accepted)}",
            HuksErrorCode.HUKS_ERROR_INVALID_PURPOSE,
        )
    padding = params.number(_PADDING)
    if algorithm == _RSA and kind == _PUBLIC and padding is not None:
        paddings = _RSA_PUBLIC_PADDINGS[purpose]
        if padding not in paddings:
            raise _unsupported(
                f"HUKS_TAG_PADDING {padding}: an RSA public key of purpose {purpose} "
                f"takes one of {[int(one) for one in paddings]}",
                HuksErrorCode.HUKS_ERROR_INVALID_PADDING,
            )


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
    algorithm = _required(params, _ALGORITHM)
    symmetric = algorithm in SYMMETRIC_ALGORITHMS
    if not symmetric and algorithm not in LAYOUTS:
        raise _unsupported(
            f"HUKS_TAG_ALGORITHM {algorithm_name(algorithm)}: such keys cannot be imported",
            HuksErrorCode.HUKS_ERROR_INVALID_ALGORITHM,
        )
    check_import_length(algorithm, len(data))
    size = _required(params, _KEY_SIZE)
    kind = import_type(params)
    if symmetric:
        return _symmetric(algorithm, size, kind, bytes(data))
    if kind == _PUBLIC:
        return _public(algorithm, size, bytes(data))
    if kind not in (_PRIVATE, _PAIR):
        raise invalid(f"HUKS_TAG_IMPORT_KEY_TYPE takes 0 (public), 1 (private) or 2 (pair), got {kind}")
    if kind == _PRIVATE and algorithm in _RAW_PUBLIC and len(data) == 32:
        parts = KeyParts(algorithm, size, {"public": b"", "private": bytes(data)})
    else:
        parts = unpack(data, algorithm=algorithm, size=size)
    return material_from_parts(parts, kind)


def material_from_parts(parts: KeyParts, kind: int = _PAIR) -> KeyMaterial:
    """Make checked key material of the fields of a private key or a key pair.

    Raises:
        BusinessError: 401 for fields that are no such key.

    """
    check_parts(parts, kind)
    material = _checked(lambda: _MAKERS[parts.algorithm](parts), parts.algorithm)
    given = parts.fields.get("public", parts.fields.get("y", b""))
    if parts.algorithm != _RSA and not given and material.public:
        # only what came in goes out: a key without its public half cannot be exported
        material = replace(material, public=b"")
    return material


def _symmetric(algorithm: int, size: int, kind: int, data: bytes) -> KeyMaterial:
    if kind in (_PRIVATE, _PAIR) and algorithm in _PUBLIC_TYPE_ONLY:
        raise _unsupported(
            f"HUKS_TAG_IMPORT_KEY_TYPE {kind}: {algorithm_name(algorithm)} keys are imported without it",
            HuksErrorCode.HUKS_ERROR_INVALID_ALGORITHM,
        )
    sizes = _RAW_SIZES.get(algorithm)
    if size == 0 or size % 8 or (sizes is not None and size not in sizes):
        accepted = "multiples of 8" if sizes is None else f"one of {list(sizes)}"
        raise _unsupported(
            f"HUKS_TAG_KEY_SIZE {size}: {algorithm_name(algorithm)} takes {accepted}",
            HuksErrorCode.HUKS_ERROR_INVALID_KEY_SIZE,
        )
    if len(data) != size // 8:
        raise invalid(
            f"inData of {algorithm_name(algorithm)} with HUKS_TAG_KEY_SIZE {size} must have {size // 8} bytes, "
            f"got {len(data)}"
        )
    return KeyMaterial(algorithm, size, secret=data)


def _public(algorithm: int, size: int, data: bytes) -> KeyMaterial:
    if algorithm in _RAW_PUBLIC:
        if size != 256:
            raise _unsupported(
                f"HUKS_TAG_KEY_SIZE {size}: {algorithm_name(algorithm)} takes 256",
                HuksErrorCode.HUKS_ERROR_INVALID_KEY_SIZE,
            )
        if len(data) != 32:
            raise invalid(
                f"inData of a public {algorithm_name(algorithm)} key must be the 32 raw bytes, got {len(data)}; "
                "of a SubjectPublicKeyInfo these are the last 32"
            )
        return KeyMaterial(algorithm, size, public=data)
    return _checked(lambda: _from_spki(algorithm, size, data), algorithm)


def _checked(make: Callable[[], KeyMaterial], algorithm: int) -> KeyMaterial:
    # what a library below says about bad numbers must not name them
    try:
        return make()
    except (ValueError, TypeError, OverflowError, ArithmeticError) as error:
        raise invalid(
            f"inData is no {algorithm_name(algorithm)} key of this size ({type(error).__name__})"
        ) from None


def _required(params: ParamSet, tag: HuksTag) -> int:
    value = params.number(tag)
    if value is None:
        raise BusinessError(_MISSING, f"{tag.name} is missing; an import needs it")
    return value


def _unsupported(message: str, reason: HuksErrorCode) -> BusinessError:
    return BusinessError(_UNSUPPORTED, message, reason=reason)


# The families are imported when they are needed: an application of one algorithm loads one library.


def _from_spki(algorithm: int, size: int, der: bytes) -> KeyMaterial:
    from huks_async.crypto import dh, dsa, elliptic, mldsa, mlkem, rsa, sm2

    family = {
        _RSA: rsa,
        _ECC: elliptic,
        _DSA: dsa,
        _DH: dh,
        _SM2: sm2,
        _ML_DSA: mldsa,
        _ML_KEM: mlkem,
    }[HuksKeyAlg(algorithm)]
    return family.material_from_spki(der, algorithm, size)


def _make_rsa(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto import rsa

    n, e, d = (int.from_bytes(parts[name], "big") for name in "ned")
    if not parts["e"]:
        e = int.from_bytes(DEFAULT_RSA_EXPONENT, "big")
    if n.bit_length() != parts.size or n % 2 == 0:
        raise invalid(f"the modulus has {n.bit_length()} bits or is even; it must be odd and of {parts.size} bits")
    if e < _MIN_RSA_EXPONENT or e % 2 == 0 or e >= n:
        raise invalid(f"the public exponent must be odd and at least {_MIN_RSA_EXPONENT}")
    return rsa.material_from_numbers(n, e, d)


def _make_ecc(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto import elliptic

    width = (parts.size + 7) // 8
    return elliptic.material_from_parts(parts.size, *(_padded(parts[name], width) for name in "xyz"))


def _make_sm2(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto import sm2

    return sm2.material_from_parts(*(_padded(parts[name], 32) for name in "xyz"))


def _make_dsa(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto import dsa

    return dsa.material_from_parts(parts.size, *(parts[name] for name in "xypqg"))


def _make_dh(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto import dh

    return dh.material_from_parts(parts.size, parts["public"], parts["private"])


def _make_25519(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto import edwards

    return edwards.material_from_parts(parts.algorithm, parts["public"], parts["private"])


def _make_ml_dsa(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto import mldsa

    return mldsa.material_from_parts(parts.size, parts["public"], parts["private"])


def _make_ml_kem(parts: KeyParts) -> KeyMaterial:
    from huks_async.crypto import mlkem

    return mlkem.material_from_parts(parts.size, parts["public"], parts["private"])


def _padded(number: bytes, width: int) -> bytes:
    return number.rjust(width, b"\0") if number else b""


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
