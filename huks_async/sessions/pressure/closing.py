"""Closing sensors in the background.

The kernel takes some 7 to 15 ms to remove a trigger, because it waits until no processor uses it any more. Nothing
depends on the end of this, so a thread does it, and closing a keystore does not wait.
"""

import os
import threading
from collections.abc import Callable

from huks_async.runtime.workers import WorkerPool

_MOST = 4
"""How many threads may close sensors at the same time; beyond that, a caller waits until its own is closed."""

# Taken again by the same thread where the garbage collector ends an abandoned task that closes a sensor.
_lock = threading.RLock()
_pool: WorkerPool | None = None
_closing = 0


def _begin_anew() -> None:
    # the threads that closed sensors stayed in the parent, one of them perhaps with the lock
    global _lock, _pool, _closing
    _lock, _pool, _closing = threading.RLock(), None, 0


os.register_at_fork(after_in_child=_begin_anew)


async def close_later(close: Callable[[], object]) -> None:
    """Call `close()` in a thread and return at once, unless four such threads are running already."""
    global _pool, _closing
    with _lock:
        wait = _closing >= _MOST
        _closing += 1
        if _pool is None:
            made = WorkerPool(_MOST, name="huks-sensor")
            _pool = _pool or made  # such a task may have made one meanwhile
        pool = _pool
    try:
        # Without the lock, which the new thread may need before its first step: the collector ends tasks there, too.
        # The pool is not closed meanwhile, because this counts already. The call is made although nobody waits for it.
        job = pool.start(_counted, close)
    except Exception:  # the system gives no thread, the interpreter ends, or no event loop runs any more
        job = None
    if job is None:
        _counted(close)
    elif wait:
        await job.outcome(shield=True, drop=False)


def _counted(close: Callable[[], object]) -> None:
    """Call it; the last one lets the threads end."""
    global _pool, _closing
    try:
        close()
    finally:
        with _lock:
            _closing -= 1
            if _pool and not _closing:
                _pool.close()
                _pool = None
