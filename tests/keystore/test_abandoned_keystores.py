"""A keystore whose block is left by a task that the garbage collector ends: there nothing may wait."""

import asyncio
import sys
import types
from collections.abc import AsyncIterator
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


def test_one_in_a_generator_is_closed_by_the_task_that_closes_the_generator() -> None:
    """Which is a task of its own; the keystore was still open after it."""

    async def within(opened: list[huks.Keystore]) -> AsyncIterator[None]:
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            opened.append(keystore)
            yield

    async def main() -> None:
        opened: list[huks.Keystore] = []
        generator: Any = within(opened)
        await anext(generator)
        await asyncio.create_task(generator.aclose())
        async with opened[0] as keystore:
            assert await use(keystore) == 16

    asyncio.run(main())
