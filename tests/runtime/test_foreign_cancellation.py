"""Whose cancellation a caught one is, and which exception is raised then."""

import asyncio

import anyio
import pytest

from huks_async.runtime.cancellation import raise_unless_failures, raise_unless_foreign, was_cancelled

pytestmark = pytest.mark.asyncio


async def test_the_task_s_own_stays_what_it_is() -> None:
    """Also if a scope around the task is cancelled at that moment: the task ends as cancelled."""

    async def work() -> None:
        with anyio.CancelScope() as scope:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                scope.cancel()
                await raise_unless_foreign(error)
        raise AssertionError("the task went on")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel("mine")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_somebody_else_s_is_told_apart() -> None:
    """A future that was cancelled raises the same exception in whoever awaits it."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    try:
        await future
    except asyncio.CancelledError as error:
        assert not was_cancelled()
        await raise_unless_foreign(error)  # returns


async def test_a_scope_that_is_cancelled_ends() -> None:
    """Its own exception comes in place of somebody else's, which it would let out."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    with anyio.CancelScope() as scope:
        try:
            await future
        except asyncio.CancelledError as error:
            scope.cancel()
            await raise_unless_foreign(error)
    assert scope.cancelled_caught


async def test_a_group_that_ends_the_process_goes_on() -> None:
    """Whatever else is in it; a group of failures, and of what somebody else had cancelled, is told by return."""
    group = BaseExceptionGroup("all", [RuntimeError(), asyncio.CancelledError(), SystemExit(3)])
    with pytest.raises(BaseExceptionGroup) as caught:
        await raise_unless_failures(group)
    assert caught.value is group
    await raise_unless_failures(ExceptionGroup("all", [RuntimeError()]))
    await raise_unless_failures(BaseExceptionGroup("all", [RuntimeError(), asyncio.CancelledError()]))
