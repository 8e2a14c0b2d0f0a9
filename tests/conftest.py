"""What Hypothesis draws, which threads a test answers for, and the switch `--blockbuster`."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

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


LONG = (
    "adversity",
    "cli/test_access_command.py",
    "cli/test_documentation.py",
    "cli/test_interrupts.py",
    "cli/test_key_material_commands.py",
    "cli/test_outputs.py",
    "cli/test_outputs_by_descriptor.py",
    "cli/test_sealed_files_command.py",
    "cli/test_standard_streams.py",
    "examples",
    "interchange",
    "keys/forms/test_key_files.py",
    "keystore/test_ended_loops.py",
    "keystore/test_forks.py",
    "keystore/test_loading.py",
    "keystore/test_old_keys.py",
    "runtime/test_abandoned_tasks.py",
    "runtime/test_process_pool.py",
    "sessions/test_memory_returned.py",
    "stores/test_sqlite_creation.py",
    "stores/test_sqlite_files.py",
    "stores/test_sqlite_forks.py",
    "stores/test_sqlite_guards.py",
    "stores/test_sqlite_processes.py",
    "stores/test_sqlite_syncs.py",
    "test_backup_page.py",
)
"""Rooms and files whose tests are marked `long`. Together they take about as long as all others."""


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


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes long."""
    here = Path(__file__).parent
    long = {here / name for name in LONG}
    if gone := sorted(str(path) for path in long if not path.exists()):
        raise pytest.UsageError(f"LONG in {__file__} names what is not there: {', '.join(gone)}")
    for item in items:
        if not long.isdisjoint((item.path, *item.path.parents)):
            item.add_marker("long")


def pytest_collection_finish() -> None:
    """Look no more at what collecting made.

    The objects of some ten thousand tests live until the end. Each full collection would go through them, and many
    tests ask for some.
    """
    gc.collect()
    gc.freeze()
