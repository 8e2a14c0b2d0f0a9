"""How tests start the command and see how it ended."""

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
