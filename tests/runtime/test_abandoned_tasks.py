"""Tasks that nobody keeps: the garbage collector may end one at any allocation, in any thread, whatever it holds."""

import asyncio
import gc
import threading
from contextlib import suppress

import pytest

from huks_async.model.errors import BusinessError
from huks_async.providers.pkcs11 import token
from huks_async.runtime import daemons, workers
from huks_async.sessions.pressure import closing
from tests.threads import threads_begun


@pytest.fixture
def lose(monkeypatch):
    """Have an abandoned task end, with what it does at that, while something is made: a thread of a worker pool."""

    async def abandoned(at_its_end):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await at_its_end()

    async def lost(at_its_end, module=workers, name="DaemonThread"):
        asyncio.create_task(abandoned(at_its_end))  # noqa: RUF006 - it is to be lost
        await asyncio.sleep(0)
        whole = getattr(module, name)

        def collecting(*args, **kwargs):
            monkeypatch.setattr(module, name, whole)
            gc.collect()
            return whole(*args, **kwargs)

        monkeypatch.setattr(module, name, collecting)

    return lost


def completes(main):
    """Run it without other garbage collections, in a thread that may be left behind."""
    done = []
    thread = threading.Thread(target=lambda: done.append(asyncio.run(main())), daemon=True)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        thread.start()
        thread.join(120)
    finally:
        if was_enabled:
            gc.enable()
    return done


def test_one_that_works_in_a_thread_at_its_end_takes_the_pool_from_nobody(lose):
    """Its call is made, although the pool is just making a thread for another one."""
    calls = []

    async def main():
        pool = workers.WorkerPool(2, name="lost")

        async def at_its_end():
            pool.start(calls.append, "lost")  # it may not wait

        await lose(at_its_end)
        await pool.run(calls.append, "kept")
        while len(calls) < 2:
            await asyncio.sleep(0.001)
        pool.close()
        return sorted(calls)

    assert completes(main) == [["kept", "lost"]]


def test_one_that_works_in_a_thread_at_its_end_gives_the_pool_no_thread_too_many(lose):
    """A pool of one thread goes on making its calls one after the other."""
    calls = []

    async def main():
        pool = workers.SerialWorker(name="huks-lost")

        async def at_its_end():
            pool.start(calls.append, "lost")  # it may not wait

        await lose(at_its_end)
        await pool.run(calls.append, "kept")
        begun = len(threads_begun("huks-lost"))
        await pool.finish(list).outcome(shield=True)
        return sorted(calls), begun, pool.threads

    assert completes(main) == [(["kept", "lost"], 1, 1)]


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize(
    "made",
    [(workers.Desk, "count"), (workers, "DaemonThread"), (daemons._Beginning, "tell")],
    ids=["before its thread", "during its thread", "in its thread"],
)
def test_one_that_closes_a_pool_at_its_end_leaves_no_thread(lose, size, made):
    """The call for which the thread was being made is refused, as after any closing."""
    calls = []

    async def main():
        pool = workers.WorkerPool(size, name="huks-lost")

        async def at_its_end():
            pool.close()

        await lose(at_its_end, *made)
        with pytest.raises(BusinessError, match="is closed") as caught:
            await pool.run(calls.append, "refused")
        while threads_begun("huks-lost"):
            await asyncio.sleep(0.001)
        return caught.value.code, calls, pool.active

    assert completes(main) == [(12000012, [], 0)]


@pytest.mark.parametrize(
    "made", [(workers, "DaemonThread"), (daemons._Beginning, "tell")], ids=["thread", "its first step"]
)
def test_one_that_closes_a_sensor_at_its_end_keeps_no_other_open(lose, made):
    """Both are closed, and the threads for that end, also where the collector runs in the new thread."""
    calls = []

    async def main():
        async def at_its_end():
            await closing.close_later(lambda: calls.append("lost"))

        await lose(at_its_end, *made)
        await closing.close_later(lambda: calls.append("kept"))
        while len(calls) < 2 or closing._pool is not None:
            await asyncio.sleep(0.001)
        return sorted(calls)

    assert completes(main) == [["kept", "lost"]]


@pytest.mark.parametrize(
    "made", [(workers, "DaemonThread"), (token, "SerialWorker")], ids=["thread", "worker"]
)
def test_one_that_calls_a_token_at_its_end_shares_its_thread(lose, monkeypatch, made):
    """Both calls are made, in one thread."""
    calls = []
    monkeypatch.setattr(token.Token, "_call", lambda self, work: calls.append((work, threading.get_ident())))

    async def main():
        one = token.Token("nowhere", "lost")
        one.join()

        async def at_its_end():
            one._submit("lost")  # it may not wait

        await lose(at_its_end, *made)
        await one.run("kept")
        while len(calls) < 2:
            await asyncio.sleep(0.001)
        one.leave()
        return sorted(work for work, _ in calls), len({thread for _, thread in calls})

    assert completes(main) == [(["kept", "lost"], 1)]


@pytest.mark.parametrize("leaves", [False, True], ids=["calls", "leaves"])
def test_one_that_ends_in_the_thread_of_a_token_before_its_first_step_stops_nobody(lose, monkeypatch, leaves):
    """Whoever waits for the thread holds no lock that the task's last steps need."""
    calls = []
    monkeypatch.setattr(token.Token, "_call", lambda self, work: calls.append(work))

    async def main():
        one = token.Token("nowhere", "lost")
        one.join()

        async def at_its_end():
            if leaves:
                one.leave()
            else:
                with suppress(Exception):  # no event loop runs there
                    await one.run("lost")

        await lose(at_its_end, daemons._Beginning, "tell")
        await one.run("kept")
        one.leave()
        while threads_begun("huks-token-lost"):
            await asyncio.sleep(0.001)
        return calls, one._worker

    assert completes(main) == [(["kept"], None)]
