"""The threads of an open store: one that opens and reads, and one that writes."""

import weakref
from collections.abc import Callable

from huks_async.runtime.batches import BatchWorker
from huks_async.runtime.workers import SerialWorker
from huks_async.stores.sqlite.engine import Engine
from huks_async.stores.sqlite.walindex import View
from huks_async.stores.sqlite.writes import Outcome, Write

ShowView = Callable[[View | None], None]


class Threads:
    """The threads of a store between an opening and the close that follows, with the engine that they work on.

    Several tasks may open at once. The first that comes to it opens the engine for all of them, and one that is
    cancelled or fails leaves what there is to the others.
    """

    def __init__(self) -> None:
        self.reader: SerialWorker = SerialWorker(name="huks-store-read")
        self.writer: BatchWorker[Write, Outcome] | None = None
        self.engine: Engine | None = None
        self.view: View | None = None
        self._opening = 0
        self._opened = False
        self._closed = False

    @property
    def is_wanted(self) -> bool:
        """Whether a task has opened these, or is still opening them."""
        return self._opened or self._opening > 0

    async def open(self, make_engine: Callable[[ShowView], Engine], stop: Callable[[], object]) -> None:
        """Have the engine opened, unless it is.

        Args:
            make_engine: gives an open engine; called in the reader's thread.
            stop: called when this is cancelled, to tell `make_engine` that it may stop.

        """
        if self.engine is None:
            self._opening += 1
            try:
                await self.reader.run_shielded(self._open, make_engine, when_cancelled=stop)
            finally:
                self._opening -= 1
        self._opened = True

    def _open(self, make_engine: Callable[[ShowView], Engine]) -> None:
        # This runs in the reader's thread, so that several tasks that open the same store do it one after the other.
        if self.engine is not None or self._closed:
            return
        # A weak reference, because the threads keep the engine alive, and a store that was forgotten must be
        # collected so that they end.
        show = weakref.WeakMethod(self._show)

        def show_view(view: View | None) -> None:
            method = show()
            if method is not None:
                method(view)

        engine = make_engine(show_view)
        self.writer = BatchWorker(engine.commit, name="huks-store-write")
        self.engine = engine

    def _show(self, view: View | None) -> None:
        self.view = view

    async def close(self) -> None:
        """Close the engine, once the writes that have begun are done, and let the threads end."""
        self._closed = True
        # Asked before the engine is looked at: if no job is left, none will make an engine any more.
        busy = self.reader.active > 0
        writer, engine = self.writer, self.engine
        if writer is not None and engine is not None:
            # Both threads are told to end before the first await, so that no cancellation can prevent either.
            if writer.threads:
                self.reader.finish(engine.close_read)
                end = writer.finish(engine.close)
            else:  # nothing was written, and a thread that had to be started now might not be had
                end = self.reader.finish(self._close_late)
            try:
                await end.outcome(shield=True, drop=False)
            finally:
                self.view = None
        elif busy:
            end = self.reader.finish(self._close_late)
            if self._opening:
                await end.outcome(shield=True, drop=False)
        else:
            self.reader.close()

    def _close_late(self) -> None:
        """Close in the reader's thread, behind what was being opened or read when the store was closed."""
        if self.engine is not None and self.writer is not None:
            self.writer.close()
            self.engine.close_read()
            self.engine.close()
            self.view = None
