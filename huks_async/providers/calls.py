"""Calling a provider with a time limit, and turning its answers into documented codes."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from huks_async.model.errors import ERRORS, BusinessError
from huks_async.model.external_crypto import HuksExternalErrorInfo
from huks_async.model.showing import shown, type_name
from huks_async.providers.protocol import HuksCryptoExtensionResult, HuksCryptoExtensionResultCode
from huks_async.runtime.cancellation import past_cancellations, raise_unless_failures, raise_unless_foreign

_R = HuksCryptoExtensionResultCode
NO_MEMORY = 12000014
FAILED = 12000020
BUSY = 12000024

_COMMON = {
    _R.HUKS_CRYPTO_EXTENSION_ERR_UKEY_NOT_EXIST: 12000006,
    _R.HUKS_CRYPTO_EXTENSION_ERR_UKEY_DRIVER_FAIL: 12000006,
    _R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_NOT_EXIST: 12000011,
    _R.HUKS_CRYPTO_EXTENSION_ERR_HANDLE_UNAVAILABLE: 12000011,
}
_USING_A_KEY = _COMMON | {
    _R.HUKS_CRYPTO_EXTENSION_ERR_PIN_NO_AUTH: 12000023,
    _R.HUKS_CRYPTO_EXTENSION_ERR_PIN_LOCKED: 12000021,
}
_CHECKING_A_PIN = _COMMON | {
    _R.HUKS_CRYPTO_EXTENSION_ERR_PIN_INCORRECT: 12000022,
    _R.HUKS_CRYPTO_EXTENSION_ERR_PIN_LOCKED: 12000021,
}
# A result code that is not in its method's table counts as a failure of the provider (12000020).
_CODES: dict[str, dict[HuksCryptoExtensionResultCode, int]] = {
    "onGetResourceId": {},
    "onOpenResource": _COMMON,
    "onCloseResource": _COMMON,
    "onAuthUkeyPin": _CHECKING_A_PIN,
    "onGetUkeyPinAuthState": _COMMON,
    "onClearUkeyPinAuthState": _COMMON,
    "onGetProperty": _USING_A_KEY,
    "onSetProperty": _USING_A_KEY,
    "onInitSession": _USING_A_KEY,
    "onUpdateSession": _USING_A_KEY,
    "onFinishSession": _USING_A_KEY,
    "onGenerateKeyItem": _USING_A_KEY,
    "onImportWrappedKeyItem": _USING_A_KEY,
    "onExportKeyItem": _USING_A_KEY,
    "onExportCertificate": _COMMON,
    "onEnumCertificates": _COMMON,
}
_CAUSES = {
    12000006: "the token is absent or its driver failed; check that it is plugged in, and open the resource again",
    12000011: "it does not know the handle any more; open the resource again",
    12000021: "the PIN is locked; unlock it with the token's own tools",
    12000022: "the PIN is wrong",
    12000023: "no PIN was entered; call authUkeyPin",
}


def _cause(method: str, error: BaseException) -> BaseException | None:
    """The exception to show as the cause: none of the method that is given the PIN, since its text may repeat it."""
    return None if method == "onAuthUkeyPin" else error


def _fault(error: BusinessError) -> str:
    """What a provider's error has that no BusinessError may have; "" if it is sound.

    Its fields may have been changed, and a subclass may have set none.
    """
    code, reason = getattr(error, "code", None), getattr(error, "reason", None)
    if type(code) is not int or code not in ERRORS:
        return f"the code {shown(code)}, which is not documented"
    if not _is_number(reason):
        return f"the reason {shown(reason)}"
    if not isinstance(getattr(error, "message", None), str) or not hasattr(error, "data"):
        return "no message or data"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int) and type(value) is not bool


def _told(info: object) -> HuksExternalErrorInfo:
    """A copy of what a provider says about a failure, with what is no number and no text left out."""
    if not isinstance(info, HuksExternalErrorInfo):
        return HuksExternalErrorInfo()
    errno = int.__int__(info.errno) if _is_number(info.errno) else 0
    return HuksExternalErrorInfo(
        errno, str.__str__(info.errorDesc) if isinstance(info.errorDesc, str) else ""
    )


class ResultCodeError(Exception):
    """The cause of an error made from a provider's result code. An error that the provider raised has another cause.

    Args:
        code: the result code.
        info: what the provider says about it.
    """

    def __init__(self, code: int, info: HuksExternalErrorInfo) -> None:
        super().__init__(shown(code))
        self.info = info


def told_of(error: BusinessError) -> HuksExternalErrorInfo:
    """What a provider says about a failure: 0 and no text if it says nothing, or has nothing to do with it."""
    cause = error.__cause__
    return cause.info if isinstance(cause, ResultCodeError) else HuksExternalErrorInfo()


class Asker:
    """Calls the methods of providers.

    Args:
        timeout: seconds that one call may take.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout

    async def ask(self, who: str, ability: object, method: str, *args: object) -> HuksCryptoExtensionResult:
        """Call a method and return its result, if that is a success.

        Args:
            who: the provider's name, for messages.
            ability: the provider.
            method: the name of the method.
            args: its arguments.

        Raises:
            BusinessError: the code for the provider's `resultCode`; 12000020 if it fails otherwise or its answer is
                not a result; 12000024 if it has no such method or does not answer in time.
        """
        result = await self.call(who, ability, method, *args)
        if not isinstance(result, HuksCryptoExtensionResult) or not _is_number(result.resultCode):
            raise BusinessError(
                FAILED, f"{who}: {method} gave {type_name(result)}, which is no HuksCryptoExtensionResult"
            )
        code = int.__int__(result.resultCode)
        if code == 0:
            return result
        info = _told(result.errInfo)
        known = _CODES[method].get(code, FAILED)  # type: ignore[call-overload]
        cause = _CAUSES.get(known, f"{method} failed with resultCode {shown(code)}")
        detail = ""
        if info.errno or info.errorDesc:
            detail = f" (it says: {f'{shown(info.errno)} {info.errorDesc[:200]}'.rstrip()})"
        retries = result.retryCount if known == 12000022 and type(result.retryCount) is int else None
        raise BusinessError(known, f"{who}: {cause}{detail}", data=retries) from ResultCodeError(code, info)

    async def call(self, who: str, ability: object, method: str, *args: object) -> Any:
        """Call a method with the time limit and return what it returns; its exceptions become documented ones."""
        function: Callable[..., Awaitable[Any]] | None = getattr(ability, method, None)
        if function is None:
            raise BusinessError(BUSY, f"{who} has no method {method}")
        since = past_cancellations()
        with anyio.move_on_after(self.timeout):
            try:
                return await function(*args)
            except NotImplementedError:
                raise BusinessError(BUSY, f"{who} has no method {method}") from None
            except BusinessError as error:
                fault = _fault(error)
                if fault:
                    raise BusinessError(
                        FAILED, f"{who}: {method} raised a BusinessError with {fault}"
                    ) from _cause(method, error)
                if isinstance(error.__cause__, ResultCodeError):
                    # of another keystore whose provider this one uses: it tells about handles of that one
                    own = BusinessError(error.code, error.message, reason=error.reason, data=error.data)
                    raise own from _cause(method, error)
                if _cause(method, error) is None:
                    raise error from None  # nor what it was raised from, or while that was handled
                raise
            except MemoryError as error:
                raise BusinessError(NO_MEMORY, f"{who}: no memory for {method}") from _cause(method, error)
            except BaseExceptionGroup as error:
                await raise_unless_failures(error, since)
                raise BusinessError(FAILED, f"{who}: {method} raised {type_name(error)}") from _cause(
                    method, error
                )
            except Exception as error:
                # the exception's text is not shown, because it may contain anything, even a PIN
                raise BusinessError(FAILED, f"{who}: {method} raised {type_name(error)}") from _cause(
                    method, error
                )
            except anyio.get_cancelled_exc_class() as error:
                await raise_unless_foreign(error, since)
                raise BusinessError(
                    FAILED,
                    f"{who}: {method} raised {type_name(error)}, although nobody had cancelled the call",
                ) from _cause(method, error)
        raise BusinessError(
            BUSY, f"{who}: {method} did not answer within {self.timeout:g} s; is the token busy, or stuck?"
        )
