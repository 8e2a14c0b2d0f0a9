"""What is known about the version of SQLite that this Python was linked with."""

import sqlite3

Version = tuple[int, int, int]


def loses_commits_at_checkpoints(version: Version | None = None) -> bool:
    """Whether a version of SQLite has the WAL-reset fault (https://www.sqlite.org/wal.html).

    With this fault, a commit can be lost and the database damaged when another process makes a checkpoint at the
    same moment. Processes of this package never do that, because they commit and make checkpoints under one lock.
    Other programs that make checkpoints of the file do not respect that lock.

    Args:
        version: the version; default: that of this Python.

    """
    asked = sqlite3.sqlite_version_info if version is None else version
    if asked[:2] == (3, 44):
        return asked < (3, 44, 6)
    if asked[:2] == (3, 50):
        return asked < (3, 50, 7)
    return (3, 7, 0) <= asked < (3, 51, 3)
