"""Whose cancellation a caught one is, and which exception is raised then."""

import asyncio

import anyio
import pytest

from huks_async.runtime.cancellation import past_cancellations, raise_unless_failures, raise_unless_foreign
from tests.loops import swallow_a_cancellation

pytestmark = pytest.mark.asyncio


async def test_the_task_s_own_stays_what_it_is() -> None:
    """Also if a scope around the task is cancelled at that moment: the task ends as cancelled."""

    async def work() -> None:
        with anyio.CancelScope() as scope:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                scope.cancel()
                await raise_unless_foreign(error, 0)
        raise AssertionError("the task went on")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel("mine")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@pytest.mark.parametrize("earlier", [0, 2], ids=["", "after the task's own were swallowed"])
async def test_somebody_else_s_is_told_apart(earlier: int) -> None:
    """A future that was cancelled raises the same exception in whoever awaits it."""
    for _ in range(earlier):
        await swallow_a_cancellation()
    assert past_cancellations() == earlier
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await future
    await raise_unless_foreign(caught.value, earlier)  # returns
    await raise_unless_failures(BaseExceptionGroup("all", [caught.value]), earlier)


async def test_one_of_the_task_s_own_that_is_still_to_come_is_not_past() -> None:
    """As when a signal's handler has cancelled the task while it ran: it is raised where the task waits next."""
    await swallow_a_cancellation()
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    since = past_cancellations()
    assert since == 1
    with pytest.raises(asyncio.CancelledError) as caught:
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await raise_unless_foreign(caught.value, since)
    assert past_cancellations() == 2


async def test_a_task_that_does_not_tell_what_is_to_come() -> None:
    """Such a task of another class may have one before it, so its last one counts as that."""

    class Plain:
        def cancelling(self) -> int:
            return 2

    assert past_cancellations() == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "current_task", Plain)
        assert past_cancellations() == 1


async def test_a_scope_that_is_cancelled_ends() -> None:
    """Its own exception comes in place of somebody else's, which it would let out."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    with anyio.CancelScope() as scope:
        try:
            await future
        except asyncio.CancelledError as error:
            scope.cancel()
            await raise_unless_foreign(error, 0)
    assert scope.cancelled_caught


async def test_a_group_that_ends_the_process_goes_on() -> None:
    """Whatever else is in it; a group of failures, and of what somebody else had cancelled, is told by return."""
    group = BaseExceptionGroup("all", [RuntimeError(), asyncio.CancelledError(), SystemExit(3)])
    with pytest.raises(BaseExceptionGroup) as caught:
        await raise_unless_failures(group, 0)
    assert caught.value is group
    await raise_unless_failures(ExceptionGroup("all", [RuntimeError()]), 0)
    await raise_unless_failures(BaseExceptionGroup("all", [RuntimeError(), asyncio.CancelledError()]), 0)
