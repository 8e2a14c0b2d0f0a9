"""A spool for output that must not be seen yet: bounded memory, and nothing readable on disk.

Decryption of an authenticated mode gives plaintext before its tag is checked. Until then it waits
here: in memory up to a bound, beyond it in an unnamed temporary file, encrypted under a key that
lives in this object only.
"""

from collections.abc import AsyncGenerator
from typing import IO, Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from huks_async.model.errors import BusinessError
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
        self._cipher = Cipher(algorithms.AES(random_bytes(32)), modes.CTR(random_bytes(16)))
        self._encryptor = self._cipher.encryptor()

    async def add(self, data: bytes) -> None:
        """Keep `data`."""
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
        """Yield everything that was added, in order."""
        if self._file is not None:
            await self._pool.run_shielded(self._file.seek, 0)
            decryptor = self._cipher.decryptor()
            while True:
                try:
                    block = await self._pool.run_shielded(self._read, decryptor)
                except OSError as error:
                    raise _file_error(error) from error
                if not block:
                    break
                yield block
        if self._parts:
            rest = b"".join(self._parts)
            self._parts.clear()
            yield rest

    async def aclose(self) -> None:
        """Drop what is left, also when cancelled. Does nothing the second time."""
        self._parts.clear()
        file, self._file = self._file, None
        if file is not None:
            # in a worker, because the system may take tens of milliseconds to free the blocks of a large file
            await close_in_worker(self._pool, file.close)

    def leave(self) -> None:
        """Drop what is left without waiting, for a coroutine that is being closed. `aclose` does nothing then."""
        self._parts.clear()
        file, self._file = self._file, None
        if file is not None:
            close_later(self._pool, file.close)

    def _write(self, block: bytes) -> None:
        if self._file is None:
            import tempfile  # late: most programs never fill a spool

            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `aclose`
        view = memoryview(self._encryptor.update(block))
        while view:
            view = view[self._file.write(view) :]

    def _read(self, decryptor: Any) -> bytes:
        assert self._file is not None
        return bytes(decryptor.update(self._file.read(MEMORY_BYTES)))


def _file_error(error: OSError) -> BusinessError:
    return BusinessError(
        12000004,
        f"the temporary file for plaintext that is not verified yet cannot be used: {error.strerror}; see that "
        "the folder for temporary files (TMPDIR) has space and the process may open files",
    )
