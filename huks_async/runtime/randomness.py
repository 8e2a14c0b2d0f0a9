"""Random bytes of the operating system, fetched many at a time.

`os.urandom` lets go of the interpreter's lock. Beside a thread that is as busy as the writer of a store, getting
it back takes 15 to 40 µs, more than the rest of what it takes to make a symmetric key.

Bytes that wait here become keys and nonces later. Whoever could read them in this process's memory would find
the store key there, too, which opens everything.
"""

import os
import threading

from huks_async.runtime.forks import tell_after_fork

_AT_ONCE = 2048
_MOST = 256


class RandomPool:
    """Gives each byte once, from any thread, and to one of parent and child after a fork."""

    def __init__(self) -> None:
        self._left = bytearray()
        self._lock = threading.Lock()
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Forget what the parent has, too."""
        self._left = bytearray()
        self._lock = threading.Lock()

    def take(self, size: int) -> bytes:
        """Give so many random bytes."""
        if size > _MOST:
            return os.urandom(size)
        with self._lock:
            left = self._left
            if len(left) < size:
                left[:] = os.urandom(_AT_ONCE)
            taken = bytes(left[-size:])
            left[-size:] = bytes(size)  # deleted bytes would stay in the buffer
            del left[-size:]
            return taken


_pool = RandomPool()
random_bytes = _pool.take
