"""What the command says and how it ends.

Three rules: data goes to standard output and nothing else does; everything for people goes to
standard error; a failure is one line `error: …`, with a line `hint: …` below it where something helps.
"""

import sys
import warnings
from typing import TextIO

from huks_async.model.errors import ERRORS, BusinessError

FAILED = 1
WRONG_USAGE = 2


class CommandError(Exception):
    """The command cannot do what it was asked to."""

    def __init__(self, message: str, *, hint: str | None = None, status: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.status = status


def usage_error(message: str, *, hint: str | None = None) -> CommandError:
    """A `CommandError` for a call that was wrong in itself."""
    return CommandError(message, hint=hint, status=WRONG_USAGE)


def say(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr)


def report(message: str, hint: str | None = None) -> None:
    """The lines of a failure."""
    say(f"error: {message}")
    if hint:
        say(f"hint: {hint}")


def report_business_error(error: BusinessError) -> None:
    """The lines of a failed keystore call, with its code and the table's way out."""
    fact = ERRORS.get(error.code)
    report(f"{error.message} (code {error.code})", fact.way_out if fact else None)


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A replacement for `warnings.showwarning` without file names and lines of code."""
    say(f"warning: {message}")


def quiet_warnings() -> None:
    """Show warnings as lines `warning: …`."""
    warnings.showwarning = show_warning
