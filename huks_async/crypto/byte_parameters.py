"""Byte parameters of one call: whether they are there, and not empty."""

from collections.abc import Mapping

from huks_async.model.enums import HuksErrorCode
from huks_async.model.errors import BusinessError
from huks_async.model.params import tag_name

_ILLEGAL = 401


def optional(blobs: Mapping[int, bytes], tag: int) -> bytes | None:
    """The bytes under `tag`, or None; 401 for a parameter of no bytes at all."""
    value = blobs.get(tag)
    if value is not None and not value:
        raise BusinessError(_ILLEGAL, f"{tag_name(tag)} has 0 bytes; leave the tag out or give it a value")
    return value


def required(blobs: Mapping[int, bytes], tag: int, what: str) -> bytes:
    """The bytes under `tag`; 401 where they are absent or empty. `what` says who needs them."""
    value = optional(blobs, tag)
    if value is None:
        raise BusinessError(
            _ILLEGAL,
            f"{tag_name(tag)} is absent; {what} needs it",
            reason=HuksErrorCode.HUKS_ERROR_PARAM_NOT_EXIST,
        )
    return value
