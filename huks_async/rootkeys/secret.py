"""Root keys that are 32 bytes this process knows, wherever they come from."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from huks_async.model.errors import BusinessError
from huks_async.rootkeys.base import RootKey
from huks_async.rootkeys.envelope import KIND_KEY, parse, seal


def derive(root: bytes, purpose: bytes) -> bytes:
    """Derive 32 bytes from a root key: HMAC-SHA256, the root key itself being uniform."""
    digest = HMAC(root, SHA256())
    digest.update(b"huks_async root key/" + purpose)
    return digest.finalize()


def identify(root: bytes) -> str:
    """Give the id of a root key: 16 hexadecimal digits that tell nothing about it."""
    return derive(root, b"id")[:8].hex()


class SecretRootKey(RootKey):
    """A root key of 32 bytes in memory. Subclasses say where the bytes come from."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._root: bytes | None = None
        self._key_id: str | None = None

    @property
    def key_id(self) -> str:
        """The id that is derived from the key, 16 hexadecimal digits."""
        if self._key_id is None:
            raise BusinessError(12000012, f"{self._name} is not open; open it before its id is read")
        return self._key_id

    @abstractmethod
    async def _load(self) -> bytes:
        """Give the 32 bytes."""

    async def open(self, *, new: bool = True) -> None:
        """Load the key. Does nothing when it is loaded."""
        await self._ready()

    async def aclose(self) -> None:
        """Forget the key; the next use loads it again."""
        self._root = None

    async def wrap(self, key: bytes) -> bytes:
        """Wrap a key of 32 bytes."""
        root = await self._ready()
        return seal(derive(root, b"wrap"), KIND_KEY, self.key_id.encode(), key)

    async def unwrap(self, wrapped: bytes) -> bytes:
        """Give the key that `wrap` wrapped."""
        root = await self._ready()
        return self._open(root, self.key_id, wrapped)

    def _open(self, root: bytes, key_id: str, wrapped: bytes) -> bytes:
        envelope = parse(wrapped, KIND_KEY, self._name)
        if envelope.header != key_id.encode():
            raise BusinessError(
                12000012,
                f"the store key was wrapped by the root key {envelope.header.decode(errors='replace')!r}, "
                f"and {self._name} is {key_id!r}; use the root key that the store was made with",
            )
        return envelope.open(derive(root, b"wrap"), self._name)

    async def _ready(self, load: Callable[[], Awaitable[bytes]] | None = None) -> bytes:
        root = self._root
        if root is None:
            root = await (load or self._load)()
            self._root, self._key_id = root, identify(root)
        return root
