"""Letting the event loop run its other tasks once."""

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import anyio.lowlevel


def on_asyncio() -> bool:
    """Whether the running event loop is asyncio's, or one with its interface."""
    return anyio.get_cancelled_exc_class().__module__.startswith("asyncio")


def next_round() -> Callable[[], Awaitable[object]]:
    """Return the cheapest way for a task of the running loop to let every other task run once.

    If the task is cancelled meanwhile, the cancellation is raised there.
    """
    if on_asyncio():
        import asyncio

        # half the cost of anyio's checkpoint, which also looks for cancel scopes
        return partial(asyncio.sleep, 0)
    return anyio.lowlevel.checkpoint
