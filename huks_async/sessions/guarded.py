"""Operations behind a gate: a session on a key that demands something before it is used.

A guard stands in place of the operation, so that sessions on all other keys never meet a test for it. The
driver sees it (`Operation.guard`), has it let the call in, and goes on with the operation itself. When nothing
is left to be asked, the operation takes the guard's place for good.
"""

import struct
from collections.abc import Callable

from huks_async.access.gate import Gate
from huks_async.access.tokens import AuthToken, huks_type
from huks_async.crypto.operation import Operation
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, ParamSet
from huks_async.model.tags import HuksTag
from huks_async.sessions.session import Session

_TOKEN = int(HuksTag.HUKS_TAG_AUTH_TOKEN)
_PREFIX = struct.Struct("<IIQQ")
_PREFIX_VERSION = 0x0100_0001


class Guarded(Operation):
    """An operation that does not run before its gate was passed.

    Args:
        operation: what runs behind it.
        gate: what is demanded.

    Attributes:
        challenge: of the session; nothing where none is compared.
        waits: whether a call must be let in by `admit`; `admit_at_once` does it otherwise.
    """

    __slots__ = ("_access_time", "_admitted", "_gate", "_operation", "challenge", "waits")

    # no row of the table of costs, so that the driver never runs it at once
    kind = "guarded"
    whole = False

    def __init__(self, operation: Operation, gate: Gate) -> None:
        self._operation = operation
        self._gate = gate
        self._admitted = False
        self._access_time = gate.access_time()
        self.challenge: bytes = gate.new_challenge()
        self.waits: bool = gate.waits

    @property
    def guard(self) -> "Guarded":
        """Itself."""
        return self

    @property
    def held(self) -> int:  # type: ignore[override]
        """What the operation behind it holds."""
        return self._operation.held

    async def admit(self, session: Session, params: ParamSet, *, ends: bool) -> Operation:
        """Give the operation that a call may go on with.

        Args:
            session: the session, which is marked busy.
            params: of the call.
            ends: whether it is the last call.

        Raises:
            BusinessError: what is demanded is not there; see `Gate`.
        """
        await self._gate.check_password()
        return self.admit_at_once(session, params)

    def admit_at_once(self, session: Session, params: ParamSet) -> Operation:
        """The part of `admit` that never waits, which is all of it unless the guard `waits`."""
        if not self._admitted:
            gate = self._gate
            if gate.needs_token:
                token = gate.verify(params.blobs.get(_TOKEN), self.challenge, self._access_time)
                if gate.names_user:
                    self._operation = NamedSignature(self._operation, _prefix_of(token))
            elif gate.names_user:
                raise BusinessError(
                    12000012,
                    "signatures of this key name who was authenticated, and HUKS_TAG_KEY_AUTH_PURPOSE lets it sign "
                    "without authentication; make a key whose HUKS_TAG_KEY_AUTH_PURPOSE has SIGN",
                )
            self._admitted = True
        if not self.waits:
            session.operation = self._operation
        return self._operation


class NamedSignature(Operation):
    """A signature over a prefix that says who was authenticated, and the data; it begins with the prefix, too."""

    __slots__ = ("_operation", "_prefix", "_started", "collects", "kind", "work")

    def __init__(self, operation: Operation, prefix: bytes) -> None:
        self._operation = operation
        self._prefix = prefix
        self._started = False
        self.kind: str = operation.kind
        self.work: float = operation.work
        self.collects: bool = operation.collects

    @property
    def held(self) -> int:  # type: ignore[override]
        """What the signature itself holds."""
        return self._operation.held

    def update(self, data: BytesLike) -> bytes:
        """Take a segment, behind the prefix if it is the first."""
        return self._operation.update(self._first(data))

    def finish(self, data: BytesLike) -> bytes:
        """Take the last segment; give prefix and signature."""
        return self._prefix + self._operation.finish(self._first(data))

    def _first(self, data: BytesLike) -> BytesLike:
        if self._started:
            return data
        if not len(data):
            raise BusinessError(
                401, "the first data of a signature that names who was authenticated must not be empty"
            )
        self._started = True
        return self._prefix + data


class Batch(Operation):
    """A batch session: each update is an operation of its own, with parameters of its own.

    Args:
        gate: what is demanded of each.
        clock: gives seconds.
        deadline: on that clock.
        start: makes the operation for the parameters of an update.
    """

    __slots__ = ("_access_time", "_clock", "_gate", "_start", "challenge", "deadline")

    kind = "guarded"
    whole = True
    waits = True

    def __init__(
        self,
        gate: Gate,
        clock: Callable[[], float],
        deadline: float,
        start: Callable[[ParamSet], tuple[Operation, bool]],
    ) -> None:
        self._gate = gate
        self._access_time = gate.access_time()
        self.challenge: bytes = gate.new_challenge()
        self._clock = clock
        self.deadline: float = deadline
        self._start = start

    @property
    def guard(self) -> "Batch":
        """Itself."""
        return self

    async def admit(self, session: Session, params: ParamSet, *, ends: bool) -> Operation:
        """Give the operation of one update, as `Guarded.admit` does. The end needs no token: it does nothing.

        Raises:
            BusinessError: also 401 after the deadline.
        """
        await self._gate.check_password()
        if ends:
            return _NOTHING
        if self._clock() > self.deadline:
            raise BusinessError(
                401, "the time of this batch session is over (BATCH_OPERATION_TIMEOUT); open a new one"
            )
        # the parameters say which purpose it is, and that decides whether it needs a token
        operation, needs_token = self._start(params)
        if needs_token:
            self._gate.verify(params.blobs.get(_TOKEN), self.challenge, self._access_time)
        return operation


class _Nothing(Operation):
    """The end of a batch session."""

    kind = "cmac"  # short, and done at once

    def finish(self, data: BytesLike) -> bytes:
        """Do nothing."""
        return b""


_NOTHING = _Nothing()


def _prefix_of(token: AuthToken) -> bytes:
    return _PREFIX.pack(
        _PREFIX_VERSION, huks_type(token.auth_type) or 0, token.enrolled_id, token.credential_id
    )
