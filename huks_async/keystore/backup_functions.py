"""A backup of the store, beside the documented functions."""

import os
from dataclasses import dataclass

from huks_async.keys.items.sealing import Sealer
from huks_async.keys.items.storekey import unwrap_store_key
from huks_async.keystore.open_state import KeystoreFunctions
from huks_async.keystore.store_vault import VAULT_NAMESPACE
from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown
from huks_async.rootkeys import RootKey
from huks_async.runtime.closing import stop_if_abandoned
from huks_async.runtime.paths import path_text
from huks_async.stores.base import STORE_KEY, ItemName

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class StoreBackup:
    """What a backup holds.

    Attributes:
        path: the file, absolute.
        keys: key items in it, of all namespaces and levels.
        size: bytes.
    """

    path: str
    keys: int
    size: int


class BackupFunctions(KeystoreFunctions):
    """Copies the store while it is in use."""

    _root_key: RootKey

    async def backup(self, path: str | os.PathLike[str]) -> StoreBackup:
        """Copy the whole store to a new file, while this and other processes go on using it.

        The copy shows the store at one moment, holds every key acknowledged before the call, and is a store
        itself: `sqlite:///path` opens it, with the same root key. **The root key is not in it**; keep a copy of
        that elsewhere. Every key in the copy is opened once before this returns. The work is done in a worker
        thread and holds up no other call.

        Args:
            path: the file to make, with mode 0600, in a folder that exists.

        Returns:
            what it holds.

        Raises:
            BusinessError: 401 for a path where there is anything already, also a link, pipe or device, for something
                that is not a path, and for a name that is too long or ends as those of files that belong to a database
                do (`-wal`, `-shm`, `-journal`, `.lock`, those of drafts); 12000001 for a store that is not in a file;
                12000004 when the file cannot be written, e.g. on a full disk, or the store cannot be read; 12000012
                when a key in it does not open (the message names the key), or when the keystore is closed meanwhile.
                After an error, and when this is cancelled, nothing is left of the copy.
        """
        target = _check_path(path)
        stop_if_abandoned()
        for attempt in range(_ATTEMPTS):
            state = self._open_state()
            wrapped = await state.store.get_meta(STORE_KEY)
            if wrapped is None:
                raise BusinessError(
                    12000012, f"the store {state.store.address} lost its key while it was open; {_RESTORE}"
                )
            # The wrapped key is unwrapped again, to prove that the root key as it is now opens the copy. The key
            # that the keystore has in memory was unwrapped when it was opened, which may be long ago.
            unwrapped = unwrap_store_key(state.store, self._root_key, wrapped, anew=True)
            opener = _Opener(Sealer(await state.outside.ask(unwrapped, "the root key")))
            try:
                made = await state.store.backup(target, opener, _Expected(wrapped))
            except _RewrappedError:
                if attempt + 1 < _ATTEMPTS:
                    continue
                raise BusinessError(
                    12000012,
                    f"the root key of the store {state.store.address} is being changed; make the backup after that",
                ) from None
            return StoreBackup(made.path, opener.keys, made.size)
        raise AssertionError("unreachable")


_RESTORE = "restore the store from a backup"


class _RewrappedError(Exception):
    """The root key was changed after the wrapped key was read and before the copy was made."""


class _Opener:
    """Opens each row of the copy, and counts those that are keys and not what authenticators remember."""

    def __init__(self, sealer: Sealer) -> None:
        self.keys = 0
        self._sealer = sealer

    def __call__(self, name: ItemName, blob: bytes) -> None:
        self._sealer.open(name, blob)
        if name.namespace != VAULT_NAMESPACE:
            self.keys += 1


class _Expected:
    """Checks that the copy has the wrapped key that was unwrapped."""

    def __init__(self, wrapped: bytes) -> None:
        self._wrapped = wrapped

    def __call__(self, meta: dict[str, bytes]) -> None:
        if meta.get(STORE_KEY) != self._wrapped:
            raise _RewrappedError


def _check_path(path: object) -> str:
    text = path_text(path)
    if text is None:
        raise BusinessError(401, f"path: a backup needs the name of a file, got {shown(path)}")
    return text
