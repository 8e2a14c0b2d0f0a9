"""The summary of the published cases, at the end of a run."""

import pickle
from collections.abc import Callable

import pytest

from huks_async.runtime.process_pool import ProcessPool
from tests.vectors.tally import TALLIES, table


@pytest.fixture(autouse=True)
def _checks_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks of keys run in this process: to start one for each of so many keys would take most of the time.

    What processes do for checks is tested in `tests/adversity/test_long_work.py`, for each algorithm.
    """

    async def run(
        self: ProcessPool, seconds: float, function: Callable[..., object], *args: object
    ) -> object:
        # as it comes out of a process
        return pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(args)))))

    monkeypatch.setattr(ProcessPool, "run", run)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what ran, which way, and every reason why a case did not."""
    if TALLIES:
        terminalreporter.section("published test vectors")
        for line in table():
            terminalreporter.write_line(line)
