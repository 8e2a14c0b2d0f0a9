"""Attributes of keys that need more than the engine: a secure element, a provider, a group.

An attribute that cannot be honoured is refused with its documented code, so that nothing is stored that would
not be enforced.
"""

from huks_async.model.enums import HuksKeyGenerateType, HuksKeySecurityLevel, HuksKeyStorageType
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag, InnerTag

_T = HuksTag

# attributes that describe one call and not the key
_NOT_STORED = frozenset(
    {
        _T.HUKS_TAG_KEY_OVERRIDE,
        _T.HUKS_TAG_AUTH_TOKEN,
        InnerTag.SPECIFIC_USER_ID,
    }
)


def check_attributes(params: ParamSet) -> None:
    """Refuse attributes of a new key that cannot be honoured here.

    Raises:
        BusinessError: 12000001 for a secure element and an external provider; 401 for values that these tags
            never take.
    """
    numbers = params.numbers
    level = numbers.get(_T.HUKS_TAG_KEY_SECURITY_LEVEL, HuksKeySecurityLevel.HUKS_KEY_SECURITY_LEVEL_TEE)
    if level == HuksKeySecurityLevel.HUKS_KEY_SECURITY_LEVEL_SE:
        raise _unsupported("HUKS_TAG_KEY_SECURITY_LEVEL: there is no secure element; leave the tag out")
    if level != HuksKeySecurityLevel.HUKS_KEY_SECURITY_LEVEL_TEE:
        raise BusinessError(401, f"HUKS_TAG_KEY_SECURITY_LEVEL: got {level}, accepted 0")
    if numbers.get(_T.HUKS_TAG_KEY_CLASS, 0):
        raise _unsupported(
            "HUKS_TAG_KEY_CLASS: keys of external providers are made by generateKeyItem; leave the tag out"
        )


def check_generation(params: ParamSet) -> None:
    """Refuse temporary keys (401): there are none."""
    flag = params.numbers.get(_T.HUKS_TAG_KEY_STORAGE_FLAG)
    if flag == HuksKeyStorageType.HUKS_STORAGE_TEMP:
        raise BusinessError(
            401,
            "HUKS_TAG_KEY_STORAGE_FLAG: got HUKS_STORAGE_TEMP; key items are persistent, leave the tag out",
        )


def check_way(params: ParamSet) -> None:
    """Refuse to generate a key from another one (12000001).

    Only generation asks: where the result of an agreement or derivation is stored, the tag says what is true,
    and an import does not look at it.
    """
    way = params.numbers.get(_T.HUKS_TAG_KEY_GENERATE_TYPE, 0)
    if way != HuksKeyGenerateType.HUKS_KEY_GENERATE_TYPE_DEFAULT:
        raise _unsupported(
            "HUKS_TAG_KEY_GENERATE_TYPE: keys are derived and agreed in sessions, with the result stored "
            "by HUKS_TAG_DERIVED_AGREED_KEY_STORAGE_FLAG at finish"
        )


def stored_params(params: ParamSet, flag: int, bound: ParamSet) -> ParamSet:
    """The parameters that are stored with a new key: its attributes, its origin, and the user it is bound to."""
    numbers = {tag: value for tag, value in params.numbers.items() if tag not in _NOT_STORED}
    numbers[int(_T.HUKS_TAG_KEY_FLAG)] = flag
    blobs = {tag: value for tag, value in params.blobs.items() if tag not in _NOT_STORED}
    return ParamSet(numbers | bound.numbers, blobs | bound.blobs)


def may_override(params: ParamSet) -> bool:
    """Whether an existing key of the same alias may be replaced (the default)."""
    return bool(params.numbers.get(_T.HUKS_TAG_KEY_OVERRIDE, True))


def _unsupported(message: str) -> BusinessError:
    return BusinessError(12000001, message)
