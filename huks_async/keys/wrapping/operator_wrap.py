"""Key items wrapped under an operator's key, to be kept outside of the store or carried to another one.

A blob is opaque to the application, and is, lengths little-endian:

    4   version, 1 (devices use 100 and above)
    2   length of the wrapped content key
    n   a content key of 32 random bytes, wrapped by the operator's key
    12  nonce, random
    m   AES-256-GCM of the item, with its 16-byte tag

The item is its storage level (8), the length of its parameters (4), the parameters, the length of the
secret half (4), the number of the algorithm (2), the size (4), the secret and the public half. The
namespace and all that precedes the nonce are authenticated: another application cannot open a blob.
"""

import struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.items.aliases import storage_level
from huks_async.keys.items.item import decode_params, encode_params
from huks_async.keys.items.shelf import KeyShelf
from huks_async.model.enums import HuksErrorCode, HuksKeyWrapType
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag
from huks_async.rootkeys import RootKey
from huks_async.rootkeys.answers import unwrap_key, wrap_key
from huks_async.runtime.outside_calls import OutsideCalls
from huks_async.runtime.randomness import random_bytes

VERSION = 1
MAX_BLOB_BYTES = 1024 * 1024

_T = HuksTag
_HEAD = struct.Struct("<IH")
_ITEM = struct.Struct("<qI")
_MATERIAL = struct.Struct("<IHI")
_KEY_BYTES, _NONCE_BYTES = 32, 12


def check_wrap_type(params: ParamSet) -> None:
    """Check HUKS_TAG_KEY_WRAP_TYPE: 12000018 where it is missing, 12000012 for another value than 2."""
    kind = params.number(_T.HUKS_TAG_KEY_WRAP_TYPE)
    if kind is None:
        raise BusinessError(
            12000018,
            "HUKS_TAG_KEY_WRAP_TYPE is missing; give HUKS_KEY_WRAP_TYPE_HUK_BASED (2)",
            reason=HuksErrorCode.HUKS_ERROR_PARAM_NOT_EXIST,
        )
    if kind != HuksKeyWrapType.HUKS_KEY_WRAP_TYPE_HUK_BASED:
        raise BusinessError(
            12000012, f"HUKS_TAG_KEY_WRAP_TYPE: got {kind}, accepted HUKS_KEY_WRAP_TYPE_HUK_BASED (2)"
        )


async def wrap_item(
    shelf: KeyShelf, alias: str, params: ParamSet, operator: RootKey, outside: OutsideCalls
) -> bytes:
    """Give a key item as a blob under the operator's key, which `outside` asks; see `Keystore.wrapKeyItem`."""
    level = storage_level(params)
    item = await shelf.find(alias, level)
    if not item.params.number(_T.HUKS_TAG_IS_ALLOWED_WRAP):
        raise BusinessError(
            12000012,
            f"key {alias!r} must not be wrapped: it was made without HUKS_TAG_IS_ALLOWED_WRAP = true",
        )
    content_key = random_bytes(_KEY_BYTES)
    wrapped = await outside.ask(wrap_key(operator, content_key), "the wrapping key")
    head = _HEAD.pack(VERSION, len(wrapped)) + wrapped
    nonce = random_bytes(_NONCE_BYTES)
    plain = _encode(level, item.params, item.material)
    return head + nonce + AESGCM(content_key).encrypt(nonce, plain, _bound(shelf, head))


class UnwrappedItem(NamedTuple):
    """The key item of a blob, which is not stored yet."""

    level: int
    params: ParamSet
    material: KeyMaterial


async def unwrap_item(
    shelf: KeyShelf, params: ParamSet, blob: bytes, operator: RootKey, outside: OutsideCalls
) -> UnwrappedItem:
    """Open a blob with the operator's key, which `outside` asks; see `Keystore.unwrapKeyItem`."""
    item = await outside.ask(_open(shelf, blob, operator), "the wrapping key")
    given = params.number(_T.HUKS_TAG_AUTH_STORAGE_LEVEL)
    if given is not None and given != item.level:
        raise BusinessError(
            12000018,
            f"HUKS_TAG_AUTH_STORAGE_LEVEL: got {given}, the key was wrapped at level {item.level} and keeps it",
        )
    return item


async def keep_item(shelf: KeyShelf, alias: str, item: UnwrappedItem, *, override: bool) -> None:
    """Store the key item of a blob under `alias`."""
    await shelf.save(alias, item.level, encode_params(item.params), item.material, override=override)


async def _open(shelf: KeyShelf, blob: bytes, operator: RootKey) -> UnwrappedItem:
    if len(blob) < _HEAD.size:
        raise _damaged("it is too short")
    version, length = _HEAD.unpack_from(blob)
    if version != VERSION:
        # without the number: of a key that was not wrapped at all, it is the beginning of the secret
        raise _damaged(f"it does not begin with version {VERSION}, as what wrapKeyItem gives does")
    end = _HEAD.size + length
    head, nonce, sealed = blob[:end], blob[end : end + _NONCE_BYTES], blob[end + _NONCE_BYTES :]
    if len(nonce) != _NONCE_BYTES:
        raise _damaged("it is too short")
    try:
        content_key = await unwrap_key(operator, head[_HEAD.size :])
    except BusinessError as error:
        if error.code != 12000012:
            raise
        raise _damaged(f"it was changed, or wrapped under another key than {operator.key_id!r}") from None
    try:
        plain = AESGCM(content_key).decrypt(nonce, sealed, _bound(shelf, head))
    except (InvalidTag, ValueError):
        raise _damaged("it was changed, or wrapped in another namespace") from None
    try:
        return _decode(plain)
    except (ValueError, struct.error):
        raise _damaged("what it holds is no key item") from None


def _encode(level: int, params: ParamSet, material: KeyMaterial) -> bytes:
    encoded = encode_params(params)
    return (
        _ITEM.pack(level, len(encoded))
        + encoded
        + _MATERIAL.pack(len(material.secret), material.algorithm, material.size)
        + material.secret
        + material.public
    )


def _decode(plain: bytes) -> UnwrappedItem:
    level, length = _ITEM.unpack_from(plain)
    start = _ITEM.size + length
    params = decode_params(plain[_ITEM.size : start])
    secret_length, algorithm, size = _MATERIAL.unpack_from(plain, start)
    start += _MATERIAL.size
    secret, public = plain[start : start + secret_length], plain[start + secret_length :]
    return UnwrappedItem(level, params, KeyMaterial(algorithm, size, secret, public))


def _bound(shelf: KeyShelf, head: bytes) -> bytes:
    return head + b"huks_async wrapped item\0" + shelf.namespace.encode()


def _damaged(how: str) -> BusinessError:
    return BusinessError(12000012, f"the wrapped key cannot be used: {how}")
