"""The api-8 functions: never an exception for a HUKS failure, and the number that names it."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
import pytest_asyncio

import huks_async
from huks_async import HuksErrorCode, HuksHandle, HuksResult, InnerTag, Keystore
from tests.keystore.support import (
    AES_CBC,
    AGREE,
    CBC,
    DECRYPT,
    ENCRYPT,
    GCM,
    NO_PADDING,
    SIGN,
    VERIFY,
    A,
    T,
    key,
    options,
)

E = HuksErrorCode
SESSION = AES_CBC | {"PURPOSE": ENCRYPT, "IV": bytes(16)}
ECC = key(A.HUKS_ALG_ECC, 256, SIGN | VERIFY, DIGEST=12)
GCM_DECRYPTION = key(A.HUKS_ALG_AES, 256, DECRYPT, BLOCK_MODE=GCM, PADDING=NO_PADDING)
DERIVATION = key(A.HUKS_ALG_AES, 256, 16, DIGEST=12)


@pytest_asyncio.fixture(params=["server", "device"])
async def keystore(request: pytest.FixtureRequest) -> AsyncIterator[Keystore]:
    """A keystore of either profile with a few keys."""
    async with Keystore.open("memory:", profile=request.param, monitor=False) as opened:
        keys = {
            "aes": AES_CBC,
            "gcm": GCM_DECRYPTION | {"PURPOSE": ENCRYPT | DECRYPT},
            "open": key(A.HUKS_ALG_AES, 256, ENCRYPT | DECRYPT),
            "short": key(A.HUKS_ALG_AES, 128, ENCRYPT | DECRYPT),
            "ec": ECC,
            "hkdf": DERIVATION,
            "x": key(A.HUKS_ALG_X25519, 256, AGREE),
        }
        for alias, given in keys.items():
            assert (await opened.generateKey(alias, options(**given))).errorCode == 0
        yield opened


def changed(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Parameters with some replaced, or left out where the value is None."""
    return {name: value for name, value in (base | changes).items() if value is not None}


async def fails(call: Awaitable[HuksResult | HuksHandle], reason: HuksErrorCode) -> None:
    """The call resolves, with this reason and nothing else in it."""
    result = await call
    assert result.errorCode == reason, E(result.errorCode)
    empty = HuksHandle(reason) if isinstance(result, HuksHandle) else HuksResult(reason)
    assert result == empty


@pytest.mark.asyncio
async def test_a_whole_life(keystore: Keystore) -> None:
    """Generate, use, describe, export, delete: errorCode is 0, and results are those of the newer functions."""
    out = b""
    opened = await keystore.init("aes", options(**SESSION))
    assert (opened.errorCode, opened.token) == (0, b"")
    out += (await keystore.update(opened.handle, options(bytes(16), **SESSION))).outData
    out += (await keystore.update(opened.handle, None, options(bytes(16), **SESSION))).outData
    out += (await keystore.finish(opened.handle, options(bytes(16), **SESSION))).outData
    newer = await keystore.initSession("aes", options(**SESSION))
    assert (await keystore.finishSession(newer.handle, options(bytes(48)))).outData == out
    told = await keystore.getKeyProperties("aes", options())
    assert told.errorCode == 0
    assert {param.tag: param.value for param in told.properties}[T.HUKS_TAG_KEY_SIZE] == 256
    exported = await keystore.exportKey("ec", options())
    assert (exported.errorCode, len(exported.outData)) == (0, 91)
    imported = options(exported.outData, **ECC | {"PURPOSE": VERIFY})
    assert await keystore.importKey("public", imported) == HuksResult(0)
    assert await keystore.deleteKey("public", options()) == HuksResult(0)
    assert [await keystore.isKeyExist(alias, options()) for alias in ("aes", "public", "")] == [
        True,
        False,
        False,
    ]
    opened = await keystore.init("aes", options(**SESSION))
    assert await keystore.abort(opened.handle, options()) == HuksResult(0)
    assert await keystore.abort(opened.handle, options()) == HuksResult(0)
    await fails(keystore.finish(opened.handle, options()), E.HUKS_ERROR_NOT_EXIST)
    assert keystore.getSdkVersion(options()) == "2.0.0.5"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (changed(AES_CBC, ALGORITHM=None), E.HUKS_ERROR_CHECK_GET_ALG_FAIL),
        (changed(AES_CBC, KEY_SIZE=None), E.HUKS_ERROR_CHECK_GET_KEY_SIZE_FAIL),
        (changed(AES_CBC, PURPOSE=None), E.HUKS_ERROR_CHECK_GET_PURPOSE_FAIL),
        (changed(AES_CBC, ALGORITHM=99), E.HUKS_ERROR_INVALID_ALGORITHM),
        (changed(AES_CBC, KEY_SIZE=200), E.HUKS_ERROR_INVALID_KEY_SIZE),
        (changed(AES_CBC, PURPOSE=ENCRYPT | SIGN), E.HUKS_ERROR_INVALID_PURPOSE),
        (changed(AES_CBC, BLOCK_MODE=99), E.HUKS_ERROR_INVALID_MODE),
        (changed(AES_CBC, PADDING=99), E.HUKS_ERROR_INVALID_PADDING),
        (changed(ECC, DIGEST=99), E.HUKS_ERROR_INVALID_DIGEST),
        (changed(AES_CBC, KEY_STORAGE_FLAG=0), E.HUKS_ERROR_INVALID_ARGUMENT),
        (changed(AES_CBC, KEY_ACCESS_GROUP=b""), E.HUKS_ERROR_INVALID_ARGUMENT),
        (changed(AES_CBC, KEY_SECURITY_LEVEL=1), E.HUKS_ERROR_NOT_SUPPORTED),
    ],
)
async def test_generate(keystore: Keystore, given: dict[str, Any], reason: HuksErrorCode) -> None:
    """Each missing and each wrong parameter of a new key has its own number."""
    await fails(keystore.generateKey("new", options(**given)), reason)
    assert not await keystore.isKeyExist("new", options())


