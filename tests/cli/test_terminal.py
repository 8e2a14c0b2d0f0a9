"""Manners: what is said where, and how commands end. A stand-in keystore serves where only these matter."""

import builtins
import contextlib
import os
import pty
import subprocess
import termios
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import huks_async
from huks_async.cli import main
from huks_async.files.header import CHUNK_BYTES
from huks_async.model.errors import BusinessError, HuksCompatibilityWarning
from tests.cli.command_line import Huks, command, shown_on


class _Failing:
    """Fails every listing the way it is told to."""

    error: BaseException

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, *_: Any, **__: Any) -> AsyncIterator["_Failing"]:
        yield cls()

    async def listAliases(self, _: object) -> None:
        if isinstance(self.error, Warning):
            warnings.warn(self.error, stacklevel=1)
            raise BusinessError(12000012, "after a warning")
        raise self.error


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[_Failing]:
    """A keystore that fails."""
    monkeypatch.setattr(huks_async, "Keystore", _Failing, raising=False)
    return _Failing


def test_a_keystore_error_is_two_lines(huks: Huks, failing: type[_Failing]) -> None:
    """A BusinessError shows its message, its code and the way out, and no traceback."""
    failing.error = BusinessError(12000004, "the store is full")
    done = huks("keys", "list")
    assert done.code == 1
    assert done.out == b""
    assert done.err.splitlines() == [
        "error: the store is full (code 12000004)",
        "hint: check space, permissions and the store's address",
    ]


def test_a_defect_keeps_its_traceback(huks: Huks, failing: type[_Failing]) -> None:
    """An error that is nobody's fault but ours is not hidden."""
    failing.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        huks("keys", "list")


def test_warnings_are_lines(huks: Huks, failing: type[_Failing]) -> None:
    """Warnings show as a line without file and code."""
    failing.error = HuksCompatibilityWarning("short IV")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = huks("keys", "list")
    assert done.err.splitlines()[0] == "warning: short IV"


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("encrypt",),
        ("encrypt", "k", "--nonsense"),
        ("encrypt", "k", "f", "-o", "--nonsense"),
        ("keys", "generate", "k", "--kind", "rot13"),
        ("keys", "list", "--level", "cellar"),
        ("demo", "--size", "much"),
        ("demo", "/nonexistent/file"),
        ("verify", "k", "f"),
    ],
)
def test_wrong_usage_is_code_2(huks: Huks, words: tuple[str, ...]) -> None:
    """A call that is wrong in itself ends with code 2 and both lines, on standard error."""
    done = huks(*words)
    assert done.code == 2
    assert done.out == b""
    first, second = done.err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")


def test_a_missing_input_is_code_1(huks: Huks, tmp_path: Path) -> None:
    """A file that is not there is named, with the system's reason."""
    huks("keys", "generate", "k")
    missing = tmp_path / "missing"
    done = huks("encrypt", "k", missing)
    assert done.code == 1
    assert done.err == f"error: {missing}: No such file or directory\n"


