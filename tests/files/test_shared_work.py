"""Calls shared by threads and the event loop: all are made once, and their results come in order."""

import asyncio
import gc
import random
import threading
import time
import weakref
from collections.abc import Iterator
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from huks_async.files import shared_work
from huks_async.files.shared_work import SharedWork
from huks_async.model.errors import BusinessError
from huks_async.runtime.workers import WorkerPool

LOOPS = [("asyncio", {}), ("asyncio", {"use_uvloop": True}), ("trio", {})]


class Turns:
    """Lets other tasks run every half millisecond."""

    turn_ends = 0.0

    def is_due(self) -> bool:
        return True

    async def give_turn(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.turn_ends = time.perf_counter() + 0.0005


def busy(seconds: float) -> None:
    """Use the processor, with the interpreter's lock."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(2)
    yield pool
    pool.close()


def shared_by(pool: WorkerPool) -> SharedWork[int]:
    return SharedWork(pool, Turns())


async def all_of(shared: SharedWork[int]) -> list[int]:
    results: list[int] = []
    while shared:
        await shared.reach_first()
        results.extend(shared.results())
    return results


@pytest.mark.parametrize(("loop", "settings"), LOOPS)
@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_results_come_in_order(loop: str, settings: dict[str, bool], size: int, seed: int) -> None:
    """Calls of all lengths, taken as a stream takes them, in several queues that share the threads."""
    pytest.importorskip("uvloop" if settings else loop)
    made: list[tuple[int, int]] = []

    def call(queue: int, number: int, kind: int) -> int:
        if kind == 1:
            time.sleep(0.0005)
        elif kind == 2:
            busy(0.0012)
        made.append((queue, number))
        return number

    async def stream(pool: WorkerPool, queue: int) -> None:
        drawn = random.Random(f"{seed} {queue}")
        shared, results, most = shared_by(pool), list[int](), drawn.randint(1, 6)
        for number in range(60):
            shared.add(partial(call, queue, number, drawn.choice((0, 0, 0, 1, 2))))
            if len(shared) >= most:
                await shared.reach_first()
            results.extend(shared.results())
            if drawn.random() < 0.1:
                await anyio.sleep(0.001)
        results += await all_of(shared)
        assert results == list(range(60))

    async def main() -> None:
        pool = WorkerPool(size)
        async with anyio.create_task_group() as tasks:
            for queue in range(4):
                tasks.start_soon(stream, pool, queue)
        pool.close()

    anyio.run(main, backend=loop, backend_options=settings)
    assert sorted(made) == [(queue, number) for queue in range(4) for number in range(60)]


@pytest.mark.asyncio
async def test_the_event_loop_makes_calls_while_the_threads_are_busy(pool: WorkerPool) -> None:
    """A stream goes on when all threads of the pool do something else."""
    go_on = threading.Event()
    others = [pool.start(go_on.wait) for _ in range(2)]
    shared = shared_by(pool)
    for _ in range(5):
        shared.add(threading.get_ident)
    assert await all_of(shared) == [threading.get_ident()] * 5
    go_on.set()
    for other in others:
        await other.outcome(shield=True)


async def idle_loop(shared: SharedWork[int]) -> None:
    """Have the event loop make no more calls itself."""
    while shared._dear < shared_work._MOST_DEAR:
        for _ in range(4):
            shared.add(partial(busy, 2 * shared_work._DEAR_SECONDS))  # type: ignore[arg-type]
        await all_of(shared)


@pytest.mark.asyncio
async def test_dear_calls_leave_the_event_loop_alone(pool: WorkerPool) -> None:
    """The loop makes a few calls that take long, and then leaves them to the threads."""
    shared = shared_by(pool)
    await idle_loop(shared)
    for _ in range(30):
        shared.add(threading.get_ident)
    assert threading.get_ident() not in await all_of(shared)


@pytest.mark.asyncio
async def test_a_result_is_noticed_while_the_thread_goes_on(pool: WorkerPool) -> None:
    shared, first, second = shared_by(pool), threading.Event(), threading.Event()
    await idle_loop(shared)
    shared.add(first.wait)
    shared.add(second.wait)
    asyncio.get_running_loop().call_later(0.02, first.set)
    await shared.reach_first()
    assert list(shared.results()) == [True]
    second.set()
    assert await all_of(shared) == [True]


@pytest.mark.asyncio
async def test_more_threads_come_when_calls_pile_up() -> None:
    pool = WorkerPool(5)
    shared, meeting = shared_by(pool), threading.Barrier(3)
    await idle_loop(shared)
    for _ in range(9):
        shared.add(meeting.wait)
    assert sorted(await all_of(shared)) == sorted([0, 1, 2] * 3)
    assert pool.threads >= 3
    pool.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("is_late", [False, True])
async def test_a_thread_leaves_for_others_and_comes_back(
    is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other work of the pool is done before a long queue is, and the queue is done to its end afterwards."""
    pool = WorkerPool(1)
    shared, made = shared_by(pool), list[str]()
    await idle_loop(shared)

    queued = threading.Event()

    def call() -> int:
        queued.wait()
        time.sleep(0.001)
        made.append("call")
        return 1

    if is_late:  # so that the task waits for the next call already when the thread leaves
        take = SharedWork._next

        def take_late(shared: SharedWork[int], calls: int) -> object:
            time.sleep(0.003)
            return take(shared, calls)

        monkeypatch.setattr(SharedWork, "_next", take_late)
    for _ in range(100):
        shared.add(call)
    other = pool.start(made.append, "other")
    queued.set()
    assert await all_of(shared) == [1] * 100
    await other.outcome(shield=True)
    assert made.index("other") <= 8
    pool.close()


@pytest.mark.asyncio
async def test_an_exception_comes_in_its_place(pool: WorkerPool) -> None:
    """The results before it come first; what stands behind it can be dropped."""

    def fail(number: int) -> int:
        raise ZeroDivisionError(number)

    shared = shared_by(pool)
    for number in range(10):
        shared.add(partial(fail if number in (4, 6) else abs, number))
    results: list[int] = []
    with pytest.raises(ZeroDivisionError, match="4"):
        while shared:
            await shared.reach_first()
            for result in shared.results():
                results.append(result)
    assert results == [0, 1, 2, 3]
    shared.drop()
    assert not shared


@pytest.mark.asyncio
async def test_nothing_keeps_a_failed_call_alive(pool: WorkerPool) -> None:
    class Data:
        pass

    def fail(data: Data) -> int:
        raise ZeroDivisionError

    gc.disable()
    try:
        for _ in range(10):
            data = Data()
            seen = weakref.ref(data)
            shared = shared_by(pool)
            shared.add(partial(fail, data))
            del data
            await shared.reach_first()
            try:
                list(shared.results())
            except ZeroDivisionError:
                pass
            else:
                pytest.fail("the call's error was lost")
            while seen() is not None:  # the thread may still be on its way out of the call
                await anyio.sleep(0.001)
    finally:
        gc.enable()


@pytest.mark.asyncio
async def test_cancelled_while_it_waits(pool: WorkerPool) -> None:
    """The wait ends at once, calls that have not begun are not made, and the pool is free afterwards."""
    go_on, begun = threading.Event(), threading.Event()
    made: list[int] = []

    def hold() -> int:
        begun.set()
        go_on.wait()
        return 0

    shared = shared_by(pool)
    shared.add(hold)
    await anyio.to_thread.run_sync(begun.wait)
    with anyio.move_on_after(0.05) as scope:
        await shared.reach_first()
    assert scope.cancelled_caught
    shared.add(partial(made.append, 1))  # type: ignore[arg-type]
    shared.drop()
    go_on.set()
    while pool.active:
        await anyio.sleep(0.001)
    assert made == []


@pytest.mark.asyncio
async def test_a_closed_pool_takes_no_calls(pool: WorkerPool) -> None:
    """The event loop makes those that were added before, where no thread has begun one: nobody waits for a thread then."""
    go_on = threading.Event()
    others = [pool.start(go_on.wait) for _ in range(2)]
    shared = shared_by(pool)
    shared.add(int)
    pool.close()
    with pytest.raises(BusinessError, match="closed") as caught:
        shared.add(int)
    assert caught.value.code == 12000012
    assert await all_of(shared) == [0]
    go_on.set()
    for other in others:
        await other.outcome(shield=True)
