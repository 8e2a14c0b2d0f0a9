"""The bounds on the numbers of a stranger's key hold also where the key is encrypted, or in PKCS#12."""

import math
from collections.abc import Callable
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_der_private_key,
    pkcs12,
)

from huks_async.crypto import engine
from huks_async.keys.forms import convert, key_files
from huks_async.keys.forms import encrypted as encrypted_form
from huks_async.keys.forms import pkcs12 as pkcs12_form
from huks_async.keys.forms.der import INTEGER, OCTETS, sequence, tlv
from huks_async.model.errors import BusinessError
from tests.keys.forms.test_odd_files import refused
from tests.keys.forms.test_pkcs12_bounds import data_part, hashing, oid, pfx, sealed_part
from tests.keys.forms.test_unusual_files import (
    DSA_OID,
    MERSENNE,
    RSA_WITH_A_LONG_EXPONENT,
    RSA_WITH_A_LONG_PRIME,
    _integer,
    _pkcs8,
    rsa_of,
)

PHRASE = b"x"


def rsa_pkcs8(key: bytes) -> bytes:
    """PKCS#8 of an RSAPrivateKey."""
    return tlv(0x30, _integer(0), tlv(0x30, oid("2a864886f70d010101"), tlv(0x05)), tlv(OCTETS, key))


def encrypted(plain: bytes, phrase: bytes = PHRASE) -> bytes:
    """EncryptedPrivateKeyInfo with PBES2 and AES."""
    left = 16 - len(plain) % 16
    key = PBKDF2HMAC(SHA256(), 32, bytes(8), 1).derive(phrase)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    sealed = encryptor.update(plain + bytes([left]) * left) + encryptor.finalize()
    cipher = tlv(0x30, oid("60864801650304012a"), tlv(OCTETS, bytes(16)))
    scheme = tlv(0x30, oid("2a864886f70d01050d"), tlv(0x30, hashing(1), cipher))
    return tlv(0x30, scheme, tlv(OCTETS, sealed))


def key_bag(plain: bytes) -> bytes:
    """A key of PKCS#12 that is not encrypted by itself."""
    return tlv(0x30, oid("2a864886f70d010c0a0101"), tlv(0xA0, plain))


def shrouded(plain: bytes, phrase: bytes = PHRASE) -> bytes:
    """A key of PKCS#12 that is encrypted by itself."""
    return tlv(0x30, oid("2a864886f70d010c0a0102"), tlv(0xA0, encrypted(plain, phrase)))


CARRIERS: dict[str, Callable[[bytes], bytes]] = {
    "PKCS#8": encrypted,
    "key bag": lambda plain: pfx([data_part(key_bag(plain))]),
    "shrouded bag": lambda plain: pfx([data_part(shrouded(plain))]),
    "shrouded bag without a passphrase": lambda plain: pfx([data_part(shrouded(plain, b""))]),
    "key bag in an encrypted part": lambda plain: pfx([sealed_part(key_bag(plain), pieces=False)]),
    "shrouded bag in one": lambda plain: pfx([sealed_part(shrouded(plain), pieces=False)]),
}


