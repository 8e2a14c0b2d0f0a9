"""PKCS#12 (RFC 7292): the one private key in a file, with its passphrase.

The library below opens the files, and computes with the key as it does. What must be known before is read here
from their parts: how many keys there are, how often the passphrase is hashed, and how long the key's numbers are.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from huks_async.crypto.asymmetric import finite_field
from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.forms import curves, encrypted, pkcs8
from huks_async.keys.forms.der import (
    EXPLICIT,
    IMPLICIT,
    INTEGER,
    OCTETS,
    OID,
    SEQUENCE,
    element,
    elements,
    number,
    sequence,
    shape,
    tlv,
)
from huks_async.keys.forms.identify import Foreign, identify_key
from huks_async.keys.forms.layouts import invalid
from huks_async.keys.forms.library_keys import private_material
from huks_async.keys.forms.number_bounds import check_private_numbers
from huks_async.model.errors import BusinessError
from huks_async.model.memory import refuse_out_of_memory

_CONSTRUCTED, _OPEN = 0x20, 0x80
_MAX_DEPTH = 24
# programs write one for certificates and perhaps one for keys; each may ask for as much work as a key
_MOST_PARTS = 4
_DATA = bytes.fromhex("2a864886f70d010701")
_ENCRYPTED_DATA = bytes.fromhex("2a864886f70d010706")
_PBMAC1 = bytes.fromhex("2a864886f70d01050e")
_KEY_BAG = bytes.fromhex("2a864886f70d010c0a0101")
_SHROUDED_BAG = bytes.fromhex("2a864886f70d010c0a0102")
_SECRET_BAG = bytes.fromhex("2a864886f70d010c0a0105")
_NESTED_BAG = bytes.fromhex("2a864886f70d010c0a0106")

LABEL = "PKCS12"
"""Of the block, in the few files that are PEM."""

ONE_OF_MANY = (
    "copy one into a file of its own: keytool -importkeystore -srckeystore FILE -srcalias NAME "
    "-destkeystore ONE.p12 -deststoretype PKCS12"
)
_EXPORT_IN_JAVA = "write its bytes from Java, KeyStore.getKey(alias, password).getEncoded(), and import them with --algorithm"


@dataclass(frozen=True, slots=True)
class _Bags:
    """What is in some parts of a file; keys may be encrypted, each by itself."""

    shrouded: list[bytes] = field(default_factory=list, repr=False)
    plain: list[bytes] = field(default_factory=list, repr=False)
    secrets: list[bytes] = field(default_factory=list, repr=False)

    def check(self) -> None:
        """Refuse more than one key, or one that asks for too much work: 401."""
        count = len(self.shrouded) + len(self.plain)
        if self.secrets and not count:
            raise invalid(f"a PKCS#12 file that holds a secret key, not a private one; {_EXPORT_IN_JAVA}")
        if count + len(self.secrets) > 1:
            raise invalid(f"a PKCS#12 file that holds {count + len(self.secrets)} keys; {ONE_OF_MANY}")
        for bag in self.shrouded:
            sealed = encrypted.read(bag)
            if sealed is not None:
                encrypted.check_cost(sealed)


def is_pkcs12(data: bytes) -> bool:
    """Whether some DER, or BER of open length, begins as a PFX does."""
    return data[:1] == b"\x30" and b"\x02\x01\x03\x30" in data[2:10]


def read(data: bytes, password: bytes | None) -> KeyMaterial | bytes:
    """Read the private key.

    Returns:
        the key; or its PKCS#8, encrypted or not, where it is to be read from that.

    Raises:
        BusinessError: 401 for a wrong passphrase, a file with no private key or more than one, or one
            that asks for too much work; 12000001 for a key that HUKS does not have.

    """
    # what stands behind the file's one element is left out, as the library would
    whole = _element(data, 0, 0)
    if whole is None:
        raise _damaged()
    outer = whole[0]
    contents = _data_of(_authenticated_safe(outer))
    _bags_of(contents).check()
    parts = list(_encrypted_parts(outer))
    if len(parts) > _MOST_PARTS:
        raise invalid(
            f"a PKCS#12 file of {len(parts)} encrypted parts, at most {_MOST_PARTS} are taken; {ONE_OF_MANY}"
        )
    for asked in (*parts, *_mac_derivation(outer)):
        encrypted.check_cost(asked)
    encrypted.check_iterations(_mac_iterations(outer))
    # a key in an encrypted part may be encrypted once more, by itself
    bags = _bags_of([*contents, *filter(None, (_opened(part, password) for part in parts))])
    bags.check()
    key = _key_of(bags, password)
    info = None if key is None else pkcs8.read(key)
    if key is not None and info is None and encrypted.read(key) is None:
        return key
    if info is not None:
        check_private_numbers(info.identifier, _in_definite_form(info.key))
    try:
        found: Any = _load(outer, password)
    except (UnsupportedAlgorithm, TypeError):
        # the file is whole and the passphrase right, but the library takes no X25519 key from such a file
        if key is not None:
            return key
        raise invalid(
            "a PKCS#12 file with a key or cipher that is not read; "
            "take the key out: openssl pkcs12 -in FILE -nodes -nocerts -out KEY.pem"
        ) from None
    except Exception as error:
        refuse_out_of_memory(error, "reading a key")
        if key is not None and ("password" not in str(error) or _named(key) is not None):
            # it did open, but has a certificate that the library does not read, as Java signs them with DSA; or a key
            # of an algorithm that the library does not know, which it tells like a wrong passphrase
            return key
        raise invalid(
            "a PKCS#12 file that does not open: "
            + ("it needs its passphrase" if password is None else "the passphrase is wrong, or it is damaged")
            + "; openssl pkcs12 -in FILE -info -noout tells more"
        ) from None
    if found.key is None:
        raise invalid(
            "a PKCS#12 file that holds certificates and no private key; "
            "take one out: openssl pkcs12 -in FILE -nokeys -out CERTIFICATE.pem"
        )
    # the library does not compare the halves; the primes of RSA it has tested, for up to a second
    if key is None or info is None or (isinstance(found.key, rsa.RSAPrivateKey) and not info.public):
        return private_material(found.key)
    return key


def _opened(sealed: encrypted.Encrypted, password: bytes | None) -> bytes | None:
    """What a passphrase opens, or none: one that a file does not need is left unused."""
    plain = encrypted.decrypt(sealed, password or b"", is_part=True)
    return encrypted.decrypt(sealed, b"", is_part=True) if plain is None and password else plain


def _key_of(bags: _Bags, password: bytes | None) -> bytes | None:
    """The PKCS#8 of the key, still encrypted where nothing here opens it; None without one."""
    for bag in bags.shrouded:
        sealed = encrypted.read(bag)
        plain = None if sealed is None else _opened(sealed, password)
        return bag if plain is None else _in_definite_form(plain)
    return bags.plain[0] if bags.plain else None


