"""Letting the event loop run its other tasks, if any wait."""

import os
import select
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Generator
from functools import partial
from types import coroutine
from typing import Any

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


def others_wait() -> Callable[[], bool] | None:
    """Return a function that tells whether anything but the running task waits for the running loop.

    That is a callback or task that may run, a timer that has expired, a file or socket that is ready, a loop that is
    to stop, or a task that has just begun an eager one. In another loop, thread or process it returns True.

    None where that cannot be seen: asyncio has no function for it, so this reads attributes of its usual loop on
    Linux, and of no other.
    """
    if not on_asyncio() or sys.platform != "linux":
        return None
    import asyncio  # loaded already: its loop is running
    import selectors

    running: Callable[[], Any] = asyncio._get_running_loop  # which gives None under trio, and raises nothing
    loop: Any = running()
    if type(loop) is not asyncio.SelectorEventLoop:
        return None
    selector: Any = getattr(loop, "_selector", None)
    ready, timers = getattr(loop, "_ready", None), getattr(loop, "_scheduled", None)
    if type(selector) is not selectors.EpollSelector or type(ready) is not deque or type(timers) is not list:
        return None
    if type(getattr(loop, "_stopping", None)) is not bool:
        return None
    # The tasks in their first step, of all loops. Whoever began an eager task goes on only after its first step.
    eager: Collection[object] = getattr(asyncio.tasks, "_eager_tasks", ())
    files = select.poll()  # of the loop's epoll, which is readable as long as it has an event to tell
    files.register(selector.fileno(), select.POLLIN)
    poll, clock, process_number, process = files.poll, loop.time, os.getpid, os.getpid()

    def wait() -> bool:
        if running() is not loop or loop._ready or loop._stopping or eager or process_number() != process:
            return True
        timers = loop._scheduled  # asyncio makes another list when it removes cancelled timers
        if timers and timers[0].when() <= clock():
            return True
        try:
            return bool(poll(0))
        except OSError:  # a process whose limit of open files is 0 may not ask for one, while its loop may
            return True

    return wait
