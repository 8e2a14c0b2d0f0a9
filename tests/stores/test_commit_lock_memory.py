"""Whoever waits for the lock and gets no memory for a moment is told what became of its request."""

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from huks_async.model.errors import BusinessError
from huks_async.stores import ItemName, SqliteStore
from huks_async.stores.sqlite import commitlock
from huks_async.stores.sqlite.commitlock import CommitLock
from huks_async.stores.sqlite.lockfile import LockFile

A, B = ItemName("app", 2, "a"), ItemName("app", 2, "b")


class _NoMemory(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        raise MemoryError


@pytest.mark.asyncio
async def test_a_write_that_is_refused_is_never_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves the line that it had joined, and does not undo later what others have written meanwhile."""
    store = SqliteStore(tmp_path / "keys.db", busy_timeout=60)
    await store.open()
    held = os.open(tmp_path / "keys.db.lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    with monkeypatch.context() as patch:
        patch.setattr(commitlock.threading, "Event", _NoMemory)
        refused = store.put(A, b"refused")
        with pytest.raises(BusinessError, match="no memory"):
            await refused
    join, joined = CommitLock._join_line, threading.Event()

    def noted(self: CommitLock, request: commitlock._Request) -> commitlock._Line:
        line = join(self, request)
        joined.set()
        return line

    monkeypatch.setattr(CommitLock, "_join_line", noted)
    later = asyncio.create_task(store.put(B, b"later"))
    await asyncio.to_thread(joined.wait, 60)  # it stands behind the first
    os.close(held)
    await later
    assert await store.get(B) is not None
    assert await store.get(A) is None
    await store.aclose()


def test_a_call_that_is_carried_out_meanwhile_has_its_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be told that nothing was done, although it was."""
    lock, other = CommitLock(str(tmp_path / "x"), "s"), LockFile(str(tmp_path / "x"))
    running, goes_on = threading.Event(), threading.Event()
    event, waits = threading.Event, []

    class NoMemoryLater(event):
        def wait(self, timeout: float | None = None) -> bool:
            if not waits:
                waits.append(timeout)
                other.release(held)
            assert running.wait(60)
            goes_on.set()
            raise MemoryError

    def function() -> int:
        running.set()
        assert goes_on.wait(60)
        return 5

    held = other.take()
    assert held is not None
    monkeypatch.setattr(commitlock.threading, "Event", NoMemoryLater)
    assert lock.call(function, 60) == 5
    monkeypatch.undo()
    lock.close()
    other.close_spare()


@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "without memory to wait"])
def test_an_outcome_is_seen_without_memory_to_wake_whoever_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """The caller waited for ever."""
    lock, other = CommitLock(str(tmp_path / "x"), "s"), LockFile(str(tmp_path / "x"))
    event, running, goes_on = threading.Event, threading.Event(), threading.Event()
    outcome: list[int] = []

    class NoMemoryToWake(event):
        def wait(self, timeout: float | None = None) -> bool:
            if not running.is_set():
                other.release(held)
                assert running.wait(60)
            goes_on.set()
            if not waits:
                raise MemoryError
            return event.wait(self, timeout)

        def set(self) -> None:
            raise MemoryError

    def function() -> int:
        running.set()
        assert goes_on.wait(60)
        return 5

    held = other.take()
    assert held is not None
    caller = threading.Thread(target=lambda: outcome.append(lock.call(function, 60)), daemon=True)
    with monkeypatch.context() as patch:
        request = commitlock._Request.__init__

        def made(self: commitlock._Request, function: Callable[[], int]) -> None:
            request(self, function)
            self.ended = NoMemoryToWake()

        patch.setattr(commitlock._Request, "__init__", made)
        caller.start()
        caller.join(60)
    assert outcome == [5]
    lock.close()
    other.close_spare()


def test_nothing_is_looked_at_while_the_state_of_the_lock_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look allocates, and a collection of garbage at that moment may close the same lock."""
    file = LockFile(str(tmp_path / "x"))
    look, free = LockFile.is_current, []

    def noted(self: LockFile, descriptor: int) -> bool:
        free.append(self._state.acquire(blocking=False))
        if free[-1]:
            self._state.release()
        return look(self, descriptor)

    monkeypatch.setattr(LockFile, "is_current", noted)
    held = file.take()
    assert held is not None
    file.release(held)
    assert file._spare == held
    assert free == [True, True]
    file.close_spare()
