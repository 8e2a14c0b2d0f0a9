"""Descriptors that do not wait, in a process that was given more than a thousand of them."""

import contextlib
import fcntl
import io
import os
import resource
import threading
from collections.abc import Iterator

import pytest

from huks_async.cli.flow.source import open_source
from huks_async.cli.shell.files import segments
from huks_async.cli.shell.targets import Direct

_NUMBER = 1500


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, io.FileIO]]:
    """The two ends of a pipe that does not wait, with numbers beyond those that `select` takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * _NUMBER:
        pytest.skip("this system gives no process so many descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * _NUMBER), hard))
    try:
        with contextlib.ExitStack() as stack:
            ends = []
            for end, mode in zip(os.pipe(), ("r", "w"), strict=True):
                number = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _NUMBER)
                os.close(end)
                os.set_blocking(number, False)
                ends.append(stack.enter_context(io.FileIO(number, mode)))
            yield ends[0], ends[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_content_goes_through(pipe: tuple[io.FileIO, io.FileIO]) -> None:
    """Whoever reads waits for more, and whoever writes for room."""
    reading, writing = pipe
    content, received = bytes(range(256)) * 20_000, bytearray()
    reader = threading.Thread(target=lambda: received.extend(b"".join(segments(reading, len(content)))))
    reader.start()
    Direct(writing, "the pipe").write(content)
    reader.join()
    assert received == content


def test_the_beginning_is_waited_for(pipe: tuple[io.FileIO, io.FileIO]) -> None:
    """The head of a stream is there once it was sent."""
    reading, writing = pipe
    with contextlib.closing(open_source(reading)) as source:
        sender = threading.Timer(0.05, writing.write, (b"head",))
        sender.start()
        assert source.head(4) == b"head"
        sender.join()
