"""What root keys answer, checked before a store depends on it: they may be an application's own."""

from huks_async.model.errors import BusinessError
from huks_async.model.params import as_buffer
from huks_async.rootkeys.base import KEY_SIZE, RootKey

_MOST_WRAPPED = 65_535


async def wrap_key(root_key: RootKey, key: bytes) -> bytes:
    """Have a root key wrap a key.

    Raises:
        BusinessError: what the root key raises; 12000004 if it does not give 1 to 65,535 bytes.

    """
    return _checked(root_key, "wrap", await root_key.wrap(key), 1, _MOST_WRAPPED)


async def unwrap_key(root_key: RootKey, wrapped: bytes) -> bytes:
    """Have a root key unwrap a key.

    Raises:
        BusinessError: what the root key raises; 12000004 if it does not give 32 bytes.

    """
    return _checked(root_key, "unwrap", await root_key.unwrap(wrapped), KEY_SIZE, KEY_SIZE)


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
