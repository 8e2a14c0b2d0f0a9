"""The recipes of docs/interoperability.md: every command of the page runs, with the peers that are installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "interoperability.md").read_text()
FILES = {
    name: body
    for body, name in re.findall(
        r"^```(?:python|java|js)\n((?:#|//) (\S+)\n.*?)^```", PAGE, re.MULTILINE | re.DOTALL
    )
}
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def test_the_page_was_read() -> None:
    """All blocks are files or commands, and every file is used."""
    assert len(FILES) == 12
    assert len(COMMANDS) == 12
    assert PAGE.count("\n```") == 2 * (len(FILES) + 4)
    for name in FILES.keys() - {"recipes.py"}:
        assert any(f" {name}" in command for command in COMMANDS), name


@pytest.mark.parametrize("command", COMMANDS)
def test_a_recipe(command: str, tmp_path: Path) -> None:
    """It ends well in a new folder; peers that are not installed are named."""
    for program in ("java", "node", "openssl"):
        if f" {program} " in command and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    for name, body in FILES.items():
        (tmp_path / name).write_text(body)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HUKS_ASYNC_HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")])
        ),
    }
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    if done.returncode == 1 and "12000001" in done.stderr:
        pytest.skip("no library for SM2 is installed")
    assert done.returncode == 0, done.stderr
