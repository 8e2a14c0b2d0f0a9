"""The spool: order, bounded memory, nothing readable on disk."""

import os
import subprocess
import sys
import tempfile
import threading

import anyio
import anyio.to_thread
import pytest

from huks_async.model.errors import BusinessError
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


@pytest.mark.asyncio
@pytest.mark.parametrize("sizes", [[5], [MEMORY_BYTES, MEMORY_BYTES, 5]], ids=["memory", "file"])
async def test_nothing_ends_in_silence_after_leaving(pool, sizes):
    """What had not been given yet was missing, as if it had never been added."""
    spool = Spool(pool)
    for size in sizes:
        await spool.add(bytes(size))
    released = spool.release()
    if len(sizes) > 1:
        await anext(released)
    spool.leave()
    for step in (lambda: anext(released), lambda: all_of(spool), lambda: spool.add(b"more")):
        with pytest.raises(BusinessError, match="not all of it") as caught:
            await step()
        assert caught.value.code == 12000011


@pytest.mark.asyncio
@pytest.mark.parametrize("step", ["write", "first write", "read"])
@pytest.mark.parametrize("way", ["leave", "aclose"])
async def test_the_file_is_closed_after_the_worker_that_uses_it(step, way, monkeypatch):
    """Its descriptor could be another file's by then. A file that is only being made is closed, too."""
    files, make, using, go_on = [], tempfile.TemporaryFile, threading.Event(), threading.Event()

    class Slow:
        def __init__(self):
            self.file = make(buffering=0)
            self.beside = None

        def __getattr__(self, name):
            return getattr(self.file, name)

        def _use(self, call, *args):
            if self.beside is None:
                self.beside = False
                using.set()
                go_on.wait(60)
                self.beside = self.file.closed
            return call(*args)

        def write(self, data):
            return self._use(self.file.write, data) if "write" in step else self.file.write(data)

        def read(self, size):
            return self._use(self.file.read, size)

    def note(**how):
        files.append(Slow())
        if step == "write":
            files[-1].beside = False  # the first one passes
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", note)
    pool = WorkerPool(2)
    spool = Spool(pool)

    async def use():
        with pytest.raises(BusinessError) if step == "read" else anyio.CancelScope():
            if step == "read":
                await all_of(spool)
            else:
                await spool.add(bytes(MEMORY_BYTES))

    if step != "first write":
        await spool.add(bytes(MEMORY_BYTES))
        files[0].beside = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await anyio.to_thread.run_sync(using.wait, 60)
        if way == "leave":
            spool.leave()
        else:
            tasks.start_soon(spool.aclose)
            await anyio.wait_all_tasks_blocked()
        go_on.set()
    (file,) = files
    with anyio.fail_after(60):
        while not file.closed:
            await anyio.sleep(0.001)
    assert file.beside is False
    pool.close()


FORKED = """
import asyncio, os, signal, threading, warnings
warnings.simplefilter("ignore")
from huks_async.runtime.workers import WorkerPool
from huks_async.sessions.spool import MEMORY_BYTES, Spool

async def main():
    pool = WorkerPool(1)
    spool = Spool(pool)
    await spool.add(bytes(MEMORY_BYTES))
    held, let_go = threading.Event(), threading.Event()

    def hold():
        with spool._busy:
            held.set()
            let_go.wait()

    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    file = spool._file
    child = os.fork()
    if not child:
        signal.alarm(60)
        spool.leave()
        os._exit(0 if file.closed else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert not file.closed
    let_go.set()

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_process_waits_for_no_worker_of_its_parent():
    """One that was using the file at the moment of the fork holds its lock for ever there."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", FORKED], env=environment, timeout=120, check=True)
