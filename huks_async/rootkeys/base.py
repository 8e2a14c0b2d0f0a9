"""The RootKey protocol: what protects the key of a store.

A store keeps one random key of 32 bytes, wrapped by the root key. All sealed items depend on that store
key, so a root key is asked once, when a store is opened, and may be as slow as a token or a cloud
service. A root key is changed by wrapping the store key anew; no item is touched.
"""

from abc import ABC, abstractmethod
from typing import Final

from huks_async.model.uncopied import Uncopied

KEY_SIZE: Final = 32
"""The bytes of a store's key, and of every key that wraps it."""


class RootKey(Uncopied, ABC):
    """Wraps and unwraps the key of a store.

    `wrap` and `unwrap` raise `BusinessError` with these codes; `open` raises the same where it reaches the medium:
        401: the path of a root key file leads to the name of a file that belongs to a store, or is too long.
        12000004: the medium of the root key cannot be read or is damaged.
        12000012: the wrapped key is not one of this root key, or was changed.
        12000020 to 12000023: a token that holds the root key failed, or refused the PIN.
    """

    @property
    @abstractmethod
    def key_id(self) -> str:
        """A name for messages that tells one root key from another. No secret, and known after `open`."""

    async def open(self, *, new: bool = True) -> None:
        """Make the root key ready. `wrap` and `unwrap` do so themselves where it was not called.

        Args:
            new: whether a root key that does not exist may be made; False for a store that has one.
        """
        return

    async def aclose(self) -> None:
        """Forget the root key. It can be opened again."""
        return

    @abstractmethod
    async def wrap(self, key: bytes) -> bytes:
        """Wrap a key of 32 bytes; the result can be kept anywhere."""

    @abstractmethod
    async def unwrap(self, wrapped: bytes) -> bytes:
        """Give the key that `wrap` wrapped."""

    async def unwrap_anew(self, wrapped: bytes) -> bytes:
        """Do as `unwrap` does, by a root key that is read again: for backups, whose copy is of no use without it.

        A failure leaves what is kept in memory as it is. Where nothing can be read again, this is `unwrap`.
        """
        return await self.unwrap(wrapped)
