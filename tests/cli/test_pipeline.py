"""Long inputs where the system has few threads, or none."""

import queue
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from huks_async.cli.flow import pipeline
from tests.cli.command_line import Huks


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A file of several batches."""
    path = tmp_path / "long"
    path.write_bytes(bytes(range(256)) * (5 * 4096))
    return path


def _limit_threads(monkeypatch: pytest.MonkeyPatch, most: int) -> list[threading.Thread]:
    """Let so many threads of a pipeline start, as where the system's limit is reached."""
    started, start = list[threading.Thread](), threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if getattr(getattr(thread, "_work", None), "__func__", None) is pipeline._Pipeline._work:
            if len(started) == most:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(pipeline, "_processors", lambda: 4)
    monkeypatch.setattr(threading.Thread, "start", limited)
    return started


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("to_file", [True, False], ids=["to a file", "to a pipe"])
def test_few_threads_do_the_work(
    huks: Huks, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, to_file: bool
) -> None:
    """Those that the system has go on without the others."""
    huks("keys", "generate", "k")
    sealed, again = tmp_path / "sealed", tmp_path / "again"
    with monkeypatch.context() as patched:
        started = _limit_threads(patched, most)
        done = huks("encrypt", "k", long, "-o", sealed if to_file else "-")
    assert (done.code, done.err, len(started)) == (0, "", most)
    if not to_file:
        sealed.write_bytes(done.out)
    with monkeypatch.context() as patched:
        started = _limit_threads(patched, most)
        done = huks("decrypt", "k", sealed, "-o", again if to_file else "-")
    assert (done.code, done.err, len(started)) == (0, "", most)
    assert (again.read_bytes() if to_file else done.out) == long.read_bytes()
    assert not [thread for thread in started if thread.is_alive()]


def test_no_thread_is_an_error(
    huks: Huks, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system has none at all, the command says so and leaves nothing."""
    huks("keys", "generate", "k")
    with monkeypatch.context() as patched:
        _limit_threads(patched, 0)
        done = huks("encrypt", "k", long, "-o", tmp_path / "sealed")
    assert done.code == 1
    assert done.err == (
        "error: the system has no thread for the work (can't start new thread)\n"
        "hint: raise its limit of threads (ulimit -u), or end other programs\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keystore", "long"]


def test_an_error_is_told_once_there_is_memory_for_that(
    huks: Huks, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main thread waits for nothing else, and would do so for ever."""
    huks("keys", "generate", "k")
    refused = []

    class Short(queue.SimpleQueue[Any]):
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            if isinstance(item, BaseException) and len(refused) < 3:
                refused.append(item)
                raise MemoryError
            super().put(item)

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            try:
                return super().get(timeout=60)
            except queue.Empty:
                raise AssertionError("nothing was told") from None

    def finish(*_: Any) -> None:
        raise OSError(5, "no luck")

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "queue", SimpleNamespace(SimpleQueue=Short, Empty=queue.Empty))
        patched.setattr(pipeline._Pipeline, "_finish", finish)
        done = huks("encrypt", "k", long, "-o", tmp_path / "sealed")
    assert (done.code, len(refused)) == (1, 3)
    assert "no luck" in done.err
