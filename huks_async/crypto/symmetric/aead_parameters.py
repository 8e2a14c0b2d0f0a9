"""What GCM and CCM share, under AES and SM4: their parameters and the mistakes in them."""

from huks_async.model.enums import HuksErrorCode, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.tags import HuksTag

ENCRYPT = int(HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT)
NONCE = int(HuksTag.HUKS_TAG_NONCE)
AAD = int(HuksTag.HUKS_TAG_ASSOCIATED_DATA)
"""Associated data; parsing puts HUKS_TAG_AAD here too."""
TAG = int(HuksTag.HUKS_TAG_AE_TAG)
TAG_LENGTH = int(HuksTag.HUKS_TAG_AE_TAG_LEN)
FULL_TAG = 16


def bad_tag_length(length: int, what: str, accepted: str) -> BusinessError:
    """HUKS_TAG_AE_TAG_LEN asks for a length that the mode does not have."""
    return BusinessError(
        12000003,
        f"HUKS_TAG_AE_TAG_LEN is {length} bytes; {what} takes {accepted}, and {FULL_TAG} when absent",
        reason=HuksErrorCode.HUKS_ERROR_INVALID_AE_TAG,
    )


def wrong_tag_length(length: int, expected: int) -> BusinessError:
    """HUKS_TAG_AE_TAG has another length than it should."""
    return BusinessError(
        12000018,
        f"HUKS_TAG_AE_TAG has {length} bytes; expected are {expected} (HUKS_TAG_AE_TAG_LEN, {FULL_TAG} when absent)",
        reason=HuksErrorCode.HUKS_ERROR_INVALID_AE_TAG,
    )


def not_authentic() -> BusinessError:
    """The tag does not verify; for which cause must not be told."""
    return BusinessError(12000006, "ciphertext, tag, nonce, associated data and key do not belong together")
