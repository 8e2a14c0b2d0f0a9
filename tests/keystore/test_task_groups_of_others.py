"""Authenticators, sensors and root keys with task groups of their own, of which a task fails when it is cancelled."""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import huks_async as huks
from huks_async.rootkeys.answers import unwrap_key
from huks_async.runtime.outside_calls import OutsideCalls
from huks_async.sessions.monitor import LowMemoryMonitor
from huks_async.sessions.pressure import PressureEvent, SensorBroken, SensorUnavailable, SilentSensor
from huks_async.testing import EverybodyAuthenticator
from tests.keystore.support import refused
from tests.keystore.test_loops import BACKENDS, run
from tests.loops import swallow_a_cancellation

in_each_loop = pytest.mark.parametrize(("backend", "settings"), BACKENDS)


class Groups:
    """What waits for ever in two tasks; one fails when it is cancelled."""

    def __init__(self) -> None:
        self.began = anyio.Event()

    async def wait(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            group.start_soon(self._hang_up)
        raise AssertionError("nobody has cancelled it")

    async def _hang_up(self) -> None:
        self.began.set()
        try:
            await anyio.sleep_forever()
        finally:
            raise RuntimeError("could not hang up")


class Waits(EverybodyAuthenticator):
    """Never knows."""

    def __init__(self, groups: Groups) -> None:
        super().__init__()
        self.groups = groups

    async def authenticate(self, *args: Any) -> Any:
        await self.groups.wait()


class Root(huks.RootKey):
    """Never unwraps."""

    key_id = "root"

    def __init__(self, groups: Groups) -> None:
        self.groups = groups

    async def wrap(self, key: bytes) -> bytes:
        raise AssertionError("nobody asks")

    async def unwrap(self, wrapped: bytes) -> bytes:
        await self.groups.wait()
        raise AssertionError("nobody waits")


class Senses(SilentSensor):
    """Never senses anything."""

    def __init__(self, groups: Groups) -> None:
        super().__init__("a test")
        self.groups = groups

    async def wait(self) -> PressureEvent:
        await self.groups.wait()
        raise AssertionError("nobody waits")


@in_each_loop
@pytest.mark.parametrize("what", ["authenticator", "root key"])
def test_a_caller_that_is_cancelled_stays_cancelled(
    what: str, backend: str, settings: dict[str, Any]
) -> None:
    """What fails meanwhile does not take the place of the cancellation, nor hides it in a group."""

    async def main() -> None:
        groups = Groups()
        async with (
            huks.Keystore.open("memory:", authenticator=Waits(groups), monitor=False) as keystore,
            anyio.create_task_group() as tasks,
        ):
            with anyio.CancelScope() as scope:

                async def cancel() -> None:
                    await groups.began.wait()
                    scope.cancel()

                tasks.start_soon(cancel)
                if what == "authenticator":
                    await keystore.authenticate(b"", "x")
                else:
                    await unwrap_key(Root(groups), b"wrapped")
            assert scope.cancelled_caught

    run(main, backend, settings)


@in_each_loop
def test_a_keystore_that_closes_meanwhile_says_so(backend: str, settings: dict[str, Any]) -> None:
    """The question that it cancels is 12000012, whatever the authenticator makes of that."""

    async def main() -> None:
        groups = Groups()
        keystore = huks.Keystore.open("memory:", authenticator=Waits(groups), monitor=False)
        await keystore.aopen()
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                await refused(keystore.authenticate(b"", "x"), 12000012)

            tasks.start_soon(ask)
            await groups.began.wait()
            await keystore.aclose()

    run(main, backend, settings)


@in_each_loop
def test_a_sensor_of_such_kind_ends_with_its_keystore(backend: str, settings: dict[str, Any]) -> None:
    """In trio its group was an internal error of the event loop, which ended the program."""

    async def main() -> None:
        groups = Groups()
        async with huks.Keystore.open("memory:", sensor=lambda: Senses(groups)):
            await groups.began.wait()

    run(main, backend, settings)


class Breaks(Senses):
    """Says in its own words what came of its group."""

    async def wait(self) -> PressureEvent:
        try:
            return await super().wait()
        except* RuntimeError:
            raise SensorBroken("nothing comes") from None
        raise AssertionError("unreachable")


class Closes(Senses):
    """Breaks at once, and its group is that of its closing."""

    async def wait(self) -> PressureEvent:
        raise SensorBroken("nothing comes")

    async def aclose(self) -> None:
        await self.groups.wait()


class Short(SilentSensor):
    """Senses that memory is short."""

    async def wait(self) -> PressureEvent:
        return PressureEvent(self.name, "a test", 0.0)


async def unavailable(groups: Groups) -> Senses:
    try:
        await groups.wait()
    except* RuntimeError:
        raise SensorUnavailable("there is none") from None
    raise AssertionError("unreachable")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "make",
    [Senses, Breaks, Closes, unavailable, lambda _: Short("a test")],
    ids=["fails", "breaks", "closes", "is unavailable", "is well, but a shrinker fails"],
)
async def test_a_monitor_ends_when_something_fails_in_place_of_being_cancelled(
    make: Callable[[Groups], Any],
) -> None:
    """It slept first, before the next sensor or round, so that a keystore took five seconds to close."""

    async def goes_on(seconds: float) -> None:
        raise AssertionError("it was cancelled")

    groups = Groups()
    monitor = LowMemoryMonitor(lambda most: 0, lambda: make(groups), sleep=goes_on, trim=None)
    monitor.add_shrinker(groups.wait)
    running = asyncio.create_task(monitor.run())
    await groups.began.wait()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
