"""SM2's operations: signing and verification of a hashed message or a ready-made value, encryption."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from cryptography.hazmat.primitives import hashes

from huks_async.crypto import signature_form
from huks_async.crypto.libcrypto.binding import LibcryptoError
from huks_async.crypto.operation import CollectingOperation, Operation
from huks_async.crypto.sm2.backend import Sm2Backend
from huks_async.crypto.sm2.encoding import FIELD, parse_ciphertext
from huks_async.crypto.sm2.raw_ciphertext import looks_raw
from huks_async.model.enums import HuksErrorCode
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.model.params import BytesLike

MAX_SIGNATURE_BYTES = 72
MAX_OVERHEAD = 128
"""By how much a ciphertext in DER is longer than its plaintext at most: two coordinates, a hash, and four heads."""

_ILLEGAL, _WRONG, _CRYPTO, _NO_DATA = 401, 12000003, 12000006, 12000014


@dataclass(frozen=True, slots=True)
class Sm2Key:
    """A key ready for use; safe for any number of operations and threads."""

    backend: Sm2Backend = field(repr=False)
    handle: Any = field(repr=False)
    has_private: bool
    identity_hash: bytes
    """Z of the key under the default identity, 32 bytes."""


def encrypt(key: Sm2Key, plaintext: BytesLike) -> bytes:
    """Encrypt 1 byte or more; gives DER SEQUENCE { x, y, C3, C2 }."""
    try:
        return key.backend.encrypt(key.handle, bytes(plaintext))
    except LibcryptoError:
        raise _failed("SM2 encryption failed") from None


def decrypt(key: Sm2Key, ciphertext: BytesLike) -> bytes:
    """Decrypt such DER.

    Raises:
        BusinessError: 12000006 for any other form, and for a ciphertext of another key; 401 for a
            key without its private half.

    """
    need_private(key, "decrypt")
    der = bytes(ciphertext)
    try:
        parse_ciphertext(der)
        return key.backend.decrypt(key.handle, der)
    except ValueError:
        raise _failed(_why_not_decrypted(der)) from None


def _why_not_decrypted(data: bytes) -> str:
    """One message for all causes, since which step failed is nobody's business.

    Raw ciphertexts have another: that data is of that form can be seen without the key.
    """
    if looks_raw(data):
        return (
            f"SM2 decryption takes DER SEQUENCE {{x, y, C3, C2}} (GM/T 0009); these {len(data)} bytes begin with a "
            "bare point of the curve, as raw C1‖C3‖C2 and C1‖C2‖C3 do: huks_async.sm2_ciphertext_from_raw makes DER "
            "of either"
        )
    return (
        "SM2 decryption failed: the data must be DER SEQUENCE {x, y, C3, C2} (GM/T 0009), encrypted to this key; "
        "where huks_async.sm2_ciphertext_from_raw made it, the order (C1C3C2 or C1C2C3) may be the other one"
    )


class Message(Protocol):
    """What is signed, as it comes in."""

    held: int
    """Bytes kept so far."""

    def add(self, data: BytesLike) -> None:
        """Take a part."""

    def value(self) -> bytes:
        """The value e, 32 bytes, when all parts are in."""
        ...


class HashedMessage:
    """A message of any length: e = SM3(Z ‖ M), GB/T 32918.2 section 6.1."""

    __slots__ = ("_limits", "_sm3", "_total", "held")

    def __init__(self, key: Sm2Key, limits: Limits) -> None:
        self._limits = limits
        self._sm3 = hashes.Hash(hashes.SM3())
        self._sm3.update(key.identity_hash)
        self._total = 0
        self.held: int = 0

    def add(self, data: BytesLike) -> None:
        """Hash a part."""
        self._total += len(data)
        _check_total(self._total, self._limits)
        self._sm3.update(data)

    def value(self) -> bytes:
        """The hash, with Z before the message."""
        if not self._total and self._limits.refuse_empty_collected:
            raise _no_data("sign or verify")
        return self._sm3.finalize()


class ReadyValue:
    """DIGEST_NONE: the data is e itself."""

    __slots__ = ("_e", "_limits", "held")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._e = b""
        self.held: int = 0

    def add(self, data: BytesLike) -> None:
        """Keep a part, of 32 bytes in all."""
        total = len(self._e) + len(data)
        if total > FIELD:
            raise self._wrong_length(total)
        self._e += bytes(data)
        self.held = total

    def value(self) -> bytes:
        """The data itself, which must be 32 bytes by now."""
        if not self._e and self._limits.refuse_empty_collected:
            raise _no_data("sign or verify")
        if len(self._e) != FIELD:
            raise self._wrong_length(len(self._e))
        return self._e

    @staticmethod
    def _wrong_length(total: int) -> BusinessError:
        return BusinessError(
            _ILLEGAL,
            f"with HUKS_DIGEST_NONE the data of an SM2 signature is the value e of {FIELD} bytes, got {total}; "
            "use HUKS_DIGEST_SM3 for a message",
        )


class _SignatureOperation(Operation):
    __slots__ = ("_key", "_message", "held")

    def __init__(self, key: Sm2Key, message: Message) -> None:
        self._key = key
        self._message = message
        self.held: int = 0

    def update(self, data: BytesLike) -> bytes:
        """Take a part of the message."""
        self._message.add(data)
        self.held = self._message.held
        return b""


class Sm2Signing(_SignatureOperation):
    """Gives a signature in DER, SEQUENCE { INTEGER r, INTEGER s }, at finish."""

    __slots__ = ()

    kind = "sm2-sign"

    def finish(self, data: BytesLike) -> bytes:
        """Take the last part and sign."""
        self.update(data)
        try:
            return self._key.backend.sign(self._key.handle, self._message.value())
        except LibcryptoError:
            raise _failed("SM2 signing failed") from None


class Sm2Verification(_SignatureOperation):
    """Takes the signature at finish, and nothing else there."""

    __slots__ = ()

    kind = "sm2-verify"
    verifies = True

    def finish(self, data: BytesLike) -> bytes:
        """Check the signature; gives no bytes."""
        if not len(data):
            raise BusinessError(_ILLEGAL, "inData of finish must be the signature, got no bytes")
        if len(data) > MAX_SIGNATURE_BYTES:
            raise BusinessError(
                _WRONG,
                f"an SM2 signature has at most {MAX_SIGNATURE_BYTES} bytes of DER, got {len(data)}; "
                "give the message at update and the signature alone at finish",
                reason=HuksErrorCode.HUKS_ERROR_INVALID_SIGNATURE_SIZE,
            )
        try:
            right = self._key.backend.verify(self._key.handle, self._message.value(), bytes(data))
        except LibcryptoError:
            right = False
        if not right:
            raise BusinessError(
                _CRYPTO,
                "the SM2 signature is wrong for this message and key"
                + signature_form.hint(bytes(data), FIELD),
            )
        return b""


class Sm2Cipher(CollectingOperation):
    """Encrypts or decrypts everything collected, as one block: `limit` bytes at most."""

    __slots__ = ("_key", "_run", "kind")

    def __init__(self, kind: str, key: Sm2Key, run: Callable[[Sm2Key, BytesLike], bytes], limit: int) -> None:
        super().__init__(limit)
        self.kind: str = kind
        self._key = key
        self._run = run

    def update(self, data: BytesLike) -> bytes:
        """Keep a copy of the segment; the first must not be empty, which a device refuses for SM2 alone."""
        if not len(data) and not self.held:
            raise _no_data("encrypt or decrypt")
        return super().update(data)

    def complete(self, data: BytesLike) -> bytes:
        """Run; SM2 has no ciphertext of nothing."""
        if not len(data):
            raise _no_data("encrypt or decrypt")
        return self._run(self._key, data)

    def too_much(self, total: int) -> Exception:
        """The error for a total beyond the limit."""
        return _too_much(total, self._limit)


def need_private(key: Sm2Key, verb: str) -> None:
    """Refuse a public-only key with 401."""
    if not key.has_private:
        raise BusinessError(_ILLEGAL, f"the SM2 key has no private half: it cannot {verb}")


def _check_total(total: int, limits: Limits) -> None:
    if total > limits.max_collected_bytes:
        raise _too_much(total, limits.max_collected_bytes)


def _too_much(total: int, limit: int) -> BusinessError:
    return BusinessError(
        _ILLEGAL,
        f"{total} bytes given to one SM2 operation, at most {limit} are accepted "
        "(Limits.max_collected_bytes)",
    )


def _no_data(verbs: str) -> BusinessError:
    return BusinessError(_NO_DATA, f"no data to {verbs} with SM2; give at least one byte")


def _failed(message: str) -> BusinessError:
    return BusinessError(_CRYPTO, message)
