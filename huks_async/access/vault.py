"""Where authenticators keep what they must remember: small values with versions, changed by compare-and-set.

The keystore implements this on its store, and seals the values like keys. Two tasks or two processes that change
one value at the same time cannot both succeed, so no wrong guess goes uncounted and no code is accepted twice.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from huks_async.model.showing import shown

T = TypeVar("T")


class Kept(NamedTuple):
    """A value and its version."""

    version: int
    data: bytes

    def __repr__(self) -> str:
        return f"Kept(version={self.version}, data={shown(self.data)})"


class VaultConflictError(Exception):
    """The value is not at the version that a change expected; nothing was changed. Read it again."""


class Vault(Protocol):
    """Sealed values by name. Names are texts such as `pin/100`."""

    async def get(self, name: str) -> Kept | None:
        """Return a value, None if there is none; 12000012 for one that was tampered with."""

    async def put(self, name: str, data: bytes, *, expect: int) -> int:
        """Write a value durably, and return its new version.

        Args:
            name: of the value.
            data: the value.
            expect: the version it must be at; 0: it must not exist.

        Raises:
            VaultConflictError: the value is at another version.
        """

    async def delete(self, name: str, *, expect: int) -> None:
        """Remove a value; errors as `put`."""


async def change(vault: Vault, name: str, new: Callable[[bytes | None], tuple[bytes | None, T]]) -> T:
    """Change a value, repeating the attempt if another task or process changes it at the same time.

    Args:
        vault: holds the value.
        name: of the value.
        new: takes the present value (None: there is none) and returns the new one (None: remove it) and the result
            of this function. It is called again if another change came first, so it must have no effect of its
            own. If it raises, nothing is changed.
    """
    while True:
        kept = await vault.get(name)
        data, result = new(None if kept is None else kept.data)
        if data == (None if kept is None else kept.data):
            return result
        version = 0 if kept is None else kept.version
        try:
            if data is None:
                await vault.delete(name, expect=version)
            else:
                await vault.put(name, data, expect=version)
        except VaultConflictError:
            continue
        return result
