"""A hundred thousand open sessions: their memory, the time to open and to purge them, and the loop meanwhile.

    python benchmarks/many_sessions.py [sessions] [aes-gcm|hmac] [asyncio|uvloop|trio] [default|rare]

`rare` lets the garbage collector look at all objects rarely: gc.set_threshold(2000, 10, 10_000). Sessions make
no cycles, so they are freed at once without it; a full collection with 100,000 of them open takes 0.1 s.

Half of the sessions become stale and are purged. A ticker on the same loop notes the longest time in which
it could not run. The cost of a purge that finds nothing stale is measured with few and with all sessions.
"""

import gc
import sys
import time
from typing import Any

import anyio
import anyio.lowlevel
from ticker import AES, ENCRYPT, HMAC, options

import huks_async as huks


class Clock:
    """Runs as the real one does, and can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Ticker:
    """Yields to the loop all the time; `longest` is the longest wait since the last reset."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.last = time.perf_counter()

    def reset(self) -> None:
        self.longest, self.last = 0.0, time.perf_counter()

    async def run(self) -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            now = time.perf_counter()
            self.longest = max(self.longest, now - self.last)
            self.last = now


def resident() -> int:
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def empty_purge(table: Any) -> float:
    """Microseconds of a purge that finds nothing."""
    began = time.perf_counter()
    for _ in range(10_000):
        table.purge_stale(500, 1e9, "purged")
    return (time.perf_counter() - began) / 10_000 * 1e6


async def measure(count: int, kind: str) -> None:
    clock, ticker = Clock(), Ticker()
    if kind == "hmac":
        key = session = options(*HMAC)
    else:
        key, session = options(*AES[:2], (huks.HuksTag.HUKS_TAG_PURPOSE, 3)), options(*AES, ENCRYPT)
    chunk = huks.HuksOptions([], bytes(64))

    async def open_some(number: int) -> None:
        for _ in range(number):
            handle = (await keystore.initSession("key", session)).handle
            await keystore.updateSession(handle, chunk)

    async with (
        huks.Keystore.open("memory:", monitor=False, clock=clock) as keystore,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(ticker.run)
        await keystore.generateKeyItem("key", key)
        await open_some(10)
        table = keystore._state.table  # type: ignore[union-attr]
        few = empty_purge(table)
        gc.collect()
        memory = resident()
        ticker.reset()
        began = time.perf_counter()
        await open_some(count // 2)
        clock.ahead += 61
        await open_some(count // 2)
        took, stall = time.perf_counter() - began, ticker.longest
        gc.collect()
        print(
            f"{kind}: {count} sessions opened and fed once in {took:.2f} s, "
            f"{(resident() - memory) / count:.0f} bytes each, longest stall {stall * 1e3:.1f} ms"
        )
        many = empty_purge(table)
        await anyio.lowlevel.checkpoint()
        ticker.reset()
        began = time.perf_counter()
        ended = await keystore.purge_stale_sessions()
        took = time.perf_counter() - began
        await anyio.lowlevel.checkpoint()
        print(
            f"{ended} stale sessions purged in {took * 1e3:.0f} ms, longest stall {ticker.longest * 1e3:.1f} ms; "
            f"memory now {(resident() - memory) / 1e6:.0f} MB above the start"
        )
        print(f"a purge that finds nothing: {few:.2f} µs with 10 sessions, {many:.2f} µs with {count}")
        ticker.reset()
        began = time.perf_counter()
        await keystore.aclose()
        print(f"closed with {len(table) or count - ended} open in {(time.perf_counter() - began) * 1e3:.0f} ms, "
              f"longest stall {max(ticker.longest, 0) * 1e3:.1f} ms")  # fmt: skip
        tasks.cancel_scope.cancel()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    kind = sys.argv[2] if len(sys.argv) > 2 else "aes-gcm"
    loop = sys.argv[3] if len(sys.argv) > 3 else "asyncio"
    backend, backend_options = ("asyncio", {"use_uvloop": True}) if loop == "uvloop" else (loop, {})
    if len(sys.argv) > 4 and sys.argv[4] == "rare":
        gc.set_threshold(2000, 10, 10_000)
    anyio.run(measure, count, kind, backend=backend, backend_options=backend_options)


if __name__ == "__main__":
    main()
