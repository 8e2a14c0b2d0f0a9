"""The current keystore: the innermost open one of a context, else the default one of the event loop."""

import anyio
import anyio.lowlevel

from huks_async.keystore.keystore import Keystore, open_keystores
from huks_async.runtime.background import Background


class _Default:
    """The default keystore of one event loop, opened at its first use, closed with the loop."""

    def __init__(self) -> None:
        self.keystore = Keystore.open()
        self.lock = anyio.Lock()
        self._keeper = Background()

    async def open(self) -> None:
        async with self.lock:
            if not self.keystore.is_open:
                await self.keystore.aopen()
                self._keeper.start(self._keep)

    async def _keep(self) -> None:
        # asyncio.run and trio.run cancel what is left in the background, and wait for its end
        try:
            await anyio.sleep_forever()
        finally:
            await self.keystore.aclose()


_default: anyio.lowlevel.RunVar[_Default] = anyio.lowlevel.RunVar("huks_async default keystore")


async def current_keystore() -> Keystore:
    """Give the innermost open keystore of this context, else the default one of this event loop."""
    for keystore in reversed(open_keystores.get()):
        if keystore.is_open:
            return keystore
    try:
        default = _default.get()
    except LookupError:
        default = _Default()
        _default.set(default)
    if not default.keystore.is_open:
        await default.open()
    return default.keystore
