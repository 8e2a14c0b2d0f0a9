"""Calls in a worker process."""

import errno
import functools
import os
import pickle
import signal
import warnings

import anyio
import pytest

from huks_async.model.errors import BusinessError
from huks_async.runtime.process_pool import ProcessPool, run_in_process


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


@pytest.mark.parametrize("fate", ["dies", "cannot start", "is refused", "is closed", "was closed"])
def test_no_message_shows_an_argument(monkeypatch, fate):
    """Arguments are key bytes, also those that a function was given before: its name alone is told."""
    secret = b"the bytes of a key"

    async def main():
        pool = ProcessPool(1, "the keystore")
        doomed = functools.partial(functools.partial(_end, secret), 3)
        if fate == "cannot start":
            monkeypatch.setattr("sys.executable", "/nonexistent/python")
        elif fate == "is refused":

            def refuse(*_args, **_named):
                raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

            monkeypatch.setattr("subprocess.Popen", refuse)
        elif fate == "was closed":
            pool.close()
        elif fate == "is closed":
            doomed = functools.partial(_sleep, secret)
        async with anyio.create_task_group() as tasks:
            if fate == "is closed":
                tasks.start_soon(_close_soon, pool)
            with pytest.raises(BusinessError) as caught:
                await pool.run(2.0, doomed)
        assert "_sleep" in caught.value.message if fate == "is closed" else "_end" in caught.value.message
        shown = repr(caught.value) + str(caught.value)
        assert "bytes of a key" not in shown
        assert " at 0x" not in shown

    anyio.run(main)


def _end(_secret, status):
    os._exit(status)


def _sleep(_secret):
    signal.pause()


async def _close_soon(pool):
    await anyio.sleep(0.1)
    pool.close()


@pytest.mark.parametrize("missing", [1, 100, 200])
def test_a_process_that_dies_in_the_middle_of_its_answer_is_named(monkeypatch, missing):
    """A part of an answer is none: 12000005, as for a process that dies before it."""
    answer = pickle.dumps((b"a result" * 20, None))
    monkeypatch.setattr("huks_async.runtime.processes._Child.exchange", lambda _: answer[:-missing])

    async def main():
        with pytest.raises(BusinessError, match="ended before it answered") as caught:
            await run_in_process(0.1, os.getpid)
        assert caught.value.code == 12000005

    anyio.run(main)


def warn_and_divide(value: int, by: int) -> float:
    warnings.warn("of a division", FutureWarning, stacklevel=1)
    warnings.warn("again", ResourceWarning, stacklevel=1)
    return value / by


def test_what_a_process_warns_of_is_warned_of_here(capfd):
    """By this process's filters, with the place in the code, whether the call succeeds or fails, and nowhere else."""

    async def main():
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            assert await run_in_process(0.1, warn_and_divide, 6, 3) == 2
            with pytest.raises(ZeroDivisionError):
                await run_in_process(0.1, warn_and_divide, 6, 0)
        assert [(one.category, str(one.message)) for one in warned] == [
            (FutureWarning, "of a division"),
            (ResourceWarning, "again"),
        ] * 2
        assert {one.filename for one in warned} == {__file__}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            warnings.simplefilter("error", FutureWarning)
            with pytest.raises(FutureWarning, match="of a division"):
                await run_in_process(0.1, warn_and_divide, 6, 3)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("default")  # which shows a warning of one place once
            for _ in range(2):
                await run_in_process(0.1, warn_and_divide, 6, 3)
        assert len(warned) == 2

    anyio.run(main)
    assert capfd.readouterr() == ("", "")
