"""The parameters that tell an import what its bytes are."""

from huks_async.model.enums import HuksErrorCode, HuksImportKeyType
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag

_MISSING = 12000002
_UNSUPPORTED = 12000003

_REASONS = {
    HuksTag.HUKS_TAG_ALGORITHM: HuksErrorCode.HUKS_ERROR_CHECK_GET_ALG_FAIL,
    HuksTag.HUKS_TAG_KEY_SIZE: HuksErrorCode.HUKS_ERROR_CHECK_GET_KEY_SIZE_FAIL,
    HuksTag.HUKS_TAG_PURPOSE: HuksErrorCode.HUKS_ERROR_CHECK_GET_PURPOSE_FAIL,
}


def import_type(params: ParamSet) -> int:
    """HUKS_TAG_IMPORT_KEY_TYPE, whose default is a public (or symmetric) key."""
    given = params.number(HuksTag.HUKS_TAG_IMPORT_KEY_TYPE)
    return int(HuksImportKeyType.HUKS_KEY_TYPE_PUBLIC_KEY) if given is None else given


def required(params: ParamSet, tag: HuksTag) -> int:
    """The number under `tag`.

    Raises:
        BusinessError: 12000002 where it is missing.

    """
    value = params.number(tag)
    if value is None:
        raise BusinessError(_MISSING, f"{tag.name} is missing; an import needs it", reason=_REASONS.get(tag))
    return value


def unsupported(message: str, reason: HuksErrorCode) -> BusinessError:
    """The error of a parameter's value that an import does not take: 12000003."""
    return BusinessError(_UNSUPPORTED, message, reason=reason)
