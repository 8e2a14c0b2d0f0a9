"""The low-memory monitor against a table of sessions, in virtual time."""

import asyncio
import functools
import sys
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

from huks_async.model.errors import BusinessError
from huks_async.sessions import monitor as monitor_module
from huks_async.sessions.monitor import LowMemoryMonitor, trim_heap
from huks_async.sessions.pressure.base import (
    PressureEvent,
    Sensor,
    SensorBroken,
    SensorState,
    SensorStatus,
    SensorUnavailable,
    SilentSensor,
)

LOOPS = [
    pytest.param("asyncio", {}, id="asyncio"),
    pytest.param("asyncio", {"use_uvloop": True}, id="uvloop"),
    pytest.param("trio", {}, id="trio"),
]


class World:
    """Sessions with the time of their last use, memory that is short or not, and virtual time."""

    def __init__(self, idle: list[float], stale_after: float = 60) -> None:
        self.now = 1000.0
        self.last_used = [self.now - seconds for seconds in idle]
        self.stale_after = stale_after
        self.short = False
        self.broken = False
        self.sensors: list[ByHand] = []
        self.batches: list[int] = []
        self.slept: list[float] = []
        self.happens: dict[float, Callable[[], None]] = {}
        self.trims = 0
        self._changed = anyio.Event()

    def change(self, *, short: bool | None = None, broken: bool = False) -> None:
        if short is not None:
            self.short = short
        self.broken = broken
        self._changed.set()
        self._changed = anyio.Event()

    async def changed(self) -> None:
        await self._changed.wait()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        assert len(self.slept) < 1000, "sleeps for ever"
        self.now += seconds
        for moment in sorted(self.happens):
            if moment <= self.now:
                self.happens.pop(moment)()
        await anyio.lowlevel.checkpoint()

    def purge(self, most: int) -> int:
        stale = sorted(used for used in self.last_used if self.now - used > self.stale_after)[:most]
        for used in stale:
            self.last_used.remove(used)
        self.batches.append(len(stale))
        return len(stale)

    def trim(self) -> None:
        self.trims += 1

    def sensor(self) -> Sensor:
        self.sensors.append(ByHand(self))
        return self.sensors[-1]

    def monitor(self, purge=None, sensor=None, **options) -> LowMemoryMonitor:
        settings = {"batch": 10, "batches_per_round": 4, "trim": self.trim, **options}
        return LowMemoryMonitor(
            purge or self.purge, sensor or self.sensor, clock=self.clock, sleep=self.sleep, **settings
        )


class ByHand(Sensor):
    """Short when the world says so."""

    def __init__(self, world: World) -> None:
        self.name = "by hand"
        self.world = world
        self.closed = False

    async def wait(self) -> PressureEvent:
        while not self.world.short:
            if self.world.broken:
                self.world.broken = False
                raise SensorBroken("broke by hand")
            await self.world.changed()
        await anyio.lowlevel.checkpoint()
        return PressureEvent(self.name, "made short", self.world.now)

    def under_pressure(self) -> bool:
        return self.world.short

    def close(self) -> None:
        self.closed = True

    def status(self) -> SensorStatus:
        return SensorStatus(self.name, SensorState.CALM, "world")


async def calm(monitor: LowMemoryMonitor) -> None:
    """Return when the episode is over: a task that waits for the trimming thread counts as blocked."""
    await anyio.wait_all_tasks_blocked()
    while monitor.statistics().under_pressure:
        await anyio.sleep(0.001)


