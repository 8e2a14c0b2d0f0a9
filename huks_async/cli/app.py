"""The commands put together, and how each ends."""

import contextlib
import inspect
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from cyclopts.exceptions import UnusedCliTokensError

from huks_async._version import __version__
from huks_async.cli.commands import GROUPS, TOP, Commands
from huks_async.cli.shell import console
from huks_async.cli.shell.interrupts import Interrupted, drive, watching
from huks_async.model.errors import BusinessError

_ROOM = "huks_async.cli"


_HELP = frozenset({"--help", "-h"})


def build_app(*, whole: bool = True) -> App:
    """The tree of commands for the parser.

    Args:
        whole: whether each command's module is loaded, so that help can tell what each does; else only
            that of the command that is run.

    """
    top = App(
        name="huks",
        help="Keys that never leave their keystore: make them, use them on files and pipes.",
        version=__version__,
        help_format="plaintext",
    )
    _add(top, TOP, whole)
    for word, (purpose, commands) in GROUPS.items():
        group = App(name=word, help=purpose)
        _add(group, commands, whole)
        top.command(group)
    return top


def _add(parent: App, commands: Commands, whole: bool) -> None:
    for word, place in commands.items():
        parent.command(f"{_ROOM}.{place}", name=word)
    if whole:
        for command in parent.resolved_commands().values():
            # The parser shows line ends as they are, which fit no terminal's width; paragraphs are broken by it.
            command.help = "\n\n".join(" ".join(part.split()) for part in command.help.split("\n\n"))


def _asks_for_help(arguments: Sequence[str]) -> bool:
    # a group without a command of its own answers with its help, as the bare command does
    return (
        not arguments or tuple(arguments) in {(word,) for word in GROUPS} or not _HELP.isdisjoint(arguments)
    )


def _told(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        words = error.unused_tokens
        return f"{'a word' if len(words) == 1 else 'words'} too many: {', '.join(map(repr, words))}"
    return str(error).strip()


def run(arguments: Sequence[str]) -> int:
    """Run one command to its exit code."""
    console.quiet_warnings()
    console.accept_all_text()
    try:
        command, bound, _ = build_app(whole=_asks_for_help(arguments)).parse_args(
            list(arguments), exit_on_error=False, print_error=False
        )
    except CycloptsError as error:
        console.report(_told(error), "huks --help, or huks COMMAND --help")
        return console.WRONG_USAGE
    except console.CommandError as error:
        console.report(error.message, error.hint)
        return error.status
    try:
        with watching():
            # what the parser writes itself leaves nothing half done
            writes = isinstance(getattr(command, "__self__", None), App)
            with console.writing() if writes else contextlib.nullcontext():
                result = command(*bound.args, **bound.kwargs)
            if inspect.iscoroutine(result):
                result = drive(result)
            console.flush_output()
    except console.CommandError as error:
        console.report(error.message, error.hint)
        return error.status
    except BusinessError as error:
        console.report_business_error(error)
        return console.FAILED
    except Warning as warning:  # PYTHONWARNINGS=error makes warnings errors
        console.report(str(warning))
        return console.FAILED
    except BrokenPipeError:
        # the reader has gone
        return console.FAILED
    except OSError as error:
        console.report(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return console.FAILED
    except Interrupted as signal:
        console.say("interrupted")
        return signal.status
    return result if isinstance(result, int) else 0
