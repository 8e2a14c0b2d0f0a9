"""What a key in a token cannot be protected by: its token has a PIN, and knows none of HUKS's conditions of use."""

from collections.abc import Collection
from typing import Any

from huks_async.model.errors import BusinessError
from huks_async.model.tags import HuksTag, InnerTag

_CONDITIONS = (
    HuksTag.HUKS_TAG_USER_AUTH_TYPE,
    HuksTag.HUKS_TAG_AUTH_TIMEOUT,
    HuksTag.HUKS_TAG_KEY_AUTH_ACCESS_TYPE,
    HuksTag.HUKS_TAG_KEY_SECURE_SIGN_TYPE,
    HuksTag.HUKS_TAG_CHALLENGE_TYPE,
    HuksTag.HUKS_TAG_CHALLENGE_POS,
    HuksTag.HUKS_TAG_KEY_AUTH_PURPOSE,
    HuksTag.HUKS_TAG_USER_AUTH_MODE,
    HuksTag.HUKS_TAG_KEY_ACCESS_GROUP,
    InnerTag.BATCH_PURPOSE,
    InnerTag.BATCH_OPERATION_TIMEOUT,
    InnerTag.USER_AUTH_TYPE_ATL,
)
_ASKED_FOR_BY_TRUE = (HuksTag.HUKS_TAG_IS_DEVICE_PASSWORD_SET, InnerTag.IS_BATCH_OPERATION)


def refuse_protection(numbers: dict[int, Any], blobs: Collection[int]) -> None:
    """Refuse parameters that nobody would keep for a key in a token, so that no key looks safer than it is.

    Raises:
        BusinessError: 12000001 for a condition of use, an access group or a batch session.
    """
    asked = [tag for tag in _CONDITIONS if tag in numbers or tag in blobs]
    asked += [tag for tag in _ASKED_FOR_BY_TRUE if numbers.get(tag)]
    if asked:
        raise BusinessError(
            12000001,
            f"{', '.join(tag.name for tag in asked)}: the keys of a PKCS#11 token are protected by its PIN and by "
            "their purposes alone; leave the parameter out, or keep the key in the keystore",
        )
