"""Outputs that are descriptors of whoever started the command, and outputs that are refused before the work begins."""

import contextlib
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from huks_async.cli.shell.console import CommandError
from huks_async.cli.shell.files import open_output
from tests.cli.command_line import Done, Huks, command


def _under_a_shell(words: str, folder: Path) -> Done:
    """The words of a shell, of which `huks` is the command."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'huks() {{ {shlex.join(command())} "$@"; }}; {words}'],
        cwd=folder,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


@pytest.fixture
def folder(huks: Huks, tmp_path: Path) -> Path:
    """A folder for results, with a keystore beside it."""
    assert huks("keys", "generate", "k", "--kind", "ecdsa-p256").code == 0
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "stream"),
    [("/dev/fd/3", "3"), ("/proc/self/fd/3", "3"), ("link", "3"), ("/dev/stderr", "2"), ("/dev/fd/2", "2")],
)
def test_results_go_where_a_descriptor_stands(huks: Huks, folder: Path, name: str, stream: str) -> None:
    """Two results are one after the other, what was there before them stays, and so does what comes behind."""
    (folder / "link").symlink_to("/dev/fd/3")
    public = huks("keys", "export", "k").out.decode()
    once = f"huks keys export k -o {name}"
    assert _under_a_shell(f"{{ echo before >&{stream}; {once}; {once}; }} {stream}> out", folder).code == 0
    assert (folder / "out").read_text() == "before\n" + 2 * public
    (folder / "log").write_text("before\n")
    assert _under_a_shell(f"{once} {stream}>> log", folder).code == 0
    assert (folder / "log").read_text() == f"before\n{public}"
    (folder / "long").write_text("x" * 1000)
    assert _under_a_shell(f"{once} {stream}<> long", folder).code == 0
    assert (folder / "long").read_text() == public + "x" * (1000 - len(public))


def test_descriptors_that_take_no_result(folder: Path) -> None:
    """One for reading, and one that is not there."""
    (folder / "file").write_text("precious")
    done = _under_a_shell("huks keys export k -o /dev/fd/3 3< file", folder)
    assert (done.code, done.err) == (1, "error: /dev/fd/3 is not open for writing\n")
    done = _under_a_shell("huks keys export k -o /dev/fd/3 3>&-", folder)
    assert (done.code, done.err) == (1, "error: /dev/fd/3: Bad file descriptor\n")
    for name in ("/dev/fd/01", "/dev/fd/99999999999999", f"/dev/fd/1{'0' * 200}"):
        done = _under_a_shell(f"huks keys export k -o {name}", folder)
        assert (done.code, done.err) == (1, f"error: {name}: No such file or directory\n")
    assert (folder / "file").read_text() == "precious"


def test_what_the_command_has_opened_itself_takes_no_result(tmp_path: Path) -> None:
    """Its own descriptors are not those that a shell hands over; the keystore is behind one of them."""
    own = tmp_path / "own"
    with own.open("wb") as file, pytest.raises(OSError, match="Bad file descriptor"):
        file.write(b"precious")
        file.flush()
        with open_output(f"/dev/fd/{file.fileno()}", overwrite=True):
            pass
    assert own.read_bytes() == b"precious"


def test_a_file_that_another_process_has_open_stays(tmp_path: Path) -> None:
    """By that process's descriptor it is overwritten with `--force` alone, like any file."""
    file = tmp_path / "file"
    file.write_bytes(b"precious")
    with (
        file.open("rb") as opened,
        subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, pass_fds=[opened.fileno()]) as process,
    ):
        name = f"/proc/{process.pid}/fd/{opened.fileno()}"
        with pytest.raises(CommandError, match="exists already"), open_output(name):
            pass
        assert file.read_bytes() == b"precious"
        with open_output(name, overwrite=True) as output:
            output.write(b"ours")
            output.commit()
        process.communicate()
    assert file.read_bytes() == b"ours"


@pytest.mark.parametrize(
    "words",
    [
        ("decrypt", "code", "pipe"),
        ("sign", "k", "pipe"),
        ("mac", "code", "pipe"),
        ("mac", "code", "pipe", "--hex"),
        ("derive", "base", "--by", "pbkdf2", "--iterations", "999999999"),
        ("agree", "pair", "pipe"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("existing", "exists already"),
        ("nowhere/new", "No such file or directory"),
        (".", "is a folder"),
        ("locked/new", "Permission denied"),
    ],
)
def test_an_output_is_refused_before_the_work(
    huks: Huks,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    output: str,
    told: str,
) -> None:
    """Nothing of the input is read, and nothing is computed, for a result that has no place."""
    monkeypatch.chdir(folder)
    for name, kind in (("code", "hmac"), ("base", "aes"), ("pair", "x25519")):
        more = ("-s", "256") if kind != "x25519" else ()
        more += ("-p", "derive") if kind == "aes" else ()
        assert huks("keys", "generate", name, "-a", kind, *more).code == 0
    (folder / "existing").write_text("precious")
    (folder / "locked").mkdir(mode=0o500)
    if os.geteuid() == 0:  # who may write everywhere
        granted = os.access
        monkeypatch.setattr(
            os, "access", lambda path, *how, **more: "locked" not in str(path) and granted(path, *how, **more)
        )
        monkeypatch.setattr(os, "supports_effective_ids", {os.access})
    os.mkfifo(folder / "pipe")
    # this keeps the command from waiting for a writer, and shows whether it read
    end = os.open(folder / "pipe", os.O_RDWR | os.O_NONBLOCK)
    with contextlib.closing(os.fdopen(end, "rb+", buffering=0)) as pipe:
        pipe.write(b"content")
        done = huks(*words, "-o", output)
        assert done.code in (1, 2)
        assert told in done.err
        assert pipe.read(100) == b"content"
    assert (folder / "existing").read_text() == "precious"
