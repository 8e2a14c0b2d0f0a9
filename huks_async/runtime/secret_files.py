"""Which files may hold a secret: the rule that PostgreSQL has for the private key of its server.

A file of the process's own user must be closed to everybody else, so at most 0600. A file of root's may be
read by its group, so at most 0640: that is how Kubernetes (`defaultMode: 0440`), systemd and distributions
hand a secret to a service that must not change it.
"""

import os
import stat

_OWN_FORBIDDEN = 0o077
_ROOT_FORBIDDEN = 0o037
_ROOT = 0


def too_open(facts: os.stat_result) -> str | None:
    """Say what is wrong with the owner and mode of a file that holds a secret; None if nothing is wrong.

    Args:
        facts: from `os.fstat` of the open file, so that the file that is checked is the one that is read.

    Returns:
        The continuation of a sentence that begins with the file's name, and ends with the rule.

    """
    mode, owner = stat.S_IMODE(facts.st_mode), facts.st_uid
    if owner == _ROOT:
        if not mode & _ROOT_FORBIDDEN:
            return None
    elif _is_strangers(facts):
        return f"belongs to user {owner}; a secret must be a file of this process's user ({os.geteuid()}) or of root's"
    elif not mode & _OWN_FORBIDDEN:
        return None
    accepted = "0640 for a file of root's" if owner == _ROOT else "0600 for a file that is not root's"
    return f"has mode {mode:04o}, so others have rights to it; accepted is at most {accepted}"


def way_out(facts: os.stat_result, path: str) -> str:
    """Return the command after which `too_open` has nothing against such a file.

    Args:
        facts: of the file, see `too_open`.
        path: what the command is to name it.

    """
    if _is_strangers(facts):
        # its mode comes second: while it is another user's, a stricter one locks this process out
        return f"chown {os.geteuid()} '{path}' && chmod 600 '{path}' (as root)"
    mode = "640" if facts.st_uid == _ROOT and stat.S_IMODE(facts.st_mode) & 0o040 else "600"
    return f"chmod {mode} '{path}' (in a volume of Kubernetes: defaultMode: 0440)"


def _is_strangers(facts: os.stat_result) -> bool:
    return facts.st_uid not in (_ROOT, os.geteuid()) and os.geteuid() != _ROOT
