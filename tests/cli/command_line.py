"""How tests start the command and see how it ended."""

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: bytes
    err: str


Huks = Callable[..., Done]


def command(*words: object) -> list[str]:
    """The words that start the command."""
    return [sys.executable, "-m", "huks_async.cli", *map(str, words)]


def shown_on(controller: int) -> bytes:
    """All that a terminal was given, whose other side nobody has open any more; closes this side."""
    shown = b""
    with contextlib.suppress(OSError):
        # a terminal whose other side has gone says so by an error, but only after what is still on its way
        while piece := os.read(controller, 65536):
            shown += piece
    os.close(controller)
    return shown
