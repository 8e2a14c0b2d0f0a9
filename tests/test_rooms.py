"""`.ci/check` runs the tests that hold what was changed."""

import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    not (TOP / ".ci").exists(), reason=".ci is not part of this copy of the project"
)


def rooms(*names: str) -> list[str]:
    """What `.ci/rooms` prints for these files."""
    done = subprocess.run(
        [TOP / ".ci" / "rooms"], input="\n".join([*names, ""]), capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("huks_async/sessions/table.py", ["tests/sessions"]),
        ("huks_async/testing/authenticators.py", ["tests/access"]),
        ("huks_async/interchange.py", ["tests/interchange"]),
        ("huks_async/legacy.py", ["tests/keystore"]),
        ("huks_async/gone/module.py", ["tests/conformance"]),
        ("huks_command.py", ["tests/cli"]),
        ("tests/keys/forms/test_convert.py", ["tests/keys"]),
        ("tests/test_readme.py", ["tests/test_readme.py"]),
        ("tests/conftest.py", ["tests/test_blocking_guard.py"]),
        ("tests/blocking_guard.py", ["tests/test_blocking_guard.py"]),
        ("tests/drawing.py", ["tests/test_drawing.py"]),
        ("tests/disks.py", ["tests/adversity", "tests/cli"]),
        ("benchmarks/metrics/keys.py", ["tests/benchmarks"]),
        ("examples/passkey/server.py", ["tests/examples"]),
        ("docs/backup.md", ["tests/test_backup_page.py", "tests/test_readme.py"]),
        ("docs/interoperability.md", ["tests/interchange", "tests/test_readme.py"]),
        ("README.md", ["tests/test_readme.py"]),
        ("constraints.txt", ["tests/test_readme.py"]),
        (".ci/run", ["tests/test_readme.py", "tests/test_rooms.py"]),
        ("pyproject.toml", ["tests/keystore", "tests/test_readme.py"]),
        ("LICENSE", []),
    ],
)
def test_a_change_has_the_tests_that_hold_it(name: str, expected: list[str]) -> None:
    """A room's own tests; what has no room is held by those that use or read it."""
    assert rooms(name) == expected


def test_every_module_is_held_by_tests_that_are_there() -> None:
    """Each file of Python in the tree leads to tests, but the plugin of the soak, which has none."""
    names = [
        str(path.relative_to(TOP))
        for folder in ("huks_async", "benchmarks", "examples", "docs", "tests")
        for path in (TOP / folder).rglob("*.py")
    ]
    assert len(names) > 300
    for room in rooms(*names):
        found = TOP / room
        assert found.is_file() or list(found.rglob("test_*.py")), room
    assert [name for name in names if name.count("/") == 1 and not rooms(name)] == [
        "tests/__init__.py",
        "tests/shaken.py",
    ]
