"""Warnings that point at the caller's own line: weak algorithms, and input that only HUKS accepts."""

import sys
import warnings

from huks_async.model.errors import HuksLegacyWarning, HuksWarning

_PACKAGE = __name__.partition(".")[0]


_count = 0


def times_warned() -> int:
    """How often `warn_legacy` was called: what was prepared while it rose must not be kept, or it warns no more."""
    return _count


def warn_legacy(what: str) -> None:
    """Warn the caller that `what` (an algorithm, digest or key size) is weak today."""
    global _count
    _count += 1
    warn_caller(f"{what} is weak today; it works as documented", HuksLegacyWarning)


def warn_caller(message: str, category: type[HuksWarning]) -> None:
    """Warn at the innermost line outside this package, through all of our frames.

    Python's own memory of warnings works by that line, so a loop there warns once.
    """
    level = 1
    frame = sys._getframe(0)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)
