"""Calls of the methods of file objects that an application gives, which may be anything."""

import inspect
from collections.abc import Callable
from typing import Any

from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, as_buffer


def refuse_misfit(
    error: TypeError, method: Callable[..., Any], *args: object, what: str, way_out: str
) -> None:
    """Raise 401 in place of a TypeError if the method takes no such arguments; do nothing if it is the method's own."""
    try:
        signature = inspect.signature(method, follow_wrapped=False)
    except (TypeError, ValueError):  # a built-in one, which may have none
        return
    try:
        signature.bind(*args)
    except TypeError:
        raise BusinessError(401, f"{what} cannot be called as that of a file ({error}); {way_out}") from None


def as_piece(given: Any, source: str) -> BytesLike:
    """What the `read` of a file object gave, as a buffer; 401 for anything else. `source` names the object."""
    if given is None:
        raise BusinessError(401, f"{source}: the file does not wait for data (O_NONBLOCK); make it blocking")
    return as_buffer(given, f"what the {source}'s read gives")
