"""Tasks that nobody keeps: the garbage collector may end one at any allocation, in any thread, whatever it holds."""

import asyncio
import gc
import threading

import pytest

from huks_async.runtime import workers
from huks_async.sessions.pressure import closing


@pytest.fixture
def lose(monkeypatch):
    """Have an abandoned task end, with what it does at that, while a thread of a worker pool is made."""

    class Collecting(workers.DaemonThread):
        def __init__(self, *args):
            monkeypatch.setattr(workers, "DaemonThread", workers.DaemonThread.__mro__[1])
            gc.collect()
            super().__init__(*args)

    async def abandoned(at_its_end):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await at_its_end()

    async def lost(at_its_end):
        asyncio.create_task(abandoned(at_its_end))  # noqa: RUF006 - it is to be lost
        await asyncio.sleep(0)
        monkeypatch.setattr(workers, "DaemonThread", Collecting)

    return lost


def completes(main):
    """Run it without other garbage collections, in a thread that may be left behind."""
    done = []
    thread = threading.Thread(target=lambda: done.append(asyncio.run(main())), daemon=True)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        thread.start()
        thread.join(20)
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


def test_one_that_closes_a_sensor_at_its_end_keeps_no_other_open(lose):
    """Both are closed, and the threads for that end."""
    calls = []

    async def main():
        async def at_its_end():
            await closing.close_later(lambda: calls.append("lost"))

        await lose(at_its_end)
        await closing.close_later(lambda: calls.append("kept"))
        while len(calls) < 2 or closing._pool is not None:
            await asyncio.sleep(0.001)
        return sorted(calls)

    assert completes(main) == [["kept", "lost"]]
