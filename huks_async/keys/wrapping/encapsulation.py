"""Key encapsulation with stored ML-KEM keys: the checks, and where the secret goes."""

from huks_async.crypto.key_material import SYMMETRIC_ALGORITHMS
from huks_async.keys.items.item import KeyItem
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, ParamSet
from huks_async.model.tags import HuksTag

SECRET_BITS = 256
"""Of every shared secret of ML-KEM (FIPS 203)."""

_ALGORITHM = HuksTag.HUKS_TAG_ALGORITHM
_KEY_SIZE = HuksTag.HUKS_TAG_KEY_SIZE
_MISSING, _UNSUPPORTED = 12000002, 12000003


def encapsulate(item: KeyItem, params: ParamSet) -> tuple[bytes, bytes]:
    """Make a secret for the holder of the private half: (ciphertext, secret).

    Raises:
        BusinessError: 12000002 without ALGORITHM; 12000003 for another one than ML_KEM, or a key whose
            purposes lack WRAP.
    """
    _check_call(item, params, HuksKeyPurpose.HUKS_KEY_PURPOSE_WRAP)
    from huks_async.crypto.postquantum import mlkem  # late, as all families are

    return mlkem.encapsulate(item.ready)


def decapsulate(item: KeyItem, params: ParamSet, ciphertext: BytesLike) -> bytes:
    """Give the secret in a ciphertext; a different one where the ciphertext was changed.

    Raises:
        BusinessError: as `encapsulate`, for the purpose UNWRAP; 401 for a key without its private half,
            12000018 for a ciphertext of another length.
    """
    _check_call(item, params, HuksKeyPurpose.HUKS_KEY_PURPOSE_UNWRAP)
    from huks_async.crypto.postquantum import mlkem

    return mlkem.decapsulate(item.ready, ciphertext)


def check_secret_params(params: ParamSet) -> None:
    """Check what a secret is to become before it is made.

    Raises:
        BusinessError: 12000002 without KEY_SIZE, 12000003 for another one than 256 or an algorithm that
            is not symmetric.
    """
    size = params.number(_KEY_SIZE)
    if size is None:
        raise BusinessError(
            _MISSING,
            f"HUKS_TAG_KEY_SIZE is missing in sharedKeyParams: the shared secret has {SECRET_BITS} bits",
            reason=HuksErrorCode.HUKS_ERROR_CHECK_GET_KEY_SIZE_FAIL,
        )
    if size != SECRET_BITS:
        raise BusinessError(
            _UNSUPPORTED,
            f"HUKS_TAG_KEY_SIZE in sharedKeyParams: got {size}, the shared secret has {SECRET_BITS} bits",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_KEY_SIZE,
        )
    algorithm = params.number(_ALGORITHM)
    if algorithm is not None and algorithm not in SYMMETRIC_ALGORITHMS:
        raise BusinessError(
            _UNSUPPORTED,
            f"HUKS_TAG_ALGORITHM in sharedKeyParams: got {algorithm}; a shared secret becomes a symmetric key, "
            "e.g. HUKS_ALG_AES",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_ALGORITHM,
        )


def _check_call(item: KeyItem, params: ParamSet, purpose: HuksKeyPurpose) -> None:
    algorithm = params.number(_ALGORITHM)
    if algorithm is None:
        raise BusinessError(_MISSING, "HUKS_TAG_ALGORITHM is missing; give HUKS_ALG_ML_KEM")
    if algorithm != HuksKeyAlg.HUKS_ALG_ML_KEM:
        raise BusinessError(
            _UNSUPPORTED, f"HUKS_TAG_ALGORITHM: got {algorithm}, accepted HUKS_ALG_ML_KEM (200)"
        )
    if item.material.algorithm != HuksKeyAlg.HUKS_ALG_ML_KEM:
        raise BusinessError(
            _UNSUPPORTED,
            f"key {item.alias!r} is of algorithm {item.material.algorithm}; secrets are encapsulated with "
            "keys of HUKS_ALG_ML_KEM",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_ALGORITHM,
        )
    purposes = item.params.numbers.get(HuksTag.HUKS_TAG_PURPOSE, 0)
    if not purposes & purpose:
        raise BusinessError(
            _UNSUPPORTED,
            f"key {item.alias!r} has HUKS_TAG_PURPOSE {purposes}, which lacks {purpose.name} ({purpose})",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_PURPOSE,
        )
