"""Noticing a fork, because threads, locks and database connections do not survive one."""

import os
import weakref
from typing import Protocol

from huks_async.model.errors import BusinessError

_generation = 0


class Forkable(Protocol):
    """Something that wants to know that it finds itself in a child process."""

    def after_fork(self) -> None:
        """Called in the child, before anything else runs there."""


_watched: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def tell_after_fork(watched: Forkable) -> None:
    """Have `watched.after_fork()` called in every child process, as long as the object lives."""
    _watched.add(watched)


def _count() -> None:
    global _generation
    _generation += 1
    for watched in list(_watched):
        watched.after_fork()


# a hook instead of os.getpid() at each call: reading a number is cheaper than a system call
os.register_at_fork(after_in_child=_count)


def generation() -> int:
    """Give how many forks lie between the first process of this program and this one."""
    return _generation


def refuse_after_fork(born: int, what: str) -> None:
    """Refuse the use of something that was made before a fork.

    Args:
        born: `generation()` at the time it was made.
        what: its name for the message.

    Raises:
        BusinessError: 12000012, when this process was forked since.

    """
    if born != _generation:
        raise BusinessError(
            12000012,
            f"{what} was opened before this process was forked, and its threads stayed in the parent; "
            "open a new one in the child process",
        )
