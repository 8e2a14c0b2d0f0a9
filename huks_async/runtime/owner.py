"""The thread and the event loop that something open belongs to."""

import os
from threading import get_ident
from typing import Any

import anyio
import anyio.lowlevel

from huks_async.model.errors import BusinessError
from huks_async.runtime.forks import notice_fork
from huks_async.runtime.loops import asyncio_loop


def running_loop() -> Any:
    """The event loop that runs in this thread: asyncio's loop object, or trio's token; None without one."""
    loop = asyncio_loop()
    if loop is not None:
        return loop
    try:
        return anyio.lowlevel.current_token().native_token
    except Exception:  # versions of anyio differ in the exception for "no event loop"
        return None


class Owner:
    """The thread, event loop and process in which it was made, to be compared with those of a call.

    Attributes:
        thread: `threading.get_ident()`. Calls that are too short for a full check compare only this.
    """

    __slots__ = ("_loop", "_pid", "thread")

    def __init__(self) -> None:
        self.thread: int = get_ident()
        self._loop = running_loop()
        self._pid = os.getpid()

    def check(self, what: str) -> None:
        """Refuse a call from another thread, event loop or process.

        Args:
            what: the name of what is open, for the message.

        Raises:
            BusinessError: 12000012 in another thread, another event loop, or a child process.
        """
        if os.getpid() != self._pid:
            notice_fork()
            raise BusinessError(
                12000012,
                f"{what} was opened before this process was forked; open it after the fork only, or start processes "
                "by spawn or forkserver",
            )
        if get_ident() != self.thread:
            raise BusinessError(
                12000012,
                f"{what} belongs to the event loop that opened it, which is in another thread: call it there "
                "(asyncio.run_coroutine_threadsafe, anyio.from_thread.run), or open another one on the same "
                "store in this loop",
            )
        if running_loop() is not self._loop:
            ended = "has ended" if self.has_ended() else "is not the one that runs now"
            raise BusinessError(
                12000012,
                f"{what} belongs to the event loop that opened it, which {ended}; open it anew in this loop, "
                "or keep one loop for both",
            )

    def is_elsewhere(self) -> bool:
        """Whether another event loop than this one runs now, or none."""
        return running_loop() is not self._loop

    def has_ended(self) -> bool:
        """Whether the event loop is closed, so that nothing that belongs to it can run any more."""
        loop = self._loop
        if loop is None:
            return True
        if hasattr(loop, "is_closed"):
            return bool(loop.is_closed())
        try:
            loop.run_sync_soon(_nothing, idempotent=True)
        except RuntimeError:  # trio.RunFinishedError is one
            return True
        return False


def _nothing() -> None:
    """A function for trio to run: whether trio accepts it shows whether the loop is still alive."""
