"""`open_sealed`: any range, by the chunks that it needs, and no size that is not proved."""

import asyncio
import gzip
import io
import os
import random
import sys
import tarfile
import tempfile
import threading
import types
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest

from huks_async import BusinessError
from huks_async.runtime.workers import WorkerPool
from tests.files.support import import_aes, keystore, no_job_is_left, other_file

BITS = 12
CHUNK = 1 << BITS
SEALED = CHUNK + 16
KEY = bytes(range(32))
DATA = random.Random(7).randbytes(20 * CHUNK + 100)
FILE = other_file(KEY, DATA, bits=BITS)
LONG_DATA = random.Random(8).randbytes(3_000_000)
LONG_FILE = other_file(KEY, LONG_DATA, bits=BITS)
"""As long as several workers read at once."""

pytestmark = pytest.mark.asyncio


async def test_random_ranges() -> None:
    """They are right, and each chunk that is needed is opened once for a read."""
    ranges = random.Random(3)
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        async with opened.open_sealed("key", io.BytesIO(FILE)) as reader:
            assert reader.size == len(DATA)
            needed, last = reader.chunks_opened, 20
            assert needed == 1
            for _ in range(300):
                offset = ranges.randrange(len(DATA) + 50)
                length = ranges.choice((0, 1, 100, CHUNK, 3 * CHUNK, len(DATA)))
                assert await reader.read_at(offset, length) == DATA[offset : offset + length]
                end = min(offset + length, len(DATA))
                if offset < end:
                    wanted = range(offset // CHUNK, (end - 1) // CHUNK + 1)
                    needed += len(wanted) - (last in (wanted[0], wanted[-1]))
                    if len(wanted) > 1 or wanted[0] != last:
                        last = -1 if reader._kept is None else reader._kept[0]
            assert reader.chunks_opened == needed


@pytest.mark.parametrize(
    "kind", ["path", "str", "file", "unbuffered", "anyio", "upload", "spooled", "named", "tar", "gzip"]
)
async def test_kinds_of_files(kind: str, tmp_path: Path) -> None:
    """Paths and file objects that can seek; those that were given stay open."""
    path = tmp_path / "sealed"
    path.write_bytes(FILE)
    file: Any
    if kind == "path":
        file = path
    elif kind == "str":
        file = str(path)
    elif kind == "anyio":
        file = await anyio.open_file(path, "rb")
    elif kind in ("file", "unbuffered"):
        file = path.open("rb", buffering=-1 if kind == "file" else 0)
    elif kind == "tar":
        archived = io.BytesIO()
        with tarfile.open(fileobj=archived, mode="w") as archive:
            archive.add(path, "sealed")
        archived.seek(0)
        file = tarfile.open(fileobj=archived).extractfile("sealed")  # noqa: SIM115 - it is in memory
    elif kind == "gzip":
        # its descriptor is that of the compressed file
        (tmp_path / "gz").write_bytes(gzip.compress(FILE))
        file = io.BufferedReader(gzip.open(tmp_path / "gz"))  # type: ignore[arg-type]  # noqa: SIM115
    elif kind == "named":
        file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed with the test
        file.write(FILE)
    else:
        file = tempfile.SpooledTemporaryFile(10_000 if kind == "spooled" else 10_000_000)  # noqa: SIM115
        file.write(FILE)
        file.seek(0)
    given = _Upload(file) if kind == "upload" else file
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        async with opened.open_sealed("key", given) as reader:
            assert await reader.read_at(CHUNK - 1, 2) == DATA[CHUNK - 1 : CHUNK + 1]
            assert await reader.read_at(0, reader.size) == DATA
            parts = []
            async with anyio.create_task_group() as tasks:

                async def read(offset: int) -> None:
                    parts.append((offset, await reader.read_at(offset, 2 * CHUNK)))

                for offset in range(0, len(DATA), 2 * CHUNK):
                    tasks.start_soon(read, offset)
            assert b"".join(part for _, part in sorted(parts)) == DATA
    if kind == "anyio":
        await file.aclose()
    elif kind not in ("path", "str"):
        assert not file.closed
        file.close()


class _Upload:
    """Has what Starlette's `UploadFile` has: coroutines over a plain file."""

    def __init__(self, file: Any) -> None:
        self.file = file

    async def read(self, size: int = -1) -> bytes:
        raise AssertionError("the file below is read")

    async def seek(self, offset: int) -> None:
        raise AssertionError("the file below is read")


async def test_reads_like_a_file() -> None:
    """`read`, `seek` and `tell` go through the plaintext."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        async with opened.open_sealed("key", io.BytesIO(FILE)) as reader:
            assert await reader.read(10) == DATA[:10]
            assert reader.tell() == 10
            assert await reader.seek(-5, 2) == len(DATA) - 5
            assert await reader.read() == DATA[-5:]
            assert await reader.read() == await reader.read(7) == b""
            assert await reader.seek(CHUNK) == CHUNK
            assert await reader.seek(-1, 1) == CHUNK - 1
            assert await reader.read(2) == DATA[CHUNK - 1 : CHUNK + 1]
            for place in ((-1, 0), (0, 9), ("x", 0), (1.0, 0), (0, []), (0, "0"), (True, 0), (0, True)):
                with pytest.raises(BusinessError) as caught:
                    await reader.seek(*place)  # type: ignore[arg-type]
                assert caught.value.code == 401
            for wrong in ((-1, 1), (0, -1), (0, "1"), (True, 1)):
                with pytest.raises(BusinessError) as caught:
                    await reader.read_at(*wrong)  # type: ignore[arg-type]
                assert caught.value.code == 401
        with pytest.raises(BusinessError) as caught:
            await reader.read_at(0, 1)
        assert caught.value.code == 12000012


async def test_reads_at_once_get_bytes_of_their_own() -> None:
    """The position moves when a read begins, and a read that fails or is cancelled leaves it where it was."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        async with opened.open_sealed("key", io.BytesIO(FILE)) as reader:
            parts = await asyncio.gather(*(reader.read(CHUNK + 3) for _ in range(25)), reader.read())
            assert b"".join(parts) == DATA
            assert reader.tell() == len(DATA)
            await reader.seek(7)
            cancelled = asyncio.create_task(reader.read(10 * CHUNK))
            await asyncio.sleep(0)
            assert reader.tell() == 7 + 10 * CHUNK
            cancelled.cancel()
            await asyncio.wait([cancelled])
            assert cancelled.cancelled()
            assert reader.tell() == 7
            await reader.seek(0)
            cancelled = asyncio.create_task(reader.read(10 * CHUNK))
            await asyncio.sleep(0)
            await reader.seek(0)
            other = asyncio.create_task(reader.read(10 * CHUNK))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.wait([cancelled, other])
            assert cancelled.cancelled()
            assert await other == DATA[: 10 * CHUNK]
            assert reader.tell() == 10 * CHUNK, "the other read moved it to the same place"
            await reader.seek(7)
            for wrong in ("x", [], 1.5, True, b"1"):
                with pytest.raises(BusinessError, match="size must be an int") as caught:
                    await reader.read(wrong)  # type: ignore[arg-type]
                assert caught.value.code == 401
            assert reader.tell() == 7
            assert await reader.read(None) == DATA[7:]  # type: ignore[arg-type]


async def test_a_size_that_is_not_that_of_the_file_is_not_believed() -> None:
    """A file that was cut, also between chunks, or lengthened, does not open."""
    head = len(FILE) - 20 * SEALED - 116
    cuts = [
        head,
        head + 15,
        head + 16,
        head + SEALED,
        head + 5 * SEALED,
        head + 5 * SEALED + 16,
        len(FILE) - 1,
    ]
    wrong = [FILE[:cut] for cut in (*cuts, 0, 5, 20, head - 1)] + [
        FILE + b"x",
        FILE + FILE[head : head + SEALED],
    ]
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        for file in wrong:
            with pytest.raises(BusinessError) as caught:
                async with opened.open_sealed("key", io.BytesIO(file)):
                    pass
            assert caught.value.code == 12000006


async def test_a_chunk_that_was_changed_spoils_the_ranges_that_need_it() -> None:
    """Others are read as before."""
    head = len(FILE) - 20 * SEALED - 116
    file = bytearray(FILE)
    file[head + 3 * SEALED + 9] ^= 1
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        async with opened.open_sealed("key", io.BytesIO(file)) as reader:
            assert await reader.read_at(0, 3 * CHUNK) == DATA[: 3 * CHUNK]
            for offset, length in ((3 * CHUNK, 1), (0, len(DATA)), (4 * CHUNK - 1, 2)):
                with pytest.raises(BusinessError) as caught:
                    await reader.read_at(offset, length)
                assert caught.value.code == 12000006
            assert await reader.read_at(4 * CHUNK, 5) == DATA[4 * CHUNK : 4 * CHUNK + 5]


async def test_what_cannot_be_read_at_any_place() -> None:
    """Format 1, pipes, text and other objects are refused; the message names the way out."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        with pytest.raises(BusinessError, match="decrypt_stream") as caught:
            async with opened.open_sealed("key", io.BytesIO(b"huksenc\x01" + bytes(100))):
                pass
        assert caught.value.code == 12000001
        for file in (io.StringIO("text"), 7, [b"data"], Path("/dev/null")):
            with pytest.raises(BusinessError) as caught:
                async with opened.open_sealed("key", file):
                    pass
            assert caught.value.code == 401


async def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Files that are closed, detached or open for writing are refused, with what to do."""
    path = tmp_path / "sealed"
    path.write_bytes(FILE)
    closed, memory, detached = path.open("rb"), io.BytesIO(FILE), path.open("rb")
    closed.close()
    memory.close()
    with detached.detach(), path.open("ab") as appended, io.FileIO(path, "ab") as plain:
        async with keystore() as opened:
            await import_aes(opened, "key", KEY)
            for file in (closed, memory, detached, appended, plain):
                with pytest.raises(BusinessError, match="open it with 'rb'") as caught:
                    async with opened.open_sealed("key", file):
                        pass
                assert caught.value.code == 401


class _Turned(io.FileIO):
    """A file each of whose bytes is another one on the disk."""

    def readinto(self, buffer: Any, /) -> int:
        """Read, and turn the bits."""
        view = memoryview(buffer).cast("B")
        length = super().readinto(view)
        view[:length] = bytes(byte ^ 255 for byte in view[:length])
        return length

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and turn the bits."""
        return bytes(byte ^ 255 for byte in super().read(size))


async def test_files_of_a_class_of_ones_own(tmp_path: Path) -> None:
    """The bytes are those that it gives, not those of its descriptor."""
    path = tmp_path / "turned"
    path.write_bytes(bytes(byte ^ 255 for byte in FILE))
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        for file in (_Turned(path), io.BufferedReader(_Turned(path))):
            with file:
                async with opened.open_sealed("key", file) as reader:
                    assert await reader.read_at(CHUNK - 2, 5) == DATA[CHUNK - 2 : CHUNK + 3]


class _Odd:
    """A file object whose methods give what was chosen."""

    def __init__(self, **methods: Callable[..., Any]) -> None:
        self._file = io.BytesIO(FILE)
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._file, name)
        change = self._methods.get(name)
        return real if change is None else lambda *args: change(real(*args))


@pytest.mark.parametrize(
    "read", [bytearray, memoryview, lambda data: data + b"more"], ids=["bytearray", "memoryview", "more"]
)
async def test_buffers_of_all_kinds_that_a_read_gives(read: Callable[..., Any]) -> None:
    """As in `decrypt_stream`; what is more than asked for is left."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        async with opened.open_sealed("key", _Odd(read=read)) as reader:
            assert await reader.read() == DATA


async def _later(value: Any) -> Any:
    return value


def _none(_: object) -> None:
    return None


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"read": _none}, "does not wait for data"),
        ({"read": lambda data: data.decode("latin-1")}, "encode text first"),
        ({"read": _later}, "its read is a coroutine"),
        ({"seek": _later}, "its seek is a coroutine"),
        ({"tell": _later}, "its tell is a coroutine"),
        ({"readable": _later}, "its readable is a coroutine"),
        ({"tell": _none}, "its tell must give an int"),
    ],
    ids=["none", "str", "read", "seek", "tell", "readable", "no place"],
)
async def test_file_objects_that_give_something_else(methods: dict[str, Any], message: str) -> None:
    """401, and no coroutine is left that was never awaited."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        with pytest.raises(BusinessError, match=message) as caught:
            async with opened.open_sealed("key", _Odd(**methods)):
                pass
        assert caught.value.code == 401


async def test_file_objects_whose_methods_take_something_else() -> None:
    """401 where a call does not fit; what goes wrong in a method of the object's own is not hidden."""

    class Narrow(io.BytesIO):
        def seek(self, offset: int) -> int:  # type: ignore[override]
            return super().seek(offset)

    class Broken(io.BytesIO):
        def tell(self) -> int:
            raise TypeError("of its own")

    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        with pytest.raises(BusinessError, match="its seek cannot be called") as caught:
            async with opened.open_sealed("key", Narrow(FILE)):
                pass
        assert caught.value.code == 401
        with pytest.raises(TypeError, match="of its own"):
            async with opened.open_sealed("key", Broken(FILE)):
                pass


