"""One token: its own thread, a session that is reused, and the single login that a process has at the token."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, RLock
from typing import Any, TypeVar

from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown
from huks_async.providers.protocol import HuksCryptoExtensionResultCode
from huks_async.rootkeys.pkcs11_library import Library, library_of, python_pkcs11
from huks_async.runtime.forks import generation
from huks_async.runtime.jobs import Job
from huks_async.runtime.workers import SerialWorker

T = TypeVar("T")
_R = HuksCryptoExtensionResultCode

# errors of a token that is absent, or was replaced by another
_GONE = (
    "DeviceError",
    "DeviceRemoved",
    "TokenNotPresent",
    "TokenNotRecognised",
    "SlotIDInvalid",
    "SessionHandleInvalid",
    "SessionClosed",
    "NoSuchToken",
    "GeneralError",
    "FunctionFailed",
)
# errors for an object that was found just before and is gone; SoftHSM raises them if a token's files are removed
_LOST_OBJECT = ("ObjectHandleInvalid", "KeyHandleInvalid")
# errors that say that the token, which works, does not do this, or not with this key
_REFUSALS = (
    "ArgumentsBad",
    "AttributeTypeInvalid",
    "AttributeValueInvalid",
    "DataInvalid",
    "DataLenRange",
    "DomainParamsInvalid",
    "FunctionNotSupported",
    "KeySizeRange",
    "KeyTypeInconsistent",
    "MechanismInvalid",
    "MechanismParamInvalid",
    "TemplateIncomplete",
    "TemplateInconsistent",
)
_NOT_PERMITTED = "code 0x68"  # CKR_KEY_FUNCTION_NOT_PERMITTED, for which python-pkcs11 has no class
_TEXT_OF_CRYPTOKI = "Cryptoki"


@dataclass(frozen=True, slots=True)
class Pin:
    """A user PIN. Its `repr`, which reports of errors may show with the values of local variables, leaves it out."""

    text: str = field(repr=False)


class TokenFailure(Exception):
    """A token could not do what it was asked; has the result code for that."""

    def __init__(self, code: HuksCryptoExtensionResultCode, text: str, retries: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.retries = retries


class Token:
    """A token by its label.

    Every call of the library for this token runs in the token's thread, one after the other, so no caller's event
    loop waits for a token. Which callers have proved the PIN is kept here, because the login belongs to the process.

    Keystores say by `join` and `leave` how long they use the token. After the last one has left, the token's session
    and its thread end as soon as the token has answered all calls.
    """

    def __init__(self, module: str, label: str) -> None:
        self._label = label
        self._module = module
        self._found: Library | None = None
        self._worker: SerialWorker | None = None
        self._users = 0
        self._resting = False
        # Held while the thread is chosen or told to end, never during a call of the library. Taken again by the
        # same thread where the garbage collector ends an abandoned task whose last step is a call of the token.
        self._guard = RLock()
        self._born = generation()
        self._session: Any = None
        self._epoch = 0
        self.life: int = 0
        """Counts how often the token was lost: handles of an earlier life are no longer valid."""
        self._proved: set[int] = set()
        # What a caller proves counts only as long as its mark is here: who forgets takes it away.
        self._marks: dict[int, object] = {}
        self._locked = False

    @property
    def _logged_in(self) -> bool:
        """Whether the session has logged in. The token may have been logged out since, by itself or by other code."""
        session = self._session
        return session is not None and session.user_type != python_pkcs11().UserType.NOBODY

    @property
    def _library(self) -> Library:
        # not found before it is called, in a thread, because that looks at its path
        if self._found is None:
            self._found = library_of(self._module)
        return self._found

    @property
    def locked(self) -> bool:
        """Whether the token has said that its PIN is locked."""
        return self._locked

    def has_proved(self, uid: int) -> bool:
        """Whether a caller has proved the PIN. Only in the token's thread: a PIN may be looked at before its next work."""
        return uid in self._proved

    async def run(self, work: Callable[[Any], T]) -> T:
        """Call `work(session)` in the token's thread.

        When this is cancelled, it ends at once: work that has not begun is dropped, and work that has begun ends in
        the thread.

        Raises:
            TokenFailure: the token failed.
            BusinessError: 12000012 in a child of the process that opened the token.
        """
        try:
            return await self._submit(work).outcome(shield=False)
        finally:
            if self._resting:  # this call outlived the last keystore's use, and may have begun a thread
                self._rest()

    def _submit(self, work: Callable[[Any], T]) -> Job[T]:
        if self._worker is None and self._born != generation():
            # Not used before the fork, so it is the child's own; but the lock may have been held in the parent.
            self._guard = RLock()
            self._born = generation()
        if self._worker is not None and self._born != generation():
            self._worker.check_open()
        while True:
            with self._guard:
                if self._worker is None:
                    made = SerialWorker(name=f"huks-token-{self._label}"[:15])
                    self._worker = self._worker or made  # such a task may have made one meanwhile
                worker = self._worker
            try:
                # without the lock, which a new thread may need before its first step: the collector ends tasks there, too
                return worker.start(self._call, work)
            except BusinessError:
                if not worker.closed:
                    raise
                # it was told to end meanwhile

    def join(self) -> None:
        """Say that a keystore uses the token from now on."""
        with self._guard:
            self._users += 1
            self._resting = False

    def leave(self) -> bool:
        """Say that a keystore has ended its use; True if it was the last one."""
        with self._guard:
            self._users = max(0, self._users - 1)
            self._resting = self._users == 0
        if self._resting:
            self._rest()
        return self._resting

    def _rest(self) -> None:
        """Have the thread end after the work that waits for it, which may be work that hangs."""
        with self._guard:
            worker = self._worker
        if worker is None:
            return
        try:
            worker.start(self._end)
        except Exception:  # the event loop has ended, or this is a forked child
            with self._guard:
                worker.close()
                if self._worker is worker:
                    self._worker = None

    def _end(self) -> None:
        """End the session and the thread, unless a keystore has joined since. Runs in the thread."""
        try:
            if self._resting and self._session is not None:
                with self._library.in_call():
                    self._lose()
        finally:
            with self._guard:
                if self._resting and self._worker is not None:
                    self._worker.close()
                    self._worker = None

    async def connect(self) -> None:
        """Check that the library can be loaded and the token is present."""
        await self.run(lambda session: None)

    async def prove(self, uid: int, pin: Pin, count: Callable[[], None]) -> None:
        """Prove the PIN for a caller, at the token itself.

        The token is logged out first, because it checks no PIN while the process is logged in. A wrong PIN leaves it
        logged out for all callers. Logging in again with a PIN from memory would reset the token's count of wrong
        PINs, so that one caller could guess without limit while another is logged in.

        Args:
            uid: the caller.
            pin: what it gave.
            count: called in the token's thread when the PIN is right, before any further work there.

        Raises:
            TokenFailure: PIN_INCORRECT with the attempts that are left, if the token tells them; PIN_LOCKED.
        """
        mark = self._marks.setdefault(uid, object())
        await self.run(lambda session: self._prove(session, uid, pin, mark, count))

    async def forget(self, uid: int) -> None:
        """Forget that a caller has proved the PIN; with the last such caller, the token is logged out.

        What the caller was proving counts no more, also if nobody waits for it and it goes on in the thread.
        """
        self.drop(uid)
        await self.log_out_if_unused()

    async def log_out_if_unused(self) -> None:
        """Log out if no caller has proved the PIN."""
        if not self._proved and self._logged_in:
            await self.run(self._log_out_if_unused)

    def drop(self, uid: int) -> None:
        """As `forget`, but leave the token logged in."""
        # the mark first: the thread looks for it once it has noted the caller
        self._marks.pop(uid, None)
        self._proved.discard(uid)

    def _prove(self, session: Any, uid: int, pin: Pin, mark: object, count: Callable[[], None]) -> None:
        before = self._log_out(session)
        try:
            self._log_in(before, pin)
            count()
            self._proved.add(uid)
            if self._marks.get(uid) is not mark:
                self._proved.discard(uid)
        except BaseException:
            self._proved.clear()
            raise
        self._locked = False
        with suppress(python_pkcs11().PKCS11Error):
            before.close()
        self._log_out_if_unused(self._session)

    def _log_out_if_unused(self, session: Any) -> None:
        """Log out unless somebody has proved the PIN, who may have done so after this was asked for."""
        if not self._proved:
            self._log_out(session)

    def _log_in(self, session: Any, pin: Pin) -> None:
        pkcs11 = python_pkcs11()
        try:
            # the session that logs in stays open, because closing it would log out
            self._session = session.token.open(rw=True, user_pin=pin.text)
        except pkcs11.PinLocked:
            self._locked = True
            raise TokenFailure(_R.HUKS_CRYPTO_EXTENSION_ERR_PIN_LOCKED, "the PIN is locked") from None
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
            retries = self._retries(session)
            if retries == 0:
                self._locked = True
                raise TokenFailure(_R.HUKS_CRYPTO_EXTENSION_ERR_PIN_LOCKED, "the PIN is locked now") from None
            raise TokenFailure(
                _R.HUKS_CRYPTO_EXTENSION_ERR_PIN_INCORRECT, "the PIN is wrong", retries
            ) from None
        except pkcs11.UserAlreadyLoggedIn:
            raise TokenFailure(
                _R.HUKS_CRYPTO_EXTENSION_ERR_EXTENSION_FAIL,
                "other code of this process is logged in at the token, which looks at no PIN meanwhile",
            ) from None

    def _retries(self, session: Any) -> int | None:
        """The attempts that are left, as far as PKCS#11 tells: it distinguishes only none, one, and more."""
        pkcs11 = python_pkcs11()
        try:
            flags = session.token.slot.get_token().flags
        except pkcs11.PKCS11Error:
            return None
        if flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
            return 0
        return 1 if flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY else None

    def _log_out(self, session: Any) -> Any:
        """Log out, and return the session to use from now on.

        python-pkcs11 logs out when it closes the session that logged in, so that one is replaced. It would also log
        out a session that logged in after it: the session is asked, and not whether the token still works with it.
        """
        pkcs11 = python_pkcs11()
        if not self._logged_in:
            return session
        token = session.token
        try:
            fresh = token.open(rw=True)
            with suppress(pkcs11.UserNotLoggedIn):
                session.close()
        except pkcs11.PKCS11Error:
            self._lose()
            raise
        self._session = fresh
        return fresh

    def _call(self, work: Callable[[Any], T]) -> T:
        pkcs11 = python_pkcs11()
        with self._library.in_call() as library:
            try:
                session = self._open(pkcs11, library)
                return work(session)
            except pkcs11.PKCS11Error as error:
                raise self._failure(pkcs11, error) from error
            except RuntimeError as error:  # python-pkcs11 raises this for a library that cannot be loaded
                if _TEXT_OF_CRYPTOKI.lower() in str(error).lower() or "load" in str(error).lower():
                    raise BusinessError(
                        12000020, f"the PKCS#11 library {self._module} cannot be loaded: {str(error)[:200]}"
                    ) from error
                raise

    def _open(self, pkcs11: Any, library: Any) -> Any:
        """The session on the token that is present now; it is opened if there is none."""
        if self._session is not None and self._epoch == self._library.epoch:
            return self._session
        if self._session is not None:
            self._lose()
        try:
            session = self._look(library)
            if self._library.unclean and self._library.begin_anew(self):
                session = self._look(library)
        except pkcs11.PKCS11Error:
            # a library may find a reinserted token only after it was initialized again
            if not self._library.begin_anew(self):
                raise
            session = self._look(library)
        self._session = session
        self._epoch = self._library.epoch
        self._library.holders.add(self)
        return session

    def _look(self, library: Any) -> Any:
        return library.get_token(token_label=self._label).open(rw=True)

    def _failure(self, pkcs11: Any, error: Any) -> TokenFailure | BusinessError:
        kind = type(error).__name__
        # the texts of these errors name states of the token, never keys or PINs
        text = f"{kind} {error}".strip()
        if isinstance(error, pkcs11.UserNotLoggedIn):
            self._proved.clear()
            # A token may refuse one key alone for want of a login, and be logged in still.
            with suppress(pkcs11.PKCS11Error):
                self._log_out(self._session)
            return TokenFailure(_R.HUKS_CRYPTO_EXTENSION_ERR_PIN_NO_AUTH, text)
        if kind in _GONE or kind in _LOST_OBJECT:
            self._lose()
            return TokenFailure(
                _R.HUKS_CRYPTO_EXTENSION_ERR_UKEY_NOT_EXIST,
                f"the token {shown(self._label)} is not there, or not as it was ({text})",
            )
        if kind in _REFUSALS or text.endswith(_NOT_PERMITTED):
            return BusinessError(
                12000001, f"the token does not do this with these parameters, or not with this key ({text})"
            )
        return TokenFailure(_R.HUKS_CRYPTO_EXTENSION_ERR_UKEY_DRIVER_FAIL, text)

    def _lose(self) -> None:
        """Forget all state of the token. If it is still present after all, it is logged out."""
        pkcs11 = python_pkcs11()
        lost, self._session = self._session, None
        self._library.holders.discard(self)
        if lost is not None and self._epoch == self._library.epoch:
            try:
                lost.close()
            except pkcs11.PKCS11Error:
                self._library.unclean = True
        self._proved.clear()
        self.life += 1


class Abandoned(Event):
    """Set when no caller waits any more for work that is still running in the token's thread."""
