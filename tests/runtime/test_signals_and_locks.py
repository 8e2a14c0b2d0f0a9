"""Locks that the main thread takes where a signal handler raises: none stays taken."""

import _thread
import asyncio
import signal
import threading
from contextlib import contextmanager
from functools import partial

import pytest

from huks_async.files.shared_work import SharedWork
from huks_async.runtime import taking as module
from huks_async.runtime.taking import taking
from huks_async.runtime.workers import WorkerPool
from huks_async.stores.sqlite import guards


class Interrupted:
    """A lock at whose taking a signal comes. Its handler is called as soon as the interpreter looks for signals."""

    def __init__(self, lock):
        self.lock = lock
        # an object of C, as the functions of locks are, at whose end the interpreter looks
        self.acquire = partial(self.take)
        self.release = lock.release

    def take(self, blocking=True):
        taken = self.lock.acquire(blocking)
        # called by the loop, which does not look
        for _ in iter(_thread.interrupt_main, 0):
            break
        return taken


def is_free(lock):
    """For another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(lock.acquire(blocking=False)))
    thread.start()
    thread.join()
    return found[0]


@contextmanager
def interrupts():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("make", [threading.Lock, threading.RLock])
def test_the_lock_is_free_after_the_exception_of_a_handler(make, blocking):
    """It came between the taking and the `try`, and whoever took the lock next waited for ever."""
    lock = make()
    with interrupts():
        for _ in taking(Interrupted(lock), blocking=blocking):
            try:
                abs(0)
            finally:
                lock.release()
            break
    assert is_free(lock)


def test_one_that_is_taken_is_passed_over():
    """Where nobody waits for it."""
    lock = threading.Lock()
    rounds = []
    for _ in range(2):
        for _ in taking(lock, blocking=False):
            rounds.append(1)
            break
    assert rounds == [1]


@pytest.fixture
def interrupted(monkeypatch):
    """Have a signal come whenever a lock is taken in this way."""

    def interrupted(lock, blocking=True):
        return taking(Interrupted(lock), blocking=blocking)

    for place in (module, guards):
        monkeypatch.setattr(place, "taking", interrupted)
    monkeypatch.setattr("huks_async.runtime.workers.taking", interrupted)
    monkeypatch.setattr("huks_async.files.shared_work.taking", interrupted)


def test_a_pool_works_on(interrupted):
    """After one that came while a job was counted, or handed to it, and one while it was closed."""

    async def main():
        pool = WorkerPool(1)
        with interrupts():
            pool._desk.count(1)
        assert is_free(pool._desk._lock)
        pool._desk._lock.release()
        with interrupts():
            pool._submit(int, ())
        assert is_free(pool._lock)

    asyncio.run(main())
    pool = WorkerPool(1)
    with interrupts():
        pool.close()
    assert is_free(pool._lock)


def test_a_shared_queue_works_on(interrupted):
    """After one that came while a helper was called."""

    async def main():
        work = SharedWork(WorkerPool(2), None)
        work._todo.append(None)
        with interrupts():
            work._call_helper()
        assert is_free(work._lock)

    asyncio.run(main())


def test_the_guards_of_databases_go_on(interrupted):
    """After one that came while a database was collected."""
    with interrupts():
        guards.release_collected([])
    assert is_free(guards._lock)
    guards._lock.release()
