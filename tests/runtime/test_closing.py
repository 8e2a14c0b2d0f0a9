"""Who closes a coroutine: its user, who awaits the end, or the garbage collector, which waits for nothing."""

import asyncio
import gc
import sys
import threading
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from huks_async.runtime.closing import abandoned, being_closed
from huks_async.runtime.loops import asyncio_loop
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


async def failing_parts(seen: Seen, rests: bool = False) -> AsyncIterator[int]:
    """Which looks while it handles another error than the one that closes it."""
    try:
        yield 1
    finally:
        try:
            raise ValueError
        except ValueError:
            if rests:
                await anyio.lowlevel.checkpoint()
            await look_within(seen)
            look(seen)


MADE = pytest.mark.parametrize("make", [parts, more_parts, parts_of_block, failing_parts])


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


@in_each_loop
def test_a_cancelled_task_that_closes_a_generator_may_wait(loop: Any) -> None:
    """The cancellation is thrown through all that the task awaits, which stays suspended there meanwhile."""

    async def use(seen: Seen) -> None:
        async with aclosing(parts(seen)) as given:  # type: ignore[type-var]
            async for _ in given:
                await anyio.sleep_forever()

    async def uses(seen: Seen) -> None:
        await use(seen)

    async def main() -> None:
        seen: Seen = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(uses, seen)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert seen == [(True, False)] * 2

    loops.runner(loop)(main)


TASKS: dict[str, Callable[[Any], Any]] = {
    "awaited": lambda generator: generator.aclose(),
    "create_task": lambda generator: asyncio.create_task(generator.aclose()),
    "gather": lambda generator: asyncio.gather(generator.aclose()),
    "wait_for": lambda generator: asyncio.wait_for(generator.aclose(), 60),
    "shutdown_asyncgens": lambda generator: asyncio.get_running_loop().shutdown_asyncgens(),
}


@pytest.mark.parametrize("loop", [each for each in loops.LOOPS if each.id != "trio"])
@pytest.mark.parametrize("way", TASKS.values(), ids=TASKS)
@MADE
@pytest.mark.parametrize("rests", [False, True])
def test_a_generator_that_is_closed_by_a_task_of_its_own_may_wait(
    loop: Any, way: Callable[[Any], Any], make: Callable[..., Any], rests: bool
) -> None:
    """The task awaits what has no frame."""

    async def main() -> None:
        seen: Seen = []
        generator = make(seen, rests)
        await anext(generator)
        await way(generator)
        assert seen == [(True, False)] * 2

    loops.runner(loop)(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no task begins at once")
@pytest.mark.parametrize("way", TASKS.values(), ids=TASKS)
@MADE
@pytest.mark.parametrize("rests", [False, True])
def test_a_generator_that_is_closed_by_a_task_that_begins_at_once_may_wait(
    way: Callable[[Any], Any], make: Callable[..., Any], rests: bool
) -> None:
    """There is the frame above it that has made the task."""

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        seen: Seen = []
        generator = make(seen, rests)
        await anext(generator)
        await way(generator)
        assert seen == [(True, False)] * 2

    asyncio.run(main())


def test_a_generator_that_is_run_by_itself_may_wait() -> None:
    seen: Seen = []
    loop = asyncio.new_event_loop()
    try:
        generator = parts(seen, True)
        loop.run_until_complete(anext(generator))
        loop.run_until_complete(generator.aclose())  # type: ignore[attr-defined]
    finally:
        loop.close()
    assert seen == [(True, False)] * 2


@in_each_loop
@MADE
@pytest.mark.filterwarnings("ignore:.*was garbage collected before it had been exhausted:ResourceWarning")
def test_a_generator_that_the_loop_closes_may_wait(loop: Any, make: Callable[..., Any]) -> None:
    """One that was abandoned itself: whoever drops it."""

    async def main() -> None:
        seen: Seen = []
        generator = make(seen)
        await anext(generator)
        del generator
        with anyio.fail_after(60):
            while len(seen) < 2:
                gc.collect()
                await anyio.sleep(0.001)
        assert seen == [(True, False)] * 2

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


async def looks_in_another_error(seen: Seen) -> None:
    try:
        await pause()
    finally:
        try:
            raise ValueError
        except ValueError:
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


async def in_a_task_of_its_own(close: Callable[[], None]) -> None:
    """Of a generator, which awaits what has no frame. Not in trio, whose tasks all begin with a coroutine."""

    async def given() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            close()

    generator = given()
    await anext(generator)
    if asyncio_loop() is None:
        await generator.aclose()  # type: ignore[attr-defined]
    else:
        await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]


@in_each_loop
@pytest.mark.parametrize("make", [looks, uses_block, uses_parts, looks_in_another_error])
@pytest.mark.parametrize("where", [here, deeper, in_a_thread, in_a_closing_generator, in_a_task_of_its_own])
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
@pytest.mark.parametrize("make", [looks, uses_block, looks_in_another_error])
def test_one_that_is_dropped_by_a_coroutine_that_returns_may_not(loop: Any, make: Any) -> None:
    """Whoever awaits that one stands where it awaits, still."""

    async def returns(seen: Seen) -> None:
        coroutine = make(seen)
        coroutine.send(None)

    async def main() -> None:
        seen: Seen = []
        await returns(seen)
        assert seen == [(True, True)] * 2

    loops.runner(loop)(main)


@in_each_loop
@pytest.mark.parametrize("make", [looks, uses_block, looks_in_another_error])
def test_one_that_is_collected_in_a_loop_over_pairs_may_not(loop: Any, make: Any) -> None:
    """Python 3.11 collects as soon as it makes what carries a pair, while the loop awaits it."""

    async def pairs(seen: Seen) -> AsyncIterator[tuple[int, int]]:
        while len(seen) < 2:
            gc.set_threshold(1)
            yield 1, 1
            gc.set_threshold(0)
            yield 2, 2

    async def main() -> None:
        seen: Seen = []
        circle: list[Any] = [make(seen)]
        circle[0].send(None)
        circle.append(circle)
        del circle
        async for _, _ in pairs(seen):
            pass
        assert seen == [(True, True)] * 2

    before = gc.get_threshold()
    try:
        loops.runner(loop)(main)
    finally:
        gc.set_threshold(*before)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no task begins at once")
def test_a_task_that_one_begins_at_its_end_may_wait() -> None:
    """It runs at once, below the code that is being closed."""

    async def begins(begun: list[Any], seen: Seen) -> None:
        try:
            await pause()
        finally:
            begun.append(asyncio.create_task(look_within(seen)))

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        begun: list[Any] = []
        seen: Seen = []
        coroutine = begins(begun, seen)
        coroutine.send(None)
        coroutine.close()
        await begun[0]
        assert seen == [(True, False)]

    asyncio.run(main())


@in_each_loop
def test_whoever_handles_an_error_of_one_that_was_closed_may_wait(loop: Any) -> None:
    """The closing is long over, although the error tells of it."""

    async def fails() -> None:
        try:
            await pause()
        finally:
            raise ValueError

    async def main() -> None:
        seen: Seen = []
        coroutine = fails()
        coroutine.send(None)
        try:
            coroutine.close()
        except ValueError:
            await look_within(seen)
            look(seen)
        assert [may_not for _, may_not in seen] == [False] * 2

    loops.runner(loop)(main)


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
