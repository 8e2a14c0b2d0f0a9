"""A provider whose keys live in memory, for tests of services that use external providers."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from huks_async.model.enums import HuksKeyAlg, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.external_crypto import (
    HuksExternalCryptoParam,
    HuksExternalCryptoTag,
    HuksExternalErrorInfo,
    HuksExternalPinAuthState,
)
from huks_async.model.params import HuksOptions
from huks_async.model.tags import HuksTag
from huks_async.providers.protocol import (
    CertificatePurpose,
    CryptoExtensionAbility,
    HuksCryptoExtensionCertInfo,
    HuksCryptoExtensionResult,
    HuksCryptoExtensionResultCode,
    Params,
    value_of,
)

_R = HuksCryptoExtensionResultCode
_T = HuksExternalCryptoTag
_NONCE = 12


@dataclass(slots=True)
class _Opened:
    uid: int
    index: str
    cleared: bool = False


@dataclass(slots=True)
class _Session:
    opened: _Opened
    handle: str
    purpose: int
    data: bytearray = field(default_factory=bytearray, repr=False)


class MemoryProvider(CryptoExtensionAbility):
    """A token in memory: ECC P-256 keys that sign, AES keys that encrypt (GCM, the nonce before the ciphertext).

    Private keys ask for the PIN. A test may pull the token out by `present = False`, and make any method answer
    otherwise by `answers[name] = result` (a result, or an exception to raise).

    Args:
        pin: the PIN.
        retries: wrong ones in a row after which it is locked.
    """

    def __init__(self, pin: bytes = b"123456", *, retries: int = 3) -> None:
        self.pin = pin
        self.retries = retries
        self.left: int = retries
        self.present = True
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, Params]] = []
        self.keys: dict[str, Any] = {}
        self.certificates: dict[str, bytes] = {}
        self.properties: dict[str, bytes] = {}
        self._opened: dict[str, _Opened] = {}
        self._sessions: dict[str, _Session] = {}
        self._authenticated: set[int] = set()

    @property
    def sessions(self) -> int:
        """How many sessions are open."""
        return len(self._sessions)

    @property
    def open_resources(self) -> int:
        """How many resources are open."""
        return len(self._opened)

    def _answer(self, method: str, params: Params) -> HuksCryptoExtensionResult | None:
        self.calls.append((method, params))
        answer = self.answers.get(method)
        if isinstance(answer, BaseException):
            raise answer
        if answer is None and not self.present:
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_UKEY_NOT_EXIST, "the token was pulled out")
        result: HuksCryptoExtensionResult | None = answer
        return result

    def _find(self, handle: str, params: Params) -> _Opened | None:
        opened = self._opened.get(handle)
        return (
            opened
            if opened is not None and opened.uid == value_of(params, _T.HUKS_EXT_CRYPTO_TAG_UID)
            else None
        )

    def _has_proved(self, opened: _Opened) -> bool:
        return not opened.cleared and opened.uid in self._authenticated

    async def onConnect(self) -> None:
        """Raise, if a test has this method do so; a token that was pulled out does not hinder it."""
        self._answer("onConnect", [])

    async def onDisconnect(self) -> None:
        """Likewise."""
        self._answer("onDisconnect", [])

    async def onGetResourceId(self, params: Params) -> HuksCryptoExtensionResult:
        """The index is the text of RESOURCE_INFO."""
        info = value_of(params, _T.HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO)
        return self._answer("onGetResourceId", params) or HuksCryptoExtensionResult(resourceId=info.decode())

    async def onOpenResource(self, index: str, params: Params) -> HuksCryptoExtensionResult:
        """Open a key, which need not exist yet."""
        answer = self._answer("onOpenResource", params)
        if answer is not None:
            return answer
        handle = secrets.token_hex(8)
        self._opened[handle] = _Opened(value_of(params, _T.HUKS_EXT_CRYPTO_TAG_UID), index)
        return HuksCryptoExtensionResult(handle=handle)

    async def onCloseResource(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Close it, with its sessions."""
        opened = self._opened.pop(handle, None)
        self._sessions = {name: s for name, s in self._sessions.items() if s.opened is not opened}
        return self._answer("onCloseResource", params) or HuksCryptoExtensionResult()

    async def onAuthUkeyPin(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Compare the PIN, and count wrong ones."""
        answer = self._answer("onAuthUkeyPin", params)
        if answer is not None:
            return answer
        opened = self._find(handle, params)
        if opened is None:
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        if not self.left:
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_PIN_LOCKED)
        self.left -= 1
        if secrets.compare_digest(value_of(params, _T.HUKS_EXT_CRYPTO_TAG_UKEY_PIN), self.pin):
            self.left = self.retries
            self._authenticated.add(opened.uid)
            opened.cleared = False
            return HuksCryptoExtensionResult(
                authState=HuksExternalPinAuthState.HUKS_EXT_CRYPTO_PIN_AUTH_SUCCEEDED
            )
        if not self.left:
            self._authenticated.clear()
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_PIN_LOCKED)
        return HuksCryptoExtensionResult(
            _R.HUKS_CRYPTO_EXTENSION_ERR_PIN_INCORRECT,
            retryCount=self.left,
            errInfo=HuksExternalErrorInfo(63, "wrong PIN"),
        )

    async def onGetUkeyPinAuthState(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Tell the state."""
        answer = self._answer("onGetUkeyPinAuthState", params)
        if answer is not None:
            return answer
        opened = self._find(handle, params)
        if opened is None:
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        state = HuksExternalPinAuthState.HUKS_EXT_CRYPTO_PIN_NO_AUTH
        if not self.left:
            state = HuksExternalPinAuthState.HUKS_EXT_CRYPTO_PIN_LOCKED
        elif self._has_proved(opened):
            state = HuksExternalPinAuthState.HUKS_EXT_CRYPTO_PIN_AUTH_SUCCEEDED
        return HuksCryptoExtensionResult(authState=state)

    async def onClearUkeyPinAuthState(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Forget it for this key, and with the caller's last open key for the caller."""
        opened = self._find(handle, params)
        if opened is not None:
            opened.cleared = True
            if all(other.cleared or other.uid != opened.uid for other in self._opened.values()):
                self._authenticated.discard(opened.uid)
        return self._answer("onClearUkeyPinAuthState", params) or HuksCryptoExtensionResult()

    async def onGetProperty(self, handle: str, propertyId: str, params: Params) -> HuksCryptoExtensionResult:
        """Give what was set."""
        answer = self._answer("onGetProperty", params)
        if answer is not None:
            return answer
        value = HuksExternalCryptoParam(
            _T.HUKS_EXT_CRYPTO_TAG_EXTRA_DATA, self.properties.get(propertyId, b"")
        )
        return HuksCryptoExtensionResult(property=[value])

    async def onSetProperty(self, handle: str, propertyId: str, params: Params) -> HuksCryptoExtensionResult:
        """Keep EXTRA_DATA."""
        answer = self._answer("onSetProperty", params)
        if answer is not None:
            return answer
        self.properties[propertyId] = value_of(params, _T.HUKS_EXT_CRYPTO_TAG_EXTRA_DATA)
        return HuksCryptoExtensionResult()

    async def onGenerateKeyItem(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Make an ECC or AES key."""
        answer = self._answer("onGenerateKeyItem", params)
        if answer is not None:
            return answer
        opened = self._find(handle, params)
        if opened is None:
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        if not self._has_proved(opened):
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_PIN_NO_AUTH)
        aes = value_of(params, HuksTag.HUKS_TAG_ALGORITHM) == HuksKeyAlg.HUKS_ALG_AES
        self.keys[opened.index] = (
            AESGCM(secrets.token_bytes(32)) if aes else ec.generate_private_key(ec.SECP256R1())
        )
        return HuksCryptoExtensionResult()

    async def onImportWrappedKeyItem(
        self, handle: str, wrappingHandle: str, params: Params, wrappedKey: bytes
    ) -> HuksCryptoExtensionResult:
        """Take an AES key that is encrypted under another one, as sessions here encrypt."""
        answer = self._answer("onImportWrappedKeyItem", params)
        if answer is not None:
            return answer
        opened, wrapping = self._find(handle, params), self._find(wrappingHandle, params)
        if opened is None or wrapping is None or wrapping.index not in self.keys:
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        if not self._has_proved(opened) or not self._has_proved(wrapping):
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_PIN_NO_AUTH)
        self.keys[opened.index] = AESGCM(_decrypted(self.keys[wrapping.index], wrappedKey))
        return HuksCryptoExtensionResult()

    async def onExportKeyItem(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Give the public half of an ECC key."""
        answer = self._answer("onExportKeyItem", params)
        if answer is not None:
            return answer
        opened = self._find(handle, params)
        if opened is None or opened.index not in self.keys:
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        public = self.keys[opened.index].public_key()
        return HuksCryptoExtensionResult(
            outData=public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    async def onInitSession(self, handle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Open a session."""
        given = _properties(params)
        answer = self._answer("onInitSession", given)
        if answer is not None:
            return answer
        opened = self._find(handle, given)
        if opened is None or opened.index not in self.keys:
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        name = secrets.token_hex(8)
        self._sessions[name] = _Session(opened, handle, value_of(given, HuksTag.HUKS_TAG_PURPOSE))
        return HuksCryptoExtensionResult(handle=name)

    async def onUpdateSession(self, initHandle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Collect data."""
        answer = self._answer("onUpdateSession", _properties(params))
        if answer is not None:
            return answer
        session = self._sessions.get(initHandle)
        if session is None:
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        session.data += params.inData or b""
        return HuksCryptoExtensionResult()

    async def onFinishSession(self, initHandle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Do it all. With no data, and no parameter but the caller's number, end without a result: an abort."""
        answer = self._answer("onFinishSession", _properties(params))
        if answer is not None:
            return answer
        session = self._sessions.get(initHandle)
        if session is None:
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        if not params.inData and len(_properties(params)) <= 1:
            del self._sessions[initHandle]
            return HuksCryptoExtensionResult()
        public = session.purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY
        if not public and not self._has_proved(session.opened):
            return _failure(_R.HUKS_CRYPTO_EXTENSION_ERR_PIN_NO_AUTH)
        out = _work(self.keys[session.opened.index], session, bytes(params.inData or b""))
        del self._sessions[initHandle]  # one that was refused stays until the keystore ends it
        return HuksCryptoExtensionResult(outData=out)

    async def onExportCertificate(self, index: str, params: Params) -> HuksCryptoExtensionResult:
        """Give the certificate of a key."""
        certificates = {index: self.certificates[index]} if index in self.certificates else {}
        return self._answer("onExportCertificate", params) or HuksCryptoExtensionResult(
            certs=_certs(certificates)
        )

    async def onEnumCertificates(self, params: Params) -> HuksCryptoExtensionResult:
        """Give all certificates."""
        return self._answer("onEnumCertificates", params) or HuksCryptoExtensionResult(
            certs=_certs(self.certificates)
        )


def _work(key: Any, session: _Session, last: bytes) -> bytes:
    data = bytes(session.data)
    match session.purpose:
        case HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN:
            signature: bytes = key.sign(data + last, ec.ECDSA(hashes.SHA256()))
            return signature
        case HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY:
            try:
                key.public_key().verify(last, data, ec.ECDSA(hashes.SHA256()))
            except InvalidSignature:
                raise BusinessError(12000006, "the signature does not match") from None
            return b""
        case HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT:
            nonce = secrets.token_bytes(_NONCE)
            ciphertext: bytes = key.encrypt(nonce, data + last, None)
            return nonce + ciphertext
        case HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT:
            return _decrypted(key, data + last)
    raise BusinessError(12000003, f"HUKS_TAG_PURPOSE: got {session.purpose}")


def _decrypted(key: Any, sealed: bytes) -> bytes:
    try:
        plaintext: bytes = key.decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    except (InvalidTag, ValueError):  # ValueError: it is shorter than a nonce
        raise BusinessError(12000006, "the ciphertext was changed, or is of another key") from None
    return plaintext


def _failure(code: int, text: str = "") -> HuksCryptoExtensionResult:
    info = HuksExternalErrorInfo(code - 34800000, text) if text else None
    return HuksCryptoExtensionResult(code, errInfo=info)


def _certs(certificates: dict[str, bytes]) -> list[HuksCryptoExtensionCertInfo]:
    return [
        HuksCryptoExtensionCertInfo(CertificatePurpose.PURPOSE_SIGN, index, certificate)
        for index, certificate in certificates.items()
    ]


def _properties(options: HuksOptions) -> Params:
    properties = options.properties
    return properties if isinstance(properties, Sequence) else []


__all__ = ["MemoryProvider"]
