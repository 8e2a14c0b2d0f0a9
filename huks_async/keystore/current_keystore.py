"""The current keystore: the innermost one whose block a context is in, else the default one of the event loop."""

import inspect
from collections.abc import Mapping
from weakref import ref

import anyio
import anyio.lowlevel

from huks_async.keystore.keystore import Keystore, open_keystores
from huks_async.model.errors import BusinessError
from huks_async.runtime.closing import stop_if_abandoned


class _Default(Keystore):
    """The default keystore of one event loop, opened at its first use, closed with the loop."""

    opening: anyio.Lock

    async def open_once(self) -> None:
        async with self.opening:
            if not self.is_open:
                await self.aopen()


_default: anyio.lowlevel.RunVar["ref[_Default]"] = anyio.lowlevel.RunVar("huks_async default keystore")
"""Weak, because anyio keeps a loop's variables as long as the loop, which a keystore refers to. While it is open, its task
in the background keeps it alive."""


def _make_default() -> _Default:
    keystore = _Default.open()
    keystore.close_with_loop()
    keystore.opening = anyio.Lock()
    _default.set(ref(keystore))
    return keystore


def open_current_keystore() -> Keystore | None:
    """The keystore that `current_keystore` would give, if it is open; for functions that do not wait."""
    if named := open_keystores.get():
        return named[-1] if named[-1].is_open or named[-1].was_forked else None
    try:
        found = _default.get(None)
    except anyio.NoEventLoopError:
        return None
    default = found() if found else None
    return default if default is not None and default.is_open else None


async def current_keystore() -> Keystore:
    """Give the innermost keystore whose block this context is in, else the default one of this event loop.

    The former may be closed: for a task that has outlived the block it was begun in, or in a child process. Its
    functions then say why they cannot be used. Another keystore would be a wrong substitute, because its store has
    other keys.

    Each event loop has a default keystore of its own, on the same store. It is opened at its first use,
    and closed with the loop.

    Raises:
        BusinessError: 12000012 outside of an event loop; otherwise as `Keystore.open`.
    """
    if named := open_keystores.get():
        return named[-1]
    try:
        found = _default.get(None)
    except anyio.NoEventLoopError:
        raise BusinessError(
            12000012,
            "no event loop is running here. A process that was forked from within one has none: start processes by "
            "spawn or forkserver, or fork before the loop begins",
        ) from None
    default = (found() if found else None) or _make_default()
    if not default.is_open:
        stop_if_abandoned()
        await default.open_once()
    return default


def describe_as_methods(names: Mapping[str, object]) -> None:
    """Give the functions of a module the docstrings of the methods of `Keystore` that they call by the same name."""
    for name, function in names.items():
        method = getattr(Keystore, name, None)
        if method is not None and inspect.isfunction(function):
            function.__doc__ = method.__doc__
