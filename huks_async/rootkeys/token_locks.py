"""Who may use a PKCS#11 token now: a process has one login at it, whatever the number of its sessions."""

import os
import threading

_locks: dict[tuple[str, str], threading.Lock] = {}
_making = threading.Lock()


def token_lock(module: str, token: str) -> threading.Lock:
    """The lock under which this process logs in at a token and uses it."""
    with _making:
        return _locks.setdefault((os.path.realpath(module), token), threading.Lock())


def _renew() -> None:
    global _making
    _making = threading.Lock()
    _locks.clear()


os.register_at_fork(after_in_child=_renew)