async def run_until_idle(monitor: LowMemoryMonitor, *steps: Callable[[], object]) -> None:
    """Run the monitor, take each step once everything waits, and close it."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.run)
        for step in steps:
            await anyio.wait_all_tasks_blocked()
            step()
        await calm(monitor)
        monitor.close()


@pytest.mark.parametrize(("loop", "options"), LOOPS)
def test_stale_sessions_go_and_others_stay_on_every_loop(loop: str, options: dict) -> None:
    """All stale sessions go in batches, fresh ones stay, memory is given back, and calm returns."""
    pytest.importorskip("uvloop" if options else loop)

    async def main() -> None:
        world = World([61] * 95 + [59] * 5)
        monitor = world.monitor()
        world.happens[1001.5] = lambda: world.change(short=False)
        await run_until_idle(monitor, lambda: world.change(short=True))
        assert len(world.last_used) == 5
        assert world.batches == [10] * 9 + [5, 0]
        statistics = monitor.statistics()
        assert (statistics.events, statistics.purged) == (1, 95)
        assert (statistics.last_event, statistics.last_reason) == (1000, "made short")
        assert (statistics.sensor, statistics.under_pressure, statistics.failures) == ("by hand", False, 0)
        # two full rounds and a rest
        assert world.trims == statistics.rounds == 3
        assert world.sensors[0].closed

    anyio.run(functools.partial(main), backend=loop, backend_options=options)


@pytest.mark.asyncio
async def test_oldest_first_and_no_more_than_needed() -> None:
    """Once memory is back after a round the younger stale sessions stay."""
    world = World([100 + age for age in range(100)])
    monitor = world.monitor()

    def trim() -> None:
        world.change(short=False)

    monitor = world.monitor(trim=trim)
    await run_until_idle(monitor, lambda: world.change(short=True))
    assert monitor.statistics().purged == 40
    assert min(world.last_used) == 1000 - 159
    assert world.slept == [2.0]


@pytest.mark.asyncio
async def test_calm_does_nothing() -> None:
    """Without pressure nothing is purged, slept, trimmed or read."""
    world = World([100] * 10)
    monitor = world.monitor()
    await run_until_idle(monitor)
    assert (world.batches, world.slept, world.trims) == ([], [], 0)
    assert monitor.statistics().events == 0


@pytest.mark.asyncio
async def test_lasting_shortage_takes_sessions_as_they_become_stale() -> None:
    """While memory stays short the monitor tries every two seconds, and gives back only what it took."""
    world = World([55, 50])
    shrunk: list[float] = []
    monitor = world.monitor()
    monitor.add_shrinker(lambda: shrunk.append(world.now))
    world.happens[1013] = lambda: world.change(short=False)
    await run_until_idle(monitor, lambda: world.change(short=True))
    assert world.last_used == []
    assert world.slept == [2.0] * 7
    # the first attempt finds nothing stale but empties caches; later ones follow the sessions
    assert shrunk == [1000, 1006, 1012]
    assert world.trims == 3
    assert monitor.statistics().events == 1


@pytest.mark.asyncio
async def test_the_last_shrinkers_come_when_nothing_else_is_left() -> None:
    """They are called once in two seconds, while memory stays short and no session is stale."""
    world = World([55, 50])
    last: list[float] = []
    monitor = world.monitor()
    monitor.add_last_shrinker(lambda: last.append(world.now))
    world.happens[1013] = lambda: world.change(short=False)
    await run_until_idle(monitor, lambda: world.change(short=True))
    # sessions became stale at 1006 and 1012
    assert last == [1002, 1004, 1008, 1010]


@pytest.mark.asyncio
async def test_shrinkers_and_purge_may_be_coroutines() -> None:
    """Functions and coroutine functions are both called."""
    world = World([100] * 15)
    calls: list[str] = []

    async def purge(most: int) -> int:
        await anyio.lowlevel.checkpoint()
        return world.purge(most)

    async def shrink() -> None:
        await anyio.lowlevel.checkpoint()
        calls.append("coroutine")

    monitor = world.monitor(purge)
    monitor.add_shrinker(shrink)
    monitor.add_shrinker(lambda: calls.append("function"))
    world.happens[1001] = lambda: world.change(short=False)
    await run_until_idle(monitor, lambda: world.change(short=True))
    assert calls == ["coroutine", "function"]
    assert monitor.statistics().purged == 15


@pytest.mark.asyncio
async def test_the_loop_is_let_through_between_batches() -> None:
    """Another task gets its turn after every batch."""
    world = World([100] * 400)
    monitor = world.monitor(batches_per_round=100)
    turns: list[int] = []

    async def other() -> None:
        while not monitor.statistics().events:
            await anyio.lowlevel.checkpoint()
        while world.last_used:
            turns.append(len(world.last_used))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.run)
        tasks.start_soon(other)
        world.happens[1001] = lambda: world.change(short=False)
        world.change(short=True)
        await calm(monitor)
        monitor.close()
    assert len(set(turns)) >= 39


@pytest.mark.asyncio
async def test_an_application_that_uses_up_its_threads_does_not_stop_the_purge() -> None:
    """Memory is given back in a thread of the monitor's own."""
    limiter = anyio.to_thread.current_default_thread_limiter()
    taken = [object() for _ in range(int(limiter.available_tokens))]
    for borrower in taken:
        limiter.acquire_on_behalf_of_nowait(borrower)
    try:
        world = World([61] * 95)
        world.happens[1003] = lambda: world.change(short=False)
        await run_until_idle(world.monitor(), lambda: world.change(short=True))
    finally:
        for borrower in taken:
            limiter.release_on_behalf_of(borrower)
    assert world.last_used == []
    assert world.trims > 0


