"""Who signs the certificates of keys: an operator's authority, or the keystore's own, made of software.

The software authority says no more than "this public key is held by this keystore": whoever has the
store and its root key can state anything in its name. Its names say that it is software, and so do
its claims (level 0).
"""

import secrets
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from huks_async.crypto.openssl_random import stir
from huks_async.keys.attestation.certificates import CaKey, check_issuer, issue_ca
from huks_async.model.errors import BusinessError
from huks_async.model.settings import check_whole
from huks_async.model.showing import type_name
from huks_async.runtime.closing import stop_if_abandoned
from huks_async.runtime.randomness import random_bytes
from huks_async.stores import Store

Mode: TypeAlias = Literal["device", "anonymous", "offline"]
"""Which of the three attestations."""

META = "attestation-ca"
"""The name under which a store keeps its sealed authority."""

OFFLINE_DAYS = 30
_RENEW_BEFORE = timedelta(seconds=3600)
# clocks of verifiers may be behind
_EARLIER = timedelta(hours=1)
# what has no end is valid from long ago, so that a clock that was ahead once spoils it for nobody
_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
_MAGIC = b"HKa1"
_NONCE_BYTES = 12
_LENGTH = struct.Struct("<I")
_HIGHEST_LEVEL = 3


@dataclass(frozen=True, slots=True)
class AttestationCa:
    """An authority that signs certificates of keys.

    Attributes:
        private_key: RSA or elliptic curve, of `cryptography`.
        chain: its own certificate first, then those above it, the root last.
        claim_level: what its claims say of who vouches: 0 software, 2 and 3 secure hardware. An
            operator who raises it answers for that.
    """

    private_key: CaKey = field(repr=False)
    chain: tuple[x509.Certificate, ...]
    claim_level: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.private_key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
            raise BusinessError(
                401, f"an attestation key is RSA or elliptic curve, got {type_name(self.private_key)}"
            )
        given: object = self.chain
        certificates = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        for one in certificates:
            if not isinstance(one, x509.Certificate):
                raise BusinessError(
                    401, f"an attestation chain is a tuple of x509.Certificate, got {type_name(one)}"
                )
        object.__setattr__(self, "chain", certificates)
        try:
            is_of_key = bool(self.chain) and self.chain[0].public_key() == self.private_key.public_key()
        except (ValueError, UnsupportedAlgorithm):
            is_of_key = False
        if not is_of_key:
            raise BusinessError(401, "the first certificate of an attestation chain must be that of its key")
        try:
            is_ca = self.chain[0].extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
            is_ca = False
        if not is_ca:
            raise BusinessError(401, "the first certificate of an attestation chain must be an authority's")
        check_whole(self.claim_level, "claim_level", 0, _HIGHEST_LEVEL)

    @classmethod
    def from_pem(
        cls, private_key: bytes, chain: bytes, password: bytes | None = None, claim_level: int = 0
    ) -> "AttestationCa":
        """Make one from PEM: a private key, and the certificates from its own up to the root.

        Raises:
            BusinessError: 401 for what cannot be read or does not belong together.
        """
        try:
            key = load_pem_private_key(private_key, password)
            certificates = tuple(x509.load_pem_x509_certificates(chain))
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            # the library's words may quote what it read
            raise BusinessError(
                401, f"no private key or certificates in PEM that can be read ({type_name(error)})"
            ) from None
        return cls(key, certificates, claim_level)  # type: ignore[arg-type]


