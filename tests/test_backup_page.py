"""The commands of docs/backup.md, one after the other, do what the page says."""

import os
import re
import shlex
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
    """Keys made before the backup are there again after the restore, one made later is in what was moved away."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    huks = bin_folder / "huks"
    huks.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m huks_async.cli "$@"\n')
    huks.chmod(0o755)
    environment = os.environ | {
        "HUKS_ASYNC_HOME": str(tmp_path / "home"),
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
    run('rm "$HUKS_ASYNC_HOME/root.key"')
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
    run(
        'cp "$HUKS_ASYNC_HOME/keystore.db" before-restore; cd "$HUKS_ASYNC_HOME"; mv keystore.db-wal keystore.db-wal.0f.unsaved'
    )
    assert run(read_in) == "first\nlate\nsecond\n"
