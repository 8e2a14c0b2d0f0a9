"""The plugin that runs tests which draw at random again and again."""

import subprocess
import sys
from pathlib import Path

import pytest

_DRAWS = """
import random
import pytest

@pytest.fixture
def drawn():
    yield random.random()
    print("torn down")

def test_short(drawn):
    print(f"drawn {drawn}")

def test_other():
    print("other")

def test_long():
    print("long")
"""
# no clock decides which tests are short
_DURATIONS = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    report.duration = 1.0 if "long" in report.nodeid else 0.001
"""
_DOES_NOT = """
def test_still():
    print("still")
"""


def _run(folder: Path, *arguments: str) -> str:
    (folder / "test_draws.py").write_text(_DRAWS)
    (folder / "test_does_not.py").write_text(_DOES_NOT)
    (folder / "conftest.py").write_text(_DURATIONS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    project = Path(__file__).parents[1]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-s",
        "-p",
        "tests.drawing",
        "-p",
        "no:cacheprovider",
        *arguments,
    ]
    done = subprocess.run(
        [*command, str(folder)], cwd=folder, env={"PYTHONPATH": str(project)}, capture_output=True, text=True
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


def test_what_draws_is_kept_and_run_once(tmp_path: Path) -> None:
    output = _run(tmp_path)
    assert (output.count("drawn "), output.count("long"), output.count("still")) == (1, 1, 0)


@pytest.mark.parametrize(("arguments", "long"), [((), 4), (("--drawing-limit", "0.25"), 1)])
def test_it_is_run_again_with_other_draws(tmp_path: Path, arguments: tuple[str, ...], long: int) -> None:
    output = _run(tmp_path, "--drawings", "4", *arguments)
    assert len({line.split("drawn ")[1].split()[0] for line in output.splitlines() if "drawn " in line}) == 4
    assert (output.count("torn down"), output.count("other"), output.count("long")) == (4, 4, long)


def test_a_failure_in_a_later_run_is_reported(tmp_path: Path) -> None:
    (tmp_path / "test_third.py").write_text(
        "import random\nruns = []\ndef test_third():\n    runs.append(random.random())\n    assert len(runs) != 3\n"
    )
    assert "FAILED test_third.py::test_third" in _run(tmp_path, "--drawings", "4", "-rf")
