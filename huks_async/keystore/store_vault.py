"""What authenticators remember, kept in the keystore's store: rows sealed like key items, in their own namespace."""

from huks_async.access.callers import SEPARATOR
from huks_async.access.vault import Kept, VaultConflictError
from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.items.item import encode_params
from huks_async.keys.items.sealing import Sealer
from huks_async.model.params import ParamSet
from huks_async.runtime.closing import stop_if_abandoned
from huks_async.stores.base import ItemName, Store, StoreConflictError

# no application can have this namespace, because no application's name contains the separator
VAULT_NAMESPACE = f"{SEPARATOR}access"
_LEVEL = 0
_NO_ALGORITHM = 0
_NO_PARAMETERS = encode_params(ParamSet())


class StoreVault:
    """The vault of one store; see `access.vault.Vault`.

    A value is sealed like the material of a key, so it cannot be read, changed or moved to another name, and a
    backup opens it like every item.
    """

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    async def get(self, name: str) -> Kept | None:
        """Give a value and its version."""
        stop_if_abandoned()
        row = await self._store.get(_row(name))
        if row is None:
            return None
        return Kept(row.version, self._sealer.open(_row(name), row.blob)[1].secret)

    async def put(self, name: str, data: bytes, *, expect: int) -> int:
        """Write a value if it is at the expected version."""
        stop_if_abandoned()
        blob = self._sealer.seal(_row(name), _NO_PARAMETERS, KeyMaterial(_NO_ALGORITHM, 0, data))
        try:
            return await self._store.put(_row(name), blob, expect=expect)
        except StoreConflictError as error:
            raise VaultConflictError(name) from error

    async def delete(self, name: str, *, expect: int) -> None:
        """Remove a value if it is at the expected version."""
        stop_if_abandoned()
        try:
            await self._store.delete(_row(name), expect=expect)
        except StoreConflictError as error:
            raise VaultConflictError(name) from error


def _row(name: str) -> ItemName:
    return ItemName(VAULT_NAMESPACE, _LEVEL, name)
