"""Runs tests with threads and event loops that are late at random: `pytest -p tests.shaken`.

It finds those that count on an order, or on somebody else being not done yet.

A slow or busy machine does the same, but once in many runs. `.ci/soak 20 -p tests.shaken` runs all tests so.
"""

import asyncio
import os
import random
import sys
import threading
from collections.abc import Iterator
from time import sleep  # by this name it stays what it is when blocking calls are guarded
from typing import Any

import pytest
import trio

from huks_async.runtime.jobs import Home, Job

_SEED = int(os.environ.get("HUKS_SHAKE_SEED", random.SystemRandom().randrange(2**32)))
_INTERVALS = (1e-6, 1e-4, 0.005, 0.05)
_LOOPS_LATE = 3.0  # s in which the loops of one test do nothing, at most; tests may take 100,000 steps


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the seed, with which a failure can be looked for again."""
    terminalreporter.write_line(f"shaken: HUKS_SHAKE_SEED={_SEED}")


@pytest.fixture(autouse=True)
def shaken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make workers late before and after their work and loops before steps, and change how long a thread goes on."""
    drawn = random.Random(f"{_SEED} {request.node.nodeid}")
    take, hand_in, before = Job.take, Home.hand_in, sys.getswitchinterval()
    often = drawn.choice((0.1, 0.5))

    def wait_at_times() -> None:
        if drawn.random() < often and threading.current_thread() is not threading.main_thread():
            sleep(drawn.choice((0, 0.0005, 0.005)))

    def take_late(job: Job[object]) -> bool:
        wait_at_times()
        return take(job)

    def hand_in_late(home: Home, *jobs: Job[object]) -> None:
        wait_at_times()
        hand_in(home, *jobs)

    monkeypatch.setattr(Job, "take", take_late)
    monkeypatch.setattr(Home, "hand_in", hand_in_late)
    _make_loops_late(random.Random(f"{_SEED} loops {request.node.nodeid}"), monkeypatch)
    sys.setswitchinterval(drawn.choice(_INTERVALS))
    yield
    sys.setswitchinterval(before)


def _make_loops_late(drawn: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the loops of asyncio and trio wait before some of their steps; uvloop has no place for it."""
    often, left = drawn.choice((0, 0.01, 0.1)), _LOOPS_LATE
    step, run = asyncio.Handle._run, trio.run

    def wait_at_times() -> None:
        nonlocal left
        if drawn.random() < often and left > 0:
            late = drawn.choice((0.0005, 0.005, 0.05))
            left -= late
            sleep(late)

    def step_late(handle: asyncio.Handle) -> None:
        wait_at_times()
        step(handle)

    class LateSteps(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            wait_at_times()

    def run_late(*args: Any, instruments: Any = (), **others: Any) -> Any:
        return run(*args, instruments=(*instruments, LateSteps()), **others)

    monkeypatch.setattr(asyncio.Handle, "_run", step_late)
    monkeypatch.setattr(trio, "run", run_late)
