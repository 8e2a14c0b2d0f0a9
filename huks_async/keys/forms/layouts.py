"""The header form of key material, as `importKeyItem` takes it for private keys and key pairs.

A blob is a header of 32-bit little-endian numbers, then the fields without padding between them:

    algorithm, size, one length for each field [, 0 reserved] | field, field, …

Integers are big-endian; 25519 and ML fields are byte strings. Bytes after the last field are ignored,
as devices do. This module is about bytes alone: whether they make a key is for `importing` to say.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from huks_async.model.enums import HuksErrorCode, HuksImportKeyType, HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike

_ILLEGAL = 401
_PAIR = HuksImportKeyType.HUKS_KEY_TYPE_KEY_PAIR
_PRIVATE = HuksImportKeyType.HUKS_KEY_TYPE_PRIVATE_KEY

MAX_IMPORT_BYTES = 2048
"""Longest `inData` of an import, except for the algorithms of `MAX_IMPORT_BYTES_OF`."""

MAX_IMPORT_BYTES_OF: dict[int, int] = {HuksKeyAlg.HUKS_ALG_ML_DSA: 10_000, HuksKeyAlg.HUKS_ALG_ML_KEM: 6_000}

ML_DSA_BYTES: dict[int, tuple[int, int]] = {44: (1312, 2560), 65: (1952, 4032), 87: (2592, 4896)}
"""Bytes of the public and of the expanded private key, by parameter set (FIPS 204)."""

ML_KEM_BYTES: dict[int, tuple[int, int]] = {768: (1184, 2400), 1024: (1568, 3168)}
"""Bytes of the encapsulation and of the expanded decapsulation key, by parameter set (FIPS 203)."""

_CURVE_SIZES: dict[int, tuple[int, ...]] = {
    HuksKeyAlg.HUKS_ALG_ECC: (224, 256, 384, 521),
    HuksKeyAlg.HUKS_ALG_SM2: (256,),
}

DEFAULT_RSA_EXPONENT = b"\x01\x00\x01"


@dataclass(frozen=True, slots=True)
class Layout:
    """The header of an algorithm: its fields in their order, and which of them is the private one."""

    names: tuple[str, ...]
    private: str
    reserved: bool
    header: struct.Struct

    @classmethod
    def of(cls, *names: str, private: str, reserved: bool = False) -> "Layout":
        """A layout with these fields."""
        return cls(names, private, reserved, struct.Struct(f"<{2 + len(names) + reserved}I"))


_HALVES = Layout.of("public", "private", private="private", reserved=True)
_POINT = Layout.of("x", "y", "z", private="z")

LAYOUTS: dict[int, Layout] = {
    HuksKeyAlg.HUKS_ALG_RSA: Layout.of("n", "e", "d", private="d"),
    HuksKeyAlg.HUKS_ALG_ECC: _POINT,
    HuksKeyAlg.HUKS_ALG_SM2: _POINT,
    HuksKeyAlg.HUKS_ALG_DSA: Layout.of("x", "y", "p", "q", "g", private="x"),
    HuksKeyAlg.HUKS_ALG_DH: _HALVES,
    HuksKeyAlg.HUKS_ALG_X25519: _HALVES,
    HuksKeyAlg.HUKS_ALG_ED25519: _HALVES,
    HuksKeyAlg.HUKS_ALG_ML_DSA: _HALVES,
    HuksKeyAlg.HUKS_ALG_ML_KEM: _HALVES,
}
"""Every algorithm that has a header form."""

_NAMES = {int(algorithm): algorithm.name.removeprefix("HUKS_ALG_") for algorithm in HuksKeyAlg}
_LEADING = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class KeyParts(Mapping[str, bytes]):
    """The fields of a key, by name: `parts["n"]`. Not shown by `repr`, lengths apart.

    Attributes:
        algorithm: a `HuksKeyAlg` of `LAYOUTS`.
        size: bits, or the number of the parameter set.
        fields: one byte string for each name of the layout; an absent half is empty.

    """

    algorithm: int
    size: int
    fields: Mapping[str, bytes] = field(repr=False)

    def __getitem__(self, name: str) -> bytes:
        return self.fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __repr__(self) -> str:
        lengths = "".join(f", {name}=<{len(value)} bytes>" for name, value in self.fields.items())
        return f"KeyParts({algorithm_name(self.algorithm)}, {self.size}{lengths})"


def algorithm_name(algorithm: int) -> str:
    """The short name of an algorithm, or its number."""
    return _NAMES.get(algorithm, str(algorithm))


def check_import_length(algorithm: int, length: int) -> None:
    """Refuse an import of no bytes or of more than its algorithm takes: 401."""
    limit = MAX_IMPORT_BYTES_OF.get(algorithm, MAX_IMPORT_BYTES)
    if not length:
        raise _no_key()
    if length > limit:
        raise invalid(f"inData of {algorithm_name(algorithm)} must have 1 to {limit} bytes, got {length}")


def unpack(blob: BytesLike, *, algorithm: int | None = None, size: int | None = None) -> KeyParts:
    """Take a blob apart.

    Args:
        blob: header and fields; bytes after the last field are ignored.
        algorithm: what the header must say (HUKS_TAG_ALGORITHM); None takes any.
        size: what the header must say (HUKS_TAG_KEY_SIZE); None takes any.

    Raises:
        BusinessError: 401 for an unknown algorithm, a header that contradicts `algorithm` or `size`,
            lengths beyond the blob, or a blob beyond the limit of its algorithm.

    """
    length = len(blob)
    if not length:
        raise _no_key()
    if length < _LEADING.size:
        raise invalid(f"key material of {length} bytes is shorter than its header")
    said, bits = _LEADING.unpack_from(blob)
    layout = LAYOUTS.get(said)
    if layout is None:
        # without the number: of a key that has no header, it is the beginning of the secret
        raise invalid(
            "the key material has no header, or that of an unknown algorithm; "
            f"algorithms with a header form: {', '.join(map(algorithm_name, LAYOUTS))}"
        )
    if algorithm is not None and said != algorithm:
        raise invalid(
            f"the header of the key material says {algorithm_name(said)}, "
            f"HUKS_TAG_ALGORITHM says {algorithm_name(algorithm)}"
        )
    if size is not None and bits != size:
        raise invalid(f"the header of the key material says size {bits}, HUKS_TAG_KEY_SIZE says {size}")
    check_import_length(said, length)
    header = layout.header
    if length < header.size:
        raise invalid(f"key material of {length} bytes is shorter than the {header.size} bytes of its header")
    lengths = header.unpack_from(blob)[2 : 2 + len(layout.names)]
    wanted = header.size + sum(lengths)
    if wanted > length or wanted == header.size:
        # the same: where the header is shorter than it should be, these numbers are key bytes
        raise invalid(
            f"the header of the key material announces no fields, or more than the {length - header.size} bytes that "
            f"follow it; it has the lengths of {', '.join(layout.names)}, 4 bytes each, the lowest first"
        )
    fields: dict[str, bytes] = {}
    start = header.size
    for name, count in zip(layout.names, lengths, strict=True):
        fields[name] = bytes(blob[start : start + count])
        start += count
    return KeyParts(said, bits, fields)


def pack(parts: KeyParts) -> bytes:
    """Put a blob together; the opposite of `unpack`.

    Raises:
        BusinessError: 401 for an algorithm without a header form, for fields other than its own,
            or for a blob beyond the limit of its algorithm.

    """
    layout = LAYOUTS.get(parts.algorithm)
    if layout is None:
        raise invalid(f"{algorithm_name(parts.algorithm)} has no header form")
    if set(parts) != set(layout.names):
        raise invalid(
            f"{algorithm_name(parts.algorithm)} takes the fields {list(layout.names)}, got {sorted(parts)}"
        )
    fields = [parts[name] for name in layout.names]
    reserved = (0,) if layout.reserved else ()
    header = layout.header.pack(parts.algorithm, parts.size, *map(len, fields), *reserved)
    blob = b"".join((header, *fields))
    check_import_length(parts.algorithm, len(blob))
    return blob


def check_parts(parts: KeyParts, import_type: int) -> None:
    """Check that the fields have lengths that a key of this size, and of this import type, can have.

    Raises:
        BusinessError: 401.

    """
    if import_type not in (_PRIVATE, _PAIR):
        raise invalid(f"the header form is for private keys and key pairs, not for import type {import_type}")
    _CHECKS[parts.algorithm](parts, import_type == _PAIR)


def _need(parts: KeyParts, name: str, low: int, high: int) -> None:
    got = len(parts[name])
    if not low <= got <= high:
        accepted = f"{low}" if low == high else f"{low} to {high}"
        raise invalid(
            f"field {name} of {algorithm_name(parts.algorithm)} {parts.size} must have {accepted} bytes, got {got}"
        )


def _check_rsa(parts: KeyParts, pair: bool) -> None:
    most = (parts.size + 7) // 8
    _need(parts, "n", most, most)
    _need(parts, "d", 1, most)
    _need(parts, "e", 1 if pair else 0, most)


def _check_point(parts: KeyParts, pair: bool) -> None:
    sizes = _CURVE_SIZES[parts.algorithm]
    if parts.size not in sizes:
        raise invalid(f"{algorithm_name(parts.algorithm)} has sizes {list(sizes)}, got {parts.size}")
    # shorter than the field: the leading zeros were left out
    most = (parts.size + 7) // 8
    _need(parts, "z", 1, most)
    _need(parts, "x", 1 if pair else 0, most)
    _need(parts, "y", 1 if pair or parts["x"] else 0, most if parts["x"] else 0)


def _check_dsa(parts: KeyParts, pair: bool) -> None:
    most = (parts.size + 7) // 8
    _need(parts, "p", 1, most)
    _need(parts, "g", 1, most)
    _need(parts, "q", 1, 32)
    _need(parts, "x", 1, len(parts["q"]))
    _need(parts, "y", 1 if pair else 0, most)


def _check_dh(parts: KeyParts, pair: bool) -> None:
    most = (parts.size + 7) // 8
    _need(parts, "private", 1, most)
    _need(parts, "public", 1 if pair else 0, most)


def _check_25519(parts: KeyParts, pair: bool) -> None:
    if parts.size != 256:
        raise invalid(f"{algorithm_name(parts.algorithm)} has size 256, got {parts.size}")
    _need(parts, "private", 32, 32)
    if pair or parts["public"]:
        _need(parts, "public", 32, 32)


def _check_ml(parts: KeyParts, pair: bool) -> None:
    sets = ML_DSA_BYTES if parts.algorithm == HuksKeyAlg.HUKS_ALG_ML_DSA else ML_KEM_BYTES
    if parts.size not in sets:
        raise invalid(f"{algorithm_name(parts.algorithm)} has sizes {list(sets)}, got {parts.size}")
    public, private = sets[parts.size]
    _need(parts, "private", private, private)
    _need(parts, "public", public if pair else 0, public if pair else 0)


_CHECKS: dict[int, Callable[[KeyParts, bool], None]] = {
    HuksKeyAlg.HUKS_ALG_RSA: _check_rsa,
    HuksKeyAlg.HUKS_ALG_ECC: _check_point,
    HuksKeyAlg.HUKS_ALG_SM2: _check_point,
    HuksKeyAlg.HUKS_ALG_DSA: _check_dsa,
    HuksKeyAlg.HUKS_ALG_DH: _check_dh,
    HuksKeyAlg.HUKS_ALG_X25519: _check_25519,
    HuksKeyAlg.HUKS_ALG_ED25519: _check_25519,
    HuksKeyAlg.HUKS_ALG_ML_DSA: _check_ml,
    HuksKeyAlg.HUKS_ALG_ML_KEM: _check_ml,
}


def _no_key() -> BusinessError:
    # HUKS looks whether there is a key before it looks at it, so this is a wrong argument and not a bad key.
    return BusinessError(
        _ILLEGAL,
        "inData is empty: an import needs the bytes of the key",
        reason=HuksErrorCode.HUKS_ERROR_INVALID_ARGUMENT,
    )


def invalid(message: str) -> BusinessError:
    """The error of key material that does not fit: 401."""
    return BusinessError(_ILLEGAL, message, reason=HuksErrorCode.HUKS_ERROR_INVALID_KEY_INFO)
