"""The SQLite store. Its parts, from the outside in.

`store` has the methods that a keystore awaits; `threads` are those of one opening; `engine` does their work;
`database` is one set of open files; `opening` and `creation` make such a set; `guards`, `commitlock` and `files` keep
it consistent while other processes, other programs and people handle the same files.
"""

from huks_async.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
