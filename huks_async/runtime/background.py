"""A coroutine in the background of an object that is opened and closed."""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio

from huks_async.runtime.cancellation import raise_unless_foreign
from huks_async.runtime.loops import asyncio_loop
from huks_async.runtime.rounds import on_asyncio

logger: logging.Logger = logging.getLogger("huks_async")

Function = Callable[[], Coroutine[Any, Any, None]]
Stop = Callable[[], Awaitable[None]]

_FAILED = "a background task of huks_async failed and has ended"

_PATIENCE = 5.0
"""Seconds after which a task is cancelled again: what it awaits may have lost the first time, as `asyncio.wait_for` of
Python 3.11 does at the moment of its result."""


class Background:
    """Runs one coroutine from `start` until it ends or `stop` is called, which waits for its end.

    The task belongs to the event loop, not to a task group: a task group must be left in the task that
    entered it, while service frameworks and test fixtures open and close in different tasks. Both
    asyncio.run and trio.run cancel it, and wait for its end, when the main task has ended.
    """

    def __init__(self) -> None:
        self._stop: Stop | None = None

    @property
    def running(self) -> bool:
        """Whether something was started and not stopped."""
        return self._stop is not None

    def start(self, function: Function) -> None:
        """Start `function()`. What it raises is logged."""
        self._stop = _start_asyncio(function) if on_asyncio() else _start_trio(function)

    async def stop(self) -> None:
        """Cancel the coroutine and wait for its end, also when cancelled. Does nothing if there is none.

        Called by the coroutine itself, which cannot wait for its own end, it does nothing.
        """
        stop, self._stop = self._stop, None
        if stop is not None:
            await stop()

    def forget(self) -> None:
        """Forget the task without ending it: for a child process after a fork, where the task is the parent's."""
        self._stop = None


_running: set[Any] = set()
"""Tasks that nothing else refers to. An event loop of asyncio does not keep its tasks alive."""


def run_by_itself(function: Function) -> None:
    """Have `function()` run in a task that nobody waits for. Called in the thread of an event loop, in any task or none.

    What it raises is logged.
    """
    loop = asyncio_loop()
    if loop is None:
        import trio

        trio.lowlevel.spawn_system_task(_logged, function)
        return
    task = loop.create_task(_logged(function))
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _logged(function: Function) -> None:
    # looked up before it is needed, because the event loop may have gone when this is closed
    cancelled = anyio.get_cancelled_exc_class()
    try:
        await function()
    except cancelled as error:
        await raise_unless_foreign(error, 0)
        logger.exception(_FAILED)
    except Exception:
        logger.exception(_FAILED)


def _start_asyncio(function: Function) -> Stop:
    import asyncio

    task = asyncio.get_running_loop().create_task(_logged(function), name="huks_async background")

    async def stop() -> None:
        if task is asyncio.current_task():
            return
        task.cancel()
        cancelled: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not task.done():
                try:
                    ended, _ = await asyncio.wait([task], timeout=_PATIENCE)
                    if not ended:
                        task.cancel()
                except asyncio.CancelledError as error:  # Task.cancel() ignores anyio's shields
                    cancelled = error
        if cancelled is not None:
            raise cancelled

    return stop


def _start_trio(function: Function) -> Stop:
    import trio

    scope, ended = trio.CancelScope(), trio.Event()

    async def run() -> None:
        try:
            with scope:
                await _logged(function)
        finally:
            ended.set()

    task = trio.lowlevel.spawn_system_task(run, name="huks_async background")

    async def stop() -> None:
        if task is trio.lowlevel.current_task():
            return
        scope.cancel()
        with trio.CancelScope(shield=True):
            await ended.wait()

    return stop
