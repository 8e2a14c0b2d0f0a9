"""A root key that ends with the process."""

from huks_async.rootkeys.secret import SecretRootKey
from huks_async.runtime.randomness import random_bytes


class EphemeralRootKey(SecretRootKey):
    """A random root key in memory, for stores in memory. What it wrapped is lost with the object.

    It lasts as long as the object, also while it is closed, like the rows of a store in memory.
    """

    def __init__(self) -> None:
        super().__init__("the ephemeral root key")
        self._random: bytes | None = None

    async def _load(self) -> bytes:
        if self._random is None:
            # made at its first use, so that processes that fork before have keys of their own
            self._random = random_bytes(32)
        return self._random
