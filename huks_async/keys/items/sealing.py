r"""Key items at rest: sealed, so that any change of any field is noticed.

A sealed item of format 2 is, in this order (numbers little-endian):

    4   magic "HKi2", the last character is the format version
    4   generation of the store key that it is sealed under; 0, the first and only one so far
    4   length of the parameters
    n   the parameters (`item.encode_params`), readable but authenticated
    16  random bytes
    m   AES-256-SIV (RFC 5297) of the material: 16 bytes that depend on everything, then the ciphertext

The material is algorithm (2), size (4), length of the secret half (4), length of the public half (4), and
both halves. The key is HKDF-SHA256 of the store key, 64 bytes, no salt, info "huks_async item 2\0" and the
namespace. Associated data are two: first length of the namespace (4), storage level (4), length of the
alias (4), namespace, alias (UTF-8) and everything before the random bytes; then the random bytes. So an item
that is moved to another alias, level or namespace, or has one field of another item, does not open.

AES-SIV stays safe if the random bytes repeat: two items that are equal in everything, random bytes included,
would be sealed to the same bytes, and nothing else would be revealed. One key serves 2^48 writes (RFC 5297,
section 7), which at 2,000 a second take 4,000 years.

Format 1, "HKi1", is still read but no longer written. It had no generation, 12 random bytes, and AES-256-GCM
with these as nonce, under a key of 32 bytes with the info "huks_async item 1\0" and the namespace. A repeated
nonce would have revealed its authentication key, and its limit was 2^32 writes.
"""

import struct
from collections import OrderedDict

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.items.item import decode_params
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.showing import shown
from huks_async.runtime.randomness import random_bytes
from huks_async.stores.base import ItemName

FORMAT_VERSION = 2
GENERATION = 0

_MAGIC_1, _MAGIC = b"HKi1", b"HKi2"
_HEAD_1, _HEAD = struct.Struct("<4sI"), struct.Struct("<4sII")
_NONCE_1_BYTES = 12
_RANDOM_BYTES = 16
_PLACE = struct.Struct("<III")
_MATERIAL = struct.Struct("<HIII")

_MAX_CIPHERS = 1024
"""For how many namespaces, those used last, a cipher is kept ready. Deriving another one takes less than 0.1 ms."""


