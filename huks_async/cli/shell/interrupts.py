"""Ctrl-C, SIGTERM and SIGHUP as a clean end.

While a command runs, a signal cancels its task, so that sessions abort and temporary files go. A system call
that waits (a read from a pipe, a write to a full one) is restarted by Python after a signal handler
that returns, so there the handler raises. Elsewhere it does not: an exception between any two steps would
leave half of what stands between them.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

from huks_command import ENDING

T = TypeVar("T")


class Interrupted(BaseException):
    """A signal asked the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status: int = 128 + number


class _State:
    received: int | None = None
    waiting = False
    wake: Callable[[], object] | None = None


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Take the signals over for the time of one command.

    Raises:
        Interrupted: one arrived.

    """
    _State.received, _State.waiting, _State.wake = None, False, None
    if threading.current_thread() is not threading.main_thread():
        # signals are the main thread's matter
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    taken = [number for number in ENDING if before[number] is not signal.SIG_IGN]
    try:
        for number in taken:
            signal.signal(number, _receive)
        yield
        check_interrupted()
    finally:
        for number in taken:
            signal.signal(number, before[number])


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Allow a signal to break the system calls inside.

    Raises:
        Interrupted: a signal arrived, or had arrived before.

    """
    outside = _State.waiting
    # first, so that a signal between the look and the wait is not missed
    _State.waiting = True
    try:
        check_interrupted()
        yield
    finally:
        # a further signal would break the clean-up that the first one began
        _State.waiting = outside and _State.received is None


def interrupted() -> bool:
    """Whether a signal asked the command to end."""
    return _State.received is not None


def check_interrupted() -> None:
    """End the command here if a signal asked for it.

    Raises:
        Interrupted: one did.

    """
    if _State.received is not None:
        raise Interrupted(_State.received)


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new event loop to its end, or to the first signal.

    Raises:
        Interrupted: a signal ended the work.

    """
    import asyncio

    with asyncio.Runner() as runner:
        try:
            return runner.run(_watched(work))
        except asyncio.CancelledError:
            raise Interrupted(_State.received or signal.SIGINT) from None
        finally:
            _State.wake = None


async def _watched(work: Coroutine[Any, Any, T]) -> T:
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        # the loop may be asleep and must see the cancellation
        _State.wake = lambda: loop.call_soon_threadsafe(task.cancel)
    try:
        check_interrupted()
    except Interrupted:
        work.close()
        raise
    return await work


def _receive(number: int, frame: FrameType | None) -> None:
    first = _State.received is None
    if first:
        _State.received = number
    if _State.waiting:
        _State.waiting = False
        raise Interrupted(number)
    # a second cancellation would break the clean-up that the first one began
    if first and _State.wake is not None:
        _State.wake()
