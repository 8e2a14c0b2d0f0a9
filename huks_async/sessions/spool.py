"""A spool for output that must not be seen yet: bounded memory, and nothing readable on disk.

Decryption of an authenticated mode gives plaintext before its tag is checked. Until then it waits
here: in memory up to a bound, beyond it in an unnamed temporary file, encrypted under a key that
lives in this object only.
"""

from collections.abc import AsyncGenerator
from contextlib import nullcontext
from threading import RLock
from typing import IO, Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from huks_async.model.errors import BusinessError
from huks_async.runtime.forks import generation
from huks_async.runtime.randomness import random_bytes
from huks_async.runtime.workers import WorkerPool, close_in_worker, close_later

MEMORY_BYTES = 1024 * 1024
"""How much is kept in memory; also the size of the blocks that `release` yields."""


class Spool:
    """Takes output now and yields it later, once."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._parts: list[bytes] = []
        self._size = 0
        self._file: IO[bytes] | None = None
        self._left = False
        # No worker closes the file beside one that uses it, whose descriptor could be another file's by then. Taken
        # again by the same thread where the garbage collector ends an abandoned task that leaves this.
        self._busy = RLock()
        self._born = generation()
        self._cipher = Cipher(algorithms.AES(random_bytes(32)), modes.CTR(random_bytes(16)))
        self._encryptor = self._cipher.encryptor()

    async def add(self, data: bytes) -> None:
        """Keep `data`.

        Raises:
            BusinessError: 12000011 after `leave` or `aclose`; 12000004 when the temporary file fails.
        """
        self._check()
        self._parts.append(data)
        self._size += len(data)
        if self._size >= MEMORY_BYTES:
            block = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            try:
                await self._pool.run_shielded(self._write, block)
            except OSError as error:
                raise _file_error(error) from error

    async def release(self) -> AsyncGenerator[bytes, None]:
        """Yield everything that was added, in order.

        Raises:
            BusinessError: as `add`, so that a part is never taken for the whole.
        """
        if self._file is not None:
            await self._pool.run_shielded(self._rewind)
            decryptor = self._cipher.decryptor()
            while True:
                try:
                    block = await self._pool.run_shielded(self._read, decryptor)
                except OSError as error:
                    raise _file_error(error) from error
                if not block:
                    break
                yield block
        rest = b"".join(self._parts)
        self._parts.clear()
        self._check()  # after the look at both, because another thread may leave this at any moment
        if rest:
            yield rest

    async def aclose(self) -> None:
        """Drop what is left, also when cancelled. Does nothing the second time, or after `leave`."""
        if self._left:
            return
        self._left = True
        self._parts.clear()
        if self._file is not None:
            # in a worker, because the system may take tens of milliseconds to free the blocks of a large file
            await close_in_worker(self._pool, self._close)

    def leave(self) -> None:
        """Drop what is left without waiting, for a coroutine that is being closed. From any thread."""
        self._left = True
        self._parts.clear()
        if self._file is not None:
            close_later(self._pool, self._close)

    def _check(self) -> None:
        if self._left:
            raise BusinessError(
                12000011,
                "the block of the session was left before its stream had ended, so what the stream gave is not all of "
                "it; read it to its end within the block",
            )

    def _write(self, block: bytes) -> None:
        with self._busy:
            self._check()
            if self._file is None:
                import tempfile  # late: most programs never fill a spool

                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `_close`
            view = memoryview(self._encryptor.update(block))
            while view:
                view = view[self._file.write(view) :]
            if self._left:  # meanwhile, perhaps before there was a file to close
                self._close()

    def _rewind(self) -> None:
        with self._busy:
            self._check()
            assert self._file is not None
            self._file.seek(0)

    def _read(self, decryptor: Any) -> bytes:
        with self._busy:
            self._check()
            assert self._file is not None
            return bytes(decryptor.update(self._file.read(MEMORY_BYTES)))

    def _close(self) -> None:
        # in a child process, the lock may be held by a thread that stayed in the parent
        with self._busy if self._born == generation() else nullcontext():
            file, self._file = self._file, None
            if file is not None:
                file.close()


def _file_error(error: OSError) -> BusinessError:
    return BusinessError(
        12000004,
        f"the temporary file for plaintext that is not verified yet cannot be used: {error.strerror}; see that "
        "the folder for temporary files (TMPDIR) has space and the process may open files",
    )
