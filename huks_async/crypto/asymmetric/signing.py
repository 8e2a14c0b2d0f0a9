"""Signing and verifying, whatever the algorithm: streamed through a hash, or collected.

The signature itself is one function of the message's hash (streamed) or of the message (collected),
which the family gives. A verifier takes the message in updates; what finish gets is the signature.
"""

from collections.abc import Callable
from typing import TypeAlias

from cryptography.hazmat.primitives import hashes

from huks_async.crypto import digests, signature_form
from huks_async.crypto.digests import digest_name
from huks_async.crypto.operation import CollectingOperation, Operation
from huks_async.model.enums import HuksErrorCode, HuksKeyDigest
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.model.params import BytesLike

SignHash: TypeAlias = Callable[[bytes, hashes.HashAlgorithm], bytes]
"""(hash value, hash algorithm) → signature."""
VerifyHash: TypeAlias = Callable[[BytesLike, bytes, hashes.HashAlgorithm], None]
"""(signature, hash value, hash algorithm); raises BusinessError where they do not fit."""
SignMessage: TypeAlias = Callable[[BytesLike], bytes]
"""Message → signature."""
VerifyMessage: TypeAlias = Callable[[BytesLike, BytesLike], None]
"""(signature, message); raises BusinessError where they do not fit."""

# SM3 is left out: the signatures that use it are those of SM2, which has a room of its own.
HASHES = {
    number: algorithm
    for number, algorithm in digests.HASHES.items()
    if number != HuksKeyDigest.HUKS_DIGEST_SM3
}
"""The hash of each digest that RSA, ECDSA and DSA take."""

_HASH_OF_LENGTH = {algorithm.digest_size: algorithm for algorithm in HASHES.values()}


def hash_for(digest: int | None, *, what: str, md5: bool = False) -> hashes.HashAlgorithm:
    """The hash that HUKS_TAG_DIGEST names.

    Args:
        digest: the value of the tag.
        what: the operation, for the message.
        md5: whether the operation takes MD5.

    Raises:
        BusinessError: 401 for no digest at all, 12000003 for one that the operation does not take.

    """
    if digest is None:
        raise BusinessError(401, f"{what} needs HUKS_TAG_DIGEST")
    algorithm = HASHES.get(digest)
    if algorithm is None or (digest == HuksKeyDigest.HUKS_DIGEST_MD5 and not md5):
        accepted = ", ".join(
            HuksKeyDigest(value).name for value in HASHES if md5 or value != HuksKeyDigest.HUKS_DIGEST_MD5
        )
        raise BusinessError(
            12000003,
            f"HUKS_TAG_DIGEST {digest_name(digest)} is not for {what}; accepted: {accepted}, HUKS_DIGEST_NONE",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_DIGEST,
        )
    return algorithm


def hash_of_length(length: int) -> hashes.HashAlgorithm:
    """The hash that made a value of `length` bytes, for HUKS_DIGEST_NONE.

    Raises:
        BusinessError: 401 for a length that no hash has.

    """
    algorithm = _HASH_OF_LENGTH.get(length)
    if algorithm is None:
        raise BusinessError(
            401,
            f"with HUKS_DIGEST_NONE the data is a hash value of 16 (MD5), 20 (SHA1), 28, 32, 48 or 64 "
            f"(SHA512) bytes, got {length}; hash the message first, or name a digest",
        )
    return algorithm


def wrong_signature(signature: BytesLike = b"", width: int = 0) -> BusinessError:
    """The error for a signature that does not belong to message and key.

    Args:
        signature: what was given, where signatures of this kind are DER of two numbers.
        width: bytes of each of these numbers.

    """
    return BusinessError(
        12000006,
        "the signature does not belong to this message, key and parameters"
        + (signature_form.hint(bytes(signature), width) if width else ""),
    )


def too_long(length: int, most: int) -> BusinessError:
    """The error for a signature longer than the key can make."""
    return BusinessError(
        12000003,
        f"the signature has {length} bytes; this key makes at most {most}",
        reason=HuksErrorCode.HUKS_ERROR_INVALID_SIGNATURE_SIZE,
    )


def _require(signature: BytesLike) -> None:
    if not len(signature):
        raise BusinessError(401, "finish of a verification takes the signature as inData, got none")


