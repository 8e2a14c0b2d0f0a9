"""The names of files that a store, or SQLite, makes beside a database.

Whoever opens or creates that database takes such a file for its own, writes over it or removes it. So nothing that is to
stay may have such a name, and where a database is to be, there must be room for the names of all.
"""

import errno
import os
import re

from huks_async.model.errors import BusinessError

NUMBER = "[0-9a-f]{16}"
"""The random number in the name of a draft, as a pattern."""
TAILS = ("-wal", "-shm", "-journal")
"""How the names of SQLite's own files end: the log, the shared memory, the log of rollback mode."""
NEW = ".new"
"""How the draft of a new store ends."""
BACKUP_DRAFT = ".backup-draft"
"""How the draft of a backup ends."""

_MOST = 30
"""Bytes that the longest of them has behind the database's name: the drafts of its root key and of a backup."""
_LONGEST_PATH = 512
"""Bytes of the longest path that SQLite opens, its own files included."""

_COMPANION = re.compile(
    rf"(.+)(?:{'|'.join(TAILS)}|\.lock|\.{NUMBER}(?:{re.escape(NEW)}|{re.escape(BACKUP_DRAFT)}))", re.DOTALL
)


def refuse_companion(path: str, what: str) -> None:
    """Refuse the name of a file that belongs to a database, whether that is there or not.

    Args:
        path: the file's.
        what: what would have the name, for the message.

    Raises:
        BusinessError: 401.

    """
    found = _COMPANION.fullmatch(os.path.basename(os.path.normpath(path)))
    if found is not None:
        raise BusinessError(
            401,
            f"{what} has the name of a file that belongs to the database {found[1]!r} beside it, and would be removed or "
            f"overwritten by whoever opens or makes that; choose a name that does not end in {', '.join(TAILS)}, .lock, "
            f"or in a dot, 16 hexadecimal digits and {NEW} or {BACKUP_DRAFT}",
        )


def refuse_too_long(path: str, draft: str, what: str) -> None:
    """Refuse the path of a database that is to be made where one of the files beside it has no room for its name.

    Args:
        path: absolute, without symbolic links that lead to files.
        draft: how the draft of the database ends.
        what: what would have the path, for the message.

    Raises:
        BusinessError: 401.

    """
    longest = f"{path}.{'0' * 16}{draft}{max(TAILS, key=len)}"
    if len(os.fsencode(longest)) > _LONGEST_PATH or _has_long_name(f"{path}{'x' * _MOST}"):
        raise BusinessError(
            401,
            f"the name of {what} is too long: the files beside it have some {_MOST} bytes more than it, and SQLite opens "
            f"paths of {_LONGEST_PATH} bytes at most; choose a shorter one",
        )


def _has_long_name(path: str) -> bool:
    """Whether the file, or a folder above it that is missing, has a name that is too long for the file system there."""
    folder, name = os.path.split(path)
    names = [name]
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder, name = os.path.split(folder)
        names.append(name)
    for name in names:
        try:
            os.lstat(os.path.join(folder, name))
        except OSError as error:  # anything else is met, and told, where the files are made
            if error.errno == errno.ENAMETOOLONG:
                return True
    return False
