"""Refusals do not tell the bytes of a key that came in another form than the call takes."""

import re
import struct
from collections.abc import Awaitable
from typing import Any

import pytest

from huks_async import BusinessError, EphemeralRootKey, Keystore, pack_wrapped_key
from tests.keystore.support import SIGN, UNWRAP, A, key, options


def _numbers_of(secret: bytes) -> set[str]:
    """What four bytes of it are as a number, from each place and in each order."""
    return {
        str(number)
        for start in range(len(secret) - 3)
        for order in "<>"
        for number in struct.unpack_from(f"{order}I", secret, start)
    }


@pytest.mark.asyncio
@pytest.mark.parametrize("length", [4, 16, 20, 32, 48, 66])
async def test_a_refusal_does_not_tell_the_bytes_of_a_key_without_its_form(length: int) -> None:
    """Raw keys where a header, a container or a wrapped key belongs, and headers that are too short."""
    secret = bytes(range(0xB1, 0xB1 + length))
    told: set[str] = set()

    async def told_by(call: Awaitable[Any]) -> None:
        with pytest.raises(BusinessError) as caught:
            await call
        told.update(re.findall(r"\d+", caught.value.message))

    async with Keystore.open("memory:", wrapping_key=EphemeralRootKey()) as keystore:
        await keystore.generateKeyItem("wrapping", options(**key(A.HUKS_ALG_X25519, 256, UNWRAP)))
        public = (await keystore.exportKeyItem("wrapping", options())).outData
        new = key(A.HUKS_ALG_ECC, 256, SIGN, DIGEST=12) | {"IMPORT_KEY_TYPE": 1}
        dsa = key(A.HUKS_ALG_DSA, 2048, SIGN, DIGEST=12) | {"IMPORT_KEY_TYPE": 1}
        of_five = struct.pack("<5I", 3, 2048, 0, length, 0)
        packed = options(pack_wrapped_key(secret, public).inData, **new, UNWRAP_ALGORITHM_SUITE=1)
        await told_by(keystore.importKeyItem("k", options(secret, **new)))
        await told_by(keystore.importKeyItem("k", options(of_five + secret, **dsa)))
        await told_by(keystore.importWrappedKeyItem("k", "wrapping", packed))
        await told_by(
            keystore.importWrappedKeyItem("k", "wrapping", options(secret, **new, UNWRAP_ALGORITHM_SUITE=1))
        )
        await told_by(keystore.unwrapKeyItem("k", options(KEY_WRAP_TYPE=2), secret))
        assert not (await keystore.hasKeyItem("k", options()))
    assert not told & _numbers_of(secret)
