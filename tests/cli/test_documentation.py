"""docs/command-line.md says what is true: its examples run, and it names every command."""

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from huks_async.cli.commands import GROUPS, TOP
from tests.cli.command_line import Huks

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
EXAMPLES = re.findall(r"^    (\S.*)$", PAGE, re.MULTILINE)

# what a reader has before the first example
_GIVEN = """
printf 'dear reader' > letter.txt
openssl genpkey -algorithm X25519 -out theirs.private && openssl pkey -in theirs.private -pubout -out theirs.pem
printf 'open sesame' > passphrase
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes-256-cbc -pass file:passphrase -out key.pem
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem
openssl rand -out secret.bin 32
"""


def test_the_examples_run_in_their_order(home: Path, tmp_path: Path) -> None:
    """Each line of the page does what it says, in a folder with the files that it speaks of."""
    assert len(EXAMPLES) > 15
    lines = [line for line in _GIVEN.splitlines() if line] + EXAMPLES
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for line in lines:
        done = subprocess.run(
            [shutil.which("bash") or "/bin/sh", "-c", line],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)


@pytest.mark.parametrize(
    "words",
    [(word,) for word in TOP]
    + [(group, word) for group, (_, commands) in GROUPS.items() for word in commands],
    ids=" ".join,
)
def test_every_command_is_named(words: tuple[str, ...]) -> None:
    """A command that the page does not know is not finished."""
    table = PAGE.partition("\n## ")[0]
    *groups, word = words
    # several commands of one group may stand in one cell, which names the group once
    in_group = rf"`huks {groups[0]} [^|]*" if groups and word not in TOP else ""
    assert re.search(rf"{in_group}\b{re.escape(word)}\b", table.replace("\\|", ""))


def test_every_document_is_named() -> None:
    """The table of documents has each command that takes --json."""
    table = PAGE.partition("## For programs: `--json`")[2].partition("\n## ")[0]
    commands = [(word, place) for word, place in TOP.items()] + [
        (f"{group} {word}", place) for group, (_, inner) in GROUPS.items() for word, place in inner.items()
    ]
    # a command that is found in two places is named by its shorter words
    for place, words in {place: words for words, place in reversed(commands)}.items():
        module, _, name = place.partition(":")
        function = getattr(importlib.import_module(f"huks_async.cli.{module}"), name)
        assert ("json" in inspect.signature(function).parameters) == (f"| `{words}` |" in table), words


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("huks ", "encrypt"),
        ("huks keys ", "generate"),
        ("huks keys g", "generate"),
        ("huks mac --c", "--check"),
    ],
)
def test_completion_in_bash(huks_words: str, typed: str, expected: str) -> None:
    """Bash offers the words that fit."""
    words = typed.split(" ")
    array = " ".join(f"'{word}'" for word in words)
    program = (
        f"{huks_words}\nCOMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; COMP_LINE='{typed}'; "
        f"COMP_POINT={len(typed)}; spec=$(complete -p huks); "
        'function=$(printf %s "$spec" | sed -E "s/.*-F ([^ ]+).*/\\1/"); "$function" huks "" ""; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    done = subprocess.run([bash, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert expected in [line.split("\t")[0].strip() for line in done.stdout.splitlines()], done


@pytest.fixture
def huks_words(huks_process: Huks) -> str:
    """The script for bash."""
    done = huks_process("completion", "bash")
    assert done.code == 0
    return done.out.decode()
