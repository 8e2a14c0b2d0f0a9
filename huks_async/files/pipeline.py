"""Working on chunks on all processors, in order, with bounded memory and without a task of its own."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from functools import cache, partial
from time import perf_counter
from typing import NamedTuple, Protocol

from huks_async.files.chunks import ChunkCipher
from huks_async.files.cutting import Cutter, Parts, joined
from huks_async.files.shared_work import SharedWork
from huks_async.files.sources import Turns
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.runtime.workers import WorkerPool

_SHORT_BYTES = 128 * 1024
"""A last chunk of at most this size is worked on in the event loop's thread, where it takes less than a hop."""

_UNDER_WAY_BYTES = 12 * 1024 * 1024
"""How much is under way from all streams of the process together; as much again are the results.

But each stream has at least two pieces of work under way.
"""

_PIECE_BYTES = 1024 * 1024
"""Shorter chunks are worked on together, as many as are at most this long."""

_PIECES_EACH = 3
"""How many pieces of work are under way for each thread and the event loop, results that were not yielded included."""

_streams: set[object] = set()
"""One entry for each stream that is being worked on."""

_REUSED_BYTES = 8 * 1024 * 1024


@cache
def _reuse_memory() -> None:
    """Have the C library keep the memory of chunks for the next ones; done once in a process.

    glibc returns blocks of this size to the system whenever they are freed. Each new chunk then costs more for its
    pages than for its encryption: 60 % of the processor time of a stream. But glibc raises its bound when a larger
    block is freed, so one is allocated and freed here, without touching its pages. The memory that glibc then keeps
    is 16 MiB at most, and goes back to the system when memory is short.
    """
    bytes(_REUSED_BYTES)


class Done(NamedTuple):
    """The result of a piece of work: the chunks that are right, and what is wrong with the next one, if it is wrong."""

    chunks: list[bytes]
    fault: BusinessError | None

    def __repr__(self) -> str:
        return f"Done(chunks=<{len(self.chunks)} chunks>, fault={self.fault!r})"


class Work(Protocol):
    """Seals or opens consecutive chunks. Runs in any thread."""

    def __call__(self, first: int, chunks: list[Parts], *, last: bool) -> Done:
        """Seal or open `chunks`; `last` says that the last of them is also the last of the file."""


def seal_chunks(cipher: ChunkCipher, first: int, chunks: list[Parts], *, last: bool) -> Done:
    """Seal consecutive chunks."""
    end = len(chunks) - 1
    return Done(
        [
            cipher.seal(first + place, joined(parts), last=last and place == end)
            for place, parts in enumerate(chunks)
        ],
        None,
    )


def open_chunks(cipher: ChunkCipher, first: int, chunks: list[Parts], *, last: bool) -> Done:
    """Open consecutive chunks, up to the first that is wrong."""
    end, opened = len(chunks) - 1, []
    for place, parts in enumerate(chunks):
        try:
            opened.append(cipher.open(first + place, joined(parts), last=last and place == end))
        except BusinessError as fault:
            return Done(opened, fault)
    return Done(opened, None)


async def carry(
    pieces: AsyncIterator[BytesLike], start: BytesLike, size: int, work: Work, pool: WorkerPool, turns: Turns
) -> AsyncGenerator[bytes, None]:
    """Cut a stream into chunks, have them worked on, and yield the results in order.

    Args:
        pieces: the stream, in pieces whose copying does not hold up the event loop.
        start: bytes that were read from the stream already.
        size: bytes of a chunk.
        work: seals or opens chunks.
        pool: does the work, except that on a short last chunk.
        turns: lets other tasks of the event loop run.

    When this is left early, it drops the work that has not begun. It does not wait for work that has begun, which
    ends within a few milliseconds.
    """
    cutter, index, stream = Cutter(size), 0, object()
    shared: SharedWork[Done] = SharedWork(pool, turns)
    group = max(1, _PIECE_BYTES // size)
    _reuse_memory()
    cutter.feed(start)
    _streams.add(stream)
    try:
        async for piece in pieces:
            cutter.feed(piece)
            # A slow source gets each chunk worked on at once; from a fast source, full groups are formed.
            while (ready := cutter.ready) and (not shared or ready >= group):
                if perf_counter() > turns.turn_ends and turns.is_due():
                    await turns.give_turn()
                count = min(ready, group)
                shared.add(partial(work, index, cutter.take(count), last=False))
                index += count
                if len(shared) >= _room(shared, group * size):
                    await shared.reach_first()
                for done in _ready(shared):
                    yield done
            for done in _ready(shared):
                yield done
        if ready := cutter.ready:
            shared.add(partial(work, index, cutter.take(ready), last=False))
            index += ready
        is_short = cutter.held <= _SHORT_BYTES
        seal_or_open_last = partial(work, index, [cutter.rest()], last=True)
        if not is_short:
            shared.add(seal_or_open_last)
        while shared:
            await shared.reach_first()
            for done in _ready(shared):
                yield done
        if is_short:
            if perf_counter() > turns.turn_ends and turns.is_due():
                await turns.give_turn()
            for done in _right(seal_or_open_last()):
                yield done
    finally:
        _streams.discard(stream)
        shared.drop()


def _room(shared: SharedWork[Done], piece: int) -> int:
    """How many pieces of work a stream may have under way."""
    most = _PIECES_EACH * (shared.most_helpers + 1)
    return max(2, min(most, _UNDER_WAY_BYTES // len(_streams) // piece))


def _ready(shared: SharedWork[Done]) -> Iterator[bytes]:
    """Take the chunks that have been worked on, in order; raise the error of the first that is wrong."""
    for done in shared.results():
        yield from _right(done)


def _right(done: Done) -> Iterator[bytes]:
    """Yield the chunks that are right, then raise the error of the next one, if it is wrong."""
    yield from done.chunks
    if done.fault is not None:
        raise done.fault
