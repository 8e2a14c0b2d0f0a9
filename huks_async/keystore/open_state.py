"""The open state that the functions of a keystore work with, and the checks that all of them begin with."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from huks_async.access.callers import FIRST_USER
from huks_async.access.policy import AccessRequest
from huks_async.keys.items.aliases import check_alias, storage_level
from huks_async.keys.items.prepared import Prepared
from huks_async.keys.items.shelf import KeyShelf
from huks_async.keys.lifecycle import KeyMaker, Recipe
from huks_async.keystore.key_class import KEY_CLASS
from huks_async.keystore.keyrings import Keyring, Keyrings, namespace_of
from huks_async.keystore.permissions import group_name
from huks_async.keystore.providers_on_demand import ProvidersOnDemand
from huks_async.model.enums import HuksAuthStorageLevel
from huks_async.model.errors import BusinessError, ParameterSetError
from huks_async.model.limits import Limits
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag, InnerTag
from huks_async.rootkeys import RootKey
from huks_async.runtime.outside_calls import OutsideCalls
from huks_async.runtime.owner import Owner
from huks_async.runtime.process_pool import ProcessPool
from huks_async.runtime.workers import WorkerPool
from huks_async.sessions.dispatch import Dispatcher
from huks_async.sessions.driver import SessionDriver
from huks_async.sessions.table import SessionTable
from huks_async.stores.base import Store

if TYPE_CHECKING:
    from huks_async.access.control import AccessControl
    from huks_async.keys.attestation import AttestationCa, Mode
    from huks_async.providers.service import ExternalProviders

_Given = TypeVarTuple("_Given")
_Read = TypeVar("_Read")

_SPECIFIC_USER = int(InnerTag.SPECIFIC_USER_ID)
_ACCESS_GROUP = int(HuksTag.HUKS_TAG_KEY_ACCESS_GROUP)
_PURPOSE = int(HuksTag.HUKS_TAG_PURPOSE)
_SECURITY_LEVEL = int(HuksTag.HUKS_TAG_KEY_SECURITY_LEVEL)


@dataclass(slots=True, eq=False, repr=False)
class OpenState:
    """The open state of a keystore as one caller's call sees it, with the keys that the call works on.

    Attributes:
        owner: the event loop that opened the keystore; refuses calls in any other.
        thread: the thread of that loop, by which most calls see that they are in it without asking `owner`.
        limits: how many sessions and bytes there may be.
        device: whether the keystore has the limits and permissions of an ordinary application on a device.
        wrapping_key: the operator's key, under which keys leave the keystore; None without one.
        outside: asks root keys and authenticators, and ends the calls that wait for them when the keystore closes.
        authority: gives what certifies keys, for each kind of attestation.
        providers_on_demand: the external providers, loaded at their first use.
        access: has users authenticated, and judges auth tokens.
        namespace: the application whose keys the call uses.
        session_owner: names the caller, to whom sessions belong whichever keys they use.
        keyrings: the keyrings of the caller.
        shelf: holds the keys that the call uses.
        maker: makes keys for that shelf.
        recall: `shelf.recall`, or `recall_nothing` if the policy must be asked about each session.
        recall_guarded: likewise for `shelf.recall_guarded`, for keys with demands.
        recall_use: likewise for `shelf.recall_use`, for messages.
        recall_recipe: likewise for `maker.recall`, for keys to be generated; never recalls for another user's keys.
        user_id: the user whose keys the call uses.
        acts_for: the user that the call names, or None.
    """

    owner: Owner
    thread: int
    store: Store
    pool: WorkerPool
    shelf: KeyShelf
    maker: KeyMaker
    table: SessionTable
    driver: SessionDriver
    dispatcher: Dispatcher
    processes: ProcessPool
    limits: Limits
    device: bool
    namespace: str
    session_owner: str
    keyrings: Keyrings
    recall: "Callable[[str, list[Any]], Prepared | None]"
    recall_guarded: "Callable[[str, list[Any]], Prepared | None]"
    recall_use: Callable[[str, int, str], Any]
    recall_recipe: Callable[[list[Any]], Recipe | None]
    wrapping_key: RootKey | None
    outside: OutsideCalls
    authority: "Callable[[Mode], Awaitable[AttestationCa]]"
    providers_on_demand: ProvidersOnDemand
    access: "AccessControl"
    user_id: int
    acts_for: int | None = None

    @property
    def providers(self) -> "ExternalProviders":
        """The external providers, which are loaded when this is first read."""
        return self.providers_on_demand.get()


class KeystoreFunctions:
    """Base of the groups of functions: gives them the open state.

    `_direct` is the open state as well, if all callers share it: calls on sessions then use it without looking up
    their caller.
    """

    _state: OpenState | None = None
    _direct: OpenState | None = None
    _why_closed = "it is not open: use `async with Keystore.open(…) as keystore`"

    def _open_state(self) -> OpenState:
        state = self._state
        if state is None:
            raise BusinessError(12000012, f"this keystore cannot be used: {self._why_closed}")
        state.owner.check("this keystore")
        return state

    def _pinned(self) -> "KeystoreFunctions":
        """These functions, bound to the caller of this context even if they are called in another one later."""
        return self

    def _do_soon(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have the keystore's event loop make a call, if the keystore is still open then. From any thread."""
        raise NotImplementedError

    def _end_soon(self, function: str, *args: Any) -> None:
        """Have a function that only ends something be called by the event loop, for a coroutine that may not wait.

        What the function raises is logged.
        """
        self._do_soon(partial(getattr(self._pinned(), function), *args))


