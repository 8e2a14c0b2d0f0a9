"""Which tokens are void because their user's credentials were changed: known to all keystores of a process on a store."""

import os
import threading
from collections.abc import Callable
from weakref import WeakValueDictionary

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_ID_BYTES = 16

# Held while an entry is made, never during a call of anything else.
_changing = threading.Lock()


class _Moment:
    """A moment, and the one that followed it. All hold on to the end of the list, and nothing holds on to its past."""

    __slots__ = ("_next", "at")

    def __init__(self, at: int) -> None:
        self.at = at
        self._next: dict[None, _Moment] = {}

    def last(self) -> "_Moment":
        """The end of the list."""
        moment = self
        while (later := moment._next.get(None)) is not None:
            moment = later
        return moment

    def followed_by(self, later: "_Moment") -> bool:
        """Set what follows, in one step; False if something does already."""
        return self._next.setdefault(None, later) is later


class Voidings:
    """For each user the moment before which tokens are void, in milliseconds."""

    __slots__ = ("__weakref__", "_moments")

    def __init__(self) -> None:
        self._moments: dict[int, _Moment] = {}

    def latest(self, user_id: int) -> int:
        """The moment before which the user's tokens are void. It is another one after each voiding."""
        known = self._moments.get(user_id)
        return 0 if known is None else known.last().at

    def void(self, user_id: int, clock: Callable[[], int]) -> None:
        """Void the tokens that a user has; `clock` gives milliseconds.

        Those of this millisecond are among them, so the next ones have to be of the moment that `latest` gives.
        """
        # Noted before the clock is read. Whoever makes a token reads the clock and then looks at `latest`, so it either
        # sees this note, or its token is of an earlier moment than the one that is noted below.
        self._raise(user_id, lambda latest: latest + 1)
        now = clock()
        self._raise(user_id, lambda latest: max(now + 1, latest))

    def learn(self, user_id: int, at: int) -> None:
        """Note a voiding that happened elsewhere."""
        if at > self.latest(user_id):
            self._raise(user_id, lambda latest: max(at, latest))

    def _raise(self, user_id: int, raised: Callable[[int], int]) -> None:
        # Without a lock: a signal handler that voids tokens may have interrupted this very function.
        last = self._moments.setdefault(user_id, _Moment(0))
        while True:
            last = last.last()
            later = _Moment(raised(last.at))
            if last.followed_by(later):
                # may undo what another one has written here meanwhile, which follows `later`
                self._moments[user_id] = later
                return


# By an id of the store; whoever works on the store keeps the entry.
_of_stores: "WeakValueDictionary[bytes, Voidings]" = WeakValueDictionary()


def voidings_of(store_key: bytes) -> Voidings:
    """The voidings that the keystores of this process on one store share, while one of them is open."""
    name = HKDF(SHA256(), _ID_BYTES, salt=None, info=b"huks_async voidings 1").derive(store_key)
    with _changing:
        return _of_stores.setdefault(name, Voidings())


def _renew() -> None:
    global _changing, _of_stores
    _changing, _of_stores = threading.Lock(), WeakValueDictionary()


os.register_at_fork(after_in_child=_renew)
