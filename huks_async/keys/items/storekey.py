"""The key of a store: 32 random bytes that the store keeps, wrapped by the root key."""

from collections.abc import Callable

from huks_async.model.errors import BusinessError
from huks_async.rootkeys import RootKey
from huks_async.rootkeys.answers import open_key, unwrap_key, wrap_key
from huks_async.rootkeys.base import KEY_SIZE
from huks_async.runtime.randomness import random_bytes
from huks_async.stores import Store
from huks_async.stores.base import STORE_KEY


async def open_store_key(
    store: Store, root_key: RootKey, *, random: Callable[[int], bytes] = random_bytes
) -> bytes:
    """Give the key of a store, 32 bytes; one is made if the store has none.

    If several processes create the same store at once, all of them get the same key.

    Args:
        store: an open store.
        root_key: the root key that the store was, or is to be, made with.
        random: returns the given number of random bytes.

    Raises:
        BusinessError: 12000012 when this is not the root key of the store; 12000004 when the store or
            the root key cannot be read.

    """
    wrapped = await store.get_meta(STORE_KEY)
    if wrapped is None and not await store.is_empty():
        # The key of a store comes before its first item. Another process may have made both since the first look.
        wrapped = await store.get_meta(STORE_KEY)
        if wrapped is None:
            raise BusinessError(
                12000012,
                f"the store {store.address} has keys, but the key that they are sealed under is missing; "
                "restore the store from a backup",
            )
    if wrapped is None:
        await open_key(root_key)
        wrapped = await store.put_meta(STORE_KEY, await wrap_key(root_key, random(KEY_SIZE)))
    else:
        # A new root key cannot be the one that this store was made with, so none may be made here.
        await open_key(root_key, new=False)
    return await unwrap_store_key(store, root_key, wrapped)


async def rewrap_store_key(store: Store, old: RootKey, new: RootKey) -> None:
    """Change the root key of a store. Its items stay as they are.

    Raises:
        BusinessError: 12000012 when `old` is not the root key of the store; 12000011 when the store has no
            key yet; 12000004 when the store or a root key cannot be read.

    """
    wrapped = await store.get_meta(STORE_KEY)
    if wrapped is None:
        raise BusinessError(
            12000011, f"the store {store.address} has no key yet; open a keystore on it first"
        )
    await store.replace_meta(STORE_KEY, await wrap_key(new, await unwrap_store_key(store, old, wrapped)))


async def unwrap_store_key(store: Store, root_key: RootKey, wrapped: bytes, *, anew: bool = False) -> bytes:
    """Give the key of a store from its wrapped form; `anew`: by a root key that is read again. Errors as `open_store_key`."""
    try:
        return await unwrap_key(root_key, wrapped, anew=anew)
    except BusinessError as error:
        if error.code != 12000012:
            raise
        raise BusinessError(
            12000012, f"the store {store.address} cannot be opened: {error.message}"
        ) from error
