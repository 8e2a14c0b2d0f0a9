"""What stands between a session and its operation: the demands of the key, met or not yet met."""

from huks_async.access.control import AccessControl, Bound
from huks_async.access.demand import CUSTOM, NONE, Demand
from huks_async.access.tokens import AuthToken
from huks_async.model.errors import BusinessError

POSITIONS = 4
_PART = 8


class Gate:
    """The access control of one session.

    Args:
        control: of the keystore.
        demand: of the key.
        bound: whom the key is bound to.
        user_id: whose key it is.
        challenge: 32 random bytes of this session.
        position: which 8 of them count, for a key of challenge type CUSTOM.
    """

    __slots__ = ("_access_time", "_bound", "_challenge", "_control", "_position", "_user_id", "demand")

    def __init__(
        self,
        control: AccessControl,
        demand: Demand,
        bound: Bound,
        user_id: int,
        challenge: bytes,
        position: int,
    ) -> None:
        self.demand: Demand = demand
        self._control = control
        self._bound = bound
        self._user_id = user_id
        self._challenge = challenge
        self._position = position
        # whole seconds, as documented, and of the beginning of the session
        self._access_time = int(control.clock())

    @property
    def challenge(self) -> bytes:
        """What `initSession` gives: nothing where time is compared in place of a challenge."""
        return b"" if self.demand.challenge_type == NONE else self._challenge

    async def check_password(self) -> None:
        """Refuse (12000016) where the key needs its user to have a PIN, and there is none any more."""
        if self.demand.password:
            await self._control.require_pin(self._user_id)

    def verify(self, token: bytes | None) -> AuthToken:
        """Check a token against session and key.

        Raises:
            BusinessError: 401 without a token or for one of a wrong length; 12000008 for one that is not genuine, of
                another challenge or credential; 12000001 for one of a type that the key does not take; 12000006 where
                it does not decrypt; 12000009 outside the window of time; 12000007 where the key is void for its user.
        """
        if token is None:
            raise BusinessError(
                401,
                "HUKS_TAG_AUTH_TOKEN is missing: the key is bound to a user; pass what Keystore.authenticate gives "
                "for this session's challenge",
            )
        opened = self._control.open_token(token, self.demand)
        self._compare_session(opened)
        self._control.judge(opened, self.demand, self._bound)
        return opened

    def _compare_session(self, token: AuthToken) -> None:
        kind = self.demand.challenge_type
        if kind == NONE:
            apart = abs(self._access_time - token.time // 1000)
            if apart > self.demand.timeout:
                raise BusinessError(
                    12000009,
                    f"the auth token was made {apart} seconds from the beginning of this session, accepted are "
                    f"{self.demand.timeout} (HUKS_TAG_AUTH_TIMEOUT); authenticate again",
                )
            return
        # a challenge is no secret, so the time of comparing it tells nothing
        part = (
            slice(0, None) if kind != CUSTOM else slice(_PART * self._position, _PART * (self._position + 1))
        )
        if token.challenge[part] != self._challenge[part]:
            raise BusinessError(
                12000008,
                "the auth token was made for another challenge than this session's; authenticate with it",
            )


def check_position(demand: Demand, position: int | None) -> int:
    """Check HUKS_TAG_CHALLENGE_POS of a session that needs a token: 401 where it is missing or out of range."""
    if demand.challenge_type != CUSTOM:
        return 0
    if position is None:
        raise BusinessError(
            401, "HUKS_TAG_CHALLENGE_POS is missing: the key has HUKS_CHALLENGE_TYPE_CUSTOM, say 0, 1, 2 or 3"
        )
    if not 0 <= position < POSITIONS:
        raise BusinessError(401, f"HUKS_TAG_CHALLENGE_POS: got {position}, accepted 0 … {POSITIONS - 1}")
    return position
