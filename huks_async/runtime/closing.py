"""What a coroutine leaves behind that is closed before its end, often by the garbage collector."""

import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from opcode import opmap
from threading import get_ident
from types import FrameType
from typing import Any, Final

from huks_async.runtime.loops import asyncio_loop

# of coroutines, generators and asynchronous generators; `inspect`, which has the names, takes long to be imported
_CAN_WAIT: Final = 0x20 | 0x80 | 0x100 | 0x200

# where a frame stands that awaits another one: SEND, or YIELD_VALUE while an exception is thrown into what it awaits
_AWAITS: Final = {opmap["SEND"], opmap["YIELD_VALUE"]}
_CACHE: Final = opmap["CACHE"]

Step = Callable[[], None]
Post = Callable[[Step], object]


def being_closed() -> bool:
    """Whether this runs in a coroutine or generator that is being closed, which often must not wait: see `abandoned`.

    The garbage collector closes one that was abandoned: in the middle of any other code, and in any thread.
    """
    return isinstance(sys.exception(), GeneratorExit)


def abandoned() -> bool:
    """Whether this runs in a coroutine or generator that is being closed and must not wait, since no task awaits it.

    The garbage collector closes so, and `close` of a coroutine. An asynchronous generator that its user closes (`aclose`)
    runs in the user's task instead, and may wait.
    """
    return being_closed() and not _runs_in_task(sys._getframe(1))


def _runs_in_task(frame: FrameType | None) -> bool:
    """Whether the coroutine that a frame belongs to is awaited by the running task, through any number of others.

    One that is closed by the collector has the frame above it that was interrupted, which may be a coroutine's, too; but
    that one does not await at this moment.
    """
    while frame is not None and not frame.f_code.co_flags & _CAN_WAIT:
        frame = frame.f_back  # what the coroutine has called
    while frame is not None and frame.f_back is not None and _awaits(frame.f_back):
        frame = frame.f_back
    return frame is not None and frame is _frame_of_task()


def _awaits(frame: FrameType) -> bool:
    if not frame.f_code.co_flags & _CAN_WAIT:
        return False
    code, place = frame.f_code.co_code, frame.f_lasti
    while place > 0 and code[place] == _CACHE:  # which belongs to the instruction before it
        place -= 2
    return code[place] in _AWAITS


def _frame_of_task() -> FrameType | None:
    """The frame with which the running task has begun; None without one."""
    loop = asyncio_loop()
    coroutine: Any = None
    if loop is not None:
        import asyncio  # loaded already: its loop is running

        task = asyncio.current_task(loop)
        coroutine = None if task is None else task.get_coro()
    elif (trio := sys.modules.get("trio")) is not None:
        with suppress(RuntimeError):  # it does not run in this thread
            coroutine = trio.lowlevel.current_task().coro
    frame: FrameType | None = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
    return frame


def _interrupts(packages: tuple[str, ...]) -> bool:
    """Whether the coroutine that is being closed runs in the middle of a function of one of these packages.

    One that the garbage collector closes may; an asynchronous generator that its user closes does not, and may go on
    with calls of them.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not frame.f_code.co_flags & _CAN_WAIT:
        frame = frame.f_back  # what the coroutine has called
    while frame is not None and frame.f_code.co_flags & _CAN_WAIT:
        frame = frame.f_back  # itself, and those that await it
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(packages) and not frame.f_code.co_flags & _CAN_WAIT:
            return True
        frame = frame.f_back
    return False


class Leftovers:
    """Steps that coroutines leave at their close, until the code that owns what they change is in no other step.

    Args:
        packages: how the names of the modules begin whose functions make up the steps of the owner.
        post: has a function called in the event loop of the owner, from any thread; None without a loop.
    """

    __slots__ = ("_packages", "_post", "_posted", "_steps", "_thread")

    def __init__(self, packages: tuple[str, ...], post: Post | None) -> None:
        self._packages = packages
        self._post = post
        self._posted = False
        self._steps: deque[Step] = deque()
        self._thread = get_ident()

    def in_the_way(self) -> bool:
        """Whether the running code may be in the middle of a step of the owner, and has to leave its own."""
        return being_closed() or not self.is_home

    @property
    def is_home(self) -> bool:
        """Whether this is the thread of the owner."""
        return get_ident() == self._thread

    def leave(self, step: Step) -> None:
        """Have a step done by `take`, or else soon by the event loop. From any thread."""
        # The order matters. Here a step is appended before the flag is read; in `take` the flag is cleared before the
        # steps are read. So a step is either seen by a call of `take` that is posted already, or posts one.
        self._steps.append(step)
        if not self._posted:
            self._posted = True
            self.post(self.take)

    def post(self, step: Step) -> None:
        """Have a step done by the event loop, if that has not ended. From any thread."""
        if self._post is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._post(step)

    def take(self) -> None:
        """Do all steps that were left, unless this runs in the middle of another one."""
        self._posted = False
        if self._steps and not (being_closed() and _interrupts(self._packages)):
            while self._steps:
                self._steps.popleft()()
