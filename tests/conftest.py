"""What Hypothesis draws, which threads a test answers for, and the switch `--blockbuster`."""

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import threads

# A run of the suite speaks of the change it was run for: each draws the same examples, and no test fails because a
# machine is slow. New examples are looked for by `.ci/soak`, which chooses the other profile.
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("new", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")

# A service manager that turns the watching off for what it runs, or names a file of its own for it, means no test.
os.environ.pop("MEMORY_PRESSURE_WATCH", None)
os.environ.pop("MEMORY_PRESSURE_WRITE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch."""
    parser.addoption(
        "--blockbuster",
        action="store_true",
        help="fail each test in which a call of huks_async blocks an event loop (needs blockbuster)",
    )


@pytest.fixture(scope="session")
def _loops_are_guarded(request: pytest.FixtureRequest) -> Iterator[list[str] | None]:
    if not request.config.getoption("--blockbuster"):
        yield None
        return
    from tests import blocking_guard

    with blocking_guard.guard() as found:
        yield found


@pytest.fixture(autouse=True)
def _own_threads() -> None:
    threads.disregard_earlier()


@pytest.fixture(autouse=True)
def _no_blocking_call(_loops_are_guarded: list[str] | None) -> Iterator[None]:
    if _loops_are_guarded is None:
        yield
        return
    _loops_are_guarded.clear()
    yield
    if _loops_are_guarded:
        pytest.fail("\n".join(["blocking calls on an event loop:", *_loops_are_guarded]))


def pytest_collection_finish() -> None:
    """Look no more at what collecting made.

    The objects of some ten thousand tests live until the end. Each full collection would go through them, and many
    tests ask for some.
    """
    gc.collect()
    gc.freeze()
