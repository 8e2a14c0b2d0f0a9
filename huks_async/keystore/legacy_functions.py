"""The deprecated api-8 functions: never an exception for a HUKS failure, but a negative `errorCode`."""

from collections.abc import Awaitable
from typing import cast

from huks_async.keystore.item_functions import ItemFunctions
from huks_async.keystore.session_functions import SessionFunctions
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, Options
from huks_async.model.results import HuksHandle, HuksResult, HuksReturnResult

SDK_VERSION = "2.0.0.5"


async def _result(call: Awaitable[HuksReturnResult | None]) -> HuksResult:
    """The api-8 form of a newer call's result or failure."""
    try:
        result = await call
    except BusinessError as error:
        return HuksResult(int(error.reason))
    if result is None:
        return HuksResult(0)
    return HuksResult(0, result.outData, result.properties, result.certChains)


class LegacyFunctions(ItemFunctions, SessionFunctions):
    """Each function does what the newer one does, but reports a failure in the older way."""

    async def generateKey(self, keyAlias: str, options: Options) -> HuksResult:
        """Deprecated form of `generateKeyItem`."""
        return await _result(self.generateKeyItem(keyAlias, options))

    async def deleteKey(self, keyAlias: str, options: Options) -> HuksResult:
        """Deprecated form of `deleteKeyItem`."""
        return await _result(self.deleteKeyItem(keyAlias, options))

    async def importKey(self, keyAlias: str, options: Options) -> HuksResult:
        """Deprecated form of `importKeyItem`."""
        return await _result(self.importKeyItem(keyAlias, options))

    async def exportKey(self, keyAlias: str, options: Options) -> HuksResult:
        """Deprecated form of `exportKeyItem`."""
        return await _result(self.exportKeyItem(keyAlias, options))

    async def getKeyProperties(self, keyAlias: str, options: Options) -> HuksResult:
        """Deprecated form of `getKeyItemProperties`."""
        return await _result(self.getKeyItemProperties(keyAlias, options))

    async def isKeyExist(self, keyAlias: str, options: Options) -> bool:
        """Deprecated form of `hasKeyItem`; False also where that one fails."""
        try:
            return await self.hasKeyItem(keyAlias, options)
        except BusinessError:
            return False

    async def init(self, keyAlias: str, options: Options) -> HuksHandle:
        """Deprecated form of `initSession`; `token` is the challenge."""
        try:
            session = await self.initSession(keyAlias, options)
        except BusinessError as error:
            return HuksHandle(int(error.reason))
        return HuksHandle(0, session.handle, session.challenge)

    async def update(
        self, handle: int, token: BytesLike | Options | None = None, options: Options | None = None
    ) -> HuksResult:
        """Deprecated form of `updateSession`: `update(handle, options)` or `update(handle, token, options)`."""
        if options is None:
            # the declaration puts the optional token before the options
            token, options = None, cast("Options", token)
        return await _result(self.updateSession(handle, options, cast("BytesLike | None", token)))

    async def finish(self, handle: int, options: Options) -> HuksResult:
        """Deprecated form of `finishSession`."""
        return await _result(self.finishSession(handle, options))

    async def abort(self, handle: int, options: Options) -> HuksResult:
        """Deprecated form of `abortSession`."""
        return await _result(self.abortSession(handle, options))

    def getSdkVersion(self, options: Options) -> str:
        """Give the version of the mirrored interface, as a device's oldest interface reports it."""
        return SDK_VERSION
