"""Where sealed key items are kept: the Store protocol and its implementations."""

from typing import TYPE_CHECKING

from huks_async._lazy_names import lazy_names
from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown, type_name
from huks_async.stores.base import ItemName, Row, Store, StoreConflictError

# each store is loaded when it is used, so that a program loads only its own
if TYPE_CHECKING:
    from huks_async.stores.memory import MemoryStore
    from huks_async.stores.sqlite import SqliteStore
else:
    __getattr__ = lazy_names(__name__, {".memory": ("MemoryStore",), ".sqlite": ("SqliteStore",)})

__all__ = ["ItemName", "MemoryStore", "Row", "SqliteStore", "Store", "StoreConflictError", "open_store"]

_ACCEPTED = "sqlite:///relative/path, sqlite:////absolute/path, memory:"


def open_store(address: str | Store) -> Store:
    """Give the store of an address. It still has to be opened.

    Args:
        address: `sqlite:///relative/path`, `sqlite:////absolute/path`, `memory:`, or a store,
            which is given back.

    Raises:
        BusinessError: 401 for an address of no known kind; 12000001 for PostgreSQL, which this
            version does not have.

    """
    if isinstance(address, Store):
        return address
    if not isinstance(address, str):
        raise BusinessError(
            401,
            f"a store address is a text or a Store object, got {type_name(address)}; accepted: {_ACCEPTED}",
        )
    scheme, _, rest = address.partition(":")
    # messages show only the scheme of a refused address, because the rest may hold a password
    if scheme in {"postgresql", "postgres"}:
        raise BusinessError(
            12000001,
            f"a store at {scheme}: needs the PostgreSQL store, which this version of huks_async does not have; "
            f"accepted: {_ACCEPTED}, or an object of a class of your own that implements huks_async.stores.Store",
        )
    if scheme == "memory" and not rest.strip("/"):
        from huks_async.stores.memory import MemoryStore

        return MemoryStore()
    if scheme == "sqlite" and rest.startswith("///") and len(rest) > 3:
        from huks_async.stores.sqlite import SqliteStore

        return SqliteStore(rest[3:])
    raise BusinessError(
        401, f"no store has an address of this kind ({shown(scheme + ':')} …); accepted: {_ACCEPTED}"
    )
