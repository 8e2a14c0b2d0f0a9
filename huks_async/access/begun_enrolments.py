"""Enrolments of passkeys that have begun: one for each user, answered once, and ended at any time before their end.

While an answer is being checked, a mark stands in the place of what was begun. Whoever ends the enrolment meanwhile
removes the mark, and whoever begins another one replaces it.
"""

import json
from typing import NamedTuple

from huks_async.access.vault import Vault, change, read_value
from huks_async.runtime.randomness import random_bytes

_MARK = b"answered "
_FORMS = [[str, str, float], [str, str, int]]


class Begun(NamedTuple):
    """What a passkey's answer is checked with; bytes are in base64url, `until` is in seconds since 1970."""

    challenge: str
    handle: str
    until: float


async def begin(vault: Vault, user_id: int, begun: Begun) -> None:
    """Begin an enrolment, instead of one that the user may have begun before."""
    state = json.dumps(begun).encode()
    await change(vault, _name(user_id), lambda _: (state, None))


async def answer(vault: Vault, user_id: int) -> tuple[Begun | None, bytes]:
    """Take what was begun, None if nothing was or it is answered already, and leave a mark."""
    mark = _MARK + random_bytes(16)

    def taken(state: bytes | None) -> tuple[bytes | None, Begun | None]:
        if state is None or state.startswith(_MARK):
            return state, None
        return mark, read_value(state, "the enrolment of a passkey that was begun", _read)

    return await change(vault, _name(user_id), taken), mark


async def goes_on(vault: Vault, user_id: int, mark: bytes) -> bool:
    """Whether nobody has ended the enrolment since it was answered."""
    kept = await vault.get(_name(user_id))
    return kept is not None and kept.data == mark


async def complete(vault: Vault, user_id: int, mark: bytes) -> bool:
    """Remove the mark; tells whether nobody had ended the enrolment."""
    return await change(
        vault, _name(user_id), lambda state: (None, True) if state == mark else (state, False)
    )


async def end(vault: Vault, user_id: int) -> None:
    """End the user's enrolment, answered or not, if there is one."""
    await change(vault, _name(user_id), lambda _: (None, None))


def _read(state: bytes) -> Begun:
    found = json.loads(state)
    if not isinstance(found, list) or [type(part) for part in found] not in _FORMS:
        raise ValueError
    return Begun(*found)


def _name(user_id: int) -> str:
    return f"webauthn-enrolling/{user_id}"
