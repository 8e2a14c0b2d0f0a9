"""The library's threads that a test has begun. What an earlier test left running is not this one's fault."""

import threading
from weakref import WeakSet

_earlier: WeakSet[threading.Thread] = WeakSet()


def disregard_earlier() -> None:
    """Let `threads_begun` speak only of threads that begin after this; each test starts with it."""
    global _earlier
    _earlier = WeakSet(threading.enumerate())


def threads_begun(prefix: str = "huks") -> list[threading.Thread]:
    """The threads whose name begins so, that this test has begun, and that run."""
    return [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith(prefix) and thread not in _earlier
    ]
