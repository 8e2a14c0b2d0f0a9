"""Closing sensors in the background.

The kernel takes some 7 to 15 ms to remove a trigger, because it waits until no processor uses it any more. Nothing
depends on the end of this, so a thread does it, and closing a keystore does not wait.
"""

import os
import threading
from collections.abc import Callable

from huks_async.runtime.workers import WorkerPool, run_to_its_end

_MOST = 4
"""How many threads may close sensors at the same time; beyond that, a caller waits until its own is closed."""

_lock = threading.Lock()
_closing = 0


def _begin_anew() -> None:
    # the threads that closed sensors stayed in the parent, one of them perhaps with the lock
    global _lock, _closing
    _lock, _closing = threading.Lock(), 0


os.register_at_fork(after_in_child=_begin_anew)


async def close_later(close: Callable[[], object]) -> None:
    """Call `close()` in a thread and return at once, unless four such threads are running already."""
    global _closing
    with _lock:
        wait = _closing >= _MOST
        _closing += not wait
    if wait:
        await run_to_its_end(close, name="huks-sensor")
        return
    try:
        # `finish` runs this call although nobody waits for it, and then ends the thread
        WorkerPool(1, name="huks-sensor").finish(lambda: _counted(close))
    except Exception:  # the system gives no thread, the interpreter ends, or no event loop runs any more
        _counted(close)


def _counted(close: Callable[[], object]) -> None:
    global _closing
    try:
        close()
    finally:
        with _lock:
            _closing -= 1
