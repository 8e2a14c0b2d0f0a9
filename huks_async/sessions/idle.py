"""The idle limit: sessions that have not been used for too long end, whether memory is short or not."""

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel

from huks_async.sessions.table import IDLE, SessionTable

_BATCH = 250
_EARLIEST = 0.001


async def end_idle_sessions(
    table: SessionTable, max_idle: float, *, sleep: Callable[[float], Awaitable[None]] = anyio.sleep
) -> None:
    """End sessions of `table` that idle for longer than `max_idle` seconds, until cancelled.

    Sleeps until the session that was used longest ago may be due. Sessions that are opened or used in the
    meantime are due later than that, so nothing needs to end the sleep early.
    """
    while True:
        while table.purge_stale(_BATCH, max_idle, IDLE) == _BATCH:
            await anyio.lowlevel.checkpoint()
        await sleep(max(table.next_idle_end(), 0) + _EARLIEST)
