"""RSA encryption: all data is collected, and one block is encrypted or decrypted at finish."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from huks_async.crypto.asymmetric.rsa_key import (
    RAW_PRIVATE_WORK,
    RsaKey,
    cost_row,
    private_of,
    raw_private,
    raw_public,
)
from huks_async.crypto.asymmetric.signing import HASHES, Collected
from huks_async.crypto.digests import digest_name, warn_weak_digest
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.openssl_random import stir
from huks_async.crypto.operation import Operation
from huks_async.model.enums import HuksErrorCode, HuksKeyDigest, HuksKeyPadding
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike
from huks_async.model.tags import HuksTag, InnerTag

if TYPE_CHECKING:
    from huks_async.crypto.asymmetric.rsa_oaep_md5 import Md5Oaep

Scheme: TypeAlias = "padding.OAEP | padding.PKCS1v15 | Md5Oaep | None"
"""None: no padding."""


def encryption(spec: OperationSpec) -> Starter:
    """Prepare encryptions.

    Raises:
        BusinessError: 12000002 without padding, 12000003 for a padding or digest that is not for
            encryption, 12000004 for OAEP without HUKS_TAG_KEY_SIZE or with a key too small for
            the digest, 12000001 for OAEP with MD5 where the extra `legacy` is not installed.

    """
    scheme = _scheme(spec)
    kind = cost_row(spec.size, "public")
    limits = spec.limits

    def start(key: RsaKey, _: Mapping[int, bytes]) -> Operation:
        work = key.raw_public_work if scheme is None else key.public_work
        return Collected(kind, limits, partial(_encrypt, key, scheme), work)

    return start


def decryption(spec: OperationSpec) -> Starter:
    """Prepare decryptions. Errors as for `encryption`; a key without private half gives 12000006."""
    scheme = _scheme(spec)
    kind = cost_row(spec.size, "private")
    limits = spec.limits
    work = RAW_PRIVATE_WORK if scheme is None else 1.0
    hint = _mask_hint(spec) if spec.padding == HuksKeyPadding.HUKS_PADDING_OAEP else ""

    def start(key: RsaKey, _: Mapping[int, bytes]) -> Operation:
        private_of(key, "decryption")
        return Collected(kind, limits, partial(_decrypt, key, scheme, hint), work)

    return start


def _encrypt(key: RsaKey, scheme: Scheme, data: BytesLike) -> bytes:
    if scheme is None:
        return raw_public(key, data)
    try:
        if isinstance(scheme, padding.AsymmetricPadding):
            stir()
            return key.public.encrypt(bytes(data), scheme)
        return scheme.encrypt(key, bytes(data))
    except ValueError:
        raise BusinessError(
            12000006,
            f"{len(data)} bytes are more than one RSA block of this key and padding holds "
            f"({_capacity(key, scheme)}); encrypt a symmetric key and the data with that",
        ) from None


def _capacity(key: RsaKey, scheme: "padding.OAEP | padding.PKCS1v15 | Md5Oaep") -> int:
    if isinstance(scheme, padding.PKCS1v15):
        return key.length - 11
    return key.length - 2 * scheme.algorithm.digest_size - 2


def _mask_hint(spec: OperationSpec) -> str:
    """What an OAEP decryption that failed should be asked first.

    It depends on the parameters alone. An error that told which step failed would let an attacker decrypt by
    asking (Manger 2001).
    """
    mask = spec.numbers.get(InnerTag.MGF_DIGEST, spec.digest)
    return (
        f"; OAEP hashes the label with {digest_name(spec.digest)} and the mask with {digest_name(mask)} here, and both must "
        "be as the sender had them: InnerTag.MGF_DIGEST (tag 31) names the mask's digest where it is another; "
        "Java's OAEPWithSHA-256AndMGF1Padding, unless told otherwise, has HUKS_DIGEST_SHA1 for the mask"
    )


def _decrypt(key: RsaKey, scheme: Scheme, hint: str, data: BytesLike) -> bytes:
    private = private_of(key, "decryption")
    if scheme is None:
        return raw_private(key, private, data)
    try:
        # With PKCS1_V1_5 a block of wrong padding gives random bytes (implicit rejection), on purpose:
        # an error would tell an attacker about the plaintext, one question at a time (Bleichenbacher 1998).
        if isinstance(scheme, padding.AsymmetricPadding):
            return private.decrypt(bytes(data), scheme)
        return scheme.decrypt(key, bytes(data))
    except ValueError:
        raise BusinessError(
            12000006, f"the ciphertext ({len(data)} bytes) was not made for this key and padding{hint}"
        ) from None


def _scheme(spec: OperationSpec) -> Scheme:
    if spec.padding == HuksKeyPadding.HUKS_PADDING_NONE:
        return None
    if spec.padding == HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5:
        return padding.PKCS1v15()
    if spec.padding == HuksKeyPadding.HUKS_PADDING_OAEP:
        return _oaep(spec)
    raise BusinessError(
        12000002 if spec.padding is None else 12000003,
        f"HUKS_TAG_PADDING of RSA encryption is HUKS_PADDING_NONE, HUKS_PADDING_OAEP or HUKS_PADDING_PKCS1_V1_5; "
        f"got {'none' if spec.padding is None else spec.padding}",
        reason=HuksErrorCode.HUKS_ERROR_INVALID_PADDING,
    )


def _oaep(spec: OperationSpec) -> "padding.OAEP | Md5Oaep":
    if spec.digest is None:
        raise BusinessError(
            12000002,
            "OAEP needs HUKS_TAG_DIGEST",
            reason=HuksErrorCode.HUKS_ERROR_CHECK_GET_DIGEST_FAIL,
        )
    label_hash = _oaep_hash(spec.digest, "HUKS_TAG_DIGEST")
    mask = spec.numbers.get(InnerTag.MGF_DIGEST)
    mask_hash = label_hash if mask is None else _oaep_hash(mask, "the MGF1 digest (tag 31)")
    if HuksTag.HUKS_TAG_KEY_SIZE not in spec.numbers:
        raise BusinessError(12000004, "a session with OAEP needs HUKS_TAG_KEY_SIZE")
    least = 2 * label_hash.digest_size + 2
    if spec.size // 8 < least:
        raise BusinessError(
            12000004,
            f"OAEP with {digest_name(spec.digest)} needs a key of at least {8 * least} bits; this one has {spec.size}",
        )
    if HuksKeyDigest.HUKS_DIGEST_MD5 in (spec.digest, mask):
        from huks_async.crypto.asymmetric.rsa_oaep_md5 import Md5Oaep

        return Md5Oaep(label_hash, mask_hash)
    return padding.OAEP(padding.MGF1(mask_hash), label_hash, None)


def _oaep_hash(digest: int, tag: str) -> hashes.HashAlgorithm:
    algorithm = HASHES.get(digest)
    if algorithm is None:
        raise BusinessError(
            12000003,
            f"{tag} {digest_name(digest)} is not for OAEP; accepted: HUKS_DIGEST_MD5, HUKS_DIGEST_SHA1 to HUKS_DIGEST_SHA512",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_DIGEST,
        )
    warn_weak_digest(digest, "OAEP")
    return algorithm
