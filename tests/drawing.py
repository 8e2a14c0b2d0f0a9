"""Keeps only the tests that draw at random, to run them often.

`pytest -p tests.drawing` runs each once. `--drawings 30` runs them thirty times in one process, which saves the
collecting; with `--drawing-limit 0.05` only those are repeated that took less than 0.05 s the first time. So
`.ci/soak 10 -p tests.drawing --drawings 30 --drawing-limit 0.05` runs the short ones 300 times.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

_DRAWS = re.compile(
    r"random\.(random|choice|randrange|randint|sample|shuffle|getrandbits|randbytes)|Random\(\)|urandom|token_bytes"
    r"|generate|genpkey|genkey|key_samples|hypothesis"
)


@functools.cache
def draws(file: Path) -> bool:
    """Whether tests of a file get other values in each run: from Hypothesis, new keys, or without a fixed seed.

    The whole file counts, because it may draw in a fixture, or when it is imported.
    """
    return _DRAWS.search(file.read_text(encoding="utf-8")) is not None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say how often tests are run."""
    parser.addoption("--drawings", type=int, default=1, help="how often each test that draws is run")
    parser.addoption("--drawing-limit", type=float, help="seconds above which a test is run once")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the others."""
    chosen = [item for item in items if draws(item.path)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def pytest_configure(config: pytest.Config) -> None:
    """Run tests repeatedly, if that is wished."""
    if config.getoption("drawings") > 1:
        config.pluginmanager.register(
            _Repeated(config.getoption("drawings"), config.getoption("drawing_limit"))
        )


class _Repeated:
    def __init__(self, times: int, limit: float | None) -> None:
        self._times = times
        self._limit = limit
        self._seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        _run(session, session.items)
        limit = self._limit
        again = [item for item in session.items if limit is None or self._seconds[item.nodeid] < limit]
        # Between two runs of one test there must be another: what stays set up for the next test would be kept.
        if len(again) > 1:
            for _ in range(1, self._times):
                _run(session, again)
        return True


def _run(session: pytest.Session, items: Sequence[pytest.Item]) -> None:
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
