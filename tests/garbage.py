"""Garbage: what the collector does with a coroutine, and a collection that a test waits for."""

import gc
import threading
import time
from collections.abc import Callable
from typing import Any


def close(coroutine: Any, *, elsewhere: bool) -> None:
    """Close a coroutine as the garbage collector does: here, or in another thread, which has no event loop."""
    if elsewhere:
        thread = threading.Thread(target=coroutine.close)
        thread.start()
        thread.join()
    else:
        coroutine.close()


def collect_until(condition: Callable[[], object], what: str = "it") -> None:
    """Collect garbage until something is so, which one call cannot promise.

    A collection does nothing and says nothing where another thread is in one already: in a finalizer that closes a
    file, for instance, on a machine that has other work.
    """
    end = time.monotonic() + 120
    while True:
        gc.collect()
        if condition():
            return
        assert time.monotonic() < end, f"{what} did not come true in 120 s"
        time.sleep(0.002)
