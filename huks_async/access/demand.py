"""What a key demands before it is used: read from its parameters, and checked when it is made.

The order of checks and the codes are those of the documented tables; the first mistake found decides.
"""

from collections.abc import Mapping
from typing import NamedTuple

from huks_async.access.tokens import COAUTH as COAUTH_TOKEN
from huks_async.access.tokens import LOCAL as LOCAL_TOKEN
from huks_async.access.tokens import RESIGNED as RESIGNED_TOKEN
from huks_async.model.enums import (
    HuksAuthAccessType,
    HuksChallengeType,
    HuksCipherMode,
    HuksErrorCode,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyPurpose,
    HuksSecureSignType,
    HuksUserAuthMode,
    HuksUserAuthType,
)
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag, InnerTag

_T, _I = HuksTag, InnerTag
_NO_AUTH, _AUTH_TYPE, _ATL = (
    int(_T.HUKS_TAG_NO_AUTH_REQUIRED),
    int(_T.HUKS_TAG_USER_AUTH_TYPE),
    int(_I.USER_AUTH_TYPE_ATL),
)
_ACCESS, _CHALLENGE, _TIMEOUT = (
    int(_T.HUKS_TAG_KEY_AUTH_ACCESS_TYPE),
    int(_T.HUKS_TAG_CHALLENGE_TYPE),
    int(_T.HUKS_TAG_AUTH_TIMEOUT),
)
_SECURE_SIGN, _AUTH_PURPOSE, _MODE = (
    int(_T.HUKS_TAG_KEY_SECURE_SIGN_TYPE),
    int(_T.HUKS_TAG_KEY_AUTH_PURPOSE),
    int(_T.HUKS_TAG_USER_AUTH_MODE),
)
_PURPOSE, _ALGORITHM, _BLOCK_MODE, _DIGEST = (
    int(_T.HUKS_TAG_PURPOSE),
    int(_T.HUKS_TAG_ALGORITHM),
    int(_T.HUKS_TAG_BLOCK_MODE),
    int(_T.HUKS_TAG_DIGEST),
)
_PASSWORD, _BATCH = int(_T.HUKS_TAG_IS_DEVICE_PASSWORD_SET), int(_I.BATCH_PURPOSE)
_ALLOWED_WRAP = int(_T.HUKS_TAG_IS_ALLOWED_WRAP)
_SIGN = int(HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN)
_NO_DIGEST = int(HuksKeyDigest.HUKS_DIGEST_NONE)
# the algorithms whose signatures are over a hash value
_HASHED = (
    HuksKeyAlg.HUKS_ALG_RSA,
    HuksKeyAlg.HUKS_ALG_ECC,
    HuksKeyAlg.HUKS_ALG_DSA,
    HuksKeyAlg.HUKS_ALG_SM2,
)

FINGERPRINT, FACE, PIN, TUI_PIN = (int(member) for member in HuksUserAuthType)
CLEAR_PASSWORD, NEW_BIO_ENROLL, ALWAYS_VALID = (int(member) for member in HuksAuthAccessType)
NORMAL, CUSTOM, NONE = (int(member) for member in HuksChallengeType)
COAUTH = int(HuksUserAuthMode.HUKS_USER_AUTH_MODE_COAUTH)

MAX_TIMEOUT = 216_000
DEFAULT_TIMEOUT = 3

_AUTH_TYPES = (1, 2, 4, 5, 6, 3, 7, 32, 33, 34, 35)
_BIOMETRIC_ACCESS = (NEW_BIO_ENROLL, CLEAR_PASSWORD, ALWAYS_VALID)
_ACCESS_OF = {
    FACE: _BIOMETRIC_ACCESS,
    FINGERPRINT: _BIOMETRIC_ACCESS,
    PIN: (CLEAR_PASSWORD, ALWAYS_VALID),
}

