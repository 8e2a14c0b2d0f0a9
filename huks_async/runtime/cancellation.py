"""Telling a cancellation of the running task from an exception that only looks like one."""

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.lowlevel

from huks_async.runtime.closing import stop_if_abandoned
from huks_async.runtime.rounds import on_asyncio

T = TypeVar("T")
Args = TypeVarTuple("Args")


async def run_to_end(function: Callable[[*Args], Awaitable[T]], *args: *Args) -> T:
    """Await a call that must not stop halfway. A cancellation of the running task comes out once the call has ended.

    It stops halfway only where the process does, or an event loop that cancels all of its tasks. In a coroutine that may
    not wait, it is not begun (GeneratorExit).
    """
    stop_if_abandoned()
    if not on_asyncio():
        with anyio.CancelScope(shield=True):
            return await function(*args)
    import asyncio  # loaded already: its loop is running

    # in a task of its own, because `Task.cancel()` ignores shields
    call = asyncio.ensure_future(function(*args))
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not call.done():
            try:
                await asyncio.wait([call])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is None:
        return call.result()
    if not call.cancelled():
        call.exception()  # looked at, so that asyncio does not report it as one that nobody saw
    raise cancelled


def is_being_cancelled(since: int = 0) -> bool:
    """Whether the running task is being cancelled: by `Task.cancel()`, or by a cancel scope around it.

    Args:
        since: how many calls of `Task.cancel()` do not count, as `past_cancellations` gave it at an earlier time.
    """
    if anyio.current_effective_deadline() == -math.inf:
        return True
    if not on_asyncio():
        return False
    import asyncio  # loaded already: its loop is running

    task = asyncio.current_task()
    return task is None or task.cancelling() > since


def past_cancellations() -> int:
    """How many calls of `Task.cancel()` the running task has met and not taken back; 0 in trio and outside of any task.

    A task that swallows a cancellation keeps the number.
    """
    if not on_asyncio():
        return 0
    import asyncio  # loaded already: its loop is running

    task = asyncio.current_task()
    if task is None:
        return 0
    # One that came while the task was running, as from a signal's handler, is raised only where the task waits next. A
    # task of another class than asyncio's may not tell.
    pending = getattr(task, "_must_cancel", True)
    return max(0, task.cancelling() - bool(pending))


def is_cancelled_by(error: BaseException | None) -> bool:
    """Whether what leaves a block of the running task, None if nothing is raised, is a cancellation of this task.

    So it is in a cancelled scope, whatever is raised. A cancellation that came before the block and was swallowed, or
    one that a shield keeps off the block, is none of the block's.
    """
    if anyio.current_effective_deadline() == -math.inf:
        return True
    return isinstance(error, anyio.get_cancelled_exc_class()) and is_being_cancelled()


async def raise_unless_foreign(error: BaseException, since: int) -> None:
    """Raise a cancellation that was caught if it may be one of the running task; return if it is somebody else's.

    asyncio raises `CancelledError` also in a task that awaits another task or future which somebody has cancelled.
    Where foreign code is awaited, that is a failure of this code, and must not end the task that awaits it.

    Args:
        error: the cancellation.
        since: what `past_cancellations` gave before the foreign code was awaited; 0 if the task is all about that code.

    A cancel scope takes its own exception only. So if a scope around the task is cancelled at the moment at which
    another cancellation comes, the scope's is raised in place of that. (With versions of anyio before 4.16 a task that
    was also cancelled by `Task.cancel()` would go on then.)
    """
    # trio gives nobody else's cancellation to a task
    if not on_asyncio() or is_being_cancelled(since):
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise error


async def raise_unless_failures(group: BaseExceptionGroup[BaseException], since: int) -> None:
    """Raise what a group that was caught has in it beside failures of the code that was awaited; else return.

    Args:
        group: the group.
        since: as for `raise_unless_foreign`.

    The task group of such code, when it is cancelled, raises what failed in it meanwhile: in trio together with the
    cancellation, in asyncio in its place. So a cancelled scope around the task is asked, too.

    Raises:
        BaseException: a cancellation of the running task, never in a group; or the group, if it has something in it
            that is neither an `Exception` nor a cancellation, such as a KeyboardInterrupt.
    """
    await anyio.lowlevel.checkpoint_if_cancelled()
    cancelled, others = group.split(anyio.get_cancelled_exc_class())
    if others is not None and not isinstance(others, Exception):
        raise group
    if cancelled is not None:
        await raise_unless_foreign(_first(cancelled), since)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
