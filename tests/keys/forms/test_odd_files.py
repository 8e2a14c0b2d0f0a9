"""Key files that no program at hand makes: second versions of PKCS#8, damaged and foreign files, texts in disguise."""

import base64
import json
import random
import struct
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from cryptography.utils import CryptographyDeprecationWarning

from huks_async.crypto.asymmetric import dsa
from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.forms import convert, curves, key_files, openssh
from huks_async.keys.forms.der import sequence, tlv
from huks_async.keys.forms.describe import describe
from huks_async.model.errors import BusinessError
from tests.crypto.asymmetric_support import records

BASE = Path(__file__).parent / "files" / "base"
NODE = Path(__file__).parent / "files" / "node"
ED25519_OID, X25519_OID = bytes.fromhex("06032b6570"), bytes.fromhex("06032b656e")
ATTRIBUTES = tlv(0xA0, tlv(0x30, bytes.fromhex("060a2a864886f70d01090914"), tlv(0x31, tlv(12, b"name"))))
AES, ECC, SM2, X25519 = 20, 2, 150, 101


def pem(name: str) -> bytes:
    return (BASE / f"{name}.pem").read_bytes()


def known(name: str) -> KeyMaterial:
    return convert.from_pem(pem(name))


def refused(call: Callable[[], object]) -> str:
    """The message of a refusal, which is of the caller's making and shows no class of an exception."""
    with pytest.raises(BusinessError) as caught:
        call()
    assert caught.value.code in (401, 12000001, 12000003)
    assert "Error" not in caught.value.message
    return caught.value.message


def one_asymmetric_key(name: str, version: int, *after: bytes) -> bytes:
    """OneAsymmetricKey (RFC 5958) of a 25519 key, with these elements after the private one."""
    oid = ED25519_OID if name == "ed25519" else X25519_OID
    inner = tlv(4, tlv(4, known(name).secret))
    return tlv(0x30, tlv(2, bytes((version,))), tlv(0x30, oid), inner, *after)


def primitive(public: bytes) -> bytes:
    return tlv(0x81, b"\0", public)


def constructed(public: bytes) -> bytes:
    return tlv(0xA1, tlv(3, b"\0", public))


@pytest.mark.parametrize("name", ["ed25519", "x25519"])
@pytest.mark.parametrize("attributes", [b"", ATTRIBUTES], ids=["bare", "attributes"])
@pytest.mark.parametrize("half", [None, primitive, constructed], ids=["none", "primitive", "constructed"])
@pytest.mark.parametrize("version", [0, 1])
def test_pkcs8_of_the_second_version(
    name: str, attributes: bytes, half: Callable[[bytes], bytes] | None, version: int
) -> None:
    """The public half is looked at: the right one is taken, another one is refused."""
    key = known(name)
    after = b"" if half is None else half(key.public)
    assert key_files.read(one_asymmetric_key(name, version, attributes, after)) == key
    if half is not None:
        for other in (known("ed25519" if name == "x25519" else "x25519").public, bytes(32), key.public[:31]):
            data = one_asymmetric_key(name, version, attributes, half(other))
            message = refused(partial(key_files.read, data))
            assert "another key" in message


def test_a_public_half_beside_an_sm2_key() -> None:
    """SM2 keys are held to the same."""
    key = known("sm2")
    point = b"\x04" + key.public[-64:]
    inner = tlv(0x30, tlv(2, b"\x01"), tlv(4, key.secret))
    head = tlv(2, b"\x01") + tlv(0x30, bytes.fromhex("06072a8648ce3d0201 06082a811ccf5501822d"))
    assert key_files.read(tlv(0x30, head, tlv(4, inner), primitive(point))) == key
    other = b"\x04" + known("p256").public[-64:]
    assert "curve" in refused(lambda: key_files.read(tlv(0x30, head, tlv(4, inner), primitive(other))))


@pytest.mark.parametrize(("name", "bits"), [("p224", 224), ("p256", 256), ("p384", 384), ("p521", 521)])
@pytest.mark.parametrize("half", [primitive, constructed])
def test_a_compressed_public_half_beside_an_ec_key(
    name: str, bits: int, half: Callable[[bytes], bytes]
) -> None:
    """The right one is taken, that of the other point with this x is refused."""
    key, width = known(name), (bits + 7) // 8
    parts = [tlv(tag, content) for tag, content in sequence(convert.to_pkcs8(key))]
    y_is_odd = key.public[-1] % 2
    for first, fits in ((2 + y_is_odd, True), (3 - y_is_odd, False)):
        point = bytes((first,)) + key.public[-2 * width : -width]
        data = tlv(0x30, tlv(2, b"\x01"), *parts[1:], half(point))
        if fits:
            assert key_files.read(data) == key
        else:
            assert "another key" in refused(partial(key_files.read, data))