def test_bytes_are_not_thrown_at_a_terminal(huks_process: Huks, home: Path, document: Path) -> None:
    """Binary output to a terminal is refused unless - was named."""
    huks_process("keys", "generate", "k")
    controller, terminal = pty.openpty()
    words = command("encrypt", "k", document)
    done = subprocess.run(words, stdout=terminal, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(terminal)
    assert (done.returncode, shown_on(controller)) == (2, b"")
    assert b"--output -" in done.stderr


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the extra the command says what to install."""
    imports = builtins.__import__

    def without_cyclopts(name: str, *rest: Any, **named: Any) -> Any:
        if name == "huks_async.cli.app":
            raise ModuleNotFoundError("No module named 'cyclopts'", name="cyclopts")
        return imports(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without_cyclopts)
    assert main([]) == 1
    assert "pip install 'huks-async[cli]'" in capsys.readouterr().err


def test_the_command_is_light_until_it_runs() -> None:
    """Importing the package loads nothing of the extra."""
    code = (
        "import sys, huks_async, huks_async.cli; sys.exit('cyclopts' in sys.modules or 'rich' in sys.modules)"
    )
    assert subprocess.run([*command()[:1], "-c", code], timeout=120, check=False).returncode == 0


STEERING = "a\nerror: \x1b[31mred\x1b]0;t\x07"


def test_names_and_contents_give_a_terminal_no_commands(huks: Huks, tmp_path: Path) -> None:
    """Names of files and labels of PEM may come from strangers: escapes and new lines in them are not printed."""
    done = huks("keys", "describe", str(tmp_path / STEERING))
    assert done.err.count("\n") == 1
    assert r"\nerror: \x1b[31mred\x1b]0;t\x07" in done.err
    key = tmp_path / "key"
    label = STEERING.replace("\n", "")
    key.write_text(f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
    done = huks("keys", "describe", str(key))
    assert b"PEM" in done.out
    assert not {0x1B, 0x07} & {*done.out, *done.err.encode()}


_SHOWN = [
    ("text", "Grüße, 日本 🙂\tand a tab\n".encode(), (), True),
    ("picture", b"\x89PNG\r\n\x1a\n", (), False),
    ("escape", b"red \x1b[31m", (), False),
    ("no-utf8", b"\xff\xfe", (), False),
    ("forced", b"red \x1b[31m", ("-o", "-"), True),
    ("range-of-text", b"text" * CHUNK_BYTES + b"\0", ("--range", "0:9"), True),
    ("range-of-binary", b"t" * CHUNK_BYTES + b"\0", ("--range", f"{CHUNK_BYTES}:"), False),
]


def _on_terminal(*words: object) -> tuple[int, bytes, bytes]:
    """Code, what a terminal got as standard output, and standard error of a command."""
    controller, terminal = pty.openpty()
    mode = termios.tcgetattr(terminal)
    mode[1] &= ~termios.OPOST
    termios.tcsetattr(terminal, termios.TCSANOW, mode)
    done = subprocess.run(command(*words), stdout=terminal, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(terminal)
    return done.returncode, shown_on(controller), done.stderr


@pytest.mark.parametrize("form", ["1", "2"])
@pytest.mark.parametrize("begun", [b"", "für €".encode()], ids=["alone", "after text"])
def test_a_terminal_gets_whole_characters(huks: Huks, tmp_path: Path, begun: bytes, form: str) -> None:
    """Content that ends inside a character is no text: its last bytes are refused."""
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(begun + "€".encode()[:2])
    huks("keys", "generate", "k")
    assert huks("encrypt", "--format", form, "k", plain, "-o", sealed).code == 0
    code, out, told = _on_terminal("decrypt", "k", sealed)
    assert (code, out) == (2, begun)
    assert b"the content is binary" in told
    assert (b"from here on" in told) == bool(begun)


def test_a_character_over_two_pieces(huks: Huks, tmp_path: Path) -> None:
    """A character that one chunk begins and the next one ends is shown once, and whole."""
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(b"t" * (CHUNK_BYTES - 1) + "€ and more".encode())
    huks("keys", "generate", "k")
    assert huks("encrypt", "k", plain, "-o", sealed).code == 0
    assert huks("decrypt", "k", sealed, "--range", f"{CHUNK_BYTES - 9}:", "-o", tmp_path / "part").code == 0
    shown = _on_terminal("decrypt", "k", sealed, "--range", f"{CHUNK_BYTES - 9}:", "--quiet")
    assert shown == (0, (tmp_path / "part").read_bytes(), b"")


@pytest.mark.parametrize(
    ("content", "words", "shown", "form"),
    [
        pytest.param(content, words, shown, form, id=f"{name}-format-{form}")
        for name, content, words, shown in _SHOWN
        # files of format 1 have no ranges
        for form in (("2",) if "--range" in words else ("1", "2"))
    ],
)
def test_a_terminal_gets_text_alone(
    huks: Huks, tmp_path: Path, content: bytes, words: tuple[str, ...], shown: bool, form: str
) -> None:
    """Binary content is refused with code 2 and the way out, unless `-o -` forces it."""
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(content)
    huks("keys", "generate", "k")
    assert huks("encrypt", "--format", form, "k", plain, "-o", sealed).code == 0
    code, out, told = _on_terminal("decrypt", "k", sealed, *words)
    if shown:
        assert (code, out, told) == (0, content[:9] if "--range" in words else content, b"")
    else:
        assert (code, out) == (2, b"")
        assert b"the content is binary and standard output is a terminal" in told
        assert b"--output -" in told
