"""A thread that takes all waiting requests as one batch, for work that is cheaper when done together."""

import queue
import time
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

from huks_async.runtime.closing import stop_if_abandoned
from huks_async.runtime.jobs import PAUSE, Job
from huks_async.runtime.stops import Check, StoppedError
from huks_async.runtime.workers import Crew, Desk, hand_in_late

Q = TypeVar("Q")
R = TypeVar("R")

Handler: TypeAlias = Callable[[Callable[[], list[Q]], Check], list[R | BaseException]]
"""Handles the requests of a batch.

It is given what begins the batch, and the check of a batch that nobody waits for any more. What begins it returns the
requests in order, without those that were dropped until then; after that, none can be dropped. The handler returns
for each of these its result, or the exception to raise for it.
"""


class BatchWorker(Crew, Generic[Q, R]):
    """One thread that hands all waiting requests to a handler at once, in order.

    Args:
        handler: see `Handler`. What it raises itself is raised for every request of the batch.
        limit: the most requests in one batch.
        name: for the thread and for messages.

    """

    def __init__(
        self,
        handler: Handler[Q, R],
        *,
        limit: int = 1024,
        name: str = "huks-batch",
    ) -> None:
        super().__init__(1, name, _work, handler, limit)

    async def run(self, request: Q) -> R:
        """Have a request handled. On cancellation it is dropped if it has not begun; else its end is awaited.

        In a coroutine that may not wait, it is not handled (GeneratorExit).
        """
        stop_if_abandoned()
        return await self.start(request).outcome(shield=True)

    def start(self, request: Q) -> Job[R]:
        """Have a request handled without waiting for it: `Job.outcome` does."""
        return self._submit(None, (request,))


class _Batch:
    """The requests of one batch, each of which can be dropped until the handler begins."""

    def __init__(self, jobs: list[Job[Any]]) -> None:
        self.begun: list[Job[Any]] = []
        self._jobs = jobs
        self._requests: list[Any] | None = None

    def begin(self) -> list[Any]:
        if self._requests is None:
            self.begun = [job for job in self._jobs if job.take()]
            self._requests = [job.request() for job in self.begun]
        return self._requests

    def check(self) -> None:
        if not any(job.waits for job in self._jobs):
            raise StoppedError


def _work(desk: Desk, handler: Handler[Any, Any], limit: int) -> None:
    batch: list[Job[Any]] = []
    job: Job[Any] | None = None  # what this has in hand beside the batch
    counted = stop = False
    error: BaseException | None = None
    while True:
        # the handler only keeps what has failed, and the next round does what is left, as in a `WorkerPool`
        try:
            if error is not None:
                time.sleep(PAUSE)
                if job is not None:
                    batch.append(job)
                    job = None
                if not counted:
                    desk.count(-len(batch))
                    counted = True
                hand_in_late(batch, error)
                error = None
            if stop:
                return
            batch.clear()  # an idle thread must not keep the last results alive
            counted = False
            job = desk.jobs.get()
            while job is not None:
                if job.waits:
                    batch.append(job)
                else:
                    desk.count(-1)
                job = None
                if len(batch) >= limit:
                    break
                try:
                    job = desk.jobs.get_nowait()
                except (queue.Empty, MemoryError):  # the latter leaves the queue as it was
                    break
            else:
                stop = True
            if batch:
                _handle(batch, handler)
                desk.count(-len(batch))
                counted = True
                _hand_in(batch)
        except BaseException as failure:
            error = failure


def _hand_in(batch: list[Job[Any]]) -> None:
    """Return all jobs to their event loops together, so that each loop is woken only once."""
    home = batch[0].home
    if len(batch) == 1 or all(job.home is home for job in batch):
        home.hand_in(*batch)
        return
    for job in batch:
        job.home.hand_in(job)


def _handle(batch: list[Job[Any]], handler: Handler[Any, Any]) -> None:
    requests = [job for job in batch if not job.is_call]
    if requests:
        together = _Batch(requests)
        try:
            outcomes = handler(together.begin, together.check)
        except BaseException as error:
            for job in requests:
                job.settle_late(error)
        else:
            for job, outcome in zip(together.begun, outcomes, strict=True):
                job.settle(outcome)
    for job in batch:
        if job.is_call and job.take():
            job.execute()
