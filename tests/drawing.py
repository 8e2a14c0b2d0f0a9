"""Keeps only the tests that draw at random, to run them often: `pytest -p tests.drawing`, `.ci/soak 300 -p tests.drawing`."""

import functools
import re
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the others."""
    chosen = [item for item in items if draws(item.path)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen
