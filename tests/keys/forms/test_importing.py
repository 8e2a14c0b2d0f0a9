"""inData and parameters of an import: every documented form, and every documented refusal."""

import struct
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.postquantum import mldsa, mlkem
from huks_async.keys.forms.convert import to_pem
from huks_async.keys.forms.fields import parts_of
from huks_async.keys.forms.importing import is_slow, is_slow_to_translate, material_from_import
from huks_async.keys.items.purposes import check_import_purpose
from huks_async.model.errors import BusinessError, HuksLegacyWarning
from huks_async.model.params import ParamSet
from tests.keys.key_samples import (
    DH,
    DSA,
    ECC,
    ED25519,
    ML_DSA,
    ML_KEM,
    NAMES,
    PAIR,
    PRIVATE,
    PUBLIC,
    RSA,
    SIZES,
    SM2,
    X25519,
    end_of,
    header_form,
    openssl,
    params,
    sample,
)
from tests.skips import skip_unsupported

AES, HMAC, SM3, SM4, DES, TRIPLE_DES, CMAC, HKDF = 20, 50, 151, 152, 160, 161, 162, 51
ENCRYPT, DECRYPT, SIGN, VERIFY, DERIVE, WRAP, UNWRAP, MAC, AGREE = 1, 2, 4, 8, 16, 32, 64, 128, 256

pytestmark = pytest.mark.filterwarnings(f"ignore::{HuksLegacyWarning.__module__}.HuksLegacyWarning")


def code_of(given: ParamSet, data: bytes) -> int:
    """The code with which an import is refused."""
    with pytest.raises(BusinessError) as caught:
        material_from_import(given, data)
    assert len(data) < 16 or data.hex() not in caught.value.message
    return caught.value.code


def numbers_of(spki: bytes) -> bytes:
    """The public key as OpenSSL prints it, without parameters: DH has two forms of those."""
    text = openssl("pkey", "-pubin", "-inform", "DER", "-text", "-noout", stdin=spki)
    return text.split(b"P:")[0].split(b"GROUP:")[0]


def public_by_openssl(material: KeyMaterial) -> bytes:
    """The public half that OpenSSL computes of the private one."""
    private = to_pem(material, private=True).encode()
    return numbers_of(openssl("pkey", "-pubout", "-outform", "DER", stdin=private))


@pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
def test_pair_of_openssl(algorithm: int, size: int) -> None:
    """A key pair of OpenSSL's goes in, and OpenSSL agrees with both halves that came of it."""
    key = sample(algorithm, size)
    material = material_from_import(params(algorithm, size, PAIR), key.blob() + b"ignored")
    assert (material.algorithm, material.size) == (algorithm, size)
    assert material.public == key.exported
    assert public_by_openssl(material) == numbers_of(key.spki)


@pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
def test_public_key_of_openssl(algorithm: int, size: int) -> None:
    """SubjectPublicKeyInfo (25519: 32 raw bytes) goes in with type PUBLIC, and without any type."""
    key = sample(algorithm, size)
    for kind in (PUBLIC, None):
        material = material_from_import(params(algorithm, size, kind), key.exported)
        assert (material.secret, material.public) == (b"", key.exported)


@pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
def test_private_key_without_its_public_half(algorithm: int, size: int) -> None:
    """A private key works without its public half, and then has nothing to export (RSA always has)."""
    key = sample(algorithm, size)
    absent = {RSA: {}, ECC: {"x": b"", "y": b""}, SM2: {"x": b"", "y": b""}, DSA: {"y": b""}}
    material = material_from_import(
        params(algorithm, size, PRIVATE), key.blob(**absent.get(algorithm, {"public": b""}))
    )
    assert material.public == (key.exported if algorithm == RSA else b"")
    assert public_by_openssl(material) == numbers_of(key.spki)


@pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
def test_private_key_with_its_public_half(algorithm: int, size: int) -> None:
    """A private key may bring its public half, which is then there to export."""
    key = sample(algorithm, size)
    material = material_from_import(params(algorithm, size, PRIVATE), key.blob())
    assert material.public == key.exported


@pytest.mark.parametrize("algorithm", [X25519, ED25519])
def test_bare_private_25519(algorithm: int) -> None:
    """A private 25519 key is taken bare (32 bytes) and in the header form, with one result."""
    key = sample(algorithm, 256)
    bare = material_from_import(params(algorithm, 256, PRIVATE), key.fields["private"])
    headed = material_from_import(params(algorithm, 256, PRIVATE), key.blob(public=b""))
    assert bare == headed
    assert bare.secret == key.fields["private"]
    for length in (31, 33, 64):
        assert code_of(params(algorithm, 256, PRIVATE), bytes(length)) == 401
    assert code_of(params(algorithm, 256, PAIR), key.fields["private"]) == 401


def test_rsa_private_without_exponent() -> None:
    """An RSA private key without a public exponent has 65537."""
    key = sample(RSA, 2048)
    material = material_from_import(params(RSA, 2048, PRIVATE), key.blob(e=b""))
    assert material.public == key.spki


def test_leading_zeros_may_be_left_out() -> None:
    """A coordinate or scalar without its leading zeros is the same number."""
    scalar = bytes(29) + b"\x01\x02\x03"
    point = ec.derive_private_key(0x010203, ec.SECP256R1()).public_key().public_numbers()
    fields = {"x": point.x.to_bytes(32, "big"), "y": point.y.to_bytes(32, "big")}
    full = material_from_import(params(ECC, 256, PAIR), header_form(ECC, 256, fields | {"z": scalar}))
    short = material_from_import(params(ECC, 256, PAIR), header_form(ECC, 256, fields | {"z": scalar[29:]}))
    assert full == short


MISMATCHED = [
    (RSA, 2048, "d"),
    (RSA, 2048, "n"),
    (ECC, 256, "z"),
    (ECC, 521, "z"),
    (ECC, 256, "x"),
    (SM2, 256, "z"),
    (SM2, 256, "y"),
    (DSA, 1024, "x"),
    (DSA, 1024, "y"),
    (DSA, 1024, "p"),
    (DSA, 1024, "q"),
    (DSA, 1024, "g"),
    (DH, 2048, "private"),
    (DH, 2048, "public"),
    (X25519, 256, "private"),
    (ED25519, 256, "public"),
]


@pytest.mark.parametrize(("algorithm", "size", "name"), MISMATCHED)
def test_halves_that_do_not_belong_together(algorithm: int, size: int, name: str) -> None:
    """A pair with one bit changed in one half is 401, and the answer does not take minutes."""
    key = sample(algorithm, size)
    value = bytearray(key.fields[name])
    value[-2] ^= 0x10
    assert code_of(params(algorithm, size, PAIR), key.blob(**{name: bytes(value)})) == 401


def test_rsa_numbers_that_are_no_key() -> None:
    """Moduli that are even, prime, or square, and exponents that are even or too small, are 401."""
    key = sample(RSA, 2048)
    numbers = serialization.load_pem_private_key(key.pem, None).private_numbers()
    square = max(numbers.p, numbers.q) ** 2
    even = int.from_bytes(key.fields["n"], "big") & ~1
    forms = [
        key.blob(n=even.to_bytes(256, "big")),
        key.blob(n=square.to_bytes(256, "big")),
        key.blob(n=b"\xff" * 256),
        key.blob(n=bytes(256)),
        key.blob(n=b"\x7f" + key.fields["n"][1:]),
        key.blob(e=b"\x03"),
        key.blob(e=b"\x01\x00\x02"),
        key.blob(e=key.fields["n"]),
        key.blob(d=b"\x00"),
        key.blob(d=b"\x01"),
        key.blob(d=key.fields["n"]),
    ]
    started = time.process_time()
    for form in forms:
        assert code_of(params(RSA, 2048, PAIR), form) == 401
    # an endless search for primes is minutes; this bound is for that alone
    assert time.process_time() - started < 60


