"""A process for calls that hold the interpreter's lock, where no thread can keep the event loop free."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, cast

from huks_async.model.errors import BusinessError

T = TypeVar("T")
Args = TypeVarTuple("Args")


async def run_in_process(function: Callable[[*Args], T], *args: *Args) -> T:
    """Call `function(*args)` in a worker process and give its result, or raise its exception.

    Function, arguments and result are pickled: the function must be importable. The first call
    starts the process (some 0.1 s), later ones use it again. When this await is cancelled, the
    process is killed and the await ends at once.

    Raises:
        BusinessError: 12000005 when the process could not be started or died.

    """
    import anyio.to_process  # late: few programs need it, and it loads much

    try:
        value, error = await anyio.to_process.run_sync(_call, function, args, cancellable=True)
    except (anyio.BrokenWorkerProcess, OSError) as broken:
        name = getattr(function, "__qualname__", repr(function))
        raise BusinessError(
            12000005,
            f"the worker process for {name} could not be started or ended before it answered ({broken!r}); "
            "try again, and look for the system's out-of-memory killer and for limits on processes",
        ) from broken
    if error is not None:
        raise error
    return cast("T", value)


def _call(function: Callable[..., T], args: tuple[object, ...]) -> tuple[T | None, Exception | None]:
    # what the function raises comes back as a value, to be told from what befell the process
    try:
        return function(*args), None
    except Exception as error:
        return None, error
