"""Ctrl-C and SIGTERM as a clean end.

A signal cancels the command's task, so that sessions abort and temporary files go. A system call
that waits (a read from a pipe, a write to a full one) is restarted by Python after a signal handler
that returns, so there the handler raises.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class Interrupted(BaseException):
    """A signal asked the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class _State:
    received: int | None = None
    waiting = False


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Allow a signal to break the system calls inside.

    Raises:
        Interrupted: a signal arrived, or had arrived before.

    """
    if _State.received is not None:
        raise Interrupted(_State.received)
    _State.waiting = True
    try:
        yield
    finally:
        _State.waiting = False


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new event loop to its end, or to the first signal.

    Raises:
        Interrupted: a signal ended the work.

    """
    _State.received = None
    with asyncio.Runner() as runner:
        try:
            return runner.run(_watched(work))
        except asyncio.CancelledError:
            raise Interrupted(_State.received or signal.SIGINT) from None


async def _watched(work: Coroutine[Any, Any, T]) -> T:
    if threading.current_thread() is not threading.main_thread():
        return await work
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def handle(number: int, frame: FrameType | None) -> None:
        _State.received = number
        if _State.waiting:
            raise Interrupted(number)
        if task is not None:
            task.cancel()
        # the loop may be asleep and must see the cancellation
        loop.call_soon_threadsafe(lambda: None)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return await work
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
