"""Short ways to write options, and the names of the numbers that tests use."""

from collections.abc import Awaitable
from typing import Any

import pytest

from huks_async import BusinessError, HuksKeyAlg, HuksKeyPurpose, HuksTag, Keystore

A, P, T = HuksKeyAlg, HuksKeyPurpose, HuksTag

ENCRYPT, DECRYPT, SIGN, VERIFY = 1, 2, 4, 8
WRAP, UNWRAP, AGREE = 32, 64, 256
CBC, GCM = 2, 32
NO_PADDING = 0


def params(**values: Any) -> list[dict[str, Any]]:
    """Parameters by the names of their tags, without HUKS_TAG_."""
    return [{"tag": T[f"HUKS_TAG_{name}"], "value": value} for name, value in values.items()]


def options(data: bytes = b"", **values: Any) -> dict[str, Any]:
    """Options with these parameters and this input."""
    return {"properties": params(**values), "inData": data}


def key(algorithm: int, size: int, purpose: int, **values: Any) -> dict[str, Any]:
    """The parameters that every key has."""
    return {"ALGORITHM": algorithm, "KEY_SIZE": size, "PURPOSE": purpose, **values}


AES_CBC = key(A.HUKS_ALG_AES, 256, ENCRYPT | DECRYPT, BLOCK_MODE=CBC, PADDING=NO_PADDING)


async def run(
    keystore: Keystore, alias: str, data: bytes = b"", *, user: int | None = None, **values: Any
) -> bytes:
    """One session with one call."""
    session = options(**values)
    if user is None:
        opened = await keystore.initSession(alias, session)
    else:
        opened = await keystore.initSessionAsUser(user, alias, session)
    return (await keystore.finishSession(opened.handle, session | {"inData": data})).outData


async def properties(keystore: Keystore, alias: str, **values: Any) -> dict[int, Any]:
    """What getKeyItemProperties tells, by tag."""
    result = await keystore.getKeyItemProperties(alias, options(**values))
    return {param.tag: param.value for param in result.properties}


async def refused(call: Awaitable[object], code: int) -> BusinessError:
    """The error of a call that must be refused with this code."""
    with pytest.raises(BusinessError) as caught:
        await call
    assert caught.value.code == code, caught.value.message
    return caught.value
