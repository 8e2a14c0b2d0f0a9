"""Awaiting what a program has implemented itself, such as an authenticator or a key service: it may never answer."""

from collections.abc import Awaitable, Coroutine
from typing import TypeVar

import anyio

from huks_async.model.errors import BusinessError
from huks_async.runtime.cancellation import past_cancellations, raise_unless_failures, raise_unless_foreign
from huks_async.runtime.closing import abandoned

T = TypeVar("T")


class OutsideCalls:
    """Awaits answers until it is closed; then those that are still awaited are cancelled."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._closed = False

    async def ask(self, answer: Awaitable[T], who: str) -> T:
        """Await an answer.

        Args:
            answer: the call.
            who: who is asked, for the message.

        Raises:
            BusinessError: 12000012 when this is closed before there is an answer; otherwise what the call raises.
            RuntimeError: it raises a cancellation that is not one of the running task, alone or in a group.
            GeneratorExit: in a coroutine that may not wait; nobody is asked.
        """
        if abandoned():
            if isinstance(answer, Coroutine):
                answer.close()  # which warns otherwise that it was never awaited
            raise GeneratorExit
        with anyio.CancelScope() as scope:
            if self._closed:
                scope.cancel()
            self._scopes.add(scope)
            since = past_cancellations()
            try:
                return await answer
            except anyio.get_cancelled_exc_class() as error:
                await raise_unless_foreign(error, since)
                raise RuntimeError(f"{who} awaited what somebody else had cancelled") from error
            except BaseExceptionGroup as error:
                await raise_unless_failures(error, since)
                if isinstance(error, Exception):
                    raise
                raise RuntimeError(f"{who} awaited what somebody else had cancelled") from error
            finally:
                self._scopes.discard(scope)
        raise BusinessError(12000012, f"the keystore was closed before {who} had answered")

    def close(self) -> None:
        """End the calls that are awaited, and those that begin later at the first moment at which they wait."""
        self._closed = True
        for scope in list(self._scopes):
            scope.cancel()

    def forget(self) -> None:
        """Forget the calls: the event loop that awaited them has ended itself."""
        self._scopes.clear()
