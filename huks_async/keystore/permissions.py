"""The questions that a keystore asks its policy, and how it reads the answers.

Only a plain yes permits. A policy that raises, is a coroutine, or answers with anything else permits nothing.
"""

import inspect
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from logging import Logger, getLogger
from typing import Any

from huks_async.access.policy import AccessRequest, Caller, Nobody, Policy
from huks_async.model.enums import HuksAuthStorageLevel, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.settings import check_seconds
from huks_async.model.showing import shown, type_name

logger: Logger = getLogger("huks_async.access")

MAX_GROUP_BYTES = 128
# The most names that a policy may list: they are searched on the event loop at each call with a group's key.
_MAX_NAMES = 1000
# The most answers that are kept: beyond this number, the oldest is dropped and its question asked again.
_MAX_ANSWERS = 4096


class Permissions:
    """Asks the policy of a keystore.

    Attributes:
        device: whether this is a device, where applications name no users.
        asks: whether the policy is also asked about what callers do with their own keys.
    """

    def __init__(self, policy: Policy, *, device: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self.device = device
        self._clock = clock
        self.asks: bool = getattr(policy, "may_use", None) is not None
        self._holds = _cache_seconds(policy)
        self._answers: OrderedDict[AccessRequest, tuple[float, object]] = OrderedDict()

    def check_user(self, caller: Caller, user_id: int) -> None:
        """Refuse a caller that may not name this user: 202 on a device, 201 if the policy says no."""
        if self.device:
            raise BusinessError(202, "acting for another user is for system applications")
        if self._ask("may_act_for", caller, user_id) is not True:
            raise _denied(caller, f"acting for user {user_id}", "no policy allows it")

    def check_group(self, caller: Caller, name: bytes) -> None:
        """Refuse a caller that does not belong to a group.

        Raises:
            BusinessError: 401 for a name of a wrong length; 12000001 without a policy on the server; 12000018 if
                the policy does not list the group.
        """
        if not 0 < len(name) <= MAX_GROUP_BYTES:
            raise BusinessError(
                401, f"HUKS_TAG_KEY_ACCESS_GROUP has {len(name)} bytes, accepted 1 … {MAX_GROUP_BYTES}"
            )
        if isinstance(self._policy, Nobody) and not self.device:
            raise BusinessError(
                12000001,
                "HUKS_TAG_KEY_ACCESS_GROUP: this keystore has no policy that knows groups; "
                "see Keystore.open(policy=…)",
            )
        group = group_name(name)
        if group not in self._names("groups_of", caller):
            _record_denial(caller, f"keys of the group {shown(group)}")
            raise BusinessError(
                12000018,
                f"HUKS_TAG_KEY_ACCESS_GROUP: {shown(caller.namespace)} does not belong to the group {shown(group)}",
            )

    def check_namespace(self, caller: Caller, namespace: str) -> None:
        """Refuse a caller that may not work in another application's namespace: 201 if the policy says no."""
        known = getattr(self._policy, "namespaces_of", None) is not None
        if not known or namespace not in self._names("namespaces_of", caller):
            raise _denied(caller, f"keys of the namespace {shown(namespace)}", "no policy allows it")

    def check_registering(self, caller: Caller, what: str) -> None:
        """Refuse a caller that may not register the abilities that the keystore was opened with: 201 if the policy says no.

        The operator chose them already, so a policy that does not know this question lets every caller register them.
        """
        if getattr(self._policy, "may_register_providers", None) is None:
            return
        if self._ask("may_register_providers", caller) is not True:
            raise _denied(caller, what, "the policy does not allow it")

    def check_providers(self, caller: Caller) -> None:
        """Refuse a caller that may use no providers: 201 if the policy says no.

        A policy that does not know this question lets every caller use them.
        """
        if getattr(self._policy, "may_use_providers", None) is None:
            return
        if self._ask("may_use_providers", caller) is not True:
            raise _denied(caller, "using external providers", "the policy does not allow it")

    def check_authentication(self, caller: Caller, user_id: int) -> None:
        """Refuse a caller that may not have this user authenticated: 201 if the policy says no.

        A policy that does not know this question lets every caller have its own user authenticated.
        """
        if getattr(self._policy, "may_authenticate", None) is None:
            return
        if self._ask("may_authenticate", caller, user_id) is not True:
            raise _denied(caller, f"authenticating user {user_id}", "the policy does not allow it")

    def check_use(self, request: AccessRequest) -> None:
        """Refuse a call that the caller may not make: 201 if the policy says no."""
        if self._holds and (known := self._answers.get(request)) is not None and known[0] > self._clock():
            answer = known[1]
        else:
            answer = self._ask("may_use", request)
            if self._holds:
                self._answers[request] = (self._clock() + self._holds, answer)
                self._answers.move_to_end(request)
                if len(self._answers) > _MAX_ANSWERS:
                    self._answers.popitem(last=False)
        if answer is not True:
            raise _denied(request.caller, describe(request), "the policy does not allow it")

    def forget(self) -> None:
        """Drop the answers that are kept, under memory pressure."""
        self._answers.clear()

    def _names(self, question: str, caller: Caller) -> Collection[str]:
        names = self._ask(question, caller)
        if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
            raise _bad_policy(question, "a collection of names", names)
        try:
            known = [name for name in islice(names, _MAX_NAMES + 1) if type(name) is str]
        except Exception as error:
            raise _bad_policy(question, "a collection of names that can be read", names) from error
        if len(known) > _MAX_NAMES:
            raise _bad_policy(question, f"at most {_MAX_NAMES} names", names)
        return known

    def _ask(self, question: str, *about: object) -> object:
        """Ask the policy a question. A policy that raises, or answers with an awaitable, permits nothing."""
        try:
            answer: object = getattr(self._policy, question)(*about)
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


def describe(request: AccessRequest) -> str:
    """A request in words, for a message: function, purposes, alias, and whose keys they are."""
    level = HuksAuthStorageLevel(request.level).name.rpartition("_")[2]
    words = [request.function]
    if request.purposes:
        words.append(f"({purpose_names(request.purposes)})")
    if request.alias is not None:
        words.append(f"on {shown(request.alias)}")
    whose = (
        f"of the group {shown(request.group)}"
        if request.group is not None
        else f"in {shown(request.namespace)}"
    )
    if request.user_id != request.caller.user_id:
        whose += f" for user {request.user_id}"
    return f"{' '.join(words)} {whose} at level {level}"


def purpose_names(purposes: int) -> str:
    """The names of the purposes in a number, in lower case; bits without a name are shown as a number."""
    names = [member.name.rpartition("_")[2].lower() for member in HuksKeyPurpose if member & purposes]
    rest = purposes & ~sum(HuksKeyPurpose)
    return ", ".join([*names, str(rest)] if rest else names)


def group_name(name: bytes) -> str:
    """The name of a group as text."""
    return name.decode(errors="replace")


def _denied(caller: Caller, what: str, why: str) -> BusinessError:
    _record_denial(caller, what)
    return BusinessError(
        201, f"{shown(caller.namespace)} of user {caller.user_id}: {what}: {why}; see Keystore.open(policy=…)"
    )


def _record_denial(caller: Caller, what: str) -> None:
    """Record a denial by a policy; all denials pass through here."""
    logger.info("denied: %s of user %d: %s", shown(caller.namespace), caller.user_id, what)


def _cache_seconds(policy: Policy) -> float:
    seconds: Any = getattr(policy, "cache_seconds", 0.0)
    return check_seconds(seconds, "policy: cache_seconds", zero=True, endless=True)


def _bad_policy(question: str, wanted: str, got: object) -> BusinessError:
    return BusinessError(
        12000012,
        f"the policy's {question} must give {wanted}, got {type_name(got)}; nothing was permitted",
    )
