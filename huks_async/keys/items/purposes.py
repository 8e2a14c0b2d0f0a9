"""Which purposes an imported key may have, by algorithm and by the half that is imported."""

from huks_async.keys.forms.import_params import import_type, required, unsupported
from huks_async.keys.forms.layouts import algorithm_name
from huks_async.model.enums import (
    HuksErrorCode,
    HuksImportKeyType,
    HuksKeyAlg,
    HuksKeyPadding,
    HuksKeyPurpose,
)
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag

_PUBLIC = HuksImportKeyType.HUKS_KEY_TYPE_PUBLIC_KEY
_PRIVATE = HuksImportKeyType.HUKS_KEY_TYPE_PRIVATE_KEY

_RSA = HuksKeyAlg.HUKS_ALG_RSA
_ECC = HuksKeyAlg.HUKS_ALG_ECC
_DSA = HuksKeyAlg.HUKS_ALG_DSA
_SM2 = HuksKeyAlg.HUKS_ALG_SM2
_X25519 = HuksKeyAlg.HUKS_ALG_X25519
_ED25519 = HuksKeyAlg.HUKS_ALG_ED25519
_ML_DSA = HuksKeyAlg.HUKS_ALG_ML_DSA
_ML_KEM = HuksKeyAlg.HUKS_ALG_ML_KEM

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


def check_import_purpose(params: ParamSet) -> None:
    """Check HUKS_TAG_PURPOSE against algorithm and import type, and the padding of RSA public keys.

    Raises:
        BusinessError: 12000002 without purpose or algorithm, 12000003 for a purpose or padding that
            this import does not take.

    """
    algorithm = required(params, HuksTag.HUKS_TAG_ALGORITHM)
    purpose = required(params, HuksTag.HUKS_TAG_PURPOSE)
    kind = import_type(params)
    name = algorithm_name(algorithm)
    if algorithm in _NO_WRAPPING_KEY and purpose & (_WRAP | _UNWRAP):
        raise unsupported(
            f"HUKS_TAG_PURPOSE {purpose}: {name} keys to wrap or unwrap with cannot be imported; generate one",
            HuksErrorCode.HUKS_ERROR_INVALID_PURPOSE,
        )
    accepted = _IMPORT_PURPOSES.get((algorithm, kind))
    if accepted is not None and purpose not in accepted:
        kind_name = "public" if kind == _PUBLIC else "private"
        raise unsupported(
            f"HUKS_TAG_PURPOSE {purpose}: importing a {name} {kind_name} key takes one of {list(accepted)}",
            HuksErrorCode.HUKS_ERROR_INVALID_PURPOSE,
        )
    padding = params.number(HuksTag.HUKS_TAG_PADDING)
    if algorithm == _RSA and kind == _PUBLIC and padding is not None:
        paddings = _RSA_PUBLIC_PADDINGS[purpose]
        if padding not in paddings:
            raise unsupported(
                f"HUKS_TAG_PADDING {padding}: an RSA public key of purpose {purpose} "
                f"takes one of {[int(one) for one in paddings]}",
                HuksErrorCode.HUKS_ERROR_INVALID_PADDING,
            )
