"""SM2: signatures with SM3 or over a ready-made value, and encryption (GB/T 32918, GM/T 0009).

The curve arithmetic is a backend's (`sm2_backend`). Hashing is done here, segment by segment, because
Z depends on the public key alone: a signature of a long message holds none of it.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes

from huks_async.crypto import sm2_encoding
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.libcrypto import LibcryptoError
from huks_async.crypto.material import KeyMaterial
from huks_async.crypto.operation import CollectingOperation, Operation
from huks_async.crypto.sm2_backend import Sm2Backend, sm2_backend
from huks_async.crypto.sm2_encoding import FIELD
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg, HuksKeyDigest, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.model.params import BytesLike

SIZE = 256
MAX_SIGNATURE_BYTES = 72

_ILLEGAL, _MISSING, _WRONG, _CRYPTO, _NO_DATA = 401, 12000002, 12000003, 12000006, 12000014
_NONE, _SM3 = int(HuksKeyDigest.HUKS_DIGEST_NONE), int(HuksKeyDigest.HUKS_DIGEST_SM3)


@dataclass(frozen=True, slots=True)
class Sm2Key:
    """A key ready for use; safe for any number of operations and threads."""

    backend: Sm2Backend
    handle: Any = field(repr=False)
    has_private: bool
    identity_hash: bytes
    """Z of the key under the default identity, 32 bytes."""


def generate(algorithm: int, size: int) -> KeyMaterial:
    """Make a key pair. `algorithm` is SM2 and `size` 256.

    Raises:
        BusinessError: 12000001 where no backend is installed.

    """
    # uniform in 1 … n - 2 (GB/T 32918.1 section 6.1)
    scalar = (1 + secrets.randbelow(sm2_encoding.N - 2)).to_bytes(FIELD, "big")
    return KeyMaterial(algorithm, size, scalar, sm2_encoding.spki_from_point(public_point(scalar)))


def load(material: KeyMaterial) -> Sm2Key:
    """Make the ready key; the public half of a private-only key is computed here.

    Raises:
        BusinessError: 401 for material that is not a key, 12000001 where no backend is installed.

    """
    backend = sm2_backend()
    try:
        point = sm2_encoding.point_from_spki(material.public) if material.public else None
        if material.secret:
            handle = backend.private_key(material.secret, point)
            point = point or backend.public_point(handle)
        elif point is not None:
            handle = backend.public_key(point)
        else:
            raise ValueError("no half at all")
    except (ValueError, LibcryptoError) as refused:
        raise BusinessError(_ILLEGAL, f"the material is no SM2 key: {refused}") from None
    return Sm2Key(backend, handle, bool(material.secret), sm2_encoding.identity_hash(point))


def public_point(scalar: bytes) -> bytes:
    """The public point x ‖ y, 64 bytes, of a private key of 32 bytes."""
    backend = sm2_backend()
    return backend.public_point(backend.private_key(scalar, None))


def material_from_spki(spki: bytes) -> KeyMaterial:
    """A public key from a SubjectPublicKeyInfo of 91 bytes.

    Raises:
        BusinessError: 401 for anything else, and for a point off the curve.

    """
    try:
        sm2_encoding.point_from_spki(spki)
    except ValueError as wrong:
        raise BusinessError(
            _ILLEGAL,
            f"the public key of {len(spki)} bytes is {wrong}; it must be DER of {sm2_encoding.SPKI_BYTES} bytes: "
            "id-ecPublicKey, curve 1.2.156.10197.1.301, an uncompressed point",
        ) from None
    return KeyMaterial(HuksKeyAlg.HUKS_ALG_SM2, SIZE, public=bytes(spki))


def material_from_parts(x: bytes, y: bytes, z: bytes) -> KeyMaterial:
    """A key from public coordinates x, y and private scalar z, 32 big-endian bytes each.

    Either half may be missing: x and y both empty, or z empty.

    Raises:
        BusinessError: 401 for other lengths, a point off the curve, a scalar out of range, or halves
            of different keys; 12000001 where both are given and no backend is there to compare them.

    """
    lengths = (len(x), len(y), len(z))
    if lengths not in {(FIELD, FIELD, FIELD), (0, 0, FIELD), (FIELD, FIELD, 0)}:
        raise BusinessError(
            _ILLEGAL,
            f"an SM2 key has x, y and z of {FIELD} bytes each (x and y, or z, may be missing), "
            f"got {lengths[0]}, {lengths[1]} and {lengths[2]}",
        )
    point, spki = bytes(x) + bytes(y), b""
    if point:
        try:
            spki = sm2_encoding.spki_from_point(point)
        except ValueError as wrong:
            raise BusinessError(_ILLEGAL, f"the public half (x, y) is {wrong}") from None
    if z and not sm2_encoding.is_scalar(z):
        raise BusinessError(_ILLEGAL, "the private half (z) is not a scalar of 1 … n - 2")
    if point and z and public_point(z) != point:
        raise BusinessError(_ILLEGAL, "the private half (z) does not belong to the public half (x, y)")
    return KeyMaterial(HuksKeyAlg.HUKS_ALG_SM2, SIZE, bytes(z), spki)


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
    _need_private(key, "decrypt")
    der = bytes(ciphertext)
    try:
        sm2_encoding.parse_ciphertext(der)
        return key.backend.decrypt(key.handle, der)
    except ValueError:
        # one message for all causes: which step failed is nobody's business
        raise _failed(
            "SM2 decryption failed: the data must be DER SEQUENCE {x, y, C3, C2}, encrypted to this key"
        ) from None


def starter(spec: OperationSpec) -> Starter:
    """Prepare signing, verification, encryption or decryption.

    Raises:
        BusinessError: 401 for another purpose (an agreement has no documented session) and for a
            signature without DIGEST; 12000002 and 12000003 for a digest missing or wrong.

    """
    purpose, limits = spec.purpose, spec.limits
    if purpose in (HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN, HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY):
        verifying = purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY
        hashing = _digest_is_sm3(spec.digest, missing=_ILLEGAL)
        return _signature_starter(verifying, hashing, limits)
    if purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT:
        if not _digest_is_sm3(spec.digest, missing=_MISSING):
            raise BusinessError(
                _WRONG, "HUKS_TAG_DIGEST: got HUKS_DIGEST_NONE, SM2 encryption needs HUKS_DIGEST_SM3"
            )
        return lambda key, _: Sm2Cipher("sm2-encrypt", key, encrypt, limits)
    if purpose == HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT:
        if spec.digest is not None:
            _digest_is_sm3(spec.digest, missing=_MISSING)

        def start_decryption(key: Sm2Key, _: Mapping[int, bytes]) -> Operation:
            _need_private(key, "decrypt")
            return Sm2Cipher("sm2-decrypt", key, decrypt, limits)

        return start_decryption
    raise BusinessError(
        _ILLEGAL,
        f"HUKS_TAG_PURPOSE: got {purpose}, sessions with SM2 sign, verify, encrypt or decrypt; "
        "the documentation has no SM2 key agreement",
    )


def _signature_starter(verifying: bool, hashing: bool, limits: Limits) -> Starter:
    def start(key: Sm2Key, _: Mapping[int, bytes]) -> Operation:
        if not verifying:
            _need_private(key, "sign")
        message = _HashedMessage(key, limits) if hashing else _ReadyValue(limits)
        return Sm2Verification(key, message) if verifying else Sm2Signing(key, message)

    return start


class _Message:
    """What is signed, as it comes in; `value` gives e in the end."""

    __slots__ = ("held",)

    held: int

    def add(self, data: BytesLike) -> None:
        raise NotImplementedError

    def value(self) -> bytes:
        raise NotImplementedError


class _HashedMessage(_Message):
    """A message of any length: e = SM3(Z ‖ M), GB/T 32918.2 section 6.1."""

    __slots__ = ("_limits", "_sm3", "_total")

    def __init__(self, key: Sm2Key, limits: Limits) -> None:
        self._limits = limits
        self._sm3 = hashes.Hash(hashes.SM3())
        self._sm3.update(key.identity_hash)
        self._total = 0
        self.held = 0

    def add(self, data: BytesLike) -> None:
        self._total += len(data)
        _check_total(self._total, self._limits)
        self._sm3.update(data)

    def value(self) -> bytes:
        if not self._total and self._limits.refuse_empty_collected:
            raise _no_data("sign or verify")
        return self._sm3.finalize()


class _ReadyValue(_Message):
    """DIGEST_NONE: the data is e itself."""

    __slots__ = ("_e", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._e = b""
        self.held = 0

    def add(self, data: BytesLike) -> None:
        total = len(self._e) + len(data)
        if total > FIELD:
            raise self._wrong_length(total)
        self._e += bytes(data)
        self.held = total

    def value(self) -> bytes:
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

    def __init__(self, key: Sm2Key, message: _Message) -> None:
        self._key = key
        self._message = message
        self.held = 0

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
        if not self._key.backend.verify(self._key.handle, self._message.value(), bytes(data)):
            raise BusinessError(
                _CRYPTO,
                "the SM2 signature is wrong for this message and key",
                reason=HuksErrorCode.HUKS_ERROR_VERIFICATION_FAILED,
            )
        return b""


class Sm2Cipher(CollectingOperation):
    """Encrypts or decrypts everything collected, as one block."""

    __slots__ = ("_key", "_limits", "_run", "kind")

    def __init__(
        self, kind: str, key: Sm2Key, run: Callable[[Sm2Key, BytesLike], bytes], limits: Limits
    ) -> None:
        super().__init__(limits.max_collected_bytes)
        self.kind = kind
        self._key = key
        self._run = run
        self._limits = limits

    def update(self, data: BytesLike) -> bytes:
        """Keep a copy of the segment; the first one must not be empty."""
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
        return _too_much(total, self._limits)


def _digest_is_sm3(digest: int | None, *, missing: int) -> bool:
    """True for SM3, False for NONE."""
    if digest in (_SM3, _NONE):
        return digest == _SM3
    if digest is None:
        raise BusinessError(missing, "HUKS_TAG_DIGEST is missing; SM2 takes HUKS_DIGEST_SM3")
    raise BusinessError(
        _WRONG, f"HUKS_TAG_DIGEST: got {digest}, SM2 takes HUKS_DIGEST_SM3, or for signatures HUKS_DIGEST_NONE"
    )


def _need_private(key: Sm2Key, verb: str) -> None:
    if not key.has_private:
        raise BusinessError(_ILLEGAL, f"the SM2 key has no private half: it cannot {verb}")


def _check_total(total: int, limits: Limits) -> None:
    if total > limits.max_collected_bytes:
        raise _too_much(total, limits)


def _too_much(total: int, limits: Limits) -> BusinessError:
    return BusinessError(
        _ILLEGAL,
        f"{total} bytes given to one SM2 operation, at most {limits.max_collected_bytes} are accepted "
        "(Limits.max_collected_bytes)",
    )


def _no_data(verbs: str) -> BusinessError:
    return BusinessError(_NO_DATA, f"no data to {verbs} with SM2; give at least one byte")


def _failed(message: str) -> BusinessError:
    return BusinessError(_CRYPTO, message)
