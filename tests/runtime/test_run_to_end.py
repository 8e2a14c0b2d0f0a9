"""Calls that must not stop halfway, with whatever the running task is cancelled."""

import asyncio
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from huks_async.runtime.cancellation import run_to_end
from tests.keystore.test_loops import BACKENDS, run


class Work:
    """Has begun, is over."""

    def __init__(self) -> None:
        self.begun, self.go, self.over = anyio.Event(), anyio.Event(), False

    async def __call__(self, result: str) -> str:
        self.begun.set()
        await self.go.wait()
        await anyio.lowlevel.checkpoint()
        self.over = True
        if result == "fails":
            raise OSError(result)
        return result


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_what_a_call_gives_and_raises(backend: str, settings: dict[str, Any]) -> None:
    """Its result, its exception."""

    async def main() -> None:
        work = Work()
        work.go.set()
        assert await run_to_end(work, "done") == "done"
        with pytest.raises(OSError, match="fails"):
            await run_to_end(work, "fails")

    run(main, backend, settings)


@pytest.mark.parametrize("outcome", ["done", "fails"])
@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_a_scope_is_cancelled(backend: str, settings: dict[str, Any], outcome: str) -> None:
    """The call comes to its end, and the scope with it."""

    async def main() -> None:
        work = Work()
        passed = False

        async def call() -> None:
            nonlocal passed
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                try:
                    await run_to_end(work, outcome)
                finally:
                    await anyio.lowlevel.checkpoint()
                    passed = True

        scopes: list[anyio.CancelScope] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await work.begun.wait()
            scopes[0].cancel()
            await anyio.lowlevel.checkpoint()
            assert not work.over
            work.go.set()
        assert work.over
        assert not passed

    run(main, backend, settings)


@pytest.mark.parametrize("outcome", ["done", "fails"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_task_is_cancelled(times: int, outcome: str) -> None:
    """However often: the call comes to its end, then the task is cancelled."""

    async def main() -> None:
        work = Work()
        task = asyncio.create_task(run_to_end(work, outcome))
        await work.begun.wait()
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
        work.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert work.over

    asyncio.run(main())
