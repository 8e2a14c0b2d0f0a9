"""Whether a fork has left locks of SQLite in this process that nobody can set free.

SQLite has locks for the whole process, for its memory and its table of open files among others. A fork copies them as
they are: one that another thread of the parent held at that moment stays locked in the child, and whatever needs it
waits for ever, also where it is about a database that the parent never opened. Nothing tells that beforehand, so the first
store of such a child is opened only after something that needs all of these locks has come to its end.
"""

import sqlite3
import threading
import time
from contextlib import closing, suppress

from huks_async.model.errors import BusinessError
from huks_async.runtime.daemons import DaemonThread
from huks_async.runtime.forks import generation
from huks_async.runtime.stops import Check
from huks_async.stores.sqlite.guards import was_inherited

_PATIENCE = 5.0
"""Seconds after which what takes milliseconds counts as stuck."""
_PAUSE = 0.5

_tried: tuple[int, threading.Event] | None = None
"""The fork after which they were needed, and what is set once they were free: a thread that is stuck stays so."""


def refuse_stuck(address: str, check: Check) -> None:
    """Refuse to open a store in a child in which SQLite is stuck. To be called without any lock.

    Args:
        address: the store's address for messages.
        check: called twice a second; raises when nobody wants the store any more.

    Raises:
        BusinessError: 12000012; the message says what to do. 12000014 when the system gives no thread.

    """
    global _tried
    if not was_inherited():
        return
    tried = _tried
    if tried is None or tried[0] != generation():
        tried = generation(), threading.Event()
        try:
            DaemonThread(_need_all, (tried[1],), name="huks-store-after-fork").start()
        except RuntimeError as error:
            raise BusinessError(
                12000014,
                f"the system gives no thread to open the store {address} ({error}); raise its limit of threads or memory",
            ) from None
        _tried = tried
    deadline = time.monotonic() + _PATIENCE
    while not tried[1].wait(_PAUSE):
        check()
        if time.monotonic() > deadline:
            raise BusinessError(
                12000012,
                f"the store {address} cannot be opened in this process, nor can any other: it was forked while another "
                "thread of its parent was within SQLite, whose locks stay locked here; end it, and start processes by "
                "spawn or forkserver, or fork before any store is opened",
            )


def _need_all(ended: threading.Event) -> None:
    # an error shows as well that nothing is locked
    with (
        suppress(sqlite3.Error, MemoryError),
        closing(sqlite3.connect("file:/dev/null?mode=ro", uri=True)) as file,
    ):
        file.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # the table of open files
    with suppress(sqlite3.Error, MemoryError), closing(sqlite3.connect(":memory:")) as memory:
        memory.execute("SELECT randomblob(8)").fetchall()  # the generator of random numbers
    ended.set()
