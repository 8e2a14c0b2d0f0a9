"""What each function on messages needs of a key: the session that it stands for, or why a key cannot be used.

A function does what a session with these parameters does, so the key authorises it as it authorises the session.
If a key fixes digest, padding or salt, they are taken from it; for those that it leaves open, the defaults are here.
"""

from collections.abc import Mapping
from typing import NamedTuple

from huks_async.model.enums import (
    HuksCipherMode,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyPadding,
    HuksKeyPurpose,
    HuksRsaPssSaltLenType,
)
from huks_async.model.errors import BusinessError
from huks_async.model.tags import HuksTag

_T, _A, _P, _D = HuksTag, HuksKeyAlg, HuksKeyPurpose, HuksKeyDigest
_ALGORITHM, _PURPOSE = int(_T.HUKS_TAG_ALGORITHM), int(_T.HUKS_TAG_PURPOSE)
_DIGEST, _PADDING, _MODE = int(_T.HUKS_TAG_DIGEST), int(_T.HUKS_TAG_PADDING), int(_T.HUKS_TAG_BLOCK_MODE)
_KEY_SIZE, _SALT_TYPE = int(_T.HUKS_TAG_KEY_SIZE), int(_T.HUKS_TAG_RSA_PSS_SALT_LEN_TYPE)
_DERIVED_SIZE = int(_T.HUKS_TAG_DERIVE_KEY_SIZE)
_UNSUPPORTED = 12000003


class Use(NamedTuple):
    """One function.

    Args:
        name: of the function.
        purpose: what the key must be made for.
        algorithms: the algorithms that the key may have.
        wants: the same in words, for the message when another key is given.
    """

    name: str
    purpose: int
    algorithms: frozenset[int]
    wants: str

    @property
    def gives_secret(self) -> bool:
        """Whether it gives out what is derived with the key, which the key may forbid."""
        return self.purpose == _P.HUKS_KEY_PURPOSE_DERIVE


def _use(name: str, purpose: HuksKeyPurpose, algorithms: tuple[HuksKeyAlg, ...], wants: str) -> Use:
    return Use(name, int(purpose), frozenset(map(int, algorithms)), wants)


_SIGNING = (
    _A.HUKS_ALG_RSA,
    _A.HUKS_ALG_ECC,
    _A.HUKS_ALG_DSA,
    _A.HUKS_ALG_ED25519,
    _A.HUKS_ALG_SM2,
    _A.HUKS_ALG_ML_DSA,
)
_SIGNING_WORDS = "a key of RSA, ECC, ED25519, SM2, DSA or ML_DSA made for HUKS_KEY_PURPOSE_"
_MACS = (
    _A.HUKS_ALG_HMAC,
    _A.HUKS_ALG_SM3,
    _A.HUKS_ALG_CMAC,
    _A.HUKS_ALG_AES,
    _A.HUKS_ALG_DES,
    _A.HUKS_ALG_3DES,
)
_DERIVING = (_A.HUKS_ALG_AES, _A.HUKS_ALG_DES, _A.HUKS_ALG_3DES)

SEAL = _use(
    "seal",
    _P.HUKS_KEY_PURPOSE_ENCRYPT,
    (_A.HUKS_ALG_AES, _A.HUKS_ALG_SM4),
    "a key of AES or SM4 made for HUKS_KEY_PURPOSE_ENCRYPT, with HUKS_MODE_GCM or no mode, and no padding other than "
    "HUKS_PADDING_NONE; for somebody's public key there is seal_to",
)
DATA_KEY = SEAL._replace(name="data_key")
SEAL_DETERMINISTIC = _use(
    "seal_deterministic",
    _P.HUKS_KEY_PURPOSE_ENCRYPT,
    (_A.HUKS_ALG_AES,),
    "a key of AES made for HUKS_KEY_PURPOSE_ENCRYPT, with HUKS_MODE_GCM or no mode, and no padding other than "
    "HUKS_PADDING_NONE",
)
UNSEAL = _use(
    "unseal",
    _P.HUKS_KEY_PURPOSE_DECRYPT,
    (_A.HUKS_ALG_AES, _A.HUKS_ALG_SM4),
    "a key of AES or SM4 made for HUKS_KEY_PURPOSE_DECRYPT, with HUKS_MODE_GCM or no mode; a key pair of X25519 or ECC "
    "made for HUKS_KEY_PURPOSE_AGREE, or of ML_KEM made for HUKS_KEY_PURPOSE_UNWRAP",
)
SIGN = _use(
    "sign", _P.HUKS_KEY_PURPOSE_SIGN, _SIGNING, _SIGNING_WORDS + "SIGN; for a shared key there is mac"
)
VERIFY = _use(
    "verify",
    _P.HUKS_KEY_PURPOSE_VERIFY,
    _SIGNING,
    _SIGNING_WORDS + "VERIFY; for a shared key there is check_mac",
)
MAC = _use(
    "mac",
    _P.HUKS_KEY_PURPOSE_MAC,
    _MACS,
    "a key of HMAC, SM3 or CMAC, or of AES (256 bits), DES or 3DES, made for HUKS_KEY_PURPOSE_MAC",
)
CHECK_MAC = MAC._replace(name="check_mac")
DERIVE = _use(
    "derive",
    _P.HUKS_KEY_PURPOSE_DERIVE,
    _DERIVING,
    "a key of AES, DES or 3DES made for HUKS_KEY_PURPOSE_DERIVE",
)

