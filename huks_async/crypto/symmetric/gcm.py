"""GCM with AES and with SM4 (RFC 8998), streamed; AES in one go where there is no `update`."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import (
    AEADDecryptionContext,
    AEADEncryptionContext,
    Cipher,
    modes,
)

from huks_async.crypto.byte_parameters import optional, required
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.operation import Operation
from huks_async.crypto.secret_key import SecretKey
from huks_async.crypto.symmetric.aead_parameters import (
    AAD,
    ENCRYPT,
    FULL_TAG,
    NONCE,
    TAG,
    TAG_LENGTH,
    bad_tag_length,
    not_authentic,
    wrong_tag_length,
)
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.runtime.randomness import random_bytes

_SM4 = int(HuksKeyAlg.HUKS_ALG_SM4)
_CRYPTO_FAIL, _NOT_HERE = 12000006, 12000001
_new_object = object.__new__

_NONCE_MADE = 12
_NONCE_MIN, _NONCE_MAX = 8, 128

Begun = TypeVar("Begun", bound="GcmEncryption | GcmDecryption")

_ONE_SHOT = 256 * 1024
"""Up to this many bytes it costs less to join ciphertext and tag than to make a context."""


class GcmEncryption(Operation):
    """GCM encryption. All at once AES needs no context; the first `update` makes one."""

    __slots__ = ("_aad", "_appended", "_context", "_key", "_nonce")

    kind = "aes-gcm"

    # The starter sets these, because a call of __init__ would be a noticeable part of a short session.
    _key: SecretKey
    _nonce: bytes
    _aad: bytes | None
    _appended: bytes
    _context: AEADEncryptionContext | None

    def update(self, data: BytesLike) -> bytes:
        """Take a segment; give its ciphertext."""
        try:
            return (self._context or self.begin()).update(data)
        except ValueError:
            raise _too_long() from None

    def begin(self) -> AEADEncryptionContext:
        """Make the context that segments go through."""
        context = self._context = Cipher(self._key.cipher(), modes.GCM(self._nonce)).encryptor()
        if self._aad is not None:
            context.authenticate_additional_data(self._aad)
        return context

    def finish(self, data: BytesLike) -> bytes:
        """Take the last segment; give its ciphertext, the tag, and the nonce where it was made here."""
        context = self._context
        if context is None:
            key = self._key
            sealed = (key.aesgcm or key.make_aesgcm()).encrypt(self._nonce, data, self._aad)
            return sealed + self._appended if self._appended else sealed
        last = self.update(data)
        context.finalize()
        return b"".join((last, context.tag, self._appended))


class Sm4GcmEncryption(GcmEncryption):
    """The same with SM4."""

    __slots__ = ()

    kind = "sm4-gcm"


class GcmDecryption(Operation):
    """GCM decryption. `update` gives plaintext whose tag was not verified yet."""

    __slots__ = ("_aad", "_context", "_key", "_nonce", "_tag")

    kind = "aes-gcm"

    def __init__(self, key: SecretKey, nonce: bytes, aad: bytes | None, tag: bytes) -> None:
        self._key = key
        self._nonce = nonce
        self._aad = aad
        self._tag = tag
        self._context: AEADDecryptionContext | None = None

    def update(self, data: BytesLike) -> bytes:
        """Take a segment; give its plaintext, not verified."""
        try:
            return (self._context or self.begin()).update(data)
        except ValueError:
            raise _too_long() from None

    def begin(self) -> AEADDecryptionContext:
        """Make the context that segments go through."""
        mode = modes.GCM(self._nonce, self._tag)
        context = self._context = Cipher(self._key.cipher(), mode).decryptor()
        if self._aad is not None:
            context.authenticate_additional_data(self._aad)
        return context

    def finish(self, data: BytesLike) -> bytes:
        """Take the last segment; give its plaintext.

        Raises:
            BusinessError: 12000006 where ciphertext, tag, nonce or associated data do not belong together;
                nothing that `update` gave is then to be trusted.

        """
        try:
            if self._context is None and len(data) <= _ONE_SHOT:
                key = self._key
                cipher = key.aesgcm or key.make_aesgcm()
                return cipher.decrypt(self._nonce, b"".join((data, self._tag)), self._aad)
            last = self.update(data)
            self._context.finalize()  # type: ignore[union-attr]  # made by update
        except InvalidTag:
            raise not_authentic() from None
        return last


class Sm4GcmDecryption(GcmDecryption):
    """The same with SM4."""

    __slots__ = ()

    kind = "sm4-gcm"


def encryption(key: SecretKey, nonce: bytes, aad: bytes | None) -> GcmEncryption:
    """A running encryption with an AES or SM4 key, whose output ends with the tag.

    Raises:
        BusinessError: 12000001 for SM4 where the library has no SM4-GCM.
    """
    operation = _new_object(Sm4GcmEncryption if key.algorithm == _SM4 else GcmEncryption)
    operation._key = key
    operation._nonce = nonce
    operation._aad = aad
    operation._appended = b""
    operation._context = None
    return _begun(operation) if key.algorithm == _SM4 else operation


def decryption(key: SecretKey, nonce: bytes, aad: bytes | None, tag: bytes) -> GcmDecryption:
    """A running decryption with an AES or SM4 key.

    Raises:
        BusinessError: as `encryption`.
    """
    if key.algorithm == _SM4:
        return _begun(Sm4GcmDecryption(key, nonce, aad, tag))
    return GcmDecryption(key, nonce, aad, tag)


def starter(spec: OperationSpec) -> Starter:
    """Prepare GCM; what is wrong with the parameters is told when an operation starts."""
    sm4 = spec.key_algorithm == _SM4
    name = "SM4-GCM" if sm4 else "AES-GCM"
    encryption = Sm4GcmEncryption if sm4 else GcmEncryption
    decryption = Sm4GcmDecryption if sm4 else GcmDecryption
    length = spec.numbers.get(TAG_LENGTH, FULL_TAG)
    # One test tells the ordinary case from all mistakes, which keeps short sessions fast; _fault then finds out
    # which mistake comes first.
    wrong_length = length != FULL_TAG

    def encrypt(key: SecretKey, blobs: Mapping[int, bytes]) -> GcmEncryption:
        aad = blobs.get(AAD)
        nonce = blobs.get(NONCE)
        if nonce is None:
            nonce = appended = random_bytes(_NONCE_MADE)
        else:
            appended = b""
        # The usual length of a nonce comes first, and no AAD is told from an empty one without a comparison of bytes.
        if (
            wrong_length
            or (not aad and aad is not None)
            or (len(nonce) != _NONCE_MADE and not _NONCE_MIN <= len(nonce) <= _NONCE_MAX)
        ):
            raise _fault(blobs, length, name)
        operation = _new_object(encryption)
        operation._key = key
        operation._nonce = nonce
        operation._aad = aad
        operation._appended = appended
        operation._context = None
        return operation

    def decrypt(key: SecretKey, blobs: Mapping[int, bytes]) -> GcmDecryption:
        aad = blobs.get(AAD)
        nonce = blobs.get(NONCE, b"")
        tag = blobs.get(TAG, b"")
        if (
            length != FULL_TAG
            or aad == b""
            or len(tag) != FULL_TAG
            or not _NONCE_MIN <= len(nonce) <= _NONCE_MAX
        ):
            required(blobs, NONCE, f"{name} decryption")
            raise _fault(blobs, length, name, opens=True)
        return decryption(key, nonce, aad, tag)

    chosen: Callable[[SecretKey, Mapping[int, bytes]], GcmEncryption | GcmDecryption]
    chosen = encrypt if spec.purpose == ENCRYPT else decrypt
    return _with_context(chosen) if sm4 else chosen


def _with_context(
    start: Callable[[SecretKey, Mapping[int, bytes]], GcmEncryption | GcmDecryption],
) -> Starter:
    """Have operations begin with a context: there is no SM4-GCM in one go, nor any in an OpenSSL before 3.1."""

    def started(key: SecretKey, blobs: Mapping[int, bytes]) -> Operation:
        return _begun(start(key, blobs))

    return started


def _begun(operation: Begun) -> Begun:
    try:
        operation.begin()
    except UnsupportedAlgorithm:
        raise BusinessError(
            _NOT_HERE,
            "SM4-GCM: the OpenSSL that `cryptography` was built with has none; it needs 3.1 or newer, which "
            "the packages of the index have",
        ) from None
    return operation


def _fault(blobs: Mapping[int, bytes], length: int, name: str, *, opens: bool = False) -> BusinessError:
    nonce = optional(blobs, NONCE) or b""
    optional(blobs, AAD)
    if length != FULL_TAG:
        return bad_tag_length(length, name, str(FULL_TAG))
    if opens:
        tag = required(blobs, TAG, f"{name} decryption")
        if len(tag) != FULL_TAG:
            return wrong_tag_length(len(tag), FULL_TAG)
    return BusinessError(
        _CRYPTO_FAIL,
        f"HUKS_TAG_NONCE has {len(nonce)} bytes; {name} takes {_NONCE_MIN} to {_NONCE_MAX}, "
        f"best {_NONCE_MADE}",
    )


def _too_long() -> BusinessError:
    return BusinessError(
        _CRYPTO_FAIL,
        "GCM takes at most 2^36 - 32 bytes under one nonce; split the data over several sessions",
    )
