"""Damage of every kind, random chunkings and random ranges on sealed files, for as long as it takes.

python -m tests.adversity.sealed_files [damage|chunkings|ranges] [--count N] [--mib N]

Each part prints a line with its counts and ends the run with 1 where anything was not as it must be. The suite has
short forms of all three in tests/files.
"""

import argparse
import asyncio
import io
import os
import random
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import anyio

from huks_async import BusinessError, Keystore
from huks_async.files.header import CHUNK_BYTES
from huks_async.keystore.keystore import MAX_WORKERS
from tests.files.support import import_aes, keystore, no_job_is_left, other_file, seal, until_fault

BITS = 12
CHUNK, SEALED = 1 << BITS, (1 << BITS) + 16
KEY = bytes(range(64, 96))


class Tally:
    """Counts what was tried, and what was wrong."""

    def __init__(self) -> None:
        self.tried = 0
        self.wrong = 0

    def note(self, *, right: bool) -> None:
        """Count one."""
        self.tried += 1
        self.wrong += not right


def sound_chunks(file: bytes, whole: bytes, header: int, count: int) -> int:
    """The chunks of a damaged file before the first that is not in its place, or that nothing follows."""
    right = 0
    while right < count - 1:
        start = header + right * SEALED
        if file[start : start + SEALED] != whole[start : start + SEALED] or len(file) <= start + SEALED:
            break
        right += 1
    return right if file[:header] == whole[:header] else 0


