"""What a provider implements: the methods and results of the documented CryptoExtensionAbility."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from huks_async.model.external_crypto import HuksExternalCryptoParam, HuksExternalErrorInfo
from huks_async.model.params import HuksOptions, HuksParam

ProviderParam: TypeAlias = HuksExternalCryptoParam | HuksParam
"""A parameter as a provider gets it: given by the caller, one of the call's properties, or added (UID)."""

Params: TypeAlias = Sequence[ProviderParam]


def value_of(params: Params, tag: int) -> Any:
    """The value of a parameter; None if it is not given."""
    return next((param.value for param in params if param.tag == tag), None)


class HuksCryptoExtensionResultCode(IntEnum):
    """The values of a provider's `resultCode`: 0 is success, the others are failures."""

    HUKS_CRYPTO_EXTENSION_ERR_EXTENSION_FAIL = 34800000
    HUKS_CRYPTO_EXTENSION_ERR_UKEY_NOT_EXIST = 34800001
    HUKS_CRYPTO_EXTENSION_ERR_UKEY_DRIVER_FAIL = 34800002
    HUKS_CRYPTO_EXTENSION_ERR_PIN_NO_AUTH = 34800003
    HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST = 34800004
    HUKS_CRYPTO_EXTENSION_ERR_HANDLE_UNAVAILABLE = 34800005
    HUKS_CRYPTO_EXTENSION_ERR_PIN_INCORRECT = 34800006
    HUKS_CRYPTO_EXTENSION_ERR_PIN_LOCKED = 34800007


class CertificatePurpose(IntEnum):
    """What the key of a certificate is for."""

    PURPOSE_DEFAULT = 0
    PURPOSE_ALL = 1
    PURPOSE_SIGN = 2
    PURPOSE_ENCRYPT = 3


@dataclass(slots=True)
class HuksCryptoExtensionCertInfo:
    """A certificate in a token: what its key is for, the key's locator, and the certificate (DER)."""

    purpose: int
    resourceId: str
    cert: bytes


@dataclass(slots=True)
class HuksCryptoExtensionResult:
    """The answer of a provider: the result code, and the values that the called method returns."""

    resultCode: int = 0
    handle: str | None = None
    authState: int | None = None
    retryCount: int | None = None
    certs: Sequence[HuksCryptoExtensionCertInfo] | None = None
    property: Sequence[ProviderParam] | None = None
    outData: bytes | None = None
    resourceId: str | None = None
    errInfo: HuksExternalErrorInfo | None = None

    def __repr__(self) -> str:
        # outData is left out, because it may be plaintext
        return f"HuksCryptoExtensionResult(resultCode={self.resultCode}, errInfo={self.errInfo})"


class CryptoExtensionAbility:
    """Base class of providers, which override the methods for what they can do.

    A provider keeps handles and PIN states of different callers apart by HUKS_EXT_CRYPTO_TAG_UID in `params`;
    the keystore adds it to every call. `index` is the provider's own locator of a key.

    Each call has a time limit, after which it is cancelled; a cancelled call must leave nothing behind. Blocking
    work belongs in a thread. The answer is a result with a `resultCode`. For a failure without such a code, a method
    may raise a `BusinessError` with a documented code. Any other exception becomes 12000020.
    """

    async def onConnect(self) -> None:
        """Called when the provider is registered; an exception refuses the registration (12000020)."""

    async def onDisconnect(self) -> None:
        """Called when the provider is unregistered, or a keystore that it is registered with closes.

        As often as `onConnect` has succeeded; an exception is ignored. A resource or session that was being opened
        is closed by a call after this one.
        """

    async def onGetResourceId(self, params: Params) -> HuksCryptoExtensionResult:
        """Make an index (`resourceId` of the result) of HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO."""
        raise NotImplementedError

    async def onOpenResource(self, index: str, params: Params) -> HuksCryptoExtensionResult:
        """Open a key for a caller; return a `handle`."""
        raise NotImplementedError

    async def onCloseResource(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Close an open key, with all of its sessions."""
        raise NotImplementedError

    async def onAuthUkeyPin(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Check HUKS_EXT_CRYPTO_TAG_UKEY_PIN; return `authState`, and `retryCount` if the PIN is wrong."""
        raise NotImplementedError

    async def onGetUkeyPinAuthState(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Return `authState`: whether the caller has proved the PIN."""
        raise NotImplementedError

    async def onClearUkeyPinAuthState(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Forget that the caller's PIN was right."""
        raise NotImplementedError

    async def onGetProperty(self, handle: str, propertyId: str, params: Params) -> HuksCryptoExtensionResult:
        """Return `property`: a list of parameters with the value."""
        raise NotImplementedError

    async def onSetProperty(self, handle: str, propertyId: str, params: Params) -> HuksCryptoExtensionResult:
        """Set a property to the values in `params`."""
        raise NotImplementedError

    async def onInitSession(self, handle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Open a session on a key; return its `handle`."""
        raise NotImplementedError

    async def onUpdateSession(self, initHandle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Feed `inData`; return `outData`."""
        raise NotImplementedError

    async def onFinishSession(self, initHandle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Feed the last `inData`; return `outData` and end the session. An abort is this call without data."""
        raise NotImplementedError

    async def onGenerateKeyItem(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Make a key at the place that the open resource names."""
        raise NotImplementedError

    async def onImportWrappedKeyItem(
        self, handle: str, wrappingHandle: str, params: Params, wrappedKey: bytes
    ) -> HuksCryptoExtensionResult:
        """Import a key that is encrypted for another key of this provider."""
        raise NotImplementedError

    async def onExportKeyItem(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Return the public half in `outData`, as SubjectPublicKeyInfo."""
        raise NotImplementedError

    async def onExportCertificate(self, index: str, params: Params) -> HuksCryptoExtensionResult:
        """Return `certs`: the certificates of one key."""
        raise NotImplementedError

    async def onEnumCertificates(self, params: Params) -> HuksCryptoExtensionResult:
        """Return `certs`: all certificates."""
        raise NotImplementedError
