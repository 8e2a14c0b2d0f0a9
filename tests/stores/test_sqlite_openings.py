"""Several tasks open, leave and close one store object at once: it is open for those who stay, and closed for good."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from huks_async.model.errors import BusinessError
from huks_async.runtime.stops import Check
from huks_async.stores import ItemName, SqliteStore
from huks_async.stores.sqlite.engine import Engine
from tests.adversity.support import descriptors
from tests.keystore.test_loops import wait_until
from tests.threads import threads_begun

A = ItemName("app", 2, "a")


class Held:
    """Holds up the thread that opens an engine, before it or after it."""

    def __init__(self, *, after: bool) -> None:
        self.after = after
        self.reached = threading.Event()
        self.go_on = threading.Event()

    async def until_reached(self) -> None:
        """Wait until the thread is held up."""
        assert await asyncio.to_thread(self.reached.wait, 120)

    def here(self) -> None:
        """Hold up the thread that calls this."""
        self.reached.set()
        assert self.go_on.wait(120)


@pytest.fixture(params=[False, True], ids=["before", "after"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """The thread is held up before or after it has opened the engine."""
    held = Held(after=request.param)
    real = Engine.open

    def slow(engine: Engine, *, check: Check) -> None:
        if held.after:
            real(engine, check=check)
            held.here()
        else:
            held.here()
            real(engine, check=check)

    monkeypatch.setattr(Engine, "open", slow)
    yield held
    held.go_on.set()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store, of which in the end no thread and no open file may be left."""
    store = SqliteStore(tmp_path / "keys.db")
    yield store
    wait_until(lambda: not threads_begun("huks-store"))
    assert not [target for target in descriptors().values() if str(tmp_path) in target]


async def _let_others_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_one_that_is_cancelled_leaves_the_store_to_the_others(store: SqliteStore, held: Held) -> None:
    """Those who still open it when another gives up get a store that is open, and close all of it."""
    given_up, *others = [asyncio.create_task(store.open()) for _ in range(3)]
    await held.until_reached()
    given_up.cancel()
    await _let_others_run()
    held.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await asyncio.gather(*others)
    assert await store.put(A, b"x")
    await store.aclose()


@pytest.mark.asyncio
async def test_one_that_found_it_open_keeps_it(store: SqliteStore, held: Held) -> None:
    """Whoever was told that the store is open keeps it, even if the task that has opened it gives up."""
    given_up = asyncio.create_task(store.open())
    await held.until_reached()
    held.go_on.set()
    # the event loop stands still meanwhile, so that the task does not hear of it
    wait_until(lambda: store._threads is not None and store._threads.engine is not None)
    await store.open()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert await store.put(A, b"x")
    await store.aclose()


@pytest.mark.asyncio
async def test_the_last_one_that_is_cancelled_closes_it(store: SqliteStore, held: Held) -> None:
    """When all have given up, nothing is left open, and the store can be opened again."""
    tasks = [asyncio.create_task(store.open()) for _ in range(3)]
    await held.until_reached()
    for task in reversed(tasks):
        task.cancel()
    await _let_others_run()
    held.go_on.set()
    assert {type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)} == {
        asyncio.CancelledError
    }
    with pytest.raises(BusinessError, match="is not open"):
        await store.get(A)
    await store.open()
    assert await store.put(A, b"x")
    await store.aclose()


@pytest.mark.asyncio
async def test_a_store_that_is_closed_while_it_is_opened_is_closed(store: SqliteStore, held: Held) -> None:
    """The close waits for the opening and takes back what it did; who opened it is told."""
    tasks = [asyncio.create_task(store.open()) for _ in range(2)]
    await held.until_reached()
    closing = asyncio.create_task(store.aclose())
    await _let_others_run()
    assert not closing.done()
    held.go_on.set()
    await closing
    for task in tasks:
        with pytest.raises(BusinessError, match="was closed while it was being opened") as caught:
            await task
        assert caught.value.code == 12000012
    with pytest.raises(BusinessError, match="is not open"):
        await store.get(A)


@pytest.mark.asyncio
async def test_a_store_that_was_only_read_is_closed_without_a_new_thread(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have none to give, and gives none while the interpreter ends (3.12)."""
    await store.open()
    await store.aclose()
    await store.open()
    assert await store.get(A) is None

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        await store.aclose()
    assert not await asyncio.to_thread(Path(f"{store.path}-wal").exists)
