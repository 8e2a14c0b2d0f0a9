"""Long files past the system's cache: what is written and read is the same as through it, byte for byte."""

import errno
import io
import mmap
import os
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huks_async.cli.flow import source as sources
from huks_async.cli.flow import uncached
from huks_async.cli.flow.progress import Progress
from huks_async.cli.flow.uncached import SPARE, UncachedFile
from huks_async.cli.operations import sealed_file
from huks_async.cli.shell import placed
from huks_async.cli.shell.files import open_input, open_output
from huks_async.cli.shell.placed import BLOCK, PlacedFile
from huks_async.files.chunks import ChunkCipher
from tests.cli.command_line import Huks, command
from tests.disks import on_a_disk

_CHUNK = 4096
_HEADER = b"a header of odd length"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that writes past its cache."""
    with on_a_disk(tmp_path) as disk:
        probe = os.open(disk / "probe", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            if not placed._bypass_cache(probe):
                pytest.skip("this file system has no writes past its cache")
        finally:
            os.close(probe)
        yield disk


def _aligned(data: bytes, place: int) -> memoryview:
    """The data in memory that begins in a page where it begins in the file."""
    room = memoryview(mmap.mmap(-1, len(data) + 2 * BLOCK, flags=mmap.MAP_PRIVATE))
    begin = place % BLOCK
    room[begin : begin + len(data)] = data
    return room[begin : begin + len(data)]


_LENGTHS = st.one_of(
    st.integers(1, 3 * BLOCK),
    st.integers(1, 5).map(lambda blocks: blocks * BLOCK),
    st.sampled_from([BLOCK - 1, BLOCK + 1, 2 * BLOCK - 1, 64 * 1024 + 16]),
)


@given(
    first=st.integers(0, 2 * BLOCK),
    lengths=st.lists(_LENGTHS, min_size=1, max_size=12),
    seed=st.integers(0, 1 << 32),
    placing=st.sampled_from(["aligned", "not aligned", "cache"]),
    threads=st.booleans(),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_of_any_length_in_any_order(
    folder: Path, first: int, lengths: list[int], seed: int, placing: str, threads: bool
) -> None:
    """Whatever the pieces, their order and their memory, the file is the same, also where the disk refuses them."""
    order = random.Random(seed)
    whole = order.randbytes(first + sum(lengths))
    ends = [first + sum(lengths[: count + 1]) for count in range(len(lengths))]
    pieces = [(end - length, end) for length, end in zip(lengths, ends, strict=True)]
    order.shuffle(pieces)
    path = folder / "target"
    with pytest.MonkeyPatch.context() as patch, path.open("wb", buffering=0) as file:
        patch.setattr(placed, "LEAST_DIRECT", 0 if placing != "cache" else 1 << 40)
        file.write(whole[:first])
        target = PlacedFile(file.fileno())

        def put(part: list[tuple[int, int]]) -> None:
            for start, end in part:
                data = whole[start:end]
                target.write(memoryview(data) if placing == "not aligned" else _aligned(data, start), start)

        if threads:
            working = [threading.Thread(target=put, args=(pieces[count::2],)) for count in range(2)]
            for thread in working:
                thread.start()
            for thread in working:
                thread.join()
        else:
            put(pieces)
        target.finish()
    assert path.read_bytes() == whole


def test_whole_blocks_do_not_go_through_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long file only the blocks that nothing completes are written when the rest is on the disk."""
    written: list[tuple[int, int]] = []
    pwritev = os.pwritev

    def watched(descriptor: int, buffers: list[memoryview], place: int) -> int:
        written.append((place, done := pwritev(descriptor, buffers, place)))
        return done

    monkeypatch.setattr(os, "pwritev", watched)
    step = placed.LEAST_DIRECT + 16
    whole = os.urandom(8 * step)
    with (folder / "target").open("wb", buffering=0) as file:
        target = PlacedFile(file.fileno())
        for start in range(0, len(whole), step):
            target.write(_aligned(whole[start : start + step], start), start)
            assert target.direct
        assert all(place % BLOCK == length % BLOCK == 0 for place, length in written)
        assert len(written) == 8
        target.finish()
        assert [len(whole) - len(whole) % BLOCK, len(whole) % BLOCK] == list(written[-1])
    assert (folder / "target").read_bytes() == whole


