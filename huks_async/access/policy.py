"""Who may use whose keys: the decisions that a device takes from permissions and profiles.

A server has no such profiles, so they are the application's: it passes an object with two methods to
`Keystore.open(policy=…)`. Namespaces keep honest code apart; code in the same process that opens the
store itself is not held back by them.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol


class Caller(NamedTuple):
    """Who calls: what an application of one user is on a device.

    Attributes:
        namespace: the application.
        user_id: the user it works for.
    """

    namespace: str
    user_id: int


class Policy(Protocol):
    """What callers may do beyond their own keys. Both methods are asked at every such call."""

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        """Whether the caller may name a user, its own one included, and use its application's keys of them."""

    def groups_of(self, caller: Caller) -> Collection[str]:
        """The access groups whose keys the caller shares. A group's name is unique in its store."""


class Nobody:
    """The policy of a keystore that was given none: nobody acts for another user or shares keys."""

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        """No."""
        return False

    def groups_of(self, caller: Caller) -> Collection[str]:
        """None."""
        return ()
