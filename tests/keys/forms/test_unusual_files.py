"""Keys of usual kinds in forms that few programs write, and keys that HUKS does not have of every name."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from huks_async.crypto.asymmetric import dh
from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.forms import convert, encrypted, fields, key_files, library_keys
from huks_async.keys.forms.der import INTEGER, OCTETS, OID, elements, sequence, tlv
from huks_async.keys.forms.describe import describe
from huks_async.model.errors import BusinessError
from tests.conformance.openssl import OpenSsl

CURVES = {224: "secp224r1", 256: "prime256v1", 384: "secp384r1", 521: "secp521r1"}
# another name of P-224's own parameters, of WAP
SAME_AS_P224 = "wap-wsg-idm-ecid-wtls12"
PASSWORD = b"secret"
# SHA-1 with DES, RC4 of 40 bits and RC2 of 128, which the library reads in PKCS#12 alone
NOT_READ = [bytes.fromhex(f"2a864886f70d01{end}") for end in ("050a", "0c0102", "0c0105")]


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    return OpenSsl(tmp_path)


def read(data: bytes) -> KeyMaterial:
    return key_files.read(data, password=PASSWORD)


def refused(data: bytes) -> str:
    with pytest.raises(BusinessError) as caught:
        read(data)
    return caught.value.message


def small_scalar_key(size: int, scalar: int, written: bytes, *, inside: bool) -> tuple[bytes, bytes]:
    """An ECPrivateKey whose scalar is written in these bytes, alone or in PKCS#8; and its usual form."""
    kind = {224: ec.SECP224R1, 256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}[size]
    key = ec.derive_private_key(scalar, kind())
    usual = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    identifier = sequence(usual)[1][1]
    curve, public = elements(identifier)[1], elements(sequence(sequence(usual)[2][1])[2][1])
    parts = [tlv(INTEGER, b"\x01"), tlv(OCTETS, written)]
    parts += [] if inside else [tlv(0xA0, tlv(*curve))]
    parts += [tlv(0xA1, tlv(*public[0]))]
    der = tlv(0x30, *parts)
    if inside:
        der = tlv(0x30, tlv(INTEGER, b"\0"), tlv(0x30, identifier), tlv(OCTETS, der))
    return der, usual


@pytest.mark.parametrize("size", CURVES)
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("zeros", [-2, 1, 3])
def test_scalars_of_another_width(size: int, inside: bool, zeros: int) -> None:
    """GnuTLS writes a scalar as an INTEGER, with a zero before a high bit; others leave zeros out."""
    width = (size + 7) // 8
    scalar = 0x7654321 if zeros < 0 else (1 << (size - 1)) + 99
    if zeros > 0 and size == 521:
        scalar = (1 << 519) + 99
    written = scalar.to_bytes(width, "big")
    written = written[-zeros:] if zeros < 0 else bytes(zeros) + written
    der, usual = small_scalar_key(size, scalar, written, inside=inside)
    assert read(der) == read(usual)


def test_scalars_that_are_too_large_stay_refused() -> None:
    der, _ = small_scalar_key(256, 5, b"\x01" + (5).to_bytes(32, "big"), inside=True)
    assert "damaged" in refused(der)


@pytest.mark.parametrize("size", CURVES)
@pytest.mark.parametrize("form", ["uncompressed", "compressed", "hybrid"])
@pytest.mark.parametrize("old", [False, True])
def test_curves_that_are_described(size: int, form: str, old: bool, openssl: OpenSsl) -> None:
    """Parameters of a curve that HUKS has are that curve, however its base point is written."""
    path = openssl.file("key.pem", openssl.run("ecparam", "-name", CURVES[size], "-genkey", "-noout"))
    usual = openssl.run("pkey", "-in", path, "-outform", "DER")
    how = ("-in", path, "-param_enc", "explicit", "-conv_form", form, "-outform", "DER")
    private, public = openssl.run("ec", *how), openssl.run("ec", *how, "-pubout")
    if not old:
        private = openssl.run(
            "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-inform", "DER", given=private
        )
    assert read(private) == read(usual)
    assert read(public).public == read(usual).public


def test_another_base_point_is_another_curve(openssl: OpenSsl) -> None:
    """Who chooses the base point knows the private half of any public key (CVE-2020-0601)."""
    path = openssl.file("key.pem", openssl.run("ecparam", "-name", "secp224r1", "-genkey", "-noout"))
    public = openssl.run("ec", "-in", path, "-param_enc", "explicit", "-pubout", "-outform", "DER")
    read(public)
    # the base point's x begins with these octets
    at = public.index(bytes.fromhex("b70e0cbd6bb4bf7f"))
    message = refused(public[:at] + bytes((public[at] ^ 1,)) + public[at + 1 :])
    assert "its parameters describe in full" in message


