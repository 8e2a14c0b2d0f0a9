"""Verify an attestation: the other side of the attesting functions, for services that receive one."""

import hmac
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from cryptography.hazmat.primitives.hashes import SHA256

from huks_async.keys.attestation import claims as c
from huks_async.keys.attestation.path import MAX_CHAIN, Trusted, check_path, read_certificate, read_leaf
from huks_async.keys.attestation.report import (
    AttestationError,
    AttestationRefusal,
    AttestationReport,
    read_claims,
)
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, as_bytes
from huks_async.model.showing import type_name

_R = AttestationRefusal
# sequences too, and of none of these is an element a certificate
_NO_LISTS = (str, bytes, bytearray, memoryview)


def verify_attestation(
    chain: Sequence[str | bytes],
    challenge: BytesLike,
    *,
    roots: Iterable[Trusted],
    at: datetime | None = None,
) -> AttestationReport:
    """Check an attestation, and give what it says.

    Checked are the order, signatures, validity, authority, path lengths and key usages of the
    certificates up to one of `roots`, then the claims and the challenge. Revocation is not.

    Args:
        chain: the certificates as `certChains` has them: the key's first; PEM or DER. The root may be left out.
        challenge: what the caller gave the holder of the key: unforeseeable, and used once.
        roots: certificates that the caller trusts, PEM or DER. Nothing else is trusted.
        at: the time that the certificates must be valid at, with a time zone; default now.

    Returns:
        the report. What it means depends on who holds the root: see `AttestationReport.level`.

    Raises:
        AttestationError: with `refusal`, a reason of its own for each condition.
        BusinessError: 401 for arguments of the wrong type.
    """
    if isinstance(chain, _NO_LISTS) or not isinstance(chain, Sequence):
        raise BusinessError(401, f"chain must be a list of certificates, got {type_name(chain)}")
    if isinstance(roots, _NO_LISTS) or not isinstance(roots, Iterable):
        raise BusinessError(401, f"roots must be a list of certificates, got {type_name(roots)}")
    if at is not None and not isinstance(at, datetime):
        raise BusinessError(401, f"at must be a datetime, got {type_name(at)}")
    expected = as_bytes(challenge, "challenge")
    when = at or datetime.now(UTC)
    if when.utcoffset() is None:  # a time zone may be given and say nothing
        raise BusinessError(401, "at must have a time zone")
    if not chain:
        raise AttestationError(_R.EMPTY_CHAIN, "0 certificates")
    if len(chain) > MAX_CHAIN:
        raise AttestationError(_R.CHAIN_TOO_LONG, f"{len(chain)} certificates, accepted {MAX_CHAIN}")
    certificates = [read_certificate(one, f"certificate {index}") for index, one in enumerate(chain, start=1)]
    path = check_path(certificates, roots, when)
    leaf = read_leaf(path[0])
    extension = leaf.extensions.get(c.EXTENSION_OID)
    if extension is None:
        raise AttestationError(_R.NO_ATTESTATION, f"no extension {c.EXTENSION_OID}")
    try:
        claims = c.decode(extension.value)
        fields = read_claims(claims)
    except (ValueError, BusinessError) as error:
        raise AttestationError(_R.MALFORMED_ATTESTATION, type_name(error)) from None
    _check_claims(claims, expected)
    return AttestationReport(
        public_key=leaf.public_key,
        not_before=path[0].not_valid_before_utc,
        not_after=min(certificate.not_valid_after_utc for certificate in path),
        root=path[-1].fingerprint(SHA256()).hex(),
        **fields,
    )


def _check_claims(claims: Sequence[c.Claim], challenge: bytes) -> None:
    seen: dict[str, c.Claim] = {}
    for claim in claims:
        if claim.oid in seen:
            raise AttestationError(_R.DUPLICATE_CLAIM, claim.oid)
        seen[claim.oid] = claim
    given = seen.get(c.CHALLENGE)
    if given is None or not given.content:
        raise AttestationError(_R.NO_CHALLENGE, f"no claim {c.CHALLENGE}")
    if not hmac.compare_digest(given.content, challenge):
        raise AttestationError(_R.WRONG_CHALLENGE, f"it has {len(given.content)} bytes")
