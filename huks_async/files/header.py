"""The head of a sealed file: who can open it, and the proof that it belongs to the file's key.

    offset  bytes  content
    0       7      "huksenc"
    7       1      version, 2
    8       1      suite, 1
    9       1      size of a chunk's plaintext, as the exponent of two: 12 to 20
    10      1      number of recipients, 1 to 255
    11      1      0
    12      4      length of the header with its code, big-endian like all numbers here
    16      16     salt, random
    32      …      recipients, one after another
    …       32     code: HMAC-SHA-256 over all bytes before it

    a recipient:
    0       1      way: how its key hides the file's key
    1       1      digest of that way, as a number of HuksKeyDigest; 0 if it has none
    2       4      version of the key, 0 if it is not given
    6       8      hint: finds the recipient that an alias stands for
    14      2      length of the body
    16      …      body

The code commits the file to one key, because an AES-GCM ciphertext alone can be made to open under several keys.
"""

import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from huks_async.model.errors import BusinessError

MAGIC = b"huksenc"
VERSION = 2
SUITE_AES_256_GCM = 1
"""Chunks under AES-256-GCM, keys by HKDF with SHA-256, the header's code by HMAC-SHA-256."""

PREFIX_BYTES = 32
"""Length of the part before the recipients, which contains the header's length."""
FILE_KEY_BYTES = 32
SALT_BYTES = 16
CODE_BYTES = 32
MAX_RECIPIENTS = 255
MAX_HEADER_BYTES = 65536
MIN_CHUNK_BITS, MAX_CHUNK_BITS = 12, 20
CHUNK_BYTES = 1024 * 1024
"""Bytes of plaintext of a chunk in the files that this library makes."""

_PREFIX = struct.Struct(">7sBBBBBI16s")
_RECIPIENT = struct.Struct(">BBI8sH")
_HINT_BYTES = 8
_CODE_INFO = b"huks_async file 2 header"
_CHUNKS_INFO = b"huks_async file 2 chunks"
_CRYPTO_FAIL = 12000006


@dataclass(frozen=True, slots=True)
class Recipient:
    """One key that opens the file.

    Attributes:
        way: how the key hides the file's key, see `recipients`.
        digest: of that way; 0 for none.
        version: of the key; 0: not given.
        hint: 8 bytes from `hint`.
        body: the file's key, hidden by this key.
    """

    way: int
    digest: int
    version: int
    hint: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """A complete header.

    Attributes:
        chunk_bytes: plaintext of a full chunk.
        salt: random, of this file.
        recipients: in the order of the file.
        data: all of its bytes, including the code.
    """

    chunk_bytes: int
    salt: bytes
    recipients: tuple[Recipient, ...]
    data: bytes

    def belongs_to(self, file_key: bytes) -> bool:
        """Whether the code was made with this file key over exactly these bytes."""
        return hmac.compare_digest(_code(file_key, self.data[:-CODE_BYTES]), self.data[-CODE_BYTES:])

    def chunk_key(self, file_key: bytes) -> bytes:
        """The key of the chunks. Through the code, it depends on every bit of the header."""
        return _derive(file_key, self.data[-CODE_BYTES:], _CHUNKS_INFO)


def make_header(
    file_key: bytes, salt: bytes, recipients: Sequence[Recipient], chunk_bytes: int = CHUNK_BYTES
) -> Header:
    """Write a header.

    Raises:
        BusinessError: 401 for no recipients, or more than a header can hold.
    """
    bits = chunk_bytes.bit_length() - 1
    if chunk_bytes != 1 << bits or not MIN_CHUNK_BITS <= bits <= MAX_CHUNK_BITS:
        raise ValueError(f"a chunk cannot have {chunk_bytes} bytes")
    body = b"".join(
        _RECIPIENT.pack(each.way, each.digest, each.version, each.hint, len(each.body)) + each.body
        for each in recipients
    )
    length = PREFIX_BYTES + len(body) + CODE_BYTES
    if not 1 <= len(recipients) <= MAX_RECIPIENTS or length > MAX_HEADER_BYTES:
        raise BusinessError(
            401,
            f"a file for {len(recipients)} keys would have a header of {length} bytes; it takes 1 to {MAX_RECIPIENTS} keys and "
            f"{MAX_HEADER_BYTES} bytes",
        )
    prefix = _PREFIX.pack(MAGIC, VERSION, SUITE_AES_256_GCM, bits, len(recipients), 0, length, salt)
    plain = prefix + body
    return Header(chunk_bytes, salt, tuple(recipients), plain + _code(file_key, plain))


