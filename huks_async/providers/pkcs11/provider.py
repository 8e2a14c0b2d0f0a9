"""The provider on a PKCS#11 token.

Longer than other files: one class with a method for each that the protocol of providers has, in its order.
"""

import json
import os
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from huks_async.model.errors import BusinessError
from huks_async.model.external_crypto import (
    HuksExternalCryptoParam,
    HuksExternalCryptoTag,
    HuksExternalErrorInfo,
    HuksExternalPinAuthState,
)
from huks_async.model.params import HuksOptions
from huks_async.model.showing import shown
from huks_async.providers.pkcs11.locators import Locator, parse_locator
from huks_async.providers.pkcs11.objects import certificates, export_public, generate, look_at_token
from huks_async.providers.pkcs11.operations import Operation, make_operation
from huks_async.providers.pkcs11.protection import refuse_protection
from huks_async.providers.pkcs11.token import Abandoned, Pin, Token, TokenFailure
from huks_async.providers.protocol import (
    CertificatePurpose,
    CryptoExtensionAbility,
    HuksCryptoExtensionCertInfo,
    HuksCryptoExtensionResult,
    HuksCryptoExtensionResultCode,
    Params,
    value_of,
)
from huks_async.rootkeys.pkcs11_library import text_for_token
from huks_async.runtime.paths import path_text

_R = HuksCryptoExtensionResultCode
_T = HuksExternalCryptoTag
_S = HuksExternalPinAuthState
# failures after which a session goes on
_ABOUT_THE_PIN = (_R.HUKS_CRYPTO_EXTENSION_ERR_PIN_NO_AUTH, _R.HUKS_CRYPTO_EXTENSION_ERR_PIN_LOCKED)


@dataclass(slots=True, eq=False)
class _Resource:
    handle: str
    uid: int
    locator: Locator
    life: int
    clearings: int = 0
    """How often the PIN was taken from this key alone."""
    proved_at: int = 0
    """How often it had been when the PIN that last turned out to be right was given."""
    proving: int = 0
    """How many calls are giving a PIN for this key."""

    @property
    def cleared(self) -> bool:
        """Whether the PIN was taken from this key since it was proved."""
        return self.clearings != self.proved_at


@dataclass(slots=True, eq=False)
class _Session:
    resource: _Resource
    operation: Operation


class Pkcs11Provider(CryptoExtensionAbility):
    """Keys in a PKCS#11 token: an HSM, a smart card, SoftHSM. Needs the extra `pkcs11`.

    An index is a PKCS#11 URI (`pkcs11:object=label;id=%01`) or a label alone. Private and secret keys ask for the
    caller's PIN, public keys and certificates do not. Key bytes never leave the token.

    Args:
        module: path of the token's PKCS#11 library.
        token: label of the token.
    """

    def __init__(self, module: str | os.PathLike[str], token: str) -> None:
        path = path_text(module)
        if path is None:
            raise BusinessError(
                401, f"Pkcs11Provider: module must be the path of a PKCS#11 library, got {shown(module)}"
            )
        self._label = text_for_token(token, "Pkcs11Provider: token")
        self._token = Token(path, self._label)
        self._resources: dict[str, _Resource] = {}
        # Keystores in several threads may share a provider, so both are changed entry by entry only.
        self._sessions: dict[str, _Session] = {}
        self._life = self._token.life

    async def onConnect(self) -> None:
        """Load the library and look for the token."""
        self._token.join()
        try:
            await self._token.connect()
        except BaseException as error:
            self._token.leave()
            if isinstance(error, TokenFailure):
                raise BusinessError(12000020, error.text) from error
            raise

    async def onDisconnect(self) -> None:
        """Let the token's session and thread end, unless another keystore is connected."""
        if self._token.leave():
            self._resources.clear()
            self._sessions.clear()

    async def onGetResourceId(self, params: Params) -> HuksCryptoExtensionResult:
        """Return the index for RESOURCE_INFO: a PKCS#11 URI, or a label."""
        text = bytes(value_of(params, _T.HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO)).decode(errors="replace")
        return HuksCryptoExtensionResult(resourceId=str(parse_locator(text, self._label)))

    async def onOpenResource(self, index: str, params: Params) -> HuksCryptoExtensionResult:
        """Open a key, if the token is present; the key itself need not exist yet."""
        locator = parse_locator(index, self._label)
        return await self._answer(self._open(locator, value_of(params, _T.HUKS_EXT_CRYPTO_TAG_UID)))

    async def _open(self, locator: Locator, uid: int) -> HuksCryptoExtensionResult:
        await self._token.run(look_at_token)
        handle = secrets.token_hex(16)
        self._resources[handle] = _Resource(handle, uid, locator, self._token.life)
        return HuksCryptoExtensionResult(handle=handle)

    async def onCloseResource(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Forget an open key and its sessions."""
        self._let_go(handle)
        return HuksCryptoExtensionResult()

    def _let_go(self, handle: str) -> None:
        """Forget an open key with its sessions, and its caller's PIN if that counts for no other."""
        resource = self._resources.pop(handle, None)
        if resource is None:
            return
        for name, session in list(self._sessions.items()):
            if session.resource is resource:
                self._sessions.pop(name, None)
        if self._is_cleared(resource.uid):
            self._token.drop(resource.uid)

    def _is_cleared(self, uid: int, last: _Resource | None = None) -> bool:
        """Whether a caller has no key for which the PIN counts, or is being looked at but for the last one cleared."""
        return all(
            other.uid != uid or (other.cleared and (not other.proving or other is last))
            for other in list(self._resources.values())
        )

    async def onAuthUkeyPin(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Log in to the token, to check whether the PIN is right."""
        resource = self._find(handle)
        if resource is None:
            return _failed(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        try:
            pin = Pin(bytes(value_of(params, _T.HUKS_EXT_CRYPTO_TAG_UKEY_PIN)).decode())
        except UnicodeDecodeError:
            raise BusinessError(12000018, "the PIN of a PKCS#11 token is text in UTF-8") from None
        return await self._answer(self._prove(resource, pin), handle=handle)

    async def _prove(self, resource: _Resource, pin: Pin) -> HuksCryptoExtensionResult:
        clearings = resource.clearings

        def count() -> None:
            # A number, since the key may be cleared meanwhile: that is in the event loop, and this in the token's thread.
            resource.proved_at = clearings

        resource.proving += 1
        try:
            await self._token.prove(resource.uid, pin, count)
        finally:
            resource.proving -= 1
            # The last other key may have been cleared meanwhile, while this might have needed the PIN right after.
            if self._is_cleared(resource.uid):
                self._token.drop(resource.uid)
        return HuksCryptoExtensionResult(authState=_S.HUKS_EXT_CRYPTO_PIN_AUTH_SUCCEEDED)

    async def onGetUkeyPinAuthState(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Tell whether the caller has proved the PIN; also checks that the token is present."""
        resource = self._find(handle)
        if resource is None:
            return _failed(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        return await self._answer(self._state(resource), handle=handle)

    async def _state(self, resource: _Resource) -> HuksCryptoExtensionResult:
        def look(session: Any) -> HuksExternalPinAuthState:
            look_at_token(session)
            if self._token.locked:
                return _S.HUKS_EXT_CRYPTO_PIN_LOCKED
            proved = self._has_proved(resource)
            return _S.HUKS_EXT_CRYPTO_PIN_AUTH_SUCCEEDED if proved else _S.HUKS_EXT_CRYPTO_PIN_NO_AUTH

        return HuksCryptoExtensionResult(authState=await self._token.run(look))

    async def onClearUkeyPinAuthState(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Forget the PIN for this key, as a key that is closed does; the caller's other open keys keep it.

        With a caller's last open key the caller is forgotten, and with the last such caller the token is logged out.
        """
        resource = self._find(handle)
        if resource is None:
            return _failed(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        return await self._answer(self._clear(resource), handle=handle)

    async def _clear(self, resource: _Resource) -> HuksCryptoExtensionResult:
        resource.clearings += 1
        # Another key of the caller for which the PIN is being looked at may need it right after.
        if self._is_cleared(resource.uid, resource):
            await self._token.forget(resource.uid)
        return HuksCryptoExtensionResult()

    async def onGetProperty(self, handle: str, propertyId: str, params: Params) -> HuksCryptoExtensionResult:
        """SKF_GetDevInfo: what the token says about itself, as JSON."""
        if self._find(handle) is None:
            return _failed(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        if propertyId != "SKF_GetDevInfo":
            raise BusinessError(12000001, "the property of a PKCS#11 token is SKF_GetDevInfo")
        return await self._answer(self._describe(), handle=handle)

    async def _describe(self) -> HuksCryptoExtensionResult:
        told = await self._token.run(_describe)
        extra = HuksExternalCryptoParam(_T.HUKS_EXT_CRYPTO_TAG_EXTRA_DATA, json.dumps(told).encode())
        return HuksCryptoExtensionResult(property=[extra])

    async def onSetProperty(self, handle: str, propertyId: str, params: Params) -> HuksCryptoExtensionResult:
        """Refuse, because there is no property that can be set."""
        raise BusinessError(12000001, "a PKCS#11 token has no property that can be set; use its own tools")

    async def onInitSession(self, handle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Open a session on a key, which must exist."""
        resource = self._find(handle)
        if resource is None:
            return _failed(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        numbers, blobs = _split(params.properties)
        refuse_protection(numbers, blobs)
        operation = make_operation(resource.locator, numbers, blobs)
        return await self._answer(self._init(_Session(resource, operation)), handle=handle)

    async def _init(self, session: _Session) -> HuksCryptoExtensionResult:
        await self._run(session, session.operation.key)
        if session.resource.life != self._token.life:  # it was lost since
            return _failed(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        name = secrets.token_hex(16)
        self._sessions[name] = session
        return HuksCryptoExtensionResult(handle=name)

    async def onUpdateSession(self, initHandle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Feed data."""
        session = self._session(initHandle)
        if session is None:
            return _failed(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        work = self._feed(session, session.operation.update, bytes(params.inData or b""))
        result = await self._answer(work, handle=session.resource.handle)
        if result.resultCode and result.resultCode not in _ABOUT_THE_PIN:
            self._sessions.pop(initHandle, None)  # the keystore ends it, too
        return result

    async def onFinishSession(self, initHandle: str, params: HuksOptions) -> HuksCryptoExtensionResult:
        """Feed the last data. With no data, and no parameter but the caller's number, end without a result.

        What is refused with an exception has taken nothing, and may be repeated: the session stays here, too, until the
        keystore ends it.
        """
        session = self._session(initHandle)
        if session is None:
            return _failed(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        if not params.inData and len(list(params.properties or ())) <= 1:
            self._sessions.pop(initHandle, None)
            return HuksCryptoExtensionResult()
        work = self._feed(session, session.operation.finish, bytes(params.inData or b""))
        result = await self._answer(work, handle=session.resource.handle)
        if result.resultCode not in _ABOUT_THE_PIN:
            self._sessions.pop(initHandle, None)
        return result

    async def _feed(self, session: _Session, work: Any, data: bytes) -> HuksCryptoExtensionResult:
        return HuksCryptoExtensionResult(outData=await self._run(session, lambda token: work(token, data)))

    async def _run(self, session: _Session, work: Callable[[Any], Any]) -> Any:
        """Have the token do a session's work, if its caller has proved the PIN by the time the work begins."""

        def checked(token: Any) -> Any:
            if session.operation.needs_pin:
                self._check_proved(session.resource)
            return work(token)

        return await self._token.run(checked)

    def _has_proved(self, resource: _Resource) -> bool:
        return not resource.cleared and self._token.has_proved(resource.uid)

    def _check_proved(self, resource: _Resource) -> None:
        if self._token.locked:
            raise TokenFailure(_R.HUKS_CRYPTO_EXTENSION_ERR_PIN_LOCKED, "the PIN is locked")
        if not self._has_proved(resource):
            raise TokenFailure(
                _R.HUKS_CRYPTO_EXTENSION_ERR_PIN_NO_AUTH,
                "this caller has not proved the PIN, or the token was logged out",
            )

    async def onGenerateKeyItem(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Make a key in the token."""
        resource = self._find(handle)
        if resource is None:
            return _failed(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        numbers, blobs = _split(params)
        refuse_protection(numbers, blobs)
        return await self._answer(self._generate(resource, numbers), handle=handle)

    async def _generate(self, resource: _Resource, numbers: dict[int, Any]) -> HuksCryptoExtensionResult:
        abandoned = Abandoned()

        def make(session: Any) -> None:
            self._check_proved(resource)
            generate(session, resource.locator, numbers, abandoned)

        try:
            await self._token.run(make)
        except BaseException:
            abandoned.set()
            raise
        return HuksCryptoExtensionResult()

    async def onImportWrappedKeyItem(
        self, handle: str, wrappingHandle: str, params: Params, wrappedKey: bytes
    ) -> HuksCryptoExtensionResult:
        """Refuse, because tokens know none of HUKS's wrapped forms."""
        raise BusinessError(
            12000001, "PKCS#11 tokens do not unwrap HUKS's forms; import with the token's own tools"
        )

    async def onExportKeyItem(self, handle: str, params: Params) -> HuksCryptoExtensionResult:
        """Return the public half of a key."""
        resource = self._find(handle)
        if resource is None:
            return _failed(_R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST)
        return await self._answer(self._export(resource), handle=handle)

    async def _export(self, resource: _Resource) -> HuksCryptoExtensionResult:
        public = await self._token.run(lambda session: export_public(session, resource.locator))
        return HuksCryptoExtensionResult(outData=public)

    async def onExportCertificate(self, index: str, params: Params) -> HuksCryptoExtensionResult:
        """Return the certificates of one key."""
        return await self._answer(self._certificates(parse_locator(index, self._label), index))

    async def onEnumCertificates(self, params: Params) -> HuksCryptoExtensionResult:
        """Return all certificates that can be named.

        The purpose is ignored, because PKCS#11 does not tell what they are for.
        """
        return await self._answer(self._certificates(None))

    async def _certificates(
        self, locator: Locator | None, index: str | None = None
    ) -> HuksCryptoExtensionResult:
        found = await self._token.run(lambda session: certificates(session, locator))
        return HuksCryptoExtensionResult(
            certs=[
                HuksCryptoExtensionCertInfo(CertificatePurpose.PURPOSE_DEFAULT, resource, certificate)
                for name, certificate in found
                if (resource := name or index)
            ]
        )

    def _find(self, handle: str) -> _Resource | None:
        self._let_go_of_lost()
        return self._resources.get(handle)

    def _session(self, handle: str) -> _Session | None:
        self._let_go_of_lost()
        return self._sessions.get(handle)

    def _let_go_of_lost(self) -> None:
        """Forget what was open at a token that was lost since."""
        life = self._token.life
        if life == self._life:
            return
        for handle, resource in list(self._resources.items()):
            if resource.life != life:
                self._let_go(handle)
        self._life = life

    async def _answer(
        self, work: Awaitable[HuksCryptoExtensionResult], *, handle: str | None = None
    ) -> HuksCryptoExtensionResult:
        """Return the result of the work, or the result that stands for a failure of the token.

        Args:
            work: what a method does.
            handle: the open key that it is for; the keystore forgets it after a failure of the token.
        """
        try:
            return await work
        except TokenFailure as failure:
            if handle is not None and failure.code == _R.HUKS_CRYPTO_EXTENSION_ERR_UKEY_DRIVER_FAIL:
                self._let_go(handle)
                with suppress(TokenFailure, BusinessError):
                    await self._token.log_out_if_unused()
            info = HuksExternalErrorInfo(int(failure.code), failure.text)
            return HuksCryptoExtensionResult(failure.code, retryCount=failure.retries, errInfo=info)
        finally:
            self._let_go_of_lost()


def _describe(session: Any) -> dict[str, Any]:
    token = session.token.slot.get_token()  # asked again, to check that the token is still present
    return {
        "label": token.label,
        "manufacturer": token.manufacturer_id,
        "model": token.model,
        "serial": bytes(token.serial).decode(errors="replace").strip(),
    }


def _failed(code: HuksCryptoExtensionResultCode) -> HuksCryptoExtensionResult:
    return HuksCryptoExtensionResult(code)


def _split(properties: Any) -> tuple[dict[int, Any], dict[int, bytes]]:
    numbers: dict[int, Any] = {}
    blobs: dict[int, bytes] = {}
    for param in properties or ():
        if isinstance(param.value, int):
            numbers[int(param.tag)] = int(param.value)
        else:
            blobs[int(param.tag)] = bytes(param.value)
    return numbers, blobs


__all__ = ["Pkcs11Provider"]
