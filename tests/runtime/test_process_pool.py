"""Calls in processes: bounded, ended by cancellation and by the end of whoever wants them."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from contextlib import suppress

import anyio
import pytest

from huks_async.model.errors import BusinessError
from huks_async.runtime.process_pool import LONG_SECONDS, ProcessPool, run_in_process
from tests.adversity.support import descriptors, wait_until
from tests.loops import LOOPS, runner

LONG = 2 * LONG_SECONDS


def children() -> set[int]:
    """Processes that this one started and that are not waited for, zombies included."""
    found = set()
    for task in os.listdir("/proc/self/task"):
        # a thread may end between the listing and the look at it
        with suppress(FileNotFoundError), open(f"/proc/self/task/{task}/children") as listed:
            found |= {int(word) for word in listed.read().split()}
    return found


@pytest.fixture(params=LOOPS)
def run(request):
    """Run an async function on each kind of event loop."""
    return runner(request.param)


async def in_turn(condition):
    """Wait, letting the loop go round."""
    with anyio.fail_after(120):
        while not condition():
            await anyio.sleep(0.005)


def test_cancelling_kills_and_reaps(run):
    """A cancelled call leaves no process, no zombie and no open descriptor."""

    async def main():
        pool = ProcessPool(2, "the test")
        await pool.run(LONG, os.getpid)  # what loops open once, for all processes, is open now
        before, open_before = children(), set(descriptors().values())
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(pool.run, LONG, signal.pause)
                await in_turn(lambda: pool.running == 2 and len(children() - before) == 2)
                assert pool.waiting == 3
                scope.cancel()
        assert (pool.running, pool.waiting) == (0, 0)
        assert children() <= before
        left = {name for name in descriptors().values() if name.startswith(("pipe", "socket"))} - open_before
        assert left == set()
        assert await pool.run(LONG, divmod, 17, 5) == (3, 2)

    run(main)


def test_closing_ends_all_calls_and_says_so(run):
    """Running, waiting and later calls raise 12000012; `ended` returns when their processes are gone."""

    async def main():
        pool = ProcessPool(1, "the shop")
        before, raised = children(), []

        async def call():
            with pytest.raises(
                BusinessError, match="the shop was closed, and the process for pause"
            ) as caught:
                await pool.run(LONG, signal.pause)
            raised.append(caught.value.code)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(call)
            await in_turn(lambda: pool.running == 1 and pool.waiting == 2 and len(children() - before) == 1)
            pool.close()
            pool.close()
            await pool.ended()
            assert children() <= before
        assert raised == [12000012] * 3
        await call()
        await pool.ended()

    run(main)


def test_short_calls_do_not_wait_for_long_ones():
    """Each kind has places of its own."""

    async def main():
        pool = ProcessPool(1, "the test")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.run, LONG, signal.pause)
            tasks.start_soon(pool.run, LONG, signal.pause)
            await in_turn(lambda: pool.running == 1 and pool.waiting == 1)
            with anyio.fail_after(120):
                assert await pool.run(LONG_SECONDS, len, "abc") == 3
            tasks.cancel_scope.cancel()

    anyio.run(main)


_PARENT = """
import os, sys, anyio, {module}
from contextlib import suppress
from huks_async.runtime.process_pool import run_in_process
async def main():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_in_process, 5.0, {function}, *{args!r})
        await anyio.sleep(0.1)
        children = ""
        while not children:
            await anyio.sleep(0.01)
            for task in os.listdir("/proc/self/task"):
                with suppress(FileNotFoundError):
                    children += open(f"/proc/self/task/{{task}}/children").read()
        await anyio.sleep(0.3)
        print(children.split()[0], flush=True)
        {end}
anyio.run(main, backend={backend!r})
"""
_PBKDF2 = ("hashlib", "hashlib.pbkdf2_hmac", ("sha256", b"", b"", 2**31 - 1))
_HOLDS_THE_LOCK = ("re", "re.match", (r"(a+)+$", "a" * 60 + "b"))


def gone(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"  # waits for its new parent
    except (FileNotFoundError, ProcessLookupError):  # the second where it goes while it is read
        return True


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("work", [_PBKDF2, _HOLDS_THE_LOCK], ids=["derivation", "holds-the-lock"])
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(3)"], ids=["killed", "exits"])
def test_the_end_of_the_parent_ends_the_child(backend, work, end):
    """Also where the parent could do nothing, and where the child's interpreter never gets a turn."""
    module, function, args = work
    script = _PARENT.format(module=module, function=function, args=args, end=end, backend=backend)
    parent = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=120, check=False
    )
    assert parent.returncode in (-9, 3)
    child = int(parent.stdout)
    wait_until(lambda: gone(child), "the end of the child")


