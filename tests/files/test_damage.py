"""Every kind of damage is noticed, at the chunk where it is; short forms of `python -m tests.adversity.sealed_files`."""

import random
import re

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from huks_async.files.header import MIN_CHUNK_BITS, read_header
from huks_async.model.errors import BusinessError
from tests.files.support import (
    KINDS,
    import_aes,
    keystore,
    other_chunks,
    other_file,
    other_header,
    seal,
    until_fault,
)

BITS = MIN_CHUNK_BITS
CHUNK = 1 << BITS
SEALED = CHUNK + 16
KEY = bytes(range(64, 96))
DATA = random.Random(20).randbytes(5 * CHUNK + 100)
FILE = other_file(KEY, DATA, bits=BITS)
HEADER = int.from_bytes(FILE[12:16], "big")
REFUSED = {12000006, 12000011}

pytestmark = pytest.mark.asyncio


def chunks(file: bytes) -> list[bytes]:
    """The sealed chunks of a file."""
    return [file[start : start + SEALED] for start in range(HEADER, len(file), SEALED)]


def right_chunks(file: bytes) -> int:
    """How many chunks of a damaged file are those of the sound one, before the first that is not.

    A chunk that nothing follows must be the last, so one that is not does not count there.
    """
    right = 0
    while right < 5:
        start = HEADER + right * SEALED
        if file[start : start + SEALED] != FILE[start : start + SEALED] or len(file) <= start + SEALED:
            break
        right += 1
    return right


async def damaged(files: list[bytes], codes: frozenset[int] = frozenset({12000006})) -> None:
    """Each file gives exactly the chunks before the damage, then an error."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        for file in files:
            out, code = await until_fault(opened, "key", file)
            assert code in codes
            sound = right_chunks(file) if file[:HEADER] == FILE[:HEADER] else 0
            assert out == DATA[: sound * CHUNK]


async def test_every_bit_of_the_header() -> None:
    """A flipped bit anywhere in the header is refused before anything comes out."""
    flipped = []
    for bit in range(HEADER * 8):
        file = bytearray(FILE)
        file[bit // 8] ^= 1 << bit % 8
        flipped.append(bytes(file))
    await damaged(flipped, frozenset(REFUSED))


@pytest.mark.parametrize("kind", KINDS)
async def test_bits_of_the_header_for_every_kind_of_key(kind: str) -> None:
    """Refused with one of the two codes, whatever the key makes of a recipient that was changed."""
    bits = random.Random(kind)
    async with keystore(kind) as opened:
        sealed = await seal(opened, kind, b"data")
        length = int.from_bytes(sealed[12:16], "big")
        # the numbers of the recipient, each bit of them; of the rest some
        chosen = {*range(32 * 8, 48 * 8), *(bits.randrange(length * 8) for _ in range(60))}
        for bit in sorted(chosen):
            file = bytearray(sealed)
            file[bit // 8] ^= 1 << bit % 8
            out, code = await until_fault(opened, kind, bytes(file))
            assert (out, code in REFUSED) == (b"", True), (bit, code)


async def test_bits_of_the_chunks() -> None:
    """A flipped bit stops the stream before its chunk."""
    rest = len(FILE) - HEADER
    flipped = []
    for bit in random.Random(1).sample(range(rest * 8), 300):
        file = bytearray(FILE)
        file[HEADER + bit // 8] ^= 1 << bit % 8
        flipped.append(bytes(file))
    await damaged(flipped)


async def test_chunks_moved() -> None:
    """Swapped, removed, doubled, and appended."""
    head, whole = FILE[:HEADER], chunks(FILE)
    count, wrong = len(whole), []
    for first in range(count):
        for second in range(first + 1, count):
            swapped = list(whole)
            swapped[first], swapped[second] = swapped[second], swapped[first]
            wrong.append(head + b"".join(swapped))
        wrong.append(head + b"".join(whole[:first] + whole[first + 1 :]))
        if first < count - 1:
            wrong.append(head + b"".join([*whole[: first + 1], *whole[first:]]))
        wrong.append(FILE + whole[first])
    await damaged(wrong)


async def test_cut_at_every_byte_of_the_last_two_chunks() -> None:
    """What is whole before the cut comes out, and then it is told."""
    start = len(FILE) - 116 - SEALED
    lengths = [
        *range(start, start + 40),
        *range(start + 40, len(FILE) - 140, 97),
        *range(len(FILE) - 140, len(FILE)),
    ]
    await damaged([FILE[:length] for length in lengths])


async def test_cut_in_the_header() -> None:
    """A file that ends in its header, or with it, gives nothing."""
    await damaged([FILE[:length] for length in range(HEADER + 1)])


async def test_an_empty_chunk_ends_nothing_but_an_empty_file() -> None:
    """No data is one empty chunk and nothing else; an empty last chunk after others is refused."""
    file_key = bytes(range(32))
    head = FILE[:HEADER]
    empty = other_file(KEY, b"", bits=BITS)
    assert len(empty) == HEADER + 16
    full = other_file(KEY, DATA[:CHUNK], bits=BITS)
    aead = AESGCM(read_header(head).chunk_key(file_key))
    forged = chunks(FILE)[0] + aead.encrypt((1).to_bytes(11, "big") + b"\1", b"", None)
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        assert await until_fault(opened, "key", empty) == (b"", None)
        assert await until_fault(opened, "key", full) == (DATA[:CHUNK], None)
        assert await until_fault(opened, "key", head) == (b"", 12000006)
        assert await until_fault(opened, "key", head + forged) == (DATA[:CHUNK], 12000006)
        assert await until_fault(opened, "key", empty + empty[HEADER:]) == (b"", 12000006)


async def test_another_file_of_the_same_key() -> None:
    """Its chunks do not fit, nor its header, nor its recipients, nor its code."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        ours, theirs = await seal(opened, "key", DATA), await seal(opened, "key", DATA)
        end = int.from_bytes(ours[12:16], "big")
        mixed = [
            ours[:end] + theirs[end:],
            ours[: end - 32] + theirs[end - 32 :],
            ours[:32] + theirs[32:],
            ours[:16] + theirs[16:32] + ours[32:],
            ours[:32] + theirs[32 : end - 32] + ours[end - 32 :],
        ]
        for file in mixed:
            out, code = await until_fault(opened, "key", file)
            assert (out, code in REFUSED) == (b"", True)


