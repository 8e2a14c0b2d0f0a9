"""A keystore under a shortage of memory: who goes, who stays, what is told, and what the figures say."""

import anyio
import pytest

import huks_async as huks
from huks_async.sessions.pressure.base import PressureEvent, Sensor, SensorStatus
from tests.adversity import support
from tests.adversity.support import data


class Shortage(Sensor):
    """A sensor that a test plays: short of memory once, then not any more."""

    name = "played"

    def __init__(self):
        self.begin = anyio.Event()

    async def wait(self):
        await self.begin.wait()
        self.begin = anyio.Event()
        return PressureEvent(sensor=self.name, reason="played", at=0.0)

    def under_pressure(self):
        return False

    def status(self):
        return SensorStatus(self.name, "played", False)

    def close(self):
        pass


class Lasting(huks.RootKey):
    """A root key that outlives closing; wraps nothing."""

    key_id = "lasting"

    async def wrap(self, key):
        return key

    async def unwrap(self, wrapped):
        return wrapped


async def key(keystore):
    await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
    await keystore.importKeyItem("mac", support.imported(support.HMAC_KEY, support.KEY))


def test_a_shortage_ends_stale_sessions_and_no_other(run):
    """Stale ones go with the documented message, fresh and busy ones stay and work; on_purge is told."""
    clock, told, sensors = support.Clock(), [], []

    def sensor():
        sensors.append(Shortage())
        return sensors[-1]

    async def main():
        async with huks.Keystore.open(
            "memory:", clock=clock, sensor=sensor, on_purge=told.append
        ) as keystore:
            await key(keystore)
            stale = [(await keystore.initSession("aes", support.GCM_ENCRYPT)).handle for _ in range(700)]
            busy = (await keystore.initSession("mac", support.HMAC)).handle
            async with anyio.create_task_group() as tasks, support.workers_held(keystore):
                tasks.start_soon(keystore.updateSession, busy, data(bytes(6_000_000)))
                while not keystore.statistics().busy:
                    await anyio.lowlevel.checkpoint()
                clock.now += 61
                fresh = (await keystore.initSession("aes", support.GCM_ENCRYPT)).handle
                while not sensors:
                    await anyio.lowlevel.checkpoint()
                sensors[0].begin.set()
                with anyio.fail_after(120):
                    while sum(told) < 700:
                        await anyio.sleep(0.001)
            statistics = keystore.statistics()
            assert statistics.purged == {"purged on low memory": 700}
            assert (statistics.open, statistics.busy, statistics.stale) == (2, 0, 0)
            assert max(told) <= 250
            assert sum(told) == 700
            for handle in (stale[0], stale[-1]):
                with pytest.raises(huks.BusinessError, match="purged on low memory after 61 s idle") as gone:
                    await keystore.finishSession(handle, data(b""))
                assert gone.value.code == 12000011
            await keystore.finishSession(busy, data(b""))
            await keystore.finishSession(fresh, data(b""))

    run(main)