@pytest.mark.parametrize("method", ["made", "wait", "aclose"])
async def test_a_monitor_outlives_a_broken_sensor_in_a_task_that_swallowed_a_cancellation(
    method: str, error: type[BaseException]
) -> None:
    """The task goes on, as if it had not been cancelled; the next broken sensor ended the protection."""
    slept = []

    async def fail(now: str) -> None:
        if now == method:
            raise error("no sensor")

    class Broken(SilentSensor):
        async def wait(self) -> PressureEvent:
            await fail("wait")
            raise SensorBroken("broke by itself")

        async def aclose(self) -> None:
            await fail("aclose")

    async def broken() -> SilentSensor:
        await fail("made")
        return Broken("a test")

    async def to_next(seconds: float) -> None:
        slept.append(seconds)
        monitor.close()

    monitor = LowMemoryMonitor(lambda most: 0, broken, sleep=to_next)
    await swallow_a_cancellation()
    await monitor.run()
    assert len(slept) == 1


@pytest.mark.asyncio
async def test_a_monitor_ends_by_a_cancellation_that_its_task_has_not_met() -> None:
    """It was called while the task ran, as by a signal's handler, and is no earlier one that was swallowed."""

    async def wait() -> SilentSensor:
        await asyncio.sleep(0)
        raise AssertionError("it was cancelled")

    async def goes_on(seconds: float) -> None:
        raise AssertionError("it was cancelled")

    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await LowMemoryMonitor(lambda most: 0, wait, sleep=goes_on).run()


@pytest.mark.asyncio
async def test_groups_of_failures_and_of_somebody_else_s_cancellations() -> None:
    """They are failures of what was asked; a group of failures alone stays as it is."""

    class Fails(Root):
        async def unwrap(self, wrapped: bytes) -> bytes:
            raise error

    outside = OutsideCalls()
    error: BaseException = BaseExceptionGroup("all", [RuntimeError(), asyncio.CancelledError()])
    await refused(unwrap_key(Fails(Groups()), b""), 12000004)
    with pytest.raises(RuntimeError, match="it awaited what somebody else had cancelled"):
        await outside.ask(Fails(Groups()).unwrap(b""), "it")
    error = ExceptionGroup("all", [RuntimeError()])
    for call in (unwrap_key(Fails(Groups()), b""), outside.ask(Fails(Groups()).unwrap(b""), "it")):
        with pytest.raises(ExceptionGroup) as caught:
            await call
        assert caught.value is error
