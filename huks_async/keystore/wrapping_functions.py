"""The documented functions that import and export encrypted keys."""

from huks_async.keys.items.aliases import check_alias, storage_level
from huks_async.keys.items.attributes import may_override
from huks_async.keystore.key_class import is_external
from huks_async.keystore.open_state import (
    KeystoreFunctions,
    OpenState,
    ask_policy,
    check_security_level,
    keys_for,
    newer_codes,
    own_alias,
    read_call,
    state_for,
)
from huks_async.model.enums import HuksKeyPurpose, HuksUnwrapSuite
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, Options, as_buffer, parse_options, parse_parameters
from huks_async.model.results import HuksReturnResult
from huks_async.model.tags import HuksTag
from huks_async.rootkeys import RootKey


class WrappingFunctions(KeystoreFunctions):
    """Import a key that a server encrypted for this keystore; export keys encrypted under an operator's key."""

    async def importWrappedKeyItem(self, keyAlias: str, wrappingKeyAlias: str, options: Options) -> None:
        """Import a key that was encrypted for a key of this keystore, and store it under `keyAlias`.

        Args:
            keyAlias: 1 … 128 bytes in UTF-8.
            wrappingKeyAlias: the key it was encrypted for: X25519 or ECC 256 of purpose UNWRAP (suites 1
                and 2), SM2 of purpose DECRYPT or UNWRAP (suite 5); at the same storage level as the new key.
            options: UNWRAP_ALGORITHM_SUITE, and the new key's parameters as for `importKeyItem`; for a key
                pair in suite 5 also ASYMMETRIC_PUBLIC_KEY_DATA. `inData` is the container, at most
                1 MiB; `pack_wrapped_key` makes one.

        Raises:
            BusinessError: as `importKeyItem`; 12000002 without a suite; 12000003 for an unknown one, or a
                wrapping key of another purpose; 401 for a malformed container; 12000006 if it does not decrypt.

        A call that is cancelled has stored the key whole, in place of an older one, or not at all; its caller cannot
        tell which.
        """
        state = self._open_state()
        params, data = read_call(state, parse_options, options)
        if read_call(state, is_external, params):
            from huks_async.keystore import provider_keys  # late: few services use providers

            await provider_keys.import_wrapped(state, keyAlias, wrappingKeyAlias, params, data)
            return
        alias = check_alias(keyAlias)
        wrapping_alias = check_alias(wrappingKeyAlias, "wrappingKeyAlias")
        suite = params.numbers.get(HuksTag.HUKS_TAG_UNWRAP_ALGORITHM_SUITE)
        opens = HuksKeyPurpose.HUKS_KEY_PURPOSE_UNWRAP
        if suite == HuksUnwrapSuite.HUKS_UNWRAP_SUITE_SM2_SM4_ECB_NOPADDING:
            opens = HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT
        if state.keyrings.permissions.asks:
            state_for(state, params, "importWrappedKeyItem", wrapping_alias, opens)
        state = state_for(state, params, "importWrappedKeyItem", alias)
        await state.maker.import_wrapped(alias, wrapping_alias, params, as_buffer(data, "inData"))

    async def wrapKeyItem(self, keyAlias: str, params: Options) -> HuksReturnResult:
        """Give a key, with all its attributes, in `outData`, wrapped under the operator's key.

        Args:
            keyAlias: a key that was made with IS_ALLOWED_WRAP = true.
            params: options with KEY_WRAP_TYPE = 2, and AUTH_STORAGE_LEVEL where the key has one.

        Raises:
            BusinessError: 801 without `Keystore.open(wrapping_key=…)`, and in the device profile;
                12000018 for a wrong argument or without KEY_WRAP_TYPE, 12000012 for another value of it
                or a key that must not be wrapped; 12000011 for an unknown alias.

        The blob opens under the same operator's key, in the same namespace, in any store. The call writes nothing into
        the store, cancelled or not.
        """
        from huks_async.keys.wrapping.operator_wrap import (  # late: few services wrap
            check_wrap_type,
            wrap_item,
        )

        state = self._open_state()
        await state.dispatcher.turn()
        with newer_codes():
            parsed = parse_parameters(params)
            alias = own_alias(state, keyAlias, parsed)
            storage_level(parsed)
            check_security_level(parsed)
        check_wrap_type(parsed)
        operator = _operators_key(state, "wrapKeyItem")
        state = state_for(state, parsed, "wrapKeyItem", alias, purposes=0)
        return HuksReturnResult(await wrap_item(state.shelf, alias, parsed, operator, state.outside))

    async def unwrapKeyItem(self, keyAlias: str, params: Options, wrappedKey: BytesLike) -> HuksReturnResult:
        """Store a key that `wrapKeyItem` exported, with the attributes and the storage level it had.

        Args:
            keyAlias: where to store it; it may be another alias than before.
            params: options with KEY_WRAP_TYPE = 2; KEY_OVERRIDE = false keeps an older key.
            wrappedKey: the blob.

        Returns:
            an empty result.

        Raises:
            BusinessError: as `wrapKeyItem`; 12000012 for a blob that was changed, or comes from another
                key or namespace; 12000017 if the alias exists and may not be replaced; 12000018 for
                another storage level than the key had; 201 if the policy does not allow the key's
                purposes or storage level, which is asked when the blob is open, because they stand there.

        A call that is cancelled has stored the key whole, in place of an older one, or not at all; its caller cannot
        tell which.
        """
        from huks_async.keys.wrapping.operator_wrap import (
            MAX_BLOB_BYTES,
            check_wrap_type,
            keep_item,
            unwrap_item,
        )

        state = self._open_state()
        await state.dispatcher.turn()
        with newer_codes():
            parsed = parse_parameters(params)
            alias = own_alias(state, keyAlias, parsed)
            storage_level(parsed)
            check_security_level(parsed)
            blob = as_buffer(wrappedKey, "wrappedKey")
            if not 0 < len(blob) <= MAX_BLOB_BYTES:
                raise BusinessError(401, f"wrappedKey has {len(blob)} bytes, accepted 1 … {MAX_BLOB_BYTES}")
        check_wrap_type(parsed)
        operator = _operators_key(state, "unwrapKeyItem")
        state = keys_for(state, parsed)
        item = await unwrap_item(state.shelf, parsed, bytes(blob), operator, state.outside)
        if state.keyrings.permissions.asks:
            # only the opened blob says what the key is for, and at which level it will be stored
            purposes = item.params.numbers.get(HuksTag.HUKS_TAG_PURPOSE, 0)
            ask_policy(state, parsed, "unwrapKeyItem", alias, purposes, item.level)
        await keep_item(state.shelf, alias, item, override=may_override(parsed))
        return HuksReturnResult()


def _operators_key(state: OpenState, function: str) -> RootKey:
    if state.device or state.wrapping_key is None:
        raise BusinessError(
            801, f"{function} needs an operator's wrapping key: Keystore.open(wrapping_key=…), server profile"
        )
    return state.wrapping_key