@pytest.mark.asyncio
async def test_arguments(keystore: Keystore) -> None:
    """Wrong aliases, options and sets of parameters are invalid arguments; another user needs a permission."""
    wrong: Any
    for wrong in ("", "x" * 129, 7, None):
        await fails(keystore.generateKey(wrong, options(**AES_CBC)), E.HUKS_ERROR_INVALID_ARGUMENT)
    for wrong in (7, None, {"properties": 7}, {"properties": [1]}):
        await fails(keystore.generateKey("new", wrong), E.HUKS_ERROR_INVALID_ARGUMENT)
    twice = {"properties": options(**AES_CBC)["properties"] * 2}
    await fails(keystore.generateKey("new", twice), E.HUKS_ERROR_INVALID_ARGUMENT)
    user = {"properties": [{"tag": InnerTag.SPECIFIC_USER_ID, "value": 100}]}
    await fails(keystore.deleteKey("aes", user), E.HUKS_ERROR_NO_PERMISSION)
    kept = options(**AES_CBC, KEY_OVERRIDE=False)
    await fails(keystore.generateKey("aes", kept), E.HUKS_ERROR_ALREADY_EXISTS)


@pytest.mark.asyncio
async def test_import_and_export(keystore: Keystore) -> None:
    """Bytes that are no key are invalid key information, none a wrong argument; a symmetric key exports nothing."""
    verify = ECC | {"PURPOSE": VERIFY}
    for data, given, reason in (
        (bytes(5), AES_CBC, E.HUKS_ERROR_INVALID_KEY_INFO),
        (b"", AES_CBC, E.HUKS_ERROR_INVALID_ARGUMENT),
        (b"", verify, E.HUKS_ERROR_INVALID_ARGUMENT),
        (b"", ECC | {"IMPORT_KEY_TYPE": 2}, E.HUKS_ERROR_INVALID_ARGUMENT),
        (bytes(91), verify, E.HUKS_ERROR_INVALID_KEY_INFO),
        (bytes(91), changed(verify, KEY_SIZE=None), E.HUKS_ERROR_CHECK_GET_KEY_SIZE_FAIL),
        (bytes(91), changed(verify, ALGORITHM=None), E.HUKS_ERROR_CHECK_GET_ALG_FAIL),
    ):
        await fails(keystore.importKey("new", options(data, **given)), reason)
    public = (await keystore.exportKey("ec", options())).outData
    signs = options(public, **ECC | {"PURPOSE": SIGN})
    await fails(keystore.importKey("new", signs), E.HUKS_ERROR_INVALID_PURPOSE)
    await fails(keystore.exportKey("aes", options()), E.HUKS_ERROR_INVALID_ARGUMENT)
    await fails(keystore.exportKey("short", options()), E.HUKS_ERROR_INVALID_KEY_SIZE)
    for absent in (keystore.exportKey, keystore.deleteKey, keystore.getKeyProperties):
        await fails(absent("nobody", options()), E.HUKS_ERROR_NOT_EXIST)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("alias", "given", "reason"),
    [
        ("nobody", SESSION, E.HUKS_ERROR_NOT_EXIST),
        ("aes", changed(SESSION, AUTH_STORAGE_LEVEL=0), E.HUKS_ERROR_NOT_EXIST),
        ("aes", changed(SESSION, PURPOSE=None), E.HUKS_ERROR_INVALID_ARGUMENT),
        ("aes", changed(SESSION, PURPOSE=ENCRYPT | DECRYPT), E.HUKS_ERROR_INVALID_ARGUMENT),
        ("aes", changed(SESSION, BLOCK_MODE=1), E.HUKS_ERROR_INVALID_ARGUMENT),
        ("aes", changed(SESSION, BLOCK_MODE=None), E.HUKS_ERROR_PARAM_NOT_EXIST),
        ("aes", changed(SESSION, IV=None), E.HUKS_ERROR_PARAM_NOT_EXIST),
        ("aes", changed(SESSION, IV=bytes(17)), E.HUKS_ERROR_INVALID_IV),
        ("aes", changed(SESSION, ALGORITHM=A.HUKS_ALG_ECC), E.HUKS_ERROR_INVALID_ALGORITHM),
        ("open", changed(SESSION, BLOCK_MODE=None), E.HUKS_ERROR_CHECK_GET_MODE_FAIL),
        ("open", changed(SESSION, PADDING=None), E.HUKS_ERROR_CHECK_GET_PADDING_FAIL),
        ("open", changed(SESSION, BLOCK_MODE=CBC, PADDING=1), E.HUKS_ERROR_INVALID_PADDING),
        ("ec", changed(ECC, PURPOSE=SIGN, DIGEST=None), E.HUKS_ERROR_INVALID_ARGUMENT),
        ("gcm", GCM_DECRYPTION | {"NONCE": bytes(12)}, E.HUKS_ERROR_PARAM_NOT_EXIST),
        ("gcm", GCM_DECRYPTION | {"NONCE": bytes(12), "AE_TAG": bytes(5)}, E.HUKS_ERROR_INVALID_AE_TAG),
        (
            "gcm",
            GCM_DECRYPTION | {"NONCE": bytes(12), "AE_TAG": bytes(16), "AE_TAG_LEN": 3},
            E.HUKS_ERROR_INVALID_AE_TAG,
        ),
    ],
)
async def test_init(keystore: Keystore, alias: str, given: dict[str, Any], reason: HuksErrorCode) -> None:
    """A failed init has its reason, and neither handle nor token."""
    await fails(keystore.init(alias, options(**given)), reason)


