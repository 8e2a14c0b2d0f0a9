"""The keystore: one store, one root key, one session table, and the documented functions on them."""

from huks_async.keystore.current import current_keystore
from huks_async.keystore.keystore import Keystore
from huks_async.keystore.unbuilt import UNBUILT

__all__ = ["UNBUILT", "Keystore", "current_keystore"]
