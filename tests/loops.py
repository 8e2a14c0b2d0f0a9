"""The kinds of event loops that tests run on, each a parameter.

Apart from what tests share otherwise, since programs that a test starts need it without pytest, which takes as long to
import as the library.
"""

import asyncio
from typing import Any

import anyio
import pytest

LOOPS = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param(("trio", {}), id="trio"),
]


def runner(loop: tuple[str, dict[str, Any]]) -> Any:
    """Give a function that runs an async function without arguments on this kind of event loop."""
    backend, backend_options = loop
    if backend_options or backend == "trio":
        pytest.importorskip("uvloop" if backend_options else "trio")
    return lambda function: anyio.run(function, backend=backend, backend_options=backend_options)


async def swallow_a_cancellation() -> None:
    """Have the running task of asyncio cancelled, and go on as if it had not been."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return
    raise AssertionError("it was not cancelled")
