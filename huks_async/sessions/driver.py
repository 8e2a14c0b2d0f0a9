"""Drives sessions: update, finish, abort, with the documented endings.

The rules: a call on a busy session is refused, not queued; any error of the operation ends the session;
finish always ends it; abort always succeeds, whatever the handle; a cancelled call ends its session, because
nobody can tell whether the operation has taken its data.
"""

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import TypeVar

from huks_async.crypto.operation import Operation
from huks_async.model.errors import BusinessError, HuksWarning
from huks_async.model.memory import is_out_of_memory, out_of_memory
from huks_async.model.params import NO_PARAMETERS, BytesLike, ParamSet
from huks_async.runtime.process_pool import LONG_SECONDS
from huks_async.sessions.costs import (
    COPY_PER_BYTE,
    COSTS,
    FINISHES_INLINE,
    INLINE_MICROSECONDS,
    UNKNOWN,
    UPDATES_INLINE,
)
from huks_async.sessions.dispatch import Dispatcher
from huks_async.sessions.session import Session
from huks_async.sessions.table import SessionTable

T = TypeVar("T")

_LONG_MICROSECONDS = LONG_SECONDS * 1e6

COPY_AT_ONCE = 1024 * 1024
"""How many bytes the event loop copies before other tasks get a turn: about 0.3 ms."""


class _Most(dict[str, int]):
    """By kind of operation, the most bytes with which a call runs at once; -1 for kinds that never do."""

    def __init__(self, inline: Mapping[str, int], max_call: int) -> None:
        super().__init__({kind: min(most, max_call) for kind, most in inline.items()})

    def __missing__(self, kind: str) -> int:
        return -1


