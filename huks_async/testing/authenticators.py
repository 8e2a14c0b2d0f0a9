"""An authenticator that vouches for whomever a test has enrolled, whatever they show."""

from typing import Any

from huks_async.access.authenticator import NOBODY_ENROLLED, AuthHost, AuthRequest, Enrolment, Vouched
from huks_async.model.enums import HuksUserAuthType
from huks_async.model.errors import BusinessError

_T = HuksUserAuthType
_PIN = int(_T.HUKS_USER_AUTH_TYPE_PIN)


class EverybodyAuthenticator:
    """Vouches for every credential but `wrong` of a type that `enroll` was called for. For tests alone.

    Everything is in memory and foreseeable: the first secure uid is 1001, enrolled ids begin with 1.

    Args:
        wrong: the credential that is refused with 12000008.
        trust_level: what its tokens claim, 1 to 4.

    Attributes:
        requests: what it was asked to authenticate, in order.
        failure: an exception that it raises in place of any answer, as if it could not be reached; or None.
    """

    auth_types: int = int(
        _T.HUKS_USER_AUTH_TYPE_PIN | _T.HUKS_USER_AUTH_TYPE_FACE | _T.HUKS_USER_AUTH_TYPE_FINGERPRINT
    )

    def __init__(self, *, wrong: Any = "wrong", trust_level: int = 3) -> None:
        self.requests: list[AuthRequest] = []
        self.failure: Exception | None = None
        self._wrong = wrong
        self._trust_level: int = trust_level
        self._users: dict[int, Enrolment] = {}
        self._next_id = 1
        self._next_uid = 1001

    def enroll(self, user_id: int, auth_type: int = _PIN) -> None:
        """Enrol one more credential of a type: keys of access type 2 that name the type become void."""
        enrolment = self._users.get(user_id)
        if enrolment is None:
            enrolment = Enrolment(self._new_uid(), {})
        self._users[user_id] = Enrolment(
            enrolment.secure_uid, {**enrolment.enrolled, int(auth_type): self._next_id}
        )
        self._next_id += 1

    def clear_pin(self, user_id: int) -> None:
        """Take a user's PIN away: keys of access type 1 become void."""
        enrolled = dict(self._users[user_id].enrolled)
        del enrolled[_PIN]
        self._users[user_id] = Enrolment(self._new_uid(), enrolled)

    async def enrolled(self, host: AuthHost, user_id: int) -> Enrolment:
        """Tell what a user has enrolled."""
        if self.failure is not None:
            raise self.failure
        return self._users.get(user_id, NOBODY_ENROLLED)

    async def authenticate(self, host: AuthHost, request: AuthRequest, credential: Any) -> Vouched:
        """Vouch for the user of the request."""
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        enrolment = self._users.get(request.user_id, NOBODY_ENROLLED)
        enrolled_id = enrolment.enrolled.get(request.auth_type)
        if enrolled_id is None:
            raise BusinessError(12000013, f"user {request.user_id} has not enrolled type {request.auth_type}")
        if credential == self._wrong:
            raise BusinessError(12000008, "the credential is wrong")
        return Vouched(enrolment.secure_uid, enrolled_id, 7000 + enrolled_id, trust_level=self._trust_level)

    def _new_uid(self) -> int:
        self._next_uid += 1
        return self._next_uid - 1