@pytest.mark.asyncio
async def test_sessions(keystore: Keystore) -> None:
    """What ends a session ends it here, too, and the reasons are those of the engine."""

    async def start(alias: str, **given: Any) -> int:
        return (await keystore.init(alias, options(**given))).handle

    handle = await start("aes", **SESSION)
    await fails(keystore.finish(handle, options(bytes(5))), E.HUKS_ERROR_INVALID_ARGUMENT)
    await fails(keystore.finish(handle, options(bytes(16))), E.HUKS_ERROR_NOT_EXIST)
    handle = await start("ec", **ECC | {"PURPOSE": VERIFY})
    await fails(keystore.finish(handle, options(bytes(70))), E.HUKS_ERROR_CRYPTO_ENGINE_ERROR)
    handle = await start("ec", **ECC | {"PURPOSE": VERIFY})
    await fails(keystore.finish(handle, options(bytes(700))), E.HUKS_ERROR_INVALID_SIGNATURE_SIZE)
    handle = await start("gcm", **GCM_DECRYPTION, NONCE=bytes(12), AE_TAG=bytes(16))
    await fails(keystore.finish(handle, options(bytes(16))), E.HUKS_ERROR_CRYPTO_ENGINE_ERROR)
    hkdf = {"ALGORITHM": A.HUKS_ALG_HKDF, "PURPOSE": 16, "DIGEST": 12, "DERIVE_KEY_SIZE": 32}
    handle = await start("hkdf", **hkdf)
    await fails(keystore.finish(handle, options()), E.HUKS_ERROR_NULL_POINTER)
    handle = await start("hkdf", **hkdf)
    assert (await keystore.update(handle, options())).errorCode == 0
    await fails(keystore.update(handle, options()), E.HUKS_FAILURE)
    handle = await start("x", **key(A.HUKS_ALG_X25519, 256, AGREE))
    await fails(keystore.finish(handle, options()), E.HUKS_ERROR_NULL_POINTER)
    wrong: Any = "handle"
    for call in (keystore.update, keystore.finish, keystore.abort):
        await fails(call(wrong, options()), E.HUKS_ERROR_INVALID_ARGUMENT)


@pytest.mark.asyncio
async def test_at_module_level(keystore: Keystore) -> None:
    """The same functions work on the current keystore."""
    assert await huks_async.isKeyExist("aes", options())
    assert (await huks_async.generateKey("more", options(**AES_CBC))).errorCode == 0
    assert await keystore.isKeyExist("more", options())
    opened = await huks_async.init("more", options(**SESSION))
    assert (await huks_async.update(opened.handle, options(bytes(16)))).errorCode == 0
    assert (await huks_async.finish(opened.handle, options())).errorCode == 0
    await fails(huks_async.deleteKey("nobody", options()), E.HUKS_ERROR_NOT_EXIST)
