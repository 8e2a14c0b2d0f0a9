"""The namespaces that one caller's calls may reach: its own, other users', and groups'.

Within a store a namespace is a text. For an application's first user it is the application's name; for other
users, that name with the user's number; for a group, the group's name with the user's number. The separator
cannot occur in a name, so no two namespaces are the same text. Items are sealed under a key of their namespace.

Each caller has keyrings of its own, also for keys that several callers share. So nothing that was kept for one
caller (an opened key, a list of parameters that passed the checks) is ever used for another.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from huks_async.access.callers import FIRST_USER, MAX_USER, SEPARATOR, Caller
from huks_async.keys.items.shelf import KeyShelf
from huks_async.keys.lifecycle import KeyMaker
from huks_async.keystore.permissions import Permissions
from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown, type_name

# How many keyrings are kept besides the caller's own; any other is opened again when it is needed.
_MAX_OPEN_KEYRINGS = 64


class Keyring(NamedTuple):
    """The keys of one namespace, and the user to whom they belong."""

    shelf: KeyShelf
    maker: KeyMaker
    user_id: int


class Keyrings:
    """Finds the keyring a caller's call is for, if the policy lets the caller go there.

    Attributes:
        caller: to whom the keyrings belong.
        namespace: the application whose keys a call uses if it names no others.
        own: the keys of that application.
        permissions: asks the policy.
    """

    def __init__(
        self,
        open_keyring: Callable[[str, int], Keyring],
        caller: Caller,
        namespace: str,
        permissions: Permissions,
    ) -> None:
        self.caller = caller
        self.namespace = namespace
        self.own: Keyring = open_keyring(namespace_of(namespace, caller.user_id), caller.user_id)
        self.permissions = permissions
        self._open_keyring = open_keyring
        self._others: OrderedDict[str, Keyring] = OrderedDict()

    def of_user(self, user_id: Any) -> Keyring:
        """The keys of the application that belong to a user.

        Raises:
            BusinessError: 401 for a wrong user id; 202 on a device; 201 if the policy says no.
        """
        user_id = check_user_id(user_id)
        if user_id < 0 and not self.permissions.device:
            raise BusinessError(401, f"userId: got {shown(user_id)}, accepted 0 … {MAX_USER}")
        self.permissions.check_user(self.caller, user_id)
        # A separate keyring even if this is the caller's own user: what is kept for calls that name a user, which
        # need another permission, must not serve calls that name none.
        return self._other(namespace_of(self.namespace, user_id), user_id)

    def of_group(self, name: bytes) -> Keyring:
        """The keys that the members of an access group share. Errors as `Permissions.check_group`."""
        self.permissions.check_group(self.caller, name)
        group = f"{SEPARATOR}group{SEPARATOR}{name.hex()}"
        return self._other(namespace_of(group, self.caller.user_id), self.caller.user_id)

    def shrink(self) -> None:
        """Drop what is kept ready, under memory pressure."""
        self.own.shelf.shrink()
        for keyring in self._others.values():
            keyring.shelf.shrink()
        self._others.clear()

    def shelves(self) -> list[KeyShelf]:
        """Where opened keys are kept ready."""
        return [self.own.shelf, *(keyring.shelf for keyring in self._others.values())]

    def __len__(self) -> int:
        return len(self.own.shelf) + sum(len(keyring.shelf) for keyring in self._others.values())

    def _other(self, namespace: str, user_id: int) -> Keyring:
        keyring = self._others.get(namespace)
        if keyring is None:
            keyring = self._others[namespace] = self._open_keyring(namespace, user_id)
            if len(self._others) > _MAX_OPEN_KEYRINGS:
                _, oldest = self._others.popitem(last=False)
                oldest.shelf.shrink()
        else:
            self._others.move_to_end(namespace)
        return keyring


def check_user_id(user_id: Any) -> int:
    """Check that a user id is a number of 32 bits; 401 otherwise."""
    if type(user_id) is bool or not issubclass(type(user_id), int):
        raise BusinessError(401, f"userId must be an int, got {type_name(user_id)}")
    number = int.__int__(user_id)
    if not -MAX_USER - 1 <= number <= MAX_USER:
        raise BusinessError(401, f"userId: got {shown(number)}, which does not fit in 32 bits")
    return number


def namespace_of(name: str, user_id: int) -> str:
    """The namespace of an application or group for one user."""
    return name if user_id == FIRST_USER else f"{name}{SEPARATOR}user{SEPARATOR}{user_id}"


def caller_named(namespace: str) -> Caller:
    """The caller whose namespace this is, as `namespace_of` names it."""
    name, _, user_id = namespace.partition(f"{SEPARATOR}user{SEPARATOR}")
    return Caller(name, int(user_id) if user_id else FIRST_USER)
