"""What root keys answer, checked before a store depends on it: they may be an application's own."""

from collections.abc import Awaitable
from typing import TypeVar

import anyio

from huks_async.model.errors import BusinessError
from huks_async.model.params import as_buffer
from huks_async.rootkeys.base import KEY_SIZE, RootKey
from huks_async.runtime.cancellation import past_cancellations, raise_unless_failures, raise_unless_foreign

T = TypeVar("T")

_MOST_WRAPPED = 65_535


async def open_key(root_key: RootKey, *, new: bool = True) -> None:
    """Have a root key opened.

    Raises:
        BusinessError: what the root key raises; 12000004 if it meets a cancellation that is not the caller's.

    """
    await _answer(root_key, "open", root_key.open() if new else root_key.open(new=False))


async def close_key(root_key: RootKey) -> None:
    """Have a root key closed.

    Raises:
        BusinessError: what the root key raises; 12000004 if it meets a cancellation that is not the caller's.

    """
    await _answer(root_key, "aclose", root_key.aclose())


async def wrap_key(root_key: RootKey, key: bytes) -> bytes:
    """Have a root key wrap a key.

    Raises:
        BusinessError: what the root key raises; 12000004 if it does not give 1 to 65,535 bytes, or meets a
            cancellation that is not the caller's.

    """
    answer = await _answer(root_key, "wrap", root_key.wrap(key))
    return _checked(root_key, "wrap", answer, 1, _MOST_WRAPPED)


async def unwrap_key(root_key: RootKey, wrapped: bytes, *, anew: bool = False) -> bytes:
    """Have a root key unwrap a key.

    Args:
        root_key: the root key.
        wrapped: what it gave for the key.
        anew: whether the root key is to be read again for this, where that is possible.

    Raises:
        BusinessError: what the root key raises; 12000004 if it does not give 32 bytes, or meets a cancellation that
            is not the caller's.

    """
    method = "unwrap_anew" if anew else "unwrap"
    answer = await _answer(
        root_key, method, root_key.unwrap_anew(wrapped) if anew else root_key.unwrap(wrapped)
    )
    return _checked(root_key, method, answer, KEY_SIZE, KEY_SIZE)


async def _answer(root_key: RootKey, method: str, answer: Awaitable[T]) -> T:
    # looked up before it is needed: no loop can tell it if the garbage collector ends this task later
    cancelled, since = anyio.get_cancelled_exc_class(), past_cancellations()
    try:
        return await answer
    except cancelled as error:
        await raise_unless_foreign(error, since)
        raise _not_ours(root_key, method) from error
    except BaseExceptionGroup as error:
        await raise_unless_failures(error, since)
        if isinstance(error, Exception):
            raise
        raise _not_ours(root_key, method) from error


def _not_ours(root_key: RootKey, method: str) -> BusinessError:
    who = f"{type(root_key).__name__}.{method}"
    return BusinessError(12000004, f"{who} awaited what somebody else had cancelled")


def _checked(root_key: RootKey, method: str, answer: object, least: int, most: int) -> bytes:
    who = f"{type(root_key).__name__}.{method}"
    try:
        buffer = as_buffer(answer, f"what {who} gave")
    except BusinessError as error:
        raise BusinessError(12000004, error.message) from None
    if not least <= len(buffer) <= most:
        accepted = str(most) if least == most else f"{least} … {most}"
        raise BusinessError(12000004, f"what {who} gave has {len(buffer)} bytes, accepted {accepted}")
    return bytes(buffer)
