"""What a coroutine leaves behind that is closed before its end, often by the garbage collector."""

import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from opcode import opmap
from threading import get_ident
from types import CodeType, FrameType
from typing import Any, Final

from huks_async.runtime.loops import asyncio_loop

# of coroutines, generators and asynchronous generators; `inspect`, which has the names, takes long to be imported
_ASYNC_GENERATOR: Final = 0x200
_CAN_WAIT: Final = 0x20 | 0x80 | 0x100 | _ASYNC_GENERATOR

_SEND: Final = opmap["SEND"]
_YIELD_VALUE: Final = opmap["YIELD_VALUE"]
_RESUME: Final = opmap["RESUME"]
_CACHE: Final = opmap["CACHE"]

# how a frame is suspended, as the last bits of RESUME tell: at a `yield`, or (from here on) at what it awaits
_AT_YIELD: Final = 1
_AT_AWAIT: Final = 2

_LONGEST_CHAIN = 100
"""How many exceptions, each raised while another one was handled, are looked at. Such a chain may be a circle."""

Step = Callable[[], None]
Post = Callable[[Step], object]


def being_closed() -> bool:
    """Whether this runs in a coroutine or generator that is being closed, which often must not wait: see `abandoned`.

    The garbage collector closes one that was abandoned: in the middle of any other code, and in any thread.
    """
    return sys.exception() is not None and _closing_error() is not None


def abandoned() -> bool:
    """Whether this runs in a coroutine or generator that is being closed and must not wait, since no task awaits it.

    The garbage collector closes so, and `close` of a coroutine. An asynchronous generator that its user closes (`aclose`)
    runs in the user's task instead, or in one of its own, and may wait; so does one that the event loop closes.

    A coroutine is never closed otherwise than so. What is told from the frames is therefore only who closes an
    asynchronous generator. There one case is taken for the other: that an abandoned coroutine closes a generator, and was
    itself dropped, or with Python 3.11 collected, at the very step by which another one returns to what awaits it.
    """
    if sys.exception() is None:
        return False
    error, frame = _closing_error(), sys._getframe(1)
    if error is None:
        return False
    return not _runs_in_task(frame) if _thrown_at_yield(error) else _is_handled_in(frame, error)


def stop_if_abandoned() -> None:
    """End a coroutine that may not wait, in place of a call that may have to, before this has changed anything.

    The call would wait in the task that runs meanwhile, which is another's, and leave its cancel scopes there.

    Raises:
        GeneratorExit: in a coroutine that is `abandoned`.
    """
    if abandoned():
        raise GeneratorExit


def closed_by_loop() -> bool:
    """Whether this runs in a generator whose closing is a task of its own, as the event loop makes one.

    It makes one for a generator that was abandoned, in the context of whatever code runs at that moment. One that its user
    makes (`create_task(generator.aclose())`) looks the same.
    """
    if not being_closed():
        return False
    coroutine = _coroutine_of_task()
    first = _frame_of(coroutine)
    if first is None:
        return coroutine is not None
    return first.f_globals.get("__name__") == "trio._core._asyncgens"


def _closing_error() -> GeneratorExit | None:
    """What closes the code that runs: the exception that is handled, or one in whose handling it was raised."""
    error = sys.exception()
    for _ in range(_LONGEST_CHAIN):
        if error is None or isinstance(error, GeneratorExit):
            return error
        error = error.__context__
    return None


def _thrown_at_yield(error: GeneratorExit) -> bool:
    """Whether an exception came into an asynchronous generator at a `yield`, as `aclose` has it."""
    trace = error.__traceback__
    if trace is None:
        return True  # somebody has removed it
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return bool(code.co_flags & _ASYNC_GENERATOR) and _suspended(code, trace.tb_lasti) == _AT_YIELD


def _is_handled_in(frame: FrameType | None, error: GeneratorExit) -> bool:
    """Whether a frame, or one that it was called from in the same task, is among those that an exception has reached."""
    reached, trace = set(), error.__traceback__
    while trace is not None:
        reached.add(trace.tb_frame)
        trace = trace.tb_next
    first = _frame_of(_coroutine_of_task())
    while frame is not None and frame not in reached:
        if frame is first:
            return False  # a task that begins at once, called by code that is being closed
        frame = frame.f_back
    return frame is not None


def _runs_in_task(frame: FrameType | None) -> bool:
    """Whether the generator that a frame belongs to is awaited by the running task, through any number of others.

    One that is closed by a coroutine which the collector closes has the frame above that coroutine that was interrupted,
    which may be a coroutine's, too; but that one does not await at this moment.
    """
    while frame is not None and not frame.f_code.co_flags & _CAN_WAIT:
        frame = frame.f_back  # what the coroutine has called
    while frame is not None and frame.f_back is not None and _awaits(frame.f_back):
        frame = frame.f_back
    coroutine = _coroutine_of_task()
    if frame is None or coroutine is None:
        return False
    first = _frame_of(coroutine)
    if first is not None:
        return frame is first
    # The task awaits something without a frame, which in turn awaits the generator: `create_task(generator.aclose())`.
    return bool(frame.f_code.co_flags & _ASYNC_GENERATOR) or not _is_below_a_coroutine(frame)


def _is_below_a_coroutine(frame: FrameType) -> bool:
    above = frame.f_back
    while above is not None and not above.f_code.co_flags & _CAN_WAIT:
        above = above.f_back
    return above is not None


def _awaits(frame: FrameType) -> bool:
    if not frame.f_code.co_flags & _CAN_WAIT:
        return False
    code, place = frame.f_code.co_code, frame.f_lasti
    while place > 0 and code[place] == _CACHE:  # which belongs to the instruction before it
        place -= 2
    # suspended still where an exception is being thrown into what it awaits
    return code[place] == _SEND or _suspended(frame.f_code, place) >= _AT_AWAIT


def _suspended(code: CodeType, place: int) -> int:
    """How a frame is suspended that stands at a place of its code; 0 if it is not."""
    instructions = code.co_code
    if instructions[place] == _YIELD_VALUE:
        place += 2  # where it stands from Python 3.13 on
    return instructions[place + 1] & 3 if instructions[place] == _RESUME else 0


def _coroutine_of_task() -> Any:
    """What the running task has begun with; None without one."""
    loop = asyncio_loop()
    if loop is not None:
        import asyncio  # loaded already: its loop is running

        task = asyncio.current_task(loop)
        return None if task is None else task.get_coro()
    if (trio := sys.modules.get("trio")) is not None:
        with suppress(RuntimeError):  # it does not run in this thread
            return trio.lowlevel.current_task().coro
    return None


def _frame_of(coroutine: Any) -> FrameType | None:
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
