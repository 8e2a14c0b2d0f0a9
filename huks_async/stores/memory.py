"""A store in memory: for tests, and for keys that must not outlive the process."""

from bisect import bisect_left, bisect_right, insort

import anyio.lowlevel

from huks_async.rootkeys.ephemeral import EphemeralRootKey
from huks_async.runtime.forks import generation, refuse_after_fork
from huks_async.stores.base import ItemName, Row, Store, StoreConflictError, check_level, encode_name


class _Shelf:
    """The rows of one namespace and level."""

    __slots__ = ("order", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.order: list[str] = []  # code point order is the order of UTF-8 bytes


class MemoryStore(Store):
    """Keeps rows as long as the object lives, also while it is closed.

    A child process made by fork is refused, because it would have a copy that silently diverges.
    """

    def __init__(self) -> None:
        self.address = "memory:"
        self._shelves: dict[tuple[str, int], _Shelf] = {}
        self._meta: dict[str, bytes] = {}
        self._version = 0
        self._changes = 0
        self._born: int | None = None  # set at the first use: before that, a fork does no harm

    def default_root_key(self) -> EphemeralRootKey:
        """Give a root key that ends with the process, as the store does."""
        return EphemeralRootKey()

    async def open(self) -> None:
        """Do nothing: a store in memory is always open."""
        self._check()

    async def aclose(self) -> None:
        """Do nothing: the rows stay until the object goes."""

    async def get(self, name: ItemName) -> Row | None:
        """Give a row, None if there is none."""
        await self._turn()
        _check_name(name)
        shelf = self._shelves.get((name.namespace, name.level))
        return None if shelf is None else shelf.rows.get(name.alias)

    async def put(self, name: ItemName, blob: bytes, *, expect: int | None = None) -> int:
        """Create or replace a row, and give its new version."""
        await self._turn()
        _check_name(name)
        shelf = self._shelves.get((name.namespace, name.level))
        old = None if shelf is None else shelf.rows.get(name.alias)
        _check_version(name, old, expect)
        if shelf is None:
            shelf = self._shelves[name.namespace, name.level] = _Shelf()
        if old is None:
            insort(shelf.order, name.alias)
        self._version += 1
        shelf.rows[name.alias] = Row(self._version, bytes(blob))
        self._changes += 1
        return self._version

    async def delete(self, name: ItemName, *, expect: int | None = None) -> bool:
        """Remove a row, and tell whether there was one."""
        await self._turn()
        _check_name(name)
        shelf = self._shelves.get((name.namespace, name.level))
        old = None if shelf is None else shelf.rows.get(name.alias)
        _check_version(name, old, expect)
        if shelf is None or old is None:
            return False
        del shelf.rows[name.alias]
        del shelf.order[bisect_left(shelf.order, name.alias)]
        if not shelf.rows:
            del self._shelves[name.namespace, name.level]
        self._changes += 1
        return True

    async def aliases(
        self, namespace: str, level: int, *, after: str | None = None, limit: int = 1000
    ) -> list[str]:
        """Give a page of aliases, ordered by their UTF-8 bytes."""
        await self._turn()
        encode_name("namespace", namespace)
        check_level(level)
        if after is not None:
            encode_name("alias", after)
        shelf = self._shelves.get((namespace, level))
        if shelf is None:
            return []
        start = 0 if after is None else bisect_right(shelf.order, after)
        return shelf.order[start : start + limit]

    async def count(self, namespace: str, level: int) -> int:
        """Give the number of rows."""
        await self._turn()
        encode_name("namespace", namespace)
        check_level(level)
        shelf = self._shelves.get((namespace, level))
        return 0 if shelf is None else len(shelf.rows)

    async def is_empty(self) -> bool:
        """Tell whether there is no row in any namespace."""
        await self._turn()
        return not any(shelf.rows for shelf in self._shelves.values())

    async def get_meta(self, name: str) -> bytes | None:
        """Give a value that belongs to the store itself, None if there is none."""
        self._check()
        encode_name("name", name)
        return self._meta.get(name)

    async def put_meta(self, name: str, value: bytes) -> bytes:
        """Set a value unless there is one, and give the value that is there now."""
        self._check()
        encode_name("name", name)
        return self._meta.setdefault(name, bytes(value))

    async def replace_meta(self, name: str, value: bytes) -> None:
        """Set a value, whatever there is."""
        self._check()
        encode_name("name", name)
        self._meta[name] = bytes(value)

    def stamp(self) -> object:
        """Give the number of changes so far."""
        return self._changes

    async def _turn(self) -> None:
        # The other stores wait in each call, so this one does, too: a loop of calls lets other tasks run.
        self._check()
        await anyio.lowlevel.checkpoint()

    def _check(self) -> None:
        if self._born is None:
            self._born = generation()
        refuse_after_fork(self._born, f"the store {self.address}")


def _check_name(name: ItemName) -> None:
    encode_name("namespace", name.namespace)
    check_level(name.level)
    encode_name("alias", name.alias)


def _check_version(name: ItemName, row: Row | None, expect: int | None) -> None:
    current = 0 if row is None else row.version
    if expect is not None and expect != current:
        raise StoreConflictError(name, current)
