"""Work in anyio's threads: results, errors, and a system that gives no thread."""

import asyncio
import threading

import pytest

from huks_async.model.errors import BusinessError
from huks_async.rootkeys import FileRootKey
from huks_async.runtime.threads import run_in_thread


def _refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_results_and_errors_are_the_work_s_own():
    """Also an error that looks like one of threads."""

    async def main():
        assert await run_in_thread(divmod, 7, 3) == (2, 1)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await run_in_thread(_refuse, threading.current_thread())

    asyncio.run(main())


def test_a_system_without_threads_is_told(monkeypatch, tmp_path):
    """A limit of threads is 12000014 with the way out, and the same call succeeds once there are threads."""

    async def main():
        root_key = FileRootKey(tmp_path / "root.key")
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", _refuse)
            with pytest.raises(BusinessError, match="raise its limit of threads") as caught:
                await root_key.open()
        assert caught.value.code == 12000014
        assert not (tmp_path / "root.key").exists()
        await root_key.open()
        assert (tmp_path / "root.key").exists()

    asyncio.run(main())
