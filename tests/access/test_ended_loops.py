"""Changes of credentials whose event loop has gone: Python closes their coroutines, in which nothing can be awaited."""

import types
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from huks_async.access import WebAuthnAuthenticator
from huks_async.access.credentials import UserRecord, change_user
from huks_async.access.passkeys import Passkey
from huks_async.access.vault import Kept
from tests.access.support import PIN
from tests.access.test_webauthn import ORIGIN, RP


@types.coroutine
def _stop() -> Any:
    yield


class Stopped:
    """What a keystore lends to one user, in whose store a write comes to no end."""

    def __init__(self) -> None:
        self.vault, self.told = self, []

    async def get(self, name: str) -> Kept | None:
        return None

    async def put(self, name: str, data: bytes, *, expect: int) -> int:
        await _stop()
        raise AssertionError("it went on")

    async def void_tokens(self, user_id: int) -> None:
        self.told.append("durably")

    def credentials_changed(self, user_id: int) -> None:
        self.told.append("here")


def _enrolled(record: UserRecord) -> tuple[UserRecord, None]:
    return record.with_new("own", PIN, b""), None


def _changed(host: Any) -> Coroutine[Any, Any, Any]:
    return change_user(host, 100, _enrolled, void=True)


def _added(host: Any) -> Coroutine[Any, Any, Any]:
    passkey = Passkey("id", "key", 0, "handle", synced=False)
    return WebAuthnAuthenticator(RP, [ORIGIN])._add(host, 100, passkey, b"mark")


@pytest.mark.parametrize("change", [_changed, _added])
def test_a_change_that_is_closed(change: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
    """It ends at once, and the tokens are void in this process; before it they were voided durably."""
    host = Stopped()
    changing = change(host)
    changing.send(None)
    changing.close()
    assert host.told == ["durably", "here"]
