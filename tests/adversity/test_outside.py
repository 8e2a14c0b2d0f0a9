"""One machine as it is: short forms of the scripts that try a store from outside, each as a program of its own.

They are programs because they fork, and because they may not have had a store open before. Each starts dozens of
processes, so that a machine that is slow or has much else to do takes minutes for some; what hangs in one of them is
noticed there, after `acknowledged.PATIENCE`.
"""

import subprocess
import sys

import pytest

from tests.adversity import forks, power_cuts, small_disks, store_files

PATIENCE = 1800

pytestmark = pytest.mark.timeout(PATIENCE + 60)


def run(name: str, *arguments: object) -> str:
    """Run a script and give its line of figures; it ends with 0 where all its targets are met."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.adversity.{name}", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-5000:]}"
    return done.stdout


def test_a_fork_loses_no_key_and_hangs_nowhere():
    """Each pattern of forks once: who has acknowledged, parent or child, has kept."""
    figures = run("forks", 1)
    assert f"{sum(not forks.missing(pattern) for pattern in forks.PATTERNS)} patterns of forks" in figures
    skipped = [pattern for pattern in forks.PATTERNS if forks.missing(pattern)]
    if skipped:
        pytest.skip(f"all but {', '.join(skipped)}: {forks.missing(skipped[0])}")


def test_what_was_acknowledged_survives_power_cuts():
    """Cuts on a file system that forgets what was not synced: stores, root keys, results of the command."""
    if reason := power_cuts.missing():
        pytest.skip(f"power cuts: {reason}")
    assert "12 power cuts" in run("power_cuts", 12)


def test_a_store_begun_on_a_nearly_full_disk_is_usable_once_there_is_space():
    """Sizes from 8 to 256 KiB, closed and killed."""
    if reason := small_disks.missing():
        pytest.skip(f"nearly full disks: {reason}")
    assert "nearly full disks" in run("small_disks", 24)


def test_commits_beside_checkpoints_lose_nothing():
    """Four processes write beside two that only open and close."""
    assert "integrity_check ok" in run("checkpoints", 3)


def test_a_writer_that_is_stopped_costs_the_others_their_wait_and_no_more():
    """12000004 after the wait that was set; when it goes on, all goes on."""
    assert "hangs 0" in run("stopped", 3)


def test_what_many_processes_begin_at_once_is_one_thing():
    """A store, its root key, its first PIN: who is not first finds it, or is refused by name."""
    assert "wrongly refused 0" in run("beginnings", 1)


def test_clones_of_a_process_make_nothing_equal():
    """Keys, seals and handles of clones that nobody in Python was told of."""
    assert "20 clones, 0 of them failed" in run("clones", 20)


def test_backups_under_writers_are_whole_or_not_there():
    """Made by the call and by the command, every second one killed."""
    assert "6 backups under 4 writers, 3 killed" in run("backups", 6)


def test_files_under_operators_lose_nothing_and_give_no_older_key():
    """Each kind of event once: files read, copied, moved, removed and replaced under four writers that come and go."""
    figures = run("store_files", len(store_files.EVENTS))
    assert f"events {len(store_files.EVENTS)}, " in figures
