"""Keystores and their parts as objects: not copied; and what happens when the system gives no memory."""

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from cryptography.exceptions import InternalError

import huks_async as huks
from huks_async.model.memory import is_out_of_memory
from huks_async.sessions.pressure.base import PressureEvent, Sensor, SensorState, SensorStatus
from huks_async.sessions.pressure.combine import CombinedSensor
from tests.keystore.support import AES_CBC, ENCRYPT, options
from tests.keystore.test_loops import wait_until
from tests.threads import threads_begun

SESSION = options(**{**AES_CBC, "PURPOSE": ENCRYPT, "IV": bytes(16)})


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_what_is_no_data_is_not_copied(way: Callable[[object], object]) -> None:
    """Keystores, stores, root keys and session blocks say so, open or not; results are data."""

    async def main() -> None:
        store, root_key = huks.MemoryStore(), huks.PassphraseRootKey("secret words", log_n=10)
        keystore = huks.Keystore.open(store, root_key, monitor=False)
        for _ in range(2):
            for thing in (keystore, store, root_key, huks.SqliteStore("keys.db"), huks.EphemeralRootKey()):
                with pytest.raises(
                    TypeError, match=f"a {type(thing).__name__} cannot be copied, pickled or sent"
                ):
                    way(thing)
            if not keystore.is_open:
                await keystore.aopen()
        await keystore.generateKeyItem("key", options(**AES_CBC))
        block = keystore.session("key", SESSION)
        with pytest.raises(TypeError, match="a KeySession cannot be copied"):
            way(block)
        async with block as session:
            with pytest.raises(TypeError, match="a KeySession cannot be copied"):
                way(session)
        way(await keystore.getKeyItemProperties("key", {}))
        await keystore.aclose()

    anyio.run(main)


class _OpensslError:
    reason_text = b"malloc failure"


@pytest.mark.parametrize(
    "error",
    [MemoryError(), InternalError("unknown", [_OpensslError()])],  # type: ignore[list-item]
    ids=["Python", "OpenSSL"],
)
@pytest.mark.parametrize("step", ["update", "finish"])
@pytest.mark.parametrize("size", [16, 4 << 20], ids=["small", "large"])
def test_a_call_that_gets_no_memory(error: Exception, step: str, size: int) -> None:
    """It answers 12000014, on the loop and in a thread, and the session is ended and says why."""

    async def main() -> None:
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keystore.generateKeyItem("key", options(**AES_CBC))
            handle = (await keystore.initSession("key", SESSION)).handle
            parts: Any = keystore._state
            operation = parts.table.sessions[handle].operation

            class Failing(type(operation)):  # type: ignore[misc]
                __slots__ = ()

                def update(self, data: object) -> bytes:
                    raise error

                finish = update

            operation.__class__ = Failing
            call = getattr(keystore, f"{step}Session")
            with pytest.raises(
                huks.BusinessError, match="gives no memory for a call of the session"
            ) as caught:
                await call(handle, {"inData": bytes(size)})
            assert caught.value.code == 12000014
            with pytest.raises(huks.BusinessError, match="the system gave no memory for its call"):
                await call(handle, {"inData": b""})

    anyio.run(main)


def test_other_errors_are_not_taken_for_it() -> None:
    """A cause counts, another kind of error does not."""
    assert not is_out_of_memory(ValueError())
    assert not is_out_of_memory(InternalError("unknown", []))
    wrapped = ValueError()
    wrapped.__cause__ = MemoryError()
    assert is_out_of_memory(wrapped)


class SlowToClose(Sensor):
    """Takes as long to close as the test wants."""

    name = "slow"

    def __init__(self) -> None:
        self.may_close = threading.Event()
        self.closed = threading.Event()

    async def wait(self) -> PressureEvent:
        """Never."""
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    def under_pressure(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Wait."""
        assert self.may_close.wait(120)
        self.closed.set()

    def status(self) -> SensorStatus:
        """Calm."""
        return SensorStatus(self.name, SensorState.CALM, "a test")


@pytest.mark.parametrize("keystores", [1, 3])
def test_closing_does_not_wait_for_the_sensor(keystores: int) -> None:
    """The sensor is closed all the same, in a thread that ends."""
    sensors = [SlowToClose() for _ in range(keystores)]
    made = iter(sensors)

    async def main() -> None:
        for _ in range(keystores):
            async with huks.Keystore.open("memory:", sensor=lambda: CombinedSensor([next(made)])) as keystore:
                while keystore.statistics().memory.sensor == "none":
                    await anyio.sleep(0.001)
        assert not any(sensor.closed.is_set() for sensor in sensors)
        for sensor in sensors:
            sensor.may_close.set()

    anyio.run(main)
    assert all(sensor.closed.wait(120) for sensor in sensors)


def test_many_sensors_that_close_slowly_are_waited_for() -> None:
    """There are never more than four threads for that, and none in the end."""
    # those of keystores of earlier tests are closed in the same threads
    wait_until(lambda: not any(thread.name.startswith("huks-sensor") for thread in threading.enumerate()))
    sensors = [SlowToClose() for _ in range(40)]

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for sensor in sensors:
                tasks.start_soon(CombinedSensor([sensor]).aclose)
            await anyio.wait_all_tasks_blocked()
            begun = len(threads_begun("huks-sensor"))
            for sensor in sensors:
                sensor.may_close.set()
        assert begun == 4

    anyio.run(main)
    assert all(sensor.closed.wait(120) for sensor in sensors)
    wait_until(lambda: not threads_begun("huks-sensor"))


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True])
def test_workers_are_a_number_from_one(workers: Any) -> None:
    """Anything else is refused where the keystore is described."""
    with pytest.raises(huks.BusinessError, match="workers") as caught:
        huks.Keystore.open("memory:", workers=workers)
    assert caught.value.code == 401
