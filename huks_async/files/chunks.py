"""The chunks of a sealed file, by the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015).

Each chunk is sealed with AES-256-GCM under a key that is derived from the header. Its nonce is the chunk's number,
11 bytes, and one byte that is 1 in the last chunk and 0 in all others. So a chunk opens only at its own place, and
a file that was cut off has no last chunk.
"""

from dataclasses import dataclass
from functools import partial

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.runtime.fresh_bytes import filled_bytes

TAG_BYTES = 16
_CRYPTO_FAIL = 12000006


def nonce(index: int, *, last: bool) -> bytes:
    """The nonce of a chunk."""
    return index.to_bytes(11, "big") + (b"\1" if last else b"\0")


class ChunkCipher:
    """Seals and opens the chunks of one file. Can be used in several threads at once."""

    __slots__ = ("_aead", "chunk_bytes", "sealed_bytes")

    def __init__(self, chunk_key: bytes, chunk_bytes: int) -> None:
        self._aead = AESGCM(chunk_key)
        self.chunk_bytes: int = chunk_bytes
        self.sealed_bytes: int = chunk_bytes + TAG_BYTES
        """Length of a full chunk in the file."""

    def seal(self, index: int, data: BytesLike, *, last: bool) -> bytes:
        """Seal a chunk: a full one, or the last one, which is empty only in a file without content."""
        return filled_bytes(
            len(data) + TAG_BYTES, partial(self._aead.encrypt_into, nonce(index, last=last), data, None)
        )

    def seal_into(self, index: int, data: BytesLike, target: bytearray | memoryview, *, last: bool) -> None:
        """Seal a chunk into a buffer that has exactly `TAG_BYTES` bytes more."""
        self._aead.encrypt_into(nonce(index, last=last), data, None, target)

    def open(self, index: int, sealed: BytesLike, *, last: bool) -> bytes:
        """Open a chunk.

        Raises:
            BusinessError: 12000006 if the chunk is not the one that was sealed for this place.
        """
        self._check_length(index, len(sealed), last=last)
        try:
            return filled_bytes(
                len(sealed) - TAG_BYTES,
                partial(self._aead.decrypt_into, nonce(index, last=last), sealed, None),
            )
        except InvalidTag:
            raise self._fault(index, sealed, last=last) from None

    def open_into(self, index: int, sealed: BytesLike, target: bytearray | memoryview, *, last: bool) -> None:
        """Open a chunk into a buffer that has exactly `TAG_BYTES` bytes less.

        Raises:
            BusinessError: as `open`. The content of the buffer is then undefined and must not be shown.
        """
        self._check_length(index, len(sealed), last=last)
        try:
            self._aead.decrypt_into(nonce(index, last=last), sealed, None, target)
        except InvalidTag:
            raise self._fault(index, sealed, last=last) from None

    def _check_length(self, index: int, length: int, *, last: bool) -> None:
        if not last:
            right = length == self.sealed_bytes
        else:
            right = TAG_BYTES <= length <= self.sealed_bytes and (length > TAG_BYTES or index == 0)
        if not right:
            raise BusinessError(
                _CRYPTO_FAIL,
                f"the sealed file is cut off: {'its end is missing' if index else 'it has no content'}, "
                f"{index} chunks before that are right"
                if last
                else f"chunk {index} of the sealed file has {length} bytes",
            )

    def _fault(self, index: int, sealed: BytesLike, *, last: bool) -> BusinessError:
        """Find out what is wrong with a chunk that does not open: it may differ only in the mark of the last chunk."""
        try:
            self._aead.decrypt(nonce(index, last=not last), sealed, None)
        except InvalidTag:
            what = f"chunk {index} was changed, moved, or is of another file"
            if last and len(sealed) < self.sealed_bytes:
                # A cut and bytes that were added leave a last chunk of another length, whose mark opens nothing.
                what = (
                    f"it was cut off in chunk {index} (its end is missing), or that last chunk was changed, or bytes "
                    "follow it"
                )
            elif not last:
                what += ", or it is a shorter last chunk that bytes follow"
        else:
            what = f"it is cut off after chunk {index}" if last else f"bytes follow its last chunk, {index}"
        return BusinessError(_CRYPTO_FAIL, f"the sealed file is damaged: {what}")


@dataclass(frozen=True, slots=True)
class Extent:
    """Where the chunks of a file are, computed from its length; only opening the last chunk proves the size.

    Attributes:
        start: offset of the first chunk, which is the header's length.
        chunk_bytes: plaintext of a full chunk.
        chunks: how many there are.
        size: bytes of plaintext.
    """

    start: int
    chunk_bytes: int
    chunks: int
    size: int

    def place(self, index: int) -> tuple[int, int]:
        """Where a chunk is in the file: its offset, and its sealed length."""
        sealed = self.chunk_bytes + TAG_BYTES
        offset = self.start + index * sealed
        end = self.start + self.size + self.chunks * TAG_BYTES
        return offset, min(sealed, end - offset)

    def is_last(self, index: int) -> bool:
        """Whether a chunk is the last one."""
        return index == self.chunks - 1


def extent(start: int, chunk_bytes: int, file_bytes: int) -> Extent:
    """The extent of a file of this length.

    Raises:
        BusinessError: 12000006 for a length that no sealed file has, because the file was cut off.
    """
    sealed = chunk_bytes + TAG_BYTES
    rest = file_bytes - start
    chunks = -(-rest // sealed)
    size = rest - chunks * TAG_BYTES
    if rest < TAG_BYTES or size < 0 or (chunks > 1 and size <= (chunks - 1) * chunk_bytes):
        raise BusinessError(
            _CRYPTO_FAIL, f"the sealed file is cut off: its length, {file_bytes} bytes, is impossible"
        )
    return Extent(start, chunk_bytes, chunks, size)


def sealed_size(header_bytes: int, chunk_bytes: int, size: int) -> int:
    """Length of the file that `size` bytes of plaintext become."""
    return header_bytes + size + max(1, -(-size // chunk_bytes)) * TAG_BYTES
