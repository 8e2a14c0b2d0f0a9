"""A keystore whose block is left by a task that the garbage collector ends: there nothing may wait."""

import sys
import types
from typing import Any

import anyio
import pytest

import huks_async as huks
from tests import loops
from tests.garbage import close
from tests.keystore.test_loops import use


@types.coroutine
def pause() -> Any:
    yield


@pytest.mark.parametrize("loop", loops.LOOPS)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["this thread", "another thread"])
def test_the_event_loop_closes_it(loop: Any, elsewhere: bool) -> None:
    """It was said to be opening or closing for ever, and could not be opened again."""
    ended: list[str] = []

    async def left(keystore: huks.Keystore) -> None:
        try:
            await pause()
        finally:
            await keystore.__aexit__(*sys.exc_info())
            ended.append("left")
            await keystore.aclose()
            ended.append("closed")

    async def main() -> None:
        keystore = huks.Keystore.open("memory:")
        await keystore.aopen()
        coroutine = left(keystore)
        coroutine.send(None)
        close(coroutine, elsewhere=elsewhere)
        assert ended == ["left", "closed"]
        with anyio.fail_after(60):
            while keystore.is_open or "closing" in repr(keystore):
                await anyio.sleep(0.001)
            async with keystore:
                assert await use(keystore) == 16

    loops.runner(loop)(main)
