"""Who closes a coroutine: its user, who awaits the end, or the garbage collector, which waits for nothing."""

import gc
import threading
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from huks_async.runtime.closing import abandoned, being_closed
from tests import loops
from tests.garbage import collect_until

Seen = list[tuple[bool, bool]]

in_each_loop = pytest.mark.parametrize("loop", loops.LOOPS)


@types.coroutine
def pause() -> Any:
    yield


def look(seen: Seen) -> None:
    seen.append((being_closed(), abandoned()))


async def look_within(seen: Seen) -> None:
    look(seen)


async def parts(seen: Seen, rests: bool = False) -> AsyncIterator[int]:
    try:
        yield 1
    finally:
        if rests:
            await anyio.lowlevel.checkpoint()
        await look_within(seen)
        look(seen)


async def more_parts(seen: Seen, rests: bool = False) -> AsyncIterator[int]:
    async with aclosing(parts(seen, rests)) as inner:  # type: ignore[type-var]
        async for part in inner:
            yield part


@asynccontextmanager
async def block(seen: Seen) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await look_within(seen)
        look(seen)


async def parts_of_block(seen: Seen, rests: bool = False) -> AsyncIterator[int]:
    async with block(seen):
        yield 1


MADE = pytest.mark.parametrize("make", [parts, more_parts, parts_of_block])


@in_each_loop
@MADE
@pytest.mark.parametrize("rests", [False, True])
def test_a_generator_that_its_user_closes_may_wait(loop: Any, make: Callable[..., Any], rests: bool) -> None:
    """Also in a task of a group, and after it has waited."""

    async def use(seen: Seen) -> None:
        async with aclosing(make(seen, rests)) as given:
            async for _ in given:
                break

    async def main() -> None:
        seen: Seen = []
        await use(seen)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use, seen)
        assert seen == [(True, False)] * 4

    loops.runner(loop)(main)


async def uses_block(seen: Seen) -> None:
    async with block(seen):
        await pause()


async def uses_parts(seen: Seen) -> None:
    async with aclosing(parts(seen)) as given:  # type: ignore[type-var]
        async for _ in given:
            await pause()


async def looks(seen: Seen) -> None:
    try:
        await pause()
    finally:
        await look_within(seen)
        look(seen)


async def here(close: Callable[[], None]) -> None:
    close()


async def deeper(close: Callable[[], None]) -> None:
    for each in [close]:
        (lambda: each())()


async def in_a_thread(close: Callable[[], None]) -> None:
    thread = threading.Thread(target=close)
    thread.start()
    thread.join()


async def in_a_closing_generator(close: Callable[[], None]) -> None:
    """Which may wait itself."""

    async def given() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            close()

    async with aclosing(given()) as generator:  # type: ignore[type-var]
        async for _ in generator:
            break


@in_each_loop
@pytest.mark.parametrize("make", [looks, uses_block, uses_parts])
@pytest.mark.parametrize("where", [here, deeper, in_a_thread, in_a_closing_generator])
@pytest.mark.parametrize("collected", [False, True], ids=["closed", "collected"])
def test_one_that_nobody_awaits_may_not(
    loop: Any, make: Any, where: Callable[[Callable[[], None]], Awaitable[None]], collected: bool
) -> None:
    """Whatever is interrupted by its end."""

    async def main() -> None:
        seen: Seen = []
        coroutine = make(seen)
        coroutine.send(None)
        if collected:
            circle: list[Any] = [coroutine]
            circle.append(circle)
            del coroutine, circle
            await where(lambda: collect_until(lambda: len(seen) == 2))
        else:
            await where(coroutine.close)
        assert seen == [(True, True)] * 2

    gc.disable()
    try:
        loops.runner(loop)(main)
    finally:
        gc.enable()


@in_each_loop
def test_one_that_is_not_closed_is_not_abandoned(loop: Any) -> None:
    """It may wait, also while it handles an exception."""

    async def main() -> None:
        seen: Seen = []
        look(seen)
        try:
            raise ValueError
        except ValueError:
            await look_within(seen)
        assert seen == [(False, False)] * 2

    loops.runner(loop)(main)


def test_without_an_event_loop_nobody_awaits() -> None:
    """As where the collector runs in a thread of a pool, or after the end of the program."""
    seen: Seen = []
    coroutine = looks(seen)
    coroutine.send(None)
    coroutine.close()
    assert seen == [(True, True)] * 2
