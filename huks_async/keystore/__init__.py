"""The keystore: one store, one root key, one session table, and the documented functions on them."""

from huks_async.keystore.current_keystore import current_keystore
from huks_async.keystore.keystore import Keystore

__all__ = ["Keystore", "current_keystore"]