async def test_pipes_are_refused_at_once(tmp_path: Path) -> None:
    """One by its name is not waited for until somebody writes to it."""
    named = tmp_path / "pipe"
    os.mkfifo(named)
    reading, writing = os.pipe()
    with io.FileIO(reading) as plain, io.FileIO(writing, "wb"):
        async with keystore() as opened:
            await import_aes(opened, "key", KEY)
            for file in (named, plain, io.BufferedReader(plain)):
                with pytest.raises(BusinessError, match="decrypt_stream") as caught:
                    async with opened.open_sealed("key", file):
                        pass
                assert caught.value.code == 401


@pytest.mark.parametrize("kind", [io.BytesIO, type("Numbered", (), {"__fspath__": lambda self: 7})])
async def test_classes_and_paths_of_numbers_are_refused(kind: type) -> None:
    """A class in place of its object, and an `os.PathLike` that gives no path."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        with pytest.raises(BusinessError, match="file") as caught:
            async with opened.open_sealed("key", kind if kind is io.BytesIO else kind()):
                pass
        assert caught.value.code == 401


@pytest.mark.parametrize("kind", ["plain", "memory"])
async def test_a_file_that_is_closed_within_the_block(kind: str, tmp_path: Path) -> None:
    """The descriptor may be another file's by then."""
    path = tmp_path / "sealed"
    path.write_bytes(LONG_FILE)
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        with path.open("rb") as file, io.BytesIO(LONG_FILE) as memory:
            given = memory if kind == "memory" else file
            async with opened.open_sealed("key", given) as reader:
                given.close()
                with pytest.raises(BusinessError, match="closed by somebody else") as caught:
                    await reader.read_at(0, 1)
                assert caught.value.code == 12000012


