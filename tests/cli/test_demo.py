"""The demo is true: it succeeds where all agree, fails where one does not, and leaves nothing."""

import os
import pty
import re
import tempfile
from pathlib import Path

import pytest

from huks_async.cli.demo import parse_size
from huks_async.cli.demo.witness import Witness
from tests.cli.command_line import Huks, shown_on
from tests.cli.warm import warm


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that all temporary files go to."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("program", ["openssl", None])
def test_every_check_agrees(
    huks: Huks, home: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    """With and without OpenSSL's command all checks agree, and nothing is left behind."""
    found = Witness.find()
    if program is None:
        found = Witness(None, "")
    elif found.program is None:
        pytest.skip("no OpenSSL 3 command on this machine")
    monkeypatch.setattr(Witness, "find", classmethod(lambda cls: found))
    done = huks("demo", "--size", "1MB")
    assert done.code == 0, done.err
    text = done.out.decode()
    counts = re.search(r"(\d+) of (\d+) checks agree", text)
    assert counts is not None
    assert counts[1] == counts[2]
    for name in ("AES-256-GCM", "AES-256-CTR", "ECDSA P-256", "RSA-PSS", "ECDH", "X25519", "HKDF", "PBKDF2"):
        assert name in text
    assert text.count("openssl command") == (0 if program is None else 7)
    assert list(temporary.iterdir()) == []
    assert not home.exists()


def test_a_given_file_is_used_and_kept(huks: Huks, temporary: Path, document: Path) -> None:
    """The demo works on the file it is given and does not change it."""
    before = document.read_bytes()
    done = huks("demo", document)
    assert done.code == 0, done.err
    assert b"document, 293.0 KB" in done.out
    assert document.read_bytes() == before


def test_a_name_that_is_an_option_or_steers_a_terminal(
    huks: Huks, temporary: Path, document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a file's name all the same, and is shown escaped."""
    named = document.rename(document.with_name("-x\x1b[31m"))
    monkeypatch.chdir(named.parent)
    done = huks("demo", f"./{named.name}")
    assert done.code == 0, done.err
    assert b"-x\\x1b[31m, 293.0 KB" in done.out
    assert b"\x1b" not in done.out


def test_words_that_have_no_effect_or_are_no_file(
    huks: Huks, document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A size beside a file; standard input, also where a file has that name."""
    done = huks("demo", document, "--size", "1MB")
    assert (done.code, done.out) == (2, b"")
    assert "leave out either" in done.err
    monkeypatch.chdir(document.rename(document.with_name("-")).parent)
    done = huks("demo", "-")
    assert (done.code, done.out) == (2, b"")
    assert "not on a stream" in done.err
    assert huks("demo", "-x").code == 2


@pytest.mark.parametrize("method", ["gcm_digest", "ctr_digest", "agree", "hkdf", "pbkdf2"])
def test_a_disagreement_is_a_failure(
    huks: Huks, temporary: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """One check that does not agree is marked and ends the demo with code 1."""
    monkeypatch.setattr(Witness, method, lambda *_: (bytes(32), "a liar"))
    done = huks("demo", "--size", "1KB")
    assert done.code == 1
    assert b"WRONG" in done.out
    assert "not every check agreed" in done.err


def test_the_results_go_where_standard_output_leads(home: Path, tmp_path: Path) -> None:
    """Also while a bar is shown on a terminal, which is standard error."""
    controller, terminal = pty.openpty()
    with (tmp_path / "results").open("wb") as results, open(os.devnull, "rb") as nothing:
        process = warm().start(["demo", "--size", "1KB"], [nothing.fileno(), results.fileno(), terminal])
    os.close(terminal)
    shown = shown_on(controller)
    assert process.wait() == 0
    assert "checks agree" in (tmp_path / "results").read_text()
    assert b"checks agree" not in shown


@pytest.mark.parametrize(
    ("text", "size"),
    [("5000", 5000), ("64K", 65536), ("100MB", 104_857_600), ("1GiB", 2**30), ("1 kb", None), ("0", None)],
)
def test_sizes(text: str, size: int | None) -> None:
    """Sizes are read in powers of 1024, and nonsense is refused."""
    if size is None:
        with pytest.raises(Exception, match="is not a size"):
            parse_size(text)
    else:
        assert parse_size(text) == size
