"""The gate between a session and its operation: it checks whether the demands of the key are met."""

from typing import TYPE_CHECKING

from huks_async.access.bound import Bound
from huks_async.access.control import AccessControl
from huks_async.access.demand import CUSTOM, NONE, Demand
from huks_async.access.tokens import CHALLENGE_BYTES, AuthToken
from huks_async.model.errors import BusinessError
from huks_async.runtime.randomness import random_bytes

if TYPE_CHECKING:
    # late: most keystores have no authenticator
    from huks_async.access.authenticator import Enrolment

POSITIONS = 4
_PART = 8


class Gate:
    """The access control of all sessions with the same parameters on one key.

    Args:
        control: of the keystore.
        demand: of the key.
        bound: to whom the key is bound.
        user_id: to whom the key belongs.
        position: which 8 bytes of a challenge count, for a key of challenge type CUSTOM.
        needs_token: whether the sessions need a token.
        names_user: whether they make signatures that name who was authenticated.

    Attributes:
        waits: whether passing the gate needs an answer of the authenticator, or a look into the store.
        asks_each_time: whether each call of a session does, not only the one with the token.
    """

    __slots__ = (
        "_bound",
        "_compared",
        "_control",
        "_demand",
        "_takes_older_tokens",
        "_user_id",
        "asks_each_time",
        "names_user",
        "needs_token",
        "waits",
    )

    def __init__(
        self,
        control: AccessControl,
        demand: Demand,
        bound: Bound,
        user_id: int,
        position: int,
        *,
        needs_token: bool,
        names_user: bool,
    ) -> None:
        self._demand = demand
        self._control = control
        self._bound = bound
        self._user_id = user_id
        # the part of the challenge that token and session must have in common; None if their times are compared
        self._compared = None if demand.challenge_type == NONE else _compared(demand, position)
        self.needs_token: bool = needs_token
        self.names_user: bool = names_user
        # A token that a challenge binds was made after the session began. One that only its time binds may be of
        # before a change of the user's credentials, which another process made, or one that has ended.
        self._takes_older_tokens = self._compared is None and needs_token
        self.asks_each_time: bool = demand.password
        self.waits: bool = demand.password or self._takes_older_tokens

    @property
    def stands(self) -> bool:
        """Whether there is anything to pass at all."""
        return self.needs_token or self.names_user or self.waits

    def needs_token_for(self, purposes: int) -> bool:
        """Whether an operation of a batch for these purposes needs a token."""
        return self._demand.needs_token(purposes)

    def new_challenge(self) -> bytes:
        """The challenge of one session, 32 random bytes; empty if no challenge is compared with a token's."""
        return random_bytes(CHALLENGE_BYTES) if self.needs_token and self._compared is not None else b""

    def access_time(self) -> int:
        """The moment at which a session begins, in whole seconds, as documented."""
        return int(self._control.clock())

    async def check_user(self, *, admitted: bool) -> "Enrolment | None":
        """Ask the authenticator about the user, if the key demands it.

        Args:
            admitted: whether the call needs no token, or the session's was found right before.

        Returns:
            what the user has enrolled now, for `verify`, if the key depends on it.

        Raises:
            BusinessError: 12000016 if the key needs its user to have a PIN, and there is none any more; 12000007
                where the key is void for its user, and tokens of before could still be shown.
        """
        if self._demand.password:
            await self._control.require_pin(self._user_id)
        if not self._takes_older_tokens or admitted:
            return None
        await self._control.learn_voidings(self._user_id)
        if not self._control.knows_users:
            return None
        return await self._control.check_still_enrolled(self._demand, self._bound, self._user_id)

    def verify(
        self, token: bytes | None, challenge: bytes, access_time: int, now: "Enrolment | None"
    ) -> AuthToken:
        """Check a token against the session and the key.

        Args:
            token: as the caller gave it.
            challenge: of the session.
            access_time: of the session.
            now: what `check_user` gave.

        Raises:
            BusinessError: 401 without a token or for one of a wrong length; 12000008 for one that is not genuine, or is
                for another challenge or credential, or of before a change of the user's credentials; 12000001 for one
                of a type that the key does not take; 12000006 if it does not decrypt; 12000009 outside the time
                window; 12000007 if the key is void for its user, or another user's.
        """
        if token is None:
            raise BusinessError(
                401,
                "HUKS_TAG_AUTH_TOKEN is missing: the key is bound to a user; pass what Keystore.authenticate gives "
                "for this session's challenge",
            )
        opened = self._control.open_token(token, self._demand)
        part = self._compared
        if part is None:
            self._compare_time(opened, access_time)
        # a challenge is not secret, so it need not be compared in constant time
        elif opened.challenge[part] != challenge[part]:
            raise BusinessError(
                12000008,
                "the auth token was made for another challenge than this session's; authenticate with it",
            )
        self._control.judge(opened, self._demand, self._bound, now)
        return opened

    def _compare_time(self, token: AuthToken, access_time: int) -> None:
        apart = abs(access_time - token.time // 1000)
        if apart > self._demand.timeout:
            raise BusinessError(
                12000009,
                f"the auth token was made {apart} seconds from the beginning of this session, accepted are "
                f"{self._demand.timeout} (HUKS_TAG_AUTH_TIMEOUT); authenticate again",
            )


def _compared(demand: Demand, position: int) -> slice:
    if demand.challenge_type == CUSTOM:
        return slice(_PART * position, _PART * (position + 1))
    return slice(CHALLENGE_BYTES)


def check_position(demand: Demand, position: int | None) -> int:
    """Check HUKS_TAG_CHALLENGE_POS of a session that needs a token: 401 if it is missing or out of range."""
    if demand.challenge_type != CUSTOM:
        return 0
    if position is None:
        raise BusinessError(
            401, "HUKS_TAG_CHALLENGE_POS is missing: the key has HUKS_CHALLENGE_TYPE_CUSTOM, say 0, 1, 2 or 3"
        )
    if not 0 <= position < POSITIONS:
        raise BusinessError(401, f"HUKS_TAG_CHALLENGE_POS: got {position}, accepted 0 … {POSITIONS - 1}")
    return position
