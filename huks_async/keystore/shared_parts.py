"""What a keystore opens and closes with itself: its store and its root keys, which other keystores may use as well.

A program may give one `Store` or `RootKey` object to several keystores. Each of them opens it, which does nothing if
it is open; only the last one that leaves closes it, so that no keystore loses what it works with.
"""

import os
from contextlib import AsyncExitStack
from threading import RLock, get_ident
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

import anyio

from huks_async.model.errors import BusinessError
from huks_async.rootkeys import RootKey
from huks_async.rootkeys.answers import close_key, open_key
from huks_async.runtime.owner import Owner
from huks_async.stores import Store

Part: TypeAlias = Store | RootKey

# seconds between looks whether another event loop has closed a key
_LOOK_AGAIN = 0.01


class _Closing(NamedTuple):
    """An object that is being closed."""

    by: Owner
    ended: anyio.Event


class _Use:
    """Who uses one object."""

    __slots__ = ("__weakref__", "closing", "users")

    def __init__(self) -> None:
        # weak, because a keystore that was forgotten while it was open uses nothing any more
        self.users: WeakKeyDictionary[Parts, Owner] = WeakKeyDictionary()
        self.closing: _Closing | None = None

    def owners(self) -> "list[Owner]":
        """To whom the users of this moment belong."""
        # event loops of other threads may add and remove users meanwhile, which an iteration would not survive
        users = [user for ref in self.users.keyrefs() if (user := ref()) is not None]
        return [owner for user in users if (owner := self.users.get(user)) is not None]

    def is_left_to(self, one: "Parts") -> bool:
        """Whether nobody uses the object but one."""
        return all(ref() in (one, None) for ref in self.users.keyrefs())


# By the object's id. Whoever uses the object keeps it and its entry alive, so no other object can have this id.
_uses: "WeakValueDictionary[int, _Use]" = WeakValueDictionary()

# Held while one decides whether it may use an object, or is the last to leave it: event loops of other threads decide
# at the same time. Nothing awaits meanwhile; the garbage collector may end a closing of an abandoned task, in the thread
# that holds it.
_deciding = RLock()


def _renew() -> None:
    global _deciding
    _deciding = RLock()  # the thread that holds it stayed in the parent


os.register_at_fork(after_in_child=_renew)


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
        await self._begin(self._store, owner)
        for key in (self._root_key, self._wrapping_key):
            if key is not None:
                await self._begin(key, owner)
        await self._store.open()
        if self._wrapping_key is not None:
            await open_key(self._wrapping_key)

    async def aclose(self) -> None:
        """Close those that nobody else uses. Those that `open` did not come to are left alone."""
        async with AsyncExitStack() as steps:  # the last one pushed is the first to run
            for part in (self._store, self._wrapping_key, self._root_key):
                if part is not None:
                    steps.push_async_callback(self._end, part)

    async def _begin(self, part: Part, owner: Owner) -> None:
        while (closing := self._join(part, owner)) is not None:
            if not closing.by.is_elsewhere():
                await closing.ended.wait()
            else:  # a key, which may serve several event loops; events wake only tasks of their own loop
                await anyio.sleep(_LOOK_AGAIN)

    def _join(self, part: Part, owner: Owner) -> _Closing | None:
        """Use an object from now on; if it is being closed, return what to wait for instead."""
        with _deciding:
            use = _uses.setdefault(id(part), _Use())
            if part is self._store:
                self._check_loop(use)
            closing = use.closing
            # Nobody closes it any more if the loop ended in the middle of it, or stands still while this one runs.
            if closing is not None and not (
                closing.by.is_elsewhere() and (closing.by.has_ended() or closing.by.thread == get_ident())
            ):
                return closing
            use.users[self] = owner
            self._used[id(part)] = use
            return None

    async def _end(self, part: Part) -> None:
        """Leave an object that this keystore uses, and close it if nobody else does."""
        use = self._used.get(id(part))
        if use is None:
            return
        # A keystore that opens the object from now on waits until it is closed, and then opens it anew.
        closing = _Closing(Owner(), anyio.Event())
        with _deciding:
            if not use.is_left_to(self):
                del self._used[id(part)]
                use.users.pop(self, None)
                return
            use.closing = closing
            use.users[self] = closing.by
        try:
            await (close_key(part) if isinstance(part, RootKey) else part.aclose())
        finally:
            with _deciding:
                if use.closing is closing:
                    use.closing = None
                    if part is self._store:
                        self._store.forget()
                self._used.pop(id(part), None)  # gone after a fork
                use.users.pop(self, None)
            closing.ended.set()

    def taken_over(self) -> "Parts":
        """Leave to a new object what an event loop that has ended was just opening or closing.

        The garbage collector ends what is left of its tasks at any time, and they know this object only.
        """
        new, owner = Parts(self._store, self._root_key, self._wrapping_key), Owner()
        with _deciding:
            new._used, self._used = self._used, {}
            for use in new._used.values():
                use.users.pop(self, None)
                use.users[new] = owner
        return new

    def forget(self) -> None:
        """Leave without closing anything: for a child process after a fork, where all of it is the parent's."""
        for use in self._used.values():
            use.users.pop(self, None)
            use.closing = None
        self._used.clear()

    def _check_loop(self, use: _Use) -> None:
        for owner in use.owners():
            if owner.is_elsewhere() and (use.closing is not None or not owner.has_ended()):
                raise BusinessError(
                    12000012,
                    f"the store object {self._store.address} is used by a keystore in another event loop; give each "
                    "event loop a store object of its own: the same address opens the same keys",
                )
