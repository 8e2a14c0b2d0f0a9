"""Memory of purged sessions goes back to the system, not to the process's own reserve."""

import ctypes
import os
import subprocess
import sys

import pytest


def _has_malloc_trim() -> bool:
    try:
        return bool(ctypes.CDLL(None).malloc_trim)
    except (OSError, AttributeError):
        return False


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc/self/statm: not Linux")
@pytest.mark.skipif(not _has_malloc_trim(), reason="the C library has no malloc_trim: not glibc")
@pytest.mark.parametrize("state", ["idle", "fed"])
def test_a_purge_gives_most_memory_back(state, tmp_path) -> None:
    """What the table keeps of purged sessions must not hold on to the memory that they were in."""
    # in a process of its own, whose memory nothing else has used
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.holder", state, "60000", str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    _, share = map(float, process.stdout.split())
    assert share > 0.6
