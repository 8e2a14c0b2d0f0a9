"""Where a stream comes from: iterables of bytes, and file objects of all kinds."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from time import perf_counter
from typing import Any, Protocol, TypeAlias

from huks_async.files.cutting import slices
from huks_async.files.file_calls import as_piece, refuse_misfit
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, as_buffer
from huks_async.model.showing import type_name
from huks_async.runtime.workers import WorkerPool

READ_BYTES = 1024 * 1024
SLICE_BYTES = 2 * 1024 * 1024
"""Longer pieces are cut into slices of this size, so that copying one does not hold up the event loop."""

_GENERATOR = "give a generator that yields the pieces"


class Readable(Protocol):
    """A file object: `read` returns bytes, directly or as a coroutine, and b"" at the end."""

    def read(self, size: int, /) -> Any:
        """Read at most that many bytes."""


FileSource: TypeAlias = AsyncIterable[BytesLike] | Iterable[BytesLike] | Readable
"""An asynchronous or plain iterable of bytes-like objects, or a binary file object whose `read` may be a coroutine."""


class Turns(Protocol):
    """Lets other tasks run, see `sessions.dispatch.Dispatcher`."""

    turn_ends: float

    def is_due(self) -> bool:
        """Tell, after `turn_ends`, whether others wait for a turn."""

    async def give_turn(self) -> None:
        """Let the other tasks of the loop run."""


def closing(source: Any) -> AbstractAsyncContextManager[object]:
    """A block that closes a source which is an asynchronous generator, also where `pieces_of` was not asked for any."""
    return aclosing(source) if isinstance(source, AsyncGenerator) else nullcontext()


async def pieces_of(source: Any, pool: WorkerPool, turns: Turns) -> AsyncGenerator[BytesLike, None]:
    """The bytes of a source in pieces of bounded length, until its end.

    A file object is read from its present position, in a worker if it is a plain one, and left open. An asynchronous
    generator is closed, because if it was created in the call itself, nothing else refers to it.

    Raises:
        BusinessError: 401 for something that is not a source, and for a piece that is not bytes.
    """
    async with aclosing(_given(source, pool)) as pieces:
        async for piece in pieces:
            # also between the pieces of an asynchronous source, which need not wait for anything
            if perf_counter() > turns.turn_ends and turns.is_due():
                await turns.give_turn()
            for part in slices(as_buffer(piece, "a piece of the source"), SLICE_BYTES):
                yield part


async def _given(source: Any, pool: WorkerPool) -> AsyncGenerator[Any, None]:
    """What a source gives, as it gives it."""
    if isinstance(source, (bytes, bytearray, memoryview, str)):
        raise BusinessError(401, "source: got one buffer, not an iterable of them; use [data]")
    if isinstance(source, AsyncGenerator):
        async with aclosing(source):
            async for piece in source:
                yield piece
    # Files are tested before iterables, because a file is also an iterable, of lines.
    elif callable(getattr(source, "read", None)) and not isinstance(source, type):
        async with aclosing(_read(source, pool)) as pieces:
            async for piece in pieces:
                yield piece
    elif isinstance(source, AsyncIterable):
        async for piece in source:
            yield piece
    elif isinstance(source, Iterable):
        for piece in source:
            yield piece
    else:
        raise BusinessError(
            401, f"source must be an iterable of bytes or a binary file object, got {type_name(source)}"
        )


async def _read(file: Readable, pool: WorkerPool) -> AsyncGenerator[BytesLike, None]:
    waits = not inspect.iscoroutinefunction(file.read)
    while True:
        try:
            piece = await pool.run_shielded(file.read, READ_BYTES) if waits else await file.read(READ_BYTES)
        except TypeError as error:
            refuse_misfit(error, file.read, READ_BYTES, what="source: its read", way_out=_GENERATOR)
            raise
        if inspect.isawaitable(piece):
            waits = False
            piece = await piece
        piece = as_piece(piece, "source")
        if not len(piece):
            return
        yield piece
