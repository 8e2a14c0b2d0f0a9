"""Which text may be the path of a file."""

import os

from huks_async.model.plain import plain_text


def path_text(path: object) -> str | None:
    """The text of a path, a str or an object that stands for one; None for anything else, and if it is not usable."""
    text = text_of(path)
    return text if text is not None and is_usable(text) else None


def text_of(path: object) -> str | None:
    """The text of a path, usable or not; None for anything else."""
    if not issubclass(type(path), os.PathLike):
        return plain_text(path)
    try:
        return plain_text(os.fspath(path))  # type: ignore[call-overload]
    except MemoryError:
        raise
    except Exception:  # an object that claims to be a path, and gives neither str nor bytes, or raises
        return None


def is_usable(path: str) -> bool:
    """Whether a file can have this path: it is not empty, without zero bytes, and in the file system's encoding.

    That encoding has no lone surrogates, except those that stand for bytes.
    """
    try:
        return bool(path) and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def absolute(path: str) -> str:
    """The absolute path of what a path names; it asks the system, and so belongs in a worker thread.

    A `..` behind a symbolic link leads up from where the link leads to. `os.path.abspath` alone would take both away as
    text, and name another file.
    """
    if os.pardir in path.split(os.sep):
        folder, name = os.path.split(path)
        path = os.path.join(os.path.realpath(folder), name)
    return os.path.abspath(path)
