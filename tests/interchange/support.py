"""What the tests of converted forms share."""

from collections.abc import Callable
from typing import Any

import pytest

from huks_async import BusinessError, Keystore
from tests.keystore.support import options


def refused(code: int, call: Callable[[], object]) -> str:
    """The message with which a call is refused."""
    with pytest.raises(BusinessError) as caught:
        call()
    assert caught.value.code == code
    return caught.value.message


async def verify(keystore: Keystore, alias: str, message: bytes, signature: bytes, **values: Any) -> None:
    """One session that verifies."""
    session = await keystore.initSession(alias, options(**values))
    await keystore.updateSession(session.handle, options(message, **values))
    await keystore.finishSession(session.handle, options(signature, **values))