@pytest.mark.parametrize("zeros", [1, 9])
def test_zeros_before_an_sm2_scalar(zeros: int) -> None:
    """They are left out, as before the scalars of other curves; a longer scalar is refused."""
    key = known("sm2")
    identifier = tlv(0x30, bytes.fromhex("06072a8648ce3d0201 06082a811ccf5501822d"))

    def pkcs8_of(scalar: bytes) -> bytes:
        inner = tlv(0x30, tlv(2, b"\x01"), tlv(4, scalar))
        return tlv(0x30, tlv(2, b"\0"), identifier, tlv(4, inner))

    assert key_files.read(pkcs8_of(bytes(zeros) + key.secret)).secret == key.secret
    for scalar in (b"\x01" + bytes(zeros - 1) + key.secret, bytes(32 + zeros), b""):
        assert "scalar" in refused(lambda scalar=scalar: key_files.read(pkcs8_of(scalar)))


def test_sm2_named_by_its_own_oid() -> None:
    """Older devices name SM2 as the algorithm, in public and private keys."""
    key = known("sm2")
    own = tlv(0x30, bytes.fromhex("06082a811ccf5501822d 06082a811ccf5501822d"))
    bits = tlv(3, b"\0\x04", key.public[-64:])
    spki = tlv(0x30, own, bits)
    assert len(spki) == 92
    assert key_files.read(spki) == KeyMaterial(SM2, 256, public=key.public)
    inner = tlv(0x30, tlv(2, b"\x01"), tlv(4, key.secret), tlv(0xA1, bits))
    assert key_files.read(tlv(0x30, tlv(2, b"\0"), own, tlv(4, inner))) == key
    short = tlv(0x30, tlv(0x30, bytes.fromhex("06082a811ccf5501822d")), bits)
    assert key_files.read(short).public == key.public


@pytest.mark.parametrize(
    ("algorithm", "name", "sizes"),
    [(ECC, "p224", (57, 29)), (ECC, "p256", (65, 33)), (ECC, "p384", (97, 49)), (ECC, "p521", (133, 67)),
     (SM2, "sm2", (65, 33))],
)  # fmt: skip
def test_raw_points(algorithm: int, name: str, sizes: tuple[int, int]) -> None:
    """A raw point, whole or compressed, is a public key; one off the curve is none."""
    key = known(name)
    whole = b"\x04" + key.public[-(sizes[0] - 1) :]
    compressed = bytes((2 + whole[-1] % 2,)) + whole[1 : sizes[1]]
    assert (len(whole), len(compressed)) == sizes
    for point in (whole, compressed):
        found = key_files.read(point, algorithm=algorithm)
        assert (found.public, found.secret) == (key.public, b"")
    assert "curve" in refused(
        lambda: key_files.read(whole[:-1] + bytes((whole[-1] ^ 1,)), algorithm=algorithm)
    )
    assert "bytes" in refused(lambda: key_files.read(whole[:-1], algorithm=algorithm))


@pytest.mark.parametrize("name", ["p256", "sm2", "p521"])
def test_ec_keys_that_name_no_curve(name: str) -> None:
    """The point tells the curve; without a point the file is named."""
    key = known(name)
    point = b"\x04" + key.public[-132 if name == "p521" else -64 :]
    scalar = key.secret if name == "sm2" else convert.parts_of(key)["z"]
    head = tlv(2, b"\x01") + tlv(4, scalar)
    assert key_files.read(tlv(0x30, head, tlv(0xA1, tlv(3, b"\0", point)))) == key
    assert "without the parameters of its curve" in refused(lambda: key_files.read(tlv(0x30, head)))
    wrong = tlv(2, b"\x01") + tlv(4, scalar[:-1] + bytes((scalar[-1] ^ 1,)))
    assert refused(lambda: key_files.read(tlv(0x30, wrong, tlv(0xA1, tlv(3, b"\0", point)))))


EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")
CURVE_OIDS = {"sm2": bytes.fromhex("06082a811ccf5501822d"), "p256": bytes.fromhex("06082a8648ce3d030107")}


