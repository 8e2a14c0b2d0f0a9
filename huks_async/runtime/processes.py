"""Processes for calls that a thread cannot carry: long ones, which no thread can be told to end, and those
that hold the interpreter's lock, where no thread can keep the event loop free.
"""

import errno
import os
import sys
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, cast

import anyio
import anyio.lowlevel

from huks_async.model.errors import BusinessError

T = TypeVar("T")
Args = TypeVarTuple("Args")

LONG_SECONDS = 1.0
"""Work with a larger estimate runs in a process, which can be ended: below, a worker thread is soon free again,
and starting a process, some 0.2 s, would be a noticeable part of the work."""

# An interpreter of its own that runs nothing of the caller's program: not a fork, which would copy threads'
# locks, and not a worker of multiprocessing or anyio, which runs the program's main module once more.
#
# The child must not outlive its parent, whatever ends that. The request comes on a pipe that the parent
# keeps open: when its other end closes, the kernel sends SIGIO, whose default is to end the process, even
# while a C function holds the interpreter's lock. Where the pipe was copied into another child of the parent
# by a fork, the thread sees that the parent changed. A signal at the parent's death (PR_SET_PDEATHSIG)
# would come when the thread that started the child ends, which is not the same.
#
# Key bytes come by the pipe and stand in this process's memory: it leaves no core and cannot be traced by
# other processes of the user. It gives way to the event loop, as worker threads do.
_SERVE = """
import contextlib, fcntl, os, pickle, select, signal, sys, threading, time
parent = int(sys.argv[1])
with contextlib.suppress(Exception):
    import ctypes
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
with contextlib.suppress(Exception):
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
with contextlib.suppress(OSError):
    os.nice(int(sys.argv[2]))
request, answer = os.fdopen(0, "rb", closefd=False), os.fdopen(os.dup(1), "wb")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
sys.path[:] = pickle.load(request)
call, function, args = pickle.load(request)
def watch():
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
threading.Thread(target=watch, daemon=True).start()
with contextlib.suppress(OSError, AttributeError, ValueError):
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGIO])
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
if select.select([0], [], [], 0)[0]:
    os._exit(1)
with answer:
    pickle.dump(call(function, args), answer)
os._exit(0)
"""
_NICE = 5
_STOP_SECONDS = 10.0


class ProcessPool:
    """Runs calls in processes of their own, a bounded number at once, until it is closed.

    Short and long calls have places of their own, so that a few long ones do not keep all others waiting.
    Belongs to the event loop in which it is first used.

    Args:
        size: how many processes at most, of short and of long calls each.
        owner: what is closed with it, for messages.

    """

    def __init__(self, size: int, owner: str) -> None:
        self._size = size
        self._places: dict[bool, anyio.Semaphore] = {}  # quoted: half of anyio comes with it
        self._owner = owner
        self._scopes: set[anyio.CancelScope] = set()
        self._running = 0
        self._closed = False
        self._empty: anyio.Event | None = None

    @property
    def running(self) -> int:
        """Processes that run."""
        return self._running

    @property
    def waiting(self) -> int:
        """Calls that wait for a process."""
        return len(self._scopes) - self._running

    async def run(self, seconds: float, function: Callable[[*Args], T], *args: *Args) -> T:
        """Call `function(*args)` in a process of its own and give its result, or raise its exception.

        Function, arguments and result are pickled: the function must be importable. A process lives for one
        call. When this await is cancelled, or the pool is closed, the process is killed, and the await ends
        when it is gone.

        Args:
            seconds: the estimate of the time that the call takes.
            function: what to call.
            args: with what.

        Raises:
            BusinessError: 12000005 when the process could not be started or died, 12000014 where the system
                has no memory or no process left, 12000012 when the pool is closed, before or meanwhile.

        """
        if self._closed:
            raise self._end_of(function)
        answer: tuple[T | None, Exception | None] | None = None
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                async with self._places_of(long=seconds > LONG_SECONDS):
                    self._running += 1
                    try:
                        answer = await _ask(function, args)
                    finally:
                        self._running -= 1
            finally:
                self._scopes.discard(scope)
                if self._empty is not None and not self._scopes:
                    self._empty.set()
        if answer is None:
            raise self._end_of(function)
        value, error = answer
        if error is not None:
            raise error
        return cast("T", value)

    def _places_of(self, *, long: bool) -> "anyio.Semaphore":
        places = self._places.get(long)
        if places is None:
            places = self._places[long] = anyio.Semaphore(self._size)
        return places

    def close(self) -> None:
        """End all calls, which raise 12000012; await `ended` afterwards. Can be called twice."""
        self._closed = True
        for scope in self._scopes:
            scope.cancel()

    async def ended(self) -> None:
        """Wait until all processes are gone. A process that was killed is, at once, unless the kernel is stuck."""
        if self._scopes:
            self._empty = anyio.Event()
            with anyio.move_on_after(_STOP_SECONDS):
                await self._empty.wait()

    def _end_of(self, function: Callable[..., object]) -> BusinessError:
        return BusinessError(
            12000012, f"{self._owner} was closed, and the process for {_name(function)} with it"
        )


_shared: anyio.lowlevel.RunVar[ProcessPool] = anyio.lowlevel.RunVar("huks_async processes")


async def run_in_process(seconds: float, function: Callable[[*Args], T], *args: *Args) -> T:
    """Do as `ProcessPool.run` does, with a pool that all of this event loop share. For calls that no keystore has."""
    try:
        pool = _shared.get()
    except LookupError:
        pool = ProcessPool(os.cpu_count() or 1, "the event loop")
        _shared.set(pool)
    return await pool.run(seconds, function, *args)


async def _ask(function: Callable[[*Args], T], args: tuple[*Args]) -> tuple[T | None, Exception | None]:
    import pickle  # late, as all that most services never do

    request = pickle.dumps(sys.path) + pickle.dumps((_call, function, args))
    try:
        return cast("tuple[T | None, Exception | None]", pickle.loads(await _exchange(request)))  # noqa: S301 - from the process that was just started
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, EOFError) as broken:
        raise _broken(function, broken) from broken


def _broken(function: Callable[..., object], broken: Exception) -> BusinessError:
    if isinstance(broken, OSError) and broken.errno in (errno.EAGAIN, errno.ENOMEM):
        return BusinessError(
            12000014,
            f"the system gives no process for {_name(function)} ({broken}); give it memory, or raise its limit of "
            "processes (ulimit -u, pids.max)",
        )
    return BusinessError(
        12000005,
        f"the worker process for {_name(function)} could not be started or ended before it answered ({broken!r}); "
        "try again, and look for the system's out-of-memory killer, for limits on processes, and whether "
        f"sys.executable ({sys.executable!r}) is a Python interpreter",
    )


async def _exchange(request: bytes) -> bytes:
    import subprocess

    # -P: the child must not find modules in the working directory. A session of its own: a Ctrl-C in the
    # terminal is for the parent, which ends the child.
    process = await anyio.open_process(
        [sys.executable or "", "-P", "-c", _SERVE, str(os.getpid()), str(_NICE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        start_new_session=True,
    )
    async with process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            await process.stdin.send(request)
            parts = [part async for part in process.stdout]
        except BaseException:
            process.kill()
            raise
    return b"".join(parts)


def _call(function: Callable[..., T], args: tuple[object, ...]) -> tuple[T | None, Exception | None]:
    # what the function raises comes back as a value, to be told from what befell the process
    try:
        return function(*args), None
    except Exception as error:
        return None, error


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__qualname__", repr(function))
