"""Where each microsecond of init + finish goes: `python -m benchmarks.profile [KEY]`.

Times without a profiler the parts of a call that can be called alone, then shows cProfile's list of functions
(which makes small functions look dearer than they are). `--flame FILE.svg` records with py-spy
instead, which does not disturb, where it is installed and allowed.
"""

import argparse
import asyncio
import cProfile
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

from benchmarks import ours
from benchmarks.measuring import Settings

Run = Callable[[int], Awaitable[None]]

_DATA = bytes(64)


async def _with_keystore(key: str, use: Callable[[Run], Awaitable[None]]) -> None:
    settings = Settings(quick=False, rounds=0, slice_seconds=0, folder=tempfile.gettempdir())
    async with ours.open_keystore(settings, key) as keystore:
        run = ours.init_and_finish(keystore, key, _DATA)
        await run(1000)
        await use(run)


async def steps(key: str, times: int) -> None:
    """Print the µs of each call of the API, without a profiler; init and finish are those of a session without update."""
    settings = Settings(quick=False, rounds=0, slice_seconds=0, folder=tempfile.gettempdir())
    async with ours.open_keystore(settings, key) as keystore:
        begin, end = ours.SESSIONS[key], ours.options({}, _DATA)
        await ours.init_and_finish(keystore, key, _DATA)(1000)
        spent = dict.fromkeys(("initSession", "finishSession", "the clock itself", "updateSession"), 0.0)
        clock = time.perf_counter
        for _ in range(times):
            start = clock()
            session = await keystore.initSession(key, begin)
            opened = clock()
            await keystore.finishSession(session.handle, end)
            finished = clock()
            spent["initSession"] += opened - start
            spent["finishSession"] += finished - opened
            spent["the clock itself"] += clock() - finished
        # sessions of their own: a finish after an update costs something else than one with all the data
        for _ in range(times):
            session = await keystore.initSession(key, begin)
            opened = clock()
            await keystore.updateSession(session.handle, end)
            spent["updateSession"] += clock() - opened
            await keystore.finishSession(session.handle, end)
    for name, seconds in spent.items():
        print(f"{seconds / times * 1e6:8.2f} µs  {name}")


async def functions(key: str, times: int, lines: int) -> None:
    """Print cProfile's list, times for one init + finish."""

    async def use(run: Run) -> None:
        profile = cProfile.Profile()
        profile.enable()
        await run(times)
        profile.disable()
        rows = []
        for (file, line, name), (_, calls, own, total, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
            where = f"{'/'.join(file.split('/')[-2:])}:{line} " if line else ""
            rows.append((own / times * 1e6, total / times * 1e6, calls / times, where + name))
        rows.sort(reverse=True)
        print("\n  own µs  total µs  calls  function (under cProfile)")
        for own, total, calls, what in rows[:lines]:
            print(f"{own:8.2f} {total:9.2f} {calls:6.1f}  {what}")

    await _with_keystore(key, use)


async def _loop_for(key: str, seconds: float) -> None:
    """Init and finish for some seconds; what py-spy looks at."""

    async def use(run: Run) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await run(1000)

    await _with_keystore(key, use)


def flame(key: str, file: str, seconds: float) -> int:
    """Let py-spy sample a process that does nothing else."""
    sampler = shutil.which("py-spy")
    if sampler is None:
        print("py-spy is not installed (extra: bench)", file=sys.stderr)
        return 1
    command = [sampler, "record", "--rate", "1000", "--format", "flamegraph", "-o", file, "--"]
    looping = [sys.executable, "-m", "benchmarks.profile", key, "--loop", str(seconds)]
    return subprocess.run([*command, *looping], check=False).returncode


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("key", nargs="?", default="gcm", choices=sorted(ours.KEYS))
    parser.add_argument("--times", type=int, default=20_000, help="operations to look at")
    parser.add_argument("--lines", type=int, default=30, help="functions to show")
    parser.add_argument("--flame", metavar="FILE.svg", help="sample with py-spy and draw a flame graph")
    parser.add_argument("--loop", type=float, metavar="SECONDS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        asyncio.run(_loop_for(arguments.key, arguments.loop))
        return 0
    if arguments.flame:
        return flame(arguments.key, arguments.flame, 5.0)
    asyncio.run(steps(arguments.key, arguments.times))
    asyncio.run(functions(arguments.key, arguments.times, arguments.lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
