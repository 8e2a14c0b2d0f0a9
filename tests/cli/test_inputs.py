"""What is read: files that change meanwhile, that do not tell their size, or that cannot be read."""

import os
import subprocess
from pathlib import Path

import pytest

import huks_async
from huks_async.cli.shell.console import CommandError
from huks_async.cli.shell.descriptors import SEGMENT
from huks_async.cli.shell.files import open_input, segments
from tests.cli.command_line import Huks, command

_OF_SYS = Path("/sys/kernel/mm/transparent_hugepage/enabled")
"""A file that says it has a page, and has some words."""
_OF_MEMORY = Path("/proc/self/mem")
"""A file whose beginning cannot be read."""
READERS = (
    ("sign", "s"),
    ("mac", "m"),
    ("encrypt", "k"),
    ("encrypt", "k", "--format", "1"),
    ("encrypt", "sm2"),
)


@pytest.fixture
def keys(huks: Huks) -> None:
    """A key for each of the commands above."""
    for alias, words in {
        "k": (),
        "s": ("--kind", "ecdsa-p256"),
        "m": ("-a", "hmac", "-s", 256),
        "sm2": ("--kind", "unwrap-sm2"),
    }.items():
        assert huks("keys", "generate", alias, *words).code == 0


def test_the_end_of_a_file_is_where_it_was(tmp_path: Path) -> None:
    """What is appended does not count; what is cut off is an error, not the end."""
    path = tmp_path / "file"
    content = os.urandom(2 * SEGMENT + 1)
    path.write_bytes(content)
    with open_input(str(path)) as file:
        pieces = segments(file)
        first = next(pieces)
        with path.open("ab") as other:
            other.write(b"more")
        assert first + b"".join(pieces) == content
    with open_input(str(path)) as file:
        pieces = segments(file)
        next(pieces)
        os.truncate(path, 1)
        with pytest.raises(CommandError) as caught:
            list(pieces)
    assert caught.value.message == f"{path} became shorter while it was read"
    with open_input(str(path)) as file:
        assert list(segments(file)) == [content[:1]]


@pytest.mark.parametrize("words", [words for words in READERS if words != ("encrypt", "k")], ids=" ".join)
@pytest.mark.usefixtures("keys")
def test_no_result_of_a_file_that_becomes_shorter(
    huks: Huks, document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """The part that was there is not signed, authenticated or encrypted as if it were the whole."""
    update = huks_async.KeySession.update

    async def cutting(session: huks_async.KeySession, *data: bytes, **options: bytes | None) -> bytes:
        os.truncate(document, 1000)
        return await update(session, *data, **options)

    monkeypatch.setattr(huks_async.KeySession, "update", cutting)
    done = huks(*words, document, "-o", tmp_path / "result")
    assert (done.code, done.err) == (1, f"error: {document} became shorter while it was read\n")
    assert not (tmp_path / "result").exists()


@pytest.mark.skipif(not _OF_SYS.exists(), reason="this system has no such file")
@pytest.mark.usefixtures("keys")
def test_files_that_have_less_than_they_say(huks: Huks, tmp_path: Path) -> None:
    """Files of /sys have the size of a page: what they have is taken all the same."""
    content = _OF_SYS.read_bytes()
    assert len(content) < _OF_SYS.stat().st_size
    for version in ("1", "2"):
        sealed = tmp_path / version
        assert huks("encrypt", "k", _OF_SYS, "--format", version, "-o", sealed).err == ""
        assert huks("decrypt", "k", sealed).out == content
    assert huks("sign", "s", _OF_SYS, "-o", tmp_path / "signature").err == ""
    assert huks("verify", "s", _OF_SYS, "-s", tmp_path / "signature").code == 0


@pytest.mark.skipif(not _OF_MEMORY.exists(), reason="this system has no such file")
@pytest.mark.parametrize("words", READERS, ids=" ".join)
@pytest.mark.usefixtures("keys")
def test_an_input_that_cannot_be_read_is_named(huks: Huks, tmp_path: Path, words: tuple[str, ...]) -> None:
    """An error while the input is read says which file it was."""
    done = huks(*words, _OF_MEMORY, "-o", tmp_path / "result")
    assert (done.code, done.err) == (1, f"error: {_OF_MEMORY}: Input/output error\n")


@pytest.fixture
def _in_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder is one that was removed."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()


@pytest.mark.parametrize(
    "words",
    [
        ("mac", "m", "FILE"),
        ("mac", "m", "FILE", "-c", "/dev/null"),
        ("verify", "s", "/dev/null", "-s", "FILE"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("keys", "_in_no_folder")
def test_an_input_in_a_working_folder_that_was_removed(huks: Huks, words: tuple[str, ...]) -> None:
    """The error names the file that was to be read."""
    done = huks(*words)
    assert (done.code, done.err) == (1, "error: FILE: No such file or directory\n")


@pytest.mark.usefixtures("_in_no_folder")
@pytest.mark.parametrize(
    "words", [("keys", "list"), ("doctor",), ("keys", "delete", "a", "--yes")], ids=" ".join
)
def test_a_store_in_a_working_folder_that_was_removed(huks: Huks, words: tuple[str, ...]) -> None:
    """The error names the store, and all that `huks doctor` has to tell is told."""
    done = huks(*words, "--store", "sqlite:///keys.db")
    assert done.code == 1
    told = done.out.decode() if words == ("doctor",) else done.err
    assert "the store sqlite:///keys.db cannot be opened" in told


@pytest.mark.usefixtures("keys")
def test_a_descriptor_that_only_says_which_file_it_is(huks: Huks, tmp_path: Path) -> None:
    """Sandboxes hand files over so, and nothing can be read there: the file is opened."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    descriptor = os.open(path, os.O_PATH)
    os.set_inheritable(descriptor, True)
    try:
        done = huks("mac", "m", f"/dev/fd/{descriptor}")
    finally:
        os.close(descriptor)
    assert (done.code, done.err) == (0, "")
    assert done.out == huks("mac", "m", path).out


def test_a_long_input_that_fails_in_a_thread_is_named(
    huks: Huks, document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of a file that several threads read."""

    def failing(*_: object) -> int:
        raise OSError(5, "Input/output error")

    huks("keys", "generate", "k")
    monkeypatch.setattr(os, "preadv", failing)
    done = huks("encrypt", "k", document, "-o", tmp_path / "result")
    assert (done.code, done.err) == (1, f"error: {document}: Input/output error\n")


@pytest.mark.skipif(not _OF_MEMORY.exists(), reason="this system has no such file")
def test_standard_input_is_named(huks: Huks, home: Path) -> None:
    """So is standard input, which has no name of its own."""
    assert huks("keys", "generate", "k").code == 0
    with _OF_MEMORY.open("rb") as memory:
        done = subprocess.run(
            command("encrypt", "k"), stdin=memory, capture_output=True, timeout=120, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"error: standard input: Input/output error\n")
