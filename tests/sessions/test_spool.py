"""The spool: order, bounded memory, nothing readable on disk."""

import os
import tempfile

import anyio
import pytest

from huks_async.runtime.workers import WorkerPool
from huks_async.sessions.spool import MEMORY_BYTES, Spool


@pytest.fixture
def pool():
    pool = WorkerPool(1)
    yield pool
    pool.close()


async def all_of(spool):
    return [block async for block in spool.release()]


@pytest.mark.asyncio
@pytest.mark.parametrize("sizes", [[], [5], [300_000] * 20, [MEMORY_BYTES], [3 * MEMORY_BYTES, 1]], ids=str)
async def test_what_goes_in_comes_out_in_order(pool, sizes):
    """Any sizes, on both sides of the bound."""
    pieces = [os.urandom(size) for size in sizes]
    spool = Spool(pool)
    for piece in pieces:
        await spool.add(piece)
        assert sum(map(len, spool._parts)) < MEMORY_BYTES
    assert b"".join(await all_of(spool)) == b"".join(pieces)
    await spool.aclose()


@pytest.mark.asyncio
async def test_nothing_readable_is_on_disk(pool, monkeypatch):
    """The file has no name, and its content is not the text."""
    files, make = [], tempfile.TemporaryFile

    def note(**how):
        files.append(make(**how))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", note)
    spool = Spool(pool)
    text = b"attack at dawn; " * (MEMORY_BYTES // 8)
    await spool.add(text)
    (file,) = files
    assert os.fstat(file.fileno()).st_nlink == 0
    content = os.pread(file.fileno(), len(text), 0)
    assert len(content) == len(text)
    assert b"attack at dawn" not in content
    assert len({content[start : start + 16] for start in range(0, 16_000, 16)}) == 1000
    assert b"".join(await all_of(spool)) == text
    await spool.aclose()
    await spool.aclose()
    assert file.closed


@pytest.mark.asyncio
async def test_small_output_needs_no_file(pool):
    """Below the bound nothing touches the disk."""
    spool = Spool(pool)
    await spool.add(bytes(MEMORY_BYTES - 1))
    assert spool._file is None
    await spool.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize("closed", [False, True], ids=["pool open", "pool closed"])
async def test_closing_closes_the_file_also_when_cancelled(pool, closed):
    """Whatever happens, the descriptor goes."""
    spool = Spool(pool)
    await spool.add(bytes(2 * MEMORY_BYTES))
    file = spool._file
    if closed:
        pool.close()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await spool.aclose()
    assert file.closed