def recall_nothing(alias: str, properties: list[Any]) -> None:
    """Stands in for `KeyShelf.recall` if parameters must be checked each time, although they passed before."""


def recall_no_use(alias: str, level: int, use: str) -> None:
    """Stands in for `KeyShelf.recall_use` likewise."""


def recall_no_recipe(properties: list[Any]) -> None:
    """Stands in for `KeyMaker.recall` likewise."""


def set_caller(state: OpenState, keyrings: Keyrings) -> OpenState:
    """The state of a keystore as the owner of these keyrings sees it."""
    return replace(state, **view_of(keyrings))


def view_of(keyrings: Keyrings) -> dict[str, Any]:
    """The fields of an `OpenState` that belong to the owner of these keyrings."""
    caller = keyrings.caller
    return {
        "namespace": keyrings.namespace,
        "session_owner": namespace_of(caller.namespace, caller.user_id),
        **_keys_of(keyrings, keyrings.own),
    }


def read_call(state: OpenState, read: Callable[[*_Given], _Read], *given: *_Given) -> _Read:
    """Read the arguments of a call that may be about a key of a provider.

    A refusal counts as one about providers, because nobody can tell whose key a call is about that cannot be read.
    """
    try:
        return read(*given)
    except BusinessError as error:
        state.providers_on_demand.note_refusal(state.session_owner, error)
        raise


def state_for(
    state: OpenState, params: ParamSet, function: str, alias: str | None = None, purposes: int | None = None
) -> OpenState:
    """The state that a call with these parameters works on, once the policy has been asked about the call.

    Args:
        state: of the caller.
        params: of the call.
        function: the documented name of the function that is called, without `AsUser`.
        alias: the key that the call is about.
        purposes: what the key is to do; default: HUKS_TAG_PURPOSE of the parameters.

    Raises:
        BusinessError: as `keys_for`; 201 for what the policy does not allow.
    """
    state = keys_for(state, params)
    if state.keyrings.permissions.asks:
        asked = params.numbers.get(_PURPOSE, 0) if purposes is None else purposes
        ask_policy(state, params, function, alias, asked, storage_level(params))
    return state


def keys_for(state: OpenState, params: ParamSet) -> OpenState:
    """The state that a call with these parameters works on: a user's or group's if they name one.

    Raises:
        BusinessError: 201, 202 or 401 for another user, 12000001 or 12000018 for a group; 201 for another
            namespace; 12000001 for a key of an external provider, because the functions that can use such keys
            handle them before they call this.
    """
    _refuse_external(state, params)
    keyrings = state.keyrings
    if keyrings.namespace != keyrings.caller.namespace:
        keyrings.permissions.check_namespace(keyrings.caller, keyrings.namespace)
    return state_of_named(state, params)


def own_alias(state: OpenState, alias: Any, params: ParamSet, what: str = "keyAlias") -> str:
    """The alias that a function without a form for keys of providers was given, checked.

    Raises:
        BusinessError: 12000001 for a key of a provider, before 401 for an alias that is none: the resource id that names
            such a key may be longer than an alias.
    """
    _refuse_external(state, params)
    return check_alias(alias, what)


