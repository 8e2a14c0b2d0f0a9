"""Sealed files as coroutines: streams in and out, and a reader for any place. Beside the documented functions."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any

import anyio

from huks_async.files.chunks import ChunkCipher
from huks_async.files.header import PREFIX_BYTES, Header, header_length, read_header, version_of
from huks_async.files.pipeline import carry, open_chunks, seal_chunks
from huks_async.files.reader import SealedReader, read_head
from huks_async.files.seekable import SeekableFile
from huks_async.files.sources import FileSource, pieces_of
from huks_async.keystore.file_keys import find_file_key, new_file
from huks_async.keystore.first_format import open_first_format
from huks_async.keystore.session_functions import SessionFunctions
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, Options


class FileFunctions(SessionFunctions):
    """Seal streams of any length, open them, and read sealed files at any place."""

    async def encrypt_stream(
        self, alias: str | Sequence[str], source: FileSource, options: Options | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Seal a stream: gives the pieces of a sealed file (docs/file-format.md), as `huks encrypt` writes it.

            async with aclosing(keystore.encrypt_stream("photos", upload)) as pieces:
                async for piece in pieces: ...

        Args:
            alias: the key, or several; each of them opens the file. A key to encrypt (AES or SM4 with GCM, AES
                with CCM, RSA with OAEP, SM2), to derive (HKDF), or for HMAC with SHA-256 or longer.
            source: an asynchronous or plain iterable of bytes-like pieces of any size, or a binary file object,
                also one whose `read` is a coroutine (of anyio, Starlette's `UploadFile`, aiohttp's and
                asyncio's readers). A file object is read to its end and left open; an asynchronous generator
                is closed.
            options: where the keys are: HUKS_TAG_AUTH_STORAGE_LEVEL, a user, an access group.

        Yields:
            bytes, the header first, then chunks as they are done.

        Raises:
            BusinessError: 12000011 for an unknown alias; 12000001 for a key that cannot seal files; 401 for a
                source that is none, and for a key that is bound to a user's authentication, which only sessions have
                a place for; what `initSession` raises for a key that does not allow it. What the source raises
                comes through.

        Memory does not grow with the stream. Cancelled or left early, nothing goes on in the background; a read
        of a plain file object that has begun is waited for.
        """
        state = self._open_state()
        async with aclosing(pieces_of(source, state.pool, state.dispatcher)) as pieces:
            header, file_key = await new_file(self, alias, options)
            cipher = ChunkCipher(header.chunk_key(file_key), header.chunk_bytes)
            yield header.data
            work, size = partial(seal_chunks, cipher), cipher.chunk_bytes
            async with aclosing(carry(pieces, b"", size, work, state.pool, state.dispatcher)) as sealed:
                async for chunk in sealed:
                    yield chunk

    async def decrypt_stream(
        self, alias: str, source: FileSource, options: Options | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Open a sealed stream: gives the plaintext in pieces, each verified before it is given.

        That a stream was cut off is known at its end only: do not act on what came before the iteration has
        ended without an error. Files of format 1 have one tag at their end; they wait in an encrypted temporary
        file, and nothing comes before all is verified.

        Args:
            alias: a key that the file was sealed for.
            source: as for `encrypt_stream`.
            options: where the key is, as for `encrypt_stream`.

        Yields:
            bytes, never empty.

        Raises:
            BusinessError: 12000006 at the chunk that is wrong, in another place, missing, or behind the last
                one, and for a header that was changed; 12000011 for an unknown alias, and where the file was not
                sealed for that key; otherwise as `encrypt_stream`.
        """
        state = self._open_state()
        async with aclosing(pieces_of(source, state.pool, state.dispatcher)) as pieces:
            start = bytearray()
            await _gather(pieces, start, PREFIX_BYTES)
            if version_of(bytes(start[:PREFIX_BYTES])) == 1:
                opened = open_first_format(self, alias, bytes(start), pieces, options)
            else:
                header = await _take_header(pieces, start)
                file_key = await find_file_key(self, alias, header, options)
                cipher = ChunkCipher(header.chunk_key(file_key), header.chunk_bytes)
                work, size = partial(open_chunks, cipher), cipher.sealed_bytes
                opened = carry(pieces, start, size, work, state.pool, state.dispatcher)
            async with aclosing(opened) as chunks:
                async for chunk in chunks:
                    if chunk:
                        yield chunk

    def open_sealed(
        self, alias: str, file: Any, options: Options | None = None
    ) -> AbstractAsyncContextManager[SealedReader]:
        """Open a sealed file for reading at any place, in an `async with` block.

            async with keystore.open_sealed("photos", "photo.sealed") as reader:
                part = await reader.read_at(4096, 100)

        Args:
            alias: a key that the file was sealed for.
            file: a path, or a binary file object that can seek: plain, of `anyio.open_file`, or Starlette's
                `UploadFile`. A file object is left open.
            options: where the key is, as for `encrypt_stream`.

        Returns:
            a `SealedReader`: `size`, `read_at(offset, length)`, `read`, `seek`. It opens the chunks that it
            needs, and no other; the last one first, which proves the size.

        Raises:
            BusinessError: on entering, as `decrypt_stream`; 12000001 for a file of format 1, which can be read
                as a whole only; 401 for a file that cannot seek. OSError where a path cannot be opened.
        """
        return self._sealed(alias, file, options)

    @asynccontextmanager
    async def _sealed(self, alias: str, file: Any, options: Options | None) -> AsyncIterator[SealedReader]:
        pool = self._open_state().pool
        opened = SeekableFile(file)
        reader: SealedReader | None = None
        try:
            data, length = await pool.run_shielded(read_head, opened)
            if version_of(data) == 1:
                raise BusinessError(
                    12000001,
                    "the sealed file has format 1, which can be read as a whole only: use decrypt_stream, or seal it "
                    "anew with encrypt_stream",
                )
            header = read_header(data)
            file_key = await find_file_key(self, alias, header, options)
            reader = SealedReader(opened, header, file_key, length, pool)
            await reader.open_last()
            yield reader
        finally:
            if reader is not None:
                reader.close()
            # in a worker, as closing may wait for a disk
            try:
                with anyio.CancelScope(shield=True), suppress(BusinessError):
                    await pool.run_shielded(opened.close)
            finally:
                opened.close()


async def _gather(pieces: AsyncIterator[BytesLike], start: bytearray, length: int) -> bool:
    """Collect at least so many bytes; False where the stream ends before."""
    while len(start) < length:
        try:
            start += await anext(pieces)
        except StopAsyncIteration:
            return False
    return True


async def _take_header(pieces: AsyncIterator[BytesLike], start: bytearray) -> Header:
    """Read the header; what came after it stays in `start`."""
    length = header_length(bytes(start[:PREFIX_BYTES]))
    await _gather(pieces, start, length)
    header = read_header(bytes(start[:length]))
    del start[:length]
    return header
