"""The documented functions on external providers (`huksExternalCrypto`)."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from huks_async.access.callers import Caller
from huks_async.keystore.open_state import KeystoreFunctions, OpenState
from huks_async.model.errors import BusinessError
from huks_async.model.external_crypto import (
    HuksExternalCryptoParam,
    HuksExternalCryptoTag,
    HuksExternalErrorInfo,
    HuksExternalPinAuthState,
    external_tag_name,
)
from huks_async.model.params import as_bytes
from huks_async.model.showing import shown, type_name
from huks_async.providers.parameters import ExternalParams, parse_external, with_uid
from huks_async.providers.protocol import HuksCryptoExtensionCertInfo, HuksCryptoExtensionResult
from huks_async.providers.registry import Owner, Provider, check_ability_name, check_name
from huks_async.providers.resource_ids import ResourceId, parse_resource_id
from huks_async.providers.resources import OpenResource

ExternalParameters: TypeAlias = Iterable[HuksExternalCryptoParam | Mapping[str, Any]]

_T = HuksExternalCryptoTag
_MAX_PROPERTY_BYTES = 100
_PIN_EXPORT = "SKF_ExportPublicKey"


class ProviderFunctions(KeystoreFunctions):
    """Register providers; open their keys, and prove who uses them."""

    async def registerProvider(self, providerName: str, params: ExternalParameters) -> None:
        """Make a provider known to all callers of this keystore.

        Args:
            providerName: 1 … 128 bytes, unique for its vendor.
            params: HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, one of the abilities that `Keystore.open` was given.

        Raises:
            BusinessError: 201 for an application that declares no abilities, or that the policy does not let; 401 or
                12000018 for a wrong argument; 12000002 without the ability's name; 12000019 for a provider that is
                registered; 12000020 for an ability that is not declared or cannot be reached; 12000024 where it is
                does not answer; 12000025 for one more than 10.
        """
        state = self._open_state()
        name, given = check_name(providerName), parse_external(params)
        _check_may_register(state)
        ability = given.text(_T.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, "the ability's name")
        providers = state.providers
        await providers.registry.register(
            name, ability, _owner(state), lambda provider: providers.connect(state.session_owner, provider)
        )

    async def unregisterProvider(self, providerName: str, params: ExternalParameters | None = None) -> None:
        """Forget a provider of this application, with all that is open of it.

        Args:
            providerName: as it was registered.
            params: HUKS_EXT_CRYPTO_TAG_ABILITY_NAME for one ability; without it all of that name.

        Raises:
            BusinessError: 201, 401 and 12000018 as `registerProvider`; 12000011 where it is not registered by this
                application; 12000012 where no provider is.
        """
        state = self._open_state()
        name, given = check_name(providerName), parse_external(params)
        _check_may_register(state)
        ability = None
        if _T.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME in given:
            ability = check_ability_name(
                given.text(_T.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, "the ability's name")
            )
        await state.providers.forget(state.providers.registry.unregister(name, ability, _owner(state)))

    async def getResourceId(self, providerName: str, params: ExternalParameters) -> str:
        """Make the resource id of a key, a JSON text that the other functions take.

        Args:
            providerName: of the provider.
            params: HUKS_EXT_CRYPTO_TAG_ABILITY_NAME; HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, the namespace that registered
                it; HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO, which the provider understands.

        Raises:
            BusinessError: 12000002 without one of these; 12000011 for an unknown provider; 401, 12000018, 12000020,
                12000024.
        """
        state = self._open_state()
        name, given = check_name(providerName), parse_external(params)
        ability = given.text(_T.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, "the ability's name")
        bundle = given.text(_T.HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, "the namespace that registered the provider")
        if _T.HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO not in given:
            raise BusinessError(
                12000002, f"{_T.HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO.name} is absent: it names the key"
            )
        provider = state.providers.registry.find(name, ability, bundle, _caller(state).user_id)
        result = await state.providers.ask(
            state.session_owner, provider, "onGetResourceId", given.to_provider(_uid(state))
        )
        if not isinstance(result.resourceId, str):
            raise BusinessError(12000020, f"{provider.who}: onGetResourceId gave no resourceId")
        try:
            return provider.resource_id(result.resourceId).to_json()
        except BusinessError as error:
            raise BusinessError(12000020, f"{provider.who}: {error.message}") from None

    async def openResource(self, resourceId: str, params: ExternalParameters | None = None) -> None:
        """Open a key of a provider for this caller; every other use of it comes after that.

        Raises:
            BusinessError: 12000017 where the caller has it open; 12000025 where 100 of the provider are; 12000011
                for an unknown provider; 12000006 where the token is absent; 401, 12000018, 12000020, 12000024.
        """
        state = self._open_state()
        resource, given = parse_resource_id(resourceId), parse_external(params)
        await state.providers.open(_provider(state, resource), state.session_owner, resource, given)

    async def closeResource(self, resourceId: str, params: ExternalParameters | None = None) -> None:
        """Close it, with its sessions and the state of its PIN. One that is not open is no mistake.

        Raises:
            BusinessError: 12000006, 401, 12000018, 12000020, 12000024.
        """
        state = self._open_state()
        resource, given = parse_resource_id(resourceId), parse_external(params)
        await state.providers.close(state.session_owner, resource, given)

    async def authUkeyPin(self, resourceId: str, params: ExternalParameters) -> None:
        """Prove the PIN of the token, for this caller.

        Args:
            resourceId: an open resource.
            params: HUKS_EXT_CRYPTO_TAG_UKEY_PIN.

        Raises:
            BusinessError: 202 in the device profile, where this is for system applications; 12000018 without a PIN;
                12000022 for a wrong one, with the attempts that are left in `data` where the token tells them;
                12000021 for a PIN that is locked; 12000011 where the resource is not open; 401, 12000006, 12000020,
                12000024.
        """
        state = self._open_state()
        resource = parse_resource_id(resourceId)
        if state.device:
            raise BusinessError(202, "authUkeyPin is for system applications")
        given = parse_external(params)
        if not given.get(_T.HUKS_EXT_CRYPTO_TAG_UKEY_PIN):
            raise BusinessError(12000018, f"{_T.HUKS_EXT_CRYPTO_TAG_UKEY_PIN.name} is absent or empty")
        opened = state.providers.resources.find(state.session_owner, resource)
        result = await state.providers.ask_resource(opened, "onAuthUkeyPin", given.to_provider(opened.uid))
        if result.authState != HuksExternalPinAuthState.HUKS_EXT_CRYPTO_PIN_AUTH_SUCCEEDED:
            raise BusinessError(
                12000020,
                f"{opened.provider.who}: onAuthUkeyPin gave success with authState {shown(result.authState)}",
            )

    async def getUkeyPinAuthState(
        self, resourceId: str, params: ExternalParameters | None = None
    ) -> HuksExternalPinAuthState:
        """Tell whether this caller has proved the PIN, and whether it is locked.

        Raises:
            BusinessError: 12000011 where the resource is not open; 401, 12000006, 12000018, 12000020, 12000024.
        """
        state = self._open_state()
        resource, given = parse_resource_id(resourceId), parse_external(params)
        opened = state.providers.resources.find(state.session_owner, resource)
        result = await state.providers.ask_resource(
            opened, "onGetUkeyPinAuthState", given.to_provider(opened.uid)
        )
        try:
            return HuksExternalPinAuthState(result.authState)  # type: ignore[arg-type]
        except ValueError:
            raise BusinessError(
                12000020,
                f"{opened.provider.who}: onGetUkeyPinAuthState gave authState {shown(result.authState)}",
            ) from None

    async def clearUkeyPinAuthState(self, resourceId: str) -> None:
        """Forget that this caller has proved the PIN.

        Raises:
            BusinessError: as `getUkeyPinAuthState`.
        """
        state = self._open_state()
        opened = state.providers.resources.find(state.session_owner, parse_resource_id(resourceId))
        await state.providers.ask_resource(opened, "onClearUkeyPinAuthState", [with_uid(opened.uid)])

    async def getProperty(
        self, resourceId: str, propertyId: str, params: ExternalParameters | None = None
    ) -> list[HuksExternalCryptoParam]:
        """Give a property of a key or its token; which there are, the provider says.

        Args:
            resourceId: an open resource.
            propertyId: 1 … 100 bytes; names of GM/T 0016 functions are usual, such as SKF_GetDevInfo.
            params: for the provider.

        Raises:
            BusinessError: 202 for SKF_ExportPublicKey in the device profile; 12000021 or 12000023 where it needs a PIN;
                12000020 where the provider fails or gives no list of parameters; 401, 12000006, 12000011, 12000018,
                12000024.
        """
        state = self._open_state()
        opened, given = self._for_property(state, resourceId, propertyId, params)
        result = await state.providers.ask_resource(
            opened, "onGetProperty", propertyId, given.to_provider(opened.uid)
        )
        return _checked_property(opened.provider, result)

    async def setProperty(
        self, resourceId: str, propertyId: str, params: ExternalParameters | None = None
    ) -> None:
        """Set a property of a key or its token.

        Raises:
            BusinessError: as `getProperty`.
        """
        state = self._open_state()
        opened, given = self._for_property(state, resourceId, propertyId, params)
        await state.providers.ask_resource(opened, "onSetProperty", propertyId, given.to_provider(opened.uid))

    def getErrorInfo(self) -> HuksExternalErrorInfo:
        """What a provider told of the last failure of a call of this caller: 0 and no text where it told nothing."""
        state = self._open_state()
        return state.providers.last_error(state.session_owner)

    async def export_certificates(
        self, resourceId: str, params: ExternalParameters | None = None
    ) -> list[HuksCryptoExtensionCertInfo]:
        """Give the certificates of one key. An extension: a device has this in its certificate manager.

        The resource need not be open. `resourceId` of a certificate is that of its key.

        Raises:
            BusinessError: 12000011 for an unknown provider; 401, 12000006, 12000018, 12000020, 12000024.
        """
        state = self._open_state()
        resource, given = parse_resource_id(resourceId), parse_external(params)
        provider = _provider(state, resource)
        result = await state.providers.ask(
            state.session_owner,
            provider,
            "onExportCertificate",
            resource.index,
            given.to_provider(_uid(state)),
        )
        return _checked_certificates(provider, result)

    async def list_certificates(
        self, providerName: str, params: ExternalParameters
    ) -> list[HuksCryptoExtensionCertInfo]:
        """Give all certificates of a provider. An extension, as `export_certificates`.

        Args:
            providerName: of the provider.
            params: ABILITY_NAME and BUNDLE_NAME as for `getResourceId`; PURPOSE (`CertificatePurpose`) to choose.
        """
        state = self._open_state()
        name, given = check_name(providerName), parse_external(params)
        ability = given.text(_T.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, "the ability's name")
        bundle = given.text(_T.HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, "the namespace that registered the provider")
        provider = state.providers.registry.find(name, ability, bundle, _caller(state).user_id)
        result = await state.providers.ask(
            state.session_owner, provider, "onEnumCertificates", given.to_provider(_uid(state))
        )
        return _checked_certificates(provider, result)

    def _for_property(
        self, state: OpenState, resource_id: Any, property_id: Any, params: object
    ) -> tuple[OpenResource, ExternalParams]:
        resource = parse_resource_id(resource_id)
        if not isinstance(property_id, str):
            raise BusinessError(401, f"propertyId must be a str, got {type_name(property_id)}")
        size = len(property_id.encode(errors="surrogatepass"))
        if not 0 < size <= _MAX_PROPERTY_BYTES:
            raise BusinessError(12000018, f"propertyId has {size} bytes, accepted 1 … {_MAX_PROPERTY_BYTES}")
        given = parse_external(params)
        if state.device and property_id == _PIN_EXPORT:
            raise BusinessError(202, f"the property {_PIN_EXPORT} is for system applications")
        return state.providers.resources.find(state.session_owner, resource), given


def _caller(state: OpenState) -> Caller:
    return state.keyrings.caller


def _owner(state: OpenState) -> Owner:
    caller = _caller(state)
    return Owner(caller.namespace, caller.user_id)


def _uid(state: OpenState) -> int:
    return state.providers.uid_of(state.session_owner)


def _provider(state: OpenState, resource: ResourceId) -> Provider:
    return state.providers.registry.find(
        resource.providerName, resource.abilityName, resource.bundleName, _caller(state).user_id
    )


def _check_may_register(state: OpenState) -> None:
    if not state.providers.registry.declares_any:
        raise BusinessError(
            201,
            "this application declares no abilities, so it has none to register: Keystore.open(abilities=…)",
        )
    if not state.keyrings.permissions.may_register_providers(_caller(state)):
        raise BusinessError(
            201,
            f"no policy allows {shown(_caller(state).namespace)} to register providers; see Keystore.open(policy=…)",
        )


def _checked_property(provider: Provider, result: HuksCryptoExtensionResult) -> list[HuksExternalCryptoParam]:
    try:
        return [
            HuksExternalCryptoParam(
                param.tag,
                param.value
                if isinstance(param.value, int)
                else as_bytes(param.value, external_tag_name(param.tag)),
            )
            for param in result.property or ()
        ]
    except (AttributeError, TypeError, BusinessError):
        raise BusinessError(
            12000020, f"{provider.who}: onGetProperty gave a property that is no list of parameters"
        ) from None


def _checked_certificates(
    provider: Provider, result: HuksCryptoExtensionResult
) -> list[HuksCryptoExtensionCertInfo]:
    try:
        return [
            HuksCryptoExtensionCertInfo(
                int(cert.purpose), provider.resource_id(cert.resourceId).to_json(), bytes(cert.cert)
            )
            for cert in result.certs or ()
        ]
    except (AttributeError, TypeError, ValueError, BusinessError):
        raise BusinessError(12000020, f"{provider.who} gave certs that are no certificates") from None
