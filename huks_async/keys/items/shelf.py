"""The key items of one namespace: finding, caching, storing and deleting them."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.items.item import KeyItem
from huks_async.keys.items.prepared import Prepared
from huks_async.keys.items.sealing import Sealer
from huks_async.model.errors import BusinessError
from huks_async.model.settings import check_seconds, check_whole
from huks_async.runtime.closing import stop_if_abandoned
from huks_async.stores.base import ItemName, Row, Store, StoreConflictError


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCache:
    """How many opened keys are kept ready, and for how long.

    Args:
        keys: how many; 0 switches the cache off, and each session then reads and opens its key.
        seconds: how long an opened key is served without being read anew. Some time later (a quarter of it, between a
            second and a minute) it has left the cache, whether it is used or not.

    Raises:
        BusinessError: 401 for a number or a time that is none.
    """

    keys: int = 1024
    seconds: float = 300.0

    def __post_init__(self) -> None:
        """Refuse what is no size or time: 401."""
        check_whole(self.keys, "KeyCache.keys", 0)
        check_seconds(self.seconds, "KeyCache.seconds", zero=True, endless=True)


# the stamp of an item that must be looked up each time, because its store cannot tell whether it has changed
_UNKNOWN = object()


class _Kept:
    __slots__ = ("blob", "item", "level", "stamp", "until")

    def __init__(self, item: KeyItem, blob: bytes, level: int, stamp: object, until: float) -> None:
        self.item = item
        self.level = level
        # Kept to be compared: a store that was restored from an earlier copy issues the same version numbers again,
        # but never the same blob.
        self.blob = blob
        self.stamp = stamp
        self.until = until


class KeyShelf:
    """Key items by alias and level, with a cache that never serves a replaced or deleted key.

    A kept item is served only while the store's stamp is the one taken before the item was read: the
    stamp changes before any change, by whichever process, is acknowledged. Otherwise the row's
    version decides.
    """

    def __init__(
        self, store: Store, sealer: Sealer, namespace: str, cache: KeyCache, clock: Callable[[], float]
    ) -> None:
        self.namespace = namespace
        self._store = store
        self._sealer = sealer
        self._cache = cache
        self._clock = clock
        self._kept: OrderedDict[tuple[int, str], _Kept] = OrderedDict()
        # By alias alone, because the storage level is not known before a session's parameters are parsed.
        self._latest: dict[str, _Kept] = {}

    def recall(self, alias: str, properties: list[Any]) -> Prepared | None:
        """Recognise the parameters of a session with a key that is known to be current.

        Does not wait; takes any object for an alias, and any list. See `PreparedSessions.recognise`.
        """
        if type(alias) is not str:
            return None  # an object may equal a text, and be none
        try:
            kept = self._latest[alias]
            prepared = kept.item.prepared.recognise(properties)
        except Exception:
            # a new alias, or a list that must be parsed; objects of the caller may raise anything
            return None
        if prepared is None or kept.stamp != self._store.stamp() or self._clock() > kept.until:
            return None
        return prepared

    def recall_guarded(self, alias: str, properties: list[Any]) -> Prepared | None:
        """The same as `recall` for keys with demands, whose sessions begin behind a gate; `recall` never finds those."""
        if type(alias) is not str:
            return None
        try:
            kept = self._latest[alias]
            prepared = None if kept.item.demand is None else kept.item.guarded.recognise(properties)
        except Exception:
            return None
        if prepared is None or kept.stamp != self._store.stamp() or self._clock() > kept.until:
            return None
        return prepared

    def recall_use(self, alias: str, level: object, use: str) -> Any:
        """What a function on messages keeps with a key that is known to be current; None if it must be made first.

        Does not wait; takes any objects for alias and level.
        """
        if type(alias) is not str:
            return None
        try:
            kept = self._latest[alias]
            if kept.level is not level:
                if not isinstance(level, int) or type(level) is bool:
                    return None  # 1.0 and True would find the same as 1
                kept = self._kept[level, alias]
        except Exception:
            # nothing is kept, or the alias is an object of the caller, which may raise anything
            return None
        if kept.stamp != self._store.stamp() or self._clock() > kept.until:
            return None
        return kept.item.messages.get(use)

    def ready(self, alias: str, level: int) -> KeyItem | None:
        """The item, if it is kept and known to be current. Does not wait."""
        kept = self._kept.get((level, alias))
        if kept is None or kept.stamp != self._store.stamp() or self._clock() > kept.until:
            return None
        self._latest[alias] = kept
        return kept.item

    async def find(self, alias: str, level: int) -> KeyItem:
        """The item, from the cache or the store.

        Raises:
            BusinessError: 12000011 when there is none; 12000012 when it is damaged.
        """
        item = self.ready(alias, level)
        if item is not None:
            return item
        name = self.name(alias, level)
        stop_if_abandoned()
        # Taken before the read, so that a change in between makes the kept item outdated instead of passing unseen.
        stamp = self._store.stamp()
        row = await self._store.get(name)
        if row is None:
            self._drop(alias, level)
            raise self.absent(name)
        kept = self._kept.get((level, alias))
        if kept is not None and self._is_row(kept, row) and self._clock() <= kept.until:
            kept.stamp = _UNKNOWN if stamp is None else stamp
            self._latest[alias] = kept
            return kept.item
        params, material = self._sealer.open(name, row.blob)
        item = KeyItem(alias, params, material, row.version)
        self._keep(item, row.blob, level, stamp)
        return item

    @staticmethod
    def _is_row(kept: _Kept, row: Row) -> bool:
        return kept.item.version == row.version and kept.blob == row.blob

    async def save(
        self, alias: str, level: int, encoded: bytes, material: KeyMaterial, *, override: bool
    ) -> None:
        """Store a key, replacing one of the same alias atomically if `override`.

        Args:
            alias: 1 … 128 bytes in UTF-8.
            level: the storage level.
            encoded: the parameters that are stored with the key, as `encode_params` returns them.
            material: the key.
            override: whether an older key of this alias may be replaced.

        Raises:
            BusinessError: 12000017 when the alias exists and `override` is False.
        """
        stop_if_abandoned()
        name = self.name(alias, level)
        blob = self._sealer.seal(name, encoded, material)
        try:
            await self._store.put(name, blob, expect=None if override else 0)
        except StoreConflictError:
            raise self.exists_already(name) from None
        self._drop(alias, level)

    async def exists(self, alias: str, level: int) -> bool:
        """Whether the alias is taken. Does not open the item."""
        if self.ready(alias, level) is not None:
            return True
        stop_if_abandoned()
        return await self._store.get(self.name(alias, level)) is not None

    async def delete(self, alias: str, level: int) -> None:
        """Delete an item, even a damaged one; 12000011 if there is none."""
        stop_if_abandoned()
        name = self.name(alias, level)
        deleted = await self._store.delete(name)
        self._drop(alias, level)
        if not deleted:
            raise self.absent(name)

    async def aliases(self, level: int, at_most: int | None) -> list[str]:
        """All aliases of a level, in order; 401 when there are more than `at_most`."""
        stop_if_abandoned()
        found: list[str] = []
        after: str | None = None
        while True:
            page = await self._store.aliases(self.namespace, level, after=after, limit=1000)
            found += page
            if at_most is not None and len(found) > at_most:
                raise BusinessError(
                    401,
                    f"there are more than {at_most} aliases, and Limits.max_listed_aliases lists no more at once",
                )
            if len(page) < 1000:
                return found
            after = page[-1]

    def shrink(self) -> int:
        """Drop all kept items, under memory pressure; return how many."""
        dropped = len(self._kept)
        self._latest.clear()
        for kept in self._kept.values():
            kept.item.forget()
        self._kept.clear()
        return dropped

    def forget_old(self, at_most: int) -> int:
        """Drop up to so many of the items that have been kept for long enough; return how many."""
        now, dropped = self._clock(), 0
        # in the order in which they were opened, which is that of their ends
        while dropped < at_most and self._kept and now > next(iter(self._kept.values())).until:
            self._forget(self._kept.popitem(last=False)[1])
            dropped += 1
        return dropped

    def __len__(self) -> int:
        return len(self._kept)

    def _keep(self, item: KeyItem, blob: bytes, level: int, stamp: object) -> None:
        if self._cache.keys < 1:
            return
        self._drop(item.alias, level)
        until = self._clock() + self._cache.seconds
        kept = _Kept(item, blob, level, _UNKNOWN if stamp is None else stamp, until)
        self._kept[level, item.alias] = self._latest[item.alias] = kept
        if len(self._kept) > self._cache.keys:
            self._forget(self._kept.popitem(last=False)[1])

    def _drop(self, alias: str, level: int) -> None:
        kept = self._kept.pop((level, alias), None)
        if kept is not None:
            self._forget(kept)

    def _forget(self, kept: _Kept) -> None:
        if self._latest.get(kept.item.alias) is kept:
            del self._latest[kept.item.alias]
        kept.item.forget()

    def name(self, alias: str, level: int) -> ItemName:
        """The full name of an item of this namespace."""
        return ItemName(self.namespace, level, alias)

    def absent(self, name: ItemName) -> BusinessError:
        """The error for an alias that does not exist."""
        return BusinessError(
            12000011,
            f"no key {name.alias!r} in namespace {name.namespace!r} at storage level {name.level}; a key made "
            "with HUKS_TAG_AUTH_STORAGE_LEVEL is found with the same level only",
        )

    def exists_already(self, name: ItemName) -> BusinessError:
        """The error for an alias that exists and must not be replaced."""
        return BusinessError(
            12000017, f"key {name.alias!r} exists, and HUKS_TAG_KEY_OVERRIDE is false; delete it first"
        )
