"""Drives sessions: update, finish, abort, with the documented endings.

Rules kept here: a call on a busy session is refused, not queued; any error of the operation ends the
session; finish always ends it; abort of anything succeeds; a cancelled call ends its session, because
its data may or may not have been taken.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.sessions.costs import COSTS, INLINE_MICROSECONDS, UNKNOWN
from huks_async.sessions.dispatch import Dispatcher
from huks_async.sessions.session import Session
from huks_async.sessions.table import SessionTable


class SessionDriver:
    """The session functions of one keystore."""

    def __init__(self, table: SessionTable, dispatcher: Dispatcher) -> None:
        self.table = table
        self._max_call = table.limits.max_call_bytes
        self._dispatcher = dispatcher

    async def update(self, owner: str, handle: int, data: BytesLike) -> bytes:
        """Feed a segment."""
        if len(data) > self._max_call:
            raise self._too_large(data)
        session = self.table.take(handle, owner)
        operation = session.operation
        cost = COSTS.get(operation.kind, UNKNOWN)
        estimate = cost.update * operation.work
        if not operation.collects:
            estimate += cost.per_byte * len(data)
        try:
            if estimate > INLINE_MICROSECONDS or perf_counter() > self._dispatcher.turn_ends:
                out = await self._call(estimate, operation.update, data)
            else:
                out = operation.update(data)
        except BaseException as error:
            self._end(session, error)
            raise
        self.table.give_back(session)
        return out

    async def finish(self, owner: str, handle: int, data: BytesLike) -> tuple[bytes, Any]:
        """Feed the last segment and end the session; gives the output and the session's context."""
        if len(data) > self._max_call:
            raise self._too_large(data)
        session = self.table.take_last(handle, owner)
        operation = session.operation
        cost = COSTS.get(operation.kind, UNKNOWN)
        estimate = cost.finish * operation.work + cost.per_byte * (len(data) + operation.held)
        try:
            if estimate > INLINE_MICROSECONDS or perf_counter() > self._dispatcher.turn_ends:
                out = await self._call(estimate, operation.finish, data)
            else:
                out = operation.finish(data)
        except BaseException as error:
            self._end(session, error)
            raise
        self.table.finish(session)
        return out, session.context

    def abort(self, owner: str, handle: int) -> None:
        """End a session without a result; succeeds for unknown and busy ones, without effect."""
        self.table.abort(handle, owner)

    def fail(self, owner: str, handle: int, error: BusinessError) -> BusinessError:
        """End a session whose call was refused for its content; gives the error to raise."""
        try:
            session = self.table.take(handle, owner)
        except BusinessError as gone:
            return gone
        self.table.fail(session, error.message)
        return error

    async def _call(self, estimate: float, function: Callable[[BytesLike], bytes], data: BytesLike) -> bytes:
        if estimate > INLINE_MICROSECONDS:
            # the caller may change its buffer while the worker reads it
            return await self._dispatcher.pool.run(function, data if type(data) is bytes else bytes(data))
        await self._dispatcher.give_turn()
        return function(data)

    def _end(self, session: Session, error: BaseException) -> None:
        """End a session whose call failed; an unexpected error becomes one that callers know."""
        if isinstance(error, BusinessError):
            self.table.fail(session, error.message)
        elif isinstance(error, Exception):
            self.table.fail(session, "the engine failed unexpectedly")
            raise BusinessError(
                12000006, f"{session.operation.kind} failed unexpectedly ({type(error).__name__})"
            ) from error
        else:
            self.table.fail(session, "its call was cancelled")

    def _too_large(self, data: BytesLike) -> BusinessError:
        return BusinessError(
            401,
            f"inData has {len(data)} bytes, accepted {self._max_call} a call (Limits.max_call_bytes): cut it "
            "into segments, 100 KB each is the advice",
        )
