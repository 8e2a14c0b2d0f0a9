"""A folder whose files are on a disk: where the folder for temporary files is memory, some tests need another."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}
_PROJECT = Path(__file__).parents[1]


def file_system(folder: Path) -> str | None:
    """The kind of file system of a folder, as the kernel calls it; None where it does not tell."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            if before.split()[2] == number:
                return after.split()[0]
    return None


@contextmanager
def on_a_disk(scratch: Path) -> Iterator[Path]:
    """Give a folder on a disk: `scratch` itself, or a new one that is removed afterwards. Skip where there is none."""
    if file_system(scratch) not in _IN_MEMORY:
        yield scratch
        return
    for place in (_PROJECT, Path("/var/tmp")):
        if place.is_dir() and os.access(place, os.W_OK) and file_system(place) not in _IN_MEMORY:
            with tempfile.TemporaryDirectory(prefix=".test-", dir=place) as folder:
                yield Path(folder)
            return
    pytest.skip("temporary files, the project and /var/tmp are all in memory; this test needs a disk")
