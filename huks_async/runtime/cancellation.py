"""Telling a cancellation of the running task from an exception that only looks like one."""

import math

import anyio
import anyio.lowlevel

from huks_async.runtime.rounds import on_asyncio


def was_cancelled() -> bool:
    """Whether the running task is being cancelled: by `Task.cancel()`, or by a cancel scope around it.

    asyncio raises `CancelledError` also in a task that awaits another task or future which somebody has cancelled.
    Where foreign code is awaited, that is a failure of this code, and must not end the task that awaits it.
    """
    if not on_asyncio() or anyio.current_effective_deadline() == -math.inf:
        return True  # trio gives nobody else's cancellation to a task
    import asyncio  # loaded already: its loop is running

    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def raise_unless_foreign(error: BaseException) -> None:
    """Raise a cancellation that was caught if it is one of the running task; return if it is somebody else's.

    A cancel scope takes its own exception only. So if a scope around the task is cancelled at the moment at which
    another cancellation comes, the scope's is raised in place of that. (With versions of anyio before 4.16 a task that
    was also cancelled by `Task.cancel()` would go on then.)
    """
    if was_cancelled():
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise error
