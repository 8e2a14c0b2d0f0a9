"""The table of commands: every line leads to a command, and help tells of each."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from huks_async.cli.app import build_app
from huks_async.cli.commands import GROUPS, TOP
from tests.cli.command_line import Huks

EVERY = [
    *((word,) for word in TOP),
    *((group, word) for group, (_, words) in GROUPS.items() for word in words),
]


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_each_command_has_help(huks: Huks, words: tuple[str, ...]) -> None:
    done = huks(*words, "--help")
    assert (done.code, done.err) == (0, "")
    text = done.out.decode()
    assert text.startswith(f"Usage: huks {' '.join(words)}")
    assert not re.search("--(no|empty)-", text)
    for paragraph in text.partition("╭")[0].strip().split("\n\n")[1:]:
        lines = paragraph.splitlines()
        for line, following in pairwise(lines):
            assert len(f"{line.rstrip()} {following.split()[0]}") > 80, (line, following)


@pytest.mark.parametrize("words", [(), *((group,) for group in GROUPS)], ids=" ".join)
def test_help_of_a_group_says_what_each_command_does(huks: Huks, words: tuple[str, ...]) -> None:
    for asked in ((), ("--help",)):
        done = huks(*words, *asked)
        lines = done.out.decode().splitlines()
        commands = GROUPS[words[0]][1] if words else TOP
        for command in commands:
            line = next(line for line in lines if line.lstrip("│ ").startswith(f"{command} "))
            assert len(line.strip("│ ").split()) > 2, line


def test_a_command_loads_no_other_command() -> None:
    app = build_app(whole=False)
    app.parse_args(["keys", "list"], exit_on_error=False, print_error=False)
    loaded = {name for name, one in app["keys"]._commands.items() if getattr(one, "is_resolved", False)}
    assert loaded == {"list"}


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_a_store_can_be_named_wherever_keys_are_used(huks: Huks, words: tuple[str, ...]) -> None:
    """Only commands that touch no keystore of the caller's do without --store, --namespace and --level."""
    shown = huks(*words, "--help").out.decode()
    without = {"demo", "algorithms", "completion", "convert", "describe", "wrap", "verify-attestation"}
    for option in ("--store", "--namespace", "--level"):
        assert (option in shown) == (words[-1] not in without)


def test_a_named_store_is_used_and_no_other(huks: Huks, home: Path, tmp_path: Path, document: Path) -> None:
    """Keys of a store that was named are made, listed and used there; the default one is not made."""
    store = ("--store", f"sqlite:///{tmp_path}/elsewhere/keys.db")
    assert huks("keys", "generate", "k", *store).code == 0
    assert huks("keys", "list", *store).out == b"k\n"
    sealed = tmp_path / "sealed"
    assert huks("encrypt", "k", document, "-o", sealed, *store).code == 0
    assert huks("decrypt", "k", sealed, *store).out == document.read_bytes()
    assert huks("doctor", *store).code == 0
    assert not home.exists()
    for address in ("nonsense", "redis://host", "sqlite:///"):
        for words in ("keys", "list"), ("doctor",):
            done = huks(*words, "--store", address)
            assert (done.code, done.out) == (2, b"")
            assert done.err.startswith("error: ")