@pytest.mark.asyncio
async def test_failures_are_logged_and_survived(caplog) -> None:
    """A purge, a shrinker or a trim that raises does not end the monitor."""
    world = World([100] * 10)
    raised: list[str] = []

    def purge(most: int) -> int:
        if not raised:
            raised.append("purge")
            raise RuntimeError("table is upset")
        return world.purge(most)

    def shrink() -> None:
        raise ValueError("cache is upset")

    def trim() -> None:
        raise MemoryError("no thread")

    monitor = world.monitor(purge, trim=trim)
    monitor.add_shrinker(shrink)
    world.happens[1003] = lambda: world.change(short=False)
    await run_until_idle(monitor, lambda: world.change(short=True))
    assert world.last_used == []
    assert monitor.statistics().failures == 5
    assert "the purge of stale sessions failed" in caplog.text
    assert "a shrinker failed" in caplog.text
    assert "giving memory back failed" in caplog.text


@pytest.mark.asyncio
async def test_a_broken_sensor_is_chosen_anew(caplog) -> None:
    """When the sensor breaks the choice begins anew after a while, and the monitor works on."""
    world = World([100] * 10)
    monitor = world.monitor()
    world.happens[1031] = lambda: world.change(short=False)
    await run_until_idle(
        monitor,
        lambda: world.change(broken=True),
        lambda: world.change(short=True),
    )
    assert len(world.sensors) == 2
    assert world.slept == [30.0, 2.0]
    assert all(sensor.closed for sensor in world.sensors)
    assert world.last_used == []
    assert monitor.statistics().broken == 1
    assert "broke by hand" in caplog.text


class Upset(ByHand):
    """Fails in one of its methods."""

    def __init__(self, world: World, method: str, error: BaseException) -> None:
        super().__init__(world)
        self.method, self.error = method, error

    async def _upset(self, method: str) -> None:
        if method == self.method:
            raise self.error

    async def wait(self) -> PressureEvent:
        await self._upset("wait")
        await anyio.lowlevel.checkpoint()
        if self.method != "under_pressure":
            raise SensorBroken("broke by hand")
        return PressureEvent(self.name, "made short", self.world.now)

    def under_pressure(self) -> bool:
        raise self.error

    async def aclose(self) -> None:
        await self._upset("aclose")


async def nobodys() -> Sensor:
    """The end of somebody else's task, which a function of a sensor awaited."""
    raise asyncio.CancelledError


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "wrong",
    [
        lambda world: None,
        lambda world: 5,
        lambda world: nobodys(),
        lambda world: Upset(world, "wait", asyncio.CancelledError()),
        lambda world: Upset(world, "wait", OSError()),
        lambda world: Upset(world, "under_pressure", ValueError()),
        lambda world: Upset(world, "aclose", OSError()),
        lambda world: Upset(world, "aclose", asyncio.CancelledError()),
    ],
    ids=["None", "a number", "choice cancelled", "wait cancelled", "wait", "under_pressure", "aclose", "aclose cancelled"],
)  # fmt: skip
async def test_no_sensor_ends_the_protection(wrong, caplog) -> None:
    """Whatever a sensor does wrong is logged, and the next one is tried."""
    world = World([100] * 10)
    made: list[object] = []

    def factory() -> object:
        made.append(wrong(world) if len(made) < 3 else world.sensor())
        return made[-1]

    monitor = world.monitor(sensor=factory)
    world.happens[1000 + 3 * 30 + 3] = lambda: world.change(short=False)
    world.happens[1000 + 3 * 30] = lambda: world.change(short=True)
    await run_until_idle(monitor)
    assert len(made) == 4
    assert world.last_used == []
    assert monitor.statistics().broken == 3
    assert not monitor.statistics().under_pressure
    assert "sensor" in caplog.text


