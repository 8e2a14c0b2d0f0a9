"""AES-GCM, streamed; in one go where there is no `update`."""

from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
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
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.runtime.randomness import random_bytes

_CRYPTO_FAIL = 12000006
_new_object = object.__new__

_NONCE_MADE = 12
_NONCE_MIN, _NONCE_MAX = 8, 128

_ONE_SHOT = 256 * 1024
"""Up to this many bytes it costs less to join ciphertext and tag than to make a context."""


class GcmEncryption(Operation):
    """AES-GCM encryption. All at once it needs no context; the first `update` makes one."""

    __slots__ = ("_aad", "_appended", "_context", "_key", "_nonce")

    kind = "aes-gcm"

    # set by the starter: a call of __init__ would be a noticeable part of a short session
    _key: SecretKey
    _nonce: bytes
    _aad: bytes | None
    _appended: bytes
    _context: AEADEncryptionContext | None

    def update(self, data: BytesLike) -> bytes:
        """Take a segment; give its ciphertext."""
        context = self._context
        if context is None:
            context = self._context = Cipher(self._key.cipher(), modes.GCM(self._nonce)).encryptor()
            if self._aad is not None:
                context.authenticate_additional_data(self._aad)
        try:
            return context.update(data)
        except ValueError:
            raise _too_long() from None

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


class GcmDecryption(Operation):
    """AES-GCM decryption. `update` gives plaintext whose tag was not verified yet."""

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
        context = self._context
        if context is None:
            mode = modes.GCM(self._nonce, self._tag)
            context = self._context = Cipher(self._key.cipher(), mode).decryptor()
            if self._aad is not None:
                context.authenticate_additional_data(self._aad)
        try:
            return context.update(data)
        except ValueError:
            raise _too_long() from None

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


def starter(spec: OperationSpec) -> Starter:
    """Prepare AES-GCM; what is wrong with the parameters is told when an operation starts."""
    length = spec.numbers.get(TAG_LENGTH, FULL_TAG)

    wrong_length = length != FULL_TAG
    # one test decides the ordinary case; which mistake comes first is told by _fault

    def encrypt(key: SecretKey, blobs: Mapping[int, bytes]) -> Operation:
        aad = blobs.get(AAD)
        nonce = blobs.get(NONCE)
        if nonce is None:
            nonce = appended = random_bytes(_NONCE_MADE)
        else:
            appended = b""
        if wrong_length or aad == b"" or not _NONCE_MIN <= len(nonce) <= _NONCE_MAX:
            raise _fault(blobs, length)
        operation = _new_object(GcmEncryption)
        operation._key = key
        operation._nonce = nonce
        operation._aad = aad
        operation._appended = appended
        operation._context = None
        return operation

    def decrypt(key: SecretKey, blobs: Mapping[int, bytes]) -> Operation:
        aad = blobs.get(AAD)
        nonce = blobs.get(NONCE, b"")
        tag = blobs.get(TAG, b"")
        if (
            length != FULL_TAG
            or aad == b""
            or len(tag) != FULL_TAG
            or not _NONCE_MIN <= len(nonce) <= _NONCE_MAX
        ):
            required(blobs, NONCE, "AES-GCM decryption")
            raise _fault(blobs, length, opens=True)
        return GcmDecryption(key, nonce, aad, tag)

    return encrypt if spec.purpose == ENCRYPT else decrypt


def _fault(blobs: Mapping[int, bytes], length: int, *, opens: bool = False) -> BusinessError:
    nonce = optional(blobs, NONCE) or b""
    optional(blobs, AAD)
    if length != FULL_TAG:
        return bad_tag_length(length, "AES-GCM", str(FULL_TAG))
    if opens:
        tag = required(blobs, TAG, "AES-GCM decryption")
        if len(tag) != FULL_TAG:
            return wrong_tag_length(len(tag), FULL_TAG)
    return BusinessError(
        _CRYPTO_FAIL,
        f"HUKS_TAG_NONCE has {len(nonce)} bytes; AES-GCM takes {_NONCE_MIN} to {_NONCE_MAX}, "
        f"best {_NONCE_MADE}",
    )


def _too_long() -> BusinessError:
    return BusinessError(
        _CRYPTO_FAIL,
        "AES-GCM takes at most 2^36 - 32 bytes under one nonce; split the data over several sessions",
    )
