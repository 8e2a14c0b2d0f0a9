"""Where authenticators keep what they must remember: small values with versions, changed by compare-and-set.

The keystore implements it on its store, sealed like keys. Two tasks or two processes that change one value at
the same time cannot both succeed, so no failed try is lost and no code is taken twice.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Kept(NamedTuple):
    """A value and its version."""

    version: int
    data: bytes


class VaultConflictError(Exception):
    """The value is not at the version that a change expected; nothing was changed. Read it again."""


class Vault(Protocol):
    """Sealed values by name. Names are texts such as `pin/100`."""

    async def get(self, name: str) -> Kept | None:
        """Give a value, None where there is none; 12000012 for one that was changed from outside."""

    async def put(self, name: str, data: bytes, *, expect: int) -> int:
        """Write a value durably, and give its new version.

        Args:
            name: of the value.
            data: the value.
            expect: the version it must be at; 0: it must not exist.

        Raises:
            VaultConflictError: it is at another version.
        """

    async def delete(self, name: str, *, expect: int) -> None:
        """Remove a value; errors as `put`."""


async def change(vault: Vault, name: str, new: Callable[[bytes | None], tuple[bytes | None, T]]) -> T:
    """Change a value whatever others do meanwhile.

    Args:
        vault: where.
        name: of the value.
        new: gives the new value for the one that is there (None: there is none, or remove it), and what this
            function is to give back. It is called again where somebody else was quicker, so it must have no
            effect of its own; what it raises ends the change, and nothing was changed.
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