@pytest.mark.parametrize("place", ["named inside", "named around", "not named"])
@pytest.mark.parametrize("name", CURVE_OIDS)
def test_malformed_ec_private_keys(name: str, place: str) -> None:
    """Every element of an ECPrivateKey is at its place, once, with the version 1 and a point of whole bytes."""
    key, curve = known(name), CURVE_OIDS[name]
    point = b"\x04" + key.public[-64:]
    scalar = tlv(4, key.secret if name == "sm2" else convert.parts_of(key)["z"])
    version, named = tlv(2, b"\x01"), tlv(0xA0, curve) if place == "named inside" else b""
    public, other = constructed(point), constructed(b"\x04" + known("p384").public[-64:])

    def file(*elements: bytes, outer: int = 0) -> bytes:
        inner = tlv(0x30, *elements)
        if place != "named around":
            return inner
        return tlv(0x30, tlv(2, bytes((outer,))), tlv(0x30, EC_PUBLIC_KEY, curve), tlv(4, inner))

    assert key_files.read(file(version, scalar, named, public)) == key
    hybrid = constructed(bytes((6 + point[-1] % 2,)) + point[1:])
    if name == "sm2" or place != "not named":
        assert key_files.read(file(version, scalar, named, hybrid)) == key
    for wrong in (
        file(tlv(2, b"\x09"), scalar, named, public),
        file(version, scalar, named, other, public),
        file(version, scalar, named, public, public),
        file(version, scalar, named, tlv(0xA1, tlv(4, b"\0", point))),
        file(version, scalar, named, tlv(0xA1, tlv(3, b"\x07", point))),
        file(version, scalar, named, tlv(0xA1, tlv(3, b"\xff", point))),
        file(version, scalar, named, constructed(bytes((7 - point[-1] % 2,)) + point[1:])),
        file(version, scalar, public, tlv(0xA0, curve)),
        *([file(version, scalar, public, outer=9)] if place == "named around" else []),
    ):
        refused(partial(key_files.read, wrong, "pkcs8"))


@pytest.mark.parametrize("name", CURVE_OIDS)
def test_malformed_public_points(name: str) -> None:
    """Bits that belong to no byte, and the hybrid form with the parity of the other y."""
    key = known(name)
    coordinates = key.public[-64:]
    algorithm, odd = tlv(0x30, EC_PUBLIC_KEY, CURVE_OIDS[name]), coordinates[-1] % 2

    def spki(unused: int, lead: int) -> bytes:
        return tlv(0x30, algorithm, tlv(3, bytes((unused, lead)), coordinates))

    assert key_files.read(spki(0, 4)).public == key_files.read(spki(0, 6 + odd)).public == key.public
    for wrong in (spki(1, 4), spki(255, 4), spki(0, 7 - odd)):
        refused(partial(key_files.read, wrong))


@pytest.mark.parametrize("kind", ["ed25519", "p256", "rsa"])
def test_an_openssh_key_with_the_public_half_of_another(kind: str) -> None:
    """The file has the public half twice, and both may be of another key than the private one."""
    make: dict[str, Callable[[], Any]] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }

    def blob(key: Any) -> bytes:
        return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())

    def parts(key: Any) -> tuple[bytes, bytes]:
        """Everything before the private half, and what OpenSSH has of the point or of the modulus."""
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split(b" ")[1]
        return base64.b64decode(blob(key).split(b"-----")[2]), openssh._strings(base64.b64decode(public))[-1]

    first, second = make[kind](), make[kind]()
    (file, point), (_, other) = parts(first), parts(second)
    assert len(point) == len(other)

    assert key_files.read(openssh_file(file)).secret
    assert file.count(point) >= 2
    refused(lambda: key_files.read(openssh_file(file.replace(point, other))))
    refused(lambda: key_files.read(openssh_file(file.replace(point, other, 1))))


