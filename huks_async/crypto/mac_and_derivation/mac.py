"""Message authentication: HMAC over any symmetric key, SM3 (HMAC with SM3), CMAC with 3DES."""

from collections.abc import Mapping

from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hmac import HMAC

from huks_async.crypto.byte_parameters import required
from huks_async.crypto.caller_warnings import warn_legacy
from huks_async.crypto.digests import HASHES, digest_name, warn_weak_digest
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.operation import Operation
from huks_async.crypto.secret_key import SecretKey, generate, load
from huks_async.model.enums import HuksKeyAlg, HuksKeyDigest
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.model.tags import HuksTag

__all__ = ["generate", "load", "starter"]

_ILLEGAL = 401
_INVALID = 12000003

_HMAC, _SM3 = int(HuksKeyAlg.HUKS_ALG_HMAC), int(HuksKeyAlg.HUKS_ALG_SM3)
_CMAC = int(HuksKeyAlg.HUKS_ALG_CMAC)
_DIGEST_MD5, _DIGEST_SM3 = int(HuksKeyDigest.HUKS_DIGEST_MD5), int(HuksKeyDigest.HUKS_DIGEST_SM3)
_IV = int(HuksTag.HUKS_TAG_IV)
_DES_BLOCK = 8

_KINDS = {digest: f"hmac-{algorithm.name}" for digest, algorithm in HASHES.items()}


class HmacOperation(Operation):
    """HMAC. The keyed state is copied from the key's own when the first data comes."""

    __slots__ = ("_context", "_digest", "_key", "kind")

    def __init__(self, key: SecretKey, digest: int, kind: str) -> None:
        self._key = key
        self._digest = digest
        self.kind: str = kind
        self._context: HMAC | None = None

    def update(self, data: BytesLike) -> bytes:
        """Take a segment; no output."""
        context = self._context
        if context is None:
            context = self._context = self._key.mac(self._digest).copy()
        context.update(data)
        return b""

    def finish(self, data: BytesLike) -> bytes:
        """Take the last segment; give the code, as long as the digest."""
        context = self._context or self._key.mac(self._digest).copy()
        context.update(data)
        return context.finalize()


class CmacOperation(Operation):
    """CMAC with 3DES (SP 800-38B)."""

    __slots__ = ("_context", "_key")

    kind = "cmac"

    def __init__(self, key: SecretKey) -> None:
        self._key = key
        self._context: CMAC | None = None

    def update(self, data: BytesLike) -> bytes:
        """Take a segment; no output."""
        context = self._context
        if context is None:
            context = self._context = CMAC(self._key.cipher())
        context.update(bytes(data))
        return b""

    def finish(self, data: BytesLike) -> bytes:
        """Take the last segment; give the code, 8 bytes."""
        context = self._context or CMAC(self._key.cipher())
        context.update(bytes(data))
        return context.finalize()


def starter(spec: OperationSpec) -> Starter:
    """Prepare a message authentication code.

    Raises:
        BusinessError: 401 for a digest that HMAC does not serve; 12000003 for HMAC with MD5 and for
            algorithms without a MAC.

    """
    if spec.algorithm == _CMAC:
        warn_legacy("HUKS_ALG_CMAC with 3DES")
        return _start_cmac
    if spec.algorithm not in (_HMAC, _SM3):
        raise BusinessError(
            _INVALID,
            f"HUKS_TAG_ALGORITHM is {spec.algorithm}; a MAC session takes HUKS_ALG_HMAC, HUKS_ALG_SM3 or "
            "HUKS_ALG_CMAC",
        )
    digest = spec.digest
    if digest == _DIGEST_MD5:
        raise BusinessError(
            _INVALID, "HUKS_TAG_DIGEST is HUKS_DIGEST_MD5, which HMAC does not take; use HUKS_DIGEST_SHA256"
        )
    if digest not in HASHES or (spec.algorithm == _SM3 and digest != _DIGEST_SM3):
        accepted = (
            "HUKS_DIGEST_SM3"
            if spec.algorithm == _SM3
            else ", ".join(digest_name(each) for each in HASHES if each != _DIGEST_MD5)
        )
        raise BusinessError(_ILLEGAL, f"HUKS_TAG_DIGEST is {digest_name(digest)}; accepted: {accepted}")
    warn_weak_digest(digest)
    chosen, kind = digest, _KINDS[digest]
    return lambda key, blobs: HmacOperation(key, chosen, kind)


def _start_cmac(key: SecretKey, blobs: Mapping[int, bytes]) -> Operation:
    # HUKS asks for the IV of the CBC chain inside. CMAC is defined for an IV of zeros, so no other is taken.
    iv = required(blobs, _IV, "HUKS_ALG_CMAC")
    if iv != bytes(_DES_BLOCK):
        raise BusinessError(
            _INVALID, f"HUKS_TAG_IV of HUKS_ALG_CMAC must be {_DES_BLOCK} zero bytes, got {len(iv)} bytes"
        )
    return CmacOperation(key)
