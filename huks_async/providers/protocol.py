"""What a provider implements: the methods and results that the declaration names CryptoExtensionAbility."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from huks_async.model.external_crypto import HuksExternalCryptoParam, HuksExternalErrorInfo
from huks_async.model.params import HuksOptions, HuksParam

ProviderParam: TypeAlias = HuksExternalCryptoParam | HuksParam
"""A parameter as a provider gets it: of the caller's own, of the call's properties, or added (UID)."""

Params: TypeAlias = Sequence[ProviderParam]


def value_of(params: Params, tag: int) -> Any:
    """The value of a parameter; None where it is not given."""
    return next((param.value for param in params if param.tag == tag), None)


class HuksCryptoExtensionResultCode(IntEnum):
    """What a provider answers in `resultCode` where it failed; 0 is success."""

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
    """The answer of a provider: the code, and what the method asked for gives."""

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
        # outData may be plaintext
        return f"HuksCryptoExtensionResult(resultCode={self.resultCode}, errInfo={self.errInfo})"


class CryptoExtensionAbility:
    """Base of providers: each method is overridden by those that can do what it is for.

    A provider keeps handles and PIN states of different callers apart by HUKS_EXT_CRYPTO_TAG_UID in `params`;
    the keystore adds it to every call. `index` is the provider's own locator of a key.

    Each call is given a time, after which it is cancelled: a cancelled call must leave nothing behind. Blocking
    work belongs into a thread. An answer is a result with a `resultCode`; for what these codes have no number for,
    a method may raise a `BusinessError` with a documented code. Any other exception is 12000020.
    """

    async def onConnect(self) -> None:
        """Called when the provider is registered; an exception refuses the registration (12000020)."""

    async def onGetResourceId(self, params: Params) -> HuksCryptoExtensionResult:
        """Make an index (`resourceId` of the result) of HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO."""
        raise NotImplementedError

    async def onOpenResource(self, index: str, params: Params) -> HuksCryptoExtensionResult:
        """Open a key for a caller; give a `handle`."""
        raise NotImplementedError

    async def onCloseResource(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Close it, with all its sessions."""
        raise NotImplementedError

    async def onAuthUkeyPin(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Check HUKS_EXT_CRYPTO_TAG_UKEY_PIN; give `authState`, and `retryCount` where it is wrong."""
        raise NotImplementedError

    async def onGetUkeyPinAuthState(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Give `authState`."""
        raise NotImplementedError

    async def onClearUkeyPinAuthState(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Forget that the caller's PIN was right."""
        raise NotImplementedError

    async def onGetProperty(self, handle: str, propertyId: str, params: Params) -> HuksCryptoExtensionResult:
        """Give `property`, parameters with what was asked for."""
        raise NotImplementedError

    async def onSetProperty(self, handle: str, propertyId: str, params: Params) -> HuksCryptoExtensionResult:
        """Set what is asked for."""
        raise NotImplementedError

    async def onInitSession(self, handle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Open a session on a key; give its `handle`."""
        raise NotImplementedError

    async def onUpdateSession(self, initHandle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Feed `inData`; give `outData`."""
        raise NotImplementedError

    async def onFinishSession(self, initHandle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Feed the last `inData`; give `outData` and end the session. Aborting is this with no data."""
        raise NotImplementedError

    async def onGenerateKeyItem(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Make a key where the open resource says."""
        raise NotImplementedError

    async def onImportWrappedKeyItem(
        self, handle: str, wrappingHandle: str, params: Params, wrappedKey: bytes
    ) -> HuksCryptoExtensionResult:
        """Take a key that is encrypted for another one of this provider."""
        raise NotImplementedError

    async def onExportKeyItem(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Give the public half in `outData`, as SubjectPublicKeyInfo."""
        raise NotImplementedError

    async def onExportCertificate(self, index: str, params: Params) -> HuksCryptoExtensionResult:
        """Give `certs`: those of one key."""
        raise NotImplementedError

    async def onEnumCertificates(self, params: Params) -> HuksCryptoExtensionResult:
        """Give `certs`: all."""
        raise NotImplementedError