_P, _M = HuksKeyPurpose, HuksCipherMode
_CIPHER = (1, 2, 3)
_WIDER = (*_CIPHER, int(_P.HUKS_KEY_PURPOSE_DERIVE), int(_P.HUKS_KEY_PURPOSE_MAC))
# what symmetric keys may be used for if single purposes have demands: algorithm → purposes, modes
_REFINED: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    HuksKeyAlg.HUKS_ALG_AES: (_WIDER, (_M.HUKS_MODE_CBC, _M.HUKS_MODE_GCM, _M.HUKS_MODE_CCM)),
    HuksKeyAlg.HUKS_ALG_DES: (_WIDER, (_M.HUKS_MODE_CBC, _M.HUKS_MODE_ECB)),
    HuksKeyAlg.HUKS_ALG_3DES: (_WIDER, (_M.HUKS_MODE_CBC, _M.HUKS_MODE_ECB)),
    HuksKeyAlg.HUKS_ALG_SM4: (_CIPHER, (_M.HUKS_MODE_CBC,)),
}


class Demand(NamedTuple):
    """What a key demands.

    Attributes:
        auth_type: the credential types, any one of which unlocks the key; 0: it names none.
        trust_level: the lowest level of trust, 1 to 4; 0: any.
        access_type: what makes the key void.
        challenge_type: how a token is bound to a session.
        timeout: seconds, for keys without a challenge.
        purposes: the purposes that need a token; None: all.
        secure_sign: whether signatures name who was authenticated.
        coauth: whether tokens of other devices are accepted.
        password: whether the key is usable only while its user has a PIN.
        batch: the purposes that a batch session may have; 0: none.
    """

    auth_type: int
    trust_level: int
    access_type: int
    challenge_type: int
    timeout: int
    purposes: int | None
    secure_sign: bool
    coauth: bool
    password: bool
    batch: int

    @property
    def needs_user(self) -> bool:
        """Whether the key demands an authenticated user at all."""
        return bool(self.auth_type or self.trust_level)

    def needs_token(self, purposes: int) -> bool:
        """Whether a session for any of these purposes needs a token."""
        if not self.needs_user:
            return False
        return self.purposes is None or bool(purposes & self.purposes)

    def check_token_type(self, token_type: int) -> None:
        """Refuse (12000001) tokens of a type that the key does not take; keys with a trust level take any."""
        if self.trust_level or token_type in (LOCAL_TOKEN, RESIGNED_TOKEN):
            return
        if token_type != COAUTH_TOKEN:
            raise BusinessError(12000001, f"the auth token has type {token_type}, known are 0, 1 and 2")
        if not self.coauth:
            raise BusinessError(
                12000001,
                "the auth token is of another device, and the key takes such ones only if it was made with "
                "HUKS_TAG_USER_AUTH_MODE = HUKS_USER_AUTH_MODE_COAUTH",
            )


def demand_of(numbers: Mapping[int, int]) -> Demand | None:
    """What a key with these parameters demands; None for an ordinary key, which demands nothing."""
    password, batch = bool(numbers.get(_PASSWORD)), numbers.get(_BATCH, 0)
    if is_bound(numbers):
        return Demand(
            numbers.get(_AUTH_TYPE, 0),
            numbers.get(_ATL, 0),
            numbers.get(_ACCESS, 0),
            numbers.get(_CHALLENGE, NORMAL),
            numbers.get(_TIMEOUT, DEFAULT_TIMEOUT),
            numbers.get(_AUTH_PURPOSE),
            _SECURE_SIGN in numbers,
            numbers.get(_MODE) == COAUTH,
            password,
            batch,
        )
    if password or batch:
        return Demand(0, 0, 0, NORMAL, 0, None, False, False, password, batch)
    return None


def is_bound(numbers: Mapping[int, int]) -> bool:
    """Whether parameters bind a key to a user's authentication."""
    return not numbers.get(_NO_AUTH) and (_AUTH_TYPE in numbers or _ATL in numbers)