def test_every_curve_of_openssl_is_taken_or_named(openssl: OpenSsl) -> None:
    lines = openssl.run("ecparam", "-list_curves").decode().splitlines()
    names = [line.split(":")[0].strip() for line in lines if ":" in line]
    taken = []
    for name in names:
        made = openssl.run("ecparam", "-name", name, "-genkey", "-noout", "-outform", "DER")
        try:
            taken.append(read(made).size)
        except BusinessError as error:
            assert error.code == 12000001
            # Oakley's curves have no OID
            assert "an EC private key on" in error.message
            assert "without the parameters" not in error.message
    assert {256, 384, 521} <= set(taken)


@pytest.mark.parametrize("name", ["secp112r1", "sect571r1", "brainpoolP320t1", "prime239v1"])
def test_unusual_curves_are_named_in_every_form(name: str, openssl: OpenSsl) -> None:
    openssl.need(f"curve {name}", "ecparam", "-name", name, "-noout")
    path = openssl.file("key.pem", openssl.run("ecparam", "-name", name, "-genkey", "-noout"))
    forms = [
        openssl.run("pkey", "-in", path, "-outform", "DER"),
        openssl.run("pkey", "-in", path, "-pubout"),
        openssl.run("pkcs8", "-topk8", "-in", path, "-passout", "pass:secret"),
        openssl.run("req", "-x509", "-key", path, "-subj", "/CN=name"),
    ]
    for form in forms:
        message = refused(form)
        assert "on the curve with the OID 1." in message
        assert "huks algorithms" in message


@pytest.mark.parametrize(
    "options",
    [
        ("-v2", "camellia-256-cbc"),
        ("-v2", "aria-256-cbc"),
        ("-v2", "aes-256-cfb"),
        ("-v2", "aes-256-cbc", "-v2prf", "hmacWithMD5"),
    ],
)
def test_a_cipher_that_is_not_read_is_no_wrong_passphrase(options: tuple[str, ...], openssl: OpenSsl) -> None:
    key = openssl.run("ecparam", "-name", "prime256v1", "-genkey", "-noout")
    words = ("pkcs8", "-topk8", "-passout", "pass:secret", *options)
    path = openssl.file("key.pem", key)
    openssl.need(f"encryption with {options}", *words, "-in", path)
    message = refused(openssl.run(*words, given=key))
    assert "encrypted in a way that is not read" in message
    assert "openssl pkey" in message


@pytest.mark.parametrize("scheme", sorted([*encrypted._OLDER_SCHEMES, *NOT_READ]), ids=bytes.hex)
def test_the_older_schemes_that_are_read_are_those_of_the_library(scheme: bytes) -> None:
    """A passphrase is called wrong where the library can tell, and nowhere else."""
    parameters = tlv(0x30, tlv(OCTETS, bytes(8)), tlv(INTEGER, b"\x01"))
    sealed = tlv(0x30, tlv(0x30, tlv(OID, scheme), parameters), tlv(OCTETS, bytes(64)))
    assert ("the passphrase is wrong" in refused(sealed)) is (scheme not in NOT_READ)
    assert ("encrypted in a way that is not read" in refused(sealed)) is (scheme in NOT_READ)
    with pytest.raises(ValueError, match=r".*") as caught:
        load_der_private_key(sealed, PASSWORD)
    assert ("Unknown key encryption" in str(caught.value)) is (scheme in NOT_READ)


@pytest.mark.parametrize("cipher", ["aes192", "camellia256"])
def test_an_old_cipher_that_is_not_read_is_no_wrong_passphrase(cipher: str, openssl: OpenSsl) -> None:
    key = openssl.run("ecparam", "-name", "prime256v1", "-genkey", "-noout")
    message = refused(openssl.run("ec", f"-{cipher}", "-passout", "pass:secret", given=key))
    assert "DEK-Info" in message
    assert "not read" in message


def test_a_wrong_passphrase_is_one() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"another"))
    assert "passphrase is wrong" in refused(sealed)
    found = encrypted.read(convert.pem.blocks(sealed)[0].body)
    assert found is not None
    assert encrypted.is_read(found)


