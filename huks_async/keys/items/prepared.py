"""What sessions on one key came to, so that a session that repeats their options begins at once.

A service opens most of its sessions with the same few lists of parameters. What such a list comes to is
remembered in two ways. By its numbers: whoever has parsed a list need not let the key authorise it again.
And by the very objects it consists of: then it need not be parsed again either. The second is the fast
way of the first, and must never give another answer than parsing would.
"""

from collections.abc import Collection
from typing import Any, NamedTuple, TypeAlias

from huks_async.crypto.family import Starter

PlanKey: TypeAlias = tuple[int, ...]
"""The number parameters of a session: tag, value, tag, value, …"""


class Plan(NamedTuple):
    """What a session's number parameters come to, checked once for all sessions that repeat them."""

    starter: Starter
    ready: Any
    context: Any


# A service uses few combinations with one key; beyond this number they are authorised again.
_MAX_PLANS = 32
# Few places of a program open sessions on one key; beyond this number their lists are parsed again.
_MAX_LISTS = 4
# A longer value is left to the parser, so that all values of a list that is recognised stay far below the
# size at which a set of parameters is refused.
_LONGEST_VALUE = 64 * 1024

Prepared: TypeAlias = tuple[Plan, dict[int, bytes]]
"""A plan for the numbers of a session's parameters, and the byte strings that belong to this session alone."""


class PreparedSessions:
    """Remembers the plans of one key. Lives and dies with the opened key, so that nothing outlives it."""

    __slots__ = ("_lists", "_plans")

    def __init__(self) -> None:
        self._plans: dict[PlanKey, Plan] = {}
        self._lists: list[_KnownList] = []

    def clear(self) -> None:
        """Forget everything; sessions that are open keep what they have."""
        self._plans.clear()
        self._lists.clear()

    def recognise(self, properties: list[Any]) -> Prepared | None:
        """Find the plan for a list of mappings whose tags and numbers are the same objects as an earlier one's.

        Raises:
            Exception: of any class, where the list holds something that is for the parser.
        """
        for known in self._lists:
            if len(properties) != known.length:
                continue
            for place, tag, number in known.numbers:
                param = properties[place]
                if param["value"] is not number or param["tag"] is not tag:
                    break
            else:
                blobs = {}
                for place, tag, name in known.blobs:
                    param = properties[place]
                    value = param["value"]
                    if param["tag"] is not tag or type(value) is not bytes or len(value) > _LONGEST_VALUE:
                        return None
                    blobs[name] = value
                return known.plan, blobs
        return None

    def find(self, key: PlanKey) -> Plan | None:
        """Find the plan for these numbers."""
        return self._plans.get(key)

    def keep(self, key: PlanKey, plan: Plan) -> None:
        """Remember a plan for its numbers."""
        if len(self._plans) >= _MAX_PLANS:
            self.clear()
        self._plans[key] = plan

    def keep_list(self, properties: object, blobs: Collection[int], plan: Plan) -> None:
        """Remember a list that was parsed without fault, if it has the form that can be recognised.

        Args:
            properties: what the caller passed.
            blobs: the tags of the byte strings that parsing it gave.
            plan: what its numbers came to.
        """
        if type(properties) is not list:
            return
        try:
            if self.recognise(properties) is not None:
                return
            known = _KnownList(properties, blobs, plan)
        except Exception:
            return  # objects in place of mappings, which may change their answer from one call to the next
        if len(known.blobs) == len(blobs):  # not so where the parser knows a tag by a newer name
            self._lists.insert(0, known)
            del self._lists[_MAX_LISTS:]


class _KnownList:
    """Which objects the tags and values of a list are.

    Integers never change, so a list that consists of the same objects means the same, types and all. The
    mappings around them may have changed, so they are looked into each time.
    """

    __slots__ = ("blobs", "length", "numbers", "plan")

    def __init__(self, properties: list[Any], blobs: Collection[int], plan: Plan) -> None:
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
        self.plan = plan
