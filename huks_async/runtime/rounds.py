"""Letting the event loop go round."""

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import anyio.lowlevel


def on_asyncio() -> bool:
    """Whether the running event loop is asyncio's, or one with its interface."""
    return anyio.get_cancelled_exc_class().__module__.startswith("asyncio")


def next_round() -> Callable[[], Awaitable[object]]:
    """The cheapest way for a task of the running loop to wait until all others had their turn once.

    A task that is cancelled meanwhile hears of it there.
    """
    if on_asyncio():
        import asyncio

        # half the price of anyio's checkpoint, which looks for cancel scopes itself
        return partial(asyncio.sleep, 0)
    return anyio.lowlevel.checkpoint
