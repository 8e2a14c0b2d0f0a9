"""Key derivation: HKDF (RFC 5869) and PBKDF2 (RFC 8018) as functions and as sessions.

In a session the key is the input key material or the password; the data of `update` is not used.
"""

from collections.abc import Callable, Mapping
from functools import partial

from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from huks_async.crypto.caller_warnings import warn_caller
from huks_async.crypto.digests import HASHES, digest_name
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.operation import Operation
from huks_async.crypto.secret_key import SecretKey, generate, load
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg, HuksKeyDigest
from huks_async.model.errors import BusinessError, HuksCompatibilityWarning
from huks_async.model.limits import MIB
from huks_async.model.params import BytesLike
from huks_async.model.showing import shown
from huks_async.model.tags import HuksTag

__all__ = ["generate", "hkdf", "load", "pbkdf2", "starter"]

_ILLEGAL = 401
_MISSING = 12000002
_INVALID = 12000003
_CRYPTO_FAIL = 12000006
_EXTERNAL = 12000012

_HKDF, _PBKDF2 = int(HuksKeyAlg.HUKS_ALG_HKDF), int(HuksKeyAlg.HUKS_ALG_PBKDF2)
_DIGESTS = frozenset(
    int(digest)
    for digest in (
        HuksKeyDigest.HUKS_DIGEST_SHA256,
        HuksKeyDigest.HUKS_DIGEST_SHA384,
        HuksKeyDigest.HUKS_DIGEST_SHA512,
    )
)
_SIZE = int(HuksTag.HUKS_TAG_DERIVE_KEY_SIZE)
_ITERATION = int(HuksTag.HUKS_TAG_ITERATION)
_SALT = int(HuksTag.HUKS_TAG_SALT)
_INFO = int(HuksTag.HUKS_TAG_INFO)

_MAX_SIZE = 5 * MIB
_HKDF_MAX_BLOCKS = 255
_BYTES_LIKE_A_BLOCK = 40_000
"""So many bytes of salt or info are hashed in the time that a block of output is expected to take."""
_MIN_ITERATIONS = 1000
_MAX_ITERATIONS = 2**31 - 1
"""What OpenSSL can count."""
_MIN_SALT = 16


def hkdf(digest: int, key: bytes, salt: bytes | None, info: bytes, length: int) -> bytes:
    """Extract and expand `length` bytes (at most 255 digests) from `key`; no salt means zeros."""
    return HKDF(HASHES[digest], length, salt, info).derive(key)


def pbkdf2(digest: int, password: bytes, salt: bytes, iterations: int, length: int) -> bytes:
    """Derive `length` bytes from `password` with HMAC under `digest`."""
    return PBKDF2HMAC(HASHES[digest], length, salt, iterations).derive(password)


class Derivation(Operation):
    """A derivation, which runs at its one `update`; `finish` gives the derived bytes."""

    __slots__ = ("_derive", "_derived", "held", "kind", "work")

    def __init__(self, kind: str, work: float, derive: Callable[[], bytes]) -> None:
        self.kind: str = kind
        self.work: float = work
        self.held: int = 0
        self._derive = derive
        self._derived = b""

    def update(self, data: BytesLike) -> bytes:
        """Derive; `data` is not used.

        Raises:
            BusinessError: 12000012 the second time.

        """
        if self._derived:
            raise BusinessError(
                _EXTERNAL,
                "a derivation takes one update, and this is the second",
                reason=HuksErrorCode.HUKS_FAILURE,
            )
        self._keep(self._derive())
        return b""

    def portable_update(self) -> tuple[Callable[[], bytes], Callable[[bytes], None]] | None:
        """The derivation itself, until it was made, and the keeping of its result."""
        return None if self._derived else (self._derive, self._keep)

    def _keep(self, result: bytes) -> None:
        self._derived = result
        self.held = len(result)
        self.work = 0.0

    def finish(self, data: BytesLike) -> bytes:
        """The derived bytes; `data` is not used.

        Raises:
            BusinessError: 401 without an update before.

        """
        if not self._derived:
            raise BusinessError(
                _ILLEGAL,
                "nothing was derived; call update once before finish",
                reason=HuksErrorCode.HUKS_ERROR_NULL_POINTER,
            )
        derived, self._derived = self._derived, b""
        self.held = 0
        return derived


