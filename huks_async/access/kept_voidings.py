"""The moments of voidings, kept in the store: for keystores that are opened later, and for other processes.

A moment is one of a clock that begins anew with each start of the machine, so it is kept with the id of that start.
"""

import struct
from collections.abc import Awaitable, Callable

from huks_async.access.vault import Vault, change, read_entries
from huks_async.access.voidings import Voidings

_ENTRY = struct.Struct("<16sQ")
# Entries of other starts are of no use after a restart; they are of use where several machines share the store.
_MOST_STARTS = 16


class KeptVoidings:
    """What the store says of voidings, and what of that is known in this process already.

    Args:
        vault: where it is kept.
        voidings: of this process; what is read goes in there.
        stamp: of the store, so that it is read only if somebody has written to it.
        boot: gives the id of this start of the machine, zeros where the system has none; then nothing is kept.
    """

    __slots__ = ("_boot", "_find_boot", "_known", "_stamp", "_stamp_known", "_vault", "_voidings")

    def __init__(
        self,
        vault: Vault,
        voidings: Voidings,
        stamp: Callable[[], object | None],
        boot: Callable[[], Awaitable[bytes]],
    ) -> None:
        self._vault = vault
        self._voidings = voidings
        self._stamp = stamp
        self._find_boot = boot
        self._boot: bytes | None = None
        # the users that were read while the store had this stamp
        self._stamp_known: object | None = None
        self._known: set[int] = set()

    async def learn(self, user_id: int) -> None:
        """Take over from the store when tokens of a user were voided last, by whichever process."""
        stamp = self._stamp()
        if stamp is None or stamp != self._stamp_known:
            self._stamp_known = stamp
            self._known.clear()
        elif user_id in self._known:
            return
        kept = await self._vault.get(_name(user_id))
        if kept is not None:
            self._voidings.learn(user_id, _entries(kept.data).get(await self._this_boot(), 0))
        if stamp is not None and stamp == self._stamp_known:
            self._known.add(user_id)

    async def note(self, user_id: int, clock: Callable[[], int]) -> None:
        """Note durably that the tokens which a user has are void; `clock` gives milliseconds."""
        boot = await self._this_boot()
        if not any(boot):
            return
        name = _name(user_id)
        # In two steps, for the reason that `Voidings.void` has.
        await change(self._vault, name, lambda data: _raised(data, boot, lambda latest: latest + 1))
        now = clock()
        at = await change(
            self._vault, name, lambda data: _raised(data, boot, lambda latest: max(now + 1, latest))
        )
        self._voidings.learn(user_id, at)

    async def _this_boot(self) -> bytes:
        if self._boot is None:
            self._boot = await self._find_boot()
        return self._boot


def _raised(data: bytes | None, boot: bytes, raised: Callable[[int], int]) -> tuple[bytes, int]:
    entries = _entries(data or b"")
    at = raised(entries.pop(boot, 0))
    others = list(entries.items())[1 - _MOST_STARTS :]
    return b"".join(_ENTRY.pack(*entry) for entry in [*others, (boot, at)]), at


def _entries(data: bytes) -> dict[bytes, int]:
    return dict(read_entries(data, "what the store keeps of voided tokens", _ENTRY))


def _name(user_id: int) -> str:
    return f"voided/{user_id}"
