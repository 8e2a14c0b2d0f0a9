"""Worker threads: results, order, cancellation, endings."""

import asyncio
import contextlib
import gc
import math
import os
import subprocess
import sys
import threading
import time
import weakref

import anyio
import anyio.lowlevel
import pytest

from huks_async.model.errors import BusinessError
from huks_async.runtime.batches import BatchWorker
from huks_async.runtime.stops import StoppedError
from huks_async.runtime.workers import SerialWorker, WorkerPool
from tests.garbage import collect_until
from tests.threads import threads_begun

BACKENDS = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param(("trio", {}), id="trio"),
]


@pytest.fixture(params=BACKENDS)
def run(request):
    """Run an async function without arguments on each kind of event loop."""
    backend, options = request.param
    if options or backend == "trio":
        pytest.importorskip("uvloop" if options else "trio")
    return lambda function: anyio.run(function, backend=backend, backend_options=options)


def wait_until(condition):
    while not condition():  # the time limit of the test ends this
        time.sleep(0.001)


class Gate:
    """A job that tells when it runs and runs until it is let go."""

    def __init__(self):
        self.entered = threading.Event()
        self.open = threading.Event()
        self.left = threading.Event()

    def __call__(self):
        self.entered.set()
        assert self.open.wait(120)
        self.left.set()
        return "through"


async def until(condition):
    """Wait for what other threads do, which no event of the loop can tell."""
    condition = getattr(condition, "is_set", condition)
    while not condition():
        await anyio.sleep(0.001)


def test_a_call_runs_in_another_thread_and_gives_its_result(run):
    """The result of the function comes back, and the function ran in a thread of the pool."""
    pool = WorkerPool(2, name="pool-result")

    async def main():
        assert await pool.run(divmod, 17, 5) == (3, 2)
        assert (await pool.run(threading.current_thread)).name == "pool-result-1"
        assert (await pool.run_shielded(threading.current_thread)).name == "pool-result-1"

    run(main)
    pool.close()


def test_an_exception_is_raised_from_the_await(run):
    """What the function raises is raised to the caller, and the worker lives on."""
    pool = WorkerPool(1)

    async def main():
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 1, 0)
        with pytest.raises(SystemExit):
            await pool.run(sys.exit, 3)
        assert await pool.run(len, "abc") == 3

    run(main)
    pool.close()


@pytest.mark.parametrize("method", ["run", "run_shielded"])
def test_a_call_cancelled_before_it_began_is_dropped(run, method):
    """A job that waits in the queue does not run when its await was cancelled."""
    pool, gate, ran = WorkerPool(1), Gate(), []

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.run, gate)
            await until(gate.entered)
            async with anyio.create_task_group() as dropped:
                dropped.start_soon(getattr(pool, method), ran.append, 1)
                await until(lambda: pool.active == 2)
                dropped.cancel_scope.cancel()
            gate.open.set()
        assert await pool.run(len, "ab") == 2
        assert ran == []
        assert pool.active == 0

    run(main)
    pool.close()


def test_a_running_call_that_is_cancelled_ends_in_the_background(run):
    """The await ends at once, the job ends later, and its result disturbs nobody."""
    pool, gate = WorkerPool(1), Gate()

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.run, gate)
            await until(gate.entered)
            tasks.cancel_scope.cancel()
        assert not gate.left.is_set()
        assert pool.active == 1
        gate.open.set()
        assert await pool.run(len, "abc") == 3
        assert gate.left.is_set()

    run(main)
    pool.close()


def test_a_shielded_call_ends_before_its_cancellation_goes_on(run):
    """A cancelled scope around a shielded call ends only after the job."""
    pool, gate = WorkerPool(1), Gate()

    async def open_later():
        for _ in range(20):  # the cancellation arrives meanwhile
            await anyio.lowlevel.checkpoint()
        gate.open.set()

    async def main():
        async with anyio.create_task_group() as others:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pool.run_shielded, gate)
                await until(gate.entered)
                others.start_soon(open_later)
                tasks.cancel_scope.cancel()
            assert gate.left.is_set()

    run(main)
    pool.close()


