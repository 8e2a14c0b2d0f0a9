"""A coroutine in the background: it ends when it is stopped, whatever it does about that."""

import asyncio

import anyio
import pytest

from huks_async.runtime import background
from huks_async.runtime.jobs import current_home
from tests.keystore.test_loops import BACKENDS, run


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_one_that_loses_a_cancellation_is_cancelled_again(backend, settings, monkeypatch):
    """What it awaits swallowed the first one, as `asyncio.wait_for` of Python 3.11 may."""
    monkeypatch.setattr(background, "_PATIENCE", 0.01)
    lost = []

    async def loses() -> None:
        while True:
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                if len(lost) == 3:
                    raise
                lost.append(None)

    async def main() -> None:
        runs = background.Background()
        runs.start(loses)
        await anyio.sleep(0.01)
        await runs.stop()
        assert len(lost) == 3

    run(main, backend, settings)


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_one_that_stops_itself_goes_on(backend, settings):
    """It does not wait for its own end, and is not cancelled."""

    async def main() -> None:
        runs = background.Background()
        ended = anyio.Event()

        async def stops() -> None:
            await runs.stop()
            await anyio.sleep(0.001)
            ended.set()

        runs.start(stops)
        with anyio.fail_after(120):
            await ended.wait()
        assert not runs.running

    run(main, backend, settings)


def test_a_task_that_ends_at_once_is_no_hindrance():
    """Stopping what has ended already returns."""

    async def main() -> None:
        runs = background.Background()

        async def ends() -> None:
            return

        runs.start(ends)
        await asyncio.sleep(0.001)
        await runs.stop()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_one_that_meets_the_cancellation_of_another_task_says_that_it_has_ended(caplog):
    """It ended in silence, as if it had been stopped."""

    async def main() -> None:
        lost = asyncio.get_running_loop().create_future()
        lost.cancel()

        async def meets() -> None:
            await lost

        runs = background.Background()
        runs.start(meets)
        await asyncio.sleep(0.001)
        assert "background task of huks_async failed" in caplog.text
        await runs.stop()

    asyncio.run(main())


def test_one_that_is_stopped_says_nothing(caplog):
    """Its cancellation is its own."""

    async def main() -> None:
        runs = background.Background()
        runs.start(anyio.sleep_forever)
        await asyncio.sleep(0.001)
        await runs.stop()

    asyncio.run(main())
    assert not caplog.text


@pytest.mark.parametrize("posted", [False, True], ids=["in a task", "in a callback"])
@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_one_that_runs_by_itself_runs_to_its_end(backend, settings, posted, caplog):
    """Wherever it was begun; what it raises is logged."""

    async def main() -> None:
        ended = anyio.Event()

        async def runs() -> None:
            await anyio.sleep(0.001)
            ended.set()
            raise LookupError

        def begin() -> None:
            background.run_by_itself(runs)

        current_home(None).post(begin) if posted else begin()
        with anyio.fail_after(60):
            await ended.wait()
        await anyio.sleep(0.01)

    run(main, backend, settings)
    assert "LookupError" in caplog.text