def check_ml_kem(numbers: Mapping[int, int]) -> None:
    """Refuse ML-KEM keys with demands (12000018), because their functions take no auth token."""
    if numbers.get(_ALGORITHM) != HuksKeyAlg.HUKS_ALG_ML_KEM:
        return
    given = [tag for tag in (_ACCESS, _CHALLENGE) if tag in numbers]
    if not numbers.get(_NO_AUTH):
        given += [tag for tag in (_AUTH_TYPE, _ATL) if tag in numbers]
    if given:
        raise BusinessError(
            12000018, f"{_name(given[0])}: keys of HUKS_ALG_ML_KEM take no user authentication"
        )


def check_demand(params: ParamSet) -> Demand | None:
    """Check the parameters of a new key that bind it to a user; None for a key that is not bound.

    Raises:
        BusinessError: 401 for a missing tag or a value that does not exist; 12000003 for purposes that the key does
            not have; 12000001 for what cannot be combined; 12000012 for a key that could be wrapped, because a
            wrapped key would escape the user it is bound to.
    """
    numbers = params.numbers
    if not is_bound(numbers):
        if _SECURE_SIGN in numbers:
            _check_secure_sign(numbers)
            raise BusinessError(
                12000001,
                "HUKS_TAG_KEY_SECURE_SIGN_TYPE: the key asks for no credential (HUKS_TAG_USER_AUTH_TYPE), so there is "
                "nobody whom its signatures could name",
            )
        return None
    for tag in (_ACCESS, _CHALLENGE):
        if tag not in numbers:
            raise BusinessError(401, f"{_name(tag)} is missing: a key with user authentication needs it")
    auth_type, level = numbers.get(_AUTH_TYPE), numbers.get(_ATL)
    if auth_type is not None and auth_type not in _AUTH_TYPES:
        raise _illegal(_AUTH_TYPE, auth_type, _AUTH_TYPES)
    if level is not None and not 1 <= level <= 4:
        raise _illegal(_ATL, level, (1, 2, 3, 4))
    challenge = numbers[_CHALLENGE]
    if challenge not in (NORMAL, CUSTOM, NONE):
        raise _illegal(_CHALLENGE, challenge, (NORMAL, CUSTOM, NONE))
    _check_access_type(numbers[_ACCESS], auth_type)
    seconds = numbers.get(_TIMEOUT)
    if challenge == NONE and seconds is not None and not 0 < seconds <= MAX_TIMEOUT:
        raise BusinessError(401, f"HUKS_TAG_AUTH_TIMEOUT: got {seconds}, accepted 1 … {MAX_TIMEOUT} seconds")
    _check_secure_sign(numbers)
    _check_refined(numbers, numbers.get(_PURPOSE, 0))
    _check_combination(numbers, auth_type)
    return demand_of(numbers)


def _check_access_type(access: int, auth_type: int | None) -> None:
    if auth_type is None:
        legal = access in (CLEAR_PASSWORD, NEW_BIO_ENROLL, CLEAR_PASSWORD | NEW_BIO_ENROLL, ALWAYS_VALID)
    elif auth_type & TUI_PIN or access & ALWAYS_VALID:
        legal = access == ALWAYS_VALID
    else:
        effective = 0
        for credential, permitted in _ACCESS_OF.items():
            if auth_type & credential:
                effective |= next((one for one in permitted if one & access), 0)
        legal = effective == access != 0
    if not legal:
        raise BusinessError(
            401,
            f"HUKS_TAG_KEY_AUTH_ACCESS_TYPE: got {access}, which does not go with HUKS_TAG_USER_AUTH_TYPE "
            f"{auth_type}; 4 (always valid) does, 1 (until the PIN is cleared) without TUI PIN, 2 (until a new "
            "enrolment) with fingerprint or face, 3 with a PIN and one of these",
        )