@pytest.mark.asyncio
async def test_a_sensor_that_does_not_close_holds_nothing_up(monkeypatch, caplog) -> None:
    """It is left alone after a while, and that is logged."""
    monkeypatch.setattr(monitor_module, "_LONGEST_CLOSING", 0.01)

    class Hanging(ByHand):
        async def aclose(self) -> None:
            await anyio.sleep_forever()

    world = World([])
    monitor = world.monitor(sensor=lambda: Hanging(world))
    await run_until_idle(monitor)
    assert "did not close" in caplog.text


@pytest.mark.asyncio
async def test_no_sensor_at_first() -> None:
    """A factory that finds nothing is asked again later."""
    world = World([100] * 10)
    asked: list[float] = []

    def factory() -> Sensor:
        asked.append(world.now)
        if len(asked) < 3:
            raise SensorUnavailable("not yet")
        return world.sensor()

    monitor = world.monitor(sensor=factory)
    assert monitor.status() is None
    await run_until_idle(monitor)
    assert asked == [1000, 1030, 1060]
    assert monitor.statistics().broken == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("short", [False, True], ids=["calm", "in an episode"])
async def test_cancelling_closes_the_sensor(short: bool) -> None:
    """Cancelled in calm or in the midst of a shortage, nothing stays behind, and it may run again."""
    world = World([100] * 10)
    monitor = world.monitor()
    for _ in range(2):
        world.short = short
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(monitor.run)
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            assert monitor.status() is not None
            tasks.cancel_scope.cancel()
    assert [sensor.closed for sensor in world.sensors] == [True, True]
    assert monitor.status() is None
    assert not monitor.statistics().under_pressure


@pytest.mark.asyncio
async def test_runs_once_at_a_time() -> None:
    """A second run beside the first is refused; a closed monitor ends at once."""
    world = World([])
    monitor = world.monitor()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.run)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="runs already"):
            await monitor.run()
        assert monitor.status() is not None
        monitor.close()
        monitor.close()
    await monitor.run()
    assert len(world.sensors) == 1


@pytest.mark.asyncio
async def test_silence() -> None:
    """With nothing to sense the monitor sleeps until it is closed."""
    world = World([100])
    monitor = world.monitor(sensor=lambda: SilentSensor("test"))
    await run_until_idle(monitor)
    assert monitor.statistics().sensor == "none"
    assert world.slept == []


@pytest.mark.parametrize(
    "wrong",
    [{"batch": 0}, {"batches_per_round": 0}, {"retry_every": 0}, {"reopen_after": -1}, {"pause": -0.1}],
    ids=str,
)
def test_settings_without_sense(wrong: dict) -> None:
    """Numbers that would spin or never work are refused by name."""
    with pytest.raises(BusinessError, match=next(iter(wrong))) as refused:
        LowMemoryMonitor(lambda most: 0, **wrong)
    assert refused.value.code == 401


def test_the_heap_is_trimmed_where_it_can_be() -> None:
    """On glibc freed blocks between kept ones go back to the system."""
    if sys.platform != "linux" or not hasattr(__import__("ctypes").CDLL(None), "malloc_trim"):
        assert trim_heap() is False
        pytest.skip("this C library cannot trim its heap")

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    # blocks too large for the interpreter's own allocator and too small for mappings of their own,
    # with every hundredth one kept so that the heap does not shrink by itself
    blocks = [bytearray(4096) for _ in range(10_000)]
    kept = blocks[::100]
    before = resident()
    del blocks
    trim_heap()
    assert before - resident() > 20 << 20
    assert len(kept) == 100


def test_without_a_c_library_nothing_is_trimmed(monkeypatch) -> None:
    """Where the function is absent the answer is no."""
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert trim_heap() is False