def test_an_openssh_key_of_dsa_is_read_with_the_warning_of_the_library_alone() -> None:
    """Once, and as itself where a filter makes it an error: the key is not damaged. The halves belong together."""
    made = dsa_key("L=1024, N=160")  # OpenSSH has no other
    key: Any = load_der_private_key(convert.to_pkcs8(made), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    with pytest.warns(CryptographyDeprecationWarning) as warned:
        assert convert.from_pem(text) == made
    assert len(warned) == 1
    with pytest.raises(CryptographyDeprecationWarning):
        convert.from_pem(text)
    with pytest.warns(CryptographyDeprecationWarning) as warned:  # in a process of its own
        assert anyio.run(key_files.read_apart, text) == made
    assert len(warned) == 1
    with pytest.raises(CryptographyDeprecationWarning):
        anyio.run(key_files.read_apart, text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "DSA" in describe(text).note
    body = base64.b64decode(text.split(b"-----")[2])
    numbers = key.private_numbers().public_numbers
    group = numbers.parameter_numbers
    powers = (pow(group.g, exponent, group.p) for exponent in range(2, 1000))
    # as long, and with as many zeros in front
    second = next(y for y in powers if y != numbers.y and y.bit_length() == numbers.y.bit_length())
    own, other = (y.to_bytes((y.bit_length() + 7) // 8, "big") for y in (numbers.y, second))
    assert body.count(own) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        refused(lambda: convert.from_pem(openssh_file(body.replace(own, other))))
        refused(lambda: convert.from_pem(openssh_file(body.replace(own, other, 1))))


@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: b"\xff\xfe" + text.decode().encode("utf-16-le"),
        lambda text: b"\xfe\xff" + text.decode().encode("utf-16-be"),
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: b"\n".join(b"    " + line for line in text.splitlines()),
        lambda text: text.strip().replace(b"\n", b"\\n"),
        lambda text: json.dumps({"type": "service_account", "private_key": text.decode()}).encode(),
        lambda text: b"Bag Attributes\n  localKeyID: 01\n" + text + b"trailing words\n",
        lambda text: base64.b64encode(text),
    ],
    ids=[
        "utf-8 mark",
        "utf-16-le",
        "utf-16-be",
        "crlf",
        "cr",
        "indented",
        "escaped",
        "in json",
        "in words",
        "base64",
    ],
)
def test_pem_in_disguise(disguise: Callable[[bytes], bytes]) -> None:
    """What editors, shells and configuration files make of PEM is read."""
    assert key_files.read(disguise(pem("p256"))) == known("p256")


def test_jwk_in_utf16() -> None:
    """So is a JWK that a shell of Windows wrote."""
    text = (NODE / "p256.jwk").read_text()
    assert key_files.read(b"\xff\xfe" + text.encode("utf-16-le")) == known("p256")


@pytest.mark.parametrize("altchars", [b"+/", b"-_"])
@pytest.mark.parametrize("pad", [True, False])
def test_bare_base64(altchars: bytes, pad: bool) -> None:
    """DER in bare base64 is read as what it is, and never where a raw symmetric key may be meant."""
    text = base64.b64encode(convert.to_pkcs8(known("p256")), altchars=altchars)
    assert key_files.read(text if pad else text.rstrip(b"=")) == known("p256")
    sixteen = base64.b64encode(bytes(range(12)))
    assert key_files.read(sixteen, algorithm=AES).secret == sixteen


NAMED = {
    "empty": (b"", "empty", ""),
    "blanks": (b"  \n\n", "blanks", "copy it anew"),
    "zeros": (bytes(5000), "zeros", "copy it anew"),
    "html": (b"<!DOCTYPE html>\n<html><body>404</body></html>", "HTML page", "fetch the file"),
    "xhtml": (b"<?xml version='1.0'?>\n<html></html>", "HTML page", "fetch the file"),
    ".net": (b"<RSAKeyValue><Modulus>AQAB</Modulus></RSAKeyValue>", "XML of .NET", "ExportPkcs8PrivateKeyPem"),
    "pvk": (b"\x1e\xf1\xb5\xb0" + bytes(100), "Windows PVK", "openssl rsa"),
    "zip": (b"PK\x03\x04" + bytes(100), "ZIP", "unpack"),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "gzip", "gunzip"),
    "pdf": (b"%PDF-1.7\n", "PDF", "own file"),
    "elf": (b"\x7fELF" + bytes(60), "program", "own file"),
    "sqlite": (b"SQLite format 3\0" + bytes(100), "SQLite", "--store"),
    "ssh1": (b"SSH PRIVATE KEY FILE FORMAT 1.1\n\0", "SSH protocol 1", "ssh-keygen"),
    "jwt": (b"eyJhbGciOiJFUzI1NiJ9.eyJpIjoxfQ.c2ln", "JWT", "not encrypted"),
    "jwe": (b'{"protected": "eyJ", "ciphertext": "AA"}', "JWE", "not encrypted"),
    "json": (b'{"a": 1}', "JSON that is no JWK", "kty"),
    "broken json": (b'{"kty": "EC", ', "damaged JSON", "whole"),
    "json list": (b"[1, 2]", "JSON that is no JWK", "kty"),
    "tink": (b'{"primaryKeyId": 1, "key": []}', "Tink", "make a new one"),
    "ethereum": (b'{"crypto": {}, "version": 3}', "Ethereum", "secp256k1"),
    "hexadecimal": (bytes(range(32)).hex().encode(), "hexadecimal text", "xxd -r -p"),
    "base64 of a raw key": (base64.b64encode(bytes(range(32))), "base64 text", "base64 -d"),
    "cut der": (None, "damaged DER", "binary mode"),
    "cut pem": (None, "does not end", "whole file"),
    "no base64": (b"-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----\n", "no base64", ""),
    "other pem": (b"-----BEGIN AES KEY-----\nAAAA\n-----END AES KEY-----\n", "AES KEY", "PRIVATE KEY"),
    "new pem": (b"-----BEGIN SOMETHING-----\nAAAA\n-----END SOMETHING-----\n", "unknown label", "PRIVATE KEY"),
    "crl": (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "CRL", "own file"),
    "tpm": (b"-----BEGIN TSS2 PRIVATE KEY-----\nAAAA\n-----END TSS2 PRIVATE KEY-----\n", "TPM", "in the keystore"),
    "three primes": (b'{"kty": "RSA", "n": "AQAB", "e": "AQAB", "oth": []}', "two primes", "new key"),
    "empty set": (b'{"keys": []}', "JWK set holds 0 keys", "file of its own"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_is_no_key_is_named(name: str) -> None:
    """Files of every other sort are told what they are, by import and by describe."""
    data, what, way_out = NAMED[name]
    if name == "cut der":
        data = convert.to_pkcs8(known("rsa2048"))[:-5]
    elif name == "cut pem":
        data = pem("p256")[:-10]
    assert data is not None
    message = refused(lambda: key_files.read(data))
    assert what in message
    assert way_out in message
    if data:
        told = describe(data)
        assert what in told.form + told.note


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("OpenVPN Static key V1", "a static key of OpenVPN;"),
        ("OpenVPN  Static  key V1", "a static key of OpenVPN;"),
        ("PKCS #7 SIGNED DATA", "certificates in PKCS#7;"),
        ("OpenVPN tls-crypt-v2 server key", ": OpenVPN tls-crypt-v2 server key;"),
        (" RSA  KEY ", ": RSA KEY;"),
    ],
)
def test_labels_of_other_programs_are_named(label: str, name: str) -> None:
    """OpenVPN writes small letters; old programs a number sign. Spaces that an editor added do not matter."""
    told = refused(
        lambda: convert.from_pem(f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n".encode())
    )
    assert name in told


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY{body}-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY {body}-----END PRIVATE KEY-----",
        "-----BEGIN {body}-----\nAAAA\n-----END {body}-----",
        "-----BEGIN {body}-----\n*\n-----END {body}-----",
        "-----BEGIN {body} PRIVATE KEY-----\nDEK-Info: X,00\n\nAAAA\n-----END {body} PRIVATE KEY-----",
        "-----BEGIN AES KEY----\n{body}\n-----END AES KEY-----\n",
        "-----BEGIN KEY\r\n{body}\r\n-----END KEY-----\r\n",
    ],
)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.b32encode, base64.b16encode])
def test_damaged_pem_shows_nothing_of_the_key(text: str, encode: Callable[[bytes], bytes]) -> None:
    """Where dashes are lost, the body stands in the place of the label, which messages and descriptions name."""
    body = encode(bytes(range(101, 133))).decode()
    file = text.format(body=body).encode()
    for told in (
        refused(lambda: key_files.read(file)),
        refused(lambda: convert.from_pem(file)),
        refused(lambda: convert.from_pem(file, b"passphrase")),
        repr(describe(file)),
    ):
        assert not any(body[start : start + 6] in told for start in range(len(body) - 5)), told


