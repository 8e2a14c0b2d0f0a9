"""Threads that tell when they have died, and work or do not, whatever becomes of their start."""

import contextlib
import subprocess
import sys
import threading

import pytest

from huks_async.model.errors import BusinessError
from huks_async.runtime.daemons import DaemonThread, _Beginning
from huks_async.runtime.workers import WorkerPool
from tests.threads import threads_begun

# The address space is limited to what is used, a thread's stack, and a little more, with which the thread dies before
# its first line. Which little does so depends on the system, so many are tried.
SHORT = """
import resource, subprocess, sys, threading
from huks_async.runtime.daemons import DaemonThread
from huks_async.runtime.workers import Crew
resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, resource.RLIM_INFINITY))
if len(sys.argv) == 1:
    told = set()
    for room in range(8180, 8260, 8):
        told.add(subprocess.run([sys.executable, __file__, str(room)], stdout=-1, stderr=-3, timeout=100).stdout)
    print(sorted(told))
    sys.exit()
def used():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmSize"))
used()
thread = DaemonThread(print, ("ran",), "name")
resource.setrlimit(resource.RLIMIT_AS, ((used() + int(sys.argv[1])) << 10, resource.RLIM_INFINITY))
try:
    thread.start()
except RuntimeError as error:
    assert thread.is_revoked
    print(error)
assert thread not in threading.enumerate() or not thread.is_revoked
if not thread.is_revoked:
    thread.join()
"""


def test_a_thread_that_dies_before_its_first_line_is_told(tmp_path):
    """However little memory there is, `start` ends; with a little too little it told nothing and never ended."""
    (tmp_path / "short.py").write_text(SHORT)
    done = subprocess.run(
        [sys.executable, tmp_path / "short.py"], capture_output=True, text=True, timeout=250
    )
    assert done.stdout == "[b\"can't start new thread\\n\", b'no memory for a new thread\\n', b'ran\\n']\n", (
        done.stderr
    )


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()], ids=["memory", "interrupt"])
@pytest.mark.parametrize("begins", [False, True], ids=["late", "at once"])
def test_a_thread_whose_start_is_broken_off_works_or_is_revoked(monkeypatch, error, begins):
    """Not both, and its starter can tell which."""
    go, begun, ran = threading.Event(), threading.Event(), threading.Event()

    class Beginning(_Beginning):
        def tell(self):
            begun.set()
            assert begins or go.wait(60)

        def wait(self, timeout=None):
            assert ran.wait(60) if begins else begun.wait(60)
            raise error

    monkeypatch.setattr("huks_async.runtime.daemons._Beginning", Beginning)
    thread = DaemonThread(ran.set, name="huks-broken-off")
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else RuntimeError
    with contextlib.nullcontext() if begins and expected is RuntimeError else pytest.raises(expected):
        thread.start()
    assert thread.is_revoked != begins
    go.set()
    thread.join(60)
    assert ran.is_set() == begins


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
@pytest.mark.asyncio
async def test_a_job_for_which_there_is_no_thread_is_not_counted(monkeypatch, error):
    """It is refused with the way out; the pool works once there are threads."""
    pool = WorkerPool(2)

    def refused(_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        with pytest.raises(
            BusinessError, match=r"gives no thread .* raise its limit of threads or memory"
        ) as caught:
            await pool.run(len, "ab")
    assert (caught.value.code, pool.active, pool.threads) == (12000014, 0, 0)
    assert await pool.run(len, "ab") == 2
    pool.close()


@pytest.mark.asyncio
async def test_a_job_that_finds_no_place_in_the_queue_is_not_counted(monkeypatch):
    """Whatever went wrong, the pool goes on."""
    pool = WorkerPool(1)

    class Full:
        def put(self, _):
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(pool._desk, "jobs", Full())
        patch.setattr(pool._desk, "threads", pool.size)  # it starts none
        with pytest.raises(MemoryError):
            await pool.run(len, "ab")
    assert pool.active == 0
    assert await pool.run(len, "ab") == 2
    pool.close()


def test_a_thread_is_an_ordinary_one():
    """Debuggers find it by its name, it can be joined, and the process does not wait for it."""
    stop = threading.Event()
    thread = DaemonThread(stop.wait, (60,), "huks-ordinary")
    thread.start()
    assert thread.is_alive()
    assert thread.daemon
    assert threads_begun("huks-ordinary") == [thread]
    stop.set()
    thread.join(60)
    assert not threads_begun("huks-ordinary")
