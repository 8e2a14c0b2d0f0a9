"""RSA signatures: PKCS #1 v1.5, PSS, and the raw operation."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from huks_async.crypto.asymmetric import signing
from huks_async.crypto.asymmetric.rsa_key import (
    RAW_PRIVATE_WORK,
    RsaKey,
    cost_row,
    private_of,
    raw_private,
    raw_public,
)
from huks_async.crypto.digests import digest_name, warn_weak_digest
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.operation import Operation
from huks_async.model.enums import HuksErrorCode, HuksKeyDigest, HuksKeyPadding, HuksRsaPssSaltLenType
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.model.tags import HuksTag

Scheme: TypeAlias = Callable[[RsaKey, hashes.HashAlgorithm], padding.PSS | padding.PKCS1v15]

_SALT_TAG = HuksTag.HUKS_TAG_RSA_PSS_SALT_LEN_TYPE
_PKCS1 = padding.PKCS1v15()
_PREHASHED = {algorithm.name: Prehashed(algorithm) for algorithm in signing.HASHES.values()}


def signature(spec: OperationSpec) -> Starter:
    """Prepare signatures.

    Raises:
        BusinessError: 401 without padding or digest, 12000003 for values that do not sign,
            12000001 for ISO/IEC 9796-2, 12000012 for a PSS salt length other than the key's.

    """
    scheme, algorithm = _parameters(spec)
    kind = cost_row(spec.size, "private")
    limits = spec.limits

    def start(key: RsaKey, _: Mapping[int, bytes]) -> Operation:
        private_of(key, "signing")
        if scheme is None:
            return signing.Collected(kind, limits, partial(_sign_raw, key), RAW_PRIVATE_WORK)
        return signing.signer(kind, algorithm, limits, partial(_sign, key, scheme))

    return start


def verification(spec: OperationSpec) -> Starter:
    """Prepare verifications. Errors as for `signature`."""
    scheme, algorithm = _parameters(spec)
    kind = cost_row(spec.size, "public")
    limits = spec.limits

    def start(key: RsaKey, _: Mapping[int, bytes]) -> Operation:
        if scheme is None:
            return signing.CollectedVerifier(kind, limits, partial(_verify_raw, key), key.raw_public_work)
        return signing.verifier(kind, algorithm, limits, partial(_verify, key, scheme), key.public_work)

    return start


def _parameters(spec: OperationSpec) -> tuple[Scheme | None, hashes.HashAlgorithm | None]:
    """(padding or None for none, hash or None for a value that the caller hashed)."""
    scheme = _scheme(spec)
    if spec.digest == HuksKeyDigest.HUKS_DIGEST_NONE:
        return scheme, None
    if scheme is None:
        raise BusinessError(
            12000003,
            f"RSA signatures with HUKS_PADDING_NONE take HUKS_DIGEST_NONE alone, got {digest_name(spec.digest)}",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_DIGEST,
        )
    algorithm = signing.hash_for(spec.digest, what="RSA signatures", md5=True)
    warn_weak_digest(spec.digest, "an RSA signature")
    return scheme, algorithm


def _scheme(spec: OperationSpec) -> Scheme | None:
    chosen = spec.padding
    if chosen == HuksKeyPadding.HUKS_PADDING_NONE:
        return None
    if chosen == HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5:
        return _pkcs1
    if chosen == HuksKeyPadding.HUKS_PADDING_PSS:
        return (
            _pss_of_digest
            if _salt_type(spec) == HuksRsaPssSaltLenType.HUKS_RSA_PSS_SALT_LEN_DIGEST
            else _pss_of_max
        )
    if chosen is None:
        raise BusinessError(401, "an RSA signature needs HUKS_TAG_PADDING in the session")
    if chosen == HuksKeyPadding.HUKS_PADDING_ISO_IEC_9796_2:
        raise BusinessError(
            12000001,
            "HUKS_PADDING_ISO_IEC_9796_2 exists on small devices only; use HUKS_PADDING_PSS or "
            "HUKS_PADDING_PKCS1_V1_5",
        )
    raise BusinessError(
        12000003,
        f"HUKS_TAG_PADDING {chosen} does not sign with RSA; accepted: HUKS_PADDING_PSS, HUKS_PADDING_PKCS1_V1_5, "
        f"HUKS_PADDING_NONE",
        reason=HuksErrorCode.HUKS_ERROR_INVALID_PADDING,
    )


def _salt_type(spec: OperationSpec) -> int:
    chosen = spec.numbers.get(_SALT_TAG)
    of_key = spec.key_numbers.get(_SALT_TAG)
    if of_key is not None and chosen != of_key:
        raise BusinessError(
            12000012,
            f"the key says HUKS_TAG_RSA_PSS_SALT_LEN_TYPE {of_key}, the session "
            f"{'none' if chosen is None else chosen}; repeat the key's value",
        )
    if chosen is None:
        return HuksRsaPssSaltLenType.HUKS_RSA_PSS_SALT_LEN_MAX
    if chosen not in tuple(HuksRsaPssSaltLenType):
        raise BusinessError(
            12000003, f"HUKS_TAG_RSA_PSS_SALT_LEN_TYPE is 0 (digest length) or 1 (maximum), got {chosen}"
        )
    return chosen


def _pkcs1(_: RsaKey, __: hashes.HashAlgorithm) -> padding.PKCS1v15:
    return _PKCS1


def _pss_of_digest(_: RsaKey, algorithm: hashes.HashAlgorithm) -> padding.PSS:
    return padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)


def _pss_of_max(key: RsaKey, algorithm: hashes.HashAlgorithm) -> padding.PSS:
    # The encoded message has one bit less than the modulus (RFC 8017 section 9.1.1).
    encoded = (key.public.key_size + 6) // 8
    room = encoded - algorithm.digest_size - 2
    if room < 0:
        raise _key_too_small(key, algorithm)
    return padding.PSS(padding.MGF1(algorithm), room)


def _key_too_small(key: RsaKey, algorithm: hashes.HashAlgorithm) -> BusinessError:
    return BusinessError(
        12000006,
        f"an RSA key of {key.public.key_size} bits is too small for this padding with {algorithm.name.upper()}",
    )


def _sign(key: RsaKey, scheme: Scheme, value: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    private = private_of(key, "signing")
    try:
        return private.sign(value, scheme(key, algorithm), _PREHASHED[algorithm.name])
    except ValueError:
        raise _key_too_small(key, algorithm) from None


def _verify(
    key: RsaKey, scheme: Scheme, given: BytesLike, value: bytes, algorithm: hashes.HashAlgorithm
) -> None:
    _check_length(key, given)
    try:
        key.public.verify(bytes(given), value, scheme(key, algorithm), _PREHASHED[algorithm.name])
    except (InvalidSignature, ValueError):
        raise signing.wrong_signature() from None


def _check_length(key: RsaKey, given: BytesLike) -> None:
    if len(given) > key.length:
        raise signing.too_long(len(given), key.length)
    if len(given) < key.length:
        # Some libraries accept signatures that lost their leading zeros; RFC 8017 section 8 refuses them.
        raise signing.wrong_signature()


def _sign_raw(key: RsaKey, block: BytesLike) -> bytes:
    _check_raw(key, block)
    return raw_private(key, private_of(key, "signing"), block)


def _verify_raw(key: RsaKey, given: BytesLike, block: BytesLike) -> None:
    _check_raw(key, block)
    _check_length(key, given)
    if raw_public(key, given) != bytes(block):
        raise signing.wrong_signature()


def _check_raw(key: RsaKey, block: BytesLike) -> None:
    if len(block) != key.length:
        raise BusinessError(
            401,
            f"RSA with HUKS_PADDING_NONE signs exactly {key.length} bytes, got {len(block)}; pad the message yourself "
            f"or name a padding",
        )