def test_statistics_are_right_in_every_situation(run):
    """Open, busy, stale, held, opened, finished, aborted, failed, purged, evicted, peaks."""
    clock = support.Clock()

    async def main():
        limits = huks.Limits(max_sessions=4, evict_oldest_idle=True)
        async with huks.Keystore.open("memory:", monitor=False, clock=clock, limits=limits) as keystore:
            await key(keystore)
            await keystore.generateKeyItem("rsa", support.RSA_KEY)
            first, second, third, fourth = [
                (await keystore.initSession("aes", support.GCM_ENCRYPT)).handle for _ in range(4)
            ]
            await keystore.finishSession(first, data(b""))
            await keystore.abortSession(second, support.NONE)
            with pytest.raises(huks.BusinessError):
                await keystore.abortSession(third, {"properties": [{"tag": 1, "value": 1}] * 2})
            for _ in range(4):
                await keystore.initSession("aes", support.GCM_ENCRYPT)
            statistics = keystore.statistics()
            assert statistics.opened == 8
            assert statistics.finished == statistics.aborted == statistics.failed == statistics.evicted == 1
            with pytest.raises(huks.BusinessError, match="evicted as the oldest"):
                await keystore.updateSession(fourth, data(b""))
            assert statistics.open == statistics.peak_open == 4
            clock.now += 61
            assert keystore.statistics().stale == 4
            assert await keystore.purge_stale_sessions() == 4
            assert keystore.statistics().purged == {"purged as stale by the service": 4}
            ccm = support.options(
                *[
                    (p.tag, huks.HuksCipherMode.HUKS_MODE_CCM if p.tag == huks.HuksTag.HUKS_TAG_BLOCK_MODE else p.value)
                    for p in support.GCM_ENCRYPT.properties
                ]
            )  # fmt: skip
            holding = (await keystore.initSession("aes", ccm)).handle
            await keystore.updateSession(holding, data(bytes(1000)))
            assert keystore.statistics().bytes_held == keystore.statistics().peak_bytes_held == 1000
            await keystore.finishSession(holding, data(b""))
            statistics = keystore.statistics()
            assert (statistics.bytes_held, statistics.peak_bytes_held) == (0, 1000)
            busy = (await keystore.initSession("mac", support.HMAC)).handle
            async with anyio.create_task_group() as tasks, support.workers_held(keystore):
                held = keystore.statistics().jobs
                tasks.start_soon(keystore.updateSession, busy, data(bytes(3_000_000)))
                while not keystore.statistics().busy:
                    await anyio.lowlevel.checkpoint()
                # the call may give a turn before it goes to a worker
                while keystore.statistics().jobs == held:
                    await anyio.lowlevel.checkpoint()
                assert (keystore.statistics().busy, keystore.statistics().jobs) == (1, held + 1)
            statistics = keystore.statistics()
            assert (statistics.busy, statistics.open) == (0, 1)
            assert statistics.cached_keys == 2
            with anyio.CancelScope() as scope:
                scope.cancel()
                await keystore.updateSession(busy, data(bytes(3_000_000)))
            failed = statistics.failed
            statistics = keystore.statistics()
            assert (statistics.open, statistics.failed) == (0, failed + 1)
            ended = statistics.finished + statistics.aborted + statistics.failed + statistics.evicted
            assert statistics.opened == ended + sum(statistics.purged.values())

    run(main)


def test_a_monitor_of_the_callers_own_ends_with_the_keystore(run):
    """monitor_low_memory in a task group returns when the keystore is closed, and not before."""
    sensors = []

    def sensor():
        sensors.append(Shortage())
        return sensors[-1]

    async def main():
        keystore = huks.Keystore.open("memory:", monitor=False, sensor=sensor)
        await keystore.aopen()
        ended = anyio.Event()

        async def watch():
            await keystore.monitor_low_memory()
            ended.set()

        with anyio.fail_after(120):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                while not sensors:
                    await anyio.sleep(0.001)
                assert not ended.is_set()
                await keystore.aclose()
        assert ended.is_set()

    run(main)


def test_a_sensor_may_close_the_keystore(run):
    """What its application does when nothing else helps: the keystore closes, and the monitor ends with it."""
    closed = []

    async def main():
        class Last(Shortage):
            async def wait(self):
                await keystore.aclose()
                closed.append(keystore.is_open)
                await anyio.sleep_forever()

            def close(self):
                closed.append("sensor")

        keystore = huks.Keystore.open("memory:", huks.EphemeralRootKey(), sensor=Last)
        await keystore.aopen()
        with anyio.fail_after(120):
            while len(closed) < 2:
                await anyio.sleep(0.001)
        assert closed == [False, "sensor"]

    run(main)


def test_a_keystore_that_was_closed_and_opened_again_is_monitored_again(run):
    """At once, although the task that monitored it before has not ended yet; which takes nothing from the new one."""
    sensors = []

    async def main():
        def sensor():
            sensors.append(Shortage() if sensors else Late())
            return sensors[-1]

        keystore = huks.Keystore.open("memory:", Lasting(), monitor=False, sensor=sensor)
        await keystore.aopen()
        ended, last = anyio.Event(), anyio.Event()

        async def watch():
            await keystore.monitor_low_memory()
            ended.set()

        class Late(Shortage):
            async def aclose(self):
                await last.wait()

        with anyio.fail_after(120):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                while not sensors:
                    await anyio.sleep(0.001)
                await keystore.aclose()
                await keystore.aopen()
                tasks.start_soon(keystore.monitor_low_memory)
                while len(sensors) < 2:
                    await anyio.sleep(0.001)
                last.set()
                await ended.wait()
                with pytest.raises(huks.BusinessError, match="monitored already"):
                    await keystore.monitor_low_memory()
                await keystore.aclose()

    run(main)
