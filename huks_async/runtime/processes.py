"""A process for calls that hold the interpreter's lock, where no thread can keep the event loop free."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, cast

import anyio
import anyio.lowlevel

from huks_async.model.errors import BusinessError

T = TypeVar("T")
Args = TypeVarTuple("Args")

# An interpreter of its own that runs nothing of the caller's program: not a fork, which would copy threads'
# locks, and not a worker of multiprocessing or anyio, which runs the program's main module once more.
_SERVE = """
import os, pickle, sys
request, answer = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
sys.path[:] = pickle.load(request)
call, function, args = pickle.load(request)
with answer:
    pickle.dump(call(function, args), answer)
"""

_limiter: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("huks_async processes")


async def run_in_process(function: Callable[[*Args], T], *args: *Args) -> T:
    """Call `function(*args)` in a process of its own and give its result, or raise its exception.

    Function, arguments and result are pickled: the function must be importable. A process lives for one
    call; starting it takes some 0.1 s. No more run at once than there are processors. When this await is
    cancelled, the process is killed and the await ends at once.

    Raises:
        BusinessError: 12000005 when the process could not be started or died.

    """
    request = pickle.dumps(sys.path) + pickle.dumps((_call, function, args))
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(os.cpu_count() or 1)
        _limiter.set(limiter)
    try:
        async with limiter:
            answer = await _ask(request)
        value, error = pickle.loads(answer)  # noqa: S301 - from the process that was just started
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, EOFError) as broken:
        name = getattr(function, "__qualname__", repr(function))
        raise BusinessError(
            12000005,
            f"the worker process for {name} could not be started or ended before it answered ({broken!r}); "
            "try again, and look for the system's out-of-memory killer and for limits on processes",
        ) from broken
    if error is not None:
        raise error
    return cast("T", value)


async def _ask(request: bytes) -> bytes:
    process = await anyio.open_process(
        [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None
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
