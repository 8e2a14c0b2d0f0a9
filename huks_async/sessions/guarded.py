"""Operations behind a gate: a session on a key that demands something before it is used.

A guard stands in place of the operation, so that sessions on all other keys need no extra check. The driver
sees the guard (`Operation.guard`), lets it admit the call, and continues with the operation itself. When
nothing is left to demand, the operation takes the guard's place for good.
"""

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from huks_async.access.gate import Gate
from huks_async.access.tokens import AuthToken, huks_type
from huks_async.crypto.operation import Guard, Holder, Operation
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, ParamSet
from huks_async.model.tags import HuksTag

if TYPE_CHECKING:
    from huks_async.access.authenticator import Enrolment

_TOKEN, _PURPOSE = int(HuksTag.HUKS_TAG_AUTH_TOKEN), int(HuksTag.HUKS_TAG_PURPOSE)
_PREFIX = struct.Struct("<IIQQ")
_PREFIX_VERSION = 0x0100_0001


class Guarded(Guard):
    """An operation that does not run until its gate has been passed.

    Args:
        operation: what runs behind the gate.
        gate: what is demanded.
    """

    __slots__ = ("_access_time", "_admitted", "_gate", "_operation", "challenge", "waits")

    def __init__(self, operation: Operation, gate: Gate) -> None:
        self._operation = operation
        self._gate = gate
        self._admitted = False
        self._access_time = gate.access_time()
        self.challenge: bytes = gate.new_challenge()
        self.waits: bool = gate.waits

    @property
    def held(self) -> int:  # type: ignore[override]
        """What the operation behind it holds."""
        return self._operation.held

    async def admit(self, session: Holder, params: ParamSet, *, ends: bool) -> Operation:
        """Return the operation that a call may use. What is missing, the gate raises."""
        now = await self._gate.check_user(admitted=self._admitted)
        return self.admit_at_once(session, params, now)

    def admit_at_once(self, session: Holder, params: ParamSet, now: "Enrolment | None" = None) -> Operation:
        """The part of `admit` that never waits."""
        if not self._admitted:
            gate = self._gate
            if gate.needs_token:
                token = gate.verify(params.blobs.get(_TOKEN), self.challenge, self._access_time, now)
                if gate.names_user:
                    self._operation = NamedSignature(self._operation, _prefix_of(token))
            elif gate.names_user:
                raise BusinessError(
                    12000012,
                    "signatures of this key name who was authenticated, and HUKS_TAG_KEY_AUTH_PURPOSE lets it sign "
                    "without authentication; make a key whose HUKS_TAG_KEY_AUTH_PURPOSE has SIGN",
                )
            self._admitted = True
        if not self._gate.asks_each_time:
            session.operation = self._operation
        return self._operation


class NamedSignature(Operation):
    """A signature over a prefix, which says who was authenticated, and the data. The result is prefix and signature."""

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
        """Take a segment; the first one is preceded by the prefix."""
        return self._operation.update(self._first(data))

    def finish(self, data: BytesLike) -> bytes:
        """Take the last segment; return the prefix followed by the signature."""
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


class Batch(Guard):
    """A batch session: each update is an operation of its own, with parameters of its own.

    Args:
        gate: what is demanded of each update.
        clock: gives seconds.
        deadline: when the session's time is over, on that clock.
        start: makes the operation for the parameters of an update.
    """

    __slots__ = ("_access_time", "_clock", "_gate", "_start", "challenge", "deadline")

    whole = True
    waits = True

    def __init__(
        self,
        gate: Gate,
        clock: Callable[[], float],
        deadline: float,
        start: Callable[[ParamSet], Operation],
    ) -> None:
        self._gate = gate
        self._access_time = gate.access_time()
        self.challenge: bytes = gate.new_challenge()
        self._clock = clock
        self.deadline: float = deadline
        self._start = start

    async def admit(self, session: Holder, params: ParamSet, *, ends: bool) -> Operation:
        """Return the operation of one update, as `Guard.admit` says. Finish does nothing, and needs no token.

        Raises:
            BusinessError: also 401 after the deadline.
        """
        # each operation names its purpose, which decides whether it needs a token
        needs_token = not ends and self._gate.needs_token_for(params.numbers.get(_PURPOSE, 0))
        now = await self._gate.check_user(admitted=not needs_token)
        if ends:
            return _NOTHING
        if self._clock() > self.deadline:
            raise BusinessError(
                401, "the time of this batch session is over (BATCH_OPERATION_TIMEOUT); open a new one"
            )
        operation = self._start(params)
        if needs_token:
            self._gate.verify(params.blobs.get(_TOKEN), self.challenge, self._access_time, now)
        return operation


class _Nothing(Operation):
    """The finish of a batch session."""

    kind = "nothing"

    def finish(self, data: BytesLike) -> bytes:
        """Do nothing."""
        return b""


_NOTHING = _Nothing()


def _prefix_of(token: AuthToken) -> bytes:
    return _PREFIX.pack(
        _PREFIX_VERSION, huks_type(token.auth_type) or 0, token.enrolled_id, token.credential_id
    )