def starter(spec: OperationSpec) -> Starter:
    """Prepare a derivation.

    Raises:
        BusinessError: 401 for a size absent or not in 1 byte … 5 MiB; 12000006 for another digest than
            SHA-256, SHA-384, SHA-512 and for more than HKDF can give; for PBKDF2 12000002 without
            iterations, 12000003 for too few or too many; 12000003 for another algorithm.

    """
    if spec.algorithm not in (_HKDF, _PBKDF2):
        raise BusinessError(
            _INVALID,
            f"HUKS_TAG_ALGORITHM is {spec.algorithm}; a derivation takes HUKS_ALG_HKDF or HUKS_ALG_PBKDF2",
        )
    length = spec.numbers.get(_SIZE)
    if length is None or not 1 <= length <= _MAX_SIZE:
        got = "absent" if length is None else f"{shown(length)} bytes"
        raise BusinessError(
            _ILLEGAL, f"HUKS_TAG_DERIVE_KEY_SIZE is {got}; accepted are 1 to {_MAX_SIZE} bytes"
        )
    digest = spec.digest
    if digest is None or digest not in _DIGESTS:
        raise BusinessError(
            _CRYPTO_FAIL,
            f"HUKS_TAG_DIGEST is {digest_name(digest)}; a derivation takes "
            + ", ".join(digest_name(each) for each in sorted(_DIGESTS)),
        )
    blocks = -(-length // HASHES[digest].digest_size)
    if spec.algorithm == _HKDF:
        return _hkdf_starter(digest, length, blocks)
    return _pbkdf2_starter(digest, length, blocks, spec.numbers.get(_ITERATION))


def _hkdf_starter(digest: int, length: int, blocks: int) -> Starter:
    if blocks > _HKDF_MAX_BLOCKS:
        raise BusinessError(
            _CRYPTO_FAIL,
            f"HUKS_TAG_DERIVE_KEY_SIZE is {length} bytes; HKDF with {digest_name(digest)} gives at most "
            f"{_HKDF_MAX_BLOCKS * HASHES[digest].digest_size}",
        )

    def start(key: SecretKey, blobs: Mapping[int, bytes]) -> Operation:
        secret, salt, info = key.secret, blobs.get(_SALT), blobs.get(_INFO, b"")
        # the salt is hashed once, the info again for each block
        hashed = blocks * len(info) + len(salt or b"")
        work = blocks + hashed / _BYTES_LIKE_A_BLOCK
        return Derivation("hkdf", work, partial(hkdf, digest, secret, salt, info, length))

    return start


def _pbkdf2_starter(digest: int, length: int, blocks: int, iterations: int | None) -> Starter:
    if iterations is None:
        raise BusinessError(
            _MISSING, f"HUKS_TAG_ITERATION is absent; PBKDF2 needs it, at least {_MIN_ITERATIONS}"
        )
    if not _MIN_ITERATIONS <= iterations <= _MAX_ITERATIONS:
        raise BusinessError(
            _INVALID,
            f"HUKS_TAG_ITERATION is {iterations}; PBKDF2 takes {_MIN_ITERATIONS} to {_MAX_ITERATIONS}",
        )
    rounds = iterations
    kind = f"pbkdf2-{HASHES[digest].name}"

    def start(key: SecretKey, blobs: Mapping[int, bytes]) -> Operation:
        secret, salt = key.secret, blobs.get(_SALT, b"")
        if len(salt) < _MIN_SALT:
            # One documented sample passes 6 bytes, so such a length must work.
            warn_caller(
                f"HUKS_TAG_SALT has {len(salt)} bytes; PBKDF2 should have {_MIN_SALT} random bytes or more",
                HuksCompatibilityWarning,
            )
        # Each block of output repeats all iterations, so the work grows with the length.
        return Derivation(kind, rounds * blocks, partial(pbkdf2, digest, secret, salt, rounds, length))

    return start