class SoftwareAuthority:
    """The authority of a store, made at first use and kept sealed in it; the same for all who open it.

    Below one root there are the chain of named attestations (root, device CA, device), and the authority of
    anonymous ones, which for the offline form certifies another one for 30 days. The keys of root and
    device CA are forgotten as soon as these are signed: nothing else will ever stand below them.
    """

    def __init__(
        self, store: Store, store_key: bytes, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.now = now
        self._store = store
        info = b"huks_async attestation ca 1"
        self._cipher = AESGCM(HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(store_key))
        self._opened: dict[Mode, AttestationCa] = {}

    async def root(self) -> x509.Certificate:
        """The certificate that verifiers are to trust."""
        return (await self.issuer("device")).chain[-1]

    async def issuer(self, mode: Mode) -> AttestationCa:
        """The authority for an attestation of this mode.

        Raises:
            BusinessError: 12000012 when what the store keeps was changed, or is not valid yet.
        """
        if not self._opened:
            await self._open()
        if mode == "offline":
            return self._offline()
        return self._opened[mode]

    async def _open(self) -> None:
        stop_if_abandoned()
        sealed = await self._store.get_meta(META)
        if sealed is None:
            # of several that make one at once, the first one's is everybody's
            sealed = await self._store.put_meta(META, self._seal(_make(self.now())))
        device_key, anonymous_key, *chain = _split(self._unseal(sealed))
        device, device_ca, anonymous, root = (x509.load_der_x509_certificate(der) for der in chain)
        self._opened["device"] = AttestationCa(_load(device_key), (device, device_ca, root))
        self._opened["anonymous"] = AttestationCa(_load(anonymous_key), (anonymous, root))

    def _offline(self) -> AttestationCa:
        kept = self._opened.get("offline")
        now = self.now()
        # the clock may have been ahead when it was made
        if kept is None or not (
            kept.chain[0].not_valid_before_utc <= now <= kept.chain[0].not_valid_after_utc - _RENEW_BEFORE
        ):
            above = self._opened["anonymous"]
            check_issuer(above.chain[0], now)
            stir()
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = issue_ca(
                f"software offline anonymous attestation {secrets.token_hex(4)}",
                key,
                above.chain[0],
                above.private_key,
                below=0,
                start=now - _EARLIER,
                end=now + timedelta(days=OFFLINE_DAYS),
            )
            kept = self._opened["offline"] = AttestationCa(key, (certificate, *above.chain))
        return kept

    def _seal(self, plain: bytes) -> bytes:
        nonce = random_bytes(_NONCE_BYTES)
        return _MAGIC + nonce + self._cipher.encrypt(nonce, plain, _MAGIC)

    def _unseal(self, sealed: bytes) -> bytes:
        start = len(_MAGIC) + _NONCE_BYTES
        try:
            if sealed[: len(_MAGIC)] != _MAGIC:
                raise InvalidTag
            return self._cipher.decrypt(sealed[len(_MAGIC) : start], sealed[start:], _MAGIC)
        except (InvalidTag, ValueError):
            raise BusinessError(
                12000012,
                f"the attestation authority of the store {self._store.address} was changed, or is of another "
                "version of this library; restore it from a backup",
            ) from None


def _make(now: datetime) -> bytes:
    start = min(now - _EARLIER, _BEGIN)
    name = secrets.token_hex(4)
    stir()
    root_key, ca_key, device_key, anonymous_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
    root = issue_ca(f"software attestation root {name}", root_key, None, root_key, below=2, start=start)
    device_ca = issue_ca("software attestation CA", ca_key, root, root_key, below=1, start=start)
    device = issue_ca(f"software attestation {name}", device_key, device_ca, ca_key, below=0, start=start)
    anonymous = issue_ca(
        "software anonymous attestation", anonymous_key, root, root_key, below=1, start=start
    )
    return _join(
        [
            *(_dump(key) for key in (device_key, anonymous_key)),
            *(one.public_bytes(Encoding.DER) for one in (device, device_ca, anonymous, root)),
        ]
    )


def _dump(key: CaKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _load(der: bytes) -> CaKey:
    key = load_der_private_key(der, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _join(fields: Iterable[bytes]) -> bytes:
    return b"".join(_LENGTH.pack(len(one)) + one for one in fields)


def _split(data: bytes) -> list[bytes]:
    fields, start = [], 0
    while start < len(data):
        (length,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size
        fields.append(data[start : start + length])
        start += length
    return fields
