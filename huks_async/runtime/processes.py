"""One call in a process of its own."""

import errno
import functools
import os
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar, TypeVarTuple, cast

from huks_async.model.errors import BusinessError
from huks_async.runtime.workers import WorkerPool

T = TypeVar("T")
Args = TypeVarTuple("Args")

# The child is a new interpreter that runs nothing of the caller's program. It is not a fork, which would copy the
# locks of threads, nor a worker of multiprocessing or anyio, which would run the program's main module again.
#
# The child must not outlive its parent, whatever ends the parent. The request comes on a pipe that the parent keeps
# open. When the parent's end closes, the kernel sends the child SIGIO, whose default is to end the process, even
# while a C function holds the interpreter's lock. If a fork has copied the pipe into another child of the parent,
# the pipe stays open; so a thread also watches whether this process has got another parent. A signal at the
# parent's death (PR_SET_PDEATHSIG) would not do: it is sent when the thread that started the child ends.
#
# Key bytes come through the pipe and are in the child's memory, so the child leaves no core dump and cannot be
# traced by other processes of the user. Like worker threads, it has a lower priority than the event loop.
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
def watch():
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
threading.Thread(target=watch, daemon=True).start()
sys.path[:] = pickle.load(request)
call, function, args = pickle.load(request)
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

_warned: Final[dict[str | tuple[str, type[Warning], int], int]] = {}
"""What was warned of from here, for filters that show a warning once."""


class _Answer(NamedTuple):
    value: object
    error: Exception | None
    warned: list[tuple[Warning, type[Warning], str, int]]
    """What warnings it gave, each with its class, file and line. The caller's filters decide what becomes of them."""


async def call_in_process(
    function: Callable[[*Args], T], args: tuple[*Args]
) -> tuple[T | None, Exception | None]:
    """Call `function(*args)` in a process, and give its result or what it raised. What it warns of is warned of here.

    When this await is cancelled, the process is killed, and the await ends when it is gone.

    Raises:
        BusinessError: 12000005 when the process could not be started or died, 12000014 if the system has
            no memory or no process left.
        Warning: one that a filter of this process makes an error.

    """
    request = pickle.dumps(sys.path) + pickle.dumps((_call, function, args))
    child = _Child(request)
    job = WorkerPool(1, name="huks-process").finish(child.exchange)
    try:
        sent = await job.outcome(shield=True, drop=False, when_cancelled=child.end)
        # it comes from the process that was just started
        answer = cast("_Answer", pickle.loads(sent))  # noqa: S301
    except (OSError, EOFError, pickle.UnpicklingError) as broken:
        # the last two: it died before the end of its answer
        raise _broken(function, broken) from broken
    for warned in answer.warned:
        warnings.warn_explicit(*warned, registry=_warned)
    return cast("T | None", answer.value), answer.error


def _broken(function: Callable[..., object], broken: Exception) -> BusinessError:
    if isinstance(broken, OSError) and broken.errno in (errno.EAGAIN, errno.ENOMEM):
        return BusinessError(
            12000014,
            f"the system gives no process for {name_of(function)} ({broken}); give it memory, or raise its limit of "
            "processes (ulimit -u, pids.max)",
        )
    return BusinessError(
        12000005,
        f"the worker process for {name_of(function)} could not be started or ended before it answered ({broken!r}); "
        "try again, and look for the system's out-of-memory killer, for limits on processes, and whether "
        f"sys.executable ({sys.executable!r}) is a Python interpreter",
    )


class _Child:
    """A process for one request. One thread waits for it; any other thread may end it.

    The event loops' own functions for processes are not used: asyncio's hang if a loop ends while a process
    starts, and the three kinds of loops differ in how they learn of a process's end.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()

    def exchange(self) -> bytes:
        """Start the process, send it the request and return its answer, which is empty if the process was ended."""
        if self._ended.is_set():
            return b""
        # -P keeps the child from importing modules from the working directory. The child gets a session of its own,
        # so that a Ctrl-C in the terminal reaches only the parent, which then ends the child.
        process = self._process = subprocess.Popen(  # noqa: S603 - this interpreter and the text above
            [sys.executable or "", "-P", "-c", _SERVE, str(os.getpid()), str(_NICE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        if self._ended.is_set():  # `end` may have been called before there was a process to kill
            process.kill()
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(self._request)
                process.stdin.flush()  # but stay open: its end tells the child of this process's
                return process.stdout.read()
            finally:
                self._process = None
                process.kill()

    def end(self) -> None:
        """Kill the process, now or as soon as it has started. Called from any thread."""
        self._ended.set()
        process = self._process
        if process is not None:
            process.kill()


def _call(function: Callable[..., object], args: tuple[object, ...]) -> _Answer:
    value, error = None, None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        # an exception of the function is returned as a value, to be distinguished from a failure of the process
        try:
            value = function(*args)
        except Exception as raised:
            error = raised
    noted = [(cast("Warning", one.message), one.category, one.filename, one.lineno) for one in warned]
    return _Answer(value, error, noted)


def name_of(function: Callable[..., object]) -> str:
    """The name of a function, for messages. Never its text: a partial one shows its arguments, which may be keys."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__qualname__", type(function).__qualname__))
