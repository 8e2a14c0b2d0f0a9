"""The names of files that a store, or SQLite, makes beside a database.

Whoever opens or creates that database takes such a file for its own, writes over it or removes it. So nothing that is to
stay may have such a name.
"""

import os
import re

from huks_async.model.errors import BusinessError
from huks_async.stores.sqlite.drafts import NUMBER

TAILS = ("-wal", "-shm", "-journal")
"""How the names of SQLite's own files end: the log, the shared memory, the log of rollback mode."""
NEW = ".new"
"""How the draft of a new store ends."""
BACKUP_DRAFT = ".backup-draft"
"""How the draft of a backup ends."""

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
