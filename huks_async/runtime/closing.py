"""What a coroutine leaves behind that is closed before its end, often by the garbage collector."""

import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident

Step = Callable[[], None]
Post = Callable[[Step], object]


def being_closed() -> bool:
    """Whether this runs in a coroutine or generator that is being closed, which must not wait.

    The garbage collector closes one that was abandoned: in the middle of any other code, and in any thread.
    """
    return isinstance(sys.exception(), GeneratorExit)


class Leftovers:
    """Steps that coroutines leave at their close, until the code that owns what they change is in no other step.

    Args:
        post: has a function called in the event loop of the owner, from any thread; None without a loop.
    """

    __slots__ = ("_post", "_steps", "_thread")

    def __init__(self, post: Post | None) -> None:
        self._post = post
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
        self._steps.append(step)
        # Who finds others there need not post: the first of them has done so, or is about to.
        if len(self._steps) == 1 and self._post is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._post(self.take)

    def take(self) -> None:
        """Do all steps that were left."""
        while self._steps and not being_closed():
            self._steps.popleft()()
