"""The path of an attestation: from the key's certificate to a root that the caller trusts."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from huks_async.keys.attestation.claims import decode_oid
from huks_async.keys.attestation.report import AttestationError, AttestationRefusal
from huks_async.keys.forms.der import take
from huks_async.model.errors import BusinessError
from huks_async.model.memory import refuse_out_of_memory
from huks_async.model.params import as_buffer, as_bytes
from huks_async.model.showing import shown

MAX_CHAIN = 8
MAX_CERTIFICATE_BYTES = 64 * 1024

_R = AttestationRefusal
_BASIC_CONSTRAINTS, _KEY_USAGE = "2.5.29.19", "2.5.29.15"
_UNDERSTOOD = (_BASIC_CONSTRAINTS, _KEY_USAGE)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_MIN_RSA_BITS, _MIN_CURVE_BITS = 2048, 256
# Diffie-Hellman as PKCS#3 and X9.42 name it: loading such a key tests whether its numbers are prime, for seconds
_FINITE_FIELDS = ("1.2.840.113549.1.3.1", "1.2.840.10046.2.1")
_SEQUENCE, _OCTETS, _OID, _BOOLEAN = 0x30, 0x04, 0x06, 0x01
_EXPLICIT, _EXTENSIONS = 0xA0, 0xA3
_MAX_NAME_BYTES = 1024
"""Of an issuer or subject. Each of its parts takes microseconds to read, and real names have some hundred bytes."""

Trusted = x509.Certificate | str | bytes


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension of a certificate, not interpreted."""

    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class Leaf:
    """What is read of a key's certificate, whose extensions and key may be more than libraries know."""

    public_key: bytes
    extensions: dict[str, Extension]


def read_certificate(data: Trusted, what: str) -> x509.Certificate:
    """A certificate from PEM or DER; MALFORMED_CERTIFICATE otherwise, and 401 for what is neither text nor bytes."""
    if isinstance(data, x509.Certificate):
        return data
    found = data if isinstance(data, str) else as_buffer(data, what)
    try:
        # PEM is ASCII; of a text, no more is encoded than shows that it is too long
        given = found[: MAX_CERTIFICATE_BYTES + 1].encode() if isinstance(found, str) else found
        raw = as_bytes(given, what, MAX_CERTIFICATE_BYTES)
        if raw[:1] == b"\x30":
            certificate = x509.load_der_x509_certificate(raw)
        else:
            certificate = x509.load_pem_x509_certificate(raw)
        _check_names(certificate)
        # what is read late must not fail late
        _ = certificate.issuer, certificate.subject, certificate.not_valid_after_utc, certificate.version
    except Exception as error:
        refuse_out_of_memory(error, "reading a certificate")
        raise AttestationError(_R.MALFORMED_CERTIFICATE, f"{what}: {type(error).__name__}") from None
    return certificate


def _check_names(certificate: x509.Certificate) -> None:
    """Refuse names that would take long to read, before they are read; ValueError, or BusinessError for bad DER."""
    body, _ = take(certificate.tbs_certificate_bytes, 0, _SEQUENCE)
    # the version, which certificates of the first one leave out, the serial number and the algorithm
    start = 0
    for _ in range(3 if body[0] == _EXPLICIT else 2):
        _, start = take(body, start, body[start])
    issuer, start = take(body, start, _SEQUENCE)
    _, start = take(body, start, _SEQUENCE)
    subject, _ = take(body, start, _SEQUENCE)
    for name in (issuer, subject):
        if len(name) > _MAX_NAME_BYTES:
            raise ValueError("a name too long")


def check_path(
    chain: Sequence[x509.Certificate], roots: Iterable[Trusted], at: datetime
) -> list[x509.Certificate]:
    """Check everything about a path but the first certificate's own content.

    Returns:
        the path from the key's certificate to the trusted one.

    Raises:
        AttestationError: with the reason.
    """
    path = _anchored(chain, [read_certificate(root, "a root") for root in roots])
    # From the trusted certificate down, so that of a stranger's certificates none is looked into, and none of their
    # keys is used, before its issuer is known to have signed it: both take as long as their maker likes.
    allowed: list[tuple[int | None, int, str]] = []
    for index in range(len(path) - 1, -1, -1):
        certificate, name = path[index], f"certificate {index + 1} of {len(path)}"
        if index + 1 < len(path):
            _check_signature(certificate, path[index + 1], name)
        if at < certificate.not_valid_before_utc:
            raise AttestationError(
                _R.NOT_YET_VALID, f"{name} is valid from {certificate.not_valid_before_utc}"
            )
        if at > certificate.not_valid_after_utc:
            raise AttestationError(_R.EXPIRED, f"{name} was valid until {certificate.not_valid_after_utc}")
        if index:
            allowed.append((_check_authority(certificate, name), index - 1, name))
    for length, below, name in allowed:
        if length is not None and below > length:
            raise AttestationError(
                _R.PATH_TOO_LONG, f"{name} allows {length} authorities below, there are {below}"
            )
    return path


