"""The documented functions on key encapsulation."""

from typing import NamedTuple

from huks_async.keys.items.aliases import storage_level
from huks_async.keys.items.item import KeyItem
from huks_async.keystore.open_state import KeystoreFunctions, OpenState, newer_codes, own_alias, state_for
from huks_async.model.enums import HuksKeyFlag, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, ParamSet, Properties, as_buffer, as_list, parse_properties
from huks_async.model.results import HuksReturnResult


class KemFunctions(KeystoreFunctions):
    """Make and open shared secrets with ML-KEM keys. Wrong arguments raise 12000018 here."""

    async def encapsulate(
        self,
        keyAlias: str,
        params: Properties,
        sharedKeyAlias: str | None = None,
        sharedKeyParams: Properties | None = None,
    ) -> HuksReturnResult:
        """Make a shared secret for the holder of an ML-KEM key's private half.

        Args:
            keyAlias: a key pair, or a peer's imported public key, whose purposes include WRAP.
            params: parameters (not options): ALGORITHM = ML_KEM; AUTH_STORAGE_LEVEL if the key has one.
            sharedKeyAlias: the alias to store the secret under, as a key; None: the secret is returned.
            sharedKeyParams: the parameters of the stored key, as for an import of a symmetric key of 256 bits.

        Returns:
            `outData`: the ciphertext for the peer, 1088 bytes (ML-KEM-768) or 1568 (ML-KEM-1024);
            `sharedSecret`: the secret of 32 bytes, empty if it was stored.

        Raises:
            BusinessError: 12000018 for a wrong argument, or only one of alias and parameters of the
                shared key; 12000011 for an unknown alias; 12000002 and 12000003 for parameters that are
                missing or wrong, or a key of another purpose; 12000016 where the key or the shared one needs
                its user to have a PIN, and there is none; 12000017 if the shared key exists and may not be
                replaced.

        A stored key's HUKS_TAG_KEY_FLAG says that it was generated. A call that is cancelled has stored the key whole, in
        place of an older one, or not at all; the ciphertext that goes with it is lost.
        """
        from huks_async.keys.wrapping import encapsulation  # late: few services use ML-KEM

        state = self._open_state()
        await state.dispatcher.turn()
        with newer_codes():
            own = parse_properties(as_list(params))
            alias = own_alias(state, keyAlias, own)
            target = _shared_key(state, "encapsulate", sharedKeyAlias, sharedKeyParams)
            state = state_for(state, own, "encapsulate", alias, HuksKeyPurpose.HUKS_KEY_PURPOSE_WRAP)
            if target is not None:
                await target.check()
            item = await _usable_key(state, alias, own)
            ciphertext, secret = encapsulation.encapsulate(item, own)
            if target is None:
                return HuksReturnResult(ciphertext, sharedSecret=secret)
            await target.store(secret, HuksKeyFlag.HUKS_KEY_FLAG_GENERATE_KEY)
            return HuksReturnResult(ciphertext)

    async def decapsulate(
        self,
        keyAlias: str,
        params: Properties,
        encapData: BytesLike,
        sharedKeyAlias: str | None = None,
        sharedKeyParams: Properties | None = None,
    ) -> HuksReturnResult:
        """Open a shared secret that a peer made with `encapsulate`.

        Args:
            keyAlias: a key with its private half, whose purposes include UNWRAP.
            params: as for `encapsulate`.
            encapData: the ciphertext.
            sharedKeyAlias: as for `encapsulate`.
            sharedKeyParams: as for `encapsulate`.

        Returns:
            `sharedSecret`: 32 bytes, empty if it was stored.

        Raises:
            BusinessError: as `encapsulate`; 12000018 for a ciphertext of another length.

        A ciphertext that was changed gives another secret, not an error (FIPS 203). A stored key's
        HUKS_TAG_KEY_FLAG says that it was imported. A call that is cancelled has stored the key whole, in place of an
        older one, or not at all; its caller cannot tell which.
        """
        from huks_async.keys.wrapping import encapsulation

        state = self._open_state()
        await state.dispatcher.turn()
        with newer_codes():
            own = parse_properties(as_list(params))
            alias = own_alias(state, keyAlias, own)
            data = as_buffer(encapData, "encapData")
            target = _shared_key(state, "decapsulate", sharedKeyAlias, sharedKeyParams)
            state = state_for(state, own, "decapsulate", alias, HuksKeyPurpose.HUKS_KEY_PURPOSE_UNWRAP)
            if target is not None:
                await target.check()
            item = await _usable_key(state, alias, own)
            secret = encapsulation.decapsulate(item, own, data)
            if target is None:
                return HuksReturnResult(sharedSecret=secret)
            await target.store(secret, HuksKeyFlag.HUKS_KEY_FLAG_IMPORT_KEY)
            return HuksReturnResult()


class _SharedKey(NamedTuple):
    """Where a shared secret is to be stored."""

    state: OpenState
    alias: str
    params: ParamSet

    async def check(self) -> None:
        await self.state.maker.check_secret(self.alias, self.params)

    async def store(self, secret: bytes, flag: HuksKeyFlag) -> None:
        await self.state.maker.store_secret(self.alias, self.params, secret, flag)


async def _usable_key(state: OpenState, alias: str, params: ParamSet) -> KeyItem:
    """The key of a call. No token comes with one, so the user's PIN is all that such a key can demand."""
    item = await state.shelf.find(alias, storage_level(params))
    if item.demand is not None and item.demand.password:
        await state.access.require_pin(state.user_id)
    # what follows is done at once, by as many calls as have waited for their key
    await state.dispatcher.turn()
    return item


def _shared_key(
    state: OpenState, function: str, alias: object, params: Properties | None
) -> _SharedKey | None:
    if type(alias) is str and not alias:
        alias = None  # as documented, the secret is stored only under an alias that is not empty
    if alias is None and not len(parse_properties(params)):
        return None
    if alias is None or params is None:
        missing = "sharedKeyAlias" if alias is None else "sharedKeyParams"
        raise BusinessError(
            12000018, f"{missing} is missing: a stored secret needs both alias and parameters"
        )
    parsed = parse_properties(params)
    name = own_alias(state, alias, parsed, "sharedKeyAlias")
    from huks_async.keys.wrapping import encapsulation

    encapsulation.check_secret_params(parsed)
    return _SharedKey(state_for(state, parsed, function, name), name, parsed)
