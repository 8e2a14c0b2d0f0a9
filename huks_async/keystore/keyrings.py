"""The namespaces that one keystore's calls reach: the caller's own, other users', and groups'.

Within a store a namespace is a text: the application's name for its first user, and for others
that name with the user's number; a group's name with the user's number. The separator cannot occur in
a name, so that no two of them are ever the same text. Items are sealed under a key of their namespace.
"""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple

from huks_async.access.policy import Caller, Nobody, Policy
from huks_async.keys.items.shelf import KeyShelf
from huks_async.keys.lifecycle import KeyMaker
from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown, type_name

SEPARATOR = "\x1f"
FIRST_USER = 100
"""The user that a keystore works for unless it is told; below are the system's, as on a device."""

MAX_GROUP_BYTES = 128
# looked through at each call of a group's key, on the event loop
_MAX_GROUPS = 1000
_MAX_USER = 2**31 - 1
# others than the own one; one that is left out is opened again when it is needed
_MAX_OPEN_KEYRINGS = 64


class Keyring(NamedTuple):
    """The keys of one namespace."""

    shelf: KeyShelf
    maker: KeyMaker


class Keyrings:
    """Finds the keyring a call is for, if the policy lets the caller go there."""

    def __init__(
        self, open_keyring: Callable[[str], Keyring], caller: Caller, policy: Policy, *, device: bool
    ) -> None:
        self.caller = caller
        self.own: Keyring = open_keyring(namespace_of(caller.namespace, caller.user_id))
        self._open_keyring = open_keyring
        self._policy = policy
        self._device = device
        self._others: OrderedDict[str, Keyring] = OrderedDict()

    def of_user(self, user_id: Any) -> Keyring:
        """The keys of the caller's application that belong to a user.

        Raises:
            BusinessError: 401 for what is no user id; 202 on a device; 201 where the policy says no.
        """
        if type(user_id) is bool or not issubclass(type(user_id), int):
            raise BusinessError(401, f"userId must be an int, got {type_name(user_id)}")
        user_id = int.__int__(user_id)
        if not -_MAX_USER - 1 <= user_id <= _MAX_USER:
            raise BusinessError(401, f"userId: got {shown(user_id)}, which is no number of 32 bits")
        if self._device:
            raise BusinessError(202, "acting for another user is for system applications")
        if user_id < 0:
            raise BusinessError(401, f"userId: got {shown(user_id)}, accepted 0 … {_MAX_USER}")
        caller = self.caller
        if self._ask("may_act_for", user_id) is not True:
            raise BusinessError(
                201,
                f"no policy allows {shown(caller.namespace)} of user {caller.user_id} to act for user {user_id}; "
                "see Keystore.open(policy=…)",
            )
        # the caller's own keys too: what was prepared for calls with a user is not for calls without one
        return self._other(namespace_of(caller.namespace, user_id))

    def of_group(self, name: bytes) -> Keyring:
        """The keys that the members of an access group share.

        Raises:
            BusinessError: 401 for a name that is none; 12000001 without a policy on the server; 12000018
                where the policy does not list the group.
        """
        if not 0 < len(name) <= MAX_GROUP_BYTES:
            raise BusinessError(
                401, f"HUKS_TAG_KEY_ACCESS_GROUP has {len(name)} bytes, accepted 1 … {MAX_GROUP_BYTES}"
            )
        if isinstance(self._policy, Nobody) and not self._device:
            raise BusinessError(
                12000001,
                "HUKS_TAG_KEY_ACCESS_GROUP: this keystore has no policy that knows groups; "
                "see Keystore.open(policy=…)",
            )
        groups = self._ask("groups_of")
        if isinstance(groups, (str, bytes)) or not isinstance(groups, Iterable):
            raise _bad_policy("groups_of", "a collection of names", groups)
        try:
            known = [group for group in islice(groups, _MAX_GROUPS + 1) if type(group) is str]
        except Exception as error:
            raise _bad_policy("groups_of", "a collection of names that can be read", groups) from error
        if len(known) > _MAX_GROUPS:
            raise _bad_policy("groups_of", f"at most {_MAX_GROUPS} names", groups)
        if name.decode(errors="replace") not in known:
            raise BusinessError(
                12000018,
                f"HUKS_TAG_KEY_ACCESS_GROUP: {shown(self.caller.namespace)} does not belong to the group "
                f"{shown(name.decode(errors='replace'))}",
            )
        group = f"{SEPARATOR}group{SEPARATOR}{name.hex()}"
        return self._other(namespace_of(group, self.caller.user_id))

    def _ask(self, question: str, *more: object) -> object:
        """Ask the policy; only a plain answer counts, and a failure is no permission."""
        try:
            answer: object = getattr(self._policy, question)(self.caller, *more)
        except BusinessError:
            raise
        except Exception as error:
            raise BusinessError(
                12000012, f"the policy's {question} failed ({type_name(error)}); nothing was permitted"
            ) from error
        if inspect.iscoroutine(answer):
            answer.close()
            raise _bad_policy(question, "an answer at once, from a plain function", answer)
        return answer

    def shrink(self) -> None:
        """Drop what is kept ready, under memory pressure."""
        self.own.shelf.shrink()
        for keyring in self._others.values():
            keyring.shelf.shrink()
        self._others.clear()

    def __len__(self) -> int:
        return len(self.own.shelf) + sum(len(keyring.shelf) for keyring in self._others.values())

    def _other(self, namespace: str) -> Keyring:
        keyring = self._others.get(namespace)
        if keyring is None:
            keyring = self._others[namespace] = self._open_keyring(namespace)
            if len(self._others) > _MAX_OPEN_KEYRINGS:
                _, oldest = self._others.popitem(last=False)
                oldest.shelf.shrink()
        else:
            self._others.move_to_end(namespace)
        return keyring


def _bad_policy(question: str, wanted: str, got: object) -> BusinessError:
    return BusinessError(
        12000012,
        f"the policy's {question} must give {wanted}, got {type_name(got)}; nothing was permitted",
    )


def namespace_of(name: str, user_id: int) -> str:
    """The namespace of an application or group for one user."""
    return name if user_id == FIRST_USER else f"{name}{SEPARATOR}user{SEPARATOR}{user_id}"


def check_namespace(namespace: Any) -> str:
    """Check the name of an application; 401 for anything but text without the separator."""
    namespace = str.__str__(namespace) if issubclass(type(namespace), str) else namespace
    if type(namespace) is not str or not namespace or SEPARATOR in namespace:
        raise BusinessError(
            401, f"namespace must be a non-empty str without {SEPARATOR!r}, got {shown(namespace)}"
        )
    try:
        namespace.encode()
    except UnicodeEncodeError:
        raise BusinessError(401, "namespace is not valid Unicode: it holds lone surrogates") from None
    return namespace


def check_user(user_id: Any) -> int:
    """Check the user a keystore works for; 401 for anything but a user id of 100 or more."""
    if issubclass(type(user_id), int) and type(user_id) is not bool:
        user_id = int.__int__(user_id)
    if type(user_id) is not int or not FIRST_USER <= user_id <= _MAX_USER:
        raise BusinessError(
            401,
            f"user_id: got {shown(user_id)}, accepted {FIRST_USER} … {_MAX_USER}; lower ones are the system's, "
            "reached with the …AsUser functions",
        )
    return user_id
