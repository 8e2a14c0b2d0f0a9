"""Where the units of a long input come from: a file that can be read from any place, or a stream.

A unit is what is sealed or opened at once. Only the last one may be shorter, so whoever hands units out
must know whether anything follows: a file tells its size, a stream is read one byte further.
"""

import io
import os
import select
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass

from huks_async.cli.flow.uncached import SPARE, open_uncached
from huks_async.cli.shell.console import naming
from huks_async.cli.shell.descriptors import enlarge_pipe, length_from_here, wait_for
from huks_async.cli.shell.files import shorter
from huks_async.cli.shell.interrupts import interruptible


@dataclass(frozen=True, slots=True)
class Batch:
    """Units that were read together."""

    number: int
    """Its place among the batches of this source."""
    first: int
    """The place of its first unit in the input."""
    length: int
    """Its bytes."""
    last: bool
    """Whether the input ends with it."""
    begin: int = 0
    """Where in the buffer they are."""


class Source(ABC):
    """An input whose head is looked at first, and whose rest is then taken in units by several threads."""

    size: int | None = None
    """Bytes of the whole input from where it was opened, if that is known."""

    @abstractmethod
    def head(self, length: int) -> bytes:
        """The first bytes, at most `length`, which stay where they are. Called before anything is taken."""

    @abstractmethod
    def taken_from_stream(self) -> bytes:
        """What `head` has read of a stream, which is gone from the file; none of a file that can be read again."""

    @abstractmethod
    def begin(self, unit: int, skip: int, *, first: int = 0, end: int | None = None) -> None:
        """Hand out units from now on, from the beginning or again.

        Args:
            unit: bytes of one.
            skip: bytes before the first one.
            first: units to leave out; of a file only.
            end: the unit before which to stop, at the input's end by default.

        """

    @abstractmethod
    def take(self, buffer: memoryview) -> Batch | None:
        """Read the next units into the buffer, which begins at a page and has `SPARE` bytes more than they; None at the end."""

    @abstractmethod
    def stop(self) -> None:
        """Hand out nothing more, and wake the thread that waits for input."""

    def close(self) -> None:
        """Give back what belongs to the source; the file stays open."""
        return


def open_source(file: io.FileIO) -> Source:
    """The source that suits a file."""
    length = length_from_here(file.fileno())
    return _Stream(file) if length is None else _File(file, length)


