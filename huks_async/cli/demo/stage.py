"""What the demo's operations share: the keystore, the file, and how a file is put through a session."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import huks_async
from huks_async.cli.demo.report import Reporter
from huks_async.cli.demo.witness import Witness
from huks_async.cli.operations.pump import pump
from huks_async.cli.shell.files import segments
from huks_async.cli.words.parameters import Tags, options
from huks_async.model.enums import HuksExceptionErrCode
from huks_async.model.errors import BusinessError

_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Stage:
    """Where an operation of the demo takes place."""

    keystore: "huks_async.Keystore"
    folder: Path
    file: Path
    digest: bytes
    witness: Witness
    reporter: Reporter

    async def through(
        self, what: str, alias: str, tags: Tags, source: Path, target: Path | None = None, last: bytes = b""
    ) -> bytes:
        """Put a file through a session, segment by segment, and time it.

        Returns:
            the session's output where there is no target file to take it.

        """
        size = size_of(source)
        with (
            source.open("rb", buffering=0) as file,
            _target(target) as (write, taken),
            self.reporter.progress(what, size) as advance,
        ):
            started = time.perf_counter()
            await pump(self.keystore, alias, options(**tags), _counted(segments(file), advance), write, last)
            seconds = time.perf_counter() - started
        self.reporter.did(what, size, seconds)
        return b"".join(taken)

    async def once(self, alias: str, tags: Tags, data: bytes = b"", last: bytes = b"") -> bytes:
        """One update and one finish; what both gave."""
        outputs: list[bytes] = []
        await pump(self.keystore, alias, options(**tags), [data], outputs.append, last)
        return b"".join(outputs)

    async def refuses(self, alias: str, tags: Tags, data: bytes, last: bytes = b"") -> bool:
        """Whether the operation fails as wrong tags and signatures must (12000006)."""
        try:
            await self.once(alias, tags, data, last)
        except BusinessError as error:
            return error.code == HuksExceptionErrCode.HUKS_ERR_CODE_CRYPTO_FAIL
        return False


@contextmanager
def _target(path: Path | None) -> Iterator[tuple[Callable[[bytes], object], list[bytes]]]:
    taken: list[bytes] = []
    if path is None:
        yield taken.append, taken
        return
    with path.open("wb") as file:
        yield file.write, taken


def _counted(pieces: Iterator[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        advance(len(piece))


def write_random(path: Path, length: int, advance: Callable[[int], None]) -> None:
    """A file of random bytes."""
    with path.open("wb") as file:
        left = length
        while left:
            block = os.urandom(min(_BLOCK, left))
            file.write(block)
            left -= len(block)
            advance(len(block))


def size_of(path: Path) -> int:
    """Bytes of a file."""
    return path.stat().st_size


def digest_of(path: Path) -> bytes:
    """SHA-256 of a file, by the standard library."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
