"""The documented functions at module level, on the current keystore.

The current keystore is the innermost one whose block this context is in, else a default one, which is opened
at its first use. Arguments, results and errors are those of the methods of `Keystore`.
"""

from huks_async.keystore import current_keystore
from huks_async.keystore.current_keystore import describe_as_methods
from huks_async.model.params import BytesLike, Options, Properties
from huks_async.model.results import HuksListAliasesReturnResult, HuksReturnResult, HuksSessionHandle


async def generateKeyItem(keyAlias: str, options: Options) -> None:
    """See `Keystore.generateKeyItem`."""
    return await (await current_keystore()).generateKeyItem(keyAlias, options)


async def generateKeyItemAsUser(userId: int, keyAlias: str, huksOptions: Options) -> None:
    """See `Keystore.generateKeyItemAsUser`."""
    return await (await current_keystore()).generateKeyItemAsUser(userId, keyAlias, huksOptions)


async def deleteKeyItem(keyAlias: str, options: Options) -> None:
    """See `Keystore.deleteKeyItem`."""
    return await (await current_keystore()).deleteKeyItem(keyAlias, options)


async def deleteKeyItemAsUser(userId: int, keyAlias: str, huksOptions: Options) -> None:
    """See `Keystore.deleteKeyItemAsUser`."""
    return await (await current_keystore()).deleteKeyItemAsUser(userId, keyAlias, huksOptions)


async def importKeyItem(keyAlias: str, options: Options) -> None:
    """See `Keystore.importKeyItem`."""
    return await (await current_keystore()).importKeyItem(keyAlias, options)


async def importKeyItemAsUser(userId: int, keyAlias: str, huksOptions: Options) -> None:
    """See `Keystore.importKeyItemAsUser`."""
    return await (await current_keystore()).importKeyItemAsUser(userId, keyAlias, huksOptions)


async def importWrappedKeyItem(keyAlias: str, wrappingKeyAlias: str, options: Options) -> None:
    """See `Keystore.importWrappedKeyItem`."""
    return await (await current_keystore()).importWrappedKeyItem(keyAlias, wrappingKeyAlias, options)


async def importWrappedKeyItemAsUser(
    userId: int, keyAlias: str, wrappingKeyAlias: str, huksOptions: Options
) -> None:
    """See `Keystore.importWrappedKeyItemAsUser`."""
    return await (await current_keystore()).importWrappedKeyItemAsUser(
        userId, keyAlias, wrappingKeyAlias, huksOptions
    )


async def exportKeyItem(keyAlias: str, options: Options) -> HuksReturnResult:
    """See `Keystore.exportKeyItem`."""
    return await (await current_keystore()).exportKeyItem(keyAlias, options)


async def exportKeyItemAsUser(userId: int, keyAlias: str, huksOptions: Options) -> HuksReturnResult:
    """See `Keystore.exportKeyItemAsUser`."""
    return await (await current_keystore()).exportKeyItemAsUser(userId, keyAlias, huksOptions)


async def getKeyItemProperties(keyAlias: str, options: Options) -> HuksReturnResult:
    """See `Keystore.getKeyItemProperties`."""
    return await (await current_keystore()).getKeyItemProperties(keyAlias, options)


async def getKeyItemPropertiesAsUser(userId: int, keyAlias: str, huksOptions: Options) -> HuksReturnResult:
    """See `Keystore.getKeyItemPropertiesAsUser`."""
    return await (await current_keystore()).getKeyItemPropertiesAsUser(userId, keyAlias, huksOptions)


async def isKeyItemExist(keyAlias: str, options: Options) -> bool:
    """See `Keystore.isKeyItemExist`."""
    return await (await current_keystore()).isKeyItemExist(keyAlias, options)


async def hasKeyItem(keyAlias: str, options: Options) -> bool:
    """See `Keystore.hasKeyItem`."""
    return await (await current_keystore()).hasKeyItem(keyAlias, options)


async def hasKeyItemAsUser(userId: int, keyAlias: str, huksOptions: Options) -> bool:
    """See `Keystore.hasKeyItemAsUser`."""
    return await (await current_keystore()).hasKeyItemAsUser(userId, keyAlias, huksOptions)


