"""Runs tests with threads that are late at random, to find those that count on an order: `pytest -p tests.shaken`.

A slow or busy machine does the same, but once in many runs. `.ci/soak 20 -p tests.shaken` runs all tests so.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from huks_async.runtime.jobs import Home, Job

_SEED = int(os.environ.get("HUKS_SHAKE_SEED", random.SystemRandom().randrange(2**32)))
_INTERVALS = (1e-6, 1e-4, 0.005, 0.05)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the seed, with which a failure can be looked for again."""
    terminalreporter.write_line(f"shaken: HUKS_SHAKE_SEED={_SEED}")


@pytest.fixture(autouse=True)
def shaken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make worker threads late before and after their work, and change how long a thread keeps the interpreter."""
    drawn = random.Random(f"{_SEED} {request.node.nodeid}")
    take, hand_in, before = Job.take, Home.hand_in, sys.getswitchinterval()
    often = drawn.choice((0.1, 0.5))

    def wait_at_times() -> None:
        if drawn.random() < often and threading.current_thread() is not threading.main_thread():
            time.sleep(drawn.choice((0, 0.0005, 0.005)))

    def take_late(job: Job[object]) -> bool:
        wait_at_times()
        return take(job)

    def hand_in_late(home: Home, *jobs: Job[object]) -> None:
        wait_at_times()
        hand_in(home, *jobs)

    monkeypatch.setattr(Job, "take", take_late)
    monkeypatch.setattr(Home, "hand_in", hand_in_late)
    sys.setswitchinterval(drawn.choice(_INTERVALS))
    yield
    sys.setswitchinterval(before)
