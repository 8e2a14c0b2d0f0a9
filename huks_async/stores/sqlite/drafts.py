"""Files that are complete before they get their name: until then they are drafts, locked by whoever makes them.

A draft that nobody locks was left by a process that was killed. The lock is `flock`, which the kernel releases with the
process, and which on Linux does not touch the POSIX locks that SQLite has on a file.
"""

import fcntl
import os
import re
import stat
from contextlib import suppress

from huks_async.runtime.companions import NUMBER
from huks_async.runtime.randomness import random_bytes

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_MODE = 0o600
_LOOK = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def begin(path: str, suffix: str) -> tuple[int, str]:
    """Create a draft of mode 0600 at most, for a file that is to have a path; return the descriptor that locks it, and its name."""
    while True:
        draft = f"{path}.{random_bytes(8).hex()}{suffix}"
        descriptor = make(draft)
        if descriptor is not None:
            return descriptor, draft


def pattern_of(name: str, suffix: str) -> str:
    """Return the pattern of the names that drafts have for a file of this name. Other files are somebody's own."""
    return rf"{re.escape(name)}\.{NUMBER}{re.escape(suffix)}"


def make(draft: str) -> int | None:
    """Create a draft by its name; return the descriptor that locks it, None if another took it away."""
    descriptor = os.open(draft, _FLAGS, _MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Until it was locked, it looked like one that a killed process has left.
        if os.path.lexists(draft):
            return descriptor
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def remove_if_stale(draft: str) -> bool:
    """Remove a draft unless somebody is making it; tell whether it was removed. Other kinds of files are left."""
    try:
        descriptor = os.open(draft, _LOOK)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(draft)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
