"""Format 1, the file that `huks encrypt --format 1` writes.

    offset  length  content
    0       8       "huksenc" and the version, 1
    8       12      nonce, random
    20      n       AES-GCM ciphertext of the n bytes of input
    20 + n  16      AES-GCM tag

The first 8 bytes are the associated data. The key is not named inside. Every version of this package
reads version 1.
"""

import io
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from huks_async.cli.shell.console import CommandError, naming
from huks_async.cli.shell.files import segments
from huks_async.cli.shell.temporary import temporary_copy

MAGIC = b"huksenc"
HEADER = MAGIC + b"\x01"
NONCE_BYTES = 12
TAG_BYTES = 16
MAX_PLAINTEXT = 2**36 - 32
"""Bytes that AES-GCM takes under one nonce (NIST SP 800-38D, 5.2.1.1)."""

_START = len(HEADER) + NONCE_BYTES


def counted(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, refused once they are more than AES-GCM takes."""
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > MAX_PLAINTEXT:
            raise CommandError(
                f"the input is longer than the {MAX_PLAINTEXT} bytes that AES-GCM takes",
                hint="cut it into parts",
            )
        yield piece


@dataclass(frozen=True)
class Sealed:
    """An encrypted file opened for reading: what a session needs at its start, and where the rest is."""

    nonce: bytes
    tag: bytes
    file: io.FileIO
    place: int
    length: int

    def ciphertext(self) -> Iterator[bytes]:
        """The ciphertext in segments."""
        self.file.seek(self.place)
        return segments(self.file, self.length)


@contextmanager
def open_sealed(source: io.FileIO, begun: bytes = b"") -> Iterator[Sealed]:
    """Read the ends of an encrypted file.

    The tag stands at the end and a session wants it first, so what cannot be read from the end
    is copied to an unnamed temporary file; that is ciphertext only. `begun` is what was read of it before.

    Raises:
        CommandError: this is not such a file.

    """
    if stat.S_ISREG(os.fstat(source.fileno()).st_mode) and not begun:
        yield _sealed(source)
        return
    with temporary_copy(itertools.chain([begun], segments(source))) as copy:
        yield _sealed(copy)


def _sealed(file: io.FileIO) -> Sealed:
    # the shell may hand over a file that was read in part
    begin, end = os.lseek(file.fileno(), 0, os.SEEK_CUR), os.fstat(file.fileno()).st_size
    size = max(0, end - begin)
    with naming(str(file.name)):
        head = os.pread(file.fileno(), _START, begin)
    if head[: len(MAGIC)] != MAGIC:
        raise CommandError("the input was not made by huks encrypt", hint="it begins with other bytes")
    if head[: len(HEADER)] != HEADER:
        raise CommandError(
            f"the input has format version {head[len(MAGIC)]}, this program reads version 1"
            if len(head) > len(MAGIC)
            else "the input ends before its format version",
            hint="use a newer huks-async",
        )
    length = size - _START - TAG_BYTES
    if length < 0:
        raise CommandError(
            f"the input is cut off: it has {size} bytes, at least {_START + TAG_BYTES} are needed"
        )
    with naming(str(file.name)):
        tag = os.pread(file.fileno(), TAG_BYTES, end - TAG_BYTES)
    return Sealed(head[len(HEADER) :], tag, file, begin + _START, length)
