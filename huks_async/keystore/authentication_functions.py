"""Authentication: an extension of the documented surface, which leaves it to another kit of the system."""

from typing import TYPE_CHECKING, Any

from huks_async.keystore.open_state import KeystoreFunctions, state_of_user
from huks_async.model.enums import HuksUserAuthType
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, as_bytes
from huks_async.model.plain import plain_int
from huks_async.runtime.randomness import random_bytes

if TYPE_CHECKING:
    from huks_async.access.authenticator import AuthHost

_PIN = HuksUserAuthType.HUKS_USER_AUTH_TYPE_PIN


class AuthenticationFunctions(KeystoreFunctions):
    """Have the keystore's authenticator check a credential."""

    async def authenticate(
        self,
        challenge: BytesLike,
        credential: Any,
        *,
        auth_type: int = _PIN,
        user_id: int | None = None,
    ) -> bytes:
        """Have a user authenticated, and give the token for `updateSession` and `finishSession`.

        Args:
            challenge: the 32 bytes that `initSession` gave; for several sessions at once, those of
                `combine_challenges`; empty for keys of HUKS_CHALLENGE_TYPE_NONE.
            credential: what the authenticator takes; `PinAuthenticator`: a str or bytes.
            auth_type: which kind of credential it is, one member of HuksUserAuthType.
            user_id: the user, if not the keystore's own; the policy must allow it.

        Returns:
            the token, 280 bytes. It is valid for the challenge it was made for, in this keystore, until that is closed;
            see `Keystore.open(token_keys=…)`.

        A call that is cancelled may have counted a guess, or used a code up.

        Raises:
            BusinessError: 12000008 for a wrong credential, and while guesses are locked out; 12000013 for a user who
                has not enrolled it, and without an authenticator; 12000015 if the authenticator fails; 401 for a
                wrong argument; 201 and 202 for another user; 201 if the policy does not let the caller try.
        """
        from huks_async.access.tokens import CHALLENGE_BYTES  # late: few services authenticate users

        state = self._open_state()
        given = as_bytes(challenge, "challenge") or random_bytes(CHALLENGE_BYTES)
        if len(given) != CHALLENGE_BYTES:
            raise BusinessError(401, f"challenge has {len(given)} bytes, accepted {CHALLENGE_BYTES}, or none")
        kind = plain_int(auth_type)
        if kind is None:
            raise BusinessError(401, "auth_type must be an int, one member of HuksUserAuthType")
        user = state.user_id
        if user_id is not None and plain_int(user_id) != user:
            user = state_of_user(state, user_id).user_id
        # A guess counts against the user, whoever makes it: enough of them lock its keys for every caller.
        state.keyrings.permissions.check_authentication(state.keyrings.caller, user)
        return await state.access.authenticate(given, kind, user, credential)

    @property
    def auth_host(self) -> "AuthHost":
        """What this keystore lends to its authenticator, for enrolment: `PinAuthenticator.enroll(keystore, …)`.

        It is for whoever administers users: it reaches all of them, and no policy is asked.
        """
        return self._open_state().access.host