def test_file_systems_that_take_the_flag_and_refuse_the_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal in the middle has the rest go through the cache; other errors are not swallowed."""
    pwritev, answers = os.pwritev, iter([None, errno.EINVAL])

    def refusing(descriptor: int, buffers: list[memoryview], place: int) -> int:
        if (number := next(answers, None)) is not None:
            raise OSError(number, os.strerror(number))
        return pwritev(descriptor, buffers, place)

    monkeypatch.setattr(os, "pwritev", refusing)
    step = placed.LEAST_DIRECT + 16
    whole = os.urandom(6 * step)
    with (folder / "target").open("wb", buffering=0) as file:
        target = PlacedFile(file.fileno())
        for start in range(0, len(whole), step):
            target.write(_aligned(whole[start : start + step], start), start)
        assert not target.direct
        target.finish()
        answers = iter([errno.ENOSPC])
        with pytest.raises(OSError, match="No space"):
            target.write(memoryview(b"x"), len(whole))
    assert (folder / "target").read_bytes() == whole


@pytest.mark.parametrize("most", [512, 4096, 70_000])
def test_writes_that_are_cut_short(folder: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """What the system did not take at once follows, though its place may no longer suit the disk."""
    pwritev = os.pwritev

    def short(descriptor: int, buffers: list[memoryview], place: int) -> int:
        return pwritev(descriptor, [buffers[0][:most]], place)

    monkeypatch.setattr(os, "pwritev", short)
    step = placed.LEAST_DIRECT + 16
    whole = os.urandom(3 * step)
    with (folder / "target").open("wb", buffering=0) as file:
        target = PlacedFile(file.fileno())
        for start in range(0, len(whole), step):
            target.write(_aligned(whole[start : start + step], start), start)
        target.finish()
    assert (folder / "target").read_bytes() == whole


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 10 * BLOCK + 77])
def test_reading_past_the_cache(folder: Path, size: int) -> None:
    """Any range is what it is through the cache, up to the end and beyond it."""
    path = folder / "source"
    path.write_bytes(os.urandom(size))
    with path.open("rb", buffering=0) as file:
        reader = UncachedFile(os.open(path, os.O_RDONLY | os.O_DIRECT))
        try:
            for place in (0, 1, 511, 512, BLOCK - 1, BLOCK, 3 * BLOCK + 5, size - 1, size, size + BLOCK):
                for length in (1, 511, BLOCK, BLOCK + 1, 4 * BLOCK, 5 * BLOCK - 3):
                    if place < 0:
                        continue
                    buffer = memoryview(mmap.mmap(-1, length + SPARE, flags=mmap.MAP_PRIVATE))
                    begin, got = reader.read(buffer, place, length)
                    assert bytes(buffer[begin : begin + got]) == os.pread(file.fileno(), length, place)
        finally:
            reader.close()


def _never_cached(descriptor: int, start: int, size: int) -> bool:
    return False


@pytest.fixture(params=["past the cache", "through the cache", "reads refused"])
def cache(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each way to read and write, for files of any length."""
    kind: str = request.param
    monkeypatch.setattr(placed, "LEAST_DIRECT", 1 << 40 if kind == "through the cache" else 0)
    monkeypatch.setattr(uncached, "_LEAST", 1 << 40 if kind == "through the cache" else 0)
    monkeypatch.setattr(uncached, "_is_cached", _never_cached)
    reads: list[int] = []
    read = UncachedFile.read

    def watched(self: UncachedFile, buffer: memoryview, place: int, length: int) -> tuple[int, int]:
        reads.append(place)
        if kind == "reads refused":
            raise OSError(errno.EINVAL, "refused")
        return read(self, buffer, place, length)

    monkeypatch.setattr(UncachedFile, "read", watched)
    yield kind
    assert bool(reads) is (kind != "through the cache")


