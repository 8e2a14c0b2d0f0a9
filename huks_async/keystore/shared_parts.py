"""What a keystore opens and closes with itself: its store and its root keys, which other keystores may use as well.

A program may give one `Store` or `RootKey` object to several keystores. Each of them opens it, which does nothing if
it is open; only the last one that leaves closes it, so that no keystore loses what it works with.
"""

from weakref import WeakKeyDictionary, WeakValueDictionary

import anyio

from huks_async.model.errors import BusinessError
from huks_async.rootkeys import RootKey
from huks_async.runtime.owner import Owner
from huks_async.stores import Store


class _Use:
    """Who uses one object."""

    __slots__ = ("__weakref__", "closing", "users")

    def __init__(self) -> None:
        # weak, because a keystore that was forgotten while it was open uses nothing any more
        self.users: WeakKeyDictionary[Parts, Owner] = WeakKeyDictionary()
        self.closing: anyio.Event | None = None


# By the object's id. Whoever uses the object keeps it and its entry alive, so no other object can have this id.
_uses: "WeakValueDictionary[int, _Use]" = WeakValueDictionary()


class Parts:
    """The store and the root keys of one keystore.

    Args:
        store: where keys are kept.
        root_key: what protects the store's key.
        wrapping_key: the operator's key for wrapped export, or None.
    """

    def __init__(self, store: Store, root_key: RootKey, wrapping_key: RootKey | None) -> None:
        self._store = store
        self._root_key = root_key
        self._wrapping_key = wrapping_key
        self._used: dict[int, _Use] = {}

    async def open(self) -> None:
        """Open the store and the wrapping key. The root key is opened by what reads the store's key.

        Raises:
            BusinessError: 12000012 if another event loop has the store open; otherwise as store and key say.
        """
        owner = Owner()
        use = _use_of(self._store)
        while use.closing is not None or use.users:
            self._check_loop(use)
            if use.closing is None:
                break
            await use.closing.wait()
        self._begin(self._store, use, owner)
        for key in (self._root_key, self._wrapping_key):
            if key is not None:
                self._begin(key, _use_of(key), owner)
        await self._store.open()
        if self._wrapping_key is not None:
            await self._wrapping_key.open()

    async def aclose(self) -> None:
        """Close those that nobody else uses. Those that `open` did not come to are left alone."""
        try:
            for key in (self._root_key, self._wrapping_key):
                if key is not None and self._end(key):
                    await key.aclose()
        finally:
            await self._close_store()

    async def _close_store(self) -> None:
        use = self._used.get(id(self._store))
        if use is None or len(use.users) > 1:
            self._end(self._store)
            return
        # A keystore that opens the store now waits until it is closed, and then opens it anew.
        use.closing = anyio.Event()
        use.users[self] = Owner()
        try:
            await self._store.aclose()
        finally:
            closing, use.closing = use.closing, None
            self._end(self._store)
            closing.set()

    def forget(self) -> None:
        """Leave without closing anything: for a child process after a fork, where all of it is the parent's."""
        for use in self._used.values():
            use.users.pop(self, None)
        self._used.clear()

    def _check_loop(self, use: _Use) -> None:
        for owner in list(use.users.values()):
            if owner.is_elsewhere() and (use.closing is not None or not owner.has_ended()):
                raise BusinessError(
                    12000012,
                    f"the store object {self._store.address} is used by a keystore in another event loop; give each "
                    "event loop a store object of its own: the same address opens the same keys",
                )

    def _begin(self, part: object, use: _Use, owner: Owner) -> None:
        use.users[self] = owner
        self._used[id(part)] = use

    def _end(self, part: object) -> bool:
        """Leave an object, and tell whether it is to be closed: no if others use it, or this keystore did not."""
        use = self._used.pop(id(part), None)
        if use is None:
            return False
        use.users.pop(self, None)
        return not use.users


def _use_of(part: object) -> _Use:
    return _uses.setdefault(id(part), _Use())