def _named(key: bytes) -> Foreign | None:
    """What a key is that HUKS does not have, or that lacks what it needs."""
    return identify_key(curves.in_library_form(key) or key)


def _in_definite_form(data: bytes) -> bytes:
    """The SEQUENCE that some data begins with, as DER has it; other data as it is."""
    if data[:1] != bytes((SEQUENCE,)):
        return data
    whole = _element(data, 0, 0)
    if whole is None:
        raise _damaged()
    return whole[0]


def _load(data: bytes, password: bytes | None) -> Any:
    # BouncyCastle and Windows write lengths that are left open (BER), which the library reads with a warning
    with finite_field.allowed(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return pkcs12.load_pkcs12(data, password)
        except ValueError as error:
            if not password or "password" not in str(error):
                raise
            # a passphrase that the file does not need is left unused
            return pkcs12.load_pkcs12(data, None)


def _damaged() -> BusinessError:
    # what cannot be taken apart here could not be measured before the library opens it
    return invalid(
        "a PKCS#12 file that is damaged, or of more levels than any program writes; "
        "write it anew: openssl pkcs12 -in FILE -nodes -out KEY.pem, then openssl pkcs12 -export -in KEY.pem -out COPY"
    )


def _element(data: bytes, start: int, depth: int) -> tuple[bytes, int] | None:
    """The element at `start` in definite form, and where the next one begins."""
    if depth > _MAX_DEPTH or start + 2 > len(data):
        return None
    tag = data[start]
    if data[start + 1] != _OPEN:
        one = element(data, start)
        if one is None:
            return None
        _, begin, end = one
        if not tag & _CONSTRUCTED:
            return data[start:end], end
        inside = _inside(data, begin, end, depth)
    else:
        inside = _inside(data, start + 2, None, depth)
    if inside is None:
        return None
    parts, end = inside
    if tag == OCTETS | _CONSTRUCTED:
        return tlv(OCTETS, *(content for part in parts for _, content in elements(part))), end
    return tlv(tag, *parts), end


def _inside(data: bytes, at: int, end: int | None, depth: int) -> tuple[list[bytes], int] | None:
    """The elements from `at` to `end`, or to the two zeros that end an open length; and where they end."""
    parts: list[bytes] = []
    while at < (len(data) if end is None else end):
        if end is None and data[at : at + 2] == b"\0\0":
            return parts, at + 2
        found = _element(data, at, depth + 1)
        if found is None:
            return None
        parts.append(found[0])
        at = found[1]
    return (parts, at) if at == end else None


def _bags_of(contents: Iterable[bytes]) -> _Bags:
    """The bags of parts that are not encrypted, or no longer."""
    bags = _Bags()
    kinds = {_SHROUDED_BAG: bags.shrouded, _KEY_BAG: bags.plain, _SECRET_BAG: bags.secrets}
    left: list[bytes] = []
    for content in contents:
        definite = _element(content, 0, 0)
        if definite is None:
            raise _damaged()
        left.append(definite[0])
    while left:
        for _, bag in sequence(left.pop()):
            parts = elements(bag)
            if shape(parts)[:2] == (OID, EXPLICIT):
                kind, value = parts[0][1], parts[1][1]
                if kind == _NESTED_BAG:
                    left.append(value)
                elif kind in kinds:
                    kinds[kind].append(value)
    return bags


def _authenticated_safe(data: bytes) -> list[tuple[int, bytes]]:
    parts = sequence(data)
    outer = _data_of(parts[1:2]) if shape(parts)[:2] == (INTEGER, SEQUENCE) else []
    if not outer:
        return []
    whole = _element(outer[0], 0, 0)
    if whole is None:
        raise _damaged()
    return sequence(whole[0])


def _data_of(infos: list[tuple[int, bytes]]) -> list[bytes]:
    """The octets of each ContentInfo of type data; those that are encrypted are left out."""
    found: list[bytes] = []
    for _, info in infos:
        parts = elements(info)
        if shape(parts) == (OID, EXPLICIT) and parts[0][1] == _DATA:
            inner = elements(parts[1][1])
            if shape(inner) == (OCTETS,):
                found.append(inner[0][1])
    return found


def _encrypted_parts(data: bytes) -> Iterator[encrypted.Encrypted]:
    """How the parts that are encrypted as a whole are opened: mostly certificates, but keys may be in them, too."""
    for _, info in _authenticated_safe(data):
        parts = elements(info)
        if shape(parts) != (OID, EXPLICIT) or parts[0][1] != _ENCRYPTED_DATA:
            continue
        content = sequence(parts[1][1])
        inner = elements(content[1][1]) if shape(content)[:2] == (INTEGER, SEQUENCE) else []
        if shape(inner)[:2] == (OID, SEQUENCE):
            tag, sealed = inner[2] if len(inner) > 2 else (IMPLICIT, b"")
            if tag == EXPLICIT:  # in pieces
                sealed = b"".join(piece for _, piece in elements(sealed))
            yield from _scheme(inner[1][1], sealed)


def _mac_derivation(data: bytes) -> Iterator[encrypted.Encrypted]:
    """How the key of the MAC is derived where PBMAC1 (RFC 9579) says so, whose parameters are like those of PBES2."""
    parts = sequence(data)
    mac = elements(parts[2][1]) if len(parts) == 3 else []
    digest = elements(mac[0][1]) if shape(mac)[:2] == (SEQUENCE, OCTETS) else []
    if shape(digest) == (SEQUENCE, OCTETS):
        for found in _scheme(digest[0][1]):
            if found.scheme == _PBMAC1:
                yield replace(found, scheme=encrypted.PBES2)


def _scheme(identifier: bytes, sealed: bytes = b"") -> Iterator[encrypted.Encrypted]:
    parts = elements(identifier)
    if shape(parts) == (OID, SEQUENCE):
        yield encrypted.Encrypted(parts[0][1], elements(parts[1][1]), sealed)


def _mac_iterations(data: bytes) -> int:
    parts = sequence(data)
    mac = elements(parts[2][1]) if len(parts) == 3 else []
    return number(mac[2][1]) if shape(mac) == (SEQUENCE, OCTETS, INTEGER) else 1
