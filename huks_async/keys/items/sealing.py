"""Key items at rest: sealed, so that any change of any field is noticed.

A sealed item is, in this order (lengths little-endian):

    4   magic "HKi1", the last character is the format version
    4   length of the parameters
    n   the parameters (`item.encode_params`), readable but authenticated
    12  nonce, random
    m   AES-256-GCM of the material, with its 16-byte tag

The key is HKDF-SHA256 of the store key for the namespace. Associated data are namespace, level,
alias and everything before the nonce, so an item moved to another alias, level or namespace, or with
one field of another item, does not open.
"""

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.items.item import decode_params, encode_params
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.showing import shown
from huks_async.runtime.randomness import random_bytes
from huks_async.stores.base import ItemName

FORMAT_VERSION = 1
_MAGIC = b"HKi1"
_NONCE_BYTES = 12
_MATERIAL = struct.Struct("<HIII")


class Sealer:
    """Seals and opens the key items of one store."""

    def __init__(self, store_key: bytes) -> None:
        self._store_key = store_key
        self._ciphers: dict[str, AESGCM] = {}

    def seal(self, name: ItemName, params: ParamSet, material: KeyMaterial) -> bytes:
        """Make the stored form of a key item."""
        encoded = encode_params(params)
        head = _MAGIC + struct.pack("<I", len(encoded)) + encoded
        nonce = random_bytes(_NONCE_BYTES)
        plain = (
            _MATERIAL.pack(material.algorithm, material.size, len(material.secret), len(material.public))
            + material.secret
            + material.public
        )
        return head + nonce + self._cipher(name).encrypt(nonce, plain, _associated_data(name, head))

    def open(self, name: ItemName, blob: bytes) -> tuple[ParamSet, KeyMaterial]:
        """Open a stored item.

        Raises:
            BusinessError: 12000012 when the item is damaged, moved or of a newer format.
        """
        if blob[:3] == _MAGIC[:3] and blob[3:4] > _MAGIC[3:]:
            raise _damaged(name, "it was written by a newer version of this library; update the library")
        if blob[:4] != _MAGIC or len(blob) < 8:
            raise _damaged(name, "it does not begin as an item does")
        head_end = 8 + struct.unpack_from("<I", blob, 4)[0]
        nonce = blob[head_end : head_end + _NONCE_BYTES]
        if len(nonce) != _NONCE_BYTES:
            raise _damaged(name, "it is cut off")
        head = blob[:head_end]
        try:
            plain = self._cipher(name).decrypt(
                nonce, blob[head_end + _NONCE_BYTES :], _associated_data(name, head)
            )
        except InvalidTag:
            raise _damaged(
                name, "it was changed, moved from another alias, or sealed by another key"
            ) from None
        algorithm, size, secret_length, public_length = _MATERIAL.unpack_from(plain)
        secret_end = _MATERIAL.size + secret_length
        material = KeyMaterial(
            algorithm,
            size,
            plain[_MATERIAL.size : secret_end],
            plain[secret_end : secret_end + public_length],
        )
        return decode_params(head[8:]), material

    def _cipher(self, name: ItemName) -> AESGCM:
        cipher = self._ciphers.get(name.namespace)
        if cipher is None:
            info = b"huks_async item 1\0" + name.namespace.encode()
            key = HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(self._store_key)
            cipher = self._ciphers[name.namespace] = AESGCM(key)
        return cipher


def _associated_data(name: ItemName, head: bytes) -> bytes:
    namespace, alias = name.namespace.encode(), name.alias.encode()
    return struct.pack("<III", len(namespace), name.level, len(alias)) + namespace + alias + head


def _damaged(name: ItemName, how: str) -> BusinessError:
    return BusinessError(
        12000012,
        f"the stored item of key {shown(name.alias)} (namespace {shown(name.namespace)}, level {name.level}) cannot be "
        f"used: {how}. Restore it from a backup, or delete or replace the key; other keys are not affected",
    )
