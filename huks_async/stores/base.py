"""The Store protocol: where sealed key items are kept.

A store keeps rows of bytes under (namespace, level, alias). It knows nothing about keys: what it receives is
sealed already. The protocol asks for nothing that a database server could not offer: every access is awaited,
rows have versions and compare-and-set, listings come in pages, and no state belongs to one process only.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown
from huks_async.model.uncopied import Uncopied
from huks_async.rootkeys.base import RootKey

MAX_NAME_BYTES = 65_536
"""The longest namespace, alias or name of a value, in UTF-8."""

STORE_KEY = "store-key"
"""The name of the value by which a store is known: its wrapped key, which all its rows are sealed under."""


class ItemName(NamedTuple):
    """The name of a row.

    Args:
        namespace: the caller that owns it; any text of `MAX_NAME_BYTES` at most.
        level: the storage level, a signed 64-bit number.
        alias: any such text, NUL and the empty text included.

    """

    namespace: str
    level: int
    alias: str


class Row(NamedTuple):
    """A row's content, and its version: a number that a store uses once and never again."""

    version: int
    blob: bytes


class StoreConflictError(Exception):
    """A row is not at the version that a conditional write expected.

    Attributes:
        name: the row.
        current: the version it is at, 0 where it does not exist.

    """

    def __init__(self, name: ItemName, current: int) -> None:
        super().__init__(name, current)
        self.name = name
        self.current = current

    def __str__(self) -> str:
        if self.current == 0:
            return f"the item {self.name.alias!r} does not exist"
        return f"the item {self.name.alias!r} is at version {self.current}"


class Copied(NamedTuple):
    """A copy of a store: its absolute path, its number of rows, its bytes."""

    path: str
    rows: int
    size: int


class Store(Uncopied, ABC):
    """Where sealed key items are kept.

    A store is opened before use and closed after it, from one event loop at a time. A write is
    durable once it is acknowledged, and visible to every later call on any store object of the same
    data, other processes included. Writes to one row are atomic.

    A write that is cancelled is either dropped before it begins, or its end is awaited: no transaction
    stays open, but the caller cannot tell whether the write took place.

    Every method but `open` and `aclose` raises `BusinessError` with these codes:
        401: a namespace or alias cannot be encoded as UTF-8, or is too long.
        12000004: the medium failed; the message names the store and the way out.
        12000012: the store is not open, or it was opened before a fork.
    """

    address: str
    """The store's address for messages, without secrets."""

    def default_root_key(self) -> RootKey | None:
        """Give the root key for a keystore on this store that was given none; None if it must be given one."""
        return None

    @abstractmethod
    async def open(self) -> None:
        """Open the store, creating it if there is none. Does nothing when it is open.

        Raises:
            BusinessError: 12000004 when it cannot be opened, is damaged, or newer than this package.

        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close the store, once the writes that have begun are done. Does nothing when it is closed."""

    def forget(self) -> None:
        """Take whatever is there at the next opening for this store: no keystore works with its key any more.

        A store that was seen by its `STORE_KEY` refuses to be opened on another one until this is called, because the
        keystores that have it would seal keys that nobody can open again. Called after `aclose`.
        """

    @abstractmethod
    async def get(self, name: ItemName) -> Row | None:
        """Give a row, None if there is none."""

    @abstractmethod
    async def put(self, name: ItemName, blob: bytes, *, expect: int | None = None) -> int:
        """Create or replace a row, and give its new version.

        Args:
            name: the row.
            blob: its new content.
            expect: the version that the row must be at; 0: it must not exist; None: whatever there is.

        Raises:
            StoreConflictError: the row is at another version than `expect`; nothing was changed.

        """

    @abstractmethod
    async def delete(self, name: ItemName, *, expect: int | None = None) -> bool:
        """Remove a row, and tell whether there was one.

        Args:
            name: the row.
            expect: the version that the row must be at; None: whatever there is.

        Raises:
            StoreConflictError: the row is at another version than `expect`; nothing was changed.

        """

    @abstractmethod
    async def aliases(
        self, namespace: str, level: int, *, after: str | None = None, limit: int = 1000
    ) -> list[str]:
        """Give a page of aliases, ordered by their UTF-8 bytes.

        Args:
            namespace: the caller that owns them.
            level: the storage level.
            after: the last alias of the page before; None: from the beginning.
            limit: how many at most.

        """

    @abstractmethod
    async def count(self, namespace: str, level: int) -> int:
        """Give the number of rows, without reading them all."""

    @abstractmethod
    async def is_empty(self) -> bool:
        """Tell whether there is no row in any namespace."""

    @abstractmethod
    async def get_meta(self, name: str) -> bytes | None:
        """Give a value that belongs to the store itself, None if there is none."""

    @abstractmethod
    async def put_meta(self, name: str, value: bytes) -> bytes:
        """Set a value unless there is one, and give the value that is there now: this one or an earlier one."""

    @abstractmethod
    async def replace_meta(self, name: str, value: bytes) -> None:
        """Set a value, whatever there is."""

    async def backup(
        self,
        target: str,
        check_item: Callable[[ItemName, bytes], object],
        check_meta: Callable[[dict[str, bytes]], object],
    ) -> Copied:
        """Copy the store to a new file, as it was at one moment, with every write that was acknowledged by then.

        Args:
            target: the file.
            check_item: called in a worker thread with each row of the copy before it is kept; what it raises
                ends the backup, and nothing is left of it.
            check_meta: likewise with the values that belong to the store itself.

        Returns:
            where it is, and what it holds.

        Raises:
            BusinessError: 12000001 for a store without files; 401 if there is already something at the target, or for
                a name that it cannot have.

        """
        raise BusinessError(
            12000001,
            f"the store {self.address} is not a file, so it has no backup here; "
            "use a store at sqlite:///path, or the means of the medium",
        )

    @abstractmethod
    def stamp(self) -> object | None:
        """Give a value that changes before any write, by any process, is acknowledged.

        For caches: what was read after a stamp was taken is still current while the stamp is the same.
        It may change without a write. Takes less than a microsecond and never waits.

        Returns:
            A value to compare with `==`; None if the store cannot tell, so that nothing can be cached.

        """


def check_level(level: int) -> int:
    """Give a storage level back.

    Raises:
        BusinessError: 401 for a number of more than 64 bits.

    """
    if not -(2**63) <= level < 2**63:
        raise BusinessError(401, f"the storage level {shown(level)} is no signed 64-bit number")
    return level


def encode_name(kind: str, text: str) -> bytes:
    """Encode a namespace, alias or name as UTF-8.

    Raises:
        BusinessError: 401 for text that has no UTF-8 form, or more than `MAX_NAME_BYTES`.

    """
    try:
        # no character has less than one byte, so a long text is refused without being encoded
        name = text.encode() if len(text) <= MAX_NAME_BYTES else None
    except UnicodeEncodeError:
        raise BusinessError(
            401,
            f"the {kind} {shown(text)} holds a lone surrogate, which has no UTF-8 form; use valid Unicode text",
        ) from None
    if name is None or len(name) > MAX_NAME_BYTES:
        raise BusinessError(
            401, f"the {kind} {shown(text)} is too long; accepted are {MAX_NAME_BYTES} bytes in UTF-8"
        )
    return name
