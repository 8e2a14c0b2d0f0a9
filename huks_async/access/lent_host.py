"""What a keystore lends to its authenticator: a vault, a worker thread, and the voiding of tokens."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, TypeVarTuple

from huks_async.access.callers import MAX_USER
from huks_async.access.vault import Vault
from huks_async.model.settings import check_whole

T = TypeVar("T")
Args = TypeVarTuple("Args")


class LentHost:
    """What a keystore lends to its authenticator; see `AuthHost`."""

    def __init__(
        self,
        vault: Vault,
        run: Callable[..., Awaitable[Any]],
        changed: Callable[[int], None],
        void: Callable[[int], Awaitable[None]],
    ) -> None:
        self.vault: Vault = vault
        self._run = run
        self._changed = changed
        self._void = void

    async def run(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """Call a function in a worker thread."""
        result: T = await self._run(function, *args)
        return result

    def credentials_changed(self, user_id: int) -> None:
        """Void the tokens that were made for a user so far, in this process."""
        self._changed(_checked(user_id))

    async def void_tokens(self, user_id: int) -> None:
        """Void the tokens that were made for a user so far, durably and in all processes."""
        await self._void(_checked(user_id))


def _checked(user_id: object) -> int:
    # 401 for "100": nobody would have noticed that this voids nothing
    return check_whole(user_id, "user_id", 0, MAX_USER)
