"""Who may use whose keys, and how: the decisions that a device takes from permissions and profiles.

A server has no such profiles, so the application makes these decisions: it passes a policy to
`Keystore.open(policy=…)`, as code (a class with the methods below) or as data (`TablePolicy`). Namespaces and
policies separate honest code; they cannot stop code in the same process that opens the store itself.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol

from huks_async.access.callers import Caller

__all__ = ["AccessRequest", "Caller", "KeyPolicy", "Nobody", "Policy"]


class AccessRequest(NamedTuple):
    """What a caller is about to do with one key, or with the aliases of a namespace.

    Attributes:
        caller: who calls.
        function: the documented name, e.g. `initSession`; with `AsUser` if a user was named, even by a tag.
        alias: the key; None for `listAliases`.
        purposes: the documented bits: those of the session for `initSession`, those of the new key for functions
            that make one, otherwise 0.
        namespace: the application whose keys are used; for keys of a group the caller's.
        user_id: the user whose keys are used.
        group: the access group whose keys are used, or None.
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
    """What callers may do with keys that are not their own. The keystore asks at every such call."""

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        """Whether the caller may name this user, even its own one, and use its application's keys of that user."""

    def groups_of(self, caller: Caller) -> Collection[str]:
        """The access groups whose keys the caller shares. A group's name is unique in its store."""


class KeyPolicy(Policy, Protocol):
    """A policy that is also asked about the caller's own keys.

    The keystore looks for these methods by name in every `Policy`; one that has only some of them is fine, too.
    Without `namespaces_of`, nobody works in another namespace; without `may_use`, every caller may do with the keys
    within its reach what the keys allow. Three further ones:

    - `may_register_providers(caller)` is asked about `registerProvider`; without it, every caller may register what
      the operator has declared.
    - `may_use_providers(caller)` is asked where a caller opens a resource of a provider, or asks for an id or
      certificates; without it, every caller may, and so try the PIN.
    - `may_authenticate(caller, user_id)` is asked about `authenticate`, for another user after `may_act_for`; without
      it, every caller may have its own user authenticated.

    Attributes:
        cache_seconds: for how long an answer of `may_use` is reused for an equal request. Without this attribute,
            answers are never reused.
    """

    cache_seconds: float

    def namespaces_of(self, caller: Caller) -> Collection[str]:
        """The namespaces other than its own that the caller may work in (`as_caller(…, namespace=…)`)."""

    def may_use(self, request: AccessRequest) -> bool:
        """Whether the caller may make this call. For a session, this is asked once, when the session is opened.

        In a batch session it is asked once for each purpose, before the first operation with that purpose.
        """


class Nobody:
    """The policy of a keystore that was given none: nobody acts for another user or shares keys."""

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        """No."""
        return False

    def groups_of(self, caller: Caller) -> Collection[str]:
        """None."""
        return ()
