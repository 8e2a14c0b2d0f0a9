"""What the command says and how it ends.

Three rules: data goes to standard output and nothing else does; everything for people goes to
standard error; a failure is one line `error: …`, with a line `hint: …` below it where something helps.
"""

import contextlib
import io
import json
import os
import select
import sys
import threading
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import BinaryIO, TextIO, cast

from huks_async.cli.shell.descriptors import WaitingFile
from huks_async.cli.shell.interrupts import interrupted, interruptible
from huks_async.model.errors import ERRORS, BusinessError

FAILED = 1
WRONG_USAGE = 2

_PIECES = 10_000
"""Of a JSON document, mostly words and marks, that are written at once."""

STANDARD_INPUT = "standard input"
STANDARD_OUTPUT = "standard output"


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


@contextlib.contextmanager
def naming(name: str, *, instead: bool = False) -> Iterator[None]:
    """Name the file in system errors that do not: those of calls that got a descriptor.

    Args:
        name: the file.
        instead: whether it takes the place of another name, which nobody gave.

    """
    try:
        yield
    except OSError as error:
        if instead or error.filename is None:
            error.filename = name
        raise


def standard_input() -> TextIO:
    """Standard input.

    Raises:
        CommandError: the command was started without one.

    """
    if sys.stdin is None:
        raise CommandError(f"{STANDARD_INPUT} is closed")
    return sys.stdin


def standard_output() -> TextIO:
    """Standard output.

    Raises:
        CommandError: the command was started without one.

    """
    if sys.stdout is None:
        raise CommandError(f"{STANDARD_OUTPUT} is closed")
    return sys.stdout


def show(text: str, *, flush: bool = False) -> None:
    """A line of data."""
    with writing():
        print(text, file=standard_output(), flush=flush)


def show_json(document: Mapping[str, object]) -> None:
    """One JSON document as the whole of the data; characters beyond ASCII are escaped."""
    with writing():
        output = standard_output()
        # written as it is made: the whole text of a million keys takes half a gigabyte on the way
        pieces = json.JSONEncoder(indent=2).iterencode(document)
        while some := "".join(islice(pieces, _PIECES)):
            output.write(some)
        output.write("\n")


def flush_output() -> None:
    """Write what standard output still holds."""
    if sys.stdout is not None:
        with writing():
            sys.stdout.flush()


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Name standard output in the errors of writing to it, and let signals break that.

    Raises:
        CommandError: the command was started without standard output.

    """
    standard_output()
    try:
        with interruptible(), naming(STANDARD_OUTPUT):
            yield
    except OSError:
        # what could not be written is still there; Python would complain again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def escape(text: str, *, kept: str = "", also: str = "\\") -> str:
    """The text with escapes, as in a literal of Python, for what a terminal would not print or take as a command.

    Args:
        text: from elsewhere, such as the name of a file or key.
        kept: what is left as it is all the same.
        also: what is escaped, too: the backslash, where the text is to be read back.
    """
    return "".join(
        char
        if char in kept or (char not in also and (char.isprintable() or unicodedata.category(char) == "Zs"))
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def tell(text: str, stream: TextIO | None = None) -> bool:
    """Write to standard error, or to a stream that stands for it; whether that was possible.

    Nothing depends on what is told there, so a reader that has gone is no failure. One that does not read is waited
    for until a signal asks the command to end, and not from then on.

    Raises:
        Interrupted: a signal arrived while this waited.

    """
    error = stream or sys.stderr
    if error is None:
        return False
    # a signal breaks the waiting of the main thread alone
    waits = threading.current_thread() is threading.main_thread() and not interrupted()
    try:
        if not waits and not _takes_text(error):
            return False
        with interruptible() if waits else contextlib.nullcontext():
            error.write(text)
            error.flush()
    except OSError:
        return False
    return True


def _takes_text(stream: TextIO) -> bool:
    """Whether a stream has room for a line at once."""
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:
        # it is in memory
        return True
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    return bool(room.poll(0))


def say(text: str) -> None:
    """Lines for people."""
    tell(escape(text, kept="\n\t", also="") + "\n")


def report(message: str, hint: str | None = None) -> None:
    """The lines of a failure."""
    say(f"error: {escape(message, also='')}")
    if hint:
        say(f"hint: {escape(hint, also='')}")


_WAYS_OUT = {
    12000007: "give a token of the key's user; if the key itself is void for its user, make a new key",
    12000008: "for a key with --auth-challenge none, huks access token writes a new token; other keys ask for the PIN",
    12000009: "huks access token writes a new token",
    12000013: "huks access enroll gives the user a PIN",
    12000016: "huks access enroll gives the user a PIN",
    12000017: "choose another name, or take away what has it",
}
"""Ways out for whoever types commands, where that of the library is for programs."""


def report_business_error(error: BusinessError) -> None:
    """The lines of a failed keystore call, with its code and the table's way out."""
    fact = ERRORS.get(error.code)
    way_out = _WAYS_OUT.get(error.code, fact.way_out if fact else None)
    report(f"{error.message} (code {error.code})", way_out)


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


def wait_for_readers() -> None:
    """Wait for room also where standard output and error do not wait by themselves.

    Python would drop what such a pipe has no room for. It is for a process that has the command as its whole work.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            raw = WaitingFile(stream.fileno())
            waiting = io.TextIOWrapper(
                # Python's own has no buffer either where everything is to be written through
                cast("BinaryIO", raw if stream.write_through else io.BufferedWriter(raw)),
                encoding=stream.encoding,
                errors=stream.errors,
                newline="\n",
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            setattr(sys, name, waiting)


def accept_all_text() -> None:
    """Escape on standard output the characters that its encoding does not have."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