def header_length(prefix: bytes) -> int:
    """The length of the whole header, from its first `PREFIX_BYTES` bytes.

    Raises:
        BusinessError: 12000006 for anything that is not a header of this version.
    """
    return _read_prefix(prefix)[2]


def read_header(data: bytes) -> Header:
    """Parse a header. Nothing in it is verified until `Header.belongs_to` has returned True.

    Raises:
        BusinessError: 12000006 for anything that is not a header of this version.
    """
    bits, count, length, salt = _read_prefix(data)
    if len(data) != length:
        raise _damaged(f"the header has {len(data)} bytes of {length}")
    recipients = []
    offset, end = PREFIX_BYTES, length - CODE_BYTES
    for _ in range(count):
        if offset + _RECIPIENT.size > end:
            raise _damaged("its header has no room for its recipients")
        way, digest, version, hint_bytes, size = _RECIPIENT.unpack_from(data, offset)
        offset += _RECIPIENT.size
        if offset + size > end:
            raise _damaged("its header has no room for its recipients")
        recipients.append(Recipient(way, digest, version, hint_bytes, data[offset : offset + size]))
        offset += size
    if offset != end:
        raise _damaged("bytes follow the recipients in its header")
    return Header(1 << bits, salt, tuple(recipients), data)


def version_of(start: bytes) -> int | None:
    """The version of the file that begins with these bytes, 8 or more; None for files of another kind."""
    return start[len(MAGIC)] if len(start) > len(MAGIC) and start.startswith(MAGIC) else None


def hint(salt: bytes, namespace: str, alias: str) -> bytes:
    """Bytes that identify the recipient of an alias, but do not reveal the alias to anyone who cannot guess it."""
    place, name = namespace.encode("utf-8", "surrogatepass"), alias.encode("utf-8", "surrogatepass")
    message = struct.pack(">I", len(place)) + place + name
    return hmac.digest(salt, message, hashlib.sha256)[:_HINT_BYTES]


def _read_prefix(data: bytes) -> tuple[int, int, int, bytes]:
    version = version_of(data)
    if version is None:
        if MAGIC.startswith(data[: len(MAGIC)]):
            raise _damaged("it ends before its version")
        raise BusinessError(_CRYPTO_FAIL, "this is no sealed file: it begins with other bytes")
    if version != VERSION:
        raise BusinessError(
            _CRYPTO_FAIL, f"the sealed file has version {version}; this program reads versions 1 and 2"
        )
    if len(data) < PREFIX_BYTES:
        raise _damaged(f"it ends after {len(data)} bytes, in its header")
    _, _, suite, bits, count, zero, length, salt = _PREFIX.unpack_from(data)
    if suite != SUITE_AES_256_GCM:
        raise BusinessError(_CRYPTO_FAIL, f"the sealed file has suite {suite}; this program reads suite 1")
    if not MIN_CHUNK_BITS <= bits <= MAX_CHUNK_BITS or not count or zero:
        raise _damaged("a number in its header is out of range")
    if not PREFIX_BYTES + count * _RECIPIENT.size + CODE_BYTES <= length <= MAX_HEADER_BYTES:
        raise _damaged("the length in its header is out of range")
    return bits, count, length, salt


def _derive(file_key: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(file_key)


def _code(file_key: bytes, data: bytes) -> bytes:
    return hmac.digest(_derive(file_key, None, _CODE_INFO), data, hashlib.sha256)


def _damaged(what: str) -> BusinessError:
    return BusinessError(_CRYPTO_FAIL, f"the sealed file is damaged or cut off: {what}")
