"""Outputs where others write, too: links and files that come meanwhile, and files that are not ours to replace."""

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from huks_async.cli.flow.source import Source
from huks_async.cli.operations import crypt
from huks_async.cli.shell import files
from huks_async.cli.shell.console import CommandError
from huks_async.cli.shell.files import open_input, open_output, prepare_output
from tests.cli.command_line import Huks


@pytest.mark.parametrize("overwrite", [False, True], ids=["", "force"])
@pytest.mark.parametrize("opened", [False, True], ids=["before the opening", "before the end"])
def test_a_link_that_comes_meanwhile_has_no_say(tmp_path: Path, overwrite: bool, opened: bool) -> None:
    """Where a result goes is decided when its name is looked at, not by who puts a link there afterwards."""
    name, elsewhere = tmp_path / "result", tmp_path / "elsewhere"
    opening = prepare_output(str(name), overwrite=overwrite)
    if not opened:
        name.symlink_to(elsewhere)
    with opening() as output:
        output.write(b"ours")
        if opened:
            name.symlink_to(elsewhere)
        if overwrite:
            output.commit()
        else:
            with pytest.raises(CommandError, match="exists already"):
                output.commit()
    assert not elsewhere.exists()
    assert name.is_symlink() != overwrite
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result"]


def test_a_file_behind_a_link_that_comes_meanwhile_lends_no_mode(tmp_path: Path) -> None:
    """The result is as open as a new file, whatever the link leads to."""
    name, open_to_all = tmp_path / "result", tmp_path / "open"
    open_to_all.touch()
    open_to_all.chmod(0o666)
    before = os.umask(0o027)
    try:
        with open_output(str(name), overwrite=True) as output:
            name.symlink_to(open_to_all)
            output.commit()
    finally:
        os.umask(before)
    assert stat.S_IMODE(name.lstat().st_mode) == 0o640


def test_a_pipe_that_is_exchanged_meanwhile(tmp_path: Path) -> None:
    """What takes its place is not cut to nothing and written."""
    name, precious = tmp_path / "pipe", tmp_path / "precious"
    precious.write_bytes(b"precious")
    os.mkfifo(name)
    opening = prepare_output(str(name))
    name.unlink()
    name.symlink_to(precious)
    with pytest.raises(CommandError, match="exists already"), opening():
        pass
    assert precious.read_bytes() == b"precious"


def _saved_anew(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(b"other")
    new.replace(path)


def _longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _written_over(path: Path) -> None:
    path.write_bytes(b"other")
    os.utime(path, ns=(0, 0))


def _a_link(path: Path) -> None:
    moved = path.rename(path.with_name("moved"))
    path.symlink_to(moved)


@pytest.mark.parametrize("change", [_saved_anew, _longer, _written_over, _a_link])
def test_a_file_that_was_changed_while_it_was_read_stays(
    huks: Huks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    """In place, the result takes the place of what was read, and of nothing else without --force."""
    path, kept = tmp_path / "file", list[bytes]()
    huks("keys", "generate", "k")
    path.write_bytes(b"first")
    fsync = os.fsync

    def late(descriptor: int) -> None:
        fsync(descriptor)
        change(path)
        kept.append(path.read_bytes())

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", late)
        done = huks("encrypt", "k", path, "-o", path)
    assert (done.code, done.err) == (
        1,
        f"error: {path} was changed while it was read, and stays as it is\nhint: call the command again\n",
    )
    assert path.read_bytes() == kept[0]
    done = huks("encrypt", "k", path, "-o", path, "--force")
    assert (done.code, done.err) == (0, "")
    assert path.read_bytes().startswith(b"huksenc")
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


def test_a_file_that_grows_before_its_length_is_looked_at(
    huks: Huks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may be replaced is known before the length that is read, so nothing that comes in between is lost."""
    path = tmp_path / "file"
    path.write_bytes(b"first")
    huks("keys", "generate", "k")
    opening = crypt.open_source

    def appended(file: io.FileIO) -> Source:
        source = opening(file)
        _longer(path)
        return source

    monkeypatch.setattr(crypt, "open_source", appended)
    done = huks("encrypt", "k", path, "-o", path)
    assert (done.code, done.err.splitlines()[0]) == (
        1,
        f"error: {path} was changed while it was read, and stays as it is",
    )
    assert path.read_bytes() == b"firstmore"


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_file_that_is_read_in_part_is_not_replaced(huks: Huks, tmp_path: Path, version: str) -> None:
    """What is before the place of the shell's descriptor, or outside of a range, would be lost without --force."""
    path, sealed = tmp_path / "file", tmp_path / "sealed"
    path.write_bytes(b"the content")
    huks("keys", "generate", "k")
    assert huks("encrypt", "k", path, "--format", version, "-o", sealed).code == 0
    before = sealed.read_bytes()
    with path.open("rb", buffering=0) as given, sealed.open("rb", buffering=0) as given_sealed:
        for file, words in (
            (given, ("encrypt", "k", "--format", version, f"/dev/fd/{given.fileno()}")),
            (given_sealed, ("decrypt", "k", f"/dev/fd/{given_sealed.fileno()}")),
        ):
            os.set_inheritable(file.fileno(), True)
            os.lseek(file.fileno(), 4, os.SEEK_SET)
            done = huks(*words, "-o", file.name)
            assert (done.code, done.err) == (
                1,
                f"error: {file.name} exists already\nhint: --force overwrites it\n",
            )
    if version == "2":
        assert huks("decrypt", "k", sealed, "--range", "0:3", "-o", sealed).code == 1
    assert (path.read_bytes(), sealed.read_bytes()) == (b"the content", before)
    if version == "2":
        assert huks("decrypt", "k", sealed, "--range", "0:3", "-o", sealed, "--force").code == 0
        assert sealed.read_bytes() == b"the"


def test_a_file_that_is_removed_while_it_is_read(tmp_path: Path) -> None:
    """Nothing is in the way of the result then."""
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with open_input(str(path)) as source, open_output(str(path), source=source) as output:
        output.write(b"after")
        path.unlink()
        output.commit()
    assert path.read_bytes() == b"after"


def test_a_file_of_somebody_else_in_a_sticky_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before the work: there nobody but its owner, or the folder's, may take it away."""
    target = tmp_path / "theirs"
    target.write_bytes(b"theirs")
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    monkeypatch.setattr(files, "_counts_as_owner", lambda: False)
    monkeypatch.setattr(os, "access", lambda *_, **__: True)
    prepare_output(str(target), overwrite=True)
    tmp_path.chmod(0o1777)
    with pytest.raises(PermissionError) as caught:
        prepare_output(str(target), overwrite=True)
    assert (caught.value.errno, caught.value.filename) == (files.errno.EPERM, str(target))
    prepare_output(str(tmp_path / "new"))
    monkeypatch.setattr(files, "_counts_as_owner", lambda: True)
    prepare_output(str(target), overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True], ids=["", "force"])
def test_a_draft_is_in_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool) -> None:
    """What the system refuses at the end is told with the name that was given."""

    def refuse(draft: Path, target: Path) -> None:
        raise OSError(files.errno.EIO, "Input/output error", str(draft), None, str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with (
        pytest.raises(OSError, match="Input/output error") as caught,
        open_output(str(tmp_path / "result"), overwrite=overwrite) as output,
    ):
        output.commit()
    assert caught.value.filename == str(tmp_path / "result")
    assert not list(tmp_path.iterdir())
