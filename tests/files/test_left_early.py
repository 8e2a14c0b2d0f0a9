"""A block of `open_sealed` that is left while another task still reads."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import pytest

import huks_async as huks
from huks_async import BusinessError
from huks_async.files.reader import SealedReader
from huks_async.files.seekable import SeekableFile
from tests.files.support import import_aes, other_file
from tests.files.test_cancelled_reads import run_within

BITS = 12
KEY = bytes(range(32))
DATA = bytes(3_000_000)
FILE = other_file(KEY, DATA, bits=BITS)
"""Three jobs long."""


class Held:
    """`os.pread`, which from a moment on waits until it is let go; keeps what happened, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.holds = False
        self._read: Callable[[int, int, int], bytes] = os.pread
        monkeypatch.setattr(os, "pread", self)

    def __call__(self, descriptor: int, length: int, offset: int) -> bytes:
        if not self.holds:
            return self._read(descriptor, length, offset)
        self.begun.set()
        assert self.let_go.wait(60)
        try:
            return self._read(descriptor, length, offset)
        finally:
            self.events.append("read")


@pytest.mark.parametrize("kind", ["path", "file"])
@pytest.mark.parametrize(
    ("backend", "how"),
    [(backend, how) for backend in ("asyncio", "trio") for how in ("return", "aclose", "scope", "task")][:-1],
)
def test_no_worker_reads_when_the_block_was_left(
    backend: str, how: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has begun is waited for, also when cancelled or by a generator that is closed early; what has not ends the read with 12000012."""
    pytest.importorskip(backend)
    path = tmp_path / "sealed"
    path.write_bytes(FILE)
    held, close = Held(monkeypatch), SealedReader.close
    readers: list[SealedReader] = []

    def closed(reader: SealedReader) -> None:
        close(reader)
        if how == "task":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        held.let_go.set()

    monkeypatch.setattr(SealedReader, "close", closed)

    async def read(reader: SealedReader) -> None:
        with pytest.raises(BusinessError, match="`async with` block") as caught:
            await reader.read_at(0, len(DATA))
        assert caught.value.code == 12000012

    async def main() -> None:
        async with (
            huks.Keystore.open("memory:", huks.EphemeralRootKey(), monitor=False, workers=1) as opened,
            anyio.create_task_group() as tasks,
        ):
            await import_aes(opened, "key", KEY)

            async def hold(given: BinaryIO, scope: anyio.CancelScope) -> AsyncGenerator[None, None]:
                async with opened.open_sealed("key", path if kind == "path" else given) as reader:
                    readers.append(reader)
                    held.holds = True
                    tasks.start_soon(read, reader)
                    await anyio.to_thread.run_sync(held.begun.wait)
                    if how == "scope":
                        scope.cancel()
                        await anyio.sleep_forever()
                    yield

            async def leave() -> None:
                with path.open("rb") as given, anyio.CancelScope() as scope:
                    try:
                        async with aclosing(hold(given, scope)) as held_open:
                            async for _ in held_open:
                                if how == "aclose":  # in the middle of the block; else at its end
                                    break
                    finally:
                        held.events.append("left")

            if how == "task":
                with suppress(asyncio.CancelledError):
                    await asyncio.create_task(leave())
            else:
                await leave()

    run_within(120, main, backend, False)
    assert held.events == ["read", "left"]
    own: Any = readers[0]._file._own
    assert own.closed if kind == "path" else own is None


def test_the_last_read_closes_where_nobody_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is closed under a read, and none is left open."""
    path = tmp_path / "sealed"
    path.write_bytes(FILE)
    held, found = Held(monkeypatch), list[bytes]()
    file = SeekableFile(path)
    file.open()
    held.holds = True
    thread = threading.Thread(target=lambda: found.append(file.read_at(0, 100)), daemon=True)
    thread.start()
    assert held.begun.wait(60)
    file.close()
    own: Any = file._own
    assert not own.closed
    with pytest.raises(BusinessError) as caught:
        file.read_at(0, 100)
    assert caught.value.code == 12000012
    held.let_go.set()
    thread.join(60)
    assert found == [FILE[:100]]
    assert own.closed


FORKED = """
import os, signal, sys, threading, warnings
warnings.simplefilter("ignore")
from huks_async.files.seekable import SeekableFile

file = SeekableFile(sys.argv[1])
file.open()
held, let_go = threading.Event(), threading.Event()

def hold():
    with file._counted(), file._count_lock:
        held.set()
        let_go.wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(60)
    file.refuse()
    file.close()
    os._exit(0 if file._own.closed else 1)
assert os.waitpid(child, 0)[1] == 0
assert not file._own.closed
let_go.set()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_process_waits_for_no_thread_of_its_parent(tmp_path: Path) -> None:
    """The collector may end the parent's task there, while a worker of the parent was reading or counting."""
    path = tmp_path / "sealed"
    path.write_bytes(FILE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", FORKED, str(path)], env=environment, timeout=120, check=True)
