"""Whose call it is in a coroutine that is closed in the middle of another caller's task."""

import asyncio
import gc
import types
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest

import huks_async as huks
from tests import loops
from tests.keystore.support import AES_CBC, options

in_each_loop = pytest.mark.parametrize("loop", loops.LOOPS)
ENCRYPTION = options(**AES_CBC | {"IV": bytes(16), "PURPOSE": 1})
KEY = options(**AES_CBC)


@types.coroutine
def pause() -> Any:
    yield


async def begins(keystore: Any, ended: list[Any]) -> None:
    """Open a session at its end: nothing waits for that where the key is in the cache."""
    try:
        ended.append((await keystore.initSession("k", ENCRYPTION)).handle)
    except huks.BusinessError as error:
        ended.append(error.code)


async def left(keystore: Any, ended: list[Any]) -> None:
    try:
        await pause()
    finally:
        await begins(keystore, ended)


async def parts(keystore: Any, ended: list[Any]) -> AsyncIterator[int]:
    try:
        yield 1
    finally:
        await begins(keystore, ended)


async def ready(keystore: huks.Keystore, *names: str) -> None:
    each = [keystore.for_caller(name) for name in names]
    for caller in each:
        await caller.generateKeyItem("k", KEY)
    for caller in each:
        await caller.abortSession((await caller.initSession("k", ENCRYPTION)).handle, {})


@in_each_loop
@pytest.mark.parametrize("interrupted", ["b", None])
def test_an_abandoned_task_does_not_act_as_the_one_that_it_interrupts(
    loop: Any, interrupted: str | None
) -> None:
    async def main() -> None:
        ended: list[Any] = []
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await ready(keystore, "a", "b", "default")
            with huks.as_caller("a"):
                coroutine = left(keystore, ended)
                coroutine.send(None)
            if interrupted is None:
                coroutine.close()
            else:
                with huks.as_caller(interrupted):
                    coroutine.close()
            assert ended == [12000012]
            assert keystore.statistics().open == 0

    loops.runner(loop)(main)


@in_each_loop
def test_nothing_is_left_to_the_loop_in_the_name_of_another_caller(loop: Any) -> None:
    async def closes(keystore: Any, ended: list[Any]) -> None:
        try:
            await pause()
        finally:
            try:
                await keystore.closeResource("any")
            except huks.BusinessError as error:
                ended.append(error.code)

    async def main() -> None:
        ended: list[Any] = []
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            coroutine = closes(keystore, ended)
            coroutine.send(None)
            with huks.as_caller("b"):
                coroutine.close()
        assert ended == [12000012]

    loops.runner(loop)(main)


@in_each_loop
@pytest.mark.filterwarnings("ignore:.*was garbage collected before it had been exhausted:ResourceWarning")
def test_a_generator_that_the_loop_closes_does_not_act_as_the_one_that_dropped_it(loop: Any) -> None:
    async def main() -> None:
        ended: list[Any] = []
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await ready(keystore, "a", "b", "default")
            with huks.as_caller("a"):
                generator = parts(keystore, ended)
                await anext(generator)
            with huks.as_caller("b"), anyio.fail_after(60):
                del generator
                while not ended:
                    gc.collect()
                    await anyio.sleep(0.001)
            assert ended == [12000012]

    loops.runner(loop)(main)


def test_a_generator_that_is_closed_in_a_task_of_its_own_cannot_tell() -> None:
    """The event loop makes such tasks, too, in any context."""

    async def main() -> None:
        ended: list[Any] = []
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await ready(keystore, "a")
            with huks.as_caller("a"):
                generator: Any = parts(keystore, ended)
                await anext(generator)
                await asyncio.create_task(generator.aclose())
            assert ended == [12000012]

    asyncio.run(main())


@in_each_loop
def test_who_is_named_acts_there_all_the_same(loop: Any) -> None:
    """By `for_caller`; so does a generator that is closed in the task that has it, and a keystore of one caller."""

    async def main() -> None:
        ended: list[Any] = []
        async with huks.Keystore.open("memory:", monitor=False) as alone:
            await alone.generateKeyItem("k", KEY)
            await alone.abortSession((await alone.initSession("k", ENCRYPTION)).handle, {})
            coroutine = left(alone, ended)
            coroutine.send(None)
            coroutine.close()
            await alone.abortSession(ended[0], {})
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await ready(keystore, "a", "b")
            coroutine = left(keystore.for_caller("a"), ended)
            coroutine.send(None)
            with huks.as_caller("b"):
                coroutine.close()
            with huks.as_caller("a"):
                async with aclosing(parts(keystore, ended)) as generator:  # type: ignore[type-var]
                    async for _ in generator:
                        break
            assert not {12000011, 12000012}.intersection(ended)
            assert keystore.statistics().open_by_caller == {huks.Caller("a", 100): 2}

    loops.runner(loop)(main)
