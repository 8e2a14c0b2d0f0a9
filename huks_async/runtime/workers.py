"""Worker threads for calls that would hold up the event loop.

A hop to one of these threads has about the same latency as `anyio.to_thread`, but costs several times less
processor time: the queue is a C object, and results that arrive together share one wake-up of the event loop.
The threads work in the same way under asyncio, uvloop and trio.
"""

import contextlib
import logging
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, TypeVarTuple

import anyio

from huks_async.model.errors import BusinessError
from huks_async.runtime.closing import abandoned, stop_if_abandoned
from huks_async.runtime.daemons import DaemonThread
from huks_async.runtime.forks import generation, notice_fork, refuse_after_fork
from huks_async.runtime.jobs import PAUSE, Home, Job, current_home
from huks_async.runtime.taking import taking

logger: logging.Logger = logging.getLogger("huks_async")

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Desk:
    """The state that the threads of a crew share.

    The threads refer to this and not to the crew, so that a crew that was forgotten can be garbage-collected.
    """

    __slots__ = ("_lock", "_taking", "_unfinished", "jobs", "threads")

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self.threads: int = 0
        self._lock = threading.Lock()
        self._taking = taking(self._lock)
        self._unfinished = 0

    @property
    def unfinished(self) -> int:
        """How many jobs wait or run."""
        return self._unfinished

    def count(self, change: int) -> int:
        """Add to the number of unfinished jobs, and return the number before."""
        for _ in self._taking:
            try:
                before = self._unfinished
                self._unfinished = before + change
            finally:
                self._lock.release()
            break
        return before

    def stop(self) -> None:
        """Let each thread end once the jobs that are waiting now are done."""
        for _ in range(self.threads):
            self.jobs.put(None)


class Crew:
    """Threads that take jobs from one queue until they are told to stop. Each is started when it is needed.

    Args:
        size: how many threads at most.
        name: for the threads and for messages.
        work: what a thread does; it ends when it finds None in the queue.
        args: further arguments of `work`.
        owner: the name of what the crew is closed with, for messages.

    """

    def __init__(
        self, size: int, name: str, work: Callable[[Desk, *Args], None], *args: *Args, owner: str = ""
    ) -> None:
        if size < 1:
            raise ValueError(f"a crew needs at least 1 thread, got {size}")
        self._size = size
        self._name = name
        self._work = work
        self._work_args = args
        self._owner = owner
        self._desk = Desk()
        # Taken again by the same thread where the garbage collector ends an abandoned task that submits a last job.
        self._lock = threading.RLock()
        self._closed = False
        self._home: Home | None = None
        self._born = generation()
        self._stop = weakref.finalize(self, _stop, self._desk, self._born)
        self._stop.atexit = False  # daemon threads end with the process

    @property
    def active(self) -> int:
        """Jobs that wait or run, for statistics."""
        return self._desk.unfinished

    @property
    def size(self) -> int:
        """How many threads there are at most."""
        return self._size

    @property
    def is_crowded(self) -> bool:
        """Whether jobs wait for a thread."""
        return self._desk.unfinished > self._desk.threads

    @property
    def threads(self) -> int:
        """Threads that were started."""
        return self._desk.threads

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Let the threads end once the waiting jobs are done. May be called again, and after the event loop ended."""
        if self._born != generation():
            return  # the threads are the parent's, and the lock may be held by one of them
        self._closed = True
        self._end()

    def _end(self) -> None:
        """Tell the threads to end; but not while a job is submitted, after which that is done.

        It does not wait: the job's thread may be the one that calls this before its first step, which is waited for.
        """
        for _ in taking(self._lock, blocking=False):
            try:
                if self._stop.detach() is not None:
                    self._home = None
                    self._desk.stop()
            finally:
                self._lock.release()
            break

    def finish(self, last: Callable[[], T]) -> Job[T]:
        """Close, and have a last call made after the jobs that are waiting. For crews of one thread.

        Await the job's `outcome` for the end of the call; the call is made even if nobody awaits it.
        """
        job = self._submit(last, ())
        self.close()
        return job

    def check_open(self) -> None:
        """Refuse when the threads were told to end, or are those of another process.

        Raises:
            BusinessError: 12000012 when the crew is closed or was made before a fork.
        """
        self._refuse_elsewhere()
        self._refuse_closed()

    def _refuse_elsewhere(self) -> None:
        notice_fork()
        refuse_after_fork(self._born, f"the worker pool '{self._name}'")

    def _refuse_closed(self) -> None:
        if self._closed:
            raise BusinessError(
                12000012,
                f"{self._owner} was closed meanwhile"
                if self._owner
                else f"the worker pool '{self._name}' is closed; open the keystore or store again",
            )

    def _submit(self, function: Callable[..., T] | None, args: tuple[Any, ...]) -> Job[T]:
        self._refuse_elsewhere()
        home = current_home(self._home)
        job = Job(home, function, args)
        for _ in taking(self._lock):
            try:
                # Wherever memory is allocated, the collector may end a task that submits a job, too, or closes this. So
                # a thread counts before it is made, and nothing is allocated between the last look and the put.
                before = self._desk.count(1)
                try:
                    if before >= self._desk.threads and self._desk.threads < self._size and not self._closed:
                        self._desk.threads += 1
                        self._start()
                    self._refuse_closed()
                    self._desk.jobs.put(job)
                except BaseException:
                    self._desk.count(-1)
                    raise
                self._home = home
            finally:
                self._lock.release()
                # The order matters: who closes says so before it looks whether the lock is free.
                if self._closed:
                    self._end()
            break
        return job

    def _start(self) -> None:
        """Start a thread that counts already."""
        thread = None
        try:
            name = f"{self._name}-{self._desk.threads}"
            thread = DaemonThread(self._work, (self._desk, *self._work_args), name)
            thread.start()
        except BaseException as error:
            if thread is not None and not thread.is_revoked:
                raise
            self._desk.threads -= 1
            if not isinstance(error, RuntimeError):
                raise
            if self._desk.threads == 0:
                raise BusinessError(
                    12000014,
                    f"the system gives no thread for '{self._name}' ({error}); raise its limit of threads or memory",
                ) from None
            # the threads that are running already will do the work


def _stop(desk: Desk, born: int) -> None:
    if born == generation():
        desk.stop()


def _yield_to_loop(nice: int) -> None:
    """Lower this thread's priority, where threads have one of their own (Linux)."""
    if nice and sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + nice)


