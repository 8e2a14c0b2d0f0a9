"""Which text may be the path of a file."""

import os


def is_usable(path: str) -> bool:
    """Whether a file can have this path: it is not empty, without zero bytes, and in the file system's encoding.

    That encoding has no lone surrogates, except those that stand for bytes.
    """
    try:
        return bool(path) and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False