class _File(Source):
    """A regular file: threads read at places of their own, all at once.

    What counts is its size at the beginning. A file that grows meanwhile is taken as long as it was.
    """

    def __init__(self, file: io.FileIO, size: int) -> None:
        self._file = file
        self._descriptor = file.fileno()
        # the shell may hand over a file that was read in part
        self._start = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        self.size: int = size
        self._lock = threading.Lock()
        self._uncached = open_uncached(self._descriptor, self._start, self.size)

    def head(self, length: int) -> bytes:
        with naming(str(self._file.name)):
            return os.pread(self._descriptor, min(length, self.size), self._start)

    def taken_from_stream(self) -> bytes:
        return b""

    def begin(self, unit: int, skip: int, *, first: int = 0, end: int | None = None) -> None:
        self._unit = unit
        self._base = self._start + skip
        self._bytes = max(0, self.size - skip)
        self._next = first * unit
        self._end = self._bytes if end is None else min(self._bytes, end * unit)
        self._number = 0
        self._over = False

    def take(self, buffer: memoryview) -> Batch | None:
        with self._lock:
            if self._over:
                return None
            place = self._next
            length = max(0, min(_room(buffer, self._unit), self._end - place))
            self._next = place + length
            # of an input without content one unit is handed out, an empty one
            self._over = self._next >= self._end
            number, self._number = self._number, self._number + 1
        begin = self._read(buffer, self._base + place, length)
        return Batch(number, place // self._unit, length, place + length >= self._bytes, begin)

    def _read(self, buffer: memoryview, place: int, length: int) -> int:
        """Read exactly so many bytes, and tell where in the buffer they begin."""
        begin = done = 0
        if self._uncached is not None and length:
            try:
                begin, done = self._uncached.read(buffer, place, length)
            except OSError:
                # what the cache cannot give either is raised below
                begin = done = 0
        while done < length:
            with naming(str(self._file.name)):
                got = os.preadv(self._descriptor, [buffer[begin + done : begin + length]], place + done)
            if not got:
                raise shorter(self._file)
            done += got
        return begin

    def stop(self) -> None:
        self._over = True

    def close(self) -> None:
        if self._uncached is not None:
            self._uncached.close()


class _Stream(Source):
    """A pipe, a socket, a terminal or a device: one thread at a time reads, the others work on what it has read."""

    def __init__(self, file: io.FileIO) -> None:
        self._name = str(file.name)
        self._descriptor = file.fileno()
        self._lock = threading.Lock()
        self._carried = bytearray()
        self._over = False
        self._ended = False
        self._stopped = False
        self._number = 0
        self._place = 0
        self._woken, self._wake = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        enlarge_pipe(self._descriptor)

    def head(self, length: int) -> bytes:
        while len(self._carried) < length and not self._over:
            with interruptible(), naming(self._name):
                # waited for here, since the pipe may be one that does not wait
                wait_for(self._descriptor, select.POLLIN)
                piece = os.read(self._descriptor, length - len(self._carried))
            self._carried += piece
            self._over = not piece
        return bytes(self._carried[:length])

    def taken_from_stream(self) -> bytes:
        taken = bytes(self._carried)
        self._carried.clear()
        return taken

    def begin(self, unit: int, skip: int, *, first: int = 0, end: int | None = None) -> None:
        assert first == 0, "a stream is read from its beginning"
        self._unit = unit
        self._limit = end
        del self._carried[:skip]

    def take(self, buffer: memoryview) -> Batch | None:
        with self._lock:
            if self._stopped or self._ended:
                return None
            buffer = buffer[: _room(buffer, self._unit)]
            if self._limit is not None:
                buffer = buffer[: max(0, self._limit - self._place) * self._unit]
                if not buffer:
                    self._ended = True
                    return None
            have = self._fill(buffer)
            if have is None:
                return None
            number, self._number = self._number, self._number + 1
            first = self._place
            last = self._over and not self._carried
            self._ended = last
            self._place += have // self._unit
            return Batch(number, first, have, last)

    def _fill(self, buffer: memoryview) -> int | None:
        """Bytes of whole units at the beginning of the buffer, and all there are if the input ends with them.

        None where the work is to stop.
        """
        kept = self._carried
        have = min(len(kept), len(buffer))
        buffer[:have] = kept[:have]
        del kept[:have]
        while have < len(buffer) and not self._over:
            # what is complete does not wait for what is slow to come
            if not self._wait(block=have <= self._unit):
                break
            with naming(self._name):
                got = os.readv(self._descriptor, [buffer[have:]])
            have += got
            self._over = not got
        if have == len(buffer) and not kept and not self._over and self._wait(block=True):
            with naming(self._name):
                piece = os.read(self._descriptor, 1)
            kept += piece
            self._over = not piece
        if self._stopped:
            return None
        if self._over or kept:
            return have
        # the last byte shows that the units before it are not the last ones
        whole = (have - 1) // self._unit * self._unit if have else 0
        kept += buffer[whole:have]
        return whole

    def _wait(self, *, block: bool) -> bool:
        """Whether input or its end is there; False also where the work is to stop."""
        ready = {descriptor for descriptor, _ in self._poll.poll(None if block else 0)}
        if self._woken in ready:
            self._stopped = True
        return not self._stopped and self._descriptor in ready

    def stop(self) -> None:
        self._stopped = True
        os.write(self._wake, b"x")

    def close(self) -> None:
        os.close(self._woken)
        os.close(self._wake)


def _room(buffer: memoryview, unit: int) -> int:
    """Bytes of whole units that a buffer can take."""
    return (len(buffer) - SPARE) // unit * unit
