"""What the functions of a keystore work with, and the checks that all of them begin with."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from huks_async.keys.items.aliases import storage_level
from huks_async.keys.items.shelf import KeyShelf
from huks_async.keys.lifecycle import KeyMaker
from huks_async.keystore.keyrings import FIRST_USER, Keyrings
from huks_async.model.enums import HuksAuthStorageLevel
from huks_async.model.errors import BusinessError, ParameterSetError
from huks_async.model.limits import Limits
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag, InnerTag
from huks_async.rootkeys import RootKey
from huks_async.runtime.owner import Owner
from huks_async.runtime.process_pool import ProcessPool
from huks_async.runtime.workers import WorkerPool
from huks_async.sessions.dispatch import Dispatcher
from huks_async.sessions.driver import SessionDriver
from huks_async.sessions.table import SessionTable
from huks_async.stores.base import Store

if TYPE_CHECKING:
    from huks_async.keys.attestation import AttestationCa, Mode

_SPECIFIC_USER = int(InnerTag.SPECIFIC_USER_ID)
_ACCESS_GROUP = int(HuksTag.HUKS_TAG_KEY_ACCESS_GROUP)
_KEY_CLASS = int(HuksTag.HUKS_TAG_KEY_CLASS)


@dataclass(slots=True, eq=False, repr=False)
class OpenState:
    """The open state of a keystore, with the keys that a call works on.

    Sessions belong to the caller whichever keys they use, so `namespace` is the caller's; `shelf` and
    `maker` are those of the keys.
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
    keyrings: Keyrings
    wrapping_key: RootKey | None
    authority: "Callable[[Mode], Awaitable[AttestationCa]]"
    acts_for: int | None = None


class KeystoreFunctions:
    """Base of the groups of functions: gives them the open state."""

    _state: OpenState | None = None
    _why_closed = "it is not open: use `async with Keystore.open(…) as keystore`"

    def _open_state(self) -> OpenState:
        state = self._state
        if state is None:
            raise BusinessError(12000012, f"this keystore cannot be used: {self._why_closed}")
        state.owner.check("this keystore")
        return state


def state_for(state: OpenState, params: ParamSet) -> OpenState:
    """The state that a call with these parameters works on: a user's or group's where they name one.

    Raises:
        BusinessError: 201, 202 or 401 for another user, 12000001 or 12000018 for a group.
    """
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
        keyring = state.keyrings.of_group(group)
        return replace(state, shelf=keyring.shelf, maker=keyring.maker)
    return state


def state_of_user(state: OpenState, user_id: int) -> OpenState:
    """The state that a call for a user works on.

    Raises:
        BusinessError: 401 for what is no user id; 202 on a device; 201 where the policy says no.
    """
    keyring = state.keyrings.of_user(user_id)
    return replace(state, shelf=keyring.shelf, maker=keyring.maker, acts_for=user_id)


def _check_other_user(user_id: int, params: ParamSet) -> None:
    if _ACCESS_GROUP in params.blobs or params.numbers.get(_KEY_CLASS):
        raise BusinessError(
            12000001, "keys of groups and of external providers have no user: leave out userId"
        )
    level = storage_level(params)
    if user_id < FIRST_USER and level != HuksAuthStorageLevel.HUKS_AUTH_STORAGE_LEVEL_DE:
        raise BusinessError(
            401,
            f"HUKS_TAG_AUTH_STORAGE_LEVEL: got {level} for user {user_id}; users below {FIRST_USER} are the "
            "system's and have keys of level DE (0) only",
        )


@contextmanager
def newer_codes() -> Iterator[None]:
    """Give mistakes in arguments the code that the newest functions have for them: 12000018."""
    try:
        yield
    except BusinessError as error:
        if error.code != 401:
            raise
        raise BusinessError(12000018, error.message, reason=error.reason) from None