async def damage(count: int) -> Tally:
    """Every bit of the header, random bits of the rest, chunks moved, cuts, and parts of another file."""
    tally = Tally()
    data = random.randbytes(9 * CHUNK + 1234)
    whole = other_file(KEY, data, bits=BITS)
    header = int.from_bytes(whole[12:16], "big")
    chunks = [whole[start : start + SEALED] for start in range(header, len(whole), SEALED)]
    async with keystore() as opened:
        await import_aes(opened, "key", KEY)

        async def refused(file: bytes) -> None:
            out, code = await until_fault(opened, "key", file)
            sound = sound_chunks(file, whole, header, len(chunks))
            tally.note(right=code in (12000006, 12000011) and out == data[: sound * CHUNK])

        bits = [*range(header * 8), *random.sample(range(header * 8, len(whole) * 8), count)]
        for bit in bits:
            file = bytearray(whole)
            file[bit // 8] ^= 1 << bit % 8
            await refused(bytes(file))
        head = whole[:header]
        for first in range(len(chunks)):
            for second in range(len(chunks)):
                if first < second:
                    moved = list(chunks)
                    moved[first], moved[second] = moved[second], moved[first]
                    await refused(head + b"".join(moved))
                if (first, second) != (len(chunks) - 1,) * 2:
                    # a copy of one chunk before another, which may be where it stands already
                    await refused(head + b"".join([*chunks[:second], chunks[first], *chunks[second:]]))
            await refused(head + b"".join(chunks[:first] + chunks[first + 1 :]))
            await refused(whole + chunks[first])
        for length in range(len(whole) - len(chunks[-1]) - SEALED, len(whole)):
            await refused(whole[:length])
        other = other_file(KEY, data, bits=BITS, file_key=os.urandom(32))
        for place in range(len(chunks)):
            start = header + place * SEALED
            await refused(whole[:start] + other[start : start + SEALED] + whole[start + SEALED :])
        await refused(other[:header] + whole[header:])
        await refused(whole[: header - 32] + other[header - 32 : header] + whole[header:])
    return tally


async def chunkings(count: int) -> Tally:
    """Random pieces in and out, left and cancelled at random moments."""
    tally, before = Tally(), set(threading.enumerate())
    async with keystore("aes-gcm") as opened:
        for _ in range(count):
            size = random.choice((0, 1, random.randrange(5000), random.randrange(1_500_000)))
            data = random.randbytes(size)
            if random.random() < 0.5:
                tally.note(right=await _there_and_back(opened, data))
            else:
                await _interrupted(opened, data)
                tally.note(right=opened.statistics().open == 0)
        tally.note(right=await no_job_is_left(opened))
        tally.note(right=len(asyncio.all_tasks()) <= 2)  # this one, and the keystore's own
        tally.note(right=len(set(threading.enumerate()) - before) <= MAX_WORKERS)
    return tally


def _cut(data: bytes) -> list[bytes]:
    pieces, most = [], random.choice((100, 10_000, 300_000, 2_000_000))
    place = 0
    while place < len(data):
        length = random.randrange(most) if len(data) < 200 * most else most
        pieces.append(data[place : place + length])
        place += length
    return pieces


async def _source(data: bytes) -> AsyncIterator[bytes]:
    for piece in _cut(data):
        if random.random() < 0.1:
            await anyio.sleep(0)  # noqa: ASYNC115 - a turn of the loop, as a source takes it
        yield piece


async def _there_and_back(opened: Keystore, data: bytes) -> bool:
    sources: list[Any] = [_source(data), _cut(data), io.BytesIO(data)]
    sealed = b"".join([piece async for piece in opened.encrypt_stream("aes-gcm", random.choice(sources))])
    sources = [_source(sealed), _cut(sealed), io.BytesIO(sealed)]
    parts = [piece async for piece in opened.decrypt_stream("aes-gcm", random.choice(sources))]
    return b"".join(parts) == data


async def _interrupted(opened: Keystore, data: bytes) -> None:
    sealed = await seal(opened, "aes-gcm", data)
    stream, content = random.choice(((opened.encrypt_stream, data), (opened.decrypt_stream, sealed)))
    limit, left = random.random() * 0.004, random.randrange(8)
    with anyio.move_on_after(limit), suppress(BusinessError):
        async with aclosing(stream("aes-gcm", _source(content))) as pieces:
            async for _ in pieces:
                left -= 1
                if not left:
                    break


async def ranges(count: int, mib: int) -> Tally:
    """Random ranges of a large file, and how many chunks were opened for them."""
    tally = Tally()
    block = random.randbytes(1024 * 1024 - 3)
    size = mib * 1024 * 1024 + 77
    repeats = size // len(block) + 1
    with tempfile.NamedTemporaryFile() as file:
        async with keystore("aes-gcm") as opened:
            left = size

            def pieces() -> Any:
                nonlocal left
                for _ in range(repeats):
                    yield block[:left]
                    left -= min(left, len(block))

            async for piece in opened.encrypt_stream("aes-gcm", pieces()):
                file.write(piece)
            file.flush()
            async with opened.open_sealed("aes-gcm", file.name) as reader:
                chunk, needed = CHUNK_BYTES, 1
                for _ in range(count):
                    offset = random.randrange(size)
                    length = random.choice((1, 100, 10_000, 300_000, 3_000_000))
                    part = await reader.read_at(offset, length)
                    end = min(size, offset + length)
                    start = offset % len(block)
                    expected = (block * ((start + length) // len(block) + 1))[start : start + end - offset]
                    tally.note(right=part == expected)
                    needed += (end - 1) // chunk - offset // chunk + 1
                print(
                    f"chunks opened {reader.chunks_opened}, needed {needed}: {reader.chunks_opened / needed:.3f}"
                )
                tally.note(right=reader.chunks_opened <= needed)
    return tally


def main() -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=["damage", "chunkings", "ranges"])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file of `ranges`")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
    random.seed(seed)
    wrong = 0
    for part in arguments.parts:
        if part == "ranges":
            tally = asyncio.run(ranges(arguments.count, arguments.mib))
        else:
            tally = asyncio.run({"damage": damage, "chunkings": chunkings}[part](arguments.count))
        print(f"{part}: tried {tally.tried}, wrong {tally.wrong} (seed {seed})", flush=True)
        wrong += tally.wrong
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
