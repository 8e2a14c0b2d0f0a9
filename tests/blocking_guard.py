"""A guard for every event loop of the suite: a call of this package that blocks one raises and fails its test.

blockbuster brings files, SQLite, sockets, sleeping and waiting for locks; added here is what it leaves out.
Only calls with a frame of this package in their stack count: tests may block.
"""

import queue
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import blockbuster
from blockbuster import blockbuster as inside

import huks_async
import huks_async.cli

PACKAGE = Path(huks_async.__file__).parent
# the command runs one task, which may wait for its files; what it calls of the library may not
SCANNED: dict[str, Any] = {"scanned_modules": [huks_async], "excluded_modules": [huks_async.cli]}

OPENING = ("builtins.open", "io.open", "ctypes._dlopen")
ADDED = (
    "fcntl.flock", "fcntl.lockf", "os.chmod", "os.fdatasync", "os.fsync", "os.ftruncate", "os.lstat", "os.open",
    "os.pread", "os.pwrite", "os.truncate", "sqlite3.connect", "sqlite3.Connection.close",
    "subprocess.Popen.communicate", "subprocess.Popen.wait",
)  # fmt: skip


class Allowed(NamedTuple):
    """Functions of a file under which a call may block the loop, and why."""

    file: str
    functions: set[str]
    reason: str


ALLOWED = [
    Allowed("<frozen importlib._bootstrap>", {"_find_and_load"}, "a module is loaded once in a process"),
    Allowed("logging/__init__.py", {"emit"}, "which handlers a log has is the program's choice"),
    Allowed(
        "huks_async/sessions/pressure/parse.py",
        {"read"},
        "files of /proc and /sys are kept open, and the kernel answers from memory within 25 µs",
    ),
    Allowed(
        "huks_async/sessions/pressure/cgroup.py",
        {"_find_again"},
        "such files are opened anew when the process was moved to another group",
    ),
    Allowed(
        "huks_async/sessions/pressure/portable.py",
        {"read"},
        "psutil asks the kernel once a second, where there is no better sensor",
    ),
    Allowed(
        "huks_async/stores/sqlite/walindex.py",
        {"look"},
        "a look at a name of which a file is open: the kernel answers from memory within 2 µs",
    ),
    Allowed("tests/sessions/pressure/conftest.py", {"write"}, "a world that changes while sensors sleep"),
    Allowed(
        "huks_async/access/attempts.py",
        {"boot_id"},
        "a number of the kernel's, which answers from memory, once for each authenticator",
    ),
    Allowed(
        "huks_async/crypto/libcrypto/search.py",
        {"libcrypto_for"},
        "a library is loaded once in a process, as modules are, when a key first needs it",
    ),
]


def _alarm(found: list[str]) -> type[blockbuster.BlockingError]:
    """The error to raise. It is noted, too, because code that survives any exception would swallow it."""

    class Found(blockbuster.BlockingError):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            stack = traceback.extract_stack()
            ours = [frame for frame in stack if frame.filename.startswith(f"{PACKAGE}/")]
            if ours:
                lines = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in ours[-4:]]
                found.append(f"{self}: {', '.join(lines)}")

    return Found


def _opens_nothing(*args: Any, **_: Any) -> bool:
    # `open` of a descriptor wraps it; `dlopen` of nothing looks at what is loaded
    return len(args) > 0 and (args[0] is None or isinstance(args[0], int))


def _does_not_wait(_queue: Any, block: bool = True, timeout: float | None = None) -> bool:
    return not block or timeout == 0


def _watched() -> list[inside.BlockBusterFunction]:
    made = list(blockbuster.BlockBuster(**SCANNED).functions.values())
    made += [inside.BlockBusterFunction(None, name, **SCANNED) for name in ADDED]
    made += [
        inside.BlockBusterFunction(None, name, **SCANNED, can_block_predicate=_opens_nothing)
        for name in OPENING
    ]
    made.append(
        inside.BlockBusterFunction(queue.SimpleQueue, "get", **SCANNED, can_block_predicate=_does_not_wait)
    )
    for function in made:
        for allowed in ALLOWED:
            function.can_block_in(allowed.file, allowed.functions)
    return made


@contextmanager
def guard() -> Iterator[list[str]]:
    """Watch until the end of the block; gives the list that every call found is written to."""
    found: list[str] = []
    watched = _watched()
    plain, inside.BlockingError = inside.BlockingError, _alarm(found)
    try:
        for function in watched:
            function.activate()
        yield found
    finally:
        for function in reversed(watched):
            function.deactivate()
        inside.BlockingError = plain
