"""Cutting a stream that comes in pieces of any size into chunks of one size."""

from collections import deque
from collections.abc import Iterator

from huks_async.model.params import BytesLike

Parts = list[memoryview]
"""A chunk, as views of the pieces that it consists of."""

_SMALL = 16 * 1024
"""Shorter pieces are joined by copying, because a chunk of thousands of views would cost more than the copy."""


class Cutter:
    """Takes pieces and returns chunks. At least one full chunk is held back, because it may turn out to be the last.

    Pieces of `bytes` are not copied unless they are short. Mutable pieces are copied at once, because many sources
    reuse one buffer.
    """

    __slots__ = ("_held", "_pieces", "_short", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._pieces: deque[memoryview] = deque()
        self._short = bytearray()
        self._held = 0

    @property
    def held(self) -> int:
        """How many bytes were fed and not taken."""
        return self._held

    @property
    def ready(self) -> int:
        """How many chunks can be taken that are certainly not the last."""
        return (self._held - 1) // self._size if self._held else 0

    def feed(self, piece: BytesLike) -> None:
        """Take a piece."""
        if type(piece) is bytes and len(piece) >= _SMALL:
            # the most common form of pieces, for which the checks below are not needed
            if self._short:
                self._flush()
            self._held += len(piece)
            self._pieces.append(memoryview(piece))
            return
        view = memoryview(piece).cast("B")
        length = len(view)
        self._held += length
        if length < _SMALL:
            self._short += view
            if len(self._short) >= _SMALL:
                self._flush()
            return
        self._flush()
        self._pieces.append(view if type(view.obj) is bytes else memoryview(bytes(view)))

    def take(self, count: int) -> list[Parts]:
        """Return that many of the chunks that are ready."""
        self._flush()
        return [self._cut(self._size) for _ in range(count)]

    def rest(self) -> Parts:
        """Return what is left at the end: at most one chunk, which is empty only if the whole stream was."""
        self._flush()
        return self._cut(self._held)

    def _flush(self) -> None:
        if self._short:
            self._pieces.append(memoryview(bytes(self._short)))
            self._short.clear()

    def _cut(self, length: int) -> Parts:
        self._held -= length
        parts = []
        while length:
            piece = self._pieces[0]
            if len(piece) <= length:
                parts.append(self._pieces.popleft())
                length -= len(piece)
            else:
                parts.append(piece[:length])
                self._pieces[0] = piece[length:]
                length = 0
        return parts


def slices(piece: BytesLike, most: int) -> Iterator[BytesLike]:
    """The same bytes in views of bounded length, so that copying or cutting one of them takes little time."""
    if len(piece) <= most:
        yield piece
        return
    view = memoryview(piece)
    for start in range(0, len(view), most):
        yield view[start : start + most]


def joined(parts: Parts) -> BytesLike:
    """The chunk in one buffer."""
    return parts[0] if len(parts) == 1 else b"".join(parts)