def test_rsa_key_with_a_small_exponent() -> None:
    """A real RSA key whose exponent is 3 is 401 in the header form: the guide asks for 65537 or more."""
    pem = openssl(
        "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-pkeyopt", "rsa_keygen_pubexp:3"
    )
    numbers = serialization.load_pem_private_key(pem, None).private_numbers()
    assert numbers.public_numbers.e == 3
    fields = {
        "n": numbers.public_numbers.n.to_bytes(128, "big"),
        "e": b"\x03",
        "d": numbers.d.to_bytes(128, "big"),
    }
    for kind in (PRIVATE, PAIR):
        assert code_of(params(RSA, 1024, kind), header_form(RSA, 1024, fields)) == 401


@pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
def test_public_forms_that_are_refused(algorithm: int, size: int) -> None:
    """Public keys that are cut, of another algorithm, of another size or garbage are 401."""
    key = sample(algorithm, size)
    others = [sample(*one).exported for one in SIZES if one != (algorithm, size)]
    if algorithm in (X25519, ED25519):
        # 32 bytes are 32 bytes: nothing tells these two apart
        others = [other for other in others if len(other) != 32]
    forms = [*others, key.exported[:-1], key.exported + b"\0", b"\x30", bytes(100), key.pem, key.blob()]
    if algorithm in (X25519, ED25519):
        forms.append(key.spki)
    assert len(forms) >= 13
    for form in forms:
        assert code_of(params(algorithm, size, PUBLIC), form) == 401


def test_foreign_curve() -> None:
    """A curve that HUKS does not have is 401 where a NIST curve of the same size is wanted."""
    pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1")
    spki = openssl("pkey", "-pubout", "-outform", "DER", stdin=pem)
    assert code_of(params(ECC, 256), spki) == 401
    k1 = ec.generate_private_key(ec.SECP256K1()).private_numbers()
    point = {"x": k1.public_numbers.x.to_bytes(32, "big"), "y": k1.public_numbers.y.to_bytes(32, "big")}
    blob = header_form(ECC, 256, point | {"z": k1.private_value.to_bytes(32, "big")})
    assert code_of(params(ECC, 256, PAIR), blob) == 401


@pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
def test_header_against_tags(algorithm: int, size: int) -> None:
    """A header that names another algorithm or size than the tags is 401."""
    key = sample(algorithm, size)
    other = ECC if algorithm != ECC else SM2
    renamed = struct.pack("<II", other, size) + key.blob()[8:]
    resized = struct.pack("<II", algorithm, size + 8) + key.blob()[8:]
    for kind in (PRIVATE, PAIR):
        assert code_of(params(algorithm, size, kind), renamed) == 401
        assert code_of(params(algorithm, size, kind), resized) == 401
    assert code_of(params(algorithm, size, 3), key.blob()) == 401


@pytest.mark.parametrize("value", [0, 1, "p-1", "p"])
def test_weak_dh_values(value: int | str) -> None:
    """The public DH values that give every secret away are 401."""
    key = sample(DH, 2048)
    text = openssl("pkey", "-text", "-noout", stdin=key.pem)
    assert b"ffdhe2048" in text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = serialization.load_pem_private_key(key.pem, None)
        p = loaded.parameters().parameter_numbers().p
    number = {"p-1": p - 1, "p": p}.get(value, value)
    blob = key.blob(public=int(number).to_bytes(256, "big"))
    assert code_of(params(DH, 2048, PAIR), blob) == 401


RAW = [
    (AES, 128),
    (AES, 192),
    (AES, 256),
    (SM4, 128),
    (DES, 64),
    (TRIPLE_DES, 128),
    (TRIPLE_DES, 192),
    (HMAC, 8),
    (HMAC, 1024),
    (SM3, 256),
    (CMAC, 128),
]


