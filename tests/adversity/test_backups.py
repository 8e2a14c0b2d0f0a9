"""A short form of `python -m tests.adversity.backups`."""

import subprocess
import sys

import pytest


@pytest.mark.timeout(1200)  # on a slow machine; what hangs is noticed in the program
@pytest.mark.skipif(sys.platform != "linux", reason="the file locks and the kill are POSIX's")
def test_backups_beside_writers_are_whole_or_not_there():
    """Half of them killed at random moments; the program ends with 0 when nothing was lost or half."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.adversity.backups", "8"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("8 backups under 4 writers, 4 killed")
