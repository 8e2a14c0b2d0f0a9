"""The error model: one table of codes, and the exceptions made from it.

Every failure that a caller can cause or meet is a `BusinessError`, raised from the await.
`BusinessError(code, message)` gives an instance of the subclass that the table names for the code,
so that callers can catch by branch (`except ItemNotFoundError`) or look at `error.code`.
"""

from typing import Any, NamedTuple

from huks_async.model.enums import HuksErrorCode, HuksExceptionErrCode


class BusinessError(Exception):
    """A HUKS call failed.

    Attributes:
        code: the documented number (`HuksExceptionErrCode`).
        message: what was wrong: tag, value got, values accepted. Never key bytes or plaintext.
        reason: the internal condition behind the code (`HuksErrorCode`), finer than the code;
            the deprecated api-8 functions report it as `errorCode`.
        data: of a provider's wrong PIN (12000022) the retries that are left, an int; of guesses that are locked out
            (12000008) `{"retry_after": seconds}`; otherwise None.

    """

    reason: HuksErrorCode

    def __new__(cls, code: int = 12000012, *_: Any, **__: Any) -> "BusinessError":
        """Make an instance of the subclass that the table names for `code`."""
        fact = ERRORS.get(code)
        chosen = cls if cls is not BusinessError or fact is None else fact.branch
        return super().__new__(chosen)

    def __init__(
        self, code: int, message: str, *, reason: HuksErrorCode | None = None, data: object = None
    ) -> None:
        super().__init__(code, message)
        self.code: int = int(code)
        self.message = message
        fact = ERRORS.get(self.code)
        self.reason = reason or (fact.reason if fact else HuksErrorCode.HUKS_FAILURE)
        self.data = data

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def __reduce__(self) -> Any:
        # keyword-only arguments do not survive the default pickling, and errors cross processes
        return _rebuild, (self.code, self.message, self.reason, self.data)


def _rebuild(code: int, message: str, reason: HuksErrorCode, data: object) -> BusinessError:
    return BusinessError(code, message, reason=reason, data=data)


class PermissionDeniedError(BusinessError):
    """The caller may not do this: a permission or a system-application right is missing."""


class IllegalArgumentError(BusinessError):
    """An argument has the wrong shape, type, length or value."""


class ParameterSetError(IllegalArgumentError):
    """A set of parameters is illegal as a whole: a tag twice, an unknown tag.

    Unlike a wrong type or too many parameters, which are refused before a session is looked at, it ends the session.
    """


class NotSupportedError(BusinessError):
    """The function, feature or mode does not exist here."""


class AlgorithmParameterError(BusinessError):
    """A parameter of the algorithm is missing or has a value that the algorithm does not take."""


class StorageError(BusinessError):
    """The key store could not be read or written."""


class CommunicationError(BusinessError):
    """A process or service that the call depends on did not answer."""


class CryptoError(BusinessError):
    """The cryptographic operation failed: bad signature, tag, padding, ciphertext."""


class KeyAuthError(BusinessError):
    """The key is bound to a user's authentication, which is missing, wrong, too old or void."""


class SessionLimitError(BusinessError):
    """No further session can be opened now."""


class ItemNotFoundError(BusinessError):
    """The key or the session does not exist (any more); the message says why."""


class ExternalError(BusinessError):
    """The environment or the input is in a state that does not allow the call."""


class MemoryLimitError(BusinessError):
    """Memory ran out, or an operation that needs data got none."""


class ItemExistsError(BusinessError):
    """An item of this name exists, and it was not to be replaced."""


class ProviderError(BusinessError):
    """An external provider, token or secure element failed."""


class ErrorFact(NamedTuple):
    """A row of the error table: what a code means and what helps."""

    code: int
    name: str
    branch: type[BusinessError]
    cause: str
    way_out: str
    reason: HuksErrorCode


