"""The key items of one namespace: found, kept ready, put away, removed."""

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.items.item import KeyItem, Plan, PlanKey
from huks_async.keys.items.sealing import Sealer
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.showing import shown
from huks_async.stores.base import ItemName, Store, StoreConflictError


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCache:
    """How many opened keys are kept ready, and for how long.

    Args:
        keys: how many; 0 switches the cache off, and each session then reads and opens its key.
        seconds: how long an opened key is kept at most.
    """

    keys: int = 1024
    seconds: float = 300.0


# the stamp of an item that must be looked up again, because its store cannot tell about changes
_UNKNOWN = object()


# a service uses few combinations with one key; beyond this they are prepared again
_MAX_PLANS = 32
# and few places of a program open sessions on one key; beyond this, lists are parsed again
_MAX_FORMS = 4


class _Kept:
    __slots__ = ("item", "plans", "stamp", "until")

    def __init__(self, item: KeyItem, stamp: object, until: float) -> None:
        self.item = item
        self.stamp = stamp
        self.until = until
        self.plans: list[tuple[str, PlanKey]] = []


# so that all values of a list have less than 4 MiB, whatever their number
_SMALL = 64 * 1024


class _Form:
    """A list of mappings that was parsed: which objects are its tags and values.

    Integers never change, so a list that consists of the same objects means the same, types and all. The
    mappings may have changed, so they are looked into each time.
    """

    __slots__ = ("blobs", "kept", "length", "numbers", "plan")

    def __init__(self, properties: list[Any], blobs: Collection[int], kept: _Kept, plan: Plan) -> None:
        self.length = len(properties)
        self.numbers: list[tuple[int, int, int]] = []
        """(place in the list, tag, value)"""
        self.blobs: list[tuple[int, int, int]] = []
        """(place in the list, tag as the caller has it, tag)"""
        for place, param in enumerate(properties):
            tag, value = param["tag"], param["value"]
            if tag in blobs:
                self.blobs.append((place, tag, int(tag)))
            else:
                self.numbers.append((place, tag, value))
        self.kept = kept
        self.plan = plan


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
        self._plans: dict[tuple[str, PlanKey], tuple[_Kept, Plan]] = {}
        self._forms: dict[str, list[_Form]] = {}

    def recall(self, alias: str, properties: list[Any]) -> tuple[Plan, dict[int, bytes]] | None:
        """Recognise a list of mappings whose objects an earlier session with this key had, too.

        Does not wait; takes any object for an alias, and any list.

        Returns:
            the plan, if the key is known to be current, and the byte strings by tag.
        """
        try:
            for form in self._forms[alias]:
                if len(properties) != form.length:
                    continue
                for place, tag, number in form.numbers:
                    param = properties[place]
                    if param["value"] is not number or param["tag"] is not tag:
                        break
                else:
                    blobs = {}
                    for place, tag, name in form.blobs:
                        param = properties[place]
                        value = param["value"]
                        if param["tag"] is not tag or type(value) is not bytes or len(value) > _SMALL:
                            return None
                        blobs[name] = value
                    kept = form.kept
                    if kept.stamp == self._store.stamp() and self._clock() <= kept.until:
                        return form.plan, blobs
                    return None
        except Exception:  # noqa: S110 - a new alias, or something for the parser; a caller's class may raise anything
            pass
        return None

    def keep_form(self, alias: str, known: PlanKey, properties: list[Any], blobs: Collection[int]) -> None:
        """Recognise such a list from now on, as long as the plan for its numbers is kept."""
        found = self._plans.get((alias, known))
        if found is None or found[0].stamp is _UNKNOWN:
            return
        form = _Form(properties, blobs, *found)
        if len(form.blobs) == len(blobs):  # not so where a tag has a newer name
            forms = self._forms.setdefault(alias, [])
            forms.insert(0, form)
            del forms[_MAX_FORMS:]

    def plan(self, alias: str, known: PlanKey) -> Plan | None:
        """The plan of an earlier session with the same key and numbers, if the key is known to be current.

        Does not wait; takes any object for an alias.
        """
        try:
            kept, plan = self._plans[alias, known]
        except Exception:  # as above
            return None
        if kept.stamp != self._store.stamp() or self._clock() > kept.until:
            return None
        return plan

    def keep_plan(self, item: KeyItem, level: int, known: PlanKey, plan: Plan) -> None:
        """Keep a plan as long as its key is kept."""
        kept = self._kept.get((level, item.alias))
        if kept is None or kept.item is not item:
            return
        if len(kept.plans) >= _MAX_PLANS:
            self._drop_plans(kept)
        kept.plans.append((item.alias, known))
        self._plans[item.alias, known] = kept, plan

    def ready(self, alias: str, level: int) -> KeyItem | None:
        """The item, if it is kept and known to be current. Does not wait."""
        kept = self._kept.get((level, alias))
        if kept is None or kept.stamp != self._store.stamp() or self._clock() > kept.until:
            return None
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
        # taken before the read: a change in between makes the kept item outdated, never current
        stamp = self._store.stamp()
        row = await self._store.get(name)
        if row is None:
            self._drop(alias, level)
            raise self.absent(name)
        kept = self._kept.get((level, alias))
        if kept is not None and kept.item.version == row.version and self._clock() <= kept.until:
            kept.stamp = _UNKNOWN if stamp is None else stamp
            return kept.item
        params, material = self._sealer.open(name, row.blob)
        item = KeyItem(alias, params, material, row.version)
        self._keep(item, level, stamp)
        return item

    async def save(
        self, alias: str, level: int, params: ParamSet, material: KeyMaterial, *, override: bool
    ) -> None:
        """Store a key, replacing one of the same alias atomically if `override`.

        Raises:
            BusinessError: 12000017 when the alias exists and `override` is False.
        """
        name = self.name(alias, level)
        blob = self._sealer.seal(name, params, material)
        try:
            await self._store.put(name, blob, expect=None if override else 0)
        except StoreConflictError:
            raise self.exists_already(name) from None
        self._drop(alias, level)

    async def exists(self, alias: str, level: int) -> bool:
        """Whether the alias is taken. Does not open the item."""
        if self.ready(alias, level) is not None:
            return True
        return await self._store.get(self.name(alias, level)) is not None

    async def delete(self, alias: str, level: int) -> None:
        """Delete an item, damaged ones too; 12000011 when there is none."""
        name = self.name(alias, level)
        deleted = await self._store.delete(name)
        self._drop(alias, level)
        if not deleted:
            raise self.absent(name)

    async def aliases(self, level: int, at_most: int | None) -> list[str]:
        """All aliases of a level, in order; 401 when there are more than `at_most`."""
        found: list[str] = []
        after: str | None = None
        while True:
            page = await self._store.aliases(self.namespace, level, after=after, limit=1000)
            found += page
            if at_most is not None and len(found) > at_most:
                raise BusinessError(
                    401, f"there are more than {at_most} aliases, and a device lists no more at once"
                )
            if len(page) < 1000:
                return found
            after = page[-1]

    def shrink(self) -> int:
        """Drop all kept items, under memory pressure; gives how many."""
        dropped = len(self._kept)
        self._plans.clear()
        self._forms.clear()
        for kept in self._kept.values():
            kept.item.forget()
        self._kept.clear()
        return dropped

    def __len__(self) -> int:
        return len(self._kept)

    def _keep(self, item: KeyItem, level: int, stamp: object) -> None:
        if self._cache.keys < 1:
            return
        self._drop(item.alias, level)
        until = self._clock() + self._cache.seconds
        self._kept[level, item.alias] = _Kept(item, _UNKNOWN if stamp is None else stamp, until)
        if len(self._kept) > self._cache.keys:
            _, oldest = self._kept.popitem(last=False)
            self._forget(oldest)

    def _drop(self, alias: str, level: int) -> None:
        kept = self._kept.pop((level, alias), None)
        if kept is not None:
            self._forget(kept)

    def _forget(self, kept: _Kept) -> None:
        self._drop_plans(kept)
        kept.item.forget()

    def _drop_plans(self, kept: _Kept) -> None:
        self._forms.pop(kept.item.alias, None)
        for key in kept.plans:
            found = self._plans.get(key)
            if found is not None and found[0] is kept:
                del self._plans[key]
        kept.plans.clear()

    def name(self, alias: str, level: int) -> ItemName:
        """The full name of an item of this namespace."""
        return ItemName(self.namespace, level, alias)

    def absent(self, name: ItemName) -> BusinessError:
        """The error for an alias that does not exist."""
        return BusinessError(
            12000011,
            f"no key {shown(name.alias)} in namespace {shown(name.namespace)} at storage level {name.level}; a key made "
            "with HUKS_TAG_AUTH_STORAGE_LEVEL is found with the same level only",
        )

    def exists_already(self, name: ItemName) -> BusinessError:
        """The error for an alias that exists and must not be replaced."""
        return BusinessError(
            12000017, f"key {shown(name.alias)} exists, and HUKS_TAG_KEY_OVERRIDE is false; delete it first"
        )
