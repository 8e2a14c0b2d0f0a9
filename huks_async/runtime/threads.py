"""Work in a thread that nobody keeps."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import anyio.to_thread

from huks_async.model.errors import BusinessError

T = TypeVar("T")
Args = TypeVarTuple("Args")


async def run_in_thread(work: Callable[[*Args], T], *args: *Args, abandon_on_cancel: bool = False) -> T:
    """Run work in one of anyio's threads.

    Args:
        work: what is done.
        args: what it is given.
        abandon_on_cancel: whether a cancelled caller leaves it to itself.

    Raises:
        BusinessError: 12000014 if the system gives no thread.

    """
    began = False

    def working(*given: *Args) -> T:
        nonlocal began
        began = True
        return work(*given)

    try:
        return await anyio.to_thread.run_sync(working, *args, abandon_on_cancel=abandon_on_cancel)
    except RuntimeError as error:
        if began or "thread" not in str(error):
            raise
        raise BusinessError(
            12000014, f"the system gives no thread ({error}); raise its limit of threads"
        ) from None