_OPENS_BY_AGREEMENT: dict[int, int] = {
    int(_A.HUKS_ALG_X25519): int(_P.HUKS_KEY_PURPOSE_AGREE),
    int(_A.HUKS_ALG_ECC): int(_P.HUKS_KEY_PURPOSE_AGREE),
    int(_A.HUKS_ALG_ML_KEM): int(_P.HUKS_KEY_PURPOSE_UNWRAP),
}


def opens_by_agreement(key: Mapping[int, int]) -> bool:
    """Whether messages under a key of this algorithm are those of `seal_to`."""
    return key[_ALGORITHM] in _OPENS_BY_AGREEMENT


def opening_call(key: Mapping[int, int]) -> tuple[str, int]:
    """The documented function, and the purpose, that opening a message with this key stands for."""
    purpose = _OPENS_BY_AGREEMENT.get(key[_ALGORITHM], UNSEAL.purpose)
    return "decapsulate" if key[_ALGORITHM] == _A.HUKS_ALG_ML_KEM else "initSession", purpose


def check_private(alias: str, key: Mapping[int, int]) -> None:
    """Check that a key may open messages of `seal_to`.

    Raises:
        BusinessError: 401 for a key of another purpose; 12000003 for another algorithm.
    """
    purpose = _OPENS_BY_AGREEMENT.get(key[_ALGORITHM])
    if purpose is None:
        raise not_served(alias, key, UNSEAL)
    if purpose & ~key[_PURPOSE]:
        raise _not_made_for(alias, UNSEAL, purpose)


def session_numbers(alias: str, key: Mapping[int, int], use: Use, length: int = 0) -> dict[int, int]:
    """The number parameters of the session that a function on this key stands for.

    Args:
        alias: for messages.
        key: number parameters stored with the key.
        use: the function.
        length: how many bytes to derive.

    Raises:
        BusinessError: 12000003 for a key of another algorithm; 401 for one of another purpose.
    """
    algorithm = key[_ALGORITHM]
    if algorithm not in use.algorithms:
        raise not_served(alias, key, use)
    if use.purpose & ~key[_PURPOSE]:
        raise _not_made_for(alias, use, use.purpose)
    numbers = {_ALGORITHM: algorithm, _PURPOSE: use.purpose}
    if use.purpose in (SEAL.purpose, UNSEAL.purpose):
        numbers |= {_MODE: int(HuksCipherMode.HUKS_MODE_GCM), _PADDING: int(HuksKeyPadding.HUKS_PADDING_NONE)}
    elif use.purpose == MAC.purpose:
        numbers |= _of_mac(key)
    elif use.purpose == DERIVE.purpose:
        numbers |= {_ALGORITHM: int(_A.HUKS_ALG_HKDF), _DERIVED_SIZE: length}
        numbers[_DIGEST] = key.get(_DIGEST, int(_D.HUKS_DIGEST_SHA256))
    else:
        numbers |= _of_signature(key)
    return numbers


def _of_signature(key: Mapping[int, int]) -> dict[int, int]:
    algorithm = key[_ALGORITHM]
    if algorithm in (_A.HUKS_ALG_ED25519, _A.HUKS_ALG_ML_DSA):
        return {}
    numbers = {_DIGEST: key.get(_DIGEST, _default_digest(algorithm, key[_KEY_SIZE]))}
    if algorithm == _A.HUKS_ALG_RSA:
        numbers[_PADDING] = key.get(_PADDING, int(HuksKeyPadding.HUKS_PADDING_PSS))
        if numbers[_PADDING] == HuksKeyPadding.HUKS_PADDING_PSS:
            numbers[_SALT_TYPE] = key.get(_SALT_TYPE, int(HuksRsaPssSaltLenType.HUKS_RSA_PSS_SALT_LEN_DIGEST))
    return numbers


def _default_digest(algorithm: int, size: int) -> int:
    if algorithm == _A.HUKS_ALG_SM2:
        return int(_D.HUKS_DIGEST_SM3)
    if algorithm == _A.HUKS_ALG_ECC and size > 256:
        return int(_D.HUKS_DIGEST_SHA384 if size == 384 else _D.HUKS_DIGEST_SHA512)
    return int(_D.HUKS_DIGEST_SHA256)


def _of_mac(key: Mapping[int, int]) -> dict[int, int]:
    algorithm = key[_ALGORITHM]
    if algorithm == _A.HUKS_ALG_CMAC:
        return {_MODE: int(HuksCipherMode.HUKS_MODE_CBC), _PADDING: int(HuksKeyPadding.HUKS_PADDING_NONE)}
    if algorithm == _A.HUKS_ALG_SM3:
        return {_DIGEST: int(_D.HUKS_DIGEST_SM3)}
    return {_ALGORITHM: int(_A.HUKS_ALG_HMAC), _DIGEST: key.get(_DIGEST, int(_D.HUKS_DIGEST_SHA256))}


def not_served(alias: str, key: Mapping[int, int], use: Use) -> BusinessError:
    """The error for a key whose algorithm a function cannot use."""
    return BusinessError(
        _UNSUPPORTED,
        f"{use.name}: key {alias!r} is of {HuksKeyAlg(key[_ALGORITHM]).name}; it takes {use.wants}",
    )


def _not_made_for(alias: str, use: Use, purpose: int) -> BusinessError:
    return BusinessError(
        401,
        f"{use.name}: key {alias!r} was not made for {HuksKeyPurpose(purpose).name}; it takes {use.wants}",
    )


def explained(error: BusinessError, alias: str, use: Use) -> BusinessError:
    """Turn the refusal of a session into that of a function, and add which keys the function takes."""
    return BusinessError(
        error.code,
        f"{use.name} with key {alias!r}: {error.message}; it takes {use.wants}",
        reason=error.reason,
    )
