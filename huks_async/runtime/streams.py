"""Asynchronous generators that end in silence only when everything has been given."""

from collections.abc import AsyncGenerator, Coroutine
from types import AsyncGeneratorType
from typing import Any, cast

from huks_async.model.errors import BusinessError
from huks_async.model.memory import out_of_memory, says_out_of_memory
from huks_async.model.showing import type_name
from huks_async.model.uncopied import Uncopied


class Stream(AsyncGenerator[bytes, None], Uncopied):
    """An asynchronous generator whose break is never taken for its end.

    One of the language that was cancelled, has failed or was closed by somebody else just ends when it is asked
    again, so that whoever goes on with it takes a part for the whole. This one raises 12000011 then. Only the
    consumer's own `aclose` ends it in silence.

    Args:
        parts: what it gives: the generator of a function.
    """

    def __init__(self, parts: AsyncGenerator[bytes, None]) -> None:
        self._parts = cast("AsyncGeneratorType[bytes, None]", parts)
        self._broken = ""
        self._ended = False

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The type of the generator that this stands for.

        `inspect.isasyncgen` asks for it: HTTP clients learn in this way that a body can be sent only once, and
        frameworks that a result is a body.
        """
        return AsyncGeneratorType

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("ag_"):  # ag_running and the like
            raise AttributeError(f"a Stream has no attribute {name}")
        return getattr(self._parts, name)

    def __anext__(self) -> Coroutine[Any, Any, bytes]:
        return self.asend(None)

    async def asend(self, value: None) -> bytes:
        """Give the next part."""
        return await self._next(self._parts.asend, value)

    async def athrow(self, *error: Any) -> bytes:
        """Raise an error where the generator waits, and give the next part if it catches it."""
        return await self._next(self._parts.athrow, *error)

    async def _next(self, step: Any, *args: Any) -> bytes:
        if self._broken:
            raise BusinessError(12000011, self._broken)
        running = self._parts.ag_running
        if not running and self._parts.ag_frame is None and not self._ended:
            self._broken = (
                "an event loop closed the stream, with all others that were left in it, before it had ended, so what "
                "it gave is not all of it; begin anew"
            )
            raise BusinessError(12000011, self._broken)
        try:
            part: bytes = await step(*args)
        except StopAsyncIteration:
            self._ended = True
            raise
        except BaseException as error:
            if not running:  # else this was a second step, which is refused, and the first one goes on
                self._broken = (
                    f"the stream broke off with {type_name(error)} before it had ended, so what it gave is not all of "
                    "it; begin anew"
                )
            if says_out_of_memory(error):
                raise out_of_memory("a stream") from error
            raise
        return part

    async def aclose(self) -> None:
        """Close it; asked again, it has ended."""
        if not self._parts.ag_running:  # else this is refused
            self._ended = True
        await self._parts.aclose()

    async def leave(self) -> None:
        """Close it because its block is left; asked again, it raises 12000011, unless it has ended before.

        One that another task is running is left to that task, and breaks at what the block has ended.
        """
        if self._parts.ag_running:
            return
        if self._parts.ag_frame is not None:
            self._broken = (
                "its block was left before the stream had ended, so what it gave is not all of it; read it to its end "
                "within the block"
            )
        await self._parts.aclose()
