"""Certificates: those of keys, and those of the software authority."""

import base64
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import NameOID

from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.attestation.claims import EXTENSION_OID
from huks_async.keys.forms.der import take, tlv
from huks_async.model.enums import HuksKeyAlg, HuksKeyPurpose
from huks_async.model.errors import BusinessError

ORGANIZATION = "huks_async software keystore"
KEY_NAME = "huks_async key"
KEY_YEARS = 10

# RFC 5280 section 4.1.2.5: a certificate with no well-defined end
FOREVER = datetime.fromisoformat("9999-12-31T23:59:59+00:00")

CaKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_P = HuksKeyPurpose
_SEQUENCE, _BITS = 0x30, 0x03


def issue_key_certificate(
    issuer: x509.Certificate,
    issuer_key: CaKey,
    material: KeyMaterial,
    purposes: int,
    extension: bytes,
    now: datetime,
) -> bytes:
    """The certificate of a key, in DER: valid from now for ten years, or as long as its issuer.

    Args:
        issuer: the certificate of the key that signs.
        issuer_key: that key.
        material: the key that is certified; its public half is used alone.
        purposes: HUKS_TAG_PURPOSE of the key.
        extension: the value of the attestation extension.
        now: with a time zone.

    Raises:
        BusinessError: 12000012 if the issuer's certificate is not valid now.
    """
    is_sm2 = material.algorithm == HuksKeyAlg.HUKS_ALG_SM2
    # the library does not know SM2, whose public keys have the length of P-256's: put it in afterwards
    public = ec.generate_private_key(ec.SECP256R1()).public_key() if is_sm2 else _public_key(material)
    start = now.replace(microsecond=0)
    check_issuer(issuer, start)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(KEY_NAME))
        .issuer_name(issuer.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(min(_years_later(start), issuer.not_valid_after_utc))
        .add_extension(_key_usage(purposes), critical=False)
        .add_extension(_key_identifier(issuer), critical=False)
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier(EXTENSION_OID), extension), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    if not is_sm2:
        return certificate.public_bytes(Encoding.DER)
    return _with_public_key(certificate, material.public, issuer_key)


def check_issuer(issuer: x509.Certificate, now: datetime) -> None:
    """Refuse to sign below a certificate that no verifier takes now.

    Raises:
        BusinessError: 12000012.
    """
    first, last = issuer.not_valid_before_utc, issuer.not_valid_after_utc
    if now > last:
        raise BusinessError(
            12000012,
            f"the attestation authority's certificate expired at {last:%Y-%m-%d %H:%M} UTC; "
            "open the keystore with an attestation_ca whose certificates are valid",
        )
    if now < first:
        # which of the two clocks was wrong cannot be told, and verifiers may trust what a new authority would replace
        raise BusinessError(
            12000012,
            f"the attestation authority's certificate is valid from {first:%Y-%m-%d %H:%M} UTC, and it is "
            f"{now:%Y-%m-%d %H:%M} by the clock of this machine; set the clock, or, if it was ahead when the "
            "authority was made, open the keystore with an attestation_ca whose certificates are valid",
        )


def issue_ca(
    name: str,
    key: CaKey,
    issuer: x509.Certificate | None,
    issuer_key: CaKey,
    *,
    below: int,
    start: datetime,
    end: datetime = FOREVER,
) -> x509.Certificate:
    """The certificate of an authority; self-signed without an issuer.

    Args:
        name: its common name.
        key: its key.
        issuer: the certificate above it.
        issuer_key: the key that signs.
        below: how many authorities may follow below it.
        start: from when it is valid.
        end: until when.
    """
    subject = _name(name)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start.replace(microsecond=0))
        .not_valid_after(end.replace(microsecond=0))
        .add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        builder = builder.add_extension(_key_identifier(issuer), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def to_pem(der: bytes) -> str:
    """PEM as devices write it: the base64 is one line, and no line end follows."""
    body = base64.b64encode(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"


def chain_to_pem(chain: Iterable[x509.Certificate]) -> list[str]:
    """Each certificate of a chain in the same form."""
    return [to_pem(one.public_bytes(Encoding.DER)) for one in chain]


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _public_key(
    material: KeyMaterial,
) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | x25519.X25519PublicKey | ed25519.Ed25519PublicKey:
    if material.algorithm == HuksKeyAlg.HUKS_ALG_X25519:
        return x25519.X25519PublicKey.from_public_bytes(material.public)
    if material.algorithm == HuksKeyAlg.HUKS_ALG_ED25519:
        return ed25519.Ed25519PublicKey.from_public_bytes(material.public)
    key = load_der_public_key(material.public)
    if not isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        raise TypeError(f"no key that is certified: {type(key).__name__}")
    return key


def _key_usage(purposes: int) -> x509.KeyUsage:
    signs = _P.HUKS_KEY_PURPOSE_SIGN | _P.HUKS_KEY_PURPOSE_VERIFY
    wraps = (
        _P.HUKS_KEY_PURPOSE_ENCRYPT
        | _P.HUKS_KEY_PURPOSE_DECRYPT
        | _P.HUKS_KEY_PURPOSE_WRAP
        | _P.HUKS_KEY_PURPOSE_UNWRAP
    )
    agrees = _P.HUKS_KEY_PURPOSE_DERIVE | _P.HUKS_KEY_PURPOSE_AGREE
    return x509.KeyUsage(
        digital_signature=bool(purposes & signs),
        content_commitment=False,
        key_encipherment=bool(purposes & wraps),
        data_encipherment=False,
        key_agreement=bool(purposes & agrees),
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        key = issuer.public_key()
        if not isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
            raise TypeError(f"no key of an authority: {type(key).__name__}") from None
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _years_later(start: datetime) -> datetime:
    try:
        return start.replace(year=start.year + KEY_YEARS)
    except ValueError:
        # 29 February has no anniversary in that year
        return (start - timedelta(days=1)).replace(year=start.year + KEY_YEARS)


def _with_public_key(certificate: x509.Certificate, spki: bytes, issuer_key: CaKey) -> bytes:
    placeholder = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    tbs = certificate.tbs_certificate_bytes
    if len(spki) != len(placeholder) or tbs.count(placeholder) != 1:
        raise ValueError("the public key does not take the place of another")
    body, _ = take(certificate.public_bytes(Encoding.DER), 0, _SEQUENCE)
    algorithm, _ = take(body, len(tbs), _SEQUENCE)
    tbs = tbs.replace(placeholder, spki)
    signature = _sign(issuer_key, tbs)
    return tlv(_SEQUENCE, tbs, tlv(_SEQUENCE, algorithm), tlv(_BITS, b"\0", signature))


def _sign(key: CaKey, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data, ec.ECDSA(hashes.SHA256()))
