"""A keystore and event loops: it belongs to the one that opened it, and ends with it."""

import asyncio
import gc
import os
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
import trio

import huks_async as huks
from huks_async.sessions.pressure import SilentSensor
from tests.garbage import collect_until
from tests.keystore.support import AES_CBC, ENCRYPT, options
from tests.threads import threads_begun

SESSION = options(**{**AES_CBC, "PURPOSE": ENCRYPT, "IV": bytes(16)})
BACKENDS = [
    pytest.param("asyncio", {}, id="asyncio"),
    pytest.param("asyncio", {"use_uvloop": True}, id="uvloop"),
    pytest.param("trio", {}, id="trio"),
]


def run(main: Callable[[], Awaitable[Any]], backend: str, settings: dict[str, Any]) -> Any:
    """Run it in a new event loop."""
    if settings.get("use_uvloop"):
        pytest.importorskip("uvloop")
    if backend == "trio":
        pytest.importorskip("trio")
    return anyio.run(main, backend=backend, backend_options=settings)


def sqlite(folder: Path) -> huks.Keystore:
    """A keystore in a file, with everything that runs in the background."""
    return huks.Keystore.open(
        f"sqlite:///{folder / 'keys.db'}",
        root_key=huks.FileRootKey(folder / "root.key"),
        limits=huks.Limits(max_idle=60),
    )


async def use(keystore: huks.Keystore) -> int:
    """One session."""
    if not await keystore.hasKeyItem("key", {}):
        await keystore.generateKeyItem("key", options(**AES_CBC))
    opened = await keystore.initSession("key", SESSION)
    return len((await keystore.finishSession(opened.handle, {"inData": bytes(16)})).outData)


