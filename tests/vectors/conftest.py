"""The summary of the published cases, at the end of a run."""

import pytest

from tests.vectors.tally import TALLIES, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what ran, which way, and every reason why a case did not."""
    if TALLIES:
        terminalreporter.section("published test vectors")
        for line in table():
            terminalreporter.write_line(line)