async def initSession(keyAlias: str, options: Options) -> HuksSessionHandle:
    """See `Keystore.initSession`."""
    return await (await current_keystore()).initSession(keyAlias, options)


async def initSessionAsUser(userId: int, keyAlias: str, huksOptions: Options) -> HuksSessionHandle:
    """See `Keystore.initSessionAsUser`."""
    return await (await current_keystore()).initSessionAsUser(userId, keyAlias, huksOptions)


async def updateSession(handle: int, options: Options, token: BytesLike | None = None) -> HuksReturnResult:
    """See `Keystore.updateSession`."""
    return await (await current_keystore()).updateSession(handle, options, token)


async def finishSession(handle: int, options: Options, token: BytesLike | None = None) -> HuksReturnResult:
    """See `Keystore.finishSession`."""
    return await (await current_keystore()).finishSession(handle, options, token)


async def abortSession(handle: int, options: Options) -> None:
    """See `Keystore.abortSession`."""
    return await (await current_keystore()).abortSession(handle, options)


async def attestKeyItem(keyAlias: str, options: Options) -> HuksReturnResult:
    """See `Keystore.attestKeyItem`."""
    return await (await current_keystore()).attestKeyItem(keyAlias, options)


async def attestKeyItemAsUser(userId: int, keyAlias: str, huksOptions: Options) -> HuksReturnResult:
    """See `Keystore.attestKeyItemAsUser`."""
    return await (await current_keystore()).attestKeyItemAsUser(userId, keyAlias, huksOptions)


async def anonAttestKeyItem(keyAlias: str, options: Options) -> HuksReturnResult:
    """See `Keystore.anonAttestKeyItem`."""
    return await (await current_keystore()).anonAttestKeyItem(keyAlias, options)


async def anonAttestKeyItemAsUser(userId: int, keyAlias: str, huksOptions: Options) -> HuksReturnResult:
    """See `Keystore.anonAttestKeyItemAsUser`."""
    return await (await current_keystore()).anonAttestKeyItemAsUser(userId, keyAlias, huksOptions)


async def anonAttestKeyItemOfflineAsUser(userId: int, keyAlias: str, params: Properties) -> HuksReturnResult:
    """See `Keystore.anonAttestKeyItemOfflineAsUser`."""
    return await (await current_keystore()).anonAttestKeyItemOfflineAsUser(userId, keyAlias, params)


async def anonAttestKeyItemOffline(keyAlias: str, params: Properties) -> HuksReturnResult:
    """See `Keystore.anonAttestKeyItemOffline`."""
    return await (await current_keystore()).anonAttestKeyItemOffline(keyAlias, params)


async def listAliases(options: Options) -> HuksListAliasesReturnResult:
    """See `Keystore.listAliases`."""
    return await (await current_keystore()).listAliases(options)


async def wrapKeyItem(keyAlias: str, params: Options) -> HuksReturnResult:
    """See `Keystore.wrapKeyItem`."""
    return await (await current_keystore()).wrapKeyItem(keyAlias, params)


async def unwrapKeyItem(keyAlias: str, params: Options, wrappedKey: BytesLike) -> HuksReturnResult:
    """See `Keystore.unwrapKeyItem`."""
    return await (await current_keystore()).unwrapKeyItem(keyAlias, params, wrappedKey)


async def encapsulate(
    keyAlias: str,
    params: Properties,
    sharedKeyAlias: str | None = None,
    sharedKeyParams: Properties | None = None,
) -> HuksReturnResult:
    """See `Keystore.encapsulate`."""
    return await (await current_keystore()).encapsulate(keyAlias, params, sharedKeyAlias, sharedKeyParams)


async def decapsulate(
    keyAlias: str,
    params: Properties,
    encapData: BytesLike,
    sharedKeyAlias: str | None = None,
    sharedKeyParams: Properties | None = None,
) -> HuksReturnResult:
    """See `Keystore.decapsulate`."""
    return await (await current_keystore()).decapsulate(
        keyAlias, params, encapData, sharedKeyAlias, sharedKeyParams
    )


describe_as_methods(globals())
