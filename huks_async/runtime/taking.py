"""Taking a lock where a signal handler may raise, and letting go of it where there is no memory."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol


class Lock(Protocol):
    """What `threading.Lock` and `threading.RLock` make."""

    def acquire(self, blocking: bool = ...) -> bool:
        """Take it."""

    def release(self) -> Any:
        """Let go of it."""


def taking(lock: Lock, *, blocking: bool = True) -> Iterator[bool]:
    """Give a loop of one round, which begins with the lock taken, and is to let go of it.

        for _ in taking(lock):
            try:
                ...
            finally:
                lock.release()
            break

    An exception of a signal handler (KeyboardInterrupt) comes out before the lock is taken, or within `try`; after a
    plain call of `acquire` it could come between the two, and the lock would stay taken for ever. So it would at the end
    of a `with`, which needs a little memory, where there is none; `release` needs none.

    Args:
        lock: the lock.
        blocking: whether to wait for it. If False, there is no round if the lock is taken. If True, what this gives may be
            kept for further loops.
    """
    return iter(lock.acquire, None) if blocking else iter(partial(lock.acquire, False), False)
