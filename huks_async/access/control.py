"""Access control of one keystore: checks new keys that are bound to a user, makes tokens and checks them.

It ties the authenticator, the keys of tokens and the clock together. It knows neither stored keys nor sessions; a
session has a `Gate`, which uses this.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from huks_async.access.bound import Bound, bound_to_enrolment, bound_to_user
from huks_async.access.demand import (
    ALWAYS_VALID,
    CLEAR_PASSWORD,
    FACE,
    FINGERPRINT,
    NEW_BIO_ENROLL,
    PIN,
    TUI_PIN,
    Demand,
    check_demand,
)
from huks_async.access.kept_voidings import KeptVoidings
from huks_async.access.lent_host import LentHost
from huks_async.access.tokens import (
    TRUST_STEP,
    AuthToken,
    AuthTokenKeys,
    huks_type,
    iam_type,
    open_token,
    seal_token,
)
from huks_async.access.vault import Vault
from huks_async.access.voidings import Voidings
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.showing import type_name
from huks_async.model.tags import HuksTag
from huks_async.runtime.outside_calls import OutsideCalls

if TYPE_CHECKING:
    from huks_async.access.authenticator import Authenticator, Enrolment, Vouched

    Answer = TypeVar("Answer", Enrolment, Vouched)


class AccessControl:
    """Checks what new keys demand, makes tokens, and checks them.

    Args:
        authenticator: checks users' credentials; None: there is none.
        keys: the keys of auth tokens.
        others_make_tokens: whether an authenticator elsewhere also has these keys.
        vault: where the authenticator keeps what it remembers.
        voidings: which tokens are void.
        stamp: of the store; see `Store.stamp`.
        run: runs a function in a worker thread.
        clock: seconds, monotonic.
        outside: awaits the authenticator's answers until the keystore closes.
    """

    def __init__(
        self,
        authenticator: "Authenticator | None",
        keys: AuthTokenKeys,
        *,
        others_make_tokens: bool,
        vault: Vault,
        voidings: Voidings,
        stamp: Callable[[], object | None],
        run: Callable[..., Awaitable[Any]],
        clock: Callable[[], float],
        outside: OutsideCalls,
    ) -> None:
        self._authenticator = authenticator
        self._outside = outside
        self._keys = keys
        self._others_make_tokens = others_make_tokens
        self.host: LentHost = LentHost(vault, run, self._void_tokens, self._void_tokens_durably)
        self.clock = clock
        self._voidings = voidings
        self._kept_voidings = KeptVoidings(vault, voidings, stamp, self._boot)

    # --- keys ---------------------------------------------------------------------------------

    async def admit_key(self, params: ParamSet, user_id: int) -> ParamSet:
        """Check what a new key demands, and note to whom it is bound.

        Returns:
            the parameters to store with the key, in addition to its own.

        Raises:
            BusinessError: as `check_demand`; 12000013 if the user has not enrolled every credential that the key
                names, or there is no authenticator; 12000001 for credentials that the authenticator does not know;
                12000015 if it does not answer.
        """
        demand = check_demand(params)
        if demand is None:
            return ParamSet()
        if demand.access_type == ALWAYS_VALID:
            self._check_known(demand)
            return bound_to_user(user_id)
        enrolment = await self._enrolled(user_id)
        if not enrolment.enrolled or not enrolment.secure_uid or enrolment.secure_uid == user_id:
            raise BusinessError(
                12000013, f"user {user_id} has enrolled nothing that the key could be bound to"
            )
        missing = [
            name
            for name, bit in (("fingerprint", FINGERPRINT), ("face", FACE), ("PIN", PIN))
            if demand.auth_type & bit and bit not in enrolment.enrolled
        ]
        if missing:
            raise BusinessError(
                12000013,
                f"HUKS_TAG_USER_AUTH_TYPE: user {user_id} has not enrolled: {', '.join(missing)}; all that the tag "
                "names must be",
            )
        return bound_to_enrolment(enrolment)

    def _check_known(self, demand: Demand) -> None:
        if self._others_make_tokens:
            return
        if self._authenticator is None:
            if demand.auth_type == TUI_PIN:
                raise BusinessError(
                    12000001, "HUKS_TAG_USER_AUTH_TYPE: there is no trusted screen to enter a PIN at"
                )
            raise self._nobody()
        if demand.auth_type and not demand.auth_type & self._authenticator.auth_types:
            raise BusinessError(
                12000001,
                f"HUKS_TAG_USER_AUTH_TYPE: got {demand.auth_type}, this keystore's authenticator vouches for "
                f"{self._authenticator.auth_types}",
            )

    async def check_password(self, params: ParamSet, user_id: int) -> None:
        """Refuse (12000016) a key that needs a PIN (HUKS_TAG_IS_DEVICE_PASSWORD_SET) if its user has none."""
        if params.numbers.get(HuksTag.HUKS_TAG_IS_DEVICE_PASSWORD_SET):
            await self.require_pin(user_id)

    async def require_pin(self, user_id: int) -> None:
        """Refuse (12000016) if the user has no PIN; 12000015 if the authenticator does not answer."""
        if self._authenticator is None or PIN not in (await self._enrolled(user_id)).enrolled:
            raise BusinessError(
                12000016, f"HUKS_TAG_IS_DEVICE_PASSWORD_SET: user {user_id} has no PIN here; enrol one first"
            )

    @property
    def knows_users(self) -> bool:
        """Whether there is an authenticator that can be asked what a user has enrolled."""
        return self._authenticator is not None

    async def check_still_enrolled(self, demand: Demand, bound: Bound, user_id: int) -> "Enrolment | None":
        """Refuse (12000007) a key that is void, because its user's PIN was cleared or credentials were enrolled.

        `judge` compares a token with the key. Both may be of before the change, which another process may have made.

        Returns:
            what the user has enrolled now, for `judge`; None if the key is not voided by any change.

        """
        access_type = demand.access_type
        if not access_type & (CLEAR_PASSWORD | NEW_BIO_ENROLL):
            return None
        now = await self._enrolled(user_id)
        if access_type & CLEAR_PASSWORD and now.secure_uid != bound.secure_uid:
            raise _void("the key is of no use any more: the user's PIN was cleared since it was made")
        if access_type & NEW_BIO_ENROLL and not (bound.enrolled or frozenset()) & now.enrolled.items():
            raise _void("the key is of no use any more: something was enrolled since it was made")
        return now

    # --- tokens -------------------------------------------------------------------------------

    async def authenticate(self, challenge: bytes, auth_type: int, user_id: int, credential: Any) -> bytes:
        """Have a credential checked, and make a token; see `Keystore.authenticate`."""
        number = iam_type(auth_type)
        authenticator = self._authenticator
        if authenticator is None:
            raise self._nobody()
        if not auth_type & authenticator.auth_types:
            raise BusinessError(
                12000013,
                f"auth_type: got {auth_type}, this keystore's authenticator vouches for "
                f"{authenticator.auth_types}",
            )
        # late: most keystores have no authenticator
        from huks_async.access.authenticator import AuthRequest, Vouched

        request = AuthRequest(challenge, auth_type, user_id)
        await self.learn_voidings(user_id)
        voided = self._voidings.latest(user_id)
        vouched = await self._ask(
            lambda: authenticator.authenticate(self.host, request, credential), Vouched, secret=True
        )
        # Read before the look at what was voided: a change that this look misses, in another thread or process, is a
        # later one.
        now = self._milliseconds()
        await self.learn_voidings(user_id)
        if self._voidings.latest(user_id) != voided:
            # a token made now would be younger than the change that voids what the authenticator may have looked at
            raise BusinessError(
                12000008,
                f"the credentials of user {user_id} were changed while this one was being checked; authenticate again",
            )
        return seal_token(
            AuthToken(
                challenge=challenge,
                time=max(now, voided),
                trust_level=vouched.trust_level * TRUST_STEP,
                auth_type=number,
                user_id=user_id,
                secure_uid=vouched.secure_uid,
                enrolled_id=vouched.enrolled_id,
                credential_id=vouched.credential_id,
            ),
            self._keys,
        )

    def open_token(self, data: bytes, demand: Demand) -> AuthToken:
        """Check that a token is genuine and of a type that the key takes. Order and codes are as documented."""
        if self._authenticator is None and not self._others_make_tokens:
            raise BusinessError(
                12000008,
                "the key is bound to a user, and this keystore has no authenticator that could have made a token: "
                "Keystore.open(authenticator=…)",
            )
        return open_token(data, self._keys, demand.check_token_type)

    def judge(self, token: AuthToken, demand: Demand, bound: Bound, now: "Enrolment | None") -> None:
        """Check that a token is for the user of the key. The caller has checked its challenge or time before.

        Args:
            token: a genuine one.
            demand: of the key.
            bound: to whom the key is bound.
            now: what `check_still_enrolled` gave, if it was asked.

        Raises:
            BusinessError: 12000008, 12000001, 12000007 and 12000012, as documented.
        """
        auth_type, access_type = demand.auth_type, demand.access_type
        kind = huks_type(token.auth_type)
        if auth_type:
            if kind is None:
                raise BusinessError(
                    12000001,
                    f"the auth token is of credential type {token.auth_type}, which no key can ask for",
                )
            if not kind & auth_type:
                raise BusinessError(
                    12000008,
                    f"the auth token is of credential type {kind}, the key asks for {demand.auth_type}",
                )
        if token.trust_level < demand.trust_level * TRUST_STEP:
            raise BusinessError(
                12000008,
                f"the auth token has trust level {token.trust_level}, the key asks for "
                f"{demand.trust_level * TRUST_STEP}",
            )
        # Before the key is compared: what a token of before a change says does not tell whether the key is void.
        if token.time < self._voidings.latest(token.user_id):
            raise BusinessError(
                12000008,
                "the auth token was made before the user's credentials were changed; authenticate again",
            )
        if access_type == ALWAYS_VALID:
            _compare(bound.user_id, token.user_id, "the auth token is of another user than the key's")
        if access_type & CLEAR_PASSWORD:
            _compare(
                bound.secure_uid,
                token.secure_uid,
                "the auth token is of another user than the key's, or the user's PIN was cleared since",
            )
        if access_type & NEW_BIO_ENROLL:
            if bound.enrolled is None:
                raise _not_noted()
            credential = (kind, token.enrolled_id)
            # A change of one type leaves the other types of the key as they were.
            if credential not in bound.enrolled or (
                now is not None and credential not in now.enrolled.items()
            ):
                raise _void(
                    "the auth token is of a credential of which something was enrolled since the key was made"
                )

    async def learn_voidings(self, user_id: int) -> None:
        """Look whether another process, or an earlier keystore, voided tokens of the user.

        Without this, `judge` knows what happened in this process. Costs nothing while nobody writes to the store.
        """
        await self._kept_voidings.learn(user_id)

    def _void_tokens(self, user_id: int) -> None:
        self._voidings.void(user_id, self._milliseconds)

    async def _void_tokens_durably(self, user_id: int) -> None:
        self._void_tokens(user_id)
        await self._kept_voidings.note(user_id, self._milliseconds)

    async def _boot(self) -> bytes:
        from huks_async.access import attempts

        return await self.host.run(attempts.boot_id)

    def _milliseconds(self) -> int:
        return int(self.clock() * 1000)

    # --- the authenticator --------------------------------------------------------------------

    async def _enrolled(self, user_id: int) -> "Enrolment":
        authenticator = self._authenticator
        if authenticator is None:
            raise self._nobody()
        from huks_async.access.authenticator import Enrolment

        return await self._ask(lambda: authenticator.enrolled(self.host, user_id), Enrolment)

    async def _ask(
        self, call: "Callable[[], Awaitable[Answer]]", kind: "type[Answer]", *, secret: bool = False
    ) -> "Answer":
        """Await an answer of the authenticator; any failure of it is raised, and so permits nothing.

        Args:
            call: asks.
            kind: the class of the answer.
            secret: whether the authenticator is given a credential, which the exceptions behind a failure may repeat.
        """

        # The call itself is awaited, too, because a function without `async` raises before there is an answer.
        async def answer() -> "Answer":
            return await call()

        failure = cause = None
        try:
            given = await self._outside.ask(answer(), "the authenticator")
        except BusinessError as error:
            if not secret:
                raise
            failure = error
        except Exception as error:
            failure = BusinessError(
                12000015, f"the authenticator failed ({type_name(error)}); nobody was let in"
            )
            cause = None if secret else error
        if failure is not None:  # raised here, where no exception that is being handled becomes its context
            failure.__context__ = None
            try:
                raise failure from cause
            finally:
                del failure, cause  # which the frame, and so the exception's own traceback, would keep
        if type(given) is not kind:
            raise BusinessError(
                12000015,
                f"the authenticator must give {kind.__name__}, got {type_name(given)}; nobody was let in",
            )
        from huks_async.access.authenticator import has_legal_numbers

        if not has_legal_numbers(given):
            raise BusinessError(
                12000015,
                "the authenticator's answer has a number out of range, or something else in its place; nobody was "
                "let in",
            )
        return given

    def _nobody(self) -> BusinessError:
        return BusinessError(
            12000013,
            "nobody can vouch for a user here: this keystore was opened without an authenticator; see "
            "Keystore.open(authenticator=…)",
        )


def _compare(noted: int | None, given: int, what: str) -> None:
    if noted is None:
        raise _not_noted()
    if noted != given:
        raise _void(what)


def _void(what: str) -> BusinessError:
    return BusinessError(12000007, what)


def _not_noted() -> BusinessError:
    return BusinessError(
        12000012, "the stored key does not say whom it is bound to; delete it and make a new one"
    )
