"""Sealed files: coroutines that seal and open streams, and a reader with random access. An extension."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from huks_async.keystore.session_functions import SessionFunctions
from huks_async.model.params import Options
from huks_async.runtime.streams import Stream

if TYPE_CHECKING:
    from huks_async.files.reader import SealedReader
    from huks_async.files.sources import FileSource


class FileFunctions(SessionFunctions):
    """Seal streams of any length, open them, and read sealed files at any offset."""

    def encrypt_stream(
        self, alias: str | Sequence[str], source: "FileSource", options: Options | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Seal a stream: yields the pieces of a sealed file (docs/file-format.md), as `huks encrypt` writes it.

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
            BusinessError: 12000011 for an unknown alias; 12000001 for a key that cannot seal files; 401 for
                something that is not a source, and for a key that is bound to a user's authentication, because
                only sessions accept an auth token; what `initSession` raises for a key that does not allow it;
                12000012 for a key to derive that was made with HUKS_STORAGE_ONLY_USED_IN_HUKS;
                12000011 when it is asked for more after it was cancelled or has failed. What the source raises is
                passed on.

        Memory does not grow with the stream. When this is cancelled or left early, nothing continues in the
        background; a read of a plain file object that has begun is waited for.
        """
        from huks_async.keystore import sealed_streams  # late: few services seal files

        self._open_state()  # refuses the call at once, where it is refused
        pinned = self._pinned()
        return Stream(sealed_streams.seal_stream(pinned, pinned._open_state, alias, source, options))

    def decrypt_stream(
        self, alias: str, source: "FileSource", options: Options | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Open a sealed stream: yields the plaintext in pieces, each verified before it is yielded.

        Whether a stream was cut off is known only at its end, so do not act on the pieces before the iteration
        has ended without an error. A file of format 1 has a single tag, at its end: its content waits in an
        encrypted temporary file, and nothing is yielded until all of it has been verified.

        Args:
            alias: a key that the file was sealed for.
            source: as for `encrypt_stream`.
            options: where the key is, as for `encrypt_stream`.

        Yields:
            bytes, never empty.

        Raises:
            BusinessError: 12000006 at a chunk that was changed, moved, removed or added, and for a header that
                was changed; 12000011 for an unknown alias, and if the file was not sealed for that key, which
                is also what a changed header comes to that names no recipient of this key any more (its salt
                was changed, say); otherwise as `encrypt_stream`.
        """
        from huks_async.keystore import sealed_streams  # late: few services seal files

        self._open_state()  # refuses the call at once, where it is refused
        pinned = self._pinned()
        return Stream(sealed_streams.open_stream(pinned, pinned._open_state, alias, source, options))

    def open_sealed(
        self, alias: str, file: Any, options: Options | None = None
    ) -> AbstractAsyncContextManager["SealedReader"]:
        """Open a sealed file for reading at any offset, in an `async with` block.

            async with keystore.open_sealed("photos", "photo.sealed") as reader:
                part = await reader.read_at(4096, 100)

        Args:
            alias: a key that the file was sealed for.
            file: a path, or a binary file object that can seek: plain, of `anyio.open_file`, or Starlette's
                `UploadFile`. A file object is left open. Others whose `seek`, `tell` or `read` is a coroutine are not
                taken (401); `decrypt_stream` takes them.
            options: where the key is, as for `encrypt_stream`.

        Returns:
            a `SealedReader`: `size`, `read_at(offset, length)`, `read`, `seek`. It opens only the chunks that it
            needs, after the last one, which proves the size. Reads that are under way when the block is left end
            with 12000012, unless all their chunks have been read.

        Raises:
            BusinessError: on entering, as `decrypt_stream`; 12000001 for a file of format 1, which can only be
                read as a whole; 401 for a file that cannot seek. OSError if a path cannot be opened.
        """
        from huks_async.keystore import sealed_streams  # late: few services seal files

        self._open_state()  # refuses the call at once, where it is refused
        pinned = self._pinned()
        return sealed_streams.open_file(pinned, pinned._open_state, alias, file, options)
