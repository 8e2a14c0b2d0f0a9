"""Where authenticators keep what they must remember: small values with versions, changed by compare-and-set.

The keystore implements this on its store, and seals the values like keys. Two tasks or two processes that change
one value at the same time cannot both succeed, so no wrong guess goes uncounted and no code is accepted twice.

Each value says by its beginning, its length or its keys which form it has; `read_value` refuses a form that it does not
know.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from huks_async.model.errors import BusinessError
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


def read_value(data: bytes, what: str, read: Callable[[bytes], T]) -> T:
    """Read a value, or a part of one.

    Args:
        data: the value.
        what: it is, for the message.
        read: reads the form that is known here; it raises ValueError for another one, or whatever comes of parsing it.

    Raises:
        BusinessError: 12000012 for another form. The value was sealed, so it is not damaged: a newer version of this
            library wrote it.
    """
    try:
        return read(data)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
    ):
        # without its cause, which may show a part of the value
        raise BusinessError(
            12000012,
            f"{what} was written by a newer version of this library, in a form that is not known here. Nothing was "
            "changed; update the library of this process",
        ) from None


def read_entries(data: bytes | None, what: str, entry: struct.Struct) -> list[tuple[Any, ...]]:
    """Read a value that is a row of entries of one size, None for no value.

    It needs no mark: a value of any other form has a length that is no multiple of the entry's.
    """
    return read_value(data or b"", what, lambda given: list(entry.iter_unpack(given)))


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