def _refuse_external(state: OpenState, params: ParamSet) -> None:
    if params.numbers.get(KEY_CLASS):
        error = BusinessError(
            12000001,
            "HUKS_TAG_KEY_CLASS: this function has no form for keys of external providers; leave the tag out",
        )
        state.providers_on_demand.note_refusal(state.session_owner, error)
        raise error


def ask_policy(
    state: OpenState, params: ParamSet, function: str, alias: str | None, purposes: int, level: int
) -> None:
    """Ask the policy about a call on the keys that `keys_for` gave; 201 for what it does not allow."""
    keyrings = state.keyrings
    user_id, group = state.acts_for, params.blobs.get(_ACCESS_GROUP)
    keyrings.permissions.check_use(
        AccessRequest(
            caller=keyrings.caller,
            function=function if user_id is None else f"{function}AsUser",
            alias=alias,
            purposes=purposes,
            namespace=keyrings.namespace,
            user_id=keyrings.caller.user_id if user_id is None else user_id,
            group=None if group is None else group_name(group),
            level=level,
        )
    )


def state_of_named(state: OpenState, params: ParamSet) -> OpenState:
    """The state of the user or group that parameters name; errors as `keys_for`."""
    user_id, group = params.numbers.get(_SPECIFIC_USER), params.blobs.get(_ACCESS_GROUP)
    if user_id is not None:
        if state.acts_for is None:
            state = state_of_user(state, user_id)
        elif user_id != state.acts_for:
            raise ParameterSetError(
                401, f"two users are given: {state.acts_for}, and {user_id} in the parameters"
            )
    if state.acts_for is not None:
        _check_other_user(state.acts_for, params)
    elif group is not None:
        return replace(state, **_keys_of(state.keyrings, state.keyrings.of_group(group)))
    return state


def state_of_user(state: OpenState, user_id: int) -> OpenState:
    """The state that a call for a user works on.

    Raises:
        BusinessError: 401 for a wrong user id; 202 on a device; 201 if the policy says no.
    """
    state = replace(state, **_keys_of(state.keyrings, state.keyrings.of_user(user_id)), acts_for=user_id)
    # A recipe that was checked for the user's own keys may name a level that is not allowed for another user's.
    state.recall_recipe = recall_no_recipe
    return state


def _keys_of(keyrings: Keyrings, keyring: Keyring) -> dict[str, Any]:
    """The fields of an `OpenState` that belong to one of these keyrings."""
    asked = keyrings.permissions.asks or keyrings.namespace != keyrings.caller.namespace
    return {
        "keyrings": keyrings,
        "shelf": keyring.shelf,
        "maker": keyring.maker,
        "user_id": keyring.user_id,
        "recall": recall_nothing if asked else keyring.shelf.recall,
        "recall_guarded": recall_nothing if asked else keyring.shelf.recall_guarded,
        "recall_use": recall_no_use if asked else keyring.shelf.recall_use,
        "recall_recipe": recall_no_recipe if asked else keyring.maker.recall,
    }


def _check_other_user(user_id: int, params: ParamSet) -> None:
    if _ACCESS_GROUP in params.blobs:
        raise BusinessError(12000001, "keys of groups have no user: leave out userId")
    level = storage_level(params)
    if user_id < FIRST_USER and level != HuksAuthStorageLevel.HUKS_AUTH_STORAGE_LEVEL_DE:
        raise BusinessError(
            401,
            f"HUKS_TAG_AUTH_STORAGE_LEVEL: got {level} for user {user_id}; users below {FIRST_USER} are the "
            "system's and have keys of level DE (0) only",
        )


def check_security_level(params: ParamSet) -> None:
    """Refuse (401) a security level other than TEE in a call that uses a key: it is chosen when the key is made."""
    if params.numbers.get(_SECURITY_LEVEL):
        raise BusinessError(
            401, "HUKS_TAG_KEY_SECURITY_LEVEL: a call that uses a key takes no level but 0 (TEE)"
        )


@contextmanager
def newer_codes() -> Iterator[None]:
    """A block in which wrong arguments raise 12000018, the code of the newest functions, instead of 401."""
    try:
        yield
    except BusinessError as error:
        if error.code != 401:
            raise
        raise BusinessError(12000018, error.message, reason=error.reason) from None
