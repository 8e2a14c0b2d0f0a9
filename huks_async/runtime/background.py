"""A coroutine in the background of an object that is opened and closed."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel


class Background:
    """Runs one coroutine from `start` until it ends or `stop` is called, which waits for its end.

    Under asyncio this is a task owned by the object, not a task group: a task group must be left in the
    task that entered it, while service frameworks and test fixtures open and close in different tasks.
    Under trio, where every task needs one, it is a task group.
    """

    def __init__(self) -> None:
        self._stop: Callable[[], Awaitable[None]] | None = None

    @property
    def running(self) -> bool:
        """Whether something was started and not stopped."""
        return self._stop is not None

    async def start(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start `function()`."""
        if anyio.get_cancelled_exc_class().__module__.startswith("asyncio"):
            self._stop = _start_asyncio(function)
        else:
            group = anyio.create_task_group()
            await group.__aenter__()
            group.start_soon(function)
            self._stop = _group_stopper(group)

    async def stop(self) -> None:
        """Cancel the coroutine and wait for its end. Does nothing if there is none."""
        stop, self._stop = self._stop, None
        if stop is not None:
            await stop()


def _start_asyncio(function: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Awaitable[None]]:
    import asyncio

    task = asyncio.get_running_loop().create_task(function(), name="huks_async background")

    async def stop() -> None:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # marks it as seen; what runs here logs its own failures

    return stop


def _group_stopper(group: anyio.abc.TaskGroup) -> Callable[[], Awaitable[None]]:
    async def stop() -> None:
        group.cancel_scope.cancel()
        await group.__aexit__(None, None, None)

    return stop