def test_x25519_in_pkcs12(openssl: OpenSsl) -> None:
    key = x25519.X25519PrivateKey.generate()
    path = openssl.file("key.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    store = openssl.run("pkcs12", "-export", "-nocerts", "-inkey", path, "-passout", "pass:secret")
    assert read(store).secret == key.private_bytes_raw()
    with pytest.raises(BusinessError, match="passphrase is wrong"):
        key_files.read(store, password=b"wrong")


def test_a_private_key_under_the_label_of_a_public_one() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert "a private key where a public one" in refused(pem.replace(b"PRIVATE KEY", b"PUBLIC KEY"))


def rsa_of(bits: int) -> bytes:
    """The structure of an RSA private key of numbers that are no primes."""
    numbers = [0, (1 << (bits - 1)) + 1, 65537, 3, (1 << bits // 2) - 1, (1 << bits // 2) - 3, 5, 7, 9]
    return tlv(0x30, *(tlv(INTEGER, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in numbers))


def test_numbers_of_other_sizes_are_refused_before_they_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's checks of primes of 8,192 bits or of a group that is none take up to minutes."""
    dh = convert.from_pem((Path(__file__).parent / "files/base/dh2048.pem").read_bytes())
    damaged = bytearray(convert.to_pkcs8(dh))
    damaged[60] ^= 1  # of the prime
    asked: list[object] = []
    monkeypatch.setattr(convert, "load_der_private_key", lambda *given: asked.append(given))
    assert "an RSA private key of 16384 bits, which HUKS does not have" in refused(rsa_of(16384))
    assert "a DH private key of" in refused(bytes(damaged))
    assert not asked


def _integer(value: int) -> bytes:
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _pkcs8(oid: str, group: tuple[int, ...], value: int) -> bytes:
    identifier = tlv(0x30, bytes.fromhex(oid), tlv(0x30, *map(_integer, group)))
    return tlv(0x30, _integer(0), identifier, tlv(4, _integer(value)))


def _spki(oid: str, group: tuple[int, ...], value: int = 4) -> bytes:
    identifier = tlv(0x30, bytes.fromhex(oid), tlv(0x30, *map(_integer, group)))
    return tlv(0x30, identifier, tlv(3, b"\0", _integer(value)))


PKCS3_OID, X9_42_OID, DSA_OID = "06092a864886f70d010301", "06072a8648ce3e0201", "06072a8648ce380401"
MERSENNE = 2**2203 - 1  # a prime whose test takes seconds
RSA_WITH_A_LONG_PRIME = tlv(
    0x30, *map(_integer, [0, (1 << 4095) + 1, 65537, 3, MERSENNE**2, MERSENNE, 5, 7, 9])
)
RSA_WITH_A_LONG_EXPONENT = tlv(
    0x30, *map(_integer, [0, (1 << 2047) + 1, 65537, 1 << 20000, 1 << 1023, 1 << 1023, 5, 7, 9])
)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (_spki(PKCS3_OID, (MERSENNE, 2)), "a DH public key of a group of its own, 2203 bits"),
        (_spki(X9_42_OID, (MERSENNE, 2, MERSENNE // 2)), "a DH public key of a group"),
        (_spki(X9_42_OID, (dh.prime_of(2048), 2, 2**1279 - 1)), "a DH public key of a subgroup of its own"),
        (_pkcs8(X9_42_OID, (dh.prime_of(2048), 2, 2**1279 - 1), 5), "a DH private key of a subgroup of its own"),
        (_pkcs8(PKCS3_OID, (dh.prime_of(2048), 2), 1 << 100_000), "more than 2048 bits"),
        (_pkcs8(DSA_OID, (2**30_000 - 5, 2**29_990 - 1, 3), 2**29_989), "a DSA private key of 30000 bits"),
        (_pkcs8(DSA_OID, (2**4096 - 5, 2**256 - 1, 3), 1 << 100_000), "more than 256 bits"),
        (RSA_WITH_A_LONG_PRIME, "with primes of 4406 and 2203"),
        (RSA_WITH_A_LONG_EXPONENT, "longer than its modulus"),
    ],
    ids=["DH", "DH, X9.42", "DH, subgroup", "DH, private", "DH, value", "DSA", "DSA, value", "RSA", "RSA, exponent"],
)  # fmt: skip
def test_numbers_that_would_be_computed_with_for_long(
    monkeypatch: pytest.MonkeyPatch, data: bytes, what: str
) -> None:
    """Numbers that no key of HUKS has are refused before the library gets them, and describe tells so."""
    asked: list[object] = []
    monkeypatch.setattr(convert, "load_der_private_key", lambda *given: asked.append(given))
    monkeypatch.setattr(library_keys, "load_der_public_key", lambda *given: asked.append(given))
    assert what in refused(data)
    assert what in describe(data).note
    assert not asked


@pytest.mark.parametrize("algorithm", [1, 103], ids=["RSA", "DH"])
def test_the_public_half_of_an_envelope_of_another_group(
    monkeypatch: pytest.MonkeyPatch, algorithm: int
) -> None:
    """The same of what comes beside a wrapped key, whatever key it is said to be."""
    monkeypatch.setattr(fields, "load_der_public_key", lambda *given: pytest.fail("it was loaded"))
    with pytest.raises(BusinessError, match="no SubjectPublicKeyInfo") as caught:
        fields.public_fields(algorithm, 2048, _spki(PKCS3_OID, (MERSENNE, 2)))
    assert caught.value.code == 401


def test_public_keys_of_another_size() -> None:
    bits = 5120
    public = rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) + 15).public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert f"an RSA public key of {bits} bits" in refused(spki)


def test_a_public_half_beside_a_rewritten_key() -> None:
    """The half outside counts also where the scalar is written in a width that the library does not read."""
    der, usual = small_scalar_key(256, 5, b"\0" + (5).to_bytes(32, "big"), inside=True)
    for scalar, fits in ((5, True), (6, False)):
        public = ec.derive_private_key(scalar, ec.SECP256R1()).public_key()
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        parts = [tlv(tag, content) for tag, content in sequence(der)]
        parts[0] = tlv(INTEGER, b"\1")
        second = tlv(0x30, *parts, tlv(0x81, b"\0", point))
        if fits:
            assert read(second) == read(usual)
        else:
            assert "public half beside" in refused(second)