def _work(desk: Desk, nice: int) -> None:
    job: Job[Any] | None = None
    counted = True
    error: BaseException | None = None
    while True:
        # Where memory runs out for a moment, it may run out again for the next step. So the handler only keeps what
        # has failed, and each round begins with what the last one has left, until that is done.
        try:
            if error is not None:
                time.sleep(PAUSE)
                if not counted:
                    desk.count(-1)
                    counted = True
                if job is not None:
                    hand_in_late([job], error)
                error = None
            if nice:
                _yield_to_loop(nice)
                nice = 0
            job = None  # an idle thread must not keep the last result alive
            job = desk.jobs.get()
            if job is None:
                return
            counted = False
            taken = job.take()
            if taken:
                job.execute()
            desk.count(-1)
            counted = True
            if taken:
                job.home.hand_in(job)
        except BaseException as failure:
            error = failure


def hand_in_late(jobs: Sequence[Job[Any]], error: BaseException) -> None:
    """Bring jobs to their end whose worker failed outside of their calls: nobody else would ever wake their tasks.

    To be called again when there is no memory for it. Jobs that were dropped, or handed in before, may be among them.

    Args:
        jobs: that the worker has in hand.
        error: what the worker failed by; for those that have no outcome.

    """
    for job in jobs:
        job.settle_late(error)
        try:
            job.home.hand_in(job)
        except MemoryError:
            raise
        except Exception:
            logger.exception("a worker of huks_async could not hand in a result")


class WorkerPool(Crew):
    """A bounded pool of threads for synchronous calls.

    Calls run without the caller's context variables. One pool can serve several event loops.

    Args:
        size: how many threads at most.
        name: for the threads and for messages.
        nice: by how much the threads' priority is lowered, in the units of `nice`; on Linux only. With as many busy
            threads as processors, an event loop of the same priority wakes up to 20 ms late; with 5 it is up to
            5 ms, and the threads lose nothing while the loop is idle.
        owner: the name of what the pool is closed with, for messages.

    """

    def __init__(self, size: int, *, name: str = "huks-worker", nice: int = 0, owner: str = "") -> None:
        super().__init__(size, name, _work, nice, owner=owner)

    async def run(
        self, function: Callable[[*Args], T], *args: *Args, when_cancelled: Callable[[], object] | None = None
    ) -> T:
        """Call `function(*args)` in a thread and give its result, or raise its exception.

        When this await is cancelled, it ends at once: a call that has not begun is dropped; one that has begun
        goes on in the background, and its result is discarded. `when_cancelled` is called then, to tell it that it may
        stop.

        Raises:
            BusinessError: 12000012 when the pool is closed or was made before a fork; 12000014 when the system
                gives no thread.
            GeneratorExit: in a coroutine that may not wait; the call is not made.

        """
        stop_if_abandoned()
        return await self._submit(function, args).outcome(shield=False, when_cancelled=when_cancelled)

    def start(self, function: Callable[[*Args], T], *args: *Args) -> Job[T]:
        """Have a call made without waiting for it: `Job.outcome` waits for it, `Job.drop` abandons it.

        Raises:
            BusinessError: as `run`.

        """
        return self._submit(function, args)

    async def run_shielded(
        self, function: Callable[[*Args], T], *args: *Args, when_cancelled: Callable[[], object] | None = None
    ) -> T:
        """Do as `run` does, but when cancelled after the call has begun, wait for its end first."""
        stop_if_abandoned()
        return await self._submit(function, args).outcome(shield=True, when_cancelled=when_cancelled)


async def run_to_its_end(function: Callable[[], T], *, name: str) -> T:
    """Call `function()` in a thread of its own and give its result, or raise its exception.

    For rare calls. Even when this await is cancelled, the call is made and its end is awaited. In a coroutine that may
    not wait, it is not made (GeneratorExit).
    """
    stop_if_abandoned()
    return await WorkerPool(1, name=name).finish(function).outcome(shield=True, drop=False)


async def close_in_worker(pool: WorkerPool, close: Callable[[], object]) -> None:
    """Call `close()` in a thread of a pool and wait for its end, also when cancelled; here if the pool is closed.

    It is called twice, and must do nothing the second time. In a coroutine that the garbage collector closes, this is
    `close_later`.
    """
    if abandoned():
        close_later(pool, close)
        return
    try:
        with anyio.CancelScope(shield=True), contextlib.suppress(BusinessError):
            await pool.run_shielded(close)
    finally:
        close()  # `Task.cancel()` ends the wait in spite of the shield, before the call has begun


def close_later(pool: WorkerPool, close: Callable[[], object]) -> None:
    """Have `close()` called in a thread of a pool without waiting, for a coroutine that is being closed itself.

    Called here where the pool is closed, or this is no thread of an event loop.
    """
    try:
        pool.start(close)
    except Exception:
        close()


class SerialWorker(WorkerPool):
    """One thread: calls run one after the other, in the order in which they came."""

    def __init__(self, *, name: str = "huks-serial") -> None:
        super().__init__(1, name=name)
