"""The interface that authenticators implement, and what the keystore lends them.

An authenticator checks a credential and says who showed it. It never makes a token: the keystore seals the
authenticator's statement under keys that no authenticator sees. What an authenticator must remember is kept sealed
in the keystore's own store, so that it survives restarts and is shared by all processes on the same store.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, TypeVarTuple

from huks_async.access.tokens import MAX_TRUST_LEVEL
from huks_async.access.vault import Vault

_U32, _U64 = 2**32 - 1, 2**64 - 1
T = TypeVar("T")
Args = TypeVarTuple("Args")


class Enrolment(NamedTuple):
    """What a user has enrolled.

    Attributes:
        secure_uid: the user's identity, 64 bits; 0: the user has none. It stays the same while credentials are
            added and removed, but changes when the PIN is cleared, which voids keys of access type 1.
        enrolled: for each `HuksUserAuthType` that the user has credentials of, its enrolled id, 64 bits. It
            changes with each new enrolment of that type, which voids keys of access type 2.
    """

    secure_uid: int
    enrolled: dict[int, int]


NOBODY_ENROLLED = Enrolment(0, {})


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """What is to be authenticated.

    Attributes:
        challenge: 32 bytes, to which the credential is bound if it can be bound to anything.
        auth_type: one `HuksUserAuthType`.
        user_id: the user.
    """

    challenge: bytes
    auth_type: int
    user_id: int


@dataclass(frozen=True, slots=True)
class Vouched:
    """What an authenticator states once a credential was right.

    Attributes:
        secure_uid: as in `Enrolment`.
        enrolled_id: the enrolled id of the credential's type, as in `Enrolment`.
        credential_id: the id of the credential itself, 64 bits.
        trust_level: how far the credential can be trusted, 1 to 4.
    """

    secure_uid: int
    enrolled_id: int
    credential_id: int
    trust_level: int = 3


def has_legal_numbers(answer: Enrolment | Vouched) -> bool:
    """Whether what an authenticator answered has numbers that can be stored with a key or in a token."""
    if isinstance(answer, Vouched):
        return (
            _is_within(answer.secure_uid, 1, _U64)
            and _is_within(answer.enrolled_id, 0, _U64)
            and _is_within(answer.credential_id, 0, _U64)
            and _is_within(answer.trust_level, 1, MAX_TRUST_LEVEL)
        )
    return (
        _is_within(answer.secure_uid, 0, _U64)
        and isinstance(answer.enrolled, dict)
        and all(
            _is_within(kind, 1, _U32) and _is_within(number, 0, _U64)
            for kind, number in answer.enrolled.items()
        )
    )


def _is_within(number: object, least: int, most: int) -> bool:
    return isinstance(number, int) and least <= number <= most


class AuthHost(Protocol):
    """What a keystore lends to its authenticator; `Keystore.auth_host` gives it for enrolment."""

    @property
    def vault(self) -> Vault:
        """Where an authenticator keeps what it must remember: sealed, in the keystore's store."""

    def run(self, function: Callable[[*Args], T], *args: *Args) -> Awaitable[T]:
        """Call a function in a worker thread, for work that would hold up the event loop for a millisecond or more."""

    def credentials_changed(self, user_id: int) -> None:
        """Report that a user's PIN was changed or cleared, or a credential was enrolled or removed.

        This voids the tokens that the keystores which this process has open on the store have made for that user so
        far, and refuses (12000008) the user's authentications that are under way.

        Raises:
            BusinessError: 401 for something that is no user id.
        """

    async def void_tokens(self, user_id: int) -> None:
        """Report the same durably: to all processes on the store, and to keystores that are opened later.

        Await it after the change; and before it, too, so that a process which is killed in between has voided the
        tokens. They are void until the machine starts anew, when tokens end.

        Raises:
            BusinessError: 401 for something that is no user id; as the store where it cannot write.
        """


class HasAuthHost(Protocol):
    """A keystore."""

    @property
    def auth_host(self) -> AuthHost:
        """What the keystore lends to authenticators."""


class Authenticator(Protocol):
    """Checks credentials. One object may serve several keystores: what it remembers is in their stores.

    Both functions may raise `BusinessError`; anything else that they raise becomes 12000015.
    """

    auth_types: int
    """The members of `HuksUserAuthType` that it can check, combined with `|`."""

    async def enrolled(self, host: AuthHost, user_id: int) -> Enrolment:
        """Tell what a user has enrolled; `NOBODY_ENROLLED` for one without anything."""

    async def authenticate(self, host: AuthHost, request: AuthRequest, credential: Any) -> Vouched:
        """Check a credential, and say to whom it belongs.

        The token will say that a credential of `request.auth_type` was shown. The keystore compares that with
        `auth_types` alone, so it is for this function to refuse a credential that keys see as another type: a PIN
        where a fingerprint was asked for.

        Args:
            host: what the keystore lends.
            request: the challenge, the type and the user.
            credential: what the user showed, in the form that this authenticator takes: a PIN, a code, an assertion.

        Raises:
            BusinessError: 12000008 for a wrong credential, or while further tries are locked out; 12000013 for a
                user without a credential of this type, or one that was shown in place of it; 401 for something that
                is not such a credential at all.
        """