@pytest.mark.parametrize(("algorithm", "size"), RAW)
def test_raw_keys(algorithm: int, size: int) -> None:
    """Symmetric keys are raw, of exactly KEY_SIZE / 8 bytes."""
    data = bytes(range(256))[: size // 8]
    material = material_from_import(params(algorithm, size), data)
    assert (material.secret, material.public) == (data, b"")
    assert repr(material).count("secret") == 0
    for wrong in (data[:-1], data + b"\0", b""):
        assert code_of(params(algorithm, size), wrong) == 401


@pytest.mark.parametrize(("algorithm", "size"), RAW)
@pytest.mark.parametrize("kind", [PRIVATE, PAIR])
def test_raw_keys_with_a_type(algorithm: int, size: int, kind: int) -> None:
    """AES, HMAC, SM3 and SM4 take the types of asymmetric keys; DES, 3DES and CMAC refuse them."""
    data = bytes(size // 8)
    given = params(algorithm, size, kind)
    if algorithm in (DES, TRIPLE_DES, CMAC):
        assert code_of(given, data) == 12000003
    else:
        assert material_from_import(given, data).secret == data
    assert material_from_import(params(algorithm, size, 7), data).secret == data


def test_missing_and_unknown_parameters() -> None:
    """ALGORITHM and KEY_SIZE missing are 12000002, unknown 12000003; no data at all is 401."""
    assert code_of(params(None, 128), bytes(16)) == 12000002
    assert code_of(params(AES, None), bytes(16)) == 12000002
    assert code_of(params(HKDF, 128), bytes(16)) == 12000003
    assert code_of(params(999, 128), bytes(16)) == 12000003
    assert code_of(params(AES, 136), bytes(16)) == 12000003
    assert code_of(params(AES, 136), bytes(17)) == 401
    assert code_of(params(AES, None), bytes(17)) == 401
    assert code_of(params(HMAC, 12), bytes(2)) == 12000003
    assert code_of(params(ML_DSA, 45), bytes(100)) == 12000003
    assert code_of(params(AES, 128), b"") == 401
    assert code_of(params(HMAC, 8 * 2049), bytes(2049)) == 401


@pytest.mark.parametrize(
    ("algorithm", "size", "family"),
    [
        (ML_DSA, 44, mldsa),
        (ML_DSA, 65, mldsa),
        (ML_DSA, 87, mldsa),
        (ML_KEM, 768, mlkem),
        (ML_KEM, 1024, mlkem),
    ],
)
def test_ml_keys(algorithm: int, size: int, family: object) -> None:
    """ML keys go in as public keys, expanded private keys and pairs; anything else is refused."""
    made = family.generate(algorithm, size)  # type: ignore[attr-defined]
    try:
        fields = dict(parts_of(made))
    except BusinessError as error:
        skip_unsupported(error)
    pair = header_form(algorithm, size, fields)
    private = header_form(algorithm, size, fields | {"public": b""})
    assert material_from_import(params(algorithm, size), made.public).public == made.public
    assert material_from_import(params(algorithm, size, PAIR), pair).public == made.public
    assert material_from_import(params(algorithm, size, PRIVATE), private).public == b""
    assert code_of(params(algorithm, size, PAIR), private) == 401
    assert code_of(params(algorithm, size, PRIVATE), pair) == 401
    assert code_of(params(algorithm, size, PRIVATE), private[:-1]) == 401
    assert code_of(params(algorithm, size), b"\x30\x03\x02\x01\x00") == 12000006
    assert code_of(params(algorithm, size), made.public[:-1]) == 12000006
    assert code_of(params(algorithm, size), sample(ECC, 256).spki) == 401
    other = family.generate(algorithm, size)  # type: ignore[attr-defined]
    mixed = header_form(algorithm, size, fields | {"public": parts_of(other)["public"]})
    assert code_of(params(algorithm, size, PAIR), mixed) == 401


def test_imported_ml_dsa_key_signs() -> None:
    """An expanded ML-DSA key that was imported signs what `cryptography` verifies."""
    made = mldsa.generate(ML_DSA, 44)
    try:
        blob = header_form(ML_DSA, 44, dict(parts_of(made)))
    except BusinessError as error:
        skip_unsupported(error)
    ready = mldsa.load(material_from_import(params(ML_DSA, 44, PAIR), blob))
    assert isinstance(ready.public, MLDSA44PublicKey)
    assert ready.signer is not None
    assert ready.public.public_bytes_raw() == parts_of(made)["public"]


@pytest.mark.parametrize(
    ("algorithm", "kind", "accepted"),
    [
        (RSA, PUBLIC, {VERIFY, ENCRYPT}),
        (RSA, PRIVATE, {SIGN, DECRYPT}),
        (ECC, PUBLIC, {VERIFY, AGREE}),
        (ECC, PRIVATE, {SIGN, AGREE}),
        (DSA, PUBLIC, {VERIFY}),
        (DSA, PRIVATE, {SIGN}),
        (ED25519, PUBLIC, {VERIFY}),
        (ED25519, PRIVATE, {SIGN}),
        (SM2, PUBLIC, {VERIFY, ENCRYPT}),
        (SM2, PRIVATE, {SIGN}),
        (ML_DSA, PRIVATE, {SIGN}),
        (ML_KEM, PUBLIC, {WRAP}),
        (ML_KEM, PRIVATE, {UNWRAP}),
    ],
)
def test_purposes_by_type(algorithm: int, kind: int, accepted: set[int]) -> None:
    """Half a key takes exactly one of its purposes, and no combination: else 12000003."""
    every = [1 << bit for bit in range(9)]
    for purpose in (*every, SIGN | VERIFY, ENCRYPT | DECRYPT, WRAP | UNWRAP):
        given = params(algorithm, 256, kind, PURPOSE=purpose)
        if purpose in accepted:
            check_import_purpose(given)
        else:
            with pytest.raises(BusinessError) as caught:
                check_import_purpose(given)
            assert caught.value.code == 12000003
    if kind == PUBLIC:
        check_import_purpose(params(algorithm, 256, None, PURPOSE=min(accepted)))


def test_purposes_that_are_free() -> None:
    """Pairs, symmetric keys, DH and X25519 take what generation takes; nothing wraps but ML-KEM."""
    for algorithm, kind, purpose in [
        (RSA, PAIR, SIGN | VERIFY),
        (AES, None, ENCRYPT | DECRYPT),
        (DH, PRIVATE, AGREE),
        (DH, PUBLIC, AGREE),
        (X25519, PUBLIC, VERIFY),
        (X25519, PRIVATE, AGREE),
        (ML_DSA, PUBLIC, VERIFY),
        (ML_KEM, PAIR, WRAP | UNWRAP),
    ]:
        check_import_purpose(params(algorithm, 256, kind, PURPOSE=purpose))
    for algorithm in (ECC, X25519, SM2, ML_DSA):
        for kind in (PUBLIC, PRIVATE, PAIR):
            for purpose in (WRAP, UNWRAP, WRAP | UNWRAP):
                with pytest.raises(BusinessError) as caught:
                    check_import_purpose(params(algorithm, 256, kind, PURPOSE=purpose))
                assert caught.value.code == 12000003
    with pytest.raises(BusinessError) as caught:
        check_import_purpose(params(RSA, 2048, PAIR))
    assert caught.value.code == 12000002


@pytest.mark.parametrize(("purpose", "accepted"), [(ENCRYPT, {0, 1, 3}), (VERIFY, {0, 2, 3, 6})])
def test_paddings_of_rsa_public_keys(purpose: int, accepted: set[int]) -> None:
    """An RSA public key takes the paddings of its purpose; another one is 12000003."""
    for value in range(8):
        given = params(RSA, 2048, PUBLIC, PURPOSE=purpose, PADDING=value)
        if value in accepted:
            check_import_purpose(given)
        else:
            with pytest.raises(BusinessError) as caught:
                check_import_purpose(given)
            assert caught.value.code == 12000003


def test_slow_imports_are_known() -> None:
    """Private RSA, DSA and DH keys are announced as slow; everything else is not."""
    assert is_slow(params(RSA, 2048, PAIR))
    assert is_slow(params(DH, 4096, PRIVATE))
    assert is_slow(params(DSA, 3072, PAIR))
    assert is_slow_to_translate(params(DSA, 3072))
    assert not is_slow_to_translate(params(DSA, 3072, PAIR))
    assert not is_slow_to_translate(params(RSA, 3072))
    assert not is_slow(params(RSA, 2048))
    assert not is_slow(params(ECC, 256, PAIR))
    assert not is_slow(params(AES, 256))


def test_guide_aes_key() -> None:
    """The guide's AES-256 key, imported, encrypts as `cryptography` does with the same bytes."""
    key = bytes.fromhex("fb8b9f12a08319be6a6f632a7c86baca640b8896e2fa77bc71e30f0f9e3ce5f9")
    material = material_from_import(params(AES, 256, PURPOSE=ENCRYPT | DECRYPT), key)
    ours = Cipher(algorithms.AES(material.secret), modes.ECB()).encryptor().update(bytes(16))
    command = openssl("enc", "-aes-256-ecb", "-nopad", "-K", key.hex(), stdin=bytes(16))
    assert ours == command


def test_guide_rsa_pair() -> None:
    """The guide's RSA-2048 layout, 535 bytes, exports 294 bytes with the same numbers and decrypts."""
    key = sample(RSA, 2048)
    given = params(RSA, 2048, PAIR, PURPOSE=ENCRYPT | DECRYPT)
    blob = key.blob()
    assert len(blob) == 535
    assert blob[:20] == bytes.fromhex("01000000 00080000 00010000 03000000 00010000")
    check_import_purpose(given)
    material = material_from_import(given, blob)
    assert len(material.public) == 294
    public = serialization.load_der_public_key(material.public)
    private = serialization.load_der_private_key(material.secret, None)
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    assert private.decrypt(public.encrypt(b"123456", scheme), scheme) == b"123456"


def test_guide_x25519_public_key() -> None:
    """The guide's X25519 bytes, which are no point's, go in and come out unchanged."""
    data = bytes.fromhex("302a300506032b656e032100d2369ecf").ljust(32, b"\x5a")
    given = params(X25519, 256, PUBLIC, PURPOSE=VERIFY)
    check_import_purpose(given)
    assert material_from_import(given, data).public == data


_ALGORITHMS = (RSA, ECC, DSA, X25519, ED25519, DH, SM2, ML_KEM, ML_DSA, AES, HMAC, DES, 0, 51, 999)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(_ALGORITHMS),
    st.sampled_from((0, 8, 44, 64, 128, 224, 256, 521, 768, 1024, 2048)),
    st.sampled_from((None, PUBLIC, PRIVATE, PAIR, 9)),
    st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda algorithm, size, sizes, tail: (
                struct.pack(f"<{2 + len(sizes)}I", algorithm, size, *sizes) + tail
            ),
            st.sampled_from(_ALGORITHMS),
            st.sampled_from((44, 256, 768, 1024)),
            st.lists(st.integers(0, 40), min_size=3, max_size=5),
            st.binary(max_size=200),
        ),
        st.builds(lambda tail: b"\x30\x59\x30\x13" + tail, st.binary(max_size=100)),
    ),
)
def test_any_bytes_are_a_key_or_a_business_error(
    algorithm: int, size: int, kind: int | None, data: bytes
) -> None:
    """Whatever comes in ends as a key, or as one of the documented codes."""
    code, material = end_of(material_from_import, params(algorithm, size, kind), data)
    assert code in (0, 401, 12000001, 12000002, 12000003, 12000006)
    assert code or material.algorithm == algorithm


def test_fuzzing_finds_nothing() -> None:
    """A short run of the fuzzing script meets nothing but documented refusals."""
    path = Path(__file__).parents[2] / "adversity" / "fuzz_import.py"
    done = subprocess.run([sys.executable, str(path), "20000"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no BusinessError: 0" in done.stdout