class Collected(CollectingOperation):
    """An operation of an asymmetric key that collects its data and works on it at finish."""

    __slots__ = ("_complete", "_refuse_empty", "kind", "work")

    reusable = True

    def __init__(self, kind: str, limits: Limits, complete: SignMessage, work: float = 1.0) -> None:
        super().__init__(limits.max_collected_bytes)
        self.kind: str = kind
        self.work: float = work
        self._complete = complete
        self._refuse_empty = limits.refuse_empty_collected

    def complete(self, data: BytesLike) -> bytes:
        """Give what the family makes of the data."""
        self.check_empty(data)
        return self._complete(data)

    def check_empty(self, data: BytesLike) -> None:
        """Refuse no data at all, where the limits say so."""
        if self._refuse_empty and not len(data):
            raise BusinessError(
                12000014,
                "the operation collects its data and got none; give at least one byte",
                reason=HuksErrorCode.HUKS_ERROR_MALLOC_FAIL,
            )

    def too_much(self, total: int) -> BusinessError:
        """The error for a total beyond the limit."""
        return BusinessError(
            401,
            f"the operation collects its data: {total} bytes are more than Limits.max_collected_bytes "
            f"({self._limit})",
        )


class CollectedVerifier(Collected):
    """Collects the message in updates and verifies at finish."""

    __slots__ = ("_verify",)

    reusable = False
    verifies = True

    def __init__(self, kind: str, limits: Limits, verify: VerifyMessage, work: float = 1.0) -> None:
        super().__init__(kind, limits, _never, work)
        self._verify = verify

    def finish(self, data: BytesLike) -> bytes:
        """Verify `data`, the signature, against everything collected."""
        _require(data)
        message = self.collected()
        self.check_empty(message)
        self._verify(data, message)
        return b""


def _never(_: BytesLike) -> bytes:
    raise AssertionError("a verifier completes in finish")  # pragma: no cover


class StreamedSigner(Operation):
    """Hashes the message as it comes and signs the hash at finish.

    A message that comes in one piece is left to `whole`, where there is one: the library hashes it on its
    way to the signature for less than a hash object costs.
    """

    __slots__ = ("_algorithm", "_hash", "_sign", "_whole", "kind", "reusable")

    def __init__(
        self, kind: str, algorithm: hashes.HashAlgorithm, sign: SignHash, whole: SignMessage | None = None
    ) -> None:
        self.kind: str = kind
        self._algorithm = algorithm
        self._hash: hashes.Hash | None = None
        self._sign = sign
        self._whole = whole
        self.reusable: bool = whole is not None

    def update(self, data: BytesLike) -> bytes:
        """Hash a segment of the message."""
        running = self._hash
        if running is None:
            running = self._hash = hashes.Hash(self._algorithm)
        running.update(data)
        return b""

    def finish(self, data: BytesLike) -> bytes:
        """Hash the last segment; give the signature."""
        if self._hash is None and self._whole is not None:
            return self._whole(data)
        self.update(data)
        return self._sign(self._hash.finalize(), self._algorithm)  # type: ignore[union-attr]  # by update


class StreamedVerifier(Operation):
    """Hashes the message as it comes and verifies the signature at finish."""

    __slots__ = ("_algorithm", "_hash", "_verify", "kind", "work")

    verifies = True

    def __init__(
        self, kind: str, algorithm: hashes.HashAlgorithm, verify: VerifyHash, work: float = 1.0
    ) -> None:
        self.kind: str = kind
        self.work: float = work
        self._algorithm = algorithm
        self._hash = hashes.Hash(algorithm)
        self._verify = verify

    def update(self, data: BytesLike) -> bytes:
        """Hash a segment of the message."""
        self._hash.update(data)
        return b""

    def finish(self, data: BytesLike) -> bytes:
        """Verify `data`, the signature."""
        _require(data)
        self._verify(data, self._hash.finalize(), self._algorithm)
        return b""


def signer(
    kind: str,
    algorithm: hashes.HashAlgorithm | None,
    limits: Limits,
    sign: SignHash,
    whole: SignMessage | None = None,
) -> StreamedSigner | Collected:
    """A running signature over a hash: streamed, or (algorithm None) over a hash that the caller made."""
    if algorithm is not None:
        return StreamedSigner(kind, algorithm, sign, whole)

    def sign_value(value: BytesLike) -> bytes:
        return sign(bytes(value), hash_of_length(len(value)))

    return Collected(kind, limits, sign_value)


def verifier(
    kind: str,
    algorithm: hashes.HashAlgorithm | None,
    limits: Limits,
    verify: VerifyHash,
    work: float = 1.0,
) -> StreamedVerifier | CollectedVerifier:
    """A running verification over a hash: streamed, or over a hash that the caller made."""
    if algorithm is not None:
        return StreamedVerifier(kind, algorithm, verify, work)

    def verify_value(signature: BytesLike, value: BytesLike) -> None:
        verify(signature, bytes(value), hash_of_length(len(value)))

    return CollectedVerifier(kind, limits, verify_value, work)
