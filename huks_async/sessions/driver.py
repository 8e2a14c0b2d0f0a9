"""Drives sessions: open, update, finish, abort, with the documented endings.

Rules kept here: a call on a busy session is refused, not queued; any error of the operation ends the
session; finish always ends it; abort of anything succeeds; a cancelled call ends its session, because
its data may or may not have been taken.
"""

from collections.abc import Callable
from typing import Any

from huks_async.crypto.operation import Operation
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.sessions.costs import INLINE_MICROSECONDS
from huks_async.sessions.dispatch import Dispatcher
from huks_async.sessions.session import Session
from huks_async.sessions.table import SessionTable


class SessionDriver:
    """The session functions of one keystore."""

    def __init__(self, table: SessionTable, dispatcher: Dispatcher) -> None:
        self.table = table
        self._dispatcher = dispatcher

    def open(self, owner: str, operation: Operation, context: Any = None) -> Session:
        """Enter a running operation as a session of `owner`."""
        return self.table.open(owner, operation, context)

    async def update(self, owner: str, handle: int, data: BytesLike) -> bytes:
        """Feed a segment."""
        self._check_size(len(data))
        session = self.table.take(handle, owner)
        operation, cost = session.operation, session.cost
        estimate = cost.update * operation.work
        if not operation.collects:
            estimate += cost.per_byte * len(data)
        out = await self._call(session, estimate, operation.update, data)
        self.table.give_back(session)
        return out

    async def finish(self, owner: str, handle: int, data: BytesLike) -> tuple[bytes, Any]:
        """Feed the last segment and end the session; gives the output and the session's context."""
        self._check_size(len(data))
        session = self.table.take(handle, owner)
        operation, cost = session.operation, session.cost
        estimate = cost.finish * operation.work + cost.per_byte * (len(data) + operation.held)
        out = await self._call(session, estimate, operation.finish, data)
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

    async def _call(
        self, session: Session, estimate: float, function: Callable[[BytesLike], bytes], data: BytesLike
    ) -> bytes:
        dispatcher = self._dispatcher
        try:
            if estimate > INLINE_MICROSECONDS:
                # the caller may change its buffer while the worker reads it
                return await dispatcher.pool.run(function, data if type(data) is bytes else bytes(data))
            if dispatcher.is_due():
                await dispatcher.give_turn()
            return function(data)
        except BusinessError as error:
            self.table.fail(session, error.message)
            raise
        except Exception as error:
            self.table.fail(session, "the engine failed unexpectedly")
            raise BusinessError(
                12000006, f"{session.operation.kind} failed unexpectedly ({type(error).__name__})"
            ) from error
        except BaseException:
            self.table.fail(session, "its call was cancelled")
            raise

    def _check_size(self, size: int) -> None:
        limit = self.table.limits.max_call_bytes
        if size > limit:
            raise BusinessError(
                401,
                f"inData has {size} bytes, accepted {limit} a call (Limits.max_call_bytes): cut it into "
                "segments, 100 KB each is the advice",
            )