def _check_secure_sign(numbers: Mapping[int, int]) -> None:
    kind = numbers.get(_SECURE_SIGN)
    if kind is None:
        return
    if kind != HuksSecureSignType.HUKS_SECURE_SIGN_WITH_AUTHINFO:
        raise _illegal(_SECURE_SIGN, kind, (1,))
    if not numbers.get(_PURPOSE, 0) & _SIGN:
        raise BusinessError(401, "HUKS_TAG_KEY_SECURE_SIGN_TYPE is for keys whose HUKS_TAG_PURPOSE has SIGN")
    if numbers.get(_BATCH, 0) & _SIGN:
        # A signature over whatever the caller gives could be given out as one that names somebody.
        raise BusinessError(
            12000001,
            "HUKS_TAG_KEY_SECURE_SIGN_TYPE: signatures of a batch session name nobody; leave SIGN out of "
            "BATCH_PURPOSE (313)",
        )
    refuse_bare_digest(numbers)


def refuse_bare_digest(numbers: Mapping[int, int]) -> None:
    """Refuse (12000001) signatures that name somebody where data is taken for a hash value.

    Of a hash value that is longer than the curve, ECDSA and DSA sign the beginning alone. Here that is the prefix and
    a few bytes of the data, so the signature would do for other data, too.
    """
    if numbers.get(_ALGORITHM) in _HASHED and numbers.get(_DIGEST) == _NO_DIGEST:
        raise BusinessError(
            12000001,
            "HUKS_TAG_DIGEST: HUKS_DIGEST_NONE takes data for a hash value, and what is signed with "
            "HUKS_TAG_KEY_SECURE_SIGN_TYPE is none: the data with 24 bytes before it; name a digest, and give the "
            "message",
        )


def _check_refined(numbers: Mapping[int, int], purposes: int) -> None:
    refined = numbers.get(_AUTH_PURPOSE)
    if refined is None:
        return
    if refined == 0 or refined & ~purposes:
        raise BusinessError(
            12000003,
            f"HUKS_TAG_KEY_AUTH_PURPOSE: got {refined}, accepted are purposes of the key, HUKS_TAG_PURPOSE {purposes}",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_PURPOSE,
        )
    check_refined_values(numbers)


def check_refined_values(numbers: Mapping[int, int]) -> None:
    """Refuse symmetric algorithms, purposes and modes that cannot have demands for single purposes: 12000001."""
    row = _REFINED.get(numbers.get(_ALGORITHM, 0))
    if row is None:
        return
    for tag, accepted in zip((_PURPOSE, _BLOCK_MODE), row, strict=True):
        value = numbers.get(tag)
        if value is None:
            return
        if value not in accepted:
            raise BusinessError(
                12000001,
                f"{_name(tag)}: got {value}; with HUKS_TAG_KEY_AUTH_PURPOSE this algorithm takes "
                + ", ".join(str(int(one)) for one in accepted),
            )


def _check_combination(numbers: Mapping[int, int], auth_type: int | None) -> None:
    access = numbers[_ACCESS]
    if access != ALWAYS_VALID and numbers.get(_ALLOWED_WRAP):
        raise BusinessError(
            12000012,
            "HUKS_TAG_IS_ALLOWED_WRAP: a key that becomes void with a credential (HUKS_TAG_KEY_AUTH_ACCESS_TYPE "
            f"{access}) must not be wrapped; 4 (always valid) goes with it",
        )
    if auth_type is None and access & NEW_BIO_ENROLL:
        raise BusinessError(
            12000001,
            f"HUKS_TAG_KEY_AUTH_ACCESS_TYPE: got {access}, but a key with a trust level alone names no credential whose "
            "new enrolment could void it",
        )
    if auth_type is None and _SECURE_SIGN in numbers:
        raise BusinessError(12000001, "HUKS_TAG_KEY_SECURE_SIGN_TYPE needs HUKS_TAG_USER_AUTH_TYPE")
    mode = numbers.get(_MODE, 0)
    if mode not in (0, COAUTH):
        raise _illegal(_MODE, mode, (0, COAUTH))


def _illegal(tag: int, value: int, accepted: tuple[int, ...]) -> BusinessError:
    return BusinessError(401, f"{_name(tag)}: got {value}, accepted {', '.join(map(str, accepted))}")


def _name(tag: int) -> str:
    try:
        return HuksTag(tag).name
    except ValueError:
        return InnerTag(tag).name
