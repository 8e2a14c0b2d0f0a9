"""The documented functions on keys that come in or go out encrypted."""

from huks_async.keys.aliases import check_alias
from huks_async.keystore.parts import HasParts, parts_for
from huks_async.model.params import Options, as_buffer, parse_options


class WrappingFunctions(HasParts):
    """Import a key that a server encrypted for this keystore."""

    async def importWrappedKeyItem(self, keyAlias: str, wrappingKeyAlias: str, options: Options) -> None:
        """Import a key that was encrypted for a key of this keystore, and store it under `keyAlias`.

        Args:
            keyAlias: 1 … 128 bytes in UTF-8.
            wrappingKeyAlias: the key it was encrypted for: X25519 or ECC 256 of purpose UNWRAP (suites 1
                and 2), SM2 with purpose DECRYPT (suite 5); at the same storage level as the new key.
            options: UNWRAP_ALGORITHM_SUITE, and the new key's parameters as for `importKeyItem`; for a key
                pair in suite 5 also ASYMMETRIC_PUBLIC_KEY_DATA. `inData` is the container, at most
                1 MiB; `pack_wrapped_key` makes one.

        Raises:
            BusinessError: as `importKeyItem`; 12000002 without and 12000003 for an unknown suite, or a
                wrapping key of another purpose; 401 for a malformed container; 12000006 where it does
                not decrypt.
        """
        parts = self._open_parts()
        alias = check_alias(keyAlias)
        wrapping_alias = check_alias(wrappingKeyAlias, "wrappingKeyAlias")
        params, data = parse_options(options)
        parts = parts_for(parts, params)
        await parts.maker.import_wrapped(alias, wrapping_alias, params, as_buffer(data, "inData"))
