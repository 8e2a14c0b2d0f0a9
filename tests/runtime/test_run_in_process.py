"""Calls in a worker process."""

import os
import signal

import anyio
import pytest

from huks_async.model.errors import BusinessError
from huks_async.runtime.process_pool import run_in_process


def test_a_process_gives_results_and_errors_and_its_end_is_named():
    """Values and exceptions come back unchanged; a process that dies is 12000005, and the next call works."""

    async def main():
        assert await run_in_process(0.1, divmod, 17, 5) == (3, 2)
        assert await run_in_process(0.1, os.getpid) != os.getpid()
        with pytest.raises(ZeroDivisionError):
            await run_in_process(0.1, divmod, 1, 0)
        with pytest.raises(FileNotFoundError):  # the function's own OSError is not the process's
            await run_in_process(0.1, os.chdir, "/nonexistent")
        with pytest.raises(BusinessError, match="worker process for _exit") as caught:
            await run_in_process(0.1, os._exit, 3)
        assert caught.value.code == 12000005
        assert await run_in_process(0.1, divmod, 17, 5) == (3, 2)
        with anyio.move_on_after(0.05) as scope:
            await run_in_process(0.1, signal.pause)
        assert scope.cancelled_caught

    anyio.run(main)


def test_a_process_that_cannot_start_is_named(monkeypatch):
    """No interpreter to start: 12000005, with the system's reason."""
    monkeypatch.setattr("sys.executable", "/nonexistent/python")

    async def main():
        with pytest.raises(BusinessError, match="could not be started") as caught:
            await run_in_process(0.1, os.getpid)
        assert caught.value.code == 12000005

    anyio.run(main)
