"""`encrypt_stream` and `decrypt_stream`: what goes in comes out, from any source, for every kind of key."""

import asyncio
import functools
import io
import os
import random
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.streams.file import FileReadStream
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

import huks_async as huks
from huks_async import BusinessError
from huks_async.access import PinAuthenticator
from huks_async.files import pipeline
from huks_async.files.cutting import Cutter, joined
from huks_async.files.header import CHUNK_BYTES
from tests.files.support import (
    CIPHER,
    KINDS,
    UNFIT,
    import_aes,
    keystore,
    no_job_is_left,
    options,
    other_file,
    seal,
    unseal,
    until_fault,
)

SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 10 * CHUNK_BYTES + 7)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.asyncio
async def test_any_size_comes_back(size: int) -> None:
    """The plaintext is the same again, and the file is as long as the page of the format says."""
    data = random.Random(size).randbytes(size)
    async with keystore("aes-gcm") as opened:
        sealed = await seal(opened, "aes-gcm", data)
        header = int.from_bytes(sealed[12:16], "big")
        assert len(sealed) == header + size + 16 * max(1, -(-size // CHUNK_BYTES))
        assert await unseal(opened, "aes-gcm", sealed) == data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.asyncio
async def test_every_kind_of_key_opens_what_it_sealed(kind: str) -> None:
    """A key of each kind opens its own files and no file of another key of that kind."""
    async with keystore(kind, other=KINDS[kind]) as opened:
        sealed = await seal(opened, kind, b"for this key")
        assert await unseal(opened, kind, sealed) == b"for this key"
        assert await until_fault(opened, "other", sealed) == (b"", 12000011)


@pytest.mark.parametrize("kind", UNFIT)
@pytest.mark.asyncio
async def test_other_keys_are_refused_with_what_can_be_done(kind: str) -> None:
    """A key that cannot hide another is refused before anything is read."""
    async with keystore(kind) as opened:
        with pytest.raises(BusinessError, match="huks keys generate") as caught:
            await seal(opened, kind, b"data")
        assert caught.value.code == 12000001


@pytest.mark.asyncio
async def test_several_recipients() -> None:
    """Each of the keys opens the file; a key named twice is one recipient."""
    names = list(KINDS)
    async with keystore(*names, other=KINDS["aes-gcm"]) as opened:
        sealed = await seal(opened, [*names, names[0]], b"for all")
        assert sealed[10] == len(names)
        for name in names:
            assert await unseal(opened, name, sealed) == b"for all"
        assert await until_fault(opened, "other", sealed) == (b"", 12000011)
        for wrong in ([], [b"aes-gcm"], 7, b"aes-gcm"):
            with pytest.raises(BusinessError) as caught:
                await seal(opened, wrong, b"")  # type: ignore[arg-type]
            assert caught.value.code == 401


class Aliases(Sequence[str]):
    """A long list that knows how far it was read."""

    def __init__(self, length: int) -> None:
        self.length, self.read = length, 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if index >= self.length:
            raise IndexError(index)
        self.read = max(self.read, index + 1)
        return "aes-gcm"


@pytest.mark.asyncio
async def test_a_list_of_more_aliases_than_a_file_has_room_for() -> None:
    """401 before the rest of it is looked at, on the event loop, also where each names the same key."""
    async with keystore("aes-gcm") as opened:
        assert (await seal(opened, Aliases(255), b""))[10] == 1
        for length in (256, 10**9):
            aliases = Aliases(length)
            with pytest.raises(BusinessError, match="1 to 255 keys, got more") as caught:
                await seal(opened, aliases, b"")
            assert caught.value.code == 401
            assert aliases.read == 256


@pytest.mark.asyncio
async def test_a_key_that_is_for_one_direction_keeps_to_it() -> None:
    """A key made to encrypt only seals, and does not open."""
    one_way = KINDS["aes-gcm"] | {"PURPOSE": CIPHER & 1 or 1}
    async with keystore(one_way=one_way) as opened:
        sealed = await seal(opened, "one_way", b"data")
        with pytest.raises(BusinessError):
            await unseal(opened, "one_way", sealed)


@pytest.mark.asyncio
async def test_a_key_that_was_renamed_or_replaced() -> None:
    """The hint is a hint: the same key under another alias opens; another key under the same alias does not."""
    key = os.urandom(32)
    async with keystore() as opened:
        await import_aes(opened, "before", key)
        sealed = await seal(opened, "before", b"data")
        await import_aes(opened, "after", key)
        assert await unseal(opened, "after", sealed) == b"data"
        await import_aes(opened, "before", os.urandom(32))
        assert await until_fault(opened, "before", sealed) == (b"", 12000006)
        with pytest.raises(BusinessError) as caught:
            await unseal(opened, "nobody", sealed)
        assert caught.value.code == 12000011


@pytest.mark.asyncio
async def test_storage_levels() -> None:
    """Options say where the key is."""
    async with keystore(low=KINDS["aes-gcm"] | {"AUTH_STORAGE_LEVEL": 0}) as opened:
        place = options(AUTH_STORAGE_LEVEL=0)
        sealed = b"".join([piece async for piece in opened.encrypt_stream("low", [b"data"], place)])
        assert [piece async for piece in opened.decrypt_stream("low", [sealed], place)] == [b"data"]
        assert await until_fault(opened, "low", sealed) == (b"", 12000011)


@pytest.mark.asyncio
async def test_a_key_that_demands_its_user_is_refused_with_its_code() -> None:
    """A stream has no place for an auth token: both directions end with what the session says, and hold nothing."""
    bound = KINDS["aes-gcm"] | {"USER_AUTH_TYPE": 4, "KEY_AUTH_ACCESS_TYPE": 1, "CHALLENGE_TYPE": 0}
    authenticator = PinAuthenticator()
    async with huks.Keystore.open(
        "memory:", huks.EphemeralRootKey(), monitor=False, authenticator=authenticator
    ) as opened:
        await authenticator.enroll(opened, 100, "2580")
        await opened.generateKeyItem("bound", options(**bound))
        await opened.generateKeyItem("free", options(**KINDS["aes-gcm"]))
        sealed = await seal(opened, "free", b"data")
        with pytest.raises(BusinessError, match="HUKS_TAG_AUTH_TOKEN") as caught:
            await seal(opened, "bound", b"data")
        assert caught.value.code == 401
        assert await until_fault(opened, "bound", sealed) == (b"", 401)
        assert opened.statistics().open == 0


class _AsyncReader:
    """Reads like aiohttp's and asyncio's readers, and like an `UploadFile`; as an iterable it would give lines."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        await asyncio.sleep(0)
        return self._file.read(min(size, 70_001))

    def __aiter__(self) -> Any:
        raise AssertionError("lines were read")


class _CoroutineInDisguise:
    def __init__(self, data: bytes) -> None:
        self._inner = _AsyncReader(data)

    def read(self, size: int) -> Any:
        return self._inner.read(size)


async def _generator(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 50_000):
        yield data[start : start + 50_000]


def _one_buffer(data: bytes) -> Iterator[memoryview]:
    """Fills the same buffer again and again, as `readinto` loops do."""
    buffer = bytearray(40_000)
    for start in range(0, len(data), len(buffer)):
        part = data[start : start + len(buffer)]
        buffer[: len(part)] = part
        yield memoryview(buffer)[: len(part)]


@pytest.mark.parametrize(
    "kind",
    [
        "bytesio",
        "file",
        "spooled",
        "anyio",
        "reader",
        "disguise",
        "generator",
        "list",
        "buffer",
        "bytestream",
    ],
)
@pytest.mark.asyncio
async def test_sources(kind: str, tmp_path: Path) -> None:
    """Files, readers and iterables of all kinds, for both directions."""
    data = random.Random(kind).randbytes(3 * CHUNK_BYTES + 11)

    async def made(content: bytes) -> Any:
        path = tmp_path / "file"
        path.write_bytes(content)
        if kind == "bytesio":
            return io.BytesIO(content)
        if kind == "file":
            return path.open("rb")
        if kind == "spooled":
            spooled = tempfile.SpooledTemporaryFile(100_000)  # noqa: SIM115 - closed with the test
            spooled.write(content)
            spooled.seek(0)
            return spooled
        if kind == "anyio":
            return await anyio.open_file(path, "rb")
        if kind == "bytestream":
            return await FileReadStream.from_path(path)
        return {
            "reader": _AsyncReader,
            "disguise": _CoroutineInDisguise,
            "generator": _generator,
            "list": lambda whole: [whole],
            "buffer": _one_buffer,
        }[kind](content)

    async with keystore("aes-gcm") as opened:
        source = await made(data)
        sealed = b"".join([piece async for piece in opened.encrypt_stream("aes-gcm", source)])
        await _close(source)
        source = await made(sealed)
        assert b"".join([piece async for piece in opened.decrypt_stream("aes-gcm", source)]) == data
        assert not getattr(source, "closed", False)
        await _close(source)


async def _close(source: Any) -> None:
    if hasattr(source, "aclose"):
        await source.aclose()
    elif hasattr(source, "close"):
        source.close()


@pytest.mark.parametrize(
    "source", [b"one buffer", "text", 7, [7], ["text"], io.StringIO("text"), io.BytesIO], ids=repr
)
@pytest.mark.asyncio
async def test_what_is_no_source_is_refused(source: Any) -> None:
    """401, and the message says what is one."""
    async with keystore("aes-gcm") as opened:
        with pytest.raises(BusinessError) as caught:
            async for _ in opened.encrypt_stream("aes-gcm", source):
                pass
        assert caught.value.code == 401


class _Whole:
    """Reads all at once only; `plain` and `later` take no number of bytes, `own` fails by itself."""

    def plain(self) -> bytes:
        return b""

    async def later(self, *, decode: bool = False) -> bytes:
        return b""

    def own(self, size: int) -> bytes:
        return self.plain(size)  # type: ignore[call-arg,no-any-return]

    @staticmethod
    def given(*args: int) -> bytes:
        raise TypeError("of its own")


@pytest.mark.asyncio
async def test_a_read_that_takes_no_number_is_refused() -> None:
    """401 where the call does not fit; a TypeError of the source's own is not hidden, whatever wraps its `read`."""
    source = _Whole()

    @functools.wraps(source.plain)
    def wrapped(*args: int) -> bytes:
        return source.given(*args)

    async with keystore("aes-gcm") as opened:
        for stream in (opened.encrypt_stream, opened.decrypt_stream):
            for read in (source.plain, source.later):
                with pytest.raises(
                    BusinessError, match=r"its read cannot be called.*give a generator"
                ) as caught:
                    async for _ in stream("aes-gcm", SimpleNamespace(read=read)):
                        pass
                assert caught.value.code == 401
            for read in (source.own, source.given, wrapped):
                with pytest.raises(TypeError):
                    async for _ in stream("aes-gcm", SimpleNamespace(read=read)):
                        pass


@pytest.mark.parametrize("kind", ["generator", "file", "reader", "iterator"])
@pytest.mark.asyncio
async def test_errors_of_the_source_come_through(kind: str) -> None:
    """What a source raises is what the caller gets, after sound pieces or none, and the keystore has nothing left open."""
    data = bytes(range(256)) * (5 * CHUNK_BYTES // 256)

    def pieces(content: bytes) -> Iterator[bytes]:
        for start in range(0, len(content), CHUNK_BYTES):
            yield content[start : start + CHUNK_BYTES]
        raise ConnectionResetError("the client went away")

    def broken(content: bytes) -> Any:
        left = pieces(content)
        if kind == "file":
            return SimpleNamespace(read=lambda _: next(left))
        if kind == "iterator":
            return left

        async def read(_: int) -> bytes:
            return next(left)

        async def generate() -> AsyncIterator[bytes]:
            for piece in left:
                yield piece

        return SimpleNamespace(read=read) if kind == "reader" else generate()

    async with keystore("aes-gcm") as opened:
        sealed = await seal(opened, "aes-gcm", data)
        given: list[bytes] = []
        for stream, content in ((opened.encrypt_stream, data), (opened.decrypt_stream, sealed[:-1])):
            given.clear()
            with pytest.raises(ConnectionResetError, match="the client went away"):
                async for piece in stream("aes-gcm", broken(content)):
                    given.append(piece)
        assert data.startswith(b"".join(given))
        assert opened.statistics().open == 0


@pytest.mark.asyncio
async def test_left_early() -> None:
    """Leaving the iteration closes the generator that feeds it, and leaves no session and no task."""
    ended = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(100_000)
                await anyio.lowlevel.checkpoint()
        finally:
            ended.append(True)

    async with keystore("aes-gcm") as opened:
        async with aclosing(opened.encrypt_stream("aes-gcm", endless())) as pieces:
            count = 0
            async for _ in pieces:
                count += 1
                if count == 20:
                    break
        assert ended == [True]
        assert opened.statistics().open == 0
        with anyio.CancelScope() as scope:
            count = 0
            async for _ in opened.encrypt_stream("aes-gcm", endless()):
                count += 1
                if count == 20:
                    scope.cancel()
        assert scope.cancelled_caught
        assert ended == [True, True]


@pytest.mark.asyncio
async def test_many_streams_share_what_is_under_way() -> None:
    """Streams of all lengths at once come back right, some of them left early, and none is counted afterwards."""
    data, before = random.Random(6).randbytes(9 * CHUNK_BYTES + 3), set(pipeline._streams)

    async with keystore("aes-gcm") as opened:

        async def there_and_back(size: int) -> None:
            assert await unseal(opened, "aes-gcm", await seal(opened, "aes-gcm", data[:size])) == data[:size]

        async def left(size: int) -> None:
            async with aclosing(opened.encrypt_stream("aes-gcm", [data[:size]])) as pieces:
                await anext(pieces)
                await anext(pieces)
                assert pipeline._streams - before

        async with anyio.create_task_group() as tasks:
            for size in SIZES[:-1]:
                tasks.start_soon(there_and_back, size)
                tasks.start_soon(left, len(data) - size)
    assert pipeline._streams <= before


@pytest.mark.asyncio
async def test_a_slow_source_gets_its_chunks_at_once() -> None:
    """A chunk comes out before a source that is slow has given more than the next one."""
    async with keystore("aes-gcm") as opened:

        async def slow() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield bytes(CHUNK_BYTES // 2)
                assert await no_job_is_left(opened)
            pytest.fail("more was asked for")

        pieces = opened.encrypt_stream("aes-gcm", slow())
        await anext(pieces)
        await anext(pieces)
        await pieces.aclose()


@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_000])
@pytest.mark.asyncio
async def test_files_of_format_1(size: int) -> None:
    """They are read as before: all verified before anything comes out."""
    data, key, nonce = random.Random(size).randbytes(size), os.urandom(32), os.urandom(12)
    head = b"huksenc\x01"
    old = head + nonce + AESGCM(key).encrypt(nonce, data, head)
    async with keystore() as opened:
        await import_aes(opened, "old", key)
        assert await unseal(opened, "old", old) == data
        pieces = [old[start : start + 999] for start in range(0, len(old), 999)]
        assert await unseal(opened, "old", *pieces) == data
        for wrong in (old[:-1], old + b"x", old[:9] + bytes([old[9] ^ 1]) + old[10:], old[:20], old[:8]):
            assert await until_fault(opened, "old", wrong) == (b"", 12000006)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 200])
