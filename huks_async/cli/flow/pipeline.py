"""Units of a long input through several threads, in order, in bounded memory.

Each thread takes a batch of units, works on them, and, where the output is a file that nobody sees yet, writes
them to their place itself. Where the output is a stream, the main thread writes them in order: a signal
breaks its waiting for a reader, as it breaks nothing in other threads. So reading, work and writing overlap,
and all processors work.
"""

import mmap
import os
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from huks_async.cli.flow.progress import Progress
from huks_async.cli.flow.source import Batch, Source
from huks_async.cli.flow.uncached import SPARE
from huks_async.cli.shell.console import CommandError
from huks_async.cli.shell.interrupts import interruptible
from huks_async.cli.shell.placed import BLOCK
from huks_async.model.params import BytesLike
from huks_async.runtime.daemons import DaemonThread
from huks_async.runtime.jobs import PAUSE

MEMORY_BYTES = 32 * 1024 * 1024
"""Buffers of all threads together take at most this, whatever the input and however many processors."""
_BATCH_BYTES = 1024 * 1024 + 64 * 1024
# a megabyte with its tags: as much stays in a processor's cache from reading to writing
_MOST_WORKERS = 8

Write: TypeAlias = Callable[[BytesLike], object]
"""Takes results one after another."""

WriteAt: TypeAlias = Callable[[memoryview, int], object]
"""Takes a result for a place of the output, from any thread."""


class Step(Protocol):
    """What is done to each unit. Called from several threads at once."""

    taken: int
    """Bytes of a unit."""
    given: int
    """Bytes that a whole unit becomes."""

    def __call__(self, place: int, last: bool, data: memoryview, into: memoryview) -> int:
        """Work on the unit at this place, and give the number of bytes written.

        Args:
            place: the unit's place in the whole input.
            last: whether the input ends with it.
            data: the unit.
            into: where the result goes; at least as long as that.

        """


@dataclass(slots=True)
class _Slot:
    taken: memoryview
    given: memoryview


@dataclass(frozen=True, slots=True)
class _Done:
    batch: Batch
    slot: _Slot
    length: int
    error: BaseException | None


def run(
    source: Source,
    step: Step,
    write: Write,
    progress: Progress,
    *,
    write_at: WriteAt | None = None,
    start: int = 0,
) -> int:
    """Take everything through the step to the output; gives the number of bytes written.

    Of a unit that fails, what comes before it is written, where results are written one after another, and its error
    is raised. Of several, it is that of the first in the input.

    Args:
        source: where units come from; `begin` was called.
        step: what becomes of them.
        write: where results go.
        progress: who is told.
        write_at: where results go instead, if threads may write each to its place themselves.
        start: the place of what becomes of the first unit of the input.

    """
    work = _Pipeline(source, step, write, write_at, start)
    try:
        return work.run(progress)
    finally:
        work.end()


class _Pipeline:
    def __init__(
        self, source: Source, step: Step, write: Write, write_at: WriteAt | None, start: int
    ) -> None:
        self._source = source
        self._step = step
        self._write = write
        self._write_at = write_at
        self._start = start
        self._free: queue.SimpleQueue[_Slot | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[_Done | BaseException | None] = queue.SimpleQueue()
        workers, slots, units = _dimensions(source.size, step, ordered=write_at is None)
        for _ in range(slots):
            self._free.put(_Slot(_memory(units * step.taken + SPARE), _memory(units * step.given + BLOCK)))
        self._threads = [DaemonThread(self._work) for _ in range(workers)]

    def run(self, progress: Progress) -> int:
        self._start_threads()
        waiting: dict[int, _Done] = {}
        running, following, taken, given = len(self._threads), 0, 0, 0
        while running or waiting:
            done = waiting.pop(following, None)
            if done is None:
                progress.show(taken)
                try:
                    # a queue in C: a signal breaks the waiting and leaves the queue whole
                    with interruptible():
                        news = self._done.get(timeout=progress.interval)
                except queue.Empty:
                    continue
                if isinstance(news, BaseException):
                    raise news
                if news is None:
                    running -= 1
                else:
                    waiting[news.batch.number] = news
                continue
            if self._write_at is None:
                self._write(done.slot.given[: done.length])
            if done.error is not None:
                raise done.error
            self._free.put(done.slot)
            following += 1
            taken += done.batch.length
            given += done.length
        return given

    def _start_threads(self) -> None:
        """Start as many threads as the system has; one alone does all the work."""
        for count, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError as error:
                if not count:
                    raise CommandError(
                        f"the system has no thread for the work ({error})",
                        hint="raise its limit of threads (ulimit -u), or end other programs",
                    ) from error
                self._threads = self._threads[:count]
                return

    def end(self) -> None:
        """Let no thread go on. None of them waits for anything but this."""
        self._source.stop()
        for _ in self._threads:
            self._free.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _work(self) -> None:
        try:
            while (slot := self._free.get()) is not None:
                batch = self._source.take(slot.taken)
                if batch is None:
                    break
                self._done.put(self._finish(batch, slot))
            self._done.put(None)
        except BaseException as error:  # the main thread raises it
            self._tell(error)

    def _tell(self, error: BaseException) -> None:
        """Hand it to the main thread, as soon as there is memory for that: it may wait for nothing else."""
        while True:
            try:
                self._done.put(error)
            except MemoryError:
                time.sleep(PAUSE)
            else:
                return

    def _finish(self, batch: Batch, slot: _Slot) -> _Done:
        step, goes = self._step, 0
        length = place = 0
        error = None
        taken, into = slot.taken[batch.begin :], slot.given
        if self._write_at is not None:
            # in memory it begins in a page where it begins in the file, so the disk can take it from there
            goes = self._start + batch.first * step.given
            into = into[goes % BLOCK :]
        units = max(1, -(-batch.length // step.taken))
        try:
            for count in range(units):
                piece = taken[place : min(batch.length, place + step.taken)]
                last = batch.last and count == units - 1
                length += step(batch.first + count, last, piece, into[length:])
                place += step.taken
            if self._write_at is not None:
                self._write_at(into[:length], goes)
        except BaseException as raised:  # raised in its turn, after what comes before it
            error = raised
        return _Done(batch, slot, length, error)


def _dimensions(size: int | None, step: Step, *, ordered: bool) -> tuple[int, int, int]:
    """Threads, pairs of buffers, and units in one of them."""
    # two at least: one reads while the other works
    workers = max(2, min(_processors(), _MOST_WORKERS))
    slots = workers + 2 if ordered else workers
    room = min(_BATCH_BYTES, MEMORY_BYTES // (slots * 2))
    units = max(1, room // max(step.taken, step.given))
    if size is not None:
        batches = max(1, -(-size // (units * step.taken)))
        workers, slots = min(workers, batches), min(slots, batches)
    return workers, slots, units


def _memory(length: int) -> memoryview:
    """Memory that begins at a page. Pages come into being as they are used, so small inputs use little of it."""
    return memoryview(mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE))


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
