"""The documented functions on attestation."""

from typing import TYPE_CHECKING

from huks_async.keys.items.aliases import storage_level
from huks_async.keystore.open_state import (
    KeystoreFunctions,
    OpenState,
    check_security_level,
    newer_codes,
    own_alias,
    state_for,
)
from huks_async.model.errors import BusinessError
from huks_async.model.params import Options, ParamSet, Properties, parse_parameters, parse_properties
from huks_async.model.results import HuksReturnResult
from huks_async.model.tags import HuksTag, InnerTag
from huks_async.stores.base import Store

# The first attestation loads what knows X.509, because most services never make one.
if TYPE_CHECKING:
    from huks_async.keys.attestation import AttestationCa, Mode, SoftwareAuthority

_ANONYMOUS_MODE = InnerTag.ANONYMOUS_ATTESTATION_MODE
_OFFLINE = 1
_FUNCTIONS: "dict[Mode, str]" = {
    "device": "attestKeyItem",
    "anonymous": "anonAttestKeyItem",
    "offline": "anonAttestKeyItemOffline",
}


class AttestationFunctions(KeystoreFunctions):
    """Certify that a key is held by this keystore.

    The certificates are issued by the store's own software authority, unless the operator gave another one
    (`Keystore.open(attestation_ca=…)`). Verify them with `verify_attestation`.
    """

    async def attestKeyItem(self, keyAlias: str, options: Options) -> HuksReturnResult:
        """Certify a key under this keystore's name; `certChains` has four certificates.

        Args:
            keyAlias: an RSA, ECC (P-256, P-384, P-521), X25519, Ed25519 or SM2 key.
            options: ATTESTATION_CHALLENGE, bytes of the verifier; optionally ATTESTATION_ID_ALIAS,
                ATTESTATION_ID_SEC_LEVEL_INFO and ATTESTATION_ID_VERSION_INFO, free bytes.

        Returns:
            `certChains`: PEM, the key's certificate first, the root last.

        Raises:
            BusinessError: 201 in the device profile; 401 without a challenge or for a key of another
                algorithm; 12000001 for another curve or a lone half; 12000011 for an unknown alias; 12000012 for ids of
                a device, which a server does not have.
        """
        state = self._open_state()
        params = parse_parameters(options)
        alias = own_alias(state, keyAlias, params)
        if state.device:
            raise BusinessError(201, "attestKeyItem needs the permission ATTEST_KEY, which applications lack")
        return await _attest(state, alias, params, "device")

    async def anonAttestKeyItem(self, keyAlias: str, options: Options) -> HuksReturnResult:
        """Certify a key without this keystore's name; `certChains` has three certificates.

        Args:
            keyAlias: as for `attestKeyItem`.
            options: as for `attestKeyItem`.

        Raises:
            BusinessError: as `attestKeyItem`; 201 for ids of a device in the device profile.
        """
        state = self._open_state()
        params = parse_parameters(options)
        alias = own_alias(state, keyAlias, params)
        return await _attest(state, alias, params, "anonymous")

    async def anonAttestKeyItemOffline(self, keyAlias: str, params: Properties) -> HuksReturnResult:
        """Certify a key under an authority that is valid for 30 days; `certChains` has four certificates.

        Args:
            keyAlias: as for `attestKeyItem`.
            params: parameters (not options), as for `attestKeyItem`.

        Raises:
            BusinessError: as `anonAttestKeyItem`, with 12000018 for 401.
        """
        state = self._open_state()
        with newer_codes():
            parsed = parse_properties(params)
            alias = own_alias(state, keyAlias, parsed)
            if parsed.numbers.get(_ANONYMOUS_MODE, _OFFLINE) != _OFFLINE:
                raise BusinessError(401, f"tag {_ANONYMOUS_MODE.name}: accepted {_OFFLINE} alone")
            return await _attest(state, alias, parsed, "offline")

    async def attestation_root(self) -> str:
        """Give the root certificate that verifiers of this keystore's attestations must trust, in PEM.

        An extension of the documented surface. Hand it to verifiers over a channel that they trust.
        """
        issuer = await self._open_state().authority("device")
        from huks_async.keys.attestation.certificates import chain_to_pem

        return chain_to_pem(issuer.chain)[-1]


class Authority:
    """What certifies the keys of a keystore: the operator's authority if given, else the store's software one."""

    def __init__(self, given: "AttestationCa | None", store: Store, store_key: bytes) -> None:
        self._given = given
        self._store = store
        self._store_key = store_key
        self._software: SoftwareAuthority | None = None

    async def issuer(self, mode: "Mode") -> "AttestationCa":
        """The authority for an attestation of this mode; see `SoftwareAuthority.issuer`."""
        if self._given is not None:
            return self._given
        if self._software is None:
            from huks_async.keys.attestation import SoftwareAuthority

            self._software = SoftwareAuthority(self._store, self._store_key)
        return await self._software.issuer(mode)


async def _attest(state: OpenState, alias: str, params: ParamSet, mode: "Mode") -> HuksReturnResult:
    from datetime import UTC, datetime

    from huks_async.keys.attestation.certificates import chain_to_pem, issue_key_certificate, to_pem
    from huks_async.keys.attestation.request import check_key, check_request, make_claims

    state = state_for(state, params, _FUNCTIONS[mode], alias, purposes=0)
    check_security_level(params)
    check_request(params, device=state.device)
    item = await state.shelf.find(alias, storage_level(params))
    check_key(item)
    issuer = await state.authority(mode)
    extension = make_claims(params, item, state.namespace, issuer.claim_level)
    certificate = await state.pool.run(
        issue_key_certificate,
        issuer.chain[0],
        issuer.private_key,
        item.material,
        item.params.numbers[HuksTag.HUKS_TAG_PURPOSE],
        extension,
        datetime.now(UTC),
    )
    return HuksReturnResult(certChains=[to_pem(certificate), *chain_to_pem(issuer.chain)])