_BATCH = 256 * _CHUNK


@pytest.mark.parametrize("start", [0, 4095])
@pytest.mark.parametrize(
    "size", [1, _CHUNK - 1, _CHUNK, _CHUNK + 1, 99 * _CHUNK + 5, _BATCH, 5 * _BATCH + 1, 6 * _BATCH - 1]
)
def test_files_are_the_same_either_way(cache: str, folder: Path, size: int, start: int) -> None:
    """A sealed file is what its chunks are one after another, and its content comes out, on each way."""
    content = random.Random(size).randbytes(start + size)
    plain, sealed, opened = folder / "plain", folder / "sealed", folder / "opened"
    plain.write_bytes(content)
    cipher = ChunkCipher(bytes(32), _CHUNK)
    _through(plain, sealed, start, lambda *way: sealed_file.seal(way[0], _HEADER, cipher, *way[1:]))
    count = max(1, -(-size // _CHUNK))
    pieces = [content[start + place * _CHUNK : start + (place + 1) * _CHUNK] for place in range(count)]
    expected = [cipher.seal(place, piece, last=place == count - 1) for place, piece in enumerate(pieces)]
    assert sealed.read_bytes() == _HEADER + b"".join(expected)
    _through(sealed, opened, 0, lambda *way: sealed_file.open_all(way[0], len(_HEADER), cipher, *way[1:]))
    assert opened.read_bytes() == content[start:]


def _through(path: Path, target: Path, start: int, work: Callable[..., None]) -> None:
    with open_input(str(path)) as file:
        os.lseek(file.fileno(), start, os.SEEK_SET)
        source = sources.open_source(file)
        try:
            with open_output(str(target)) as output:
                work(source, output, Progress(None, quiet=True))
                output.commit()
        finally:
            source.close()
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == start


def test_what_the_cache_has_is_read_from_it(folder: Path) -> None:
    """A long file that was just read is not read from the disk again, and one that is not there is."""
    path = folder / "source"
    path.write_bytes(os.urandom(uncached._LEAST))
    with path.open("rb", buffering=0) as file:
        descriptor = file.fileno()
        os.fsync(descriptor)
        assert uncached.open_uncached(descriptor, 0, uncached._LEAST) is None
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        reader = uncached.open_uncached(descriptor, 0, uncached._LEAST)
        assert reader is not None
        reader.close()


def test_systems_that_do_not_tell_what_is_cached(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer of the system everything goes through the cache."""

    def unknown(descriptor: int, start: int, size: int) -> NoReturn:
        raise OSError(errno.ENOSYS, "mincore")

    monkeypatch.setattr(uncached, "_is_cached", unknown)
    path = folder / "source"
    path.write_bytes(bytes(uncached._LEAST))
    with io.FileIO(path) as file:
        assert uncached.open_uncached(file.fileno(), 0, uncached._LEAST) is None


def test_a_full_disk_leaves_nothing(huks_process: Huks, home: Path, folder: Path) -> None:
    """A long file that finds no room is refused, and neither it nor its draft is there."""
    huks_process("keys", "generate", "k")
    plain, target = folder / "plain", folder / "out" / "sealed"
    target.parent.mkdir()
    plain.write_bytes(os.urandom(5_000_000))
    limited = ["bash", "-c", 'ulimit -f 3000; exec "$@"', "bash"]
    done = subprocess.run(
        [*limited, *command("encrypt", "k", plain, "-o", target)],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert b"too large" in done.stderr
    assert list(target.parent.iterdir()) == []
