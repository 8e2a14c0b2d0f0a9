"""Workers that get no memory for a moment, outside of the calls that they make: no result is lost for it."""

import asyncio
import contextlib

import pytest

from huks_async.runtime.batches import BatchWorker
from huks_async.runtime.jobs import Home, Job
from huks_async.runtime.workers import Desk, WorkerPool

OUT, ODD = MemoryError(), LookupError("odd")
STEPS = [
    *((Desk, "count", -1, error) for error in (OUT, ODD)),
    *(
        (Job, name, None, error)
        for name in ("take", "execute", "settle", "settle_late")
        for error in (OUT, ODD)
    ),
    # only memory is expected to come back
    (Home, "hand_in", None, OUT),
    (Home, "_post_once", None, OUT),
    (Job, "wake", None, OUT),
]


def fail_once(patch, owner, name, argument, error):
    """Let the next call of a method fail before it begins; return the calls that failed."""
    whole, failed = getattr(owner, name), []

    def method(self, *args):
        if not failed and argument in {None, *args}:
            failed.append(args)
            raise error
        return whole(self, *args)

    patch.setattr(owner, name, method)
    return failed


@pytest.fixture(params=["pool", "batch"])
def call(request):
    """Make a call in a worker that has begun."""
    worker = (
        WorkerPool(1) if request.param == "pool" else BatchWorker(lambda begin, _: [len(r) for r in begin()])
    )
    args = (len, "abc") if request.param == "pool" else ("abc",)
    yield worker, lambda: worker.run(*args)
    worker.close()


@pytest.mark.parametrize(
    ("owner", "name", "argument", "error"), STEPS, ids=[f"{step[1]} {step[3]!r}" for step in STEPS]
)
@pytest.mark.asyncio
async def test_a_step_that_fails_once_loses_no_result(monkeypatch, call, owner, name, argument, error):
    """The call gives its result or the error, the next one its result, and none counts as unfinished."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    worker, run = call
    assert await run() == 3
    with monkeypatch.context() as patch:
        if name == "settle_late":
            fail_once(patch, Desk, "count", -1, MemoryError())
        fail_once(patch, owner, name, argument, error)
        with contextlib.suppress(type(error)):
            assert await run() == 3
    assert await run() == 3
    assert (worker.active, worker.threads) == (0, 1)


@pytest.mark.asyncio
async def test_a_queue_that_fails_once_ends_no_worker(monkeypatch, call):
    """It is asked again."""
    worker, run = call
    assert await run() == 3

    class Queue:
        def __init__(self, queue):
            self.queue, self.put = queue, queue.put

        def get(self):
            worker._desk.jobs = self.queue
            asked.append(1)
            raise MemoryError

        get_nowait = get

    old = worker._desk.jobs
    worker._desk.jobs = Queue(old)
    asked = []
    first, second = asyncio.ensure_future(run()), asyncio.ensure_future(run())
    assert await asyncio.gather(first, second, return_exceptions=True) == [3, 3]
    assert asked == [1]
    assert await run() == 3
    assert worker.active == 0


@pytest.mark.asyncio
async def test_a_loop_that_loses_a_call_is_told_again(monkeypatch, call):
    """By the next result, when it has been waited for long."""
    monkeypatch.setattr("huks_async.runtime.jobs._LOST", 0.02)
    worker, run = call
    assert await run() == 3
    posted, post = [], worker._home.post
    worker._home.post = posted.append
    lost = asyncio.ensure_future(run())
    while not posted:
        await asyncio.sleep(0.001)
    worker._home.post = post
    await asyncio.sleep(0.05)
    assert not lost.done()
    assert await run() == 3
    assert await lost == 3


@pytest.mark.asyncio
async def test_results_that_come_together_are_all_handed_in_late(monkeypatch):
    """None of a batch is left out."""
    worker = BatchWorker(lambda begin, _: [len(r) for r in begin()])
    assert await worker.run("a") == 1
    with monkeypatch.context() as patch:
        failed = fail_once(patch, Desk, "count", -5, MemoryError())
        jobs = [worker.start("ab") for _ in range(5)]
        assert await asyncio.gather(*(job.outcome(shield=True) for job in jobs)) == [2] * 5
    assert worker.active == 0
    assert len(failed) <= 1
    worker.close()