@pytest.mark.parametrize(
    "file", [FILE, b"a\0b", "a\0b", Path("a\0b"), "\ud800" * 3, bytearray(FILE)], ids=type
)
async def test_what_is_no_path_is_refused(file: Any) -> None:
    """Sealed bytes in place of a file, and names that no file has; the message tells what to give."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        with pytest.raises(BusinessError, match="a path or a binary file object") as caught:
            async with opened.open_sealed("key", file):
                pass
        assert caught.value.code == 401
        assert "huksenc" not in caught.value.message
        assert ("io.BytesIO" in caught.value.message) == (type(file) is not bytearray)


async def test_cancelled_reads_leave_nothing() -> None:
    """A read that is cancelled at any moment is followed by right ones, and by a block that can be left."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        async with opened.open_sealed("key", io.BytesIO(FILE)) as reader:
            for step in range(20):
                with anyio.move_on_after(step * 0.0002):
                    await reader.read_at(0, len(DATA))
            assert await reader.read_at(0, len(DATA)) == DATA
        assert await no_job_is_left(opened)


async def test_a_read_cancelled_before_its_chunks_have_begun_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for no worker, and none reads for it later; a coroutine that is discarded leaves nothing, too."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        async with opened.open_sealed("key", io.BytesIO(LONG_FILE)) as reader:
            pool, before, let_go = WorkerPool(1), list[int](), threading.Event()
            monkeypatch.setattr(reader, "_pool", pool)
            monkeypatch.setattr(reader, "_open_run", lambda first, last: before.append(first))
            busy = pool.start(let_go.wait)
            try:
                cancelled = asyncio.create_task(reader.read_at(0, len(LONG_DATA)))
                await asyncio.sleep(0)
                assert pool.active == 4
                cancelled.cancel()
                await asyncio.wait([cancelled])
                discarded = reader.read_at(0, len(LONG_DATA))
                discarded.send(None)
                discarded.close()
            finally:
                let_go.set()
            await busy.outcome(shield=True)
            await pool.run(len, b"")
            assert before == []
            pool.close()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["this thread", "another thread"])
async def test_the_block_of_a_task_that_the_collector_ends_closes_its_file(
    elsewhere: bool, tmp_path: Path
) -> None:
    """Without waiting, which a coroutine that is being closed must not: Python reported that it ignored its end."""
    path = tmp_path / "sealed"
    path.write_bytes(FILE)
    raised: list[BaseException] = []

    @types.coroutine
    def pause() -> Generator[None, None, None]:
        yield

    async def left(block: AbstractAsyncContextManager[Any]) -> None:
        try:
            await pause()
        finally:
            await block.__aexit__(*sys.exc_info())

    def close() -> None:
        try:
            coroutine.close()
        except BaseException as error:
            raised.append(error)

    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        block = opened.open_sealed("key", path)
        reader = await block.__aenter__()
        own: Any = reader._file._own
        coroutine = left(block)
        coroutine.send(None)
        if elsewhere:
            thread = threading.Thread(target=close)
            thread.start()
            thread.join()
        else:
            close()
        assert not raised
        with anyio.fail_after(60):
            while not own.closed:
                await anyio.sleep(0.001)
