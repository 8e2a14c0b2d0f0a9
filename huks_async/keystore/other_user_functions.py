"""The documented functions for another user's keys.

The policy of the keystore decides who may act for whom. Without a policy nobody may: the error is 201, or 202 in
the device profile, where these functions are for system applications. They use only the keys that this
keystore's own application has for that user.

Arguments of a wrong type are told before that is asked, aliases and parameters of a wrong value after it.
"""

from huks_async.keys.items.aliases import check_alias_type
from huks_async.keystore.attestation_functions import AttestationFunctions
from huks_async.keystore.item_functions import ItemFunctions
from huks_async.keystore.key_class import KEY_CLASS
from huks_async.keystore.keyrings import check_user_id
from huks_async.keystore.open_state import KeystoreFunctions, OpenState, newer_codes, read_call, state_of_user
from huks_async.keystore.session_functions import SessionFunctions
from huks_async.keystore.wrapping_functions import WrappingFunctions
from huks_async.model.enums import HuksKeyClassType
from huks_async.model.errors import BusinessError, ParameterSetError
from huks_async.model.params import (
    HuksOptions,
    Options,
    Properties,
    as_buffer,
    as_list,
    parse_properties,
    split_options,
)
from huks_async.model.results import HuksReturnResult, HuksSessionHandle
from huks_async.model.tags import HuksTag

_ACCESS_GROUP = int(HuksTag.HUKS_TAG_KEY_ACCESS_GROUP)


class _UserKeys(ItemFunctions, SessionFunctions, WrappingFunctions, AttestationFunctions):
    """The functions on the keys of one user."""

    def __init__(self, state: OpenState) -> None:
        self._state = state


class OtherUserFunctions(KeystoreFunctions):
    """The forms with a user id. Each takes and raises what the form without it does; it may also raise 201 or 202."""

    def _keys_of(self, user_id: int, options: HuksOptions, **aliases: str) -> _UserKeys:
        """The functions on the keys of a user, whom the caller may act for."""
        state = self._open_state()
        check_user_id(user_id)
        for name, alias in aliases.items():
            check_alias_type(alias, name)
        read_call(state, _check_types, options)
        return _UserKeys(state_of_user(state, user_id))

    async def generateKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> None:
        """Do what `generateKeyItem` does for keys of user `userId`."""
        options = _taken_apart(huksOptions)
        await self._keys_of(userId, options, keyAlias=keyAlias).generateKeyItem(keyAlias, options)

    async def deleteKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> None:
        """Do what `deleteKeyItem` does for keys of user `userId`."""
        options = _taken_apart(huksOptions)
        await self._keys_of(userId, options, keyAlias=keyAlias).deleteKeyItem(keyAlias, options)

    async def importKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> None:
        """Do what `importKeyItem` does for keys of user `userId`."""
        options = _taken_apart(huksOptions, uses_data=True)
        await self._keys_of(userId, options, keyAlias=keyAlias).importKeyItem(keyAlias, options)

    async def importWrappedKeyItemAsUser(
        self, userId: int, keyAlias: str, wrappingKeyAlias: str, huksOptions: Options
    ) -> None:
        """Do what `importWrappedKeyItem` does for keys of user `userId`, the wrapping key among them."""
        options = _taken_apart(huksOptions, uses_data=True)
        keys = self._keys_of(userId, options, keyAlias=keyAlias, wrappingKeyAlias=wrappingKeyAlias)
        await keys.importWrappedKeyItem(keyAlias, wrappingKeyAlias, options)

    async def exportKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> HuksReturnResult:
        """Do what `exportKeyItem` does for keys of user `userId`."""
        options = _taken_apart(huksOptions)
        return await self._keys_of(userId, options, keyAlias=keyAlias).exportKeyItem(keyAlias, options)

    async def getKeyItemPropertiesAsUser(
        self, userId: int, keyAlias: str, huksOptions: Options
    ) -> HuksReturnResult:
        """Do what `getKeyItemProperties` does for keys of user `userId`."""
        options = _taken_apart(huksOptions)
        return await self._keys_of(userId, options, keyAlias=keyAlias).getKeyItemProperties(keyAlias, options)

    async def hasKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> bool:
        """Do what `hasKeyItem` does for keys of user `userId`."""
        options = _taken_apart(huksOptions)
        return await self._keys_of(userId, options, keyAlias=keyAlias).hasKeyItem(keyAlias, options)

    async def initSessionAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> HuksSessionHandle:
        """Do what `initSession` does for keys of user `userId`; update, finish and abort have no such form."""
        options = _taken_apart(huksOptions)
        return await self._keys_of(userId, options, keyAlias=keyAlias).initSession(keyAlias, options)

    async def attestKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> HuksReturnResult:
        """Do what `attestKeyItem` does for keys of user `userId`."""
        options = _taken_apart(huksOptions)
        return await self._keys_of(userId, options, keyAlias=keyAlias).attestKeyItem(keyAlias, options)

    async def anonAttestKeyItemAsUser(
        self, userId: int, keyAlias: str, huksOptions: Options
    ) -> HuksReturnResult:
        """Do what `anonAttestKeyItem` does for keys of user `userId`."""
        options = _taken_apart(huksOptions)
        return await self._keys_of(userId, options, keyAlias=keyAlias).anonAttestKeyItem(keyAlias, options)

    async def anonAttestKeyItemOfflineAsUser(
        self, userId: int, keyAlias: str, params: Properties
    ) -> HuksReturnResult:
        """Do what `anonAttestKeyItemOffline` does for keys of user `userId`."""
        with newer_codes():
            listed = as_list(params)
            keys = self._keys_of(userId, HuksOptions(listed), keyAlias=keyAlias)
        return await keys.anonAttestKeyItemOffline(keyAlias, listed)


def _taken_apart(options: Options, *, uses_data: bool = False) -> HuksOptions:
    """Options that can be read more than once, and without the data that a call does not use."""
    properties, data = split_options(options)
    if properties is not None and type(properties) is not list:
        properties = as_list(properties)
    if not uses_data:
        data = None
    elif data is not None:
        data = as_buffer(data, "inData")
    return HuksOptions(properties, data)


def _check_types(options: HuksOptions) -> None:
    """Refuse parameters of a wrong type (401), and those for which there is no form with a user (12000001)."""
    try:
        params = parse_properties(options.properties)
    except ParameterSetError:
        return  # a mistake in the values: the function itself tells it, once the caller may act for the user
    if _ACCESS_GROUP in params.blobs:
        raise BusinessError(
            12000001, "HUKS_TAG_KEY_ACCESS_GROUP: keys of groups have no user: leave out userId"
        )
    if params.numbers.get(KEY_CLASS) == HuksKeyClassType.HUKS_KEY_CLASS_EXTENSION:
        raise BusinessError(
            12000001, "HUKS_TAG_KEY_CLASS: keys of external providers have no user: leave out userId"
        )
