"""Fixtures of the tests under hard conditions."""

import pytest

from tests.loops import LOOPS, runner


@pytest.fixture(params=LOOPS)
def run(request):
    """Run an async function without arguments on each kind of event loop."""
    return runner(request.param)
