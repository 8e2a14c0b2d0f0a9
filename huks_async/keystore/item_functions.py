"""The documented functions on key items."""

from typing import Any

from huks_async.keys.items.aliases import check_alias, storage_level
from huks_async.keys.items.sealing import FORMAT_VERSION
from huks_async.keystore.key_class import is_external
from huks_async.keystore.open_state import (
    KeystoreFunctions,
    check_security_level,
    own_alias,
    read_call,
    state_for,
)
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.params import (
    HuksParam,
    Options,
    as_buffer,
    parse_options,
    parse_parameters,
    parse_properties,
    split_options,
)
from huks_async.model.results import HuksListAliasesReturnResult, HuksReturnResult
from huks_async.model.tags import HuksTag, ServiceTag

_T = HuksTag
# the format of stored parameters, as a device reports it
_OS_VERSION = 1
# The size of a device's buffer for properties, and how much of it each property takes besides its bytes.
_MAX_PROPERTIES = 2048
_PARAM_BYTES = 16
# Of a private key of these that came without its public half a device tells that the half has no size (12000003), of
# any other that it does not support the export (12000001).
_POST_QUANTUM = (HuksKeyAlg.HUKS_ALG_ML_KEM, HuksKeyAlg.HUKS_ALG_ML_DSA)
_HIDDEN = frozenset({_T.HUKS_TAG_KEY, ServiceTag.USER_AUTH_ENROLL_ID_INFO, ServiceTag.USER_AUTH_SECURE_UID})


class ItemFunctions(KeystoreFunctions):
    """generate, import, export, describe, find, list and delete key items."""

    async def generateKeyItem(self, keyAlias: str, options: Options) -> None:
        """Generate a key and store it under `keyAlias`, replacing an older one of that alias.

        Args:
            keyAlias: 1 … 128 bytes in UTF-8.
            options: ALGORITHM, KEY_SIZE (bits) and PURPOSE, and the PADDING, DIGEST and BLOCK_MODE that its
                sessions are bound to; each session chooses those that are left out.
                HUKS_TAG_KEY_OVERRIDE = false keeps an older key.

        Raises:
            BusinessError: 401 for a wrong argument, 12000002 for a missing and 12000003 for an
                impossible parameter, 12000017 when the alias exists and may not be replaced,
                12000001 for what is not supported, 12000004 when the store fails.

        A key is stored durably when the call returns. A call that raises BusinessError leaves an older one as it was. One
        that is cancelled, by a timeout too, has stored the key whole, in place of the older one, or not at all: its
        caller cannot tell which, so keys are best replaced under new aliases.
        """
        state = self._open_state()
        if type(options) is dict:
            properties = options.get("properties")
        else:
            properties = read_call(state, split_options, options)[0]
        # Parameters that passed the checks for one key need not be checked again for the next.
        recipe = state.recall_recipe(properties) if type(properties) is list else None
        if recipe is not None:
            await state.maker.generate_like(check_alias(keyAlias), recipe)
            return
        params = read_call(state, parse_properties, properties)
        if read_call(state, is_external, params):
            from huks_async.keystore import provider_keys  # late: few services use providers

            await provider_keys.generate(state, keyAlias, params)
            return
        alias = check_alias(keyAlias)
        state = state_for(state, params, "generateKeyItem", alias)
        await state.maker.generate(alias, params, properties)

    async def importKeyItem(self, keyAlias: str, options: Options) -> None:
        """Import a key in the clear and store it under `keyAlias`.

        Args:
            keyAlias: 1 … 128 bytes in UTF-8.
            options: as for `generateKeyItem`; IMPORT_KEY_TYPE says which half is imported; `inData` is the key:
                raw bytes, a SubjectPublicKeyInfo, or the header form of key pairs.

        Raises:
            BusinessError: as `generateKeyItem`; 401 for bytes that are not a key of this kind.

        A call that is cancelled has stored the key whole, in place of an older one, or not at all; its caller cannot
        tell which.
        """
        state = self._open_state()
        params, data = parse_options(options)
        alias = own_alias(state, keyAlias, params)
        state = state_for(state, params, "importKeyItem", alias)
        await state.maker.import_plain(alias, params, as_buffer(data, "inData"))

    async def exportKeyItem(self, keyAlias: str, options: Options) -> HuksReturnResult:
        """Give the public half of a key in `outData`: SubjectPublicKeyInfo DER; 32 raw bytes for 25519.

        Raises:
            BusinessError: 12000011 for an unknown alias; 401 or 12000003 for a symmetric key, which has
                no public half; 12000001 or 12000003 for a private key that came without one.
        """
        state = self._open_state()
        await state.dispatcher.turn()
        params = read_call(state, parse_parameters, options)
        if read_call(state, is_external, params):
            from huks_async.keystore import provider_keys  # late: few services use providers

            return HuksReturnResult(await provider_keys.export(state, keyAlias, params))
        alias = check_alias(keyAlias)
        state = state_for(state, params, "exportKeyItem", alias, purposes=0)
        item = await state.shelf.find(alias, storage_level(params))
        material = item.material
        if material.public:
            return HuksReturnResult(outData=material.public)
        if material.is_symmetric:
            # The codes are those of a device, which reads the raw key as a header and finds it too short or wrong.
            long = len(material.secret) >= 20
            raise BusinessError(
                401 if long else 12000003,
                f"key {alias!r} is symmetric and has no public half; secret keys are never exported",
                reason=None if long else HuksErrorCode.HUKS_ERROR_INVALID_KEY_SIZE,
            )
        code = 12000003 if material.algorithm in _POST_QUANTUM else 12000001
        raise BusinessError(code, f"key {alias!r} was imported without its public half")

    async def deleteKeyItem(self, keyAlias: str, options: Options) -> None:
        """Delete a key; sessions that are open on it are not affected.

        Raises:
            BusinessError: 12000011 for an unknown alias, 12000004 when the store fails.

        A call that is cancelled has deleted the key durably, or not at all; its caller cannot tell which.
        """
        state = self._open_state()
        params = parse_parameters(options)
        alias = own_alias(state, keyAlias, params)
        state = state_for(state, params, "deleteKeyItem", alias, purposes=0)
        await state.shelf.delete(alias, storage_level(params))

    async def hasKeyItem(self, keyAlias: str, options: Options) -> bool:
        """Tell whether a key exists."""
        state = self._open_state()
        await state.dispatcher.turn()
        params = parse_parameters(options)
        alias = own_alias(state, keyAlias, params)
        state = state_for(state, params, "hasKeyItem", alias, purposes=0)
        return await state.shelf.exists(alias, storage_level(params))

    async def isKeyItemExist(self, keyAlias: str, options: Options) -> bool:
        """Give True for a key that exists; an absent one is an error (use `hasKeyItem` to ask).

        Raises:
            BusinessError: 12000011 for an unknown alias.
        """
        state = self._open_state()
        await state.dispatcher.turn()
        params = parse_parameters(options)
        alias = own_alias(state, keyAlias, params)
        state = state_for(state, params, "isKeyItemExist", alias, purposes=0)
        level = storage_level(params)
        if not await state.shelf.exists(alias, level):
            raise state.shelf.absent(state.shelf.name(alias, level))
        return True

    async def getKeyItemProperties(self, keyAlias: str, options: Options) -> HuksReturnResult:
        """Give the parameters stored with a key in `properties`, without any key bytes.

        Raises:
            BusinessError: 12000011 for an unknown alias; 401 in the device profile for more than 2048
                bytes of properties.
        """
        state = self._open_state()
        await state.dispatcher.turn()
        params = parse_parameters(options)
        alias = own_alias(state, keyAlias, params)
        state = state_for(state, params, "getKeyItemProperties", alias, purposes=0)
        check_security_level(params)
        level = storage_level(params)
        item = await state.shelf.find(alias, level)
        shown = [param for param in item.params.to_params() if param.tag not in _HIDDEN]
        given = {param.tag for param in shown}
        added: list[tuple[HuksTag, Any]] = [
            (_T.HUKS_TAG_AUTH_STORAGE_LEVEL, level),
            (_T.HUKS_TAG_KEY_VERSION, FORMAT_VERSION),
            (_T.HUKS_TAG_OS_VERSION, _OS_VERSION),
            (_T.HUKS_TAG_OS_PATCHLEVEL, _OS_VERSION),
            (_T.HUKS_TAG_PROCESS_NAME, state.namespace.encode()),
        ]
        shown += [HuksParam(tag, value) for tag, value in added if tag not in given]
        size = sum(_PARAM_BYTES + len(p.value) if isinstance(p.value, bytes) else _PARAM_BYTES for p in shown)
        if state.device and size > _MAX_PROPERTIES:
            raise BusinessError(
                401, f"the properties have {size} bytes, and a device returns at most {_MAX_PROPERTIES}"
            )
        return HuksReturnResult(properties=shown)

    async def listAliases(self, options: Options) -> HuksListAliasesReturnResult:
        """Give all aliases of this namespace at one storage level, in order.

        Args:
            options: AUTH_STORAGE_LEVEL, CE by default; other parameters have no effect.
        """
        state = self._open_state()
        params = parse_parameters(options)
        state = state_for(state, params, "listAliases", purposes=0)
        level = storage_level(params)
        aliases = await state.shelf.aliases(level, state.limits.max_listed_aliases)
        return HuksListAliasesReturnResult(keyAliases=aliases)
