"""`.ci/soak` says what it did, on programs that stand in for Python, pip and a change of user."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent

_PROGRAMS = {
    "python3": 'mkdir -p "$3/bin"; cp "$STUBS/pip" "$3/bin/pip"; cp "$STUBS/tests" "$3/bin/python"',
    "pip": "exit 0",
    "tests": 'if [ -e gone ]; then exit 2; fi; echo "1 $TESTS"; [ "$TESTS" = passed ]',
    "setpriv": "exit 1",
    "id": 'if [ "$1" = -u ]; then echo 0; else echo root; fi',
}


@pytest.fixture
def soak(tmp_path: Path):
    """Run it in a tree of its own, in which a tracked file was deleted, as root whom nobody may not follow."""
    if not (TOP / ".ci").exists():
        pytest.skip(".ci is not part of this copy of the project")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    tree, programs = tmp_path / "tree", tmp_path / "programs"
    (tree / ".ci").mkdir(parents=True)
    programs.mkdir()
    shutil.copy(TOP / ".ci" / "soak", tree / ".ci")
    for name, body in _PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    for name in ("gone", "with space"):
        (tree / name).write_text("")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tree, check=True)
    (tree / "gone").unlink()

    def run(rounds: int, tests: str) -> tuple[int, str]:
        environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "STUBS": str(programs)}
        done = subprocess.run(
            [tree / ".ci" / "soak", str(rounds)],
            env=environment | {"TESTS": tests},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.splitlines()[-1]

    return run


def test_rounds_that_were_left_out_are_told_at_the_end(soak) -> None:
    """A deleted file stops nothing; every second round is left out, and the last line says so."""
    assert soak(4, "passed") == (0, "2 of 4 rounds passed, 0 failed, 2 left out")


def test_failures_and_nothing_at_all_are_no_success(soak) -> None:
    """One failed round is enough to fail, and so is none at all."""
    assert soak(3, "failed") == (1, "0 of 3 rounds passed, 2 failed, 1 left out")
    assert soak(0, "passed") == (1, "0 of 0 rounds passed, 0 failed, 0 left out")
