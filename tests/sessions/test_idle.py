"""The idle limit's timer: it sleeps until the next session is due, and never looks about without need."""

import anyio
import pytest

import huks_async as huks
from huks_async.crypto.operation import Operation
from huks_async.model.limits import Limits
from huks_async.sessions.idle import end_idle_sessions
from huks_async.sessions.table import SessionTable
from tests import loops
from tests.adversity import support


class Slept(Exception):
    """Ends the timer after the sleeps that a test wants to see."""


class Time:
    """A clock and a sleep that know no waiting; `plan` happens at given sleeps."""

    def __init__(self, sleeps, plan=None):
        self.now = 0.0
        self.slept = []
        self.most = sleeps
        self.plan = plan or {}

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        assert seconds > 0
        self.slept.append(round(seconds, 1))
        self.now += seconds
        if len(self.slept) in self.plan:
            self.plan[len(self.slept)]()
        if len(self.slept) >= self.most:
            raise Slept


async def timer(time, table):
    with pytest.raises(Slept):
        await end_idle_sessions(table, 60.0, sleep=time.sleep)


@pytest.mark.asyncio
async def test_the_timer_sleeps_as_long_as_it_may():
    """With nothing open the whole limit; with sessions until the first is due; a use puts it off."""
    time = Time(5)
    table = SessionTable(Limits(max_idle=60.0), time)
    await timer(time, table)
    assert time.slept == [60.0] * 5

    time = Time(4)
    table = SessionTable(Limits(max_idle=60.0), time)
    first = table.open("app", Operation())
    time.now = 20.0
    table.open("app", Operation())
    time.now = 30.0
    table.give_back(table.take(first.handle, "app"))
    await timer(time, table)
    # the second is due at 80, the first at 90
    assert time.slept[:3] == [50.0, 10.0, 60.0]
    assert len(table) == 0
    assert table.counts.purged == {"timed out": 2}


@pytest.mark.asyncio
async def test_a_session_in_a_call_is_not_due():
    """It counts as used as long as the call runs."""
    time = Time(3)
    table = SessionTable(Limits(max_idle=60.0), time)
    session = table.open("app", Operation())
    table.take(session.handle, "app")
    await timer(time, table)
    assert len(table) == 1
    assert min(time.slept) == 60.0


@pytest.mark.asyncio
async def test_many_due_sessions_end_in_batches():
    """Other tasks run in between."""
    time = Time(1)
    table = SessionTable(Limits(max_idle=60.0), time)
    for _ in range(5000):
        table.open("app", Operation())
    time.now = 61.0
    seen = []

    async def watch():
        while True:
            seen.append(len(table))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await anyio.lowlevel.checkpoint()
        await timer(time, table)
        tasks.cancel_scope.cancel()
    assert len(table) == 0
    assert len({count for count in seen if 0 < count < 5000}) >= 10


@pytest.mark.parametrize("loop", loops.LOOPS)
def test_a_keystore_ends_idle_sessions_by_itself(loop):
    """Without a call, without a shortage of memory, and on_purge is told."""
    run, told = loops.runner(loop), []

    async def main():
        limits = huks.Limits(max_idle=0.05)
        async with huks.Keystore.open(
            "memory:", monitor=False, limits=limits, on_purge=told.append
        ) as keystore:
            await keystore.generateKeyItem("aes", support.AES_KEY)
            handle = (await keystore.initSession("aes", support.GCM_ENCRYPT)).handle
            with anyio.fail_after(120):
                while keystore.statistics().open:
                    await anyio.sleep(0.01)
            assert keystore.statistics().purged == {"timed out": 1}
            with pytest.raises(huks.BusinessError, match="it timed out after") as gone:
                await keystore.updateSession(handle, support.data(b"x"))
            assert gone.value.code == 12000011
        assert told == [1]

    run(main)