def _fact(
    member: HuksExceptionErrCode,
    branch: type[BusinessError],
    cause: str,
    way_out: str,
    reason: HuksErrorCode = HuksErrorCode.HUKS_ERROR_BAD_STATE,
) -> tuple[int, ErrorFact]:
    return member.value, ErrorFact(member.value, member.name, branch, cause, way_out, reason)


_X = HuksExceptionErrCode
_R = HuksErrorCode

ERRORS: dict[int, ErrorFact] = dict(
    (
        _fact(
            _X.HUKS_ERR_CODE_PERMISSION_FAIL,
            PermissionDeniedError,
            "a permission is missing",
            "give the caller the permission, or let the policy allow it",
            _R.HUKS_ERROR_NO_PERMISSION,
        ),
        _fact(
            _X.HUKS_ERR_CODE_NOT_SYSTEM_APP,
            PermissionDeniedError,
            "the function is for system applications",
            "use the form without a user id",
            _R.HUKS_ERROR_NO_PERMISSION,
        ),
        _fact(
            _X.HUKS_ERR_CODE_ILLEGAL_ARGUMENT,
            IllegalArgumentError,
            "an argument has the wrong shape, or contradicts the key",
            "correct the argument that the message names",
            _R.HUKS_ERROR_INVALID_ARGUMENT,
        ),
        _fact(
            _X.HUKS_ERR_CODE_NOT_SUPPORTED_API,
            NotSupportedError,
            "the function does not exist here",
            "see what is not supported: docs/limitations.md",
            _R.HUKS_ERROR_NOT_SUPPORTED,
        ),
        _fact(
            _X.HUKS_ERR_CODE_FEATURE_NOT_SUPPORTED,
            NotSupportedError,
            "the feature or combination does not exist here",
            "choose one that the message names",
            _R.HUKS_ERROR_NOT_SUPPORTED,
        ),
        _fact(
            _X.HUKS_ERR_CODE_MISSING_CRYPTO_ALG_ARGUMENT,
            AlgorithmParameterError,
            "a parameter that the algorithm needs is absent",
            "add the tag that the message names",
            _R.HUKS_ERROR_CHECK_GET_ALG_FAIL,
        ),
        _fact(
            _X.HUKS_ERR_CODE_INVALID_CRYPTO_ALG_ARGUMENT,
            AlgorithmParameterError,
            "a parameter has a value that the algorithm does not take",
            "use one of the values that the message names",
            _R.HUKS_ERROR_INVALID_ALGORITHM,
        ),
        _fact(
            _X.HUKS_ERR_CODE_FILE_OPERATION_FAIL,
            StorageError,
            "the key store could not be read or written",
            "check space, permissions and the store's address",
            _R.HUKS_ERROR_STORAGE_FAILURE,
        ),
        _fact(
            _X.HUKS_ERR_CODE_COMMUNICATION_FAIL,
            CommunicationError,
            "a helper process or service did not answer",
            "try again; look at the log of the helper",
            _R.HUKS_ERROR_IPC_MSG_FAIL,
        ),
        _fact(
            _X.HUKS_ERR_CODE_CRYPTO_FAIL,
            CryptoError,
            "signature, tag, padding or ciphertext is wrong",
            "check that data and parameters are those of the other side",
            _R.HUKS_ERROR_CRYPTO_ENGINE_ERROR,
        ),
        _fact(
            _X.HUKS_ERR_CODE_KEY_AUTH_PERMANENTLY_INVALIDATED,
            KeyAuthError,
            "the credential that the key is bound to is void, or the token is another user's",
            "authenticate as the key's user; if the credential is void, make a new key",
        ),
        _fact(
            _X.HUKS_ERR_CODE_KEY_AUTH_VERIFY_FAILED,
            KeyAuthError,
            "the auth token is not valid for this session",
            "open a new session and authenticate with its challenge",
        ),
        _fact(
            _X.HUKS_ERR_CODE_KEY_AUTH_TIME_OUT,
            KeyAuthError,
            "the auth token is too old",
            "authenticate again",
        ),
        _fact(
            _X.HUKS_ERR_CODE_SESSION_LIMIT,
            SessionLimitError,
            "the limit of open sessions is reached",
            "finish or abort sessions, or raise the limit",
        ),
        _fact(
            _X.HUKS_ERR_CODE_ITEM_NOT_EXIST,
            ItemNotFoundError,
            "the key or session is absent",
            "check alias, namespace and storage level; open a new session",
            _R.HUKS_ERROR_NOT_EXIST,
        ),
        _fact(
            _X.HUKS_ERR_CODE_EXTERNAL_ERROR,
            ExternalError,
            "environment or input is in a wrong state",
            "see the message",
        ),
        _fact(
            _X.HUKS_ERR_CODE_CREDENTIAL_NOT_EXIST,
            KeyAuthError,
            "the user has no such credential",
            "enrol it first",
        ),
        _fact(
            _X.HUKS_ERR_CODE_INSUFFICIENT_MEMORY,
            MemoryLimitError,
            "memory ran out, or there was no data at all",
            "give data; free sessions; raise the limit of bytes held",
            _R.HUKS_ERROR_MALLOC_FAIL,
        ),
        _fact(
            _X.HUKS_ERR_CODE_CALL_SERVICE_FAILED,
            KeyAuthError,
            "the authenticator did not answer",
            "check the authenticator",
        ),
        _fact(
            _X.HUKS_ERR_CODE_DEVICE_PASSWORD_UNSET,
            KeyAuthError,
            "the key needs a device password, and none is set",
            "set one",
        ),
        _fact(
            _X.HUKS_ERR_CODE_KEY_ALREADY_EXIST,
            ItemExistsError,
            "the alias exists and HUKS_TAG_KEY_OVERRIDE is false",
            "choose another alias, or allow the replacement",
            _R.HUKS_ERROR_ALREADY_EXISTS,
        ),
        _fact(
            _X.HUKS_ERR_CODE_INVALID_ARGUMENT,
            IllegalArgumentError,
            "an argument is invalid (newer functions)",
            "correct the argument that the message names",
            _R.HUKS_ERROR_INVALID_ARGUMENT,
        ),
        _fact(
            _X.HUKS_ERR_CODE_ITEM_EXISTS,
            ItemExistsError,
            "the provider is registered already",
            "unregister it first",
            _R.HUKS_ERROR_ALREADY_EXISTS,
        ),
        _fact(
            _X.HUKS_ERR_CODE_EXTERNAL_MODULE,
            ProviderError,
            "an external provider failed",
            "look at the provider's own message",
        ),
        _fact(_X.HUKS_ERR_CODE_PIN_LOCKED, ProviderError, "the token's PIN is locked", "unlock it"),
        _fact(_X.HUKS_ERR_CODE_PIN_INCORRECT, ProviderError, "the PIN is wrong", "enter it again"),
        _fact(_X.HUKS_ERR_CODE_PIN_NO_AUTH, ProviderError, "no PIN was entered", "enter the PIN"),
        _fact(_X.HUKS_ERR_CODE_BUSY, ProviderError, "the provider is busy", "try again later"),
        _fact(_X.HUKS_ERR_CODE_EXCEED_LIMIT, ProviderError, "a limit is exceeded", "free resources"),
        _fact(_X.HUKS_ERR_CODE_SE_FAULT, ProviderError, "the secure element failed", "check the token"),
        _fact(
            _X.HUKS_ERR_CODE_NETWORK_UNAVAILABLE,
            ProviderError,
            "the network is not available",
            "check the network",
        ),
    )
)


class HuksWarning(UserWarning):
    """Base of this package's warnings."""


class HuksCompatibilityWarning(HuksWarning):
    """Input that HUKS accepts although a standard does not; `warnings.simplefilter("error", …)` refuses it."""


class HuksLegacyWarning(HuksWarning):
    """An algorithm that works as documented but is weak today; can be turned into an error likewise."""
