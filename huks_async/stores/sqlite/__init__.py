"""The SQLite store. Its parts, from the outside in.

`store` is the face that a keystore awaits; `engine` is what its threads do; `database` is one set of open
files; `opening` and `creation` make it; `guards`, `commitlock` and `files` keep it true while other
processes, other programs and people handle the same files.
"""

from huks_async.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
