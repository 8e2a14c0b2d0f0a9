"""Letting the event loop run its other tasks."""

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from types import coroutine

import anyio
import anyio.lowlevel


def on_asyncio() -> bool:
    """Whether the running event loop is asyncio's, or one with its interface."""
    return anyio.get_cancelled_exc_class().__module__.startswith("asyncio")


def other_rounds(count: int) -> Callable[[], Awaitable[object]]:
    """Return the cheapest way for a task of the running loop to let every other task run, `count` times.

    If the task is cancelled meanwhile, the cancellation is raised there.
    """
    if not on_asyncio():
        return partial(_checkpoints, count)

    # What `asyncio.sleep(0)` does, in one step for all rounds: a task that yields None runs again in the next one.
    @coroutine
    def rounds() -> Generator[None, None, None]:
        for _ in range(count):
            yield

    return rounds


async def _checkpoints(count: int) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()
