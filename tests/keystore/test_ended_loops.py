"""An event loop is closed while a keystore is being opened or closed in it; the next loop closes what is left, and opens it."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import huks_async as huks
from huks_async.sessions.pressure import SilentSensor
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
