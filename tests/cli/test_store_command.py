"""`huks store`."""

import json
import stat
from pathlib import Path

from tests.cli.command_line import Huks


def test_backup_makes_a_store_of_one_file(huks: Huks, home: Path, tmp_path: Path) -> None:
    """Which the command uses like any other, with the same root key; what it says is for people."""
    assert huks("keys", "generate", "photos").code == 0
    target = tmp_path / "copy.db"
    done = huks("store", "backup", target)
    assert (done.code, done.out) == (0, b"")
    assert f"copied the store to {target}: 1 key, " in done.err
    assert "the root key is not in it" in done.err
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    (home / "keystore.db").unlink()
    target.rename(home / "keystore.db")
    assert huks("keys", "list").out == b"photos\n"


def test_backup_tells_programs_what_it_made(huks: Huks, home: Path, tmp_path: Path) -> None:
    """`--json`, on standard output."""
    assert huks("keys", "generate", "photos").code == 0
    target = tmp_path / "copy.db"
    done = huks("store", "backup", target, "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == {"path": str(target), "keys": 1, "size": target.stat().st_size}


def test_backup_of_another_store(huks: Huks, home: Path, tmp_path: Path) -> None:
    """`--store`; one that is not there is refused and not made."""
    address = f"sqlite:///{tmp_path}/other.db"
    assert huks("keys", "generate", "theirs", "--store", address).code == 0
    assert huks("store", "backup", tmp_path / "copy.db", "--store", address).code == 0
    done = huks("store", "backup", tmp_path / "none.db", "--store", f"sqlite:///{tmp_path}/mistyped.db")
    assert done.code == 1
    assert "there is no store sqlite:///" in done.err
    assert not (tmp_path / "none.db").exists()
    assert not (tmp_path / "mistyped.db").exists()


def test_backup_refuses_what_is_there_and_what_is_no_file(huks: Huks, home: Path, tmp_path: Path) -> None:
    """Each with its exit code."""
    assert huks("keys", "generate", "photos").code == 0
    target = tmp_path / "copy.db"
    target.write_text("mine")
    done = huks("store", "backup", target)
    assert done.code == 1
    assert "never replaces anything" in done.err
    assert target.read_text() == "mine"
    done = huks("store", "backup", "-")
    assert (done.code, "a backup is a file, not a stream" in done.err) == (2, True)
    assert huks("store", "backup", "--force", target).code == 2
    assert huks("store", "backup", tmp_path / "x.db", "--store", "memory:").code == 1
    assert huks("store", "backup").code == 2
