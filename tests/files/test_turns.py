"""Streams let other tasks run before each step on the event loop, if their turn is over and somebody waits."""

import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from huks_async.files import pipeline
from huks_async.files.cutting import Parts
from huks_async.files.pipeline import Done, carry
from huks_async.files.shared_work import SharedWork
from huks_async.files.sources import SLICE_BYTES, pieces_of
from huks_async.runtime.workers import WorkerPool


class Turns:
    """Notes each turn that is given.

    Args:
        log: where to.
        ends: `turn_ends`: the present turn is over (0), or goes on (infinity).
        waits: whether somebody waits for a turn.
        again: whether the turn that was given is over at once, too.
    """

    def __init__(self, log: list[str], *, ends: float, waits: bool, again: bool = True) -> None:
        self.log, self.turn_ends, self._waits, self._again = log, ends, waits, again

    def is_due(self) -> bool:
        return self._waits

    async def give_turn(self) -> None:
        self.log.append("turn")
        if not self._again:
            self.turn_ends = math.inf


CASES = pytest.mark.parametrize(
    ("ends", "waits", "given"),
    [(0.0, True, True), (0.0, False, False), (math.inf, True, False)],
    ids=["due", "nobody waits", "not over"],
)


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(1)
    yield pool
    pool.close()


@CASES
def test_before_each_piece_of_an_iterable(pool: WorkerPool, ends: float, waits: bool, given: bool) -> None:
    log = list[str]()

    def source() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x"

    async def main() -> None:
        async for _ in pieces_of(source(), pool, Turns(log, ends=ends, waits=waits)):
            log.append("piece")

    anyio.run(main)
    assert log == (["turn"] * given + ["piece"]) * 3


@CASES
@pytest.mark.parametrize("kind", ["generator", "iterator", "file"])
def test_before_each_piece_of_an_asynchronous_source(
    pool: WorkerPool, ends: float, waits: bool, given: bool, kind: str
) -> None:
    """Asynchronous sources, too, need not wait for anything between two pieces."""
    log = list[str]()

    async def generator() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"

    class Iterates:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return generator()

    class Reads:
        left = 3

        async def read(self, _: int) -> bytes:
            self.left -= 1
            return b"x" if self.left >= 0 else b""

    source: Any = {"generator": generator, "iterator": Iterates, "file": Reads}[kind]()

    async def main() -> None:
        async for _ in pieces_of(source, pool, Turns(log, ends=ends, waits=waits)):
            log.append("piece")

    anyio.run(main)
    assert log == (["turn"] * given + ["piece"]) * 3


@pytest.mark.parametrize("make", [bytes, bytearray])
def test_long_pieces_are_cut(pool: WorkerPool, make: Callable[[bytes], bytes]) -> None:
    """What looks for a header takes the beginning of a stream, not all of what came with it."""
    given, got = make(bytes(range(256)) * 40_000), list[bytes]()

    async def main() -> None:
        async for piece in pieces_of([b"", given], pool, Turns([], ends=math.inf, waits=False)):
            got.append(bytes(piece))

    anyio.run(main)
    assert b"".join(got) == given
    assert max(map(len, got)) == SLICE_BYTES


class _AtOnce:
    """Makes the calls when they are added."""

    most_helpers = 1

    def __init__(self, _pool: WorkerPool, turns: Turns) -> None:
        self._log, self._done = turns.log, list[Done]()

    def __len__(self) -> int:
        return len(self._done)

    def add(self, function: Callable[[], Done]) -> None:
        self._done.append(function())

    def results(self) -> Iterator[Done]:
        while self._done:
            yield self._done.pop(0)

    async def reach_first(self) -> None:
        pass

    def drop(self) -> None:
        pass


@CASES
def test_before_chunks_are_cut_and_before_a_short_last_one(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, ends: float, waits: bool, given: bool
) -> None:
    monkeypatch.setattr(pipeline, "SharedWork", _AtOnce)
    log = list[str]()

    def work(first: int, chunks: list[Parts], *, last: bool) -> Done:
        log.append("last" if last else "chunk")
        return Done([b""] * len(chunks), None)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(1000)

    async def main() -> None:
        results = carry(pieces(), b"", 1000, work, pool, Turns(log, ends=ends, waits=waits))
        assert [each async for each in results] == [b""] * 3

    anyio.run(main)
    turn = ["turn"] * given
    assert log == [*turn, "chunk", *turn, "chunk", *turn, "last"]


@CASES
def test_before_the_event_loop_makes_a_call(pool: WorkerPool, ends: float, waits: bool, given: bool) -> None:
    log, go_on = list[str](), threading.Event()

    async def main() -> None:
        busy = pool.start(go_on.wait)  # the only thread
        shared: SharedWork[None] = SharedWork(pool, Turns(log, ends=ends, waits=waits, again=False))
        shared.add(lambda: log.append("call"))
        await shared.reach_first()
        assert log == ["turn"] * given + ["call"]
        go_on.set()
        await busy.outcome(shield=True)

    anyio.run(main)
