"""The deprecated api-8 functions at module level, on the current keystore."""

from huks_async.keystore import current_keystore
from huks_async.keystore.current_keystore import describe_as_methods
from huks_async.keystore.legacy_functions import SDK_VERSION
from huks_async.model.params import BytesLike, Options
from huks_async.model.results import HuksHandle, HuksResult


async def generateKey(keyAlias: str, options: Options) -> HuksResult:
    """See `Keystore.generateKey`."""
    return await (await current_keystore()).generateKey(keyAlias, options)


async def deleteKey(keyAlias: str, options: Options) -> HuksResult:
    """See `Keystore.deleteKey`."""
    return await (await current_keystore()).deleteKey(keyAlias, options)


async def importKey(keyAlias: str, options: Options) -> HuksResult:
    """See `Keystore.importKey`."""
    return await (await current_keystore()).importKey(keyAlias, options)


async def exportKey(keyAlias: str, options: Options) -> HuksResult:
    """See `Keystore.exportKey`."""
    return await (await current_keystore()).exportKey(keyAlias, options)


async def getKeyProperties(keyAlias: str, options: Options) -> HuksResult:
    """See `Keystore.getKeyProperties`."""
    return await (await current_keystore()).getKeyProperties(keyAlias, options)


async def isKeyExist(keyAlias: str, options: Options) -> bool:
    """See `Keystore.isKeyExist`."""
    return await (await current_keystore()).isKeyExist(keyAlias, options)


async def init(keyAlias: str, options: Options) -> HuksHandle:
    """See `Keystore.init`."""
    return await (await current_keystore()).init(keyAlias, options)


async def update(
    handle: int, token: BytesLike | Options | None = None, options: Options | None = None
) -> HuksResult:
    """See `Keystore.update`."""
    return await (await current_keystore()).update(handle, token, options)


async def finish(handle: int, options: Options) -> HuksResult:
    """See `Keystore.finish`."""
    return await (await current_keystore()).finish(handle, options)


async def abort(handle: int, options: Options) -> HuksResult:
    """See `Keystore.abort`."""
    return await (await current_keystore()).abort(handle, options)


def getSdkVersion(options: Options) -> str:
    """See `Keystore.getSdkVersion`."""
    return SDK_VERSION


describe_as_methods(globals())
