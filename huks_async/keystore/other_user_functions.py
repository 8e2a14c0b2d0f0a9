"""The documented functions for another user's keys.

The policy of the keystore decides who may act for whom. Without a policy nobody may: the error is 201, or 202 in
the device profile, where these functions are for system applications. They use only the keys that this
keystore's own application has for that user.
"""

from huks_async.keystore.attestation_functions import AttestationFunctions
from huks_async.keystore.item_functions import ItemFunctions
from huks_async.keystore.open_state import KeystoreFunctions, OpenState, state_of_user
from huks_async.keystore.session_functions import SessionFunctions
from huks_async.keystore.wrapping_functions import WrappingFunctions
from huks_async.model.params import Options, Properties
from huks_async.model.results import HuksReturnResult, HuksSessionHandle


class _UserKeys(ItemFunctions, SessionFunctions, WrappingFunctions, AttestationFunctions):
    """The functions on the keys of one user."""

    def __init__(self, state: OpenState) -> None:
        self._state = state


class OtherUserFunctions(KeystoreFunctions):
    """The forms with a user id. Each takes and raises what the form without it does; it may also raise 201 or 202."""

    def _keys_of(self, user_id: int) -> _UserKeys:
        return _UserKeys(state_of_user(self._open_state(), user_id))

    async def generateKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> None:
        """Do what `generateKeyItem` does for keys of user `userId`."""
        await self._keys_of(userId).generateKeyItem(keyAlias, huksOptions)

    async def deleteKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> None:
        """Do what `deleteKeyItem` does for keys of user `userId`."""
        await self._keys_of(userId).deleteKeyItem(keyAlias, huksOptions)

    async def importKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> None:
        """Do what `importKeyItem` does for keys of user `userId`."""
        await self._keys_of(userId).importKeyItem(keyAlias, huksOptions)

    async def importWrappedKeyItemAsUser(
        self, userId: int, keyAlias: str, wrappingKeyAlias: str, huksOptions: Options
    ) -> None:
        """Do what `importWrappedKeyItem` does for keys of user `userId`, the wrapping key among them."""
        await self._keys_of(userId).importWrappedKeyItem(keyAlias, wrappingKeyAlias, huksOptions)

    async def exportKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> HuksReturnResult:
        """Do what `exportKeyItem` does for keys of user `userId`."""
        return await self._keys_of(userId).exportKeyItem(keyAlias, huksOptions)

    async def getKeyItemPropertiesAsUser(
        self, userId: int, keyAlias: str, huksOptions: Options
    ) -> HuksReturnResult:
        """Do what `getKeyItemProperties` does for keys of user `userId`."""
        return await self._keys_of(userId).getKeyItemProperties(keyAlias, huksOptions)

    async def hasKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> bool:
        """Do what `hasKeyItem` does for keys of user `userId`."""
        return await self._keys_of(userId).hasKeyItem(keyAlias, huksOptions)

    async def initSessionAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> HuksSessionHandle:
        """Do what `initSession` does for keys of user `userId`; update, finish and abort have no such form."""
        return await self._keys_of(userId).initSession(keyAlias, huksOptions)

    async def attestKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> HuksReturnResult:
        """Do what `attestKeyItem` does for keys of user `userId`."""
        return await self._keys_of(userId).attestKeyItem(keyAlias, huksOptions)

    async def anonAttestKeyItemAsUser(
        self, userId: int, keyAlias: str, huksOptions: Options
    ) -> HuksReturnResult:
        """Do what `anonAttestKeyItem` does for keys of user `userId`."""
        return await self._keys_of(userId).anonAttestKeyItem(keyAlias, huksOptions)

    async def anonAttestKeyItemOfflineAsUser(
        self, userId: int, keyAlias: str, params: Properties
    ) -> HuksReturnResult:
        """Do what `anonAttestKeyItemOffline` does for keys of user `userId`."""
        return await self._keys_of(userId).anonAttestKeyItemOffline(keyAlias, params)
