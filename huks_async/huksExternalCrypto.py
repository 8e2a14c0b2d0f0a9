"""The namespace `huksExternalCrypto`: external providers, on the current keystore.

Written as in ArkTS: `from huks_async import huksExternalCrypto`. Arguments, results and errors are those of the
methods of `Keystore`. Keys of providers are used by the ordinary functions, with HUKS_TAG_KEY_CLASS.
"""

from huks_async.keystore import current_keystore
from huks_async.keystore.current_keystore import open_current_keystore
from huks_async.keystore.provider_functions import ExternalParameters
from huks_async.model.external_crypto import (
    HuksExternalCryptoParam,
    HuksExternalCryptoTag,
    HuksExternalCryptoTagType,
    HuksExternalErrorInfo,
    HuksExternalPinAuthState,
)


async def registerProvider(providerName: str, params: ExternalParameters) -> None:
    """See `Keystore.registerProvider`."""
    return await (await current_keystore()).registerProvider(providerName, params)


async def unregisterProvider(providerName: str, params: ExternalParameters | None = None) -> None:
    """See `Keystore.unregisterProvider`."""
    return await (await current_keystore()).unregisterProvider(providerName, params)


async def getResourceId(providerName: str, params: ExternalParameters) -> str:
    """See `Keystore.getResourceId`."""
    return await (await current_keystore()).getResourceId(providerName, params)


async def openResource(resourceId: str, params: ExternalParameters | None = None) -> None:
    """See `Keystore.openResource`."""
    return await (await current_keystore()).openResource(resourceId, params)


async def closeResource(resourceId: str, params: ExternalParameters | None = None) -> None:
    """See `Keystore.closeResource`."""
    return await (await current_keystore()).closeResource(resourceId, params)


async def authUkeyPin(resourceId: str, params: ExternalParameters) -> None:
    """See `Keystore.authUkeyPin`."""
    return await (await current_keystore()).authUkeyPin(resourceId, params)


async def getUkeyPinAuthState(
    resourceId: str, params: ExternalParameters | None = None
) -> HuksExternalPinAuthState:
    """See `Keystore.getUkeyPinAuthState`."""
    return await (await current_keystore()).getUkeyPinAuthState(resourceId, params)


async def clearUkeyPinAuthState(resourceId: str) -> None:
    """See `Keystore.clearUkeyPinAuthState`."""
    return await (await current_keystore()).clearUkeyPinAuthState(resourceId)


async def getProperty(
    resourceId: str, propertyId: str, params: ExternalParameters | None = None
) -> list[HuksExternalCryptoParam]:
    """See `Keystore.getProperty`."""
    return await (await current_keystore()).getProperty(resourceId, propertyId, params)


async def setProperty(resourceId: str, propertyId: str, params: ExternalParameters | None = None) -> None:
    """See `Keystore.setProperty`."""
    return await (await current_keystore()).setProperty(resourceId, propertyId, params)


def getErrorInfo() -> HuksExternalErrorInfo:
    """See `Keystore.getErrorInfo`; without an open keystore nothing has failed yet."""
    keystore = open_current_keystore()
    return HuksExternalErrorInfo() if keystore is None else keystore.getErrorInfo()


__all__ = [
    "HuksExternalCryptoParam",
    "HuksExternalCryptoTag",
    "HuksExternalCryptoTagType",
    "HuksExternalErrorInfo",
    "HuksExternalPinAuthState",
    "authUkeyPin",
    "clearUkeyPinAuthState",
    "closeResource",
    "getErrorInfo",
    "getProperty",
    "getResourceId",
    "getUkeyPinAuthState",
    "openResource",
    "registerProvider",
    "setProperty",
    "unregisterProvider",
]