_FORKED = """
import os, sys, threading, anyio, time, hashlib
from contextlib import suppress
from huks_async.runtime.process_pool import run_in_process
async def main():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_in_process, 5.0, hashlib.pbkdf2_hmac, "sha256", b"", b"", 2**31 - 1)
        children = ""
        while not children:
            await anyio.sleep(0.01)
            for task in os.listdir("/proc/self/task"):
                with suppress(FileNotFoundError):
                    children += open(f"/proc/self/task/{task}/children").read()
        await anyio.sleep(0.3)
        sibling = os.fork()
        if not sibling:
            os.close(1)
            time.sleep(300)
            os._exit(0)
        print(children.split()[0], sibling, flush=True)
        os.kill(os.getpid(), 9)
anyio.run(main)
"""
_FORKED_EARLY = """
import os, subprocess, sys, time
from huks_async.runtime.processes import _SERVE
pipe = subprocess.PIPE
child = subprocess.Popen([sys.executable, "-P", "-c", _SERVE, str(os.getpid()), "0"], stdin=pipe, stdout=pipe)
sibling = os.fork()
if not sibling:
    os.close(1)
    time.sleep(300)
    os._exit(0)
print(child.pid, sibling, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("program", [_FORKED, _FORKED_EARLY], ids=["at-work", "before-the-request"])
def test_a_forked_sibling_does_not_keep_the_child_alive(program):
    """It has a copy of the pipe that tells of the parent's end."""
    parent = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    child, sibling = map(int, parent.stdout.split())
    try:
        wait_until(lambda: gone(child), "the end of the child")
        assert not gone(sibling)
    finally:
        os.kill(sibling, signal.SIGKILL)


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EAGAIN, 12000014), (errno.ENOMEM, 12000014), (errno.EPERM, 12000005)]
)
def test_a_system_without_room_for_a_process_is_named(monkeypatch, number, code):
    """Out of processes or memory is 12000014, all else 12000005; the place is given back."""

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    async def main():
        pool = ProcessPool(1, "the test")
        with monkeypatch.context() as patched:
            patched.setattr(subprocess, "Popen", refuse)
            for _ in range(2):
                with pytest.raises(BusinessError, match="process for getpid") as caught:
                    await pool.run(LONG, os.getpid)
                assert caught.value.code == code
        assert await pool.run(LONG, len, "ab") == 2

    anyio.run(main)


def _facts() -> dict[str, object]:
    with open("/proc/self/cmdline", "rb") as line:
        visible = line.read()
    # The environment of a process that leaves no core is hidden from its own user, too, unless that is root.
    with suppress(PermissionError), open("/proc/self/environ", "rb") as environment:
        visible += environment.read()
    import ctypes
    import resource

    return {
        "visible": b"a secret argument" in visible,
        "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "session": os.getsid(0) == os.getpid(),
    }


def facts_with(secret: bytes) -> dict[str, object]:
    """What another process may see of the one that has the secret."""
    assert secret == b"a secret argument"
    return _facts()


def test_arguments_are_not_to_be_seen_from_outside():
    """Neither on the command line nor in the environment; no core; no trace; no signals of the terminal."""

    async def main():
        return await run_in_process(LONG, facts_with, b"a secret argument")

    assert anyio.run(main) == {"visible": False, "dumpable": 0, "core": 0, "session": True}


def test_modules_in_the_working_directory_are_not_run(tmp_path, monkeypatch):
    """A file pickle.py where the service happens to stand is not what the child loads."""
    (tmp_path / "pickle.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [name for name in sys.path if name])
    assert anyio.run(run_in_process, LONG, len, "abcd") == 4


def test_no_moment_of_a_start_leaves_a_process(run):
    """Calls cancelled one after the other, each at another moment of its start."""

    async def main():
        pool, before = ProcessPool(2, "the test"), children()
        for step in range(24):
            with anyio.move_on_after(step * 0.006):
                # not `time.sleep`, which the guard against blocking puts a function in place of
                await pool.run(LONG, hashlib.pbkdf2_hmac, "sha256", b"", b"", 2**31 - 1)
        assert (pool.running, pool.waiting) == (0, 0)
        assert children() <= before

    run(main)
