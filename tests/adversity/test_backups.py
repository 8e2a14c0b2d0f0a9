"""A short form of `python -m tests.adversity.backups`."""

import sys

import pytest

from tests.adversity import backups


@pytest.mark.skipif(sys.platform != "linux", reason="the file locks and the kill are POSIX's")
def test_backups_beside_writers_are_whole_or_not_there():
    """Half of them killed at random moments."""
    outcomes = backups.main(8, seed=1)
    assert outcomes["whole"] >= 4
    assert outcomes["whole"] + outcomes["killed, none"] + outcomes["killed, whole"] == 8
