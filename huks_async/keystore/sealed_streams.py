"""What the functions on sealed files do; `FileFunctions` loads this module at its first call."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any

from anyio import CancelScope

from huks_async.files.chunks import ChunkCipher
from huks_async.files.header import PREFIX_BYTES, Header, header_length, read_header, version_of
from huks_async.files.pipeline import carry, open_chunks, seal_chunks
from huks_async.files.reader import SealedReader, read_head
from huks_async.files.seekable import SeekableFile
from huks_async.files.sources import FileSource, closing, pieces_of
from huks_async.keystore.file_keys import find_file_key, new_file
from huks_async.keystore.first_format import SHORTEST, open_first_format
from huks_async.keystore.open_state import OpenState
from huks_async.keystore.session_functions import SessionFunctions
from huks_async.model.errors import BusinessError
from huks_async.model.memory import memory_for
from huks_async.model.params import BytesLike, Options
from huks_async.runtime.closing import abandoned
from huks_async.runtime.workers import close_in_worker, run_to_its_end


async def seal_stream(
    keystore: SessionFunctions,
    find_state: Callable[[], OpenState],
    alias: str | Sequence[str],
    source: FileSource,
    options: Options | None,
) -> AsyncGenerator[bytes, None]:
    """Seal a stream; see `FileFunctions.encrypt_stream`."""
    state = find_state()
    async with closing(source), aclosing(pieces_of(source, state.pool, state.dispatcher)) as pieces:
        header, file_key = await new_file(keystore, alias, options)
        cipher = ChunkCipher(header.chunk_key(file_key), header.chunk_bytes)
        yield header.data
        work, size = partial(seal_chunks, cipher), cipher.chunk_bytes
        async with aclosing(carry(pieces, b"", size, work, state.pool, state.dispatcher)) as sealed:
            async for chunk in sealed:
                yield chunk


async def open_stream(
    keystore: SessionFunctions,
    find_state: Callable[[], OpenState],
    alias: str,
    source: FileSource,
    options: Options | None,
) -> AsyncGenerator[bytes, None]:
    """Open a sealed stream; see `FileFunctions.decrypt_stream`."""
    state = find_state()
    async with aclosing(pieces_of(source, state.pool, state.dispatcher)) as pieces:
        start = bytearray()
        await _gather(pieces, start, PREFIX_BYTES)
        if version_of(bytes(start[:PREFIX_BYTES])) == 1:
            await _gather(pieces, start, SHORTEST)
            opened = open_first_format(keystore, state.pool, alias, bytes(start), pieces, options)
        else:
            header = await _take_header(pieces, start)
            file_key = await find_file_key(keystore, alias, header, options)
            cipher = ChunkCipher(header.chunk_key(file_key), header.chunk_bytes)
            work, size = partial(open_chunks, cipher), cipher.sealed_bytes
            opened = carry(pieces, start, size, work, state.pool, state.dispatcher)
        async with aclosing(opened) as chunks:
            async for chunk in chunks:
                if chunk:
                    yield chunk


@asynccontextmanager
async def open_file(
    keystore: SessionFunctions,
    find_state: Callable[[], OpenState],
    alias: str,
    file: Any,
    options: Options | None,
) -> AsyncIterator[SealedReader]:
    """Open a sealed file for reading at any offset; see `FileFunctions.open_sealed`."""
    pool = find_state().pool
    opened = SeekableFile(file)
    reader: SealedReader | None = None
    try:
        with memory_for("opening a sealed file"):
            data, length = await pool.run_shielded(read_head, opened)
        if version_of(data) == 1:
            raise BusinessError(
                12000001,
                "the sealed file has format 1, which can be read as a whole only: use decrypt_stream, or seal it "
                "anew with encrypt_stream",
            )
        header = read_header(data)
        file_key = await find_file_key(keystore, alias, header, options)
        reader = SealedReader(opened, header, file_key, length, pool)
        with memory_for("opening a sealed file"):
            await reader.open_last()
        yield reader
    finally:
        if reader is not None:
            reader.close()
        opened.refuse()
        if opened.is_inherited:  # the event loop and the workers stayed in the parent
            opened.close()
        else:
            try:
                if opened.under_way and not abandoned():
                    await _wait_for_reads(opened)
            finally:
                # in a worker, because closing may wait for a disk
                await close_in_worker(pool, opened.close)


async def _wait_for_reads(opened: SeekableFile) -> None:
    """Wait until no worker reads, also when cancelled: a file that was given may be closed after the block.

    Where there is no thread to wait in, the last read closes a file that was opened here.
    """
    with CancelScope(shield=True), suppress(BusinessError):
        # in a thread of its own, because the keystore may be closed by now
        await run_to_its_end(opened.wait, name="huks-last-reads")


async def _gather(pieces: AsyncIterator[BytesLike], start: bytearray, length: int) -> bool:
    """Collect at least `length` bytes; False if the stream ends before that."""
    while len(start) < length:
        try:
            start += await anext(pieces)
        except StopAsyncIteration:
            return False
    return True


async def _take_header(pieces: AsyncIterator[BytesLike], start: bytearray) -> Header:
    """Read the header; bytes that were read beyond it stay in `start`."""
    length = header_length(bytes(start[:PREFIX_BYTES]))
    await _gather(pieces, start, length)
    header = read_header(bytes(start[:length]))
    del start[:length]
    return header
