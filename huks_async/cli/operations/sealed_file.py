"""Files of format 2 in the command: their chunks through the pipeline, and parts of them."""

from dataclasses import dataclass

from huks_async.cli.flow import pipeline
from huks_async.cli.flow.progress import Progress
from huks_async.cli.flow.source import Source
from huks_async.cli.shell.console import CommandError, usage_error
from huks_async.cli.shell.targets import Output
from huks_async.cli.words.numbers import cut, whole_number
from huks_async.files.chunks import TAG_BYTES, ChunkCipher, extent
from huks_async.model.params import BytesLike


class Sealing:
    """A chunk of plaintext becomes a sealed one."""

    def __init__(self, cipher: ChunkCipher) -> None:
        self._cipher = cipher
        self.taken: int = cipher.chunk_bytes
        self.given: int = cipher.sealed_bytes

    def __call__(self, place: int, last: bool, data: memoryview, into: memoryview) -> int:
        """Seal one."""
        length = len(data) + TAG_BYTES
        self._cipher.seal_into(place, data, into[:length], last=last)
        return length


class Opening:
    """A sealed chunk becomes plaintext that is verified."""

    def __init__(self, cipher: ChunkCipher) -> None:
        self._cipher = cipher
        self.taken: int = cipher.sealed_bytes
        self.given: int = cipher.chunk_bytes

    def __call__(self, place: int, last: bool, data: memoryview, into: memoryview) -> int:
        """Open one; `BusinessError` 12000006 for a wrong one."""
        length = max(0, len(data) - TAG_BYTES)
        self._cipher.open_into(place, data, into[:length], last=last)
        return length


@dataclass(frozen=True)
class Range:
    """Bytes `start` to `end`, the latter not among them; None is the end of the content."""

    start: int
    end: int | None

    @staticmethod
    def parse(text: str) -> "Range":
        """Read `FROM:TO`, either of which may be left out.

        Raises:
            CommandError: it is no range.

        """
        start, colon, end = text.partition(":")
        first, last = whole_number(start or "0"), whole_number(end) if end else None
        if not colon or first is None or (end and last is None):
            raise usage_error(
                f"{cut(text)} is no range",
                hint="FROM:TO, two numbers of bytes from 0, of at most 18 digits, either of which may be left out",
            )
        if last is not None and last < first:
            raise usage_error(f"the range {text} ends before it begins")
        return Range(first, last)


class _Window:
    """Passes on the part of the content that is wanted."""

    def __init__(self, target: Output, wanted: Range, place: int) -> None:
        self._target = target
        self._wanted = wanted
        self.place = place
        """How much of the content has gone by."""

    def write(self, data: BytesLike) -> None:
        start, end = self._wanted.start - self.place, len(data)
        if self._wanted.end is not None:
            end = min(end, self._wanted.end - self.place)
        self.place += len(data)
        if max(start, 0) < end:
            self._target.write(memoryview(data)[max(start, 0) : end])


def seal(source: Source, header: bytes, cipher: ChunkCipher, target: Output, progress: Progress) -> None:
    """Write a sealed file of all that the source has."""
    target.write(header)
    step = Sealing(cipher)
    source.begin(step.taken, 0)
    _carry(source, step, target, progress, start=len(header))


def open_all(source: Source, skip: int, cipher: ChunkCipher, target: Output, progress: Progress) -> None:
    """Write the content of a sealed file whose chunks begin after `skip` bytes; each chunk once it is verified."""
    step = Opening(cipher)
    source.begin(step.taken, skip)
    _carry(source, step, target, progress, start=0)


def _carry(source: Source, step: pipeline.Step, target: Output, progress: Progress, *, start: int) -> None:
    write_at = target.write_at if target.hidden else None
    pipeline.run(source, step, target.write, progress, write_at=write_at, start=start)


def verify_all(source: Source, skip: int, cipher: ChunkCipher, progress: Progress) -> None:
    """Open every chunk and write none."""
    step = Opening(cipher)
    source.begin(step.taken, skip)
    pipeline.run(source, step, _drop, progress, write_at=_drop)


def _drop(*result: object) -> None:
    """Stands for an output where verification is all that is wanted."""


def open_range(
    source: Source, skip: int, cipher: ChunkCipher, wanted: Range, target: Output, progress: Progress
) -> None:
    """Write a part of the content. Of a file only the chunks that have it are read; a stream is read up to them.

    Raises:
        CommandError: the content ends before the range begins.

    """
    step = Opening(cipher)
    first = 0
    if source.size is not None:
        # where nothing of the range is there, the last chunk must show that the content ends so early
        chunks = extent(skip, cipher.chunk_bytes, source.size).chunks
        first = min(wanted.start // cipher.chunk_bytes, chunks - 1)
    end = None if wanted.end is None else -(-wanted.end // cipher.chunk_bytes)
    source.begin(step.taken, skip, first=first, end=None if end is None else max(end, first + 1))
    window = _Window(target, wanted, first * cipher.chunk_bytes)
    pipeline.run(source, step, window.write, progress)
    if window.place < wanted.start:
        raise CommandError(f"the range begins at {wanted.start}, the content ends at {window.place}")
