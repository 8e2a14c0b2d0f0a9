"""The documented functions on external providers (`huksExternalCrypto`); `provider_calls` does what they say."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from huks_async.keystore.open_state import KeystoreFunctions
from huks_async.runtime.closing import abandoned

if TYPE_CHECKING:
    from huks_async.model.external_crypto import (
        HuksExternalCryptoParam,
        HuksExternalErrorInfo,
        HuksExternalPinAuthState,
    )
    from huks_async.providers.protocol import HuksCryptoExtensionCertInfo

ExternalParameters: TypeAlias = Iterable["HuksExternalCryptoParam | Mapping[str, Any]"]


class ProviderFunctions(KeystoreFunctions):
    """Register providers, open their keys, and prove PINs."""

    async def registerProvider(self, providerName: str, params: ExternalParameters) -> None:
        """Make a provider known to all callers of this keystore that have the same user.

        Args:
            providerName: 1 … 128 bytes, unique for its vendor.
            params: HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, one of the abilities that `Keystore.open` was given.

        Raises:
            BusinessError: 201 for an application that declares no abilities, or that the policy does not allow to; 401
                or 12000018 for a wrong argument; 12000002 without the ability's name; 12000019 for a provider that is
                registered already; 12000020 for an ability that is not declared, cannot be reached or does not
                answer; 12000025 for more than 10 providers; 12000012 if the keystore is closed meanwhile.
        """
        from huks_async.keystore import provider_calls  # late: few services use providers

        await provider_calls.register(self._open_state(), providerName, params)

    async def unregisterProvider(self, providerName: str, params: ExternalParameters | None = None) -> None:
        """Forget a provider of this application, and close all of its resources.

        In a task that the garbage collector ends, where nothing may wait, the event loop does it soon.

        Args:
            providerName: as it was registered.
            params: HUKS_EXT_CRYPTO_TAG_ABILITY_NAME for one ability; without it all of that name.

        Raises:
            BusinessError: 201, 401 and 12000018 as `registerProvider`; 12000011 if this application has not
                registered it; 12000012 if no provider is registered at all.
        """
        if abandoned():
            self._end_soon("unregisterProvider", providerName, params)
            return
        from huks_async.keystore import provider_calls  # late: few services use providers

        await provider_calls.unregister(self._open_state(), providerName, params)

    async def getResourceId(self, providerName: str, params: ExternalParameters) -> str:
        """Make the resource id of a key, a JSON text that the other functions take.

        Args:
            providerName: of the provider.
            params: HUKS_EXT_CRYPTO_TAG_ABILITY_NAME; HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, the namespace that registered
                it; HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO, which the provider understands.

        Raises:
            BusinessError: 12000002 without one of these; 201 if the policy lets the caller use no providers; 12000011
                for an unknown one; 401, 12000018, 12000020, 12000024.
        """
        from huks_async.keystore import provider_calls  # late: few services use providers

        return await provider_calls.make_resource_id(self._open_state(), providerName, params)

    async def openResource(self, resourceId: str, params: ExternalParameters | None = None) -> None:
        """Open a key of a provider for this caller, which must be done before any other use of the key.

        Raises:
            BusinessError: 12000017 if the caller has it open already; 12000025 if 100 keys of the provider are open;
                12000011 for an unknown provider; 12000006 if the token is absent; 201 if the policy lets the caller
                use no providers; 401, 12000018, 12000020, 12000024.
        """
        from huks_async.keystore import provider_calls  # late: few services use providers

        await provider_calls.open_resource(self._open_state(), resourceId, params)

    async def closeResource(self, resourceId: str, params: ExternalParameters | None = None) -> None:
        """Close a key of a provider, with its sessions and the state of its PIN. Does nothing if it is not open.

        In a task that the garbage collector ends, where nothing may wait, the event loop does it soon.

        Raises:
            BusinessError: 12000006, 401, 12000018, 12000020, 12000024.
        """
        if abandoned():
            self._end_soon("closeResource", resourceId, params)
            return
        from huks_async.keystore import provider_calls  # late: few services use providers

        await provider_calls.close_resource(self._open_state(), resourceId, params)

    async def authUkeyPin(self, resourceId: str, params: ExternalParameters) -> None:
        """Prove the PIN of the token, for this caller.

        Args:
            resourceId: an open resource.
            params: HUKS_EXT_CRYPTO_TAG_UKEY_PIN.

        Raises:
            BusinessError: 202 in the device profile, where this is for system applications; 12000018 without a PIN;
                12000022 for a wrong one, with the number of attempts left in `data` if the token tells it; 12000021
                for a PIN that is locked; 12000011 if the resource is not open; 401, 12000006, 12000020, 12000024.
        """
        from huks_async.keystore import provider_calls  # late: few services use providers

        await provider_calls.prove_pin(self._open_state(), resourceId, params)

    async def getUkeyPinAuthState(
        self, resourceId: str, params: ExternalParameters | None = None
    ) -> "HuksExternalPinAuthState":
        """Tell whether this caller has proved the PIN, and whether it is locked.

        Raises:
            BusinessError: 12000011 if the resource is not open; 401, 12000006, 12000018, 12000020, 12000024.
        """
        from huks_async.keystore import provider_calls  # late: few services use providers

        return await provider_calls.pin_state(self._open_state(), resourceId, params)

    async def clearUkeyPinAuthState(self, resourceId: str) -> None:
        """Forget that this caller has proved the PIN.

        In a task that the garbage collector ends, where nothing may wait, the event loop does it soon.

        Raises:
            BusinessError: as `getUkeyPinAuthState`.
        """
        if abandoned():
            self._end_soon("clearUkeyPinAuthState", resourceId)
            return
        from huks_async.keystore import provider_calls  # late: few services use providers

        await provider_calls.clear_pin_state(self._open_state(), resourceId)

    async def getProperty(
        self, resourceId: str, propertyId: str, params: ExternalParameters | None = None
    ) -> "list[HuksExternalCryptoParam]":
        """Give a property of a key or its token; the provider decides which properties there are.

        Args:
            resourceId: an open resource.
            propertyId: 1 … 100 bytes; names of GM/T 0016 functions are usual, such as SKF_GetDevInfo.
            params: for the provider.

        Raises:
            BusinessError: 202 for SKF_ExportPublicKey in the device profile; 12000021 or 12000023 if the property
                needs a PIN; 12000020 if the provider fails or does not return a list of parameters; 401, 12000006,
                12000011, 12000018, 12000024.
        """
        from huks_async.keystore import provider_calls  # late: few services use providers

        return await provider_calls.get_property(self._open_state(), resourceId, propertyId, params)

    async def setProperty(
        self, resourceId: str, propertyId: str, params: ExternalParameters | None = None
    ) -> None:
        """Set a property of a key or its token.

        Raises:
            BusinessError: as `getProperty`.
        """
        from huks_async.keystore import provider_calls  # late: few services use providers

        await provider_calls.set_property(self._open_state(), resourceId, propertyId, params)

    def getErrorInfo(self) -> "HuksExternalErrorInfo":
        """Give a provider's own error for this caller's last failed call about providers: 0 and no text if it gave none.

        Such calls are those of these functions, and others on keys of providers. Once a provider was used, a call of a
        function that takes such keys counts, too, if it is refused while its parameters are read, because it is not known
        then whose key it is about. What fails in a clean-up that nobody asked for does not count.
        """
        from huks_async.keystore import provider_calls  # late: few services use providers

        return provider_calls.last_error(self._open_state())

    async def export_certificates(
        self, resourceId: str, params: ExternalParameters | None = None
    ) -> "list[HuksCryptoExtensionCertInfo]":
        """Give the certificates of one key. An extension: a device has this in its certificate manager.

        The resource need not be open. The `resourceId` of a certificate is that of its key.

        Raises:
            BusinessError: 12000011 for an unknown provider; 201, as `openResource`; 401, 12000006, 12000018, 12000020,
                12000024.
        """
        from huks_async.keystore import provider_calls  # late: few services use providers

        return await provider_calls.export_certificates(self._open_state(), resourceId, params)

    async def list_certificates(
        self, providerName: str, params: ExternalParameters
    ) -> "list[HuksCryptoExtensionCertInfo]":
        """Give all certificates of a provider. An extension, as `export_certificates`.

        Args:
            providerName: of the provider.
            params: ABILITY_NAME and BUNDLE_NAME as for `getResourceId`; PURPOSE (`CertificatePurpose`) to choose.
        """
        from huks_async.keystore import provider_calls  # late: few services use providers

        return await provider_calls.list_certificates(self._open_state(), providerName, params)