class SessionDriver:
    """The session functions of one keystore."""

    def __init__(self, table: SessionTable, dispatcher: Dispatcher) -> None:
        self.table = table
        self._max_call = table.limits.max_call_bytes
        self._updates_at_once = _Most(UPDATES_INLINE, self._max_call)
        self._finishes_at_once = _Most(FINISHES_INLINE, self._max_call)
        self._dispatcher = dispatcher

    def start_update(
        self, owner: str, handle: int, data: BytesLike, params: ParamSet = NO_PARAMETERS
    ) -> bytes | Awaitable[bytes]:
        """Feed a segment at once if it is cheap and no other task is due a turn; otherwise through `update`.

        Returns:
            the output, or the coroutine of `update`, to be awaited.
        """
        session = self._at_once(owner, handle, data)
        if session is None:
            return self.update(owner, handle, data, params)
        operation = session.operation
        if len(data) > self._updates_at_once[operation.kind] or operation.work > 1.0:
            admitted = self._behind_guard(session, data, params)
            if admitted is None or len(data) > self._updates_at_once[admitted.kind] or admitted.work > 1.0:
                return self.update(owner, handle, data, params)
            operation = admitted
        # Nothing below awaits, so no other call can meet this session half-way and it need not be marked busy.
        try:
            out = operation.update(data)
        except BaseException as error:
            self._end(session, error)
            raise
        table = self.table
        session.used = table.clock()
        table.sessions.move_to_end(handle)
        if operation.held != session.held:
            table.account(session)
        return out

    def start_finish(
        self, owner: str, handle: int, data: BytesLike, params: ParamSet = NO_PARAMETERS
    ) -> bytes | Awaitable[tuple[bytes, Session]]:
        """Feed the last segment at once if it is cheap and no other task is due a turn; otherwise through `finish`.

        Returns:
            the output, and the session is ended; or the coroutine of `finish`, to be awaited.
        """
        session = self._at_once(owner, handle, data)
        if session is None:
            return self.finish(owner, handle, data, params)
        operation = session.operation
        most = self._finishes_at_once[operation.kind]
        if len(data) + operation.held > most or operation.work > 1.0 or session.context is not None:
            admitted = self._behind_guard(session, data, params)
            if (
                admitted is None
                or len(data) + admitted.held > self._finishes_at_once[admitted.kind]
                or admitted.work > 1.0
                or session.context is not None
            ):
                return self.finish(owner, handle, data, params)
            operation = admitted
        try:
            out = operation.finish(data)
        except BaseException as error:
            self._end(session, error)
            raise
        self.table.finish(session)
        return out

    def _behind_guard(self, session: Session, data: BytesLike, params: ParamSet) -> Operation | None:
        """Let the session's guard admit a call, and return the operation behind it.

        None if the session has no guard, or the guard must be awaited. The operation returned has replaced the
        guard in the session; it may still be too slow to run at once.
        """
        guard = session.operation.guard
        if guard is None or guard.waits or len(data) > self._max_call:
            return None
        try:
            admitted = guard.admit_at_once(session, params)
        except BaseException as error:
            self._end(session, error)
            raise
        return admitted

    def _at_once(self, owner: str, handle: int, data: BytesLike) -> Session | None:
        """The session, if a call on it may run now; None if it must wait for its turn or has too much data.

        Raises:
            BusinessError: 12000011 when the session is gone, or in another call.
        """
        if perf_counter() > self._dispatcher.turn_ends and self._dispatcher.is_due():
            return None
        table = self.table
        session = table.sessions.get(handle)
        if session is None or session.free_for != owner or table.max_idle is not None:
            if len(data) > self._max_call:
                return None  # the caller then reports the size, which comes before any fault of the session
            session = table.find(handle, owner)
        return session

    async def update(
        self, owner: str, handle: int, data: BytesLike, params: ParamSet = NO_PARAMETERS
    ) -> bytes:
        """Feed a segment, in turn, and in a worker if it takes long. Only a session behind a gate reads `params`."""
        if len(data) > self._max_call:
            raise self._too_large(data)
        self._dispatcher.check_owner()  # a call that is refused must not end the session
        try:
            session = self.table.take(handle, owner)
        except BusinessError:
            await self._dispatcher.turn()  # whoever goes on with a handle that is gone holds up nobody
            raise
        operation = session.operation
        try:
            feed = operation.update
            whole = False
            if operation.guard is not None:
                whole = operation.guard.whole
                operation = await operation.guard.admit(session, params, ends=False)
                feed = operation.finish if whole else operation.update
            cost = COSTS.get(operation.kind, UNKNOWN)
            estimate = (cost.finish if whole else cost.update) * operation.work
            collected = operation.collects and not whole
            estimate += (COPY_PER_BYTE if collected else cost.per_byte) * len(data)
            if estimate > INLINE_MICROSECONDS or (
                perf_counter() > self._dispatcher.turn_ends and self._dispatcher.is_due()
            ):
                out = await self._call(operation, estimate, feed, data)
            else:
                out = feed(data)
        except BaseException as error:
            self._end(session, error)
            raise
        self.table.give_back(session)
        return out

    async def finish(
        self, owner: str, handle: int, data: BytesLike, params: ParamSet = NO_PARAMETERS
    ) -> tuple[bytes, Session]:
        """Feed the last segment, in turn, and in a worker if it takes long; return the output and the session.

        This ends the session unless it has a context. A session with a context stays busy until `complete`
        has been awaited.
        """
        if len(data) > self._max_call:
            raise self._too_large(data)
        self._dispatcher.check_owner()  # a call that is refused must not end the session
        try:
            session = self.table.take(handle, owner)
        except BusinessError:
            await self._dispatcher.turn()  # whoever goes on with a handle that is gone holds up nobody
            raise
        operation = session.operation
        try:
            if operation.guard is not None:
                operation = await operation.guard.admit(session, params, ends=True)
            cost = COSTS.get(operation.kind, UNKNOWN)
            estimate = cost.finish * operation.work + cost.per_byte * (len(data) + operation.held)
            if estimate > INLINE_MICROSECONDS or (
                perf_counter() > self._dispatcher.turn_ends and self._dispatcher.is_due()
            ):
                out = await self._call(operation, estimate, operation.finish, data)
            else:
                out = operation.finish(data)
        except BaseException as error:
            self._end(session, error)
            raise
        if session.context is None:
            self.table.finish(session)
        return out, session

    async def complete(self, session: Session, rest: Awaitable[T]) -> T:
        """Await the rest of the work for a session with a context, end the session, and return the result."""
        try:
            result = await rest
        except BaseException as error:
            self._end(session, error)
            raise
        self.table.finish(session)
        return result

    def most_at_once(self, operation: Operation) -> int:
        """The most bytes with which an operation outside a session may finish on the event loop; -1 if it may not."""
        return self._finishes_at_once[operation.kind] if operation.work <= 1.0 else -1

    def check_size(self, data: BytesLike, overhead: int = 0, what: str = "data") -> None:
        """Refuse more data than one call takes; `overhead` as for `finish_alone`.

        Raises:
            BusinessError: 401.
        """
        if len(data) > self._max_call + overhead:
            raise self._too_large(data, what)

    async def update_alone(self, operation: Operation, data: BytesLike) -> None:
        """Feed an operation that belongs to no session; see `finish_alone`."""
        self.check_size(data)
        cost = COSTS.get(operation.kind, UNKNOWN)
        estimate = cost.update * operation.work
        estimate += (COPY_PER_BYTE if operation.collects else cost.per_byte) * len(data)
        await self._alone(operation, estimate, operation.update, data)

    async def finish_alone(self, operation: Operation, data: BytesLike, *, overhead: int = 0) -> bytes:
        """Carry out an operation that belongs to no session, in turn, and in a worker if it takes long.

        Args:
            operation: what to carry out.
            data: for its `finish`.
            overhead: how many bytes of `data` sealing has added. They do not count for the limit of a call, so that
                whatever could be sealed can be opened.

        Raises:
            BusinessError: what the operation raises; 401 for more data than one call takes; 12000014 if the
                system gives no memory; 12000006 for an unexpected failure.
        """
        self.check_size(data, overhead)
        cost = COSTS.get(operation.kind, UNKNOWN)
        estimate = cost.finish * operation.work + cost.per_byte * (len(data) + operation.held)
        return await self._alone(operation, estimate, operation.finish, data)

    async def _alone(
        self, operation: Operation, estimate: float, function: Callable[[BytesLike], bytes], data: BytesLike
    ) -> bytes:
        if estimate <= INLINE_MICROSECONDS:
            if perf_counter() > self._dispatcher.turn_ends and self._dispatcher.is_due():
                await self._dispatcher.give_turn()
            return self.call_once(operation, function, data)
        try:
            return await self._call(operation, estimate, function, data)
        except (BusinessError, HuksWarning):
            raise
        except Exception as error:
            raise _known(operation, error) from error

    @staticmethod
    def call_once(operation: Operation, function: Callable[[BytesLike], bytes], data: BytesLike) -> bytes:
        """Run, without waiting, a function of an operation that belongs to no session."""
        try:
            return function(data)
        except (BusinessError, HuksWarning):
            raise
        except Exception as error:
            raise _known(operation, error) from error

    def abort(self, owner: str, handle: int) -> None:
        """End a session without a result; succeeds for unknown and busy ones, without effect."""
        self.table.abort(handle, owner)

    def fail(self, owner: str, handle: int, error: BusinessError) -> BusinessError:
        """End a session whose call was refused for its content; return the error to raise."""
        self._dispatcher.check_owner()  # a call that is refused must not end the session
        try:
            session = self.table.take(handle, owner)
        except BusinessError as gone:
            return gone
        self.table.fail(session, error.message)
        return error

    async def _call(
        self, operation: Operation, estimate: float, function: Callable[[BytesLike], bytes], data: BytesLike
    ) -> bytes:
        dispatcher = self._dispatcher
        if estimate <= INLINE_MICROSECONDS:
            await dispatcher.give_turn()
            return function(data)
        if estimate > _LONG_MICROSECONDS and function == operation.update:
            halves = operation.portable_update()
            if halves is not None:
                compute, keep = halves
                keep(await dispatcher.processes.run(estimate / 1e6, compute))
                return b""
        most = COSTS.get(operation.kind, UNKNOWN).slice_bytes
        if type(data) is not bytes and not (type(data) is memoryview and type(data.obj) is bytes):
            # the caller may change its buffer while the worker reads it
            data = await self.copy(data)
        ends_with_signature = operation.verifies and function == operation.finish
        if most is None or len(data) <= most or operation.collects or ends_with_signature:
            return await dispatcher.pool.run(function, data)
        ended: list[None] = []
        try:
            return await dispatcher.pool.run(_in_slices, operation.update, function, data, most, ended)
        except BaseException:
            ended.append(None)
            raise

    async def copy(self, data: BytesLike) -> bytes:
        """A private copy of data of any size; other tasks get turns while a long one is made."""
        if type(data) is bytes:
            return data
        try:
            if len(data) <= COPY_AT_ONCE:
                return bytes(data)
            parts = []
            with memoryview(data) as view:
                for start in range(0, len(view), COPY_AT_ONCE):
                    parts.append(bytes(view[start : start + COPY_AT_ONCE]))
                    await self._dispatcher.give_turn()
            return await self._dispatcher.pool.run(b"".join, parts)
        except MemoryError as error:
            raise out_of_memory("a copy of the data of a call") from error

    def _end(self, session: Session, error: BaseException) -> None:
        """End a session whose call failed; raise a documented error in place of an unexpected one."""
        if isinstance(error, BusinessError):
            self.table.fail(session, error.message)
        elif is_out_of_memory(error):
            self.table.fail(session, "the system gave no memory for its call")
            raise out_of_memory(
                f"a call of the session, which was ended ({session.operation.kind})"
            ) from error
        elif isinstance(error, HuksWarning):  # which the caller has made an error by a filter
            self.table.fail(session, str(error))
        elif isinstance(error, Exception):
            self.table.fail(session, "the engine failed unexpectedly")
            raise BusinessError(
                12000006, f"{session.operation.kind} failed unexpectedly ({type(error).__name__})"
            ) from error
        else:
            self.table.fail(session, "its call was cancelled")

    def _too_large(self, data: BytesLike, what: str = "inData") -> BusinessError:
        return BusinessError(
            401,
            f"{what} has {len(data)} bytes, accepted {self._max_call} a call (Limits.max_call_bytes): cut it "
            "into segments, 100 KB each is the advice",
        )


def _known(operation: Operation, error: Exception) -> BusinessError:
    """The documented error that callers get when an operation that belongs to no session fails."""
    if is_out_of_memory(error):
        return out_of_memory(f"a call ({operation.kind})")
    return BusinessError(12000006, f"{operation.kind} failed unexpectedly ({type(error).__name__})")


def _in_slices(
    update: Callable[[BytesLike], bytes],
    last: Callable[[BytesLike], bytes],
    data: bytes | memoryview,
    most: int,
    ended: list[None],
) -> bytes:
    """Feed data in slices: a cipher holds the interpreter's lock, and the event loop gets it between two slices.

    Stops after the current slice once `ended` is not empty, because then nobody waits for the output any more.
    """
    view = memoryview(data)
    end = (len(data) - 1) // most * most
    parts = []
    for start in range(0, end, most):
        if ended:
            return b""
        parts.append(update(view[start : start + most]))
    parts.append(last(view[end:]))
    return b"".join(parts)  # all parts are bytes, so that a large join releases the interpreter's lock
