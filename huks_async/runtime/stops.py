"""A word to work in another thread: nobody wants it any more."""

from collections.abc import Callable
from typing import TypeAlias

Check: TypeAlias = Callable[[], object]
"""Called now and then by work that waits; raises once nobody wants the work any more."""


class StoppedError(Exception):
    """Nobody wants the work any more, and it has ended early."""


class Stop:
    """Set by whoever no longer wants a piece of work, and asked by the thread that is at it.

    It takes no lock, because a task that is ended by the garbage collector sets it in the middle of any other code.
    """

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Say that nobody wants the work any more."""
        self._is_set = True

    def is_set(self) -> bool:
        """Tell whether that was said."""
        return self._is_set

    def check(self) -> None:
        """Raise `StoppedError` if that was said."""
        if self._is_set:
            raise StoppedError


def wanted() -> None:
    """Go on: the `Check` of work that nobody stops."""
