"""Who may use whose keys, and how: the decisions that a device takes from permissions and profiles.

A server has no such profiles, so they are the application's: it passes an object to
`Keystore.open(policy=…)`, of code (a class with the methods below) or of data (`TablePolicy`). Namespaces and
policies keep honest code apart; code in the same process that opens the store itself is not held back by them.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol

from huks_async.access.callers import Caller

__all__ = ["AccessRequest", "Caller", "KeyPolicy", "Nobody", "Policy"]


class AccessRequest(NamedTuple):
    """What a caller is about to do with one key, or with the aliases of a namespace.

    Attributes:
        caller: who calls.
        function: the documented name, e.g. `initSession`; with `AsUser` where a user was named, also by a tag.
        alias: the key; None for `listAliases`.
        purposes: the documented bits: of the session for `initSession`, of the new key for those that make one,
            0 where there are none.
        namespace: the application whose keys are meant; for keys of a group the caller's.
        user_id: the user whose keys are meant.
        group: the access group whose keys are meant, or None.
        level: the storage level, 0, 1 or 2.
    """

    caller: Caller
    function: str
    alias: str | None
    purposes: int
    namespace: str
    user_id: int
    group: str | None
    level: int


class Policy(Protocol):
    """What callers may do beyond their own keys. Both methods are asked at every such call."""

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        """Whether the caller may name a user, its own one included, and use its application's keys of them."""

    def groups_of(self, caller: Caller) -> Collection[str]:
        """The access groups whose keys the caller shares. A group's name is unique in its store."""


class KeyPolicy(Policy, Protocol):
    """A policy that is asked about the caller's own keys, too.

    `namespaces_of` and `may_use` are each optional: without the one, nobody works in another namespace; without
    the other, every caller may do with the keys that it reaches what the keys allow.

    Attributes:
        cache_seconds: for how long an answer of `may_use` holds for an equal request. Without it each is asked.
    """

    cache_seconds: float

    def namespaces_of(self, caller: Caller) -> Collection[str]:
        """The namespaces beside its own that the caller may work in (`as_caller(…, namespace=…)`)."""

    def may_use(self, request: AccessRequest) -> bool:
        """Whether the caller may make this call. A session is asked about once, when it is opened."""


class Nobody:
    """The policy of a keystore that was given none: nobody acts for another user or shares keys."""

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        """No."""
        return False

    def groups_of(self, caller: Caller) -> Collection[str]:
        """None."""
        return ()
