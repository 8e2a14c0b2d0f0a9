"""AES-CCM, collected: the mode needs the length of its data before the first byte."""

from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from huks_async.crypto.byte_parameters import optional, required
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.operation import CollectingOperation, Operation
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
from huks_async.model.enums import HuksErrorCode
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.runtime.randomness import random_bytes

_MISSING = 12000002
_CRYPTO_FAIL = 12000006
_EXTERNAL = 12000012
_NO_MEMORY = 12000014

_TAGS = (4, 6, 8, 10, 12, 14, 16)
_NONCE_MADE = 7
_NONCE_MIN, _NONCE_MAX = 7, 13
_FREE_AAD = 16 * 1024
"""Associated data up to this many bytes costs next to nothing."""
_BYTES_LIKE_A_CALL = 6000
"""So many bytes of associated data take as long as a call with no data."""


class _Ccm(CollectingOperation):
    """What both directions of AES-CCM share: nonce, limits, the cipher."""

    __slots__ = ("_blobs", "_key", "_refuses_nothing", "_tag_length", "work")

    kind = "aes-ccm"

    def __init__(
        self, spec: OperationSpec, key: SecretKey, blobs: Mapping[int, bytes], tag_length: int
    ) -> None:
        super().__init__(spec.limits.max_ccm_bytes)
        self._refuses_nothing = spec.limits.refuse_empty_collected
        self._key = key
        self._blobs = {tag: blobs[tag] for tag in (NONCE, AAD) if tag in blobs}
        self._tag_length = tag_length
        # associated data is worked on like other data, and is part of no call's data
        aad = len(self._blobs.get(AAD, b""))
        self.work: float = 1.0 + aad / _BYTES_LIKE_A_CALL if aad > _FREE_AAD else 1.0

    def too_much(self, total: int) -> BusinessError:
        """More data than AES-CCM may collect."""
        return BusinessError(
            _EXTERNAL,
            f"AES-CCM got {total} bytes in all, at most {self._limit} are collected (Limits.max_ccm_bytes); "
            "use HUKS_MODE_GCM for longer data",
        )

    def prepare(self, data: BytesLike, nonce: bytes) -> tuple[AESCCM, bytes | None]:
        """The cipher and the associated data, when nonce and data are fit for it."""
        if not _NONCE_MIN <= len(nonce) <= _NONCE_MAX:
            raise BusinessError(
                _CRYPTO_FAIL,
                f"HUKS_TAG_NONCE has {len(nonce)} bytes; AES-CCM takes {_NONCE_MIN} to {_NONCE_MAX}",
            )
        aad = optional(self._blobs, AAD)
        # SP 800-38C A.1: nonce and the field for the length of the data share 15 bytes
        if len(data) >> 8 * (15 - len(nonce)):
            raise BusinessError(
                _CRYPTO_FAIL,
                f"AES-CCM got {len(data)} bytes, too many for a HUKS_TAG_NONCE of {len(nonce)} bytes; "
                "use a shorter nonce",
            )
        if not data and self._refuses_nothing:
            raise BusinessError(_NO_MEMORY, "AES-CCM got no data at all; give at least 1 byte")
        return AESCCM(self._key.secret, self._tag_length), aad


class CcmEncryption(_Ccm):
    """AES-CCM encryption of everything collected."""

    __slots__ = ()

    def complete(self, data: BytesLike) -> bytes:
        """Ciphertext, tag, and the nonce where it was made here."""
        nonce = optional(self._blobs, NONCE)
        made = nonce is None
        if nonce is None:
            nonce = random_bytes(_NONCE_MADE)
        cipher, aad = self.prepare(data, nonce)
        sealed = cipher.encrypt(nonce, data, aad)
        return sealed + nonce if made else sealed


class CcmDecryption(_Ccm):
    """AES-CCM decryption of everything collected."""

    __slots__ = ("_tag",)

    def __init__(self, spec: OperationSpec, key: SecretKey, blobs: Mapping[int, bytes], tag: bytes) -> None:
        super().__init__(spec, key, blobs, len(tag))
        self._tag = tag

    def complete(self, data: BytesLike) -> bytes:
        """The plaintext, verified."""
        nonce = required(self._blobs, NONCE, "AES-CCM decryption")
        cipher, aad = self.prepare(data, nonce)
        try:
            return cipher.decrypt(nonce, b"".join((data, self._tag)), aad)
        except InvalidTag:
            raise not_authentic() from None


def starter(spec: OperationSpec) -> Starter:
    """Prepare AES-CCM; nonce and associated data are looked at only at finish.

    Raises:
        BusinessError: 12000003 for a tag length that the mode does not have.

    """
    length = spec.numbers.get(TAG_LENGTH, FULL_TAG)
    if length not in _TAGS:
        raise bad_tag_length(length, "AES-CCM", ", ".join(map(str, _TAGS)))

    def decrypt(key: SecretKey, blobs: Mapping[int, bytes]) -> Operation:
        tag = blobs.get(TAG)
        if not tag:
            raise BusinessError(
                _MISSING,
                "HUKS_TAG_AE_TAG is absent or has 0 bytes; AES-CCM decryption needs it",
                reason=HuksErrorCode.HUKS_ERROR_CHECK_GET_AE_TAG_FAIL,
            )
        if len(tag) != length:
            raise wrong_tag_length(len(tag), length)
        return CcmDecryption(spec, key, blobs, tag)

    if spec.purpose == ENCRYPT:
        return lambda key, blobs: CcmEncryption(spec, key, blobs, length)
    return decrypt