@pytest.mark.parametrize("shield", [True, False])
def test_a_job_is_dropped_after_its_wait_was_cancelled(run, shield):
    """Dropping ends at once if the job never began, and at the job's end if it did; whatever the wait did before."""
    pool = WorkerPool(1)

    async def main():
        gate, ran = Gate(), []
        running = pool.start(gate)
        await until(gate.entered)
        waiting = pool.start(ran.append, 1)

        async def wait():
            await waiting.outcome(shield=shield)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        for _ in range(2):
            dropping = waiting.drop()
            with pytest.raises(StopIteration):  # it has nothing to wait for
                dropping.send(None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.drop)
            await anyio.wait_all_tasks_blocked()
            assert not gate.left.is_set()
            gate.open.set()
        assert gate.left.is_set()
        await running.drop()
        await pool.run(len, "")
        assert ran == []
        assert pool.active == 0

    run(main)
    pool.close()


@pytest.mark.asyncio
async def test_a_cancellation_while_a_job_is_dropped_is_raised_at_its_end():
    """Task.cancel() is not lost, and does not end the wait before the job."""
    pool, gate = WorkerPool(1), Gate()
    job = pool.start(gate)
    await until(gate.entered)
    task = asyncio.create_task(job.drop())
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.left.is_set()
    pool.close()


@pytest.mark.asyncio
async def test_a_shielded_call_withstands_several_task_cancellations():
    """Task.cancel() given again and again is raised once, after the job has ended."""
    pool, gate = WorkerPool(1), Gate()
    task = asyncio.create_task(pool.run_shielded(gate))
    await until(gate.entered)
    for _ in range(5):
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.left.is_set()
    pool.close()


def test_a_serial_worker_keeps_the_order(run):
    """Calls of many tasks run one after the other as they came."""
    worker, seen = SerialWorker(), []

    async def main():
        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(worker.run, seen.append, number)
        assert sorted(seen) == list(range(200))
        assert worker.threads == 1

    run(main)
    worker.close()
    seen.clear()

    async def one_task():
        jobs = [asyncio.ensure_future(again.run(seen.append, number)) for number in range(200)]
        await asyncio.gather(*jobs)

    again = SerialWorker()
    asyncio.run(one_task())
    again.close()
    assert seen == list(range(200))


def test_threads_start_when_they_are_needed(run):
    """No thread at first, one for calls in a row, and never more than the size for calls at once."""
    pool = WorkerPool(3)
    gates = [Gate() for _ in range(5)]

    async def main():
        assert pool.threads == 0
        for _ in range(20):
            await pool.run(len, "")
        assert pool.threads == 1
        async with anyio.create_task_group() as tasks:
            for gate in gates:
                tasks.start_soon(pool.run, gate)
            await until(lambda: pool.active == 5)
            await until(lambda: sum(gate.entered.is_set() for gate in gates) >= 3)
            assert pool.threads == 3
            assert sum(gate.entered.is_set() for gate in gates) == 3
            for gate in gates:
                gate.open.set()
        assert pool.threads == 3
        assert pool.active == 0

    run(main)
    pool.close()


def test_closing_ends_the_threads_and_refuses_later_calls(run):
    """Waiting jobs are still done, later ones get a clear error, and a second close does nothing."""
    pool, gate, ran = WorkerPool(1, name="pool-closing"), Gate(), []

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.run, gate)
            await until(gate.entered)
            tasks.start_soon(pool.run, ran.append, 1)
            await until(lambda: pool.active == 2)
            pool.close()
            pool.close()
            with pytest.raises(BusinessError, match="'pool-closing' is closed") as caught:
                await pool.run(len, "")
            assert caught.value.code == 12000012
            gate.open.set()
        assert ran == [1]

    run(main)
    wait_until(lambda: not threads_begun("pool-closing"))


