"""What an attestation says, and why one is refused."""

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from huks_async.keys.attestation import claims as c
from huks_async.keys.attestation.claims import Claim
from huks_async.model.errors import BusinessError


class AttestationRefusal(enum.Enum):
    """Why an attestation is not accepted; each condition has its own."""

    EMPTY_CHAIN = "the chain has no certificate"
    CHAIN_TOO_LONG = "the chain has more certificates than any attestation"
    MALFORMED_CERTIFICATE = "a certificate cannot be read"
    WRONG_ORDER = "a certificate does not name the next one as its issuer"
    UNTRUSTED_ROOT = "the chain ends at none of the given roots"
    WEAK_SIGNATURE = "a signature uses an algorithm or key that is too weak or unknown"
    BAD_SIGNATURE = "a certificate was not signed by the next one"
    NOT_YET_VALID = "a certificate is not valid yet"
    EXPIRED = "a certificate is not valid any more"
    NOT_AN_AUTHORITY = "an issuer is not marked as an authority"
    PATH_TOO_LONG = "more authorities follow an issuer than it allows"
    ISSUER_KEY_USAGE = "an issuer's key may not sign certificates"
    KEY_IS_AUTHORITY = "the attested key is marked as an authority"
    UNKNOWN_CRITICAL_EXTENSION = "a certificate has a critical extension that is not understood"
    NO_ATTESTATION = "the key's certificate has no attestation"
    MALFORMED_ATTESTATION = "the attestation cannot be read"
    DUPLICATE_CLAIM = "the attestation makes a claim twice"
    NO_CHALLENGE = "the attestation has no challenge"
    WRONG_CHALLENGE = "the challenge is another one"


class AttestationError(BusinessError):
    """An attestation was refused.

    Attributes:
        refusal: why; the message says which certificate.
    """

    def __init__(self, refusal: AttestationRefusal, detail: str) -> None:
        super().__init__(12000006, f"the attestation is refused: {refusal.value} ({detail})")
        self.refusal = refusal
        self.detail = detail

    def __new__(cls, *_: Any, **__: Any) -> "AttestationError":
        """Make one; the code of the error does not choose another class."""
        return Exception.__new__(cls)

    def __reduce__(self) -> Any:
        return AttestationError, (self.refusal, self.detail)


@dataclass(frozen=True, slots=True)
class AttestationReport:
    """What a verified attestation says. All of it is stated by the holder of the root the caller trusts.

    Attributes:
        public_key: the attested key, SubjectPublicKeyInfo DER.
        level: the lowest level of any claim but the challenge: 0 is software.
        challenge: as the verifier gave it.
        key_id: ATTESTATION_ID_ALIAS of the call; free bytes.
        origin: HUKS_TAG_KEY_FLAG: 1 imported, 2 generated, 3 agreed, 4 derived; None where not claimed.
        application: who holds the key, as its keystore states; empty where not claimed.
        application_kind: `application`, `service`, `unified`, or the object identifier of another kind.
        groups: usual combinations of purpose, padding and digest that stand for the next three.
        purposes: HUKS_TAG_PURPOSE, where no group is claimed.
        digest: HUKS_TAG_DIGEST, likewise.
        padding: HUKS_TAG_PADDING, likewise.
        sign_type: HUKS_TAG_KEY_SECURE_SIGN_TYPE, 0 for none.
        security_level_info: free bytes of the caller.
        version_info: free bytes of the caller.
        device_ids: ids of the device by name; never of a software keystore.
        claims: everything, in order.
        not_before: the start of the key certificate's validity: when it was attested.
        not_after: the end of the chain's validity.
        root: SHA-256 of the trusted certificate that the chain ends at, in hex.
    """

    public_key: bytes
    level: int
    challenge: bytes
    key_id: bytes
    origin: int | None
    application: Mapping[str, Any]
    application_kind: str
    groups: tuple[str, ...]
    purposes: int | None
    digest: int | None
    padding: int | None
    sign_type: int | None
    security_level_info: bytes
    version_info: bytes
    device_ids: Mapping[str, str]
    claims: tuple[Claim, ...]
    not_before: datetime
    not_after: datetime
    root: str

    @property
    def is_software(self) -> bool:
        """Whether anything in it is vouched for by software alone."""
        return self.level == 0


def read_claims(claims: Sequence[Claim]) -> dict[str, Any]:
    """The fields of a report that come from claims.

    Raises:
        ValueError: a claim whose value has another form than its meaning asks for.
    """
    by_oid = {claim.oid: claim for claim in claims}
    kind, application = _application(by_oid.get(c.APPLICATION))
    stated = [claim.level for claim in claims if claim.oid != c.CHALLENGE]
    return {
        "level": min(stated, default=0),
        "challenge": _bytes(by_oid, c.CHALLENGE),
        "key_id": _bytes(by_oid, c.KEY_ID),
        "origin": _number(by_oid, c.KEY_FLAG),
        "application": application,
        "application_kind": kind,
        "groups": tuple(name for oid, name in c.GROUPS.items() if _is_true(by_oid, oid)),
        "purposes": _number(by_oid, c.USAGE),
        "digest": _number(by_oid, c.DIGEST),
        "padding": _number(by_oid, c.PADDING),
        "sign_type": _number(by_oid, c.SIGN_TYPE),
        "security_level_info": _bytes(by_oid, c.SECURITY_LEVEL_INFO),
        "version_info": _bytes(by_oid, c.VERSION_INFO),
        "device_ids": {name: _text(by_oid[oid]) for oid, name in c.DEVICE_IDS.items() if oid in by_oid},
        "claims": tuple(claims),
    }


def _application(claim: Claim | None) -> tuple[str, dict[str, Any]]:
    if claim is None:
        return "", {}
    if claim.tag != c.SEQUENCE:
        raise ValueError("the application is no sequence")
    oid, text = c.split_application(claim.content)
    try:
        told = json.loads(text)
    except RecursionError:
        raise ValueError("the application is nested too deeply") from None
    if not isinstance(told, dict):
        raise ValueError("the application is no JSON object")
    return c.APPLICATION_KINDS.get(oid, oid), told


def _bytes(claims: Mapping[str, Claim], oid: str) -> bytes:
    claim = claims.get(oid)
    if claim is None:
        return b""
    if claim.tag != c.OCTETS:
        raise ValueError(f"claim {oid} is no octet string")
    return claim.content


def _number(claims: Mapping[str, Claim], oid: str) -> int | None:
    if oid not in claims:
        return None
    content = _bytes(claims, oid)
    if len(content) != 4:
        raise ValueError(f"claim {oid} is no number of 4 bytes")
    return int.from_bytes(content, "little")


def _is_true(claims: Mapping[str, Claim], oid: str) -> bool:
    claim = claims.get(oid)
    if claim is None:
        return False
    if claim.tag != c.BOOLEAN or len(claim.content) != 1:
        raise ValueError(f"claim {oid} is no boolean")
    return claim.content != b"\0"


def _text(claim: Claim) -> str:
    if claim.tag not in (c.UTF8, c.OCTETS):
        raise ValueError(f"claim {claim.oid} is no text")
    return claim.content.decode()