@pytest.mark.asyncio
async def test_files_of_format_1_in_pieces_of_any_length(size: int) -> None:
    """Where the source cuts a file changes nothing: a whole one opens, and one that is cut off does not."""
    rng = random.Random(size)
    data, key, nonce, head = rng.randbytes(size), rng.randbytes(32), rng.randbytes(12), b"huksenc\x01"
    old = head + nonce + AESGCM(key).encrypt(nonce, data, head)
    cuts = [list(range(0, len(old), step)) for step in range(1, 40)]
    cuts += [sorted(rng.choices(range(len(old)), k=rng.randrange(9))) for _ in range(20)]
    async with keystore() as opened:
        await import_aes(opened, "old", key)
        for places in cuts:
            ends = [*places, len(old)]
            pieces = [old[start:end] for start, end in zip([0, *ends], ends, strict=False)]
            assert await unseal(opened, "old", *pieces) == data, places
            pieces[-1] = pieces[-1][:-1]
            assert await until_fault(opened, "old", *pieces) == (b"", 12000006), places


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.asyncio
async def test_any_number_of_workers(workers: int) -> None:
    """The pieces come in order, and a fault comes at its chunk, however many batches are under way."""
    stream = random.Random(workers)
    data = stream.randbytes(30 * CHUNK_BYTES + 5)
    cuts = sorted(stream.randrange(len(data)) for _ in range(40))
    source = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    async with huks.Keystore.open(
        "memory:", huks.EphemeralRootKey(), monitor=False, workers=workers
    ) as opened:
        await opened.generateKeyItem("key", options(**KINDS["aes-gcm"]))
        pieces = [piece async for piece in opened.encrypt_stream("key", source)]
        assert {len(piece) for piece in pieces[1:-1]} == {CHUNK_BYTES + 16}
        assert await unseal(opened, "key", *pieces) == data
        wrong = stream.randrange(30)
        pieces[1 + wrong] = bytes(CHUNK_BYTES + 16)
        assert await until_fault(opened, "key", *pieces) == (data[: wrong * CHUNK_BYTES], 12000006)


@given(st.lists(st.integers(0, 900) | st.integers(16_000, 18_000), max_size=30), st.integers(300, 9_000))
@settings(deadline=None, max_examples=60)
def test_cutter_cuts_anything(pieces: list[int], size: int) -> None:
    """The chunks are the pieces again; all are full but the last, which is empty only if nothing came."""
    stream = random.Random(size)
    fed = [stream.randbytes(length) for length in pieces]
    cutter, chunks = Cutter(size), []
    for number, piece in enumerate(fed):
        given = piece if number % 2 else bytearray(piece)
        cutter.feed(given)
        if isinstance(given, bytearray):
            given[:] = bytes(len(given))  # a source may use its buffer again
        chunks += [bytes(joined(parts)) for parts in cutter.take(cutter.ready)]
    last = bytes(joined(cutter.rest()))
    assert all(len(chunk) == size for chunk in chunks)
    assert len(last) <= size
    assert bool(last) == bool(sum(pieces))
    assert b"".join([*chunks, last]) == b"".join(fed)


@pytest.mark.parametrize("bits", [12, 16, 20])
@pytest.mark.asyncio
async def test_files_made_elsewhere_open(bits: int) -> None:
    """A file computed by the page of the format, with chunks of any size, opens."""
    data, key = random.Random(bits).randbytes(1_234_567), os.urandom(32)
    async with keystore() as opened:
        await import_aes(opened, "known", key)
        assert await unseal(opened, "known", other_file(key, data, bits=bits)) == data


@pytest.mark.asyncio
async def test_streams_that_are_older_than_the_opening_of_their_keystore() -> None:
    """What is begun after a keystore was closed and opened again works in the keystore as it is open now."""
    async with keystore() as opened:
        await import_aes(opened, "key", bytes(32))
        whole = b"".join([piece async for piece in opened.encrypt_stream("key", [b"text"])])
        sealing = opened.encrypt_stream("key", [b"text"])
        opening = opened.decrypt_stream("key", [whole])
        file = opened.open_sealed("key", io.BytesIO(whole))
        closed = opened.decrypt_stream("key", [whole])
        await opened.aclose()
        with pytest.raises(BusinessError, match="it was closed") as caught:
            await anext(closed)
        assert caught.value.code == 12000012
        await opened.aopen()
        assert b"".join([piece async for piece in opening]) == b"text"
        sealed = b"".join([piece async for piece in sealing])
        assert b"".join([piece async for piece in opened.decrypt_stream("key", [sealed])]) == b"text"
        async with file as reader:
            assert await reader.read() == b"text"


@pytest.mark.asyncio
async def test_a_generator_is_closed_before_it_was_asked_for_anything() -> None:
    """Where the key is refused, and where the stream is left after its header."""
    ended: list[str] = []

    async def pieces(name: str) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"piece"
        finally:
            ended.append(name)

    async with keystore("aes-gcm") as opened:
        refused, left = pieces("refused"), pieces("left")
        for source in refused, left:
            await anext(source)
        with pytest.raises(BusinessError) as caught:
            await anext(opened.encrypt_stream("unknown", refused))
        assert caught.value.code == 12000011
        assert ended == ["refused"]
        async with aclosing(opened.encrypt_stream("aes-gcm", left)) as sealed:
            await anext(sealed)
        assert ended == ["refused", "left"]


@pytest.mark.asyncio
async def test_a_key_whose_results_are_only_stored_seals_no_files() -> None:
    """The message is about files, and not about the session that the stream would run."""
    flag = int(huks.HuksKeyStorageType.HUKS_STORAGE_ONLY_USED_IN_HUKS)
    async with keystore(stored=KINDS["hkdf"] | {"DERIVED_AGREED_KEY_STORAGE_FLAG": flag}) as opened:
        with pytest.raises(BusinessError, match="seals no files") as caught:
            await seal(opened, "stored", b"text")
        assert caught.value.code == 12000012