@pytest.mark.parametrize("kind", ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"])
def test_keys_of_security_keys(kind: str) -> None:
    """Public and private halves of FIDO keys of OpenSSH are named."""

    def text(value: bytes) -> bytes:
        return struct.pack(">I", len(value)) + value

    blob = text(kind.encode()) + text(bytes(32)) + text(b"ssh:")
    line = kind.encode() + b" " + base64.b64encode(blob) + b" me@host\n"
    assert "FIDO" in refused(lambda: key_files.read(line))
    body = b"openssh-key-v1\0" + text(b"none") + text(b"none") + text(b"") + struct.pack(">I", 1)
    body += text(blob) + text(bytes(64))
    file = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + base64.encodebytes(body)
    assert "FIDO" in refused(lambda: key_files.read(file + b"-----END OPENSSH PRIVATE KEY-----\n"))


def encrypted_with(derivation: bytes) -> bytes:
    """EncryptedPrivateKeyInfo that asks for this derivation."""
    cipher = tlv(0x30, bytes.fromhex("060960864801650304012a"), tlv(4, bytes(16)))
    pbes2 = tlv(0x30, bytes.fromhex("06092a864886f70d01050d"), tlv(0x30, derivation, cipher))
    return tlv(0x30, pbes2, tlv(4, bytes(160)))


def pbkdf2(iterations: int) -> bytes:
    count = iterations.to_bytes(iterations.bit_length() // 8 + 1, "big")
    return tlv(0x30, bytes.fromhex("06092a864886f70d01050c"), tlv(0x30, tlv(4, bytes(16)), tlv(2, count)))


def scrypt(cost: int) -> bytes:
    number = cost.to_bytes(cost.bit_length() // 8 + 1, "big")
    values = tlv(4, bytes(16)) + tlv(2, number) + tlv(2, b"\x08") + tlv(2, b"\x01")
    return tlv(0x30, bytes.fromhex("06092b06010401da47040b"), tlv(0x30, values))


@pytest.mark.parametrize(
    ("derivation", "word"),
    [(pbkdf2(2**31 - 1), "iterations"), (pbkdf2(2**80), "iterations"), (scrypt(2**30), "scrypt"), (scrypt(2**90), "scrypt")],
)  # fmt: skip
def test_work_that_a_file_asks_for_is_bounded(derivation: bytes, word: str) -> None:
    """A file cannot hold the process for as long as it likes."""
    started = time.process_time()
    message = refused(lambda: key_files.read(encrypted_with(derivation), password=b"secret"))
    assert word in message
    assert "openssl pkcs8" in message
    assert time.process_time() - started < 5


def test_openssh_rounds_are_bounded() -> None:
    """The same of the rounds of bcrypt."""

    def text(value: bytes) -> bytes:
        return struct.pack(">I", len(value)) + value

    options = text(bytes(16)) + struct.pack(">I", 2**31)
    body = b"openssh-key-v1\0" + text(b"aes256-ctr") + text(b"bcrypt") + text(options) + struct.pack(">I", 1)
    body += text(text(b"ssh-ed25519") + text(bytes(32))) + text(bytes(64))
    file = (
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n"
        + base64.encodebytes(body)
        + b"-----END OPENSSH PRIVATE KEY-----\n"
    )
    message = refused(lambda: key_files.read(file, password=b"secret"))
    assert "rounds" in message
    assert "ssh-keygen -p -a" in message


@pytest.mark.asyncio
async def test_an_encrypted_file_is_read_apart_from_the_loop() -> None:
    """The derivation runs in a process, and the key comes back whole; a refusal does, too."""
    key = ec.generate_private_key(ec.SECP256R1())
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    assert key_files.may_take_long(sealed)
    found = await key_files.read_apart(sealed, password=b"secret")
    assert found == key_files.read(sealed, password=b"secret")
    with pytest.raises(BusinessError, match="passphrase is wrong"):
        await key_files.read_apart(sealed, password=b"other")
    assert await key_files.read_apart(pem("p256"), password=b"secret") == known("p256")


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["p256", "sm2"])
async def test_a_quick_file_is_read_in_a_thread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first key of some algorithms has a library searched and loaded, which takes a tenth of a second."""
    expected, threads, read = known(name), [], key_files.read

    def seen(data: bytes, form: None, algorithm: None, password: bytes | None) -> KeyMaterial:
        threads.append(threading.current_thread())
        return read(data, form, algorithm, password)

    monkeypatch.setattr(key_files, "read", seen)
    assert await key_files.read_apart(pem(name)) == expected
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
    with pytest.raises(BusinessError, match="the file is empty"):
        await key_files.read_apart(b"")


def test_names_of_other_dh_groups() -> None:
    """Groups of RFC 3526 and RFC 7919 are told by name, others by size."""
    message = refused(lambda: key_files.read(pem("dhmodp14")))
    assert "MODP group 14 (RFC 3526, Java's default)" in message
    assert "ffdhe2048" in message


@pytest.mark.parametrize("size", [1024, 2048])
def test_public_rsa_keys_with_a_small_exponent_are_taken(size: int) -> None:
    """A public key with the exponent 3 verifies what others signed; only private ones are refused."""
    key = rsa.generate_private_key(3, size)
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert "public exponent 3" in refused(lambda: key_files.read(private))
    public = convert.from_spki(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert public.size == size


@pytest.mark.parametrize(
    "data",
    [b" " * 2**20 + b"!", b"A" * 2**20 + b"!", b"\n" * 2**20 + b"=a", b'AAAA"' + b'\\"' * 2**19 + b"\\"],
    ids=["blanks", "letters", "lines", "quotes"],
)
def test_texts_are_looked_through_once(data: bytes) -> None:
    """No part of a long text is tried again from each of its characters, which would take hours."""
    assert describe(data).length == len(data)
    refused(lambda: key_files.read(data))


def test_quotes_in_options_hide_what_they_quote() -> None:
    """A key in a quoted command is none, also where the quote is not ended; a quote in the comment is no matter."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    for text in (
        b'command="a \\" b" ' + line,
        line + b' the "key" of "Ann',
        b'from="a",command="' + line + b'" ' + line,
    ):
        assert key_files.read(text).size == 256
    for text in (b'command="' + line, b'command="' + line + b"\\"):
        refused(lambda text=text: key_files.read(text, "openssh"))


def damaged(draw: random.Random, pieces: list[bytes]) -> bytes:
    """A file with a byte changed, cut out or cut off, or with the beginning of another file put in."""
    data = bytearray(draw.choice(pieces))
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(4):
            case 0 if at < len(data):
                data[at] ^= draw.randrange(1, 256)
            case 1:
                del data[at:]
            case 2:
                del data[at : at + draw.randrange(1, 20)]
            case _:
                data[at:at] = draw.choice(pieces)[: draw.randrange(60)]
    return bytes(data)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")
def test_damaged_files_are_refused_in_our_words(seed: int) -> None:
    """Whatever a file has become, reading it ends in a documented error, and describing it never fails."""
    draw = random.Random(seed)
    folders = ("gnutls", "java", "node", "openssh", "others")
    pieces = [path.read_bytes() for folder in folders for path in sorted((BASE.parent / folder).iterdir())]
    for _ in range(60):
        data = damaged(draw, pieces)
        algorithm = draw.choice((None, None, 1, ECC, AES, X25519, 102, SM2))
        try:
            key_files.read(data, algorithm=algorithm, password=draw.choice((None, b"secret")))
        except BusinessError as error:
            assert "Error" not in error.message
        assert describe(data).length == len(data)


def test_long_texts_of_rfc4716_are_refused() -> None:
    """A megabyte of short lines is told to be none at once."""
    text = b"---- BEGIN SSH2 PUBLIC KEY ----\n" + b"AAAA\n" * 200_000 + b"---- END SSH2 PUBLIC KEY ----\n"
    assert "are taken from a file" in refused(lambda: key_files.read(text, "openssh"))
    assert "are taken from a file" in describe(text).note


@pytest.mark.parametrize(
    "point", [b"\x02" + b"\xff" * 32, b"\x05" + bytes(64)], ids=["off the curve", "no form"]
)
def test_the_object_of_a_damaged_key_does_not_tell_its_scalar(point: bytes) -> None:
    """A report of an error that has local variables shows what the frames hold; bytes by themselves are the caller's."""
    scalar = bytes(range(1, 33))
    key = tlv(0x30, tlv(2, b"\x01"), tlv(4, scalar), tlv(0xA1, tlv(3, b"\0" + point)))
    sm2 = tlv(6, bytes.fromhex("2a811ccf5501822d"))
    named = tlv(0x30, tlv(2, b"\x01"), tlv(4, scalar), tlv(0xA0, sm2), tlv(0xA1, tlv(3, b"\0" + point)))
    for der in (key, named):
        fields = curves.private_fields(sequence(der))
        assert fields is not None
        assert fields.scalar == scalar
        assert repr(scalar)[2:-1] not in repr(fields)
        assert "PrivateFields" in repr(fields)
    with pytest.raises(BusinessError, match="SM2"):
        key_files.read(named)


def test_the_ways_out_of_public_openssh_keys_are_those_of_their_form() -> None:
    """`ssh-keygen -e` takes a bare line alone; RFC 4716 is for -i, and options go before."""

    def refusal(kind: bytes, carrier: bytes) -> str:
        blob = struct.pack(">I", len(kind)) + kind
        text = base64.b64encode(blob.ljust(64, b"\0"))
        return refused(lambda: key_files.read(carrier.replace(b"KIND", kind).replace(b"TEXT", text)))

    rfc4716 = b"---- BEGIN SSH2 PUBLIC KEY ----\nTEXT\n---- END SSH2 PUBLIC KEY ----\n"
    unread = b"ssh-other"
    assert refusal(unread, b"KIND TEXT\n").endswith("form: ssh-keygen -e -m PKCS8 -f FILE")
    assert refusal(unread, b"no-pty KIND TEXT\n").endswith("FILE holds the line without its options")
    assert "ssh-keygen -i -f FILE > COPY, then ssh-keygen -e -m PKCS8 -f COPY" in refusal(unread, rfc4716)
    assert "damaged; ssh-keygen -l -f FILE" in refusal(b"ssh-ed25519", b"KIND TEXT\n")
    assert "damaged; ssh-keygen -i -f FILE" in refusal(b"ssh-ed25519", rfc4716)


def test_a_long_openssh_key_takes_no_longer_for_each_byte() -> None:
    """Its text is written anew for the library that reads it, in one pass."""

    def text(value: bytes) -> bytes:
        return struct.pack(">I", len(value)) + value

    public = text(text(b"ssh-ed25519") + text(bytes(32)))
    body = b"openssh-key-v1\0" + text(b"none") + text(b"none") + text(b"") + struct.pack(">I", 1) + public

    def work(length: int) -> float:
        file = openssh_file(body + text(bytes(length)))
        begun = time.thread_time()
        assert "damaged" in refused(lambda: key_files.read(file))
        return time.thread_time() - begun

    short, long = (min(work(length) for _ in range(2)) for length in (100_000, 2_000_000))
    assert long < 60 * short  # some 17, and 200 where each line looks at the rest of the text again


def test_keys_within_keys_are_not_followed() -> None:
    """PKCS#8 in PKCS#8, thousands deep, is one damaged key."""
    key = tlv(2, b"\0")
    for _ in range(3000):
        key = tlv(0x30, tlv(2, b"\0"), tlv(0x30), tlv(4, key))
    refused(lambda: key_files.read(key, "pkcs8"))
    assert describe(key).length == len(key)


@pytest.mark.parametrize(
    ("cost", "block", "lanes"), [(2**70, 0, 1), (0, 2**80, 1), (0, 8, 1), (2**14, 8, 0), (2**14, 0, 0)]
)
def test_scrypt_of_no_cost_is_refused(cost: int, block: int, lanes: int) -> None:
    """A number of zero makes the product zero, however large the others are."""
    numbers = (tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big")) for value in (cost, block, lanes))
    asked = tlv(0x30, bytes.fromhex("06092b06010401da47040b"), tlv(0x30, tlv(4, bytes(16)), *numbers))
    assert "scrypt" in refused(lambda: key_files.read(encrypted_with(asked), password=b"secret"))


@pytest.mark.parametrize("name", ["rsa2048", "dsa2048", "dh2048"])
def test_private_keys_whose_check_takes_long_are_read_apart(name: str) -> None:
    """In each of their forms; no public key without a group of its own is, and no private one on a curve."""
    key = known(name)
    slow = [pem(name), convert.to_pkcs8(key), convert.to_layout(key)]
    if name == "rsa2048":
        loaded = load_der_private_key(convert.to_pkcs8(key), None)
        slow.append(loaded.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        slow.append(loaded.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        text = json.dumps(convert.to_jwk(key, private=True))
        encodings = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
        written = [text.encode(encoding) for encoding in encodings]
        assert all(convert.from_jwk(file) == key for file in written)
        slow += written
    assert all(map(key_files.may_take_long, slow))
    public = [convert.to_pem(key).encode(), convert.to_spki(key)]
    quick = public if name != "dsa2048" else []
    for curve in ("p256", "ed25519", "x25519", "sm2"):
        quick += [pem(curve), convert.to_pkcs8(known(curve)), convert.to_layout(known(curve))]
    quick.append(json.dumps(convert.to_jwk(known("p256"), private=True)).encode())
    assert not any(map(key_files.may_take_long, quick))


def dsa_key(group: str) -> KeyMaterial:
    """A published key pair of that size."""
    case = next(case for name, case in records("DSA/FIPS_186-3/SigGen.txt", "Y") if group in name)
    numbers = [
        bytes.fromhex(case[name].rjust(len(case[name]) + len(case[name]) % 2, "0")) for name in "XYPQG"
    ]
    return dsa.material_from_parts(int(group[2:6]), *numbers)


def openssh_file(body: bytes) -> bytes:
    """The text of a private key file of OpenSSH."""
    text = base64.encodebytes(body)
    return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + text + b"-----END OPENSSH PRIVATE KEY-----\n"


@pytest.mark.parametrize("group", ["L=1024, N=160", "L=2048, N=224", "L=2048, N=256", "L=3072, N=256"])
def test_every_dsa_group_that_is_imported_is_read_from_files(group: str) -> None:
    """What an import takes, and so an export gives, goes through each form of files."""
    key = dsa_key(group)
    assert convert.from_spki(convert.to_spki(key)).public == key.public
    for file in (convert.to_pkcs8(key), convert.to_layout(key), convert.to_pem(key, private=True).encode()):
        assert key_files.read(file) == key
    loaded = load_der_private_key(convert.to_pkcs8(key), None)
    assert (
        key_files.read(loaded.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        == key
    )


def certificate_of(spki: bytes) -> bytes:
    """What the shape of a certificate takes, around a public key."""
    names = [tlv(0x30) for _ in range(4)]
    return tlv(0x30, tlv(0x30, tlv(2, b"\1"), *names, spki), tlv(0x30), tlv(3, b"\0"))


@pytest.mark.parametrize("name", ["dsa2048", "rsa2048"])
@pytest.mark.parametrize("form", ["spki", "certificate", "base64", "PEM", "PEM of a certificate"])
def test_the_group_of_a_public_dsa_key_is_checked_apart(name: str, form: str) -> None:
    """In each form, also of a certificate; the numbers of a public RSA key are looked at in no time."""
    spki = convert.to_spki(known(name))
    certificate = certificate_of(spki)
    file = {
        "spki": spki,
        "certificate": certificate,
        "base64": base64.b64encode(spki),
        "PEM": convert.to_pem(known(name)).encode(),
        "PEM of a certificate": b"-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n"
        % base64.encodebytes(certificate),
    }[form]
    assert key_files.read(file).public == known(name).public
    assert key_files.may_take_long(key_files.readable(file)) == (name == "dsa2048")


def test_an_openssh_key_with_a_long_prime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prime that is nearly as long as the modulus is refused before the library tests it."""

    def text(value: bytes) -> bytes:
        return struct.pack(">I", len(value)) + value

    def numbers(*values: int) -> bytes:
        return b"".join(text(value.to_bytes(value.bit_length() // 8 + 1, "big")) for value in values)

    prime = 2**2203 - 1
    public = text(b"ssh-rsa") + numbers(65537, 7 * prime)
    private = (
        struct.pack(">II", 1, 1) + text(b"ssh-rsa") + numbers(7 * prime, 65537, 5, 5, 7, prime) + text(b"c")
    )
    private += bytes(range(1, 9 - len(private) % 8)) if len(private) % 8 else b""
    body = b"openssh-key-v1\0" + text(b"none") + text(b"none") + text(b"") + struct.pack(">I", 1)
    body += text(public) + text(private)
    file = openssh_file(body)
    monkeypatch.setattr(openssh, "load_ssh_private_key", lambda *_: pytest.fail("it was loaded"))
    assert "with primes of" in refused(lambda: key_files.read(file))
    assert "with primes of" in describe(file).note