class Sealer:
    """Seals and opens the key items of one store."""

    def __init__(self, store_key: bytes) -> None:
        self._store_key = store_key
        self._ciphers: OrderedDict[str, tuple[AESSIV, bytes]] = OrderedDict()
        """By namespace: its cipher, and its name in UTF-8. The one used last is at the end."""

    def seal(self, name: ItemName, encoded: bytes, material: KeyMaterial) -> bytes:
        """Make the stored form of a key item, with its parameters as `encode_params` gives them."""
        head = _HEAD.pack(_MAGIC, GENERATION, len(encoded)) + encoded
        plain = (
            _MATERIAL.pack(material.algorithm, material.size, len(material.secret), len(material.public))
            + material.secret
            + material.public
        )
        random = random_bytes(_RANDOM_BYTES)
        cipher, namespace = self._cipher(name)
        return head + random + cipher.encrypt(plain, [_bound(name, namespace, head), random])

    def open(self, name: ItemName, blob: bytes) -> tuple[ParamSet, KeyMaterial]:
        """Open a stored item.

        Raises:
            BusinessError: 12000012 when the item is damaged, moved or of a newer format.
        """
        magic = blob[:4]
        if magic == _MAGIC:
            return self._open(name, blob)
        if magic == _MAGIC_1:
            return self._open_format_1(name, blob)
        if magic[:3] == _MAGIC[:3] and magic[3:] > _MAGIC[3:]:
            raise _newer(name, f"format {shown(magic[3:].decode('latin-1'))}, and {FORMAT_VERSION}")
        raise _damaged(name, "it does not begin as an item does")

    def _open(self, name: ItemName, blob: bytes) -> tuple[ParamSet, KeyMaterial]:
        if len(blob) < _HEAD.size:
            raise _damaged(name, "it is cut off")
        _, generation, length = _HEAD.unpack_from(blob)
        if generation != GENERATION:
            raise _newer(name, f"generation {generation} of the store key, and {GENERATION}")
        head_end = _HEAD.size + length
        sealed_start = head_end + _RANDOM_BYTES
        head, random = blob[:head_end], blob[head_end:sealed_start]
        if len(random) != _RANDOM_BYTES:
            raise _damaged(name, "it is cut off")
        try:
            cipher, namespace = self._cipher(name)
            plain = cipher.decrypt(blob[sealed_start:], [_bound(name, namespace, head), random])
        except InvalidTag:
            raise _changed(name) from None
        return decode_params(head[_HEAD.size :]), _material(plain)

    def _open_format_1(self, name: ItemName, blob: bytes) -> tuple[ParamSet, KeyMaterial]:
        if len(blob) < _HEAD_1.size:
            raise _damaged(name, "it is cut off")
        _, length = _HEAD_1.unpack_from(blob)
        head_end = _HEAD_1.size + length
        nonce = blob[head_end : head_end + _NONCE_1_BYTES]
        if len(nonce) != _NONCE_1_BYTES:
            raise _damaged(name, "it is cut off")
        head = blob[:head_end]
        # This cipher is not kept, because an item of this old format is opened rarely, until its key is replaced.
        cipher = AESGCM(self._derive(b"huks_async item 1\0", name, 32))
        try:
            plain = cipher.decrypt(
                nonce, blob[head_end + _NONCE_1_BYTES :], _bound(name, name.namespace.encode(), head)
            )
        except InvalidTag:
            raise _changed(name) from None
        return decode_params(head[_HEAD_1.size :]), _material(plain)

    def _cipher(self, name: ItemName) -> tuple[AESSIV, bytes]:
        kept = self._ciphers.get(name.namespace)
        if kept is not None:
            if len(self._ciphers) > 1:
                self._ciphers.move_to_end(name.namespace)
            return kept
        made = AESSIV(self._derive(b"huks_async item 2\0", name, 64)), name.namespace.encode()
        if len(self._ciphers) >= _MAX_CIPHERS:
            self._ciphers.popitem(last=False)
        self._ciphers[name.namespace] = made
        return made

    def _derive(self, purpose: bytes, name: ItemName, size: int) -> bytes:
        info = purpose + name.namespace.encode()
        return HKDF(SHA256(), size, salt=None, info=info).derive(self._store_key)


def _bound(name: ItemName, namespace: bytes, head: bytes) -> bytes:
    alias = name.alias.encode()
    return _PLACE.pack(len(namespace), name.level, len(alias)) + namespace + alias + head


def _material(plain: bytes) -> KeyMaterial:
    algorithm, size, secret_length, public_length = _MATERIAL.unpack_from(plain)
    secret_end = _MATERIAL.size + secret_length
    return KeyMaterial(
        algorithm,
        size,
        plain[_MATERIAL.size : secret_end],
        plain[secret_end : secret_end + public_length],
    )


def _item(name: ItemName) -> str:
    return (
        f"the stored item of key {shown(name.alias)} (namespace {shown(name.namespace)}, level {name.level})"
    )


def _damaged(name: ItemName, how: str) -> BusinessError:
    return BusinessError(
        12000012,
        f"{_item(name)} cannot be used: {how}. Restore it from a backup, or delete or replace the key; other keys "
        "are not affected",
    )


def _changed(name: ItemName) -> BusinessError:
    return _damaged(name, "it was changed, moved from another alias, or sealed by another key")


def _newer(name: ItemName, has_and_knows: str) -> BusinessError:
    return BusinessError(
        12000012,
        f"{_item(name)} was written by a newer version of this library: it has {has_and_knows} is the newest known "
        "here. Nothing was changed; update the library of this process (if no newer one ever used this store, the item "
        "is damaged: restore it from a backup)",
    )
