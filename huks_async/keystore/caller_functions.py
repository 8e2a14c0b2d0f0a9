"""One open keystore for several callers: the open state of each, and the functions for a single one."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel

from huks_async.access.callers import Acting, Caller
from huks_async.keystore.attestation_functions import AttestationFunctions
from huks_async.keystore.authentication_functions import AuthenticationFunctions
from huks_async.keystore.file_functions import FileFunctions
from huks_async.keystore.kem_functions import KemFunctions
from huks_async.keystore.keyrings import Keyring, Keyrings
from huks_async.keystore.legacy_functions import LegacyFunctions
from huks_async.keystore.message_functions import MessageFunctions
from huks_async.keystore.open_state import OpenState, set_caller
from huks_async.keystore.other_user_functions import OtherUserFunctions
from huks_async.keystore.provider_functions import ProviderFunctions
from huks_async.keystore.wrapping_functions import WrappingFunctions
from huks_async.model.uncopied import Uncopied

_BATCH = 250
_MAX_CALLERS = 1024
"""For how many callers, the most recent ones, opened keys are kept ready; others' are opened again on a call."""


class CallerStates:
    """The open state of a keystore as each of its callers sees it."""

    def __init__(self, own: OpenState, open_keyring: Callable[[str, int], Keyring]) -> None:
        self.own = own
        self.has_others: bool = False
        """Whether there has been another caller than the keystore's own."""
        self._open_keyring = open_keyring
        self._others: OrderedDict[Acting, OpenState] = OrderedDict()

    def of(self, acting: Acting | None) -> OpenState:
        """The state for a caller; None: the keystore's own."""
        if acting is None:
            return self.own
        state = self._others.get(acting)
        if state is None:
            self.has_others = True
            own = self.own.keyrings
            user_id = own.caller.user_id if acting.user_id is None else acting.user_id
            caller = Caller(acting.name, user_id)
            keyrings = Keyrings(self._open_keyring, caller, acting.namespace or acting.name, own.permissions)
            state = self._others[acting] = set_caller(self.own, keyrings)
            if len(self._others) > _MAX_CALLERS:
                _, oldest = self._others.popitem(last=False)
                oldest.keyrings.shrink()
        else:
            self._others.move_to_end(acting)
        return state

    def shrink(self) -> None:
        """Drop what is kept ready, under memory pressure."""
        self.own.keyrings.permissions.forget()
        self.own.keyrings.shrink()
        for state in self._others.values():
            state.keyrings.shrink()
        self._others.clear()

    async def forget_old_keys(
        self, seconds: float, *, sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    ) -> None:
        """Drop keys that have been kept ready for `seconds`, until cancelled."""
        while True:
            await sleep(min(max(seconds / 4, 1.0), 60.0))
            for state in (self.own, *self._others.values()):
                for shelf in state.keyrings.shelves():
                    while shelf.forget_old(_BATCH) == _BATCH:
                        await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()

    def count_keys(self) -> int:
        """How many opened keys are kept ready."""
        return len(self.own.keyrings) + sum(len(state.keyrings) for state in self._others.values())


class CallerKeystore(
    LegacyFunctions,
    WrappingFunctions,
    KemFunctions,
    AttestationFunctions,
    OtherUserFunctions,
    ProviderFunctions,
    MessageFunctions,
    AuthenticationFunctions,
    FileFunctions,
    Uncopied,
):
    """The functions on keys, messages, files and providers of an open keystore, as one caller; see `Keystore.for_caller`.

    It is open as long as its keystore is. `as_caller` blocks have no effect on it.
    """

    def __init__(
        self,
        state_of: Callable[[Acting | None], OpenState],
        do_soon: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
        acting: Acting | None,
    ) -> None:
        self._state_of = state_of
        self._have_done = do_soon
        self._acting = acting

    def _open_state(self) -> OpenState:
        return self._state_of(self._acting)

    def _do_soon(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._have_done(call)

    def __repr__(self) -> str:
        return f"<CallerKeystore {self._acting!r}>"
