"""Names for files that hold no key which can be imported: what the file is, and the way out.

Only looked at, never trusted: nothing here makes a key. Longer than other files: half of it are tables of names.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from huks_async.keys.forms.curves import EC_PUBLIC_KEY
from huks_async.keys.forms.der import (
    BITS,
    EXPLICIT,
    INTEGER,
    OCTETS,
    OID,
    SEQUENCE,
    elements,
    number,
    sequence,
    shape,
)


class Foreign(NamedTuple):
    """What a file is, and what helps."""

    name: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.name}; {self.way_out}"


_KEYTOOL = (
    "copy its key: keytool -importkeystore -srckeystore FILE -destkeystore COPY.p12 -deststoretype PKCS12"
)


def _bouncy(kind: str) -> Foreign:
    return Foreign(
        f"a keystore of BouncyCastle ({kind})",
        f"copy its key, with BouncyCastle at hand: keytool -importkeystore -srckeystore FILE -srcstoretype {kind} "
        "-provider org.bouncycastle.jce.provider.BouncyCastleProvider -providerpath bcprov.jar "
        "-destkeystore COPY.p12 -deststoretype PKCS12",
    )


_NOT_A_KEY = "look for the key's own file"
_PGP = Foreign(
    "a key or message of OpenPGP",
    "such keys are not read; export one for SSH: gpg --export-ssh-key NAME, or make a new one",
)
_PUTTY = Foreign(
    "a private key of PuTTY", "convert it: puttygen FILE -O private-openssh-new -o COPY, and import the copy"
)
_PKCS7 = Foreign(
    "certificates in PKCS#7", "take them out: openssl pkcs7 -in FILE -print_certs -out CERTIFICATES"
)
_PUTTY_WORDS = b"PuTTY-User-Key-File-"
_PARAMETERS = "the key itself is in another block or file"

_MAGICS: tuple[tuple[bytes, Foreign], ...] = (
    (b"\xfe\xed\xfe\xed", Foreign("a Java keystore (JKS)", _KEYTOOL)),
    (b"\xce\xce\xce\xce", Foreign("a Java keystore (JCEKS)", _KEYTOOL)),
    (b"\x00\x00\x00\x02\x00\x00\x00\x14", _bouncy("BKS")),
    (b"\x00\x00\x00\x01\x00\x00\x00\x14", _bouncy("UBER")),
    (_PUTTY_WORDS, _PUTTY),
    (
        b"SSH PRIVATE KEY FILE FORMAT 1.1",
        Foreign("a private key of SSH protocol 1", "make a new one: ssh-keygen -t ed25519"),
    ),
    (
        b"AGE-SECRET-KEY-",
        Foreign(
            "a key of age", "it is an X25519 key of age's own encoding, which is not read; make a new one"
        ),
    ),
    (
        b"age-encryption.org/",
        Foreign("a file encrypted with age", "decrypt it first: age -d -i KEY -o COPY FILE"),
    ),
    (
        b"untrusted comment:",
        Foreign("a key of minisign or signify", "such keys are not read; make a new Ed25519 key"),
    ),
    (
        b"\x1e\xf1\xb5\xb0",
        Foreign("a Windows PVK file", "convert it: openssl rsa -inform PVK -in FILE -out COPY"),
    ),
    (
        b"\x07\x02\x00\x00",
        Foreign("a PRIVATEKEYBLOB of Windows", "convert it: openssl rsa -inform MSBLOB -in FILE -out COPY"),
    ),
    (
        b"\x06\x02\x00\x00",
        Foreign(
            "a PUBLICKEYBLOB of Windows",
            "convert it: openssl rsa -pubin -inform MSBLOB -in FILE -pubout -out COPY",
        ),
    ),
    (
        b"SQLite format 3\0",
        Foreign("an SQLite database", "a HUKS store is opened with --store; " + _NOT_A_KEY),
    ),
    (b"PK\x03\x04", Foreign("a ZIP archive", "unpack it; " + _NOT_A_KEY)),
    (b"\x1f\x8b", Foreign("a file compressed with gzip", "unpack it: gunzip FILE")),
    (b"%PDF-", Foreign("a PDF document", _NOT_A_KEY)),
    (b"\x7fELF", Foreign("a program (ELF)", _NOT_A_KEY)),
    (b"\x89PNG", Foreign("a picture (PNG)", _NOT_A_KEY)),
    (b"\xff\xd8\xff", Foreign("a picture (JPEG)", _NOT_A_KEY)),
)

_LABELS: tuple[tuple[str, Foreign], ...] = (
    ("PGP ", _PGP),
    (
        "AGE ENCRYPTED FILE",
        Foreign("a file encrypted with age", "decrypt it first: age -d -i KEY -o COPY FILE"),
    ),
    (
        "SSH2 ENCRYPTED PRIVATE KEY",
        Foreign("a private key of ssh.com", "convert it: ssh-keygen -i -f FILE, once it is not encrypted"),
    ),
    (
        "TSS2 PRIVATE KEY",
        Foreign(
            "a key that is sealed to a TPM", "it cannot leave the TPM; make a key in the keystore instead"
        ),
    ),
    (
        "OPENVPN STATIC KEY",
        Foreign("a static key of OpenVPN", "it is four keys in one; import the one as raw bytes"),
    ),
    (
        "TRUSTED CERTIFICATE",
        Foreign("a trusted certificate of OpenSSL", "make a plain one: openssl x509 -in FILE -out COPY"),
    ),
    (
        "CERTIFICATE REQUEST",
        Foreign("a certificate request (CSR)", "take its key out: openssl req -in FILE -noout -pubkey"),
    ),
    ("X509 CRL", Foreign("a list of revoked certificates (CRL)", "it holds no key; " + _NOT_A_KEY)),
    ("ATTRIBUTE CERTIFICATE", Foreign("an attribute certificate", "it holds no key; " + _NOT_A_KEY)),
    ("PKCS7", _PKCS7),
    ("PKCS #7", _PKCS7),
    ("CMS", Foreign("a message of CMS", "it holds no key that is read; " + _NOT_A_KEY)),
    ("PARAMETERS", Foreign("parameters without a key", _PARAMETERS)),
    ("SSL SESSION", Foreign("a saved TLS session", _NOT_A_KEY)),
)

_CSR_DER = Foreign(
    "a certificate request (CSR)", "take its key out: openssl req -inform DER -in FILE -noout -pubkey"
)
_CRL_DER = Foreign("a list of revoked certificates (CRL)", "it holds no key; " + _NOT_A_KEY)
_PKCS7_DER = Foreign(
    "certificates in PKCS#7 or a message of CMS",
    "take them out: openssl pkcs7 -inform DER -in FILE -print_certs -out CERTIFICATES",
)
THREE_PRIMES = Foreign(
    "an RSA private key with more than two primes",
    "HUKS takes two; make a new key: openssl genrsa",
)
_NO_CURVE = Foreign(
    "an EC private key without the parameters of its curve",
    "let its maker write them: a key of P-256, say, names prime256v1",
)
_SIGNED_DATA = bytes.fromhex("2a864886f70d0107")
# keys that are read, so that one of them that was not is damaged, and not of an algorithm that is missing
_TAKEN = frozenset(
    bytes.fromhex(oid)
    for oid in (
        "2a864886f70d010101",  # RSA
        "2a864886f70d01010a",  # RSA-PSS
        "2a8648ce380401",  # DSA
        "2a864886f70d010301",  # DH
        "2b656e",  # X25519
        "2b6570",  # Ed25519
        "2a811ccf5501822d",  # SM2, where its curve stands for the algorithm
        "608648016503040311",  # ML-DSA-44, -65, -87
        "608648016503040312",
        "608648016503040313",
        "608648016503040402",  # ML-KEM-768, -1024
        "608648016503040403",
    )
)
_TAKEN_CURVES = frozenset(
    bytes.fromhex(oid)
    for oid in ("2b81040021", "2a8648ce3d030107", "2b81040022", "2b81040023", "2a811ccf5501822d")
)
_CURVES = {
    bytes.fromhex("2b8104000a"): "secp256k1",
    bytes.fromhex("2a8648ce3d030101"): "P-192",
    bytes.fromhex("2b240303020801 0101".replace(" ", "")): "brainpoolP160r1",
    bytes.fromhex("2b2403030208010103"): "brainpoolP192r1",
    bytes.fromhex("2b2403030208010105"): "brainpoolP224r1",
    bytes.fromhex("2b2403030208010107"): "brainpoolP256r1",
    bytes.fromhex("2b2403030208010108"): "brainpoolP256t1",
    bytes.fromhex("2b2403030208010109"): "brainpoolP320r1",
    bytes.fromhex("2b240303020801010b"): "brainpoolP384r1",
    bytes.fromhex("2b240303020801010d"): "brainpoolP512r1",
}
_ALGORITHMS = {
    bytes.fromhex("2b6571"): "Ed448",
    bytes.fromhex("2b656f"): "X448",
    bytes.fromhex("2a8503020213"): "GOST R 34.10-2001",
    bytes.fromhex("2a8648ce3e0201"): "DH in the form of X9.42",
    bytes.fromhex("2a850307010101 01".replace(" ", "")): "GOST R 34.10-2012",
    bytes.fromhex("2a850307010101 02".replace(" ", "")): "GOST R 34.10-2012",
    bytes.fromhex("608648016503040401"): "ML-KEM-512",
}
_HTML = re.compile(rb"\s*(?:<!doctype html|<html|<head|<\?xml[^>]*>\s*<html)", re.IGNORECASE)
_XML_RSA = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<RSAKeyValue>")
_HEX = re.compile(rb"(?:0x)?[0-9A-Fa-f:\s]+\Z")
# the pluses behind the quantifiers keep the time linear: nothing is tried a second time with less of it
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\s-]++={0,2}+\s*+\Z")
_JWT = re.compile(rb"\s*eyJ[A-Za-z0-9_-]+\.")


def identify(data: bytes) -> Foreign | None:
    """Name a file; None where it has no sign of what it is."""
    for magic, foreign in _MAGICS:
        if data.startswith(magic):
            return foreign
    # a text may begin with the digit that is the tag of a sequence
    if data[:1] == b"\x30" and not _BASE64.match(data) and not _HEX.match(data):
        return _der(data)
    return _text(data)


def identify_label(label: str) -> Foreign | None:
    """Name a block of PEM that holds no key."""
    capitals = " ".join(label.upper().split())  # OpenVPN writes small letters
    return next((foreign for words, foreign in _LABELS if words in capitals), None)


def identify_key(der: bytes, *, is_inner: bool = False) -> Foreign | None:
    """Name a private or public key, in DER and not encrypted, that could not be read.

    Args:
        der: the key.
        is_inner: whether it stands in PKCS#8, in which no other PKCS#8 does.

    """
    parts = sequence(der)
    tags = shape(parts)
    if tags[:3] == (INTEGER, SEQUENCE, OCTETS) and not is_inner:
        named = _named_algorithm(parts[1][1], "private")
        if named is not None or shape(elements(parts[1][1])) == (OID, OID):
            return named  # what is inside need not name the curve once more
        return identify_key(parts[2][1], is_inner=True)
    if tags == (SEQUENCE, BITS):
        return _named_algorithm(parts[0][1], "public")
    if tags[:2] == (INTEGER, OCTETS) and parts[0][1] == b"\x01":
        return _ec_private_key(parts)
    if len(tags) == 10 and set(tags[:9]) == {INTEGER} and parts[0][1] == b"\x01":
        return THREE_PRIMES
    return None


def _named_algorithm(identifier: bytes, half: str) -> Foreign | None:
    parts = elements(identifier)
    if not parts or parts[0][0] != OID:
        return None
    algorithm = parts[0][1]
    if algorithm == EC_PUBLIC_KEY:
        if len(parts) == 1 or parts[1][0] not in (OID, SEQUENCE):
            return Foreign(f"an EC {half} key without the parameters of its curve", _NO_CURVE.way_out)
        return _curve(*parts[1], half)
    if algorithm in _TAKEN:
        return None
    name = _ALGORITHMS.get(algorithm) or f"the algorithm with the OID {_dotted(algorithm)}"
    return _no_such(f"{half} key of {name}")


def _ec_private_key(parts: list[tuple[int, bytes]]) -> Foreign | None:
    for tag, content in parts[2:]:
        inner = elements(content)
        if tag == EXPLICIT and len(inner) == 1:
            return _curve(*inner[0], "private")
    return _NO_CURVE


def _curve(tag: int, content: bytes, half: str) -> Foreign | None:
    if tag == OID:
        if content in _TAKEN_CURVES:
            return None
        name = _CURVES.get(content) or f"with the OID {_dotted(content)}"
        return _no_such(f"EC {half} key on the curve {name}")
    fields = elements(content)
    order = number(fields[4][1]).bit_length() if shape(fields)[4:5] == (INTEGER,) else 0
    return _no_such(f"EC {half} key on a curve that its parameters describe in full, of {order} bits")


def _dotted(content: bytes) -> str:
    """The usual text of an OBJECT IDENTIFIER, which may be damaged."""
    arcs, value = [], 0
    for byte in content[:64]:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            arcs.append(value)
            value = 0
    if not arcs:
        return "of no bytes"
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def _no_such(what: str) -> Foreign:
    article = "an" if what[0] in "AEX" else "a"
    return Foreign(
        f"{article} {what}, which HUKS does not have", "make a key that it has: huks algorithms lists them"
    )


def _der(data: bytes) -> Foreign | None:
    parts = sequence(data)
    tags = shape(parts)
    if tags == (SEQUENCE, SEQUENCE, BITS):
        inner = elements(parts[0][1])
        # a request: version, name, key, attributes; a list: times where a certificate has its validity
        if shape(inner)[:3] == (INTEGER, SEQUENCE, SEQUENCE) and inner[0][1] == b"\0":
            return _CSR_DER
        return _CRL_DER
    if tags == (OID, EXPLICIT) and parts[0][1].startswith(_SIGNED_DATA):
        return _PKCS7_DER
    named = identify_key(data)
    if named is not None:
        return named
    if tags == (SEQUENCE, SEQUENCE) and shape(elements(parts[0][1])) == (SEQUENCE, OCTETS):
        return _bouncy("BCFKS")
    if (set(tags) == {INTEGER} and len(tags) in (2, 3)) or tags in ((SEQUENCE, SEQUENCE), (OID,)):
        return Foreign("parameters or a signature in DER, without a key", _PARAMETERS)
    if not tags:
        return Foreign(
            "damaged DER: its lengths do not fit the file", "copy the whole file anew, in binary mode"
        )
    if tags[:3] == (INTEGER, SEQUENCE, OCTETS) or tags[:2] == (INTEGER, OCTETS) or tags == (SEQUENCE, BITS):
        return None  # a key after all, and damaged
    return Foreign(
        "DER of something that is no key", "openssl asn1parse -inform DER -in FILE shows what it is"
    )


def _text(data: bytes) -> Foreign | None:
    if not data.strip(b" \t\r\n\0"):
        return Foreign("a file of blanks or zeros", "it holds no key; copy it anew")
    if _HTML.match(data):
        return Foreign("an HTML page", "a download that went wrong? fetch the file itself")
    if _XML_RSA.match(data):
        return Foreign(
            "an RSA key in the XML of .NET",
            "write it as PEM: RSA.ExportPkcs8PrivateKeyPem() or ExportRSAPublicKeyPem()",
        )
    if data.lstrip()[:1] in (b"{", b"["):
        return _json(data)
    if _JWT.match(data):
        return Foreign("a JWT or an encrypted JWK (JWE)", "a key is read as a JWK that is not encrypted")
    if b"age1" in data and b"AGE-SECRET-KEY-" in data:
        return Foreign(
            "a key file of age",
            "it is an X25519 key of age's own encoding, which is not read; make a new one",
        )
    if data.startswith(b"age1"):
        return Foreign("a public key of age", "such keys are not read; make an X25519 key")
    if _PUTTY_WORDS in data[:200]:
        return _PUTTY
    if _HEX.match(data):
        return Foreign(
            "hexadecimal text",
            "a key is bare bytes: make them with xxd -r -p FILE COPY, and name its --algorithm",
        )
    if _BASE64.match(data) and len(b"".join(data.split())) >= 16:
        return Foreign(
            "base64 text that holds no key with a form of its own",
            "decode it: base64 -d FILE > COPY, and name its --algorithm",
        )
    return _PGP if _is_openpgp(data) else None


def _is_openpgp(data: bytes) -> bool:
    """Whether a binary file begins with the packet of a key (RFC 9580, 4.2), of the old form or the new."""
    if len(data) < 32:
        return False
    lead = data[0]
    if lead & 0xC0 == 0x80:
        kind, octets = (lead >> 2) & 0x0F, (1, 2, 4, 0)[lead & 3]
    else:
        kind, octets = (
            lead & 0x3F if lead & 0xC0 == 0xC0 else 0,
            1 if data[1] < 192 else 2 if data[1] < 224 else 5,
        )
    # secret keys are 5, public ones 6; the packet begins with its version
    return kind in (5, 6) and octets > 0 and data[1 + octets] in (3, 4, 5, 6)


def _json(data: bytes) -> Foreign:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return Foreign("damaged JSON", "a JWK is one whole JSON object")
    return identify_members(told if isinstance(told, dict) else {})


def identify_members(members: Mapping[str, Any]) -> Foreign:
    """Name a JSON object without `kty`."""
    if "primaryKeyId" in members:
        return Foreign("a keyset of Tink", "such keys are not read; make a new one in the keystore")
    if "crypto" in members or "Crypto" in members:
        return Foreign("a keystore of Ethereum", "its key is on secp256k1, which HUKS does not have")
    if "ciphertext" in members:
        return Foreign("an encrypted JWK (JWE)", "a key is read as a JWK that is not encrypted")
    return Foreign("JSON that is no JWK", "a JWK has the member kty: RSA, EC, OKP or oct")
