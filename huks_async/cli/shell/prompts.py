"""Asking at the terminal, and nowhere else: a secret in a pipe or a script is named by a file."""

import getpass
import os

from huks_async.cli.shell.console import CommandError
from huks_async.cli.shell.interrupts import interruptible


def ask_secret(prompt: str, *, hint: str) -> str:
    """Ask for a secret, which the terminal does not show.

    Raises:
        CommandError: there is no terminal, with this hint; or nothing was typed.

    """
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise CommandError(f"{prompt}: there is no terminal to ask at", hint=hint) from None
    try:
        with interruptible():
            given = getpass.getpass(f"{prompt}: ")
    except EOFError:
        given = ""
    except UnicodeDecodeError:
        raise CommandError(
            f"{prompt}: what was typed is no text in the terminal's encoding", hint=hint
        ) from None
    if not given:
        raise CommandError(f"{prompt}: nothing was typed", hint=hint)
    return given
