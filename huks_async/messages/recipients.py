"""Messages to the holder of a private key: HPKE (RFC 9180) in its base mode, by `cryptography`.

| Bytes | What |
|---|---|
| 8 | header, whose kind is the key encapsulation |
| by the kind | encapsulated key, as RFC 9180 and draft-ietf-hpke-pq write it |
| n | ciphertext, as long as the data |
| 16 | tag |

The `info` of HPKE is a label, the header and the context; its associated data is empty.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    MLKEM1024P384PrivateKey,
    MLKEM1024P384PublicKey,
    Suite,
)

from huks_async.crypto.openssl_random import stir
from huks_async.crypto.operation import Operation
from huks_async.crypto.spki import load_spki
from huks_async.messages.header import HEADER_BYTES, Kind, does_not_belong, header, kind_of
from huks_async.messages.whole import Whole
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.memory import refuse_out_of_memory
from huks_async.model.params import BytesLike

MAX_BYTES = 1024 * 1024
"""The most data. HPKE needs all data in one call, and 1 MiB holds the interpreter for a third of a millisecond."""

_TAG_BYTES = 16
_HASHED_PER_BYTE = 0.0016
"""Microseconds for a byte of the context, which is hashed."""

LABEL = b"huks_async seal_to "
"""The beginning of `info`."""

ALGORITHMS = frozenset(
    {int(HuksKeyAlg.HUKS_ALG_X25519), int(HuksKeyAlg.HUKS_ALG_ECC), int(HuksKeyAlg.HUKS_ALG_ML_KEM)}
)
"""The algorithms of keys that open such messages."""

ACCEPTED = "X25519, P-256, P-384, P-521, ML-KEM-768, ML-KEM-1024, or a pair: ML-KEM-768 with X25519, ML-KEM-1024 with P-384"
_ILLEGAL, _UNSUPPORTED, _CRYPTO_FAIL = 401, 12000003, 12000006
_RAW_X25519_BYTES = 32


class _Form(NamedTuple):
    """One key encapsulation.

    Args:
        kem: of HPKE; its `kdf` is the one with the same hash, if the KEM has a hash of its own.
        encapsulated: bytes of the encapsulated key.
        work: microseconds of an encapsulation or decapsulation, the slower of the two, on a server core of 2025.
    """

    kem: KEM
    kdf: KDF
    encapsulated: int
    work: float

    def suite(self) -> Suite:
        return Suite(self.kem, self.kdf, AEAD.AES_256_GCM)

    def work_with(self, context: bytes) -> float:
        """Microseconds without those for the data."""
        return self.work + _HASHED_PER_BYTE * len(context)


FORMS: dict[Kind, _Form] = {
    Kind.X25519: _Form(KEM.X25519, KDF.HKDF_SHA256, 32, 100),
    Kind.P256: _Form(KEM.P256, KDF.HKDF_SHA256, 65, 200),
    Kind.P384: _Form(KEM.P384, KDF.HKDF_SHA384, 97, 1000),
    Kind.P521: _Form(KEM.P521, KDF.HKDF_SHA512, 133, 1500),
    Kind.ML_KEM_768: _Form(KEM.MLKEM768, KDF.HKDF_SHA256, 1088, 110),
    Kind.ML_KEM_1024: _Form(KEM.MLKEM1024, KDF.HKDF_SHA384, 1568, 150),
    Kind.ML_KEM_768_X25519: _Form(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, 1120, 250),
    Kind.ML_KEM_1024_P384: _Form(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, 1665, 1200),
}
"""Kind of a message → its key encapsulation."""


class Sender:
    """Seals to one public key, or to a pair of them."""

    __slots__ = ("_kind", "_public")

    def __init__(self, public_keys: Sequence[bytes]) -> None:
        """Read SubjectPublicKeyInfo (DER), or for X25519 the 32 raw bytes, which HUKS exports.

        Raises:
            BusinessError: 401 for bytes that are not a public key; 12000003 for keys that HPKE does not take.
        """
        read = [_read_public(each) for each in public_keys]
        found = _put_together(read, _PUBLIC_PAIRS)
        if found is None:
            raise BusinessError(
                _UNSUPPORTED,
                f"public_key: {' and '.join(map(_describe, read))}: messages are sealed to {ACCEPTED}",
            )
        self._kind, self._public = found

    def begin(self, context: bytes) -> Operation:
        """An operation whose `finish` turns the data into a message."""
        return Whole("hpke", partial(self._seal, context), FORMS[self._kind].work_with(context))

    def _seal(self, context: bytes, data: BytesLike) -> bytes:
        head = header(self._kind)
        stir()
        try:
            return head + FORMS[self._kind].suite().encrypt(data, self._public, LABEL + head + context)
        except (ValueError, UnsupportedAlgorithm) as error:
            refuse_out_of_memory(error, "a message")
            raise BusinessError(_CRYPTO_FAIL, "public_key: no secret can be agreed with this key") from None


class Recipient:
    """Opens the messages to one private key, or to a pair of them."""

    __slots__ = ("_kind", "_private")

    def __init__(self, private_keys: Sequence[Any]) -> None:
        """Take private keys as objects of `cryptography`; None stands for a stored key that has no such form.

        Raises:
            BusinessError: 12000003 for keys that HPKE does not take.
        """
        found = _put_together(private_keys, _PRIVATE_PAIRS)
        if found is None:
            raise BusinessError(
                _UNSUPPORTED,
                f"no message is sealed to {' and '.join(map(_describe, private_keys))}: such messages are for {ACCEPTED}",
            )
        self._kind, self._private = found

    @property
    def overhead(self) -> int:
        """By how many bytes a message without its header is longer than its data."""
        return FORMS[self._kind].encapsulated + _TAG_BYTES

    def begin(self, sealed: BytesLike, context: bytes) -> Operation:
        """An operation whose `finish` takes the message without its header, and returns the data.

        Raises:
            BusinessError: 12000006, here or in the operation, if message, context and key do not belong together.
        """
        longest = HEADER_BYTES + self.overhead + MAX_BYTES
        if kind_of(sealed) is not self._kind or len(sealed) > longest:
            raise does_not_belong()
        return Whole("hpke", partial(self._open, context), FORMS[self._kind].work_with(context))

    def _open(self, context: bytes, body: BytesLike) -> bytes:
        try:
            return (
                FORMS[self._kind].suite().decrypt(body, self._private, LABEL + header(self._kind) + context)
            )
        except (InvalidTag, ValueError) as error:
            refuse_out_of_memory(error, "a message")
            raise does_not_belong() from None


_SINGLE: tuple[tuple[type, type, Kind], ...] = (
    (x25519.X25519PublicKey, x25519.X25519PrivateKey, Kind.X25519),
    (mlkem.MLKEM768PublicKey, mlkem.MLKEM768PrivateKey, Kind.ML_KEM_768),
    (mlkem.MLKEM1024PublicKey, mlkem.MLKEM1024PrivateKey, Kind.ML_KEM_1024),
)
_CURVES = {"secp256r1": Kind.P256, "secp384r1": Kind.P384, "secp521r1": Kind.P521}
_Pairs: TypeAlias = dict[tuple[Kind, Kind], tuple[Kind, Callable[[Any, Any], Any]]]
_PUBLIC_PAIRS: _Pairs = {
    (Kind.ML_KEM_768, Kind.X25519): (Kind.ML_KEM_768_X25519, MLKEM768X25519PublicKey),
    (Kind.ML_KEM_1024, Kind.P384): (Kind.ML_KEM_1024_P384, MLKEM1024P384PublicKey),
}
_PRIVATE_PAIRS: _Pairs = {
    (Kind.ML_KEM_768, Kind.X25519): (Kind.ML_KEM_768_X25519, MLKEM768X25519PrivateKey),
    (Kind.ML_KEM_1024, Kind.P384): (Kind.ML_KEM_1024_P384, MLKEM1024P384PrivateKey),
}


def _kind_of_key(key: Any) -> Kind | None:
    for public, private, kind in _SINGLE:
        if isinstance(key, (public, private)):
            return kind
    if isinstance(key, (ec.EllipticCurvePublicKey, ec.EllipticCurvePrivateKey)):
        return _CURVES.get(key.curve.name)
    return None


def _put_together(keys: Sequence[Any], pairs: _Pairs) -> tuple[Kind, Any] | None:
    """The kind of one key or of a pair in either order, and the library's key for it."""
    kinds = [_kind_of_key(key) for key in keys]
    if len(keys) == 1:
        return None if kinds[0] is None else (kinds[0], keys[0])
    for (first, second), (kind, make) in pairs.items():
        if kinds == [first, second]:
            return kind, make(keys[0], keys[1])
        if kinds == [second, first]:
            return kind, make(keys[1], keys[0])
    return None


def _read_public(encoded: bytes) -> Any:
    try:
        if len(encoded) == _RAW_X25519_BYTES:
            return x25519.X25519PublicKey.from_public_bytes(encoded)
        return load_spki(encoded)
    except (ValueError, UnsupportedAlgorithm) as error:
        refuse_out_of_memory(error, "a public key")
        raise BusinessError(
            _ILLEGAL,
            f"public_key: these {len(encoded)} bytes are no SubjectPublicKeyInfo in DER, nor the 32 raw bytes of an "
            "X25519 key; exportKeyItem gives a key in the form that is taken here",
        ) from None


def _describe(key: Any) -> str:
    kind = _kind_of_key(key)
    if kind is not None:
        return kind.name.replace("_", "-")
    return "a key that is in no form for HPKE" if key is None else f"a key of class {type(key).__name__}"