def test_a_pool_outlives_its_event_loop():
    """A job that ends after its loop was closed is forgotten, and the pool serves the next loop."""
    pool, gate = WorkerPool(1, name="pool-outlives"), Gate()

    async def leave():
        task = asyncio.create_task(pool.run(gate))
        await until(gate.entered)
        task.cancel()

    asyncio.run(leave())
    gate.open.set()
    wait_until(lambda: pool.active == 0)

    async def use():
        return await pool.run(len, "abcd")

    assert asyncio.run(use()) == 4
    pool.close()
    wait_until(lambda: not threads_begun("pool-outlives"))


def test_a_pool_serves_event_loops_in_several_threads():
    """Each result goes home to the loop that waits for it."""
    pool, found = WorkerPool(2), {}

    def loop(number):
        async def main():
            found[number] = [await pool.run(divmod, value, 7) for value in range(number, number + 100)]

        asyncio.run(main())

    threads = [threading.Thread(target=loop, args=(number,)) for number in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.close()
    assert found == {
        start: [divmod(value, 7) for value in range(start, start + 100)] for start in (0, 1000, 2000)
    }


def test_a_forgotten_pool_lets_its_threads_end():
    """Without close, the threads end when nobody holds the pool any more."""
    pool = WorkerPool(2, name="pool-forgotten")

    async def use(pool):
        await asyncio.gather(*(pool.run(time.sleep, 0.01) for _ in range(2)))

    asyncio.run(use(pool))
    assert threads_begun("pool-forgotten")
    gone = weakref.ref(pool)
    del pool
    collect_until(lambda: gone() is None)
    wait_until(lambda: not threads_begun("pool-forgotten"))


@pytest.mark.asyncio
async def test_no_result_or_error_is_kept_alive():
    """After the await nothing of a call remains, without the help of the cycle collector."""

    class Payload:
        pass

    def give(payload):
        return payload

    def fail(payload):
        raise ValueError(payload)

    async def lost(function):
        payload = Payload()
        gone = weakref.ref(payload)
        with contextlib.suppress(ValueError):
            await pool.run(function, payload)
        return gone

    pool = WorkerPool(1)
    gc.collect()
    gc.disable()
    try:
        for function in (give, fail):
            gone = await lost(function)
            wait_until(lambda gone=gone: gone() is None)
    finally:
        gc.enable()
        pool.close()


@pytest.mark.asyncio
async def test_results_that_arrive_together_share_one_wake_up(monkeypatch):
    """While the loop is busy, a hundred finished jobs call it once."""
    monkeypatch.setattr("huks_async.runtime.jobs._LOST", math.inf)  # however long the jobs take
    loop = asyncio.get_running_loop()
    real, calls = loop.call_soon_threadsafe, []

    def counting(callback, *args, **kwargs):
        calls.append(callback)
        return real(callback, *args, **kwargs)

    loop.call_soon_threadsafe = counting
    pool = SerialWorker()
    tasks = [asyncio.ensure_future(pool.run(int, str(number))) for number in range(100)]
    await asyncio.sleep(0)
    while len(pool._home._finished) < 100:
        time.sleep(0.001)  # noqa: ASYNC251 - the loop is to be busy
    assert await asyncio.gather(*tasks) == list(range(100))
    assert len(calls) == 1
    pool.close()


def test_a_batch_worker_takes_all_that_wait_at_once(run):
    """Requests that wait while a batch is handled make up the next one; errors go to their request."""
    gate, batches = Gate(), []

    def handle(begin, _):
        requests = begin()
        batches.append(requests)
        if requests == ["first"]:
            gate()
        if "fatal" in requests:
            raise OSError("all")
        return [ValueError(request) if request == 3 else request * 2 for request in requests]

    worker = BatchWorker(handle)
    outcomes = {}

    async def ask(request):
        try:
            outcomes[request] = await worker.run(request)
        except (ValueError, OSError) as error:
            outcomes[request] = repr(error)

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "first")
            await until(gate.entered)
            for number in range(5):
                tasks.start_soon(ask, number)
            async with anyio.create_task_group() as dropped:
                dropped.start_soon(worker.run, "dropped")
                await until(lambda: worker.active == 7)
                dropped.cancel_scope.cancel()
            gate.open.set()
        assert len(batches) == 2
        assert sorted(batches[1]) == list(range(5))
        assert outcomes == {"first": "firstfirst", 0: 0, 1: 2, 2: 4, 3: "ValueError(3)", 4: 8}
        await ask("fatal")
        assert outcomes["fatal"] == "OSError('all')"
        assert worker.active == 0

    run(main)
    worker.close()