async def test_the_header_commits_to_the_file_key() -> None:
    """A recipient that opens under two keys, to a file key each, makes a file for one of them at most."""
    salt, nonce = bytes(16), bytes(12)
    first, second = bytes(32), b"\1" * 32
    aad = b"huks_async file 2 key" + salt
    async with keystore() as opened:
        await import_aes(opened, "first", first)
        await import_aes(opened, "second", second)
        # Both recipients are there and both unwrap, each to its own file key; the code fits one.
        keys = [b"a" * 32, b"b" * 32]
        hidden = [
            nonce + AESGCM(key).encrypt(nonce, file, aad)
            for key, file in zip((first, second), keys, strict=True)
        ]
        for right in range(2):
            header = other_header(keys[right], salt, [(1, 0, 0, bytes(8), each) for each in hidden], BITS)
            file = header + b"".join(other_chunks(keys[right], header, DATA, BITS))
            names = ("first", "second")
            assert await until_fault(opened, names[right], file) == (DATA, None)
            assert await until_fault(opened, names[1 - right], file) == (b"", 12000006)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (FILE[:-1], "cut off in chunk 5 (its end is missing)"),
        (FILE[: HEADER + SEALED + 50], "cut off in chunk 1 (its end is missing)"),
        (FILE[: HEADER + SEALED], "cut off after chunk 0"),
        (FILE + b"x", "or bytes follow it"),
        (FILE + bytes(SEALED), "or it is a shorter last chunk that bytes follow"),
    ],
    ids=["in the last chunk", "in another", "between chunks", "a byte more", "a chunk more"],
)
async def test_a_cut_is_called_one(file: bytes, said: str) -> None:
    """Where the input ends before a chunk does, the message says that its end is missing."""
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)
        with pytest.raises(BusinessError, match=re.escape(said)) as caught:
            async for _ in opened.decrypt_stream("key", [file]):
                pass
        assert caught.value.code == 12000006
