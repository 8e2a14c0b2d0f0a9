"""The table of commands: every line leads to a command, and help tells of each."""

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
    assert done.out.decode().startswith(f"Usage: huks {' '.join(words)}")


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