def read_leaf(certificate: x509.Certificate) -> Leaf:
    """Take the key's certificate apart.

    Libraries refuse a whole certificate for one bad extension, and devices write a bad one (an empty
    list of revocations), so this one is read by hand.

    Raises:
        AttestationError: MALFORMED_CERTIFICATE, UNKNOWN_CRITICAL_EXTENSION, KEY_IS_AUTHORITY.
    """
    try:
        leaf = _read_leaf(certificate.tbs_certificate_bytes)
    except (BusinessError, ValueError, IndexError):
        raise AttestationError(_R.MALFORMED_CERTIFICATE, "the key's certificate") from None
    for oid, extension in leaf.extensions.items():
        if extension.critical and oid not in _UNDERSTOOD:
            raise AttestationError(_R.UNKNOWN_CRITICAL_EXTENSION, f"{oid} in the key's certificate")
    constraints = leaf.extensions.get(_BASIC_CONSTRAINTS)
    # an empty sequence says that it is no authority
    if constraints is not None and constraints.value != b"\x30\0":
        raise AttestationError(_R.KEY_IS_AUTHORITY, "the key's certificate")
    return leaf


def _anchored(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    for index, (certificate, issuer) in enumerate(itertools.pairwise(chain), start=1):
        if certificate.issuer != issuer.subject:
            raise AttestationError(
                _R.WRONG_ORDER,
                f"certificate {index} was issued by {shown(certificate.issuer.rfc4514_string())}, the next is of "
                f"{shown(issuer.subject.rfc4514_string())}",
            )
    last = chain[-1]
    if len(chain) > 1 and any(_der(last) == _der(root) for root in roots):
        return list(chain)
    for root in roots:
        # a chain may leave out its root
        if last.issuer == root.subject and _is_signed_by(last, root):
            return [*chain, root]
    raise AttestationError(_R.UNTRUSTED_ROOT, f"it ends at {shown(last.subject.rfc4514_string())}")


def _check_authority(certificate: x509.Certificate, name: str) -> int | None:
    """Refuse a certificate that is no authority's; give how many authorities it allows below, None for any."""
    try:
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise AttestationError(_R.MALFORMED_CERTIFICATE, name) from None
    for extension in extensions:
        if extension.critical and extension.oid.dotted_string not in _UNDERSTOOD:
            raise AttestationError(_R.UNKNOWN_CRITICAL_EXTENSION, f"{extension.oid.dotted_string} in {name}")
    try:
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise AttestationError(_R.NOT_AN_AUTHORITY, name) from None
    if not constraints.ca:
        raise AttestationError(_R.NOT_AN_AUTHORITY, name)
    length: int | None = constraints.path_length
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return length
    if not usage.key_cert_sign:
        raise AttestationError(_R.ISSUER_KEY_USAGE, name)
    return length


def _check_signature(certificate: x509.Certificate, issuer: x509.Certificate, name: str) -> None:
    if issuer.public_key_algorithm_oid.dotted_string in _FINITE_FIELDS:
        raise AttestationError(_R.WEAK_SIGNATURE, f"{name}: a key of Diffie-Hellman signs nothing")
    try:
        key = issuer.public_key()
        digest = certificate.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        raise AttestationError(_R.WEAK_SIGNATURE, f"{name}: of no known algorithm") from None
    strong = (
        (isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS)
        or (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size >= _MIN_CURVE_BITS)
    ) and isinstance(digest, _HASHES)
    if not strong and not isinstance(key, ed25519.Ed25519PublicKey):
        raise AttestationError(_R.WEAK_SIGNATURE, f"{name}: {type(key).__name__}, {digest and digest.name}")
    # the count of unused bits before the signature is outside of what is signed, and readers mask it away
    if not _der(certificate).endswith(b"\0" + certificate.signature):
        raise AttestationError(_R.MALFORMED_CERTIFICATE, f"{name}: its signature is no whole bytes")
    if not _is_signed_by(certificate, issuer):
        raise AttestationError(_R.BAD_SIGNATURE, name)


def _is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _read_leaf(tbs: bytes) -> Leaf:
    body, _ = take(tbs, 0, _SEQUENCE)
    # version, serial number, algorithm, issuer, validity, subject
    start = 0
    for _ in range(6):
        _, start = take(body, start, body[start])
    key_start = start
    _, start = take(body, start, _SEQUENCE)
    public_key = body[key_start:start]
    while start < len(body) and body[start] != _EXTENSIONS:
        _, start = take(body, start, body[start])
    extensions: dict[str, Extension] = {}
    if start < len(body):
        sequence, _ = take(take(body, start, _EXTENSIONS)[0], 0, _SEQUENCE)
        at = 0
        while at < len(sequence):
            one, at = take(sequence, at, _SEQUENCE)
            oid, extension = _read_extension(one)
            if oid in extensions:
                raise ValueError("an extension twice")
            extensions[oid] = extension
    return Leaf(public_key, extensions)


def _read_extension(data: bytes) -> tuple[str, Extension]:
    oid, start = take(data, 0, _OID)
    critical = data[start] == _BOOLEAN
    if critical:
        flag, start = take(data, start, _BOOLEAN)
        critical = flag != b"\0"
    value, end = take(data, start, _OCTETS)
    if end != len(data):
        raise ValueError("bytes follow an extension")
    return decode_oid(oid), Extension(critical, value)
