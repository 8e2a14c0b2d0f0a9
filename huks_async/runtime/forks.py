"""Noticing a fork, because threads, locks and database connections do not survive one."""

import os
import threading
import weakref
from contextlib import AbstractContextManager
from typing import Protocol

from huks_async.model.errors import BusinessError

_generation = 0
_pid = os.getpid()

# Held while modules are loaded. If the process forked meanwhile, the child would inherit the locks of those modules
# in the held state, without the thread that holds them, and would wait for ever as soon as it imports one.
_loading = threading.RLock()
_LONGEST_LOAD = 10.0
_waited: dict[int, bool] = {}
"""Threads that are forking, and whether each of them has `_loading`."""


class Forkable(Protocol):
    """Something that wants to know that it finds itself in a child process."""

    def after_fork(self) -> None:
        """Called in the child, before anything else runs there."""


_watched: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def tell_after_fork(watched: Forkable) -> None:
    """Have `watched.after_fork()` called in every child process, as long as the object lives."""
    _watched.add(watched)


def _count() -> None:
    global _generation, _pid
    _generation += 1
    _pid = os.getpid()
    for watched in list(_watched):
        watched.after_fork()


def notice_fork() -> None:
    """Act on a fork by C code, which runs no hooks. Called when the process's id is found to have changed."""
    if os.getpid() != _pid:
        _count()


def no_fork() -> AbstractContextManager[object]:
    """A block in which modules are loaded: forks by `os.fork` wait for its end."""
    return _loading


def _wait_for_load() -> None:
    _waited[threading.get_ident()] = _loading.acquire(timeout=_LONGEST_LOAD)


def _go_on() -> None:
    if _waited.pop(threading.get_ident(), False):
        _loading.release()


def _begin_anew() -> None:
    global _loading
    if _waited.pop(threading.get_ident(), False):
        _loading.release()
    else:  # the thread that holds it stayed in the parent
        _loading = threading.RLock()
    _waited.clear()


# A hook counts forks, because reading a counter at each call is cheaper than the system call of os.getpid().
os.register_at_fork(before=_wait_for_load, after_in_parent=_go_on, after_in_child=_begin_anew)
os.register_at_fork(after_in_child=_count)


def generation() -> int:
    """Return how many forks lie between the first process of this program and this one."""
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
