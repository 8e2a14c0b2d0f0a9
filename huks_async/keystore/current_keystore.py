"""The current keystore: the innermost open one of a context, else the default one of the event loop."""

import anyio
import anyio.lowlevel

from huks_async.keystore.keystore import Keystore, open_keystores


class _Default:
    """The default keystore of one event loop, opened at its first use, closed with the loop."""

    def __init__(self) -> None:
        self.keystore = Keystore.open()
        self.keystore.close_with_loop()
        self.lock = anyio.Lock()

    async def open(self) -> None:
        async with self.lock:
            if not self.keystore.is_open:
                await self.keystore.aopen()


_default: anyio.lowlevel.RunVar[_Default] = anyio.lowlevel.RunVar("huks_async default keystore")


def open_current_keystore() -> Keystore | None:
    """The keystore that `current_keystore` would give, if it is open; for functions that do not wait."""
    for keystore in reversed(open_keystores.get()):
        if keystore.is_open or keystore.was_forked:
            return keystore
    default = _default.get(None)
    return default.keystore if default is not None and default.keystore.is_open else None


async def current_keystore() -> Keystore:
    """Give the innermost open keystore of this context, else the default one of this event loop.

    Each event loop has a default keystore of its own, on the same store. It is opened at its first use,
    and closed with the loop.

    Raises:
        BusinessError: 12000012 in a child process whose context has a keystore that was opened before the fork.
            The default one would be a wrong substitute, because its store has other keys.
    """
    for keystore in reversed(open_keystores.get()):
        if keystore.is_open or keystore.was_forked:
            return keystore
    try:
        default = _default.get()
    except LookupError:
        default = _Default()
        _default.set(default)
    if not default.keystore.is_open:
        await default.open()
    return default.keystore
