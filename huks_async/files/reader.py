"""Reading a sealed file at any offset, by opening only the chunks that are needed."""

import os
from collections import deque
from contextlib import AsyncExitStack

from huks_async.files.chunks import ChunkCipher, Extent, extent
from huks_async.files.header import PREFIX_BYTES, Header, header_length, version_of
from huks_async.files.seekable import CLOSED, SeekableFile
from huks_async.model.errors import BusinessError
from huks_async.model.memory import memory_for
from huks_async.model.plain import plain_int
from huks_async.model.showing import shown
from huks_async.model.uncopied import Uncopied
from huks_async.runtime.closing import stop_if_abandoned
from huks_async.runtime.jobs import Job
from huks_async.runtime.workers import WorkerPool

_RUN_BYTES = 1024 * 1024
"""Bytes of plaintext that a worker reads and opens at once."""

_WINDOW = 6


def read_head(file: SeekableFile) -> tuple[bytes, int]:
    """Open a file in a worker; return its header (in format 1, its first bytes) and the length of the file.

    Raises:
        BusinessError: 12000006 for a file that is not sealed.
    """
    length = file.open()
    prefix = file.read_at(0, PREFIX_BYTES)
    if version_of(prefix) == 1:
        return prefix, length
    head = header_length(prefix)
    return prefix + file.read_at(len(prefix), head - len(prefix)), length


class SealedReader(Uncopied):
    """A sealed file that is open for reading at any offset; made by `Keystore.open_sealed`.

    Attributes:
        size: bytes of plaintext. This is proved, because the last chunk was opened first.
        chunks_opened: how many chunks have been opened so far.
    """

    def __init__(
        self, file: SeekableFile, header: Header, file_key: bytes, file_bytes: int, pool: WorkerPool
    ) -> None:
        self._file = file
        self._pool = pool
        self._extent: Extent = extent(len(header.data), header.chunk_bytes, file_bytes)
        self._cipher = ChunkCipher(header.chunk_key(file_key), header.chunk_bytes)
        self._kept: tuple[int, bytes] | None = None
        self._position = 0
        self._moves = 0
        self._closed = False
        self.size: int = self._extent.size
        self.chunks_opened: int = 0

    async def open_last(self) -> None:
        """Open the last chunk, which proves the size.

        Raises:
            BusinessError: 12000006 if the file was cut off, extended, or changed in that chunk.
        """
        last = self._extent.chunks - 1
        (opened,) = await self._pool.run_shielded(self._open_run, last, last)
        self._keep(last, [opened])

    async def read_at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on; fewer, or none, if the file ends before that.

        Several calls may run at once. A cancelled call ends once the chunks that it is reading have been read.

        Raises:
            BusinessError: 12000006 if a chunk was changed, and then nothing of the range is returned; 401 for negative
                numbers; 12000012 when the reader or its file is closed, also before all chunks have been read.
        """
        offset, length = _place(offset, "offset"), _place(length, "length")
        self._check_open()
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        size = self._extent.chunk_bytes
        first, last = offset // size, (end - 1) // size
        start, stop = offset - first * size, end - last * size
        with memory_for("reading a sealed file"):
            chunks = await self._chunks(first, last)
            if first == last:
                return chunks[0][start:stop] if stop - start < len(chunks[0]) else chunks[0]
            chunks[0] = chunks[0][start:]
            chunks[-1] = chunks[-1][:stop]
            return b"".join(chunks)

    async def read(self, size: int = -1) -> bytes:
        """Return the next bytes, by default all that are left; b"" at the end. Moves the position.

        Several calls may run at once, and each gets bytes of its own.

        Raises:
            BusinessError: as `read_at` does; the position stays then.
        """
        most = plain_int(size)
        if size is not None and most is None:
            raise BusinessError(401, f"size must be an int or None, got {shown(size)}")
        start = self._position
        end = max(start, self.size if most is None or most < 0 else min(start + most, self.size))
        # moved before the bytes are there, so that a call that begins meanwhile begins behind them
        move = self._move(end)
        try:
            return await self.read_at(start, end - start)
        except BaseException:
            # Where it was moved again, it is no longer this call's, even if it is at the same place.
            if self._moves == move:
                self._position = start
            raise

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position of `read`, as files do, and return it."""
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}
        places, origin = plain_int(offset), plain_int(whence)
        base = None if origin is None else bases.get(origin)
        if base is None or places is None or base + places < 0:
            raise BusinessError(
                401, f"seek: got {shown(offset)}, {shown(whence)}, which is no place in a file"
            )
        self._move(base + places)
        return self._position

    def _move(self, position: int) -> int:
        """Set the position, and return which of all moves this is."""
        self._position = position
        self._moves += 1
        return self._moves

    def tell(self) -> int:
        """The position of `read`."""
        return self._position

    def close(self) -> None:
        """Refuse further reads."""
        self._closed = True
        self._kept = None

    def _check_open(self) -> None:
        if self._closed:
            raise BusinessError(12000012, CLOSED)

    async def _chunks(self, first: int, last: int) -> list[bytes]:
        kept = self._kept
        if kept is not None and kept[0] == first == last:
            return [kept[1]]
        # the chunk that was used last is kept, for a read that begins or ends in it
        before = [kept[1]] if kept is not None and kept[0] == first else []
        after = [kept[1]] if kept is not None and kept[0] == last else []
        stop_if_abandoned()
        run = max(1, _RUN_BYTES // self._extent.chunk_bytes)
        begin, end = first + len(before), last - len(after)
        middle: list[bytes] = []
        jobs: deque[Job[list[bytes]]] = deque()
        try:
            for start in range(begin, end + 1, run):
                if len(jobs) >= _WINDOW:
                    middle += await jobs[0].outcome(shield=True)
                    jobs.popleft()
                jobs.append(self._pool.start(self._open_run, start, min(start + run - 1, end)))
            while jobs:
                middle += await jobs[0].outcome(shield=True)
                jobs.popleft()
        except BaseException as error:
            # No chunk that is still unread may be begun while those that are being read end.
            for job in jobs:
                job.take_back()
            # A coroutine that is being discarded must not await again.
            if not isinstance(error, GeneratorExit):
                # Who cancels a read and then closes the file must find no worker still reading.
                async with AsyncExitStack() as steps:
                    for job in jobs:
                        steps.push_async_callback(job.drop)
            raise
        found = before + middle + after
        self._keep(begin, middle)
        return found

    def _keep(self, first: int, opened: list[bytes]) -> None:
        if opened:
            self.chunks_opened += len(opened)
            if not self._closed:
                self._kept = (first + len(opened) - 1, opened[-1])

    def _open_run(self, first: int, last: int) -> list[bytes]:
        """Read and open consecutive chunks, in a worker."""
        extent = self._extent
        begin = extent.place(first)[0]
        offset, length = extent.place(last)
        data = self._file.read_at(begin, offset + length - begin)
        view, opened = memoryview(data), []
        for index in range(first, last + 1):
            offset, length = extent.place(index)
            sealed = view[offset - begin : offset - begin + length]
            if len(sealed) < length:
                raise BusinessError(
                    12000006, f"the sealed file was cut off while it was read, in chunk {index}"
                )
            opened.append(self._cipher.open(index, sealed, last=extent.is_last(index)))
        return opened


def _place(number: object, name: str) -> int:
    place = plain_int(number)
    if place is None or place < 0:
        raise BusinessError(401, f"{name} must be an int, 0 or more, got {shown(number)}")
    return place