def test_requests_can_be_dropped_until_their_batch_begins(run):
    """What was dropped is not handled, and the others of the batch are; one that nobody waits for is told so."""
    waits, seen, told = [Gate(), Gate(), Gate()], [], []

    def handle(begin, check):
        waits[len(seen)]()
        try:
            check()
        except StoppedError:
            told.append(True)
        seen.append(begin())
        return [request * 2 for request in begin()]

    worker = BatchWorker(handle)
    outcomes = []

    async def ask(request):
        outcomes.append(await worker.run(request))

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, 0)
            await until(waits[0].entered)
            tasks.start_soon(ask, 1)
            async with anyio.create_task_group() as dropped:
                dropped.start_soon(worker.run, 2)
                await until(lambda: worker.active == 3)
                waits[0].open.set()
                await until(waits[1].entered)
                dropped.cancel_scope.cancel()
            waits[1].open.set()
        async with anyio.create_task_group() as dropped:
            dropped.start_soon(worker.run, 3)
            await until(waits[2].entered)
            dropped.cancel_scope.cancel()
        waits[2].open.set()
        await until(lambda: worker.active == 0)
        assert (seen, told, sorted(outcomes)) == ([[0], [1], []], [True], [0, 2])

    run(main)
    worker.close()


def test_a_last_call_comes_after_all_that_wait():
    """finish() closes the crew and runs its call at the end, though the await is cancelled."""
    gate, seen = Gate(), []

    def handle(begin, _):
        requests = begin()
        gate()
        seen.extend(requests)
        return requests

    worker = BatchWorker(handle, name="pool-finish")

    async def main():
        task = asyncio.create_task(worker.run(1))
        await until(gate.entered)
        last = asyncio.create_task(worker.finish(lambda: seen.append("end")).outcome(shield=True, drop=False))
        await asyncio.sleep(0)
        last.cancel()
        gate.open.set()
        with pytest.raises(asyncio.CancelledError):
            await last
        assert await task == 1
        assert seen == [1, "end"]

    asyncio.run(main())
    wait_until(lambda: not threads_begun("pool-finish"))


FORK = """
import asyncio, os, sys
from huks_async.model.errors import BusinessError
from huks_async.runtime.workers import WorkerPool

pool = WorkerPool(1)
asyncio.run(pool.run(len, "abc"))
child = os.fork()
if child == 0:
    try:
        asyncio.run(pool.run(len, "abc"))
    except BusinessError as error:
        pool.close()
        fresh = WorkerPool(1)
        assert asyncio.run(fresh.run(len, "abcd")) == 4
        os._exit(0 if error.code == 12000012 and "forked" in error.message else 1)
    os._exit(2)
_, status = os.waitpid(child, 0)
assert asyncio.run(pool.run(len, "ab")) == 2
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_pool_is_refused_in_a_forked_child():
    """The child gets a clear error and can make a pool of its own; the parent's goes on."""
    # from 3.12 on the interpreter warns about any fork beside threads, which is what is tried here
    quiet = ["-W", "ignore:This process:DeprecationWarning"]
    # in debug mode asyncio tells of steps that were slow, as a fork is on a busy machine
    calm = {**os.environ, "PYTHONASYNCIODEBUG": ""}
    done = subprocess.run(
        [sys.executable, *quiet, "-c", FORK], timeout=120, capture_output=True, text=True, env=calm
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_crew_needs_a_thread():
    """A size below one is a programmer's error."""
    with pytest.raises(ValueError, match="at least 1"):
        WorkerPool(0)
