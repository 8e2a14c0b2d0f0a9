"""A call that waits for the lock of all processes and is given up: it ends while the lock is still held, and did nothing."""

import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from huks_async.model.errors import BusinessError
from huks_async.runtime.stops import StoppedError
from huks_async.stores import SqliteStore
from huks_async.stores.sqlite.commitlock import CommitLock, _Line, _Request
from huks_async.stores.sqlite.lockfile import LockFile
from tests.stores.peer import name

_LONG = 300.0
"""A busy timeout that no test waits for."""

Run = Callable[[Callable[[SqliteStore], Awaitable[None]]], None]


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The requests that have begun to wait for the lock."""
    requests: list[object] = []
    join_line = CommitLock._join_line

    def join(self: CommitLock, request: _Request) -> _Line:
        line = join_line(self, request)
        requests.append(request)
        return line

    monkeypatch.setattr(CommitLock, "_join_line", join)
    return requests


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Run a test with an open store that has a row, on each kind of event loop."""
    pytest.importorskip(request.param)

    def run(test: Callable[[SqliteStore], Awaitable[None]]) -> None:
        async def main() -> None:
            store = SqliteStore(tmp_path / "keys.db", busy_timeout=_LONG)
            await store.open()
            await store.put(name("a"), b"x")
            await test(store)
            await store.aclose()

        anyio.run(main, backend=request.param)

    return run


async def _until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(120):
        while not condition():
            await anyio.sleep(0.001)


@contextmanager
def _held(store: SqliteStore) -> Iterator[None]:
    """Somebody has the lock of all processes, and stands still."""
    file = LockFile(store.path)
    held = file.take_at_once()
    assert held is not None
    try:
        yield
    finally:
        file.release(held)
        file.close_spare()


async def _given_up(
    call: Callable[[], Awaitable[object]],
    waiting: list[object],
    close: Callable[[], Awaitable[None]] | None = None,
) -> str:
    """Make a call that waits for the lock, and cancel it, or close its store; give the message of the error it raises."""
    messages: list[str] = []
    scope = anyio.CancelScope()
    waiting.clear()

    async def make() -> None:
        with scope:
            try:
                await call()
            except BusinessError as error:
                assert error.code == 12000012
                messages.append(error.message)

    with anyio.fail_after(120):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(make)
            await _until(lambda: waiting)
            if close is None:
                scope.cancel()
            else:
                await close()
    return "".join(messages)


def test_an_opening(run: Run, waiting: list[object]) -> None:
    """Cancelled, or closed by another task; it can be opened later."""

    async def test(store: SqliteStore) -> None:
        other = SqliteStore(store.path, busy_timeout=_LONG)
        with _held(store):
            assert await _given_up(other.open, waiting) == ""
            assert "closed while it was being opened" in await _given_up(other.open, waiting, other.aclose)
        await other.open()
        assert await other.get(name("a"))
        await other.aclose()

    run(test)


def test_a_backup(run: Run, waiting: list[object]) -> None:
    """Cancelled, or its store closed by another task; nothing is left of it."""

    async def test(store: SqliteStore) -> None:
        def backup() -> Awaitable[object]:
            return store.backup(f"{store.path}.copy", lambda *_: None, lambda _: None)

        with _held(store):
            assert await _given_up(backup, waiting) == ""
            assert "closed during its backup" in await _given_up(backup, waiting, store.aclose)
        assert not [file for file in Path(store.path).parent.iterdir() if "copy" in file.name]

    run(test)


@pytest.mark.parametrize("what", ["row", "list"])
def test_a_read(run: Run, waiting: list[object], what: str) -> None:
    """Of files that have to be found again, which needs the lock; the thread is free for the next read."""

    async def test(store: SqliteStore) -> None:
        def call() -> Awaitable[object]:
            return store.get(name("a")) if what == "row" else store.aliases("app", 2)

        os.unlink(f"{store.path}-wal")
        threads = store._threads
        assert threads is not None
        with _held(store):
            assert await _given_up(call, waiting) == ""
            await _until(lambda: not threads.reader.active)
        assert await call()

    run(test)


@pytest.mark.parametrize("what", ["put", "delete"])
def test_a_write(run: Run, waiting: list[object], what: str) -> None:
    """It is not carried out, and the next one is."""

    async def test(store: SqliteStore) -> None:
        def call() -> Awaitable[object]:
            return store.put(name("b"), b"y") if what == "put" else store.delete(name("a"))

        threads = store._threads
        assert threads is not None
        writer = threads.writer
        assert writer is not None
        with _held(store):
            assert await _given_up(call, waiting) == ""
            await _until(lambda: not writer.active)
        await store.put(name("c"), b"z")
        assert await store.aliases("app", 2) == ["a", "c"]

    run(test)


def test_what_has_begun_goes_on(tmp_path: Path, waiting: list[object]) -> None:
    """Whoever gives up then gets what came of it."""
    lock, other = CommitLock(str(tmp_path / "x"), "s"), LockFile(str(tmp_path / "x"))
    held = other.take_at_once()
    assert held is not None
    begun, given_up = threading.Event(), threading.Event()
    outcome: list[int] = []

    def work() -> int:
        begun.set()
        assert given_up.wait(120)
        return 5

    def check() -> None:
        if begun.is_set():
            given_up.set()
            raise StoppedError

    caller = threading.Thread(target=lambda: outcome.append(lock.call(work, _LONG, check=check)), daemon=True)
    caller.start()
    while not waiting:
        time.sleep(0.001)
    other.release(held)
    caller.join(120)
    assert outcome == [5]
    assert lock.call(lambda: 6, 0) == 6
    lock.close()
    other.close_spare()
