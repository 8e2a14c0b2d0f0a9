"""The plans that were made for sessions on one key, so that a session that repeats their options begins at once.

A service opens most of its sessions with the same few lists of parameters. The plan for such a list is remembered
in two ways. By its numbers: a list that was parsed and has the same numbers need not be authorised by the key
again. And by the very objects it consists of: then it need not be parsed again either. The second way is the fast
form of the first, and must never give another answer than parsing would.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from huks_async.crypto.family import Starter
from huks_async.keys.items.known_lists import KnownLists

PlanKey: TypeAlias = tuple[int, ...]
"""The number parameters of a session: tag, value, tag, value, …"""


def plan_key(numbers: Mapping[int, int]) -> PlanKey:
    """The key under which a plan for these number parameters is kept."""
    return tuple(chain.from_iterable(numbers.items()))


class Plan(NamedTuple):
    """How to start a session with certain number parameters, checked once for all sessions that repeat them."""

    starter: Starter
    ready: Any
    context: Any


# A service uses few combinations of parameters with one key, so few plans are kept; others are made again.
_MAX_PLANS = 32


class PreparedSessions(KnownLists[Plan]):
    """Remembers the plans of one key. It belongs to the opened key and to sessions that it began, and goes with them."""

    __slots__ = ("_plans",)

    def __init__(self) -> None:
        super().__init__()
        self._plans: dict[PlanKey, Plan] = {}

    def clear(self) -> None:
        """Forget everything; sessions that are open keep what they have."""
        super().clear()
        self._plans.clear()

    def find(self, key: PlanKey) -> Plan | None:
        """Find the plan for these numbers."""
        return self._plans.get(key)

    def keep(self, key: PlanKey, plan: Plan) -> None:
        """Remember a plan for its numbers."""
        if len(self._plans) >= _MAX_PLANS:
            self.clear()
        self._plans[key] = plan


Prepared: TypeAlias = tuple[Plan, dict[int, bytes], PreparedSessions]
"""A plan for the numbers of a session's parameters, the byte strings that belong to this session alone, and the key's others."""
