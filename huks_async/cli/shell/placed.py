"""Pieces of a new file put to their places by several threads, past the system's cache where that can be done.

What goes through the cache is copied once more, takes memory from others, and has to be waited for at the end,
when it is flushed. Past it (`O_DIRECT`) whole blocks go from our buffers to the disk. Two pieces often share a
block: the piece that comes first leaves its part here, and the other one takes it along. What no other piece
completes, the end of the file at least, goes through the cache when all the rest is on its way.
"""

import contextlib
import errno
import mmap
import os
import threading
from collections.abc import Sequence

BLOCK = mmap.PAGESIZE
"""Pieces whose places in memory and in the file agree to a multiple of this need no copy."""

LEAST_DIRECT = 256 * 1024
"""A file whose first piece is shorter goes through the cache: to wait for the disk would cost more than a copy."""


class _Block:
    """A block of which some parts are here."""

    __slots__ = ("data", "filled", "parts")

    def __init__(self) -> None:
        # memory of its own begins at a page, as the disk wants it
        self.data = memoryview(mmap.mmap(-1, BLOCK, flags=mmap.MAP_PRIVATE))
        self.parts: list[tuple[int, int]] = []
        self.filled = 0

    def add(self, offset: int, part: memoryview) -> bool:
        end = offset + len(part)
        self.data[offset:end] = part
        self.parts.append((offset, end))
        self.filled += len(part)
        return self.filled == BLOCK


class PlacedFile:
    """Writes pieces that do not overlap, each once. `write` can be called in several threads at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._blocks: dict[int, _Block] = {}
        self._spare: list[_Block] = []
        self._lock = threading.Lock()
        self._placing = threading.Lock()
        self._direct: bool | None = None

    @property
    def direct(self) -> bool:
        """Whether whole blocks go past the cache."""
        return self._direct is True

    def write(self, data: memoryview, place: int) -> None:
        """Put a piece to its place."""
        with self._lock:
            if self._direct is None:
                self._direct = len(data) >= LEAST_DIRECT and _bypass_cache(self._descriptor)
            if self._direct:
                buffers, place, used = self._whole_blocks(data, place)
            else:
                buffers, used = [data], []
        self._put(buffers, place)
        with self._lock:
            for block in used:
                block.parts, block.filled = [], 0
            self._spare += used

    def finish(self) -> None:
        """Write what waits for a neighbour. No `write` runs any more."""
        self.through_cache()
        for number, block in self._blocks.items():
            for start, end in block.parts:
                self._put([block.data[start:end]], number * BLOCK + start)
        self._blocks.clear()

    def through_cache(self) -> None:
        """From now on the cache has everything, and pieces may have any place in memory."""
        if self._direct:
            _use_cache(self._descriptor)
        self._direct = False

    def _whole_blocks(self, data: memoryview, place: int) -> tuple[list[memoryview], int, list[_Block]]:
        """What of a piece can go to the disk now, with parts of others, and where; and the blocks of such parts."""
        head = min(-place % BLOCK, len(data))
        tail = (len(data) - head) % BLOCK
        middle, end = data[head : len(data) - tail], place + len(data)
        buffers, used = [middle] if middle else [], []
        start = place + head
        if head and (block := self._join(place, data[:head])):
            start = place // BLOCK * BLOCK
            buffers.insert(0, block.data)
            used.append(block)
        if tail and (block := self._join(end - tail, data[len(data) - tail :])):
            buffers.append(block.data)
            used.append(block)
            if len(buffers) == 1:
                start = end - tail
        return buffers, start, used

    def _join(self, place: int, part: memoryview) -> _Block | None:
        """Add a part to its block; gives the block if it is whole now."""
        number, offset = divmod(place, BLOCK)
        block = self._blocks.get(number)
        if block is None:
            block = self._blocks[number] = self._spare.pop() if self._spare else _Block()
        return self._blocks.pop(number) if block.add(offset, part) else None

    def _put(self, buffers: Sequence[memoryview], place: int) -> None:
        while buffers:
            direct = self._direct
            try:
                with contextlib.nullcontext() if direct else self._placing:
                    # through the cache one after another: threads that write to one file at once burn their
                    # processors on the kernel's lock
                    done = os.pwritev(self._descriptor, buffers, place)
                    if not direct:
                        _start_flushing(self._descriptor, place, done)
            except OSError as error:
                if not direct or error.errno != errno.EINVAL:
                    raise
                # the file system took the flag and does not do it, or not with these places
                self.through_cache()
                continue
            place += done
            buffers = _after(buffers, done)


def _after(buffers: Sequence[memoryview], length: int) -> list[memoryview]:
    """What is left of buffers when so many of their bytes are gone."""
    left = []
    for buffer in buffers:
        if length < len(buffer):
            left.append(buffer[length:])
        length = max(0, length - len(buffer))
    return left


def _bypass_cache(descriptor: int) -> bool:
    """Ask for writes past the cache; False where there are none."""
    try:
        import fcntl

        if os.fstatvfs(descriptor).f_bsize > BLOCK:
            # of larger blocks a part would be read, changed and written
            return False
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
    except (ImportError, AttributeError, OSError):
        # not on this system, or not on this file system
        return False
    return True


def _use_cache(descriptor: int) -> None:
    import fcntl

    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)


def _start_flushing(descriptor: int, place: int, length: int) -> None:
    """Let the disk begin with these bytes, so that the flush at the end finds most of them written."""
    if hasattr(os, "posix_fadvise"):
        # Linux starts to write what is asked to be forgotten; it forgets only what was on the disk before.
        os.posix_fadvise(descriptor, place, length, os.POSIX_FADV_DONTNEED)
