"""Which codes of a user were used: by secret, because those of one secret use up none of another.

The moments are those of the last steps whose codes were used, in seconds since 1970. The newest of all has a value of
its own, which is all that processes know that run a version of this library without the table.
"""

import hmac
import struct

from huks_async.access.authenticator import AuthHost
from huks_async.access.vault import Kept, change, read_entries, read_value
from huks_async.model.errors import BusinessError

# the name of a secret, and a moment
_ENTRY = struct.Struct("<16sq")
_NEWEST = struct.Struct("<q")
_ANY_SECRET = bytes(16)
_MOST_SECRETS = 16
_WHAT = "what the store keeps of a user's used codes"


async def check_used_codes(host: AuthHost, user_id: int) -> None:
    """Refuse (12000012) what a newer version of this library wrote: before a guess is counted."""
    _newest_moments(await host.vault.get(_newest_name(user_id)))
    table = await host.vault.get(_table_name(user_id))
    read_entries(None if table is None else table.data, _WHAT, _ENTRY)


async def use_code(host: AuthHost, user_id: int, secret: bytes, matching: list[int]) -> None:
    """Note durably that a code was used; of several callers that use it at once, only one succeeds.

    Args:
        host: of the keystore.
        user_id: the user.
        secret: whose code it is.
        matching: the moments of the steps that have this code, the oldest first.

    Raises:
        BusinessError: 12000008 when it was used before, or one of the same secret that is newer.
    """
    name, newest_name = _name_of(secret), _newest_name(user_id)
    found = await host.vault.get(newest_name)
    newest = _newest_moments(found)

    def used(state: bytes | None) -> tuple[bytes, int]:
        moments: dict[bytes, int] = dict(read_entries(state, _WHAT, _ENTRY))
        if max(newest.values(), default=-1) > max(moments.values(), default=-1):
            # by a process that does not know the table
            for one, moment in newest.items():
                moments[one] = max(moment, moments.get(one, -1))
        last = max(moments.pop(name, -1), moments.get(_ANY_SECRET, -1))
        new = [moment for moment in matching if moment > last]
        if not new:
            raise _used(user_id)
        others = list(moments.items())[1 - _MOST_SECRETS :]
        return b"".join(_ENTRY.pack(*one) for one in [*others, (name, new[0])]), new[0]

    used_moment = await change(host.vault, _table_name(user_id), used)

    def raised(state: bytes | None) -> tuple[bytes, None]:
        now = max(_moments(state).values(), default=-1)
        if now >= used_moment and state != (None if found is None else found.data):
            raise _used(user_id)  # meanwhile, in a process that does not know the table
        return _NEWEST.pack(max(now, used_moment)), None

    await change(host.vault, newest_name, raised)


def _newest_moments(kept: Kept | None) -> dict[bytes, int]:
    return _moments(None if kept is None else kept.data)


def _moments(state: bytes | None) -> dict[bytes, int]:
    """The newest moment, of whichever secret; or a table, which stood in its place for a while."""
    if state is not None and len(state) % _ENTRY.size:
        return {_ANY_SECRET: read_value(state, _WHAT, _NEWEST.unpack)[0]}
    return dict(read_entries(state, _WHAT, _ENTRY))


def _used(user_id: int) -> BusinessError:
    return BusinessError(
        12000008,
        f"the code of user {user_id} was used already, or one that is newer: wait for the next one",
    )


def _name_of(secret: bytes) -> bytes:
    # by HMAC, to which a secret is the same with zeros at its end, as it is to the codes
    return hmac.digest(secret, b"huks_async totp secret 1", "sha256")[:16]


def _newest_name(user_id: int) -> str:
    return f"totp-used/{user_id}"


def _table_name(user_id: int) -> str:
    return f"totp-used-by-secret/{user_id}"
