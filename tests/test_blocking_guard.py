"""The guard of event loops is real: what it is there for raises, and is noted even when it is swallowed."""

import asyncio
import contextlib
from pathlib import Path

import pytest

pytest.importorskip("blockbuster", reason="blockbuster is not installed")

from tests import blocking_guard

CALLS = {
    "time.sleep": "time.sleep(0.001)",
    "builtins.open": "open(path).close()",
    "io.open": "pathlib.Path(path).read_text()",
    "os.open": "os.open(path, os.O_RDONLY)",
    "os.stat": "os.path.exists(path)",
    "os.fsync": "os.fsync(0)",
    "os.pread": "os.pread(0, 1, 0)",
    "os.unlink": "os.unlink(path)",
    "fcntl.flock": "fcntl.flock(0, fcntl.LOCK_SH)",
    "sqlite3.connect": "sqlite3.connect(path)",
    "sqlite3.Connection.execute": "database.execute('SELECT 1')",
    "lock.acquire": "held.acquire()",
    "SimpleQueue.get": "queue.SimpleQueue().get()",
    "Popen.wait": "process.wait()",
    "ctypes._dlopen": "ctypes.CDLL('libm.so.6')",
}
PROGRAM = """
import ctypes, fcntl, os, pathlib, queue, sqlite3, subprocess, sys, threading, time
database, held = sqlite3.connect(":memory:"), threading.Lock()
held.acquire()
process = subprocess.Popen([sys.executable, "-c", ""])
process.wait()
async def main():
    {call}
"""


def _run(call: str, path: Path, file: str) -> None:
    names = {"path": str(path)}
    exec(compile(PROGRAM.format(call=call), file, "exec"), names)
    try:
        asyncio.run(names["main"]())
    finally:
        names["database"].close()


@pytest.mark.parametrize("name", CALLS)
def test_a_call_of_the_package_that_blocks_is_found(name: str, tmp_path: Path) -> None:
    """Code of the package that makes the call in a running loop gets an error; anybody else may make it."""
    path = tmp_path / "file"
    path.write_text("")
    with blocking_guard.guard() as found:
        with pytest.raises(blocking_guard.blockbuster.BlockingError):
            _run(CALLS[name], path, f"{blocking_guard.PACKAGE}/keystore/made_up.py")
        assert len(found) == 1
        assert name in found[0]
        assert "made_up.py" in found[0]
        if name in ("time.sleep", "io.open", "os.stat"):
            _run(CALLS[name], path, f"{blocking_guard.PACKAGE}/cli/made_up.py")
            _run(CALLS[name], path, "somebody_else.py")
        assert len(found) == 1


def test_a_call_that_is_swallowed_is_noted(tmp_path: Path) -> None:
    """Code that survives every exception does not hide what it did."""
    with blocking_guard.guard() as found, contextlib.suppress(KeyError):
        _run(
            "exec('try: time.sleep(0)\\nexcept Exception: pass')",
            tmp_path,
            f"{blocking_guard.PACKAGE}/made_up.py",
        )
    assert len(found) == 1


def test_nothing_stays_behind() -> None:
    """After the guard, calls are what they were."""
    import os
    import time

    before = time.sleep, os.stat, open
    with blocking_guard.guard():
        assert time.sleep is not before[0]
    assert (time.sleep, os.stat, open) == before


def test_each_exception_is_of_use_and_has_a_reason() -> None:
    """Files and functions that may block exist, and the list says why they may."""
    for allowed in blocking_guard.ALLOWED:
        assert len(allowed.reason) > 20
        if allowed.file.startswith("huks_async/"):
            source = (blocking_guard.PACKAGE.parent / allowed.file).read_text()
            for name in allowed.functions:
                assert f"def {name}(" in source
