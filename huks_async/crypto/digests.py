"""Digests by their documented numbers."""

from cryptography.hazmat.primitives import hashes

from huks_async.crypto.caller_warnings import warn_legacy
from huks_async.model.enums import HuksKeyDigest

HASHES: dict[int, hashes.HashAlgorithm] = {
    int(HuksKeyDigest.HUKS_DIGEST_MD5): hashes.MD5(),  # noqa: S303
    int(HuksKeyDigest.HUKS_DIGEST_SM3): hashes.SM3(),
    int(HuksKeyDigest.HUKS_DIGEST_SHA1): hashes.SHA1(),  # noqa: S303
    int(HuksKeyDigest.HUKS_DIGEST_SHA224): hashes.SHA224(),
    int(HuksKeyDigest.HUKS_DIGEST_SHA256): hashes.SHA256(),
    int(HuksKeyDigest.HUKS_DIGEST_SHA384): hashes.SHA384(),
    int(HuksKeyDigest.HUKS_DIGEST_SHA512): hashes.SHA512(),
}
"""The hash of each digest; they have no state, so that one object serves everybody."""

_WEAK = frozenset({HuksKeyDigest.HUKS_DIGEST_MD5, HuksKeyDigest.HUKS_DIGEST_SHA1})


def digest_name(digest: int | None) -> str:
    """The documented name of a digest, or what was given instead."""
    if digest is None:
        return "absent"
    try:
        return HuksKeyDigest(digest).name
    except ValueError:
        return str(digest)


def warn_weak_digest(digest: int | None, use: str = "") -> None:
    """Warn for MD5 and SHA-1; `use` says what they are used for."""
    if digest in _WEAK:
        name = digest_name(digest)
        warn_legacy(f"{use} with {name}" if use else name)