async def sensor_is_chosen(keystore: huks.Keystore) -> None:
    """Wait for the thread that looks for one."""
    while keystore.statistics().memory.sensor == "none":
        await anyio.sleep(0.001)


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def threads_of_ours() -> int:
    """How many threads of the library run since this test began; trio keeps some of its own for a while."""
    return len(threads_begun())


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_eight_threads_with_loops_of_their_own_are_refused(
    tmp_path: Path, backend: str, settings: dict[str, Any]
) -> None:
    """Each call of each is refused, and the owner's sessions go on as if nothing had been."""
    keystore = sqlite(tmp_path)
    told: list[str] = []

    async def owner() -> None:
        async with keystore:
            await use(keystore)
            handles = [(await keystore.initSession("key", SESSION)).handle for _ in range(50)]
            stop = threading.Event()

            async def intrude() -> None:
                last = False
                while not last:
                    # a thread that begins late still does it all once
                    last = stop.is_set()
                    for call in (
                        lambda: keystore.initSession("key", SESSION),
                        lambda: keystore.updateSession(handles[0], {"inData": bytes(16)}),
                        lambda: keystore.finishSession(handles[0], {"inData": b""}),
                        lambda: keystore.abortSession(handles[0], {}),
                        lambda: keystore.generateKeyItem("other", options(**AES_CBC)),
                        lambda: keystore.purge_stale_sessions(),
                        lambda: keystore.aclose(),
                        lambda: keystore.aopen(),
                    ):
                        try:
                            await call()
                        except huks.BusinessError as error:
                            told.append(f"{error.code} {error.message}")
                        else:
                            told.append("no error")
                    with pytest.raises(huks.BusinessError):
                        keystore.statistics()

            threads = [threading.Thread(target=lambda: asyncio.run(intrude()), daemon=True) for _ in range(8)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(12):
                    for handle in handles:
                        await keystore.updateSession(handle, {"inData": bytes(16)})
                    await anyio.sleep(0.001)
            finally:
                stop.set()
            await anyio.to_thread.run_sync(lambda: [thread.join() for thread in threads])
            for handle in handles:
                assert len((await keystore.finishSession(handle, {"inData": b""})).outData) == 0
            assert keystore.statistics().open == 0

    run(owner, backend, settings)
    assert len(told) >= 64
    open_already = {one for one in told if "open already" in one}
    assert all("asyncio.run_coroutine_threadsafe" in one for one in set(told) - open_already), set(told)
    assert all(one.startswith("12000012") for one in told)


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_twenty_loops_in_a_row(tmp_path: Path, backend: str, settings: dict[str, Any]) -> None:
    """Entered in each, one object works in all its parts, and leaves nothing behind."""
    keystore = sqlite(tmp_path)

    async def main() -> None:
        async with keystore:
            assert await use(keystore) == 16
            await sensor_is_chosen(keystore)

    run(main, backend, settings)
    files, threads = descriptors(), threads_of_ours()
    for _ in range(19):
        run(main, backend, settings)
    wait_until(lambda: descriptors() <= files and threads_of_ours() <= threads)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in a thread."""
    for _ in range(12_000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen within two minutes")


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_a_loop_that_ends_closes_what_was_left_open(
    tmp_path: Path, backend: str, settings: dict[str, Any]
) -> None:
    """Used again in another loop, the keystore says that it ended with its loop; opened again, it works."""
    keystore = sqlite(tmp_path)

    async def leave_open() -> None:
        await keystore.aopen()
        await use(keystore)
        await keystore.initSession("key", SESSION)

    async def use_again() -> None:
        with pytest.raises(huks.BusinessError, match="end of the event loop that had opened it") as caught:
            await use(keystore)
        assert caught.value.code == 12000012
        assert "open it again" in caught.value.message
        async with keystore:
            assert await use(keystore) == 16
            assert keystore.statistics().open == 0

    with pytest.warns(ResourceWarning, match="was not closed before its background task was cancelled"):
        run(leave_open, backend, settings)
    assert "closed" in repr(keystore)
    run(use_again, backend, settings)


@pytest.mark.parametrize("then", ["use", "open", "close"])
def test_a_loop_that_is_closed_without_cancelling_its_tasks(tmp_path: Path, then: str) -> None:
    """Nothing hangs: use is refused, opening again works, closing frees descriptors and threads."""
    keystore = sqlite(tmp_path)
    files, threads = descriptors(), threads_of_ours()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(keystore.aopen())
    loop.run_until_complete(use(keystore))
    loop.run_until_complete(sensor_is_chosen(keystore))
    loop.close()

    async def main() -> None:
        if then == "use":
            with pytest.raises(huks.BusinessError, match="which has ended; open it anew") as caught:
                await keystore.hasKeyItem("key", {})
            assert caught.value.code == 12000012
        elif then == "open":
            await keystore.aopen()
            assert await use(keystore) == 16
        await keystore.aclose()

    asyncio.run(main())
    del loop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collect_until(lambda: descriptors() <= files and threads_of_ours() <= threads)


class ClosedLate(SilentSensor):
    """A sensor that is closed when it is told to be."""

    def __init__(self) -> None:
        super().__init__("late")
        self.closing = self.may_close = False

    async def aclose(self) -> None:
        self.closing = True
        while not self.may_close:
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("first", ["aopen", "aclose"])
@pytest.mark.parametrize("cancelled", [False, True])
def test_two_tasks_meet_a_keystore_of_a_loop_that_was_closed(first: str, cancelled: bool) -> None:
    """One of them closes what the loop left, also if it is cancelled at that, and nothing that was opened since."""
    sensors: list[ClosedLate] = []

    def make_sensor() -> ClosedLate:
        sensors.append(ClosedLate())
        return sensors[-1]

    keystore = huks.Keystore.open("memory:", sensor=make_sensor)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(keystore.aopen())
    while not sensors:
        loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0.01))
    left = asyncio.all_tasks(loop)
    loop.close()

    async def main() -> None:
        task = asyncio.create_task(getattr(keystore, first)())
        while not sensors[0].closing:
            await asyncio.sleep(0)
        with pytest.raises(huks.BusinessError, match="opened or closed by another task") as refused:
            await keystore.aopen()
        assert refused.value.code == 12000012
        closing = asyncio.create_task(keystore.aclose())
        await asyncio.sleep(0)
        assert not closing.done()
        if cancelled:
            task.cancel()
        sensors[0].may_close = True
        await asyncio.gather(task, closing, return_exceptions=True)
        assert keystore.is_open == (first == "aopen" and not cancelled)
        if not keystore.is_open:
            await keystore.aopen()
        for _ in range(3):
            assert await use(keystore) == 16
            await asyncio.sleep(0)
        while len(sensors) < 2:
            await asyncio.sleep(0)
        sensors[1].may_close = True
        await keystore.aclose()

    asyncio.run(main())
    for task in left:
        task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_monitor_of_the_callers_own_in_a_loop_that_was_closed(tmp_path: Path) -> None:
    """The keystore closes all the same, and another loop opens it and monitors again."""
    keystore = sqlite(tmp_path)
    files, threads = descriptors(), threads_of_ours()

    async def watched() -> asyncio.Task[None]:
        await keystore.aopen()
        task = asyncio.ensure_future(keystore.monitor_low_memory())
        await sensor_is_chosen(keystore)
        return task

    async def main() -> None:
        await keystore.aclose()
        task = await watched()
        await keystore.aclose()
        await task

    loop = asyncio.new_event_loop()
    left = loop.run_until_complete(watched())
    loop.close()
    asyncio.run(main())
    left._log_destroy_pending = False  # type: ignore[attr-defined]
    del loop, left
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collect_until(lambda: descriptors() <= files and threads_of_ours() <= threads)


def test_one_loop_that_is_run_several_times(tmp_path: Path) -> None:
    """A loop that is stopped and run again is the same loop."""
    keystore = sqlite(tmp_path)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(keystore.aopen())
        for _ in range(3):
            assert loop.run_until_complete(use(keystore)) == 16
        loop.run_until_complete(keystore.aclose())
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("function", "properties"),
    [
        ("updateSession", [{"tag": huks.HuksTag.HUKS_TAG_PURPOSE, "value": ENCRYPT}] * 2),
        ("finishSession", [{"tag": huks.HuksTag.HUKS_TAG_PURPOSE, "value": ENCRYPT}] * 2),
        ("abortSession", [{"tag": huks.HuksTag.HUKS_TAG_PURPOSE, "value": ENCRYPT}] * 2),
        ("finishSession", [{"tag": huks.HuksTag.HUKS_TAG_KEY_SECURITY_LEVEL, "value": 1}]),
        ("updateSession", [{"tag": huks.HuksTag.HUKS_TAG_KEY_SECURITY_LEVEL, "value": 1}]),
    ],
)
def test_a_refused_call_from_another_loop_leaves_the_session(function: str, properties: list[Any]) -> None:
    """Parameters that would end it are refused for the loop that they come from."""
    keystore = huks.Keystore.open("memory:", monitor=False)
    own, other = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def begin() -> int:
        await keystore.aopen()
        await keystore.generateKeyItem("key", options(**AES_CBC))
        return (await keystore.initSession("key", SESSION)).handle

    try:
        handle = own.run_until_complete(begin())
        with pytest.raises(huks.BusinessError) as caught:
            other.run_until_complete(getattr(keystore, function)(handle, {"properties": properties}))
        assert caught.value.code == 12000012
        own.run_until_complete(keystore.finishSession(handle, {"properties": [], "inData": bytes(16)}))
        own.run_until_complete(keystore.aclose())
    finally:
        own.close()
        other.close()


def test_each_loop_has_a_default_keystore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops at once in several threads, and one after the other, share the default store, not the object."""
    monkeypatch.setenv("HUKS_ASYNC_HOME", str(tmp_path))
    seen: list[tuple[huks.Keystore, bool]] = []
    barrier = threading.Barrier(3, timeout=60)

    async def main(number: int, *, wait: bool) -> None:
        await huks.generateKeyItem(f"key {number}", options(**AES_CBC))
        keystore = await huks.current_keystore()
        assert keystore is await huks.current_keystore()
        seen.append((keystore, keystore.is_open))
        if wait:
            await anyio.to_thread.run_sync(barrier.wait)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a default keystore is nobody's to close
        asyncio.run(main(0, wait=False))
        threads = [
            threading.Thread(target=lambda n=n: asyncio.run(main(n, wait=True)), daemon=True)
            for n in range(1, 4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
    assert len({id(keystore) for keystore, _ in seen}) == 4
    assert all(was_open for _, was_open in seen)
    assert not any(keystore.is_open for keystore, _ in seen)

    async def count() -> int:
        return len((await huks.listAliases({})).keyAliases)

    assert asyncio.run(count()) == 4


def test_a_block_of_another_thread_is_not_left_for_the_default_keystore(tmp_path: Path) -> None:
    """A thread that inherits the context of an open block is refused, not led to another store's keys."""

    async def inside() -> None:
        await huks.hasKeyItem("key", {})

    async def main() -> None:
        async with sqlite(tmp_path):
            with pytest.raises(huks.BusinessError, match="in another thread"):
                await asyncio.to_thread(lambda: asyncio.run(inside()))

    asyncio.run(main())


def test_a_synchronous_program(tmp_path: Path) -> None:
    """All calls of a program's threads go to one loop in a thread of its own."""
    results: list[int] = []
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(sqlite(tmp_path)) as keystore,
    ):
        portal.call(use, keystore)
        threads = [
            threading.Thread(target=lambda: results.append(portal.call(use, keystore)), daemon=True)
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [16] * 8


def test_an_open_keystore_that_nobody_closes_warns_once() -> None:
    """At its collection, with its store and namespace."""
    loop = asyncio.new_event_loop()
    keystore = huks.Keystore.open("memory:", namespace="forgotten", monitor=False)
    loop.run_until_complete(keystore.aopen())
    loop.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del keystore, loop

        def told() -> list[str]:
            return [str(one.message) for one in caught if "Keystore" in str(one.message)]

        collect_until(told)
        gc.collect()
    assert told() == [
        "<Keystore 'memory:', namespace 'forgotten': open> was never closed: use `async with`, or `aclose`"
    ]


def test_trio_is_loaded_and_sniffio_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keystore works in asyncio's loop: whoever loads trio there does not change that."""
    monkeypatch.setitem(sys.modules, "sniffio", None)

    async def main() -> int:
        async with sqlite(tmp_path) as keystore:
            return await use(keystore)

    assert "trio" in sys.modules
    assert asyncio.run(main()) == 16


def test_trio_as_a_guest_of_asyncio(tmp_path: Path) -> None:
    """A keystore works in trio's tasks while asyncio's loop runs them, and another one in asyncio's own."""
    used: list[int] = []

    async def guest() -> None:
        async with sqlite(tmp_path) as keystore:
            used.append(await use(keystore))

    async def host() -> None:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            trio.lowlevel.start_guest_run(
                guest,
                run_sync_soon_threadsafe=loop.call_soon_threadsafe,
                done_callback=ended.set_result,
                host_uses_signal_set_wakeup_fd=True,
            )
            used.append(await use(keystore))
            (await ended).unwrap()
            used.append(await use(keystore))

    asyncio.run(host())
    assert used == [16, 16, 16]
    wait_until(lambda: threads_of_ours() == 0)


def test_another_loop_of_the_thread_does_not_end_a_session() -> None:
    """Whatever the size of the data, its call is refused before the session is taken."""
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    keystore = huks.Keystore.open("memory:", monitor=False)

    async def begin() -> int:
        await keystore.aopen()
        await keystore.generateKeyItem("key", options(**AES_CBC))
        return (await keystore.initSession("key", SESSION)).handle

    async def go_on(call: Callable[..., Awaitable[huks.HuksReturnResult]]) -> bytes:
        return (await call(handle, {"inData": bytes(1 << 20)})).outData

    handle = first.run_until_complete(begin())
    for call in (keystore.updateSession, keystore.finishSession):
        with pytest.raises(huks.BusinessError, match="not the one that runs now") as caught:
            second.run_until_complete(go_on(call))
        assert caught.value.code == 12000012
    assert len(first.run_until_complete(go_on(keystore.updateSession))) == 1 << 20
    first.run_until_complete(keystore.aclose())
    for loop in (first, second):
        loop.close()


@pytest.mark.asyncio
async def test_a_keystore_whose_task_was_cancelled_says_so() -> None:
    """Code that cancels all tasks closes it while its event loop goes on; it can be opened again."""
    keystore = huks.Keystore.open("memory:", monitor=False)
    before = asyncio.all_tasks()
    await keystore.aopen()
    await asyncio.sleep(0)  # the task begins
    tasks = asyncio.all_tasks() - before
    for task in tasks:
        task.cancel()
    with pytest.warns(ResourceWarning, match="code that cancels all tasks"):
        await asyncio.gather(*tasks, return_exceptions=True)
    with pytest.raises(huks.BusinessError, match="code that cancels all tasks; open it again"):
        await keystore.hasKeyItem("key", {})
    async with keystore:
        assert not (await keystore.hasKeyItem("key", {}))
