"""The commands of docs/backup.md, one after the other, do what the page says."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

_KILLED = """
import asyncio, os
import huks_async
from tests.keystore.support import AES_CBC, options

async def main():
    async with huks_async.Keystore.open() as keystore:
        await keystore.generateKeyItem("late", options(**AES_CBC))
        os._exit(0)

asyncio.run(main())
"""

PAGE = Path(__file__).parent.parent / "docs" / "backup.md"


def test_the_commands_back_up_and_restore(tmp_path: Path) -> None:
    """Keys made before the backup are there again after the restore, one made later is in what was moved away.

    Each block is run in a shell of its own, which has nothing of what an earlier one has set.
    """
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    huks = bin_folder / "huks"
    huks.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m huks_async.cli "$@"\n')
    huks.chmod(0o755)
    data = tmp_path / "data"
    home = data / "huks_async"
    environment = {name: value for name, value in os.environ.items() if name != "HUKS_ASYNC_HOME"} | {
        # on macOS the data folder is not asked of the environment
        **({"HUKS_ASYNC_HOME": str(home)} if sys.platform == "darwin" else {"XDG_DATA_HOME": str(data)}),
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(PAGE.parent.parent),
    }

    def run(commands: str) -> str:
        done = subprocess.run(
            ["sh", "-euc", commands],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    once, often, look, restore, named_backup, named_restore, read_in = re.findall(
        r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    run("huks keys generate first; huks keys generate second")
    run(once)
    run(often)
    run("huks keys generate third; huks keys delete --yes first")
    assert run(look) == "first\nsecond\n"
    assert run("huks keys list") == "second\nthird\n"
    (home / "root.key").unlink()
    assert run(restore).startswith("first\nsecond\nversions\n")
    assert (tmp_path / "before-restore" / "keystore.db").exists()
    assert not (tmp_path / "trial").exists()

    named = "--store sqlite:///keys.db"
    run(f"huks keys generate fourth {named}")
    run(named_backup)
    run(f"huks keys generate fifth {named}; rm keys.db.root-key")
    assert run(named_restore) == "fourth\n"

    (tmp_path / "killed.py").write_text(_KILLED)
    run(f"{shlex.quote(sys.executable)} killed.py")
    shutil.copy(home / "keystore.db", tmp_path / "before-restore")
    (home / "keystore.db-wal").rename(home / "keystore.db-wal.0f.unsaved")
    assert run(read_in) == "first\nlate\nsecond\n"
