"""Closing sensors without waiting for it.

The kernel takes some 15 ms to take a trigger back, until no processor looks at it, and nobody needs to know
when it is done. So a thread does it, and closing a keystore goes on.
"""

import threading
from collections.abc import Callable

from huks_async.runtime.workers import WorkerPool, run_to_its_end

_MOST = 4
"""Threads that close sensors at once; who comes when there are so many waits for its own."""

_lock = threading.Lock()
_closing = 0


async def close_later(close: Callable[[], object]) -> None:
    """Call `close()` in a thread. Returns at once, but for those who would make more than four of them."""
    global _closing
    with _lock:
        wait = _closing >= _MOST
        _closing += not wait
    if wait:
        await run_to_its_end(close, name="huks-sensor")
        return
    try:
        # what is handed in last takes place though nobody waits for it, and then the thread ends
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
