"""Cancelled long work: what it leaves, and how soon small work is answered after it.

    python -m tests.adversity.cancelled_work [calls]

On each kind of event loop, many derivations of 2^31 - 1 rounds (a quarter of an hour each) are begun and
cancelled, once before and once after their processes run; then a small call that needs a worker thread is timed, and
threads, processes and sessions that are left are counted.
"""

import functools
import os
import sys
import time
from contextlib import suppress
from typing import NamedTuple

import anyio

import huks_async as huks
from tests import loops
from tests.adversity import support

ROUNDS = 2**31 - 1
SMALL = 100_000  # rounds: some 20 ms in a worker thread


class Left(NamedTuple):
    """What is there after the work was cancelled."""

    seconds: float
    """Until the small call was answered."""
    threads: list[str]
    """Threads of the library, beyond its pool of workers."""
    processes: set[int]
    sessions: int
    running: int


def children() -> set[int]:
    """Processes that this one started and that are not waited for, zombies included."""
    found = set()
    for task in os.listdir("/proc/self/task"):
        # a thread may have ended since the folder was listed
        with suppress(FileNotFoundError), open(f"/proc/self/task/{task}/children") as listed:
            found |= {int(word) for word in listed.read().split()}
    return found


async def derive(keystore: huks.Keystore, rounds: int) -> bytes:
    """One derivation by a session block."""
    async with keystore.session("base", support.derive(rounds)) as session:
        await session.update(b"")
        return await session.finish()


async def cancelled(calls: int, *, running: bool) -> Left:
    """Begin so many long derivations, cancel them, and see what is left."""
    before = children()
    async with huks.Keystore.open(store="memory:") as keystore:
        await keystore.generateKeyItem("base", support.BASE_KEY)
        async with anyio.create_task_group() as tasks:
            for _ in range(calls):
                tasks.start_soon(derive, keystore, ROUNDS)
            while keystore.statistics().processes + keystore.statistics().processes_waited_for < calls:
                await anyio.sleep(0.001)
            if running:
                await anyio.sleep(0.5)
            tasks.cancel_scope.cancel()
        began = time.perf_counter()
        await derive(keystore, SMALL)
        seconds = time.perf_counter() - began
        now = keystore.statistics()
        # a thread that had a process, or belonged to an earlier keystore, ends a moment after its last work
        support.wait_until(
            lambda: len(support.threads()) <= (os.cpu_count() or 1), "the end of other threads"
        )
        left = children() - before
    support.wait_until(lambda: not support.threads(), "the end of the workers")
    return Left(seconds, support.threads(), left, now.open, now.processes + now.processes_waited_for)


def main(calls: int) -> int:
    """Print what each kind of loop leaves; 1 where it is too much."""
    wrong = 0
    for parameters in loops.LOOPS:
        run = loops.runner(parameters.values[0])
        for running in (False, True):
            left = run(functools.partial(cancelled, calls, running=running))
            when = "while they run" if running else "while they start"
            print(
                f"{parameters.id}: {calls} derivations of {ROUNDS:,} rounds cancelled {when}; small call answered "
                f"in {left.seconds:.3f} s; left: {len(left.threads)} threads, {len(left.processes)} processes, "
                f"{left.sessions} sessions"
            )
            wrong |= left.seconds > 1 or bool(left.threads or left.processes or left.sessions or left.running)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 64))
