"""An event loop is closed while a keystore is being opened or closed in it; the next loop closes what is left, and opens it."""

import asyncio
import gc
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

import huks_async as huks
from huks_async.sessions.pressure import PressureEvent, SilentSensor
from huks_async.sessions.pressure import choose as choose_module
from tests.garbage import collect_until
from tests.keystore.test_loops import descriptors, threads_of_ours, use


@pytest.fixture(autouse=True)
def _unraisable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is left of the tasks of such a loop cannot await its end, and the interpreter says so when it is collected."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda _: None)
        yield
        gc.collect()


def _keystore(folder: Path) -> huks.Keystore:
    return huks.Keystore.open(
        f"sqlite:///{folder / 'keys.db'}",
        root_key=huks.FileRootKey(folder / "root.key"),
        limits=huks.Limits(max_idle=60),
        sensor=lambda: SilentSensor("none"),
    )


def _leave(
    keystore: huks.Keystore, function: str, turns: int, pause: float = 0.001
) -> "asyncio.Task[None] | None":
    """Close a loop after some turns of `aopen` or `aclose`; gives the task, None if that came to its end."""
    loop = asyncio.new_event_loop()
    if function == "aclose":
        loop.run_until_complete(keystore.aopen())
        loop.run_until_complete(use(keystore))
    task = loop.create_task(getattr(keystore, function)())
    for _ in range(turns):
        loop.run_until_complete(asyncio.sleep(pause))
    left = None if task.done() else task
    for one in asyncio.all_tasks(loop):
        one._log_destroy_pending = False  # type: ignore[attr-defined]
    if left is None:
        loop.run_until_complete(keystore.aclose())
    loop.close()
    return left


@pytest.mark.parametrize("then", ["aopen", "aclose"])
@pytest.mark.parametrize("function", ["aopen", "aclose"])
def test_a_loop_is_closed_in_the_middle(tmp_path: Path, function: str, then: str) -> None:
    """At whatever turn: the keystore is opened and used, and the garbage of the earlier loop takes nothing away from it."""
    files, threads = descriptors(), threads_of_ours()

    async def main(keystore: huks.Keystore, left: "list[asyncio.Task[None] | None]") -> None:
        if then == "aclose":
            await keystore.aclose()
        async with keystore:
            assert await use(keystore) == 16
            left.clear()
            gc.collect()
            assert all(one.running for one in (keystore._background, keystore._idle_timer, keystore._keeper))
            for _ in range(3):
                await asyncio.sleep(0)
                assert await use(keystore) == 16
            with pytest.raises(huks.BusinessError, match="open already"):
                await keystore.aopen()
        assert not keystore.is_open

    turns, again = 0, True
    while again:
        keystore = _keystore(tmp_path)
        left = [_leave(keystore, function, turns)]
        again = left[0] is not None
        asyncio.run(main(keystore, left))
        turns += 1 + turns // 8  # all of the first ones; a slow disk makes hundreds of them
    assert turns > 1
    del keystore
    collect_until(lambda: descriptors() <= files and threads_of_ours() <= threads)


def test_two_tasks_meet_a_keystore_that_was_half_closed(tmp_path: Path) -> None:
    """One of them closes it, and the other is told, or waits for that."""
    keystore = _keystore(tmp_path)
    left = [_leave(keystore, "aclose", 1, pause=0)]
    assert left[0] is not None

    async def main() -> None:
        await asyncio.gather(keystore.aclose(), keystore.aclose())
        assert "closed" in repr(keystore)
        outcomes = await asyncio.gather(keystore.aopen(), keystore.aopen(), return_exceptions=True)
        (refused,) = (outcome for outcome in outcomes if outcome is not None)
        assert isinstance(refused, huks.BusinessError)
        assert keystore.is_open
        await keystore.aclose()

    asyncio.run(main())
    left.clear()


class Scoped(SilentSensor):
    """Waits in a cancel scope, as a combination of sensors does."""

    closed = False

    async def wait(self) -> PressureEvent:
        with anyio.CancelScope():
            return await super().wait()

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("kind", ["own", "default"])
@pytest.mark.parametrize("waits", [True, False], ids=["sensor waits", "sensor is chosen"])
def test_a_keystore_that_a_closed_loop_leaves_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, waits: bool
) -> None:
    """It was kept for ever, with its descriptors and threads, because anyio forgets no task that is in a cancel scope."""
    monkeypatch.setenv("HUKS_ASYNC_HOME", str(tmp_path))
    files, threads = descriptors(), threads_of_ours()
    chosen: list[Scoped] = []
    let_choose = threading.Event()

    def choose() -> Scoped:
        assert let_choose.wait(120)
        chosen.append(Scoped("none"))
        return chosen[-1]

    monkeypatch.setattr(choose_module, "choose_sensor", choose)

    async def leave() -> "weakref.ref[huks.Keystore]":
        if kind == "own":
            keystore = huks.Keystore.open(
                f"sqlite:///{tmp_path / 'keys.db'}", root_key=huks.FileRootKey(tmp_path / "root.key")
            )
            await keystore.aopen()
        else:
            await huks.hasKeyItem("key", {})
            keystore = await huks.current_keystore()
        assert await use(keystore) == 16
        if waits:
            let_choose.set()
            while not chosen:
                await asyncio.sleep(0.001)
            while keystore._monitor.status() is None:
                await asyncio.sleep(0.001)
        return weakref.ref(keystore)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        loop = asyncio.new_event_loop()
        left = loop.run_until_complete(leave())
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            del task
        loop.close()
        del loop
        collect_until(lambda: left() is None)
        let_choose.set()
        collect_until(lambda: chosen and chosen[0].closed)
        told = [str(one.message) for one in warned if "was never closed" in str(one.message)]
        assert len(told) == (kind == "own")
        warned.clear()  # a warning holds the keystore that it is about
        collect_until(lambda: descriptors() <= files and threads_of_ours() <= threads)
