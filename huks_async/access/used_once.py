"""Things that may be used once: answered challenges, remembered in the store for as long as they could be replayed."""

import hashlib
import struct

from huks_async.access.authenticator import AuthHost
from huks_async.access.vault import change, read_entries
from huks_async.model.errors import BusinessError

_ENTRY = struct.Struct("<16sd")


async def use_once(
    host: AuthHost, name: str, shown: bytes, *, until: float, now: float, most: int, forget_oldest: bool
) -> None:
    """Note durably that something was used; of several callers that use it at once, only one succeeds.

    Args:
        host: of the keystore.
        name: of the list in the store.
        shown: what was used.
        until: seconds since 1970, until which it must be remembered.
        now: seconds since 1970.
        most: the most entries that the list may have.
        forget_oldest: whether a full list forgets its oldest entry; if False, it refuses.

    Raises:
        BusinessError: 12000008 when it was used before, or the list is full.
    """
    digest = hashlib.sha256(shown).digest()[:16]

    def noted(state: bytes | None) -> tuple[bytes, None]:
        known = read_entries(state, "what the store keeps of a user's answered challenges", _ENTRY)
        entries = [entry for entry in known if entry[1] >= now]
        if any(entry[0] == digest for entry in entries):
            raise BusinessError(
                12000008,
                "this challenge was answered already: begin a session anew",
                data={"refused": "replay"},
            )
        if len(entries) >= most:
            if not forget_oldest:
                raise BusinessError(
                    12000008,
                    f"{most} answers of this user are remembered, no more can be: wait a minute",
                    data={"refused": "too many"},
                )
            del entries[: len(entries) - most + 1]
        return b"".join(_ENTRY.pack(*entry) for entry in [*entries, (digest, until)]), None

    await change(host.vault, name, noted)
