"""Keeps only the tests that draw at random, to run them often: `pytest -p tests.drawing`, `.ci/soak 300 -p tests.drawing`."""

import inspect
import re

import pytest

_DRAWS = re.compile(
    r"random\.(random|choice|randrange|randint|sample|shuffle|getrandbits|randbytes)|Random\(\)|urandom|token_bytes"
)


def draws(item: pytest.Item) -> bool:
    """Whether a test gets other values in each run: from Hypothesis, a state machine, or without a fixed seed."""
    function = getattr(item, "function", None)
    if function is None or getattr(function, "is_hypothesis_test", False):
        return True
    machine = getattr(item, "cls", None)
    if machine is not None and hasattr(machine, "settings"):
        return True
    return _DRAWS.search(inspect.getsource(inspect.unwrap(function))) is not None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the others."""
    chosen = [item for item in items if draws(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen
