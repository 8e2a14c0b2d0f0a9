"""What the tests of access control share: keys, sessions, tokens made by hand."""

import hmac
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from huks_async import BusinessError, HuksKeyAlg, HuksTag, InnerTag, Keystore

AES, HMAC_ALG, ECC, SM4 = (HuksKeyAlg[f"HUKS_ALG_{name}"] for name in ("AES", "HMAC", "ECC", "SM4"))
ENCRYPT, DECRYPT, SIGN, VERIFY, DERIVE, MAC = 1, 2, 4, 8, 16, 128
FINGERPRINT, FACE, PIN, TUI = 1, 2, 4, 32
CLEAR, NEW_BIO, ALWAYS = 1, 2, 4
NORMAL, CUSTOM, NONE = 0, 1, 2
GCM = 32
IAM = {PIN: 1, FACE: 2, FINGERPRINT: 4, TUI: 32}

Params = dict[str, Any]
GCM_KEY: Params = {"ALGORITHM": AES, "KEY_SIZE": 256, "PURPOSE": 3, "BLOCK_MODE": GCM, "PADDING": 0}
GCM_SESSION: Params = {"ALGORITHM": AES, "PURPOSE": ENCRYPT, "BLOCK_MODE": GCM, "PADDING": 0}
SIGN_KEY: Params = {"ALGORITHM": ECC, "KEY_SIZE": 256, "PURPOSE": SIGN | VERIFY, "DIGEST": 12}
PIN_KEY: Params = {"USER_AUTH_TYPE": PIN, "KEY_AUTH_ACCESS_TYPE": CLEAR, "CHALLENGE_TYPE": NORMAL}


def params(**values: Any) -> list[dict[str, Any]]:
    """Parameters by the names of their tags; None leaves one out."""
    return [
        {
            "tag": HuksTag[f"HUKS_TAG_{name}"]
            if f"HUKS_TAG_{name}" in HuksTag.__members__
            else InnerTag[name],
            "value": value,
        }
        for name, value in values.items()
        if value is not None
    ]


def options(inData: bytes = b"", **values: Any) -> dict[str, Any]:
    """Options of a call."""
    return {"properties": params(**values), "inData": inData}


def data(segment: bytes) -> dict[str, Any]:
    """Options of a call with data alone."""
    return {"properties": [], "inData": segment}


async def refused(call: Awaitable[object], code: int) -> BusinessError:
    """The error of a call that must be refused with this code."""
    with pytest.raises(BusinessError) as caught:
        await call
    assert caught.value.code == code, caught.value.message
    return caught.value


async def generate(keystore: Keystore, alias: str = "key", **values: Any) -> None:
    """An AES-GCM key bound to a PIN, unless told otherwise."""
    await keystore.generateKeyItem(alias, options(**{**GCM_KEY, **PIN_KEY, **values}))


async def open_session(keystore: Keystore, alias: str = "key", **values: Any) -> Any:
    """A session that encrypts, unless told otherwise."""
    return await keystore.initSession(alias, options(**{**GCM_SESSION, **values}))


async def finish(keystore: Keystore, session: Any, token: bytes | None, text: bytes = b"text") -> bytes:
    """The output of a session that ends with its first call."""
    return (await keystore.finishSession(session.handle, data(text), token)).outData


class Meddler:
    """What a keystore lends, in whose store something happens after the last write of a check."""

    def __init__(self, keystore: Keystore, last: str, then: Callable[[], Awaitable[object]]) -> None:
        self._host: Any = keystore.auth_host
        self._last, self._then = last, then
        self.vault = self
        self.run = self._host.run
        self.get = self._host.vault.get
        self.credentials_changed = self._host.credentials_changed
        self.void_tokens = self._host.void_tokens

    async def put(self, name: str, data: bytes, *, expect: int) -> int:
        """Write, and let it happen."""
        version: int = await self._host.vault.put(name, data, expect=expect)
        if name == self._last:
            await self._then()
        return version

    async def delete(self, name: str, *, expect: int) -> None:
        """Likewise."""
        await self._host.vault.delete(name, expect=expect)
        if name == self._last:
            await self._then()


FIELDS = (
    "version",
    "challenge",
    "time",
    "level",
    "auth_type",
    "mode",
    "security",
    "token_type",
    "user_id",
    "secure_uid",
    "enrolled_id",
    "credential_id",
    "collector",
    "verifier",
)


def make_token(mac: bytes, cipher: bytes, **fields: Any) -> bytes:
    """A token made after the documented table, by other code than the library's."""
    values = {
        "version": 0,
        "challenge": bytes(32),
        "time": 0,
        "level": 30000,
        "auth_type": 1,
        "mode": 0,
        "security": 0,
        "token_type": 0,
        "user_id": 100,
        "secure_uid": 1001,
        "enrolled_id": 1,
        "credential_id": 7001,
        "collector": b"",
        "verifier": b"",
        **fields,
    }
    head = struct.pack("<I", values["version"]) + values["challenge"] + struct.pack("<Q", values["time"])
    for name in ("level", "auth_type", "mode", "security", "token_type"):
        head += struct.pack("<I", values[name])
    secret = struct.pack("<i", values["user_id"])
    for name in ("secure_uid", "enrolled_id", "credential_id"):
        secret += struct.pack("<Q", values[name])
    secret += values["collector"].ljust(64, b"\0") + values["verifier"].ljust(64, b"\0")
    iv = bytes(range(12))
    sealed = AESGCM(cipher).encrypt(iv, secret, b"OH_authToken")
    signed = head + sealed + iv
    return signed + hmac.new(mac, signed, "sha256").digest()
