"""Attestation: certificates that say what a key is and where it is held, and their verification."""

from huks_async.keys.attestation.authority import AttestationCa, Mode, SoftwareAuthority
from huks_async.keys.attestation.report import AttestationError, AttestationRefusal, AttestationReport
from huks_async.keys.attestation.verify import verify_attestation

__all__ = [
    "AttestationCa",
    "AttestationError",
    "AttestationRefusal",
    "AttestationReport",
    "Mode",
    "SoftwareAuthority",
    "verify_attestation",
]
