"""Keystores and options for the benchmarks: everything through the public API, options in README's form."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import huks_async as huks
from benchmarks.measuring import Settings
from huks_async import HuksTag as Tag

NONCE = bytes(range(12))
IV = bytes(range(16))
AAD = b"sixteen bytes..."


def options(parameters: dict[int, Any], data: bytes = b"") -> huks.HuksOptions:
    """Options as objects, as README has them."""
    return huks.HuksOptions([huks.HuksParam(tag, value) for tag, value in parameters.items()], data)


def as_mappings(given: huks.HuksOptions) -> dict[str, Any]:
    """The same as plain mappings, the way they come out of JSON or a framework."""
    params = given.properties or ()
    return {"properties": [{"tag": each.tag, "value": each.value} for each in params], "inData": given.inData}


_ENCRYPT = huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT
_BOTH = _ENCRYPT | huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT
_SIGN = huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN

_AES: dict[int, Any] = {
    Tag.HUKS_TAG_ALGORITHM: huks.HuksKeyAlg.HUKS_ALG_AES,
    Tag.HUKS_TAG_KEY_SIZE: huks.HuksKeySize.HUKS_AES_KEY_SIZE_256,
}
_GCM = _AES | {
    Tag.HUKS_TAG_BLOCK_MODE: huks.HuksCipherMode.HUKS_MODE_GCM,
    Tag.HUKS_TAG_PADDING: huks.HuksKeyPadding.HUKS_PADDING_NONE,
}
_CBC = _AES | {
    Tag.HUKS_TAG_BLOCK_MODE: huks.HuksCipherMode.HUKS_MODE_CBC,
    Tag.HUKS_TAG_PADDING: huks.HuksKeyPadding.HUKS_PADDING_PKCS7,
}
_SM4: dict[int, Any] = {
    Tag.HUKS_TAG_ALGORITHM: huks.HuksKeyAlg.HUKS_ALG_SM4,
    Tag.HUKS_TAG_KEY_SIZE: huks.HuksKeySize.HUKS_SM4_KEY_SIZE_128,
    Tag.HUKS_TAG_BLOCK_MODE: huks.HuksCipherMode.HUKS_MODE_CTR,
    Tag.HUKS_TAG_PADDING: huks.HuksKeyPadding.HUKS_PADDING_NONE,
}
_ECDSA: dict[int, Any] = {
    Tag.HUKS_TAG_ALGORITHM: huks.HuksKeyAlg.HUKS_ALG_ECC,
    Tag.HUKS_TAG_KEY_SIZE: huks.HuksKeySize.HUKS_ECC_KEY_SIZE_256,
    Tag.HUKS_TAG_DIGEST: huks.HuksKeyDigest.HUKS_DIGEST_SHA256,
}
_RSA: dict[int, Any] = {
    Tag.HUKS_TAG_ALGORITHM: huks.HuksKeyAlg.HUKS_ALG_RSA,
    Tag.HUKS_TAG_KEY_SIZE: huks.HuksKeySize.HUKS_RSA_KEY_SIZE_2048,
    Tag.HUKS_TAG_DIGEST: huks.HuksKeyDigest.HUKS_DIGEST_SHA256,
    Tag.HUKS_TAG_PADDING: huks.HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5,
}

KEYS: dict[str, huks.HuksOptions] = {
    "gcm": options(_GCM | {Tag.HUKS_TAG_PURPOSE: _BOTH}),
    "cbc": options(_CBC | {Tag.HUKS_TAG_PURPOSE: _BOTH}),
    "sm4": options(_SM4 | {Tag.HUKS_TAG_PURPOSE: _BOTH}),
    "ecdsa": options(_ECDSA | {Tag.HUKS_TAG_PURPOSE: _SIGN}),
    "rsa": options(_RSA | {Tag.HUKS_TAG_PURPOSE: _SIGN}),
}
"""Key → how it is generated; the key's alias is its name here."""

SESSIONS: dict[str, huks.HuksOptions] = {
    "gcm": options(
        _GCM | {Tag.HUKS_TAG_PURPOSE: _ENCRYPT, Tag.HUKS_TAG_NONCE: NONCE, Tag.HUKS_TAG_ASSOCIATED_DATA: AAD}
    ),
    "cbc": options(_CBC | {Tag.HUKS_TAG_PURPOSE: _ENCRYPT, Tag.HUKS_TAG_IV: IV}),
    "sm4": options(_SM4 | {Tag.HUKS_TAG_PURPOSE: _ENCRYPT, Tag.HUKS_TAG_IV: IV}),
    "ecdsa": options(_ECDSA | {Tag.HUKS_TAG_PURPOSE: _SIGN}),
    "rsa": options(_RSA | {Tag.HUKS_TAG_PURPOSE: _SIGN}),
}
"""Key → the options of a session on it."""


@asynccontextmanager
async def open_keystore(settings: Settings, *keys: str, **arguments: Any) -> AsyncIterator[huks.Keystore]:
    """A keystore in a new SQLite file, as a service would open it, with some of `KEYS` in it."""
    with tempfile.TemporaryDirectory(dir=settings.folder, prefix="huks-benchmark-") as folder:
        async with huks.Keystore.open(f"sqlite:///{folder}/keystore.db", **arguments) as keystore:
            for key in keys:
                await keystore.generateKeyItem(key, KEYS[key])
            yield keystore


def init_and_finish(keystore: huks.Keystore, key: str, data: bytes) -> Callable[[int], Awaitable[None]]:
    """A whole operation: `initSession`, then `finishSession` with all the data."""
    init, finish = keystore.initSession, keystore.finishSession
    begin, end = SESSIONS[key], options({}, data)

    async def run(times: int) -> None:
        for _ in range(times):
            session = await init(key, begin)
            await finish(session.handle, end)

    return run


async def stream(keystore: huks.Keystore, key: str, segment: bytes, segments: int) -> None:
    """One session, fed segment by segment; the output is dropped."""
    session = await keystore.initSession(key, SESSIONS[key])
    handle, update, call = session.handle, keystore.updateSession, options({}, segment)
    for _ in range(segments):
        await update(handle, call)
    await keystore.finishSession(handle, options({}))
