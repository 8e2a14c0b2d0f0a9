"""Keys that were kept ready for long enough leave memory, also when nobody asks for them again."""

import gc
import math
from collections.abc import Awaitable, Callable

import anyio
import pytest

import huks_async as huks
from huks_async import Keystore
from huks_async.keys.items.item import KeyItem
from huks_async.keystore.caller_functions import CallerStates
from tests import loops
from tests.keystore.support import AES_CBC, ENCRYPT, T, options

SESSION = options(**{**AES_CBC, "PURPOSE": ENCRYPT, "IV": bytes(16)})


class Time:
    """A clock, and a sleep that ends when the clock is moved on by `pass_by`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[float] = []
        self._slept = anyio.Event()
        self._woken = anyio.Event()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._slept.set()
        await self._woken.wait()

    async def pass_by(self, seconds: float) -> None:
        """Let so much time pass, and wait until the next sleep has begun."""
        await self._slept.wait()
        self.now += seconds
        self._slept, woken, self._woken = anyio.Event(), self._woken, anyio.Event()
        woken.set()
        await self._slept.wait()


@pytest.fixture(params=loops.LOOPS)
def use(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Keystore, Time], Awaitable[None]], huks.KeyCache], None]:
    """Run an async function with an open keystore and its time, on each kind of event loop."""
    loop = loops.runner(request.param)

    def with_keystore(function: Callable[[Keystore, Time], Awaitable[None]], cache: huks.KeyCache) -> None:
        async def main() -> None:
            time = Time()
            monkeypatch.setattr(CallerStates.forget_old_keys, "__kwdefaults__", {"sleep": time.sleep})
            async with Keystore.open(
                "memory:", monitor=False, clock=time.clock, key_cache=cache, policy=Anything()
            ) as keystore:
                await function(keystore, time)

        loop(main)

    return with_keystore


class Anything:
    """A policy that allows keys of other users and of groups."""

    def may_act_for(self, caller: huks.Caller, user_id: int) -> bool:
        return True

    def groups_of(self, caller: huks.Caller) -> tuple[str, ...]:
        return ("team",)


def items() -> int:
    """How many opened keys are in memory, whoever holds them."""
    gc.collect()
    return sum(type(each) is KeyItem for each in gc.get_objects())


def test_a_key_that_nobody_asks_for_again_leaves_memory(use: Callable[..., None]) -> None:
    """After 60 seconds and at most a quarter more; whether it is of the own keys, another caller's, user's or group's."""

    async def main(keystore: Keystore, time: Time) -> None:
        before = items()
        other = keystore.for_caller("other")
        group = [{"tag": T.HUKS_TAG_KEY_ACCESS_GROUP, "value": b"team"}]
        calls = [(keystore, []), (other, []), (keystore, group)]
        for functions, more in calls:
            made = options(**AES_CBC)
            await functions.generateKeyItem("key", {"properties": made["properties"] + more})
            session = {"properties": SESSION["properties"] + more}
            await functions.abortSession((await functions.initSession("key", session)).handle, {})
        await keystore.generateKeyItemAsUser(101, "key", options(**AES_CBC))
        running = await keystore.initSessionAsUser(101, "key", SESSION)
        assert keystore.statistics().cached_keys == items() - before == 4
        for _ in range(4):
            await time.pass_by(15)
        assert keystore.statistics().cached_keys == 4
        await keystore.generateKeyItem("later", options(**AES_CBC))
        await keystore.abortSession((await keystore.initSession("later", SESSION)).handle, {})
        await time.pass_by(15)
        assert keystore.statistics().cached_keys == items() - before == 1
        assert len((await keystore.finishSession(running.handle, {"inData": bytes(16)})).outData) == 16
        await keystore.abortSession((await keystore.initSession("key", SESSION)).handle, {})
        assert keystore.statistics().cached_keys == 2
        assert set(time.asked) == {15.0}

    use(main, huks.KeyCache(seconds=60))


def test_many_keys_leave_in_one_round(use: Callable[..., None]) -> None:
    """More than one batch; what was opened later stays, however often the older ones were used since."""

    async def main(keystore: Keystore, time: Time) -> None:
        for number in range(600):
            await keystore.generateKeyItem(f"k{number}", options(**AES_CBC))
            await keystore.abortSession((await keystore.initSession(f"k{number}", SESSION)).handle, {})
            time.now += 0.01
        await time.pass_by(8 - 6 + 0.005)
        assert keystore.statistics().cached_keys == 600
        await keystore.abortSession((await keystore.initSession("k0", SESSION)).handle, {})
        await time.pass_by(2 + 5.5)
        assert keystore.statistics().cached_keys == 600 - 551

    use(main, huks.KeyCache(seconds=10))


@pytest.mark.parametrize(
    ("seconds", "slept"), [(0, 1), (0.5, 1), (60, 15), (300, 60), (1e9, 60), (math.inf, 60)]
)
def test_how_often_old_keys_are_looked_for(use: Callable[..., None], seconds: float, slept: float) -> None:
    """A quarter of the time that keys are kept, within a second and a minute."""

    async def main(keystore: Keystore, time: Time) -> None:
        await time.pass_by(1)
        assert time.asked == [slept] * 2

    use(main, huks.KeyCache(seconds=seconds))


@pytest.mark.parametrize("wrong", [{"keys": -1}, {"seconds": -0.1}, {"seconds": math.nan}])
def test_a_cache_without_sense_is_refused(wrong: dict[str, float]) -> None:
    """A negative number, or none, is told when the cache is described."""
    with pytest.raises(huks.BusinessError, match=r"401: KeyCache\.\w+"):
        huks.KeyCache(**wrong)  # type: ignore[arg-type]