def open_ended(der: bytes) -> bytes:
    """A SEQUENCE whose length is left open."""
    return b"\x30\x80" + b"".join(tlv(tag, content) for tag, content in sequence(der)) + bytes(2)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    ("plain", "what"),
    [
        (rsa_pkcs8(rsa_of(16384)), "an RSA private key of 16384 bits"),
        (rsa_pkcs8(RSA_WITH_A_LONG_PRIME), "with primes of 4406 and 2203"),
        (rsa_pkcs8(RSA_WITH_A_LONG_EXPONENT), "longer than its modulus"),
        (_pkcs8(DSA_OID, (MERSENNE, 2**256 - 1, 3), 5), "a DSA private key of 2203 bits"),
    ],
    ids=["bits", "prime", "exponent", "DSA"],
)
def test_numbers_are_bounded_in_every_carrier(
    carrier: str, plain: bytes, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library, which would compute with them for minutes, is not asked."""
    monkeypatch.setattr(convert, "load_der_private_key", lambda *_: pytest.fail("the library was asked"))
    monkeypatch.setattr(pkcs12_form, "_load", lambda *_: pytest.fail("the library was asked"))
    assert what in refused(partial(key_files.read, CARRIERS[carrier](plain), password=PHRASE))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_foreign_algorithm_is_no_wrong_passphrase(carrier: str) -> None:
    """The library tells a key of GOST R 34.10-2012 in PKCS#12 like a wrong passphrase, which stays one."""
    parameters = tlv(0x30, oid("2a85030202230100"))
    identifier = tlv(0x30, oid("2a85030701010101"), parameters)
    file = CARRIERS[carrier](tlv(0x30, _integer(0), identifier, tlv(OCTETS, bytes(32))))
    with pytest.raises(BusinessError, match=r"GOST R 34\.10-2012, which HUKS does not have") as caught:
        key_files.read(file, password=PHRASE)
    assert caught.value.code == 12000001
    if "without" not in carrier and carrier != "key bag":
        assert "the passphrase is wrong" in refused(partial(key_files.read, file, password=b"y"))


@pytest.mark.parametrize("part", ["whole", "key", "version"])
@pytest.mark.parametrize("bag", [key_bag, shrouded])
def test_no_spelling_hides_numbers_in_pkcs12(
    part: str, bag: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library takes lengths that are left open, and any version, where PKCS#8 has neither."""
    monkeypatch.setattr(pkcs12_form, "_load", lambda *_: pytest.fail("the library was asked"))
    plain = rsa_pkcs8(rsa_of(16384))
    changed = {
        "whole": open_ended(plain),
        "key": rsa_pkcs8(open_ended(rsa_of(16384))),
        "version": plain.replace(_integer(0), _integer(7), 1),
    }[part]
    message = refused(partial(key_files.read, pfx([data_part(bag(changed))]), password=PHRASE))
    assert "16384 bits" in message or part == "version"


def test_one_key_of_pkcs12_is_counted_over_all_parts() -> None:
    """A second key in an encrypted part would ask for as much work as the first."""
    plain = convert.to_pkcs8(engine.generate(2, 256))
    file = pfx([data_part(key_bag(plain)), sealed_part(shrouded(plain), pieces=False)])
    assert "holds 2 keys" in refused(partial(key_files.read, file, password=PHRASE))


def rsa_with_a_long_exponent() -> rsa.RSAPrivateKey:
    """A key that works, with a private exponent that is longer than it need be."""
    numbers = rsa.generate_private_key(65537, 1024).private_numbers()
    public = numbers.public_numbers
    long = numbers.d + (math.lcm(numbers.p - 1, numbers.q - 1) << 64)
    values = (0, public.n, public.e, long, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    key = load_der_private_key(tlv(0x30, *map(_integer, values)), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.private_numbers().d == long
    return key


OLDER = {
    "DEK-Info": (PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(PHRASE)),
    "PKCS#12": (
        PrivateFormat.PKCS12,
        PrivateFormat.PKCS12.encryption_builder()
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(SHA1())
        .build(PHRASE),
    ),
}


@pytest.mark.parametrize("scheme", OLDER)
def test_numbers_of_older_schemes_are_looked_at(scheme: str) -> None:
    """What the library alone opens has numbers that no form has room for: they are no OverflowError later."""
    form, encryption = OLDER[scheme]
    key = rsa_with_a_long_exponent()
    if form is PrivateFormat.PKCS12:
        file = pkcs12.serialize_key_and_certificates(None, key, None, None, encryption)
    else:
        file = key.private_bytes(Encoding.PEM, form, encryption)
    assert "longer than its modulus" in refused(partial(key_files.read, file, password=PHRASE))


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    ("algorithm", "size"),
    [(1, 1024), (2, 256), (101, 256), (102, 256)],
    ids=["RSA", "EC", "X25519", "Ed25519"],
)
def test_the_public_half_beside_a_key_is_compared_in_every_carrier(
    carrier: str, algorithm: int, size: int
) -> None:
    """As in PKCS#8 that is not encrypted: the right one is taken, another one is refused."""
    key, other = engine.generate(algorithm, size), engine.generate(algorithm, size)
    parts = [tlv(tag, content) for tag, content in sequence(convert.to_pkcs8(key))]
    for beside in (key, other):
        bits = sequence(convert.to_spki(beside))[1][1]
        plain = tlv(0x30, tlv(INTEGER, b"\1"), *parts[1:], tlv(0x81, bits))
        read = partial(key_files.read, CARRIERS[carrier](plain), password=PHRASE)
        if beside is key:
            assert read() == key
        else:
            assert "public half beside" in refused(read)


@pytest.mark.parametrize(("said", "opens"), [(None, True), (32, True), (16, False), (0, False), (33, False)])
def test_the_length_of_the_derived_key_is_that_of_the_cipher(said: int | None, opens: bool) -> None:
    """PBKDF2 and scrypt may say it; another one is a damaged file, as for OpenSSL."""
    told = b"" if said is None else _integer(said)
    plain = rsa_pkcs8(rsa_of(1024))
    left = 16 - len(plain) % 16
    cipher = tlv(0x30, oid("60864801650304012a"), tlv(OCTETS, bytes(16)))
    pbkdf2 = tlv(
        0x30, tlv(OCTETS, bytes(8)), _integer(1), told, tlv(0x30, oid("2a864886f70d0209"), tlv(0x05))
    )
    scrypt = tlv(0x30, tlv(OCTETS, bytes(8)), _integer(2), _integer(1), _integer(1), told)
    for kdf, values, key in (
        ("2a864886f70d01050c", pbkdf2, PBKDF2HMAC(SHA256(), 32, bytes(8), 1).derive(PHRASE)),
        ("2b06010401da47040b", scrypt, Scrypt(bytes(8), 32, 2, 1, 1).derive(PHRASE)),
    ):
        encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
        sealed = encryptor.update(plain + bytes([left]) * left) + encryptor.finalize()
        scheme = tlv(0x30, oid("2a864886f70d01050d"), tlv(0x30, tlv(0x30, oid(kdf), values), cipher))
        found = encrypted_form.read(tlv(0x30, scheme, tlv(OCTETS, sealed)))
        assert found is not None
        assert encrypted_form.decrypt(found, PHRASE) == (plain if opens else None)
