"""Converters against OpenSSL's command line, and the description of any blob."""

import base64
import ctypes
import hashlib
import itertools
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.libcrypto import binding, search
from huks_async.crypto.postquantum import mldsa, mlkem
from huks_async.crypto.sm2 import encoding as sm2_encoding
from huks_async.keys.forms import convert
from huks_async.keys.forms.der import tlv
from huks_async.keys.forms.describe import describe
from huks_async.keys.forms.importing import material_from_import
from huks_async.keys.wrapping.wrapped import pack_wrapped
from huks_async.model.errors import BusinessError, HuksLegacyWarning
from tests.keys.key_samples import (
    DH,
    DSA,
    ECC,
    ED25519,
    ML_DSA,
    ML_KEM,
    NAMES,
    PAIR,
    RSA,
    SIZES,
    SM2,
    X25519,
    end_of,
    openssl,
    params,
    sample,
)
from tests.skips import skip_unsupported

AES, HMAC, SM4 = 20, 50, 152

pytestmark = pytest.mark.filterwarnings(f"ignore::{HuksLegacyWarning.__module__}.HuksLegacyWarning")


def imported(algorithm: int, size: int) -> KeyMaterial:
    """A pair of OpenSSL's, imported by its header form."""
    return material_from_import(params(algorithm, size, PAIR), sample(algorithm, size).blob())


def code_of(call: object, *arguments: object, **named: object) -> int:
    """The code with which a call is refused."""
    with pytest.raises(BusinessError) as caught:
        call(*arguments, **named)  # type: ignore[operator]
    return caught.value.code


@pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
def test_pem_of_openssl(algorithm: int, size: int) -> None:
    """PEM of OpenSSL's, private and public, becomes the material of the same key's header form."""
    key = sample(algorithm, size)
    material = imported(algorithm, size)
    assert convert.from_pem(key.pem) == material
    public = openssl("pkey", "-pubout", stdin=key.pem)
    assert convert.from_pem(public.decode()).public == key.exported
    assert convert.from_pem(convert.to_pem(material, private=True)) == material
    assert convert.to_layout(convert.from_pem(key.pem)) == key.blob()
    if algorithm != DH:
        # DH has two forms of parameters
        assert convert.to_pem(material).encode() == public
        assert convert.to_spki(material) == key.spki


@pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
def test_every_form_and_back(algorithm: int, size: int) -> None:
    """Header form, PKCS#8 and SubjectPublicKeyInfo are read back to what was written."""
    material = imported(algorithm, size)
    assert convert.from_layout(convert.to_layout(material)) == material
    assert convert.from_pkcs8(convert.to_pkcs8(material)) == material
    public = KeyMaterial(algorithm, size, public=material.public)
    assert convert.from_spki(convert.to_spki(material)) == public
    assert code_of(convert.to_pkcs8, public) == 401
    assert code_of(convert.to_layout, public) == 401


@pytest.mark.parametrize(
    ("algorithm", "size", "command"),
    [(RSA, 2048, ("rsa", "-traditional")), (ECC, 384, ("ec",)), (SM2, 256, ("ec",)), (DSA, 1024, ("dsa",))],
)
def test_older_pem_forms(algorithm: int, size: int, command: tuple[str, ...]) -> None:
    """The forms that name their algorithm (EC PRIVATE KEY, …) are read too, past parameters before them."""
    key = sample(algorithm, size)
    older = openssl(*command, stdin=key.pem)
    assert b"BEGIN PRIVATE KEY" not in older
    assert convert.from_pem(older) == imported(algorithm, size)


def test_encrypted_pem() -> None:
    """An encrypted key needs its password; a wrong one, or none, is 401; one without need is left unused."""
    key = sample(ECC, 256)
    old = openssl("ec", "-aes128", "-passout", "pass:open me", stdin=key.pem)
    new = openssl("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:open me", stdin=key.pem)
    for sealed in (old, new):
        assert convert.from_pem(sealed, b"open me") == imported(ECC, 256)
        with pytest.raises(BusinessError, match="passphrase is wrong") as caught:
            convert.from_pem(sealed, b"wrong")
        assert caught.value.code == 401
        with pytest.raises(BusinessError, match="give its passphrase") as caught:
            convert.from_pem(sealed)
        assert caught.value.code == 401
    assert convert.from_pem(key.pem, b"not needed") == imported(ECC, 256)


@pytest.mark.parametrize("scheme", [("-v2", "aes-256-cbc"), ("-scrypt",)])
def test_an_empty_passphrase_opens_what_it_encrypts(scheme: tuple[str, ...]) -> None:
    """It is a passphrase like any other: wrong for another key, and not that which was not given."""
    key = sample(ECC, 256)
    command = ("pkcs8", "-topk8", *scheme, "-passout")
    sealed = openssl(*command, "pass:", stdin=key.pem)
    assert convert.from_pem(sealed, b"") == imported(ECC, 256)
    with pytest.raises(BusinessError, match="give its passphrase"):
        convert.from_pem(sealed)
    with pytest.raises(BusinessError, match="passphrase is wrong"):
        convert.from_pem(openssl(*command, "pass:open me", stdin=key.pem), b"")


def test_an_empty_passphrase_that_is_not_tried() -> None:
    """Older schemes are opened by a library that takes it for none: the command that is named opens them."""
    sealed = openssl(
        "pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-passout", "pass:", stdin=sample(ECC, 256).pem
    )
    with pytest.raises(
        BusinessError, match=r"no empty passphrase is tried.*-passin pass: .*openssl pkey"
    ) as caught:
        convert.from_pem(sealed, b"")
    assert caught.value.code == 401
    copy = openssl("pkey", "-passin", "pass:", stdin=sealed)
    assert convert.from_pem(copy) == imported(ECC, 256)


@pytest.mark.parametrize(
    ("algorithm", "size"), [(RSA, 2048), (ECC, 256), (ECC, 521), (X25519, 256), (ED25519, 256)]
)
def test_jwk(algorithm: int, size: int) -> None:
    """A JWK has the registered members, secret ones only when asked for, and is read back."""
    material = imported(algorithm, size)
    public, private = convert.to_jwk(material), convert.to_jwk(material, private=True)
    assert set(private) - set(public) == ({"d", "p", "q", "dp", "dq", "qi"} if algorithm == RSA else {"d"})
    assert convert.from_jwk(json.dumps(private)) == material
    assert convert.from_jwk(public) == KeyMaterial(algorithm, size, public=material.public)
    assert code_of(convert.to_jwk, KeyMaterial(algorithm, size, public=material.public), private=True) == 401


@pytest.mark.parametrize("name", ["p", "q", "dp", "dq", "qi"])
def test_rsa_jwk_whose_factors_are_not_its_own(name: str) -> None:
    """All of them stand beside n and d, or none; zeros before a number are no part of it, and the order counts."""
    jwk = convert.to_jwk(imported(RSA, 2048), private=True)
    raw = base64.urlsafe_b64decode(jwk[name] + "==")
    padded = base64.urlsafe_b64encode(bytes(3) + raw).decode().rstrip("=")
    assert convert.from_jwk(jwk | {name: padded}) == imported(RSA, 2048)
    for foreign in ("AA", "AQ", "AQAB", "*", "", 7, None, jwk["n"], jwk["q" if name == "p" else "p"]):
        assert code_of(convert.from_jwk, jwk | {name: foreign}) == 401, foreign
    assert code_of(convert.from_jwk, {key: value for key, value in jwk.items() if key != name}) == 401
    turned = {"p": jwk["q"], "q": jwk["p"], "dp": jwk["dq"], "dq": jwk["dp"]}
    assert code_of(convert.from_jwk, jwk | turned) == 401
    bare = {key: jwk[key] for key in ("kty", "n", "e", "d")}
    assert convert.from_jwk(bare) == imported(RSA, 2048)


def test_jwk_of_rfc_7515() -> None:
    """The P-256 key of RFC 7515 appendix A.3 signs what its own public numbers verify."""
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    }
    material = convert.from_jwk(jwk)
    assert convert.to_jwk(material, private=True) == jwk
    loaded = serialization.load_der_public_key(material.public)
    assert isinstance(loaded, ec.EllipticCurvePublicKey)
    assert loaded.public_numbers().x.to_bytes(32, "big") == base64.urlsafe_b64decode(jwk["x"] + "=")


def test_jwk_numbers_of_another_width() -> None:
    """Zeros before a number of a private or public EC key are no part of it, and may be left out."""
    for scalar in itertools.count(1):
        key = ec.derive_private_key(scalar, ec.SECP256R1())
        numbers = key.public_key().public_numbers()
        if numbers.x < 1 << 248:
            break
    values = {"x": numbers.x, "y": numbers.y, "d": scalar}

    def jwk(*zeros: int, names: str = "xyd") -> dict[str, str]:
        members = {name: values[name].to_bytes(32, "big").lstrip(b"\0") for name in names}
        told = {name: bytes(count) + members[name] for name, count in zip(names, zeros, strict=True)}
        text = {name: base64.urlsafe_b64encode(value).decode().rstrip("=") for name, value in told.items()}
        return {"kty": "EC", "crv": "P-256"} | text

    expected = convert.from_jwk(jwk(0, 0, 0))
    written = convert.to_jwk(expected, private=True)
    assert {name: len(written[name]) for name in "xyd"} == dict.fromkeys("xyd", 43)
    for zeros in itertools.product((0, 1, 2, 40), repeat=3):
        assert convert.from_jwk(jwk(*zeros)) == expected
        assert convert.from_jwk(jwk(*zeros[:2], names="xy")).public == expected.public


@pytest.mark.parametrize(
    "text",
    [
        "AAECAwQFBgcICQoLDA0OD+",
        "AAECAwQFBgcICQoLDA0OD/",
        "AAECAwQFBgcICQoLDA0ODx",
        "AAECAwQFBgcICQoLDA0O Dw",
        "AAECAwQFBgcICQoLDA0ODw======",
    ],
)
def test_jwk_members_that_are_no_base64url(text: str) -> None:
    """The other alphabet, and bits at the end that belong to no byte."""
    assert code_of(convert.from_jwk, {"kty": "oct", "k": text}) == 401
    assert convert.from_jwk({"kty": "oct", "k": "AAECAwQFBgcICQoLDA0ODw=="}).secret == bytes(range(16))


@pytest.mark.parametrize("bits", [504, 1000, 2050, 2056, 8192])
def test_rsa_sizes_that_huks_does_not_have(bits: int) -> None:
    """12000001 in every form of the public key, and before the primes of a private one are looked for."""
    public = rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) + 15).public_key()
    encoded = (
        public.public_bytes(Encoding.DER, form)
        for form in (PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1)
    )
    for der in encoded:
        assert code_of(convert.from_spki, der) == 12000001
    n = (
        base64.urlsafe_b64encode(public.public_numbers().n.to_bytes((bits + 7) // 8, "big"))
        .decode()
        .rstrip("=")
    )
    for half in ({}, {"d": "AQAB"}):
        assert code_of(convert.from_jwk, {"kty": "RSA", "n": n, "e": "AQAB"} | half) == 12000001


def test_jwk_of_symmetric_keys() -> None:
    """An `oct` key that says nothing is AES unless the caller says otherwise, and is written when asked for alone."""
    material = convert.from_jwk({"kty": "oct", "k": "AAECAwQFBgcICQoLDA0ODw"})
    assert material == KeyMaterial(AES, 128, secret=bytes(range(16)))
    assert convert.from_jwk({"kty": "oct", "k": "AAE"}, algorithm=HMAC).size == 16
    assert convert.to_jwk(material, private=True) == {"kty": "oct", "k": "AAECAwQFBgcICQoLDA0ODw"}
    assert code_of(convert.to_jwk, material) == 401
    mac = KeyMaterial(HMAC, 256, secret=bytes(range(32)))
    assert convert.from_jwk(convert.to_jwk(mac, private=True)) == mac


@pytest.mark.parametrize(
    ("said", "algorithm"),
    [
        ({"alg": "HS256"}, HMAC),
        ({"alg": "HS1"}, HMAC),
        ({"use": "sig"}, HMAC),
        ({"key_ops": ["verify"]}, HMAC),
        ({"alg": "HS512", "use": "enc", "key_ops": ["encrypt"]}, HMAC),
        ({"alg": "A256GCM", "use": "sig", "key_ops": ["sign"]}, AES),
        ({"use": "enc", "key_ops": ["sign"]}, AES),
        ({"key_ops": ["encrypt", "decrypt"]}, AES),
        ({"alg": 7, "use": ["sig"], "key_ops": "sign"}, AES),
    ],
)
def test_what_a_jwk_says_of_a_symmetric_key(said: dict[str, object], algorithm: int) -> None:
    """Alg, use and key_ops tell HMAC from AES, in this order; what the caller says goes before them."""
    jwk = {"kty": "oct", "k": "AAECAwQFBgcICQoLDA0ODw"} | said
    assert convert.from_jwk(jwk) == KeyMaterial(algorithm, 128, secret=bytes(range(16)))
    assert convert.from_jwk(jwk, algorithm=SM4).algorithm == SM4


def test_a_jwk_of_no_length_of_aes() -> None:
    """An `oct` key that may be anything is refused with the way out; one that says HMAC is read."""
    jwk = {"kty": "oct", "k": "AA" * 43}
    with pytest.raises(BusinessError, match=r"64 secret bytes.*name its --algorithm") as caught:
        convert.from_jwk(jwk)
    assert caught.value.code == 401
    assert convert.from_jwk(jwk | {"alg": "HS512"}).size == 512


@pytest.mark.parametrize(
    ("jwk", "code"),
    [
        ("", 401),
        ("[]", 401),
        ("[" * 100_000, 401),
        ({"kty": "oct"}, 401),
        ({"kty": "oct", "k": "*"}, 401),
        ({"kty": "oct", "k": 7}, 401),
        ({"kty": "oct", "k": "AA" * 2000}, 401),
        ({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, 401),
        ({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, 12000001),
        ({"kty": "EC", "crv": ["P-256"], "x": "AA", "y": "AA"}, 12000001),
        ({"kty": "OKP", "crv": "Ed448", "x": "AA"}, 12000001),
        ({"kty": "OKP", "crv": "X25519", "x": "AA"}, 401),
        ({"kty": "RSA", "n": "AQ", "e": "AQ"}, 401),
        ({"kty": "RSA", "n": "AA", "e": "AA", "d": "AA"}, 401),
        ({"kty": "RSA", "n": "AQ", "e": "AQ", "d": "AQ"}, 401),
        ({}, 401),
        ({"kty": ["RSA"]}, 12000001),
    ],
)
def test_jwks_that_are_refused(jwk: object, code: int) -> None:
    """What is no JWK is 401; what HUKS has no algorithm for is 12000001."""
    assert code_of(convert.from_jwk, jwk) == code


def test_jwk_for_algorithms_without_one() -> None:
    """P-224, SM2, DSA, DH have no registered JWK: 12000001."""
    for algorithm, size in [(ECC, 224), (SM2, 256), (DSA, 1024), (DH, 2048)]:
        assert code_of(convert.to_jwk, imported(algorithm, size)) == 12000001


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
    """Seeds and expanded keys keep their form in PKCS#8; the header form is the expanded key."""
    made = family.generate(algorithm, size)  # type: ignore[attr-defined]
    assert convert.from_pkcs8(convert.to_pkcs8(made)) == made
    assert convert.from_spki(convert.to_spki(made)).public == made.public
    loaded = serialization.load_der_private_key(convert.to_pkcs8(made), None)
    assert loaded.private_bytes_raw() == made.secret  # type: ignore[union-attr]
    try:
        expanded = convert.from_layout(convert.to_layout(made))
    except BusinessError as error:
        skip_unsupported(error)
    assert expanded.public == made.public
    again = convert.from_pkcs8(convert.to_pkcs8(expanded))
    assert (again.secret, again.public) == (expanded.secret, b"")
    assert convert.from_pem(convert.to_pem(expanded, private=True)).secret == expanded.secret
    cut = convert.to_pkcs8(expanded)[:-1]
    assert code_of(convert.from_pkcs8, cut) == 401


class Watched:
    """Stands for a module whose function makes buffers, and keeps these."""

    def __init__(self, module: Any, name: str) -> None:
        self.buffers: list[Any] = []
        self._module, self._name = module, name

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)
        if name != self._name:
            return function

        def kept(*arguments: Any) -> Any:
            self.buffers.append(function(*arguments))
            return self.buffers[-1]

        return kept


@pytest.mark.parametrize(
    ("algorithm", "size", "family"), [(ML_DSA, 44, mldsa), (ML_KEM, 768, mlkem)], ids=["ML-DSA", "ML-KEM"]
)
def test_buffers_of_an_expansion_are_wiped(
    algorithm: int, size: int, family: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the seed nor the expanded key stays in a buffer of ours."""
    made = family.generate(algorithm, size)
    given: list[bytearray] = []
    load = binding.Libcrypto.private_key

    def kept(self: binding.Libcrypto, name: str, der: bytearray) -> binding.EvpKey:
        given.append(der)
        assert made.secret in der
        return load(self, name, der)

    monkeypatch.setattr(binding.Libcrypto, "private_key", kept)
    watched = Watched(ctypes, "create_string_buffer")
    monkeypatch.setattr(binding, "ctypes", watched)
    try:
        convert.to_layout(made)
    except BusinessError as error:
        skip_unsupported(error)
    assert (len(given), len(watched.buffers)) == (1, 1)
    assert not any(map(any, [*given, *(buffer.raw for buffer in watched.buffers)]))


def test_the_buffer_of_an_sm2_key_is_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The PKCS#8 that is given out is a copy of it."""
    private = KeyMaterial(SM2, 256, secret=sample(SM2, 256).fields["z"])
    watched = Watched(sm2_encoding, "pkcs8")
    monkeypatch.setattr(convert, "sm2_encoding", watched)
    assert private.secret in convert.to_pkcs8(private)
    assert len(watched.buffers) == 1
    assert not any(watched.buffers[0])


@pytest.mark.parametrize(
    ("algorithm", "size", "family", "oid"),
    [(ML_DSA, 44, mldsa, "0609608648016503040311"), (ML_KEM, 768, mlkem, "0609608648016503040402")],
    ids=["ML-DSA", "ML-KEM"],
)
def test_an_expanded_key_beside_its_seed(
    algorithm: int, size: int, family: Any, oid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are of one key (RFC 9881, RFC 9935), as far as a library can tell; nothing else stands with them."""
    made, other = family.generate(algorithm, size), family.generate(algorithm, size)
    try:
        expanded, foreign = (convert.from_layout(convert.to_layout(key)).secret for key in (made, other))
    except BusinessError as error:
        skip_unsupported(error)

    def file(*parts: bytes, after: bytes = b"") -> bytes:
        identifier = tlv(0x30, bytes.fromhex(oid))
        return tlv(0x30, tlv(2, b"\0"), identifier, tlv(4, tlv(0x30, *parts) + after))

    seed = tlv(4, made.secret)
    assert convert.from_pkcs8(file(seed, tlv(4, expanded))) == made
    for wrong in (
        file(seed, tlv(4, foreign)),
        file(seed, tlv(4, bytes(len(expanded)))),
        file(seed, tlv(4, expanded[:-1])),
        file(seed, tlv(4, expanded), seed),
        file(seed, tlv(4, expanded), after=seed),
        file(seed, tlv(2, expanded)),
        file(seed),
        file(tlv(4, made.secret + b"\0"), tlv(4, expanded)),
    ):
        assert code_of(convert.from_pkcs8, wrong) == 401

    def absent(*_: object) -> None:
        raise BusinessError(12000001, "no library")

    monkeypatch.setattr(search, "libcrypto_for", absent)
    assert convert.from_pkcs8(file(seed, tlv(4, foreign))) == made
    assert code_of(convert.from_pkcs8, file(seed, tlv(4, expanded[:-1]))) == 401


@pytest.mark.parametrize("form", ["seed", "expanded"])
def test_nothing_follows_an_ml_key_in_its_pkcs8(form: str) -> None:
    """A seed or an expanded key alone is all of the OCTET STRING."""
    key = tlv(0x80, bytes(32)) if form == "seed" else tlv(4, bytes(2560))
    file = tlv(0x30, tlv(2, b"\0"), tlv(0x30, bytes.fromhex("0609608648016503040311")), tlv(4, key + b"\0"))
    with pytest.raises(BusinessError, match="goes on after its end") as caught:
        convert.from_pkcs8(file)
    assert caught.value.code == 401


def test_private_sm2_key_without_its_point() -> None:
    """SM2 in PKCS#8 without the public point is a private key without a public half."""
    private = KeyMaterial(SM2, 256, secret=sample(SM2, 256).fields["z"])
    assert convert.from_pkcs8(convert.to_pkcs8(private)) == private
    pem = convert.to_pem(private, private=True).encode()
    assert openssl("pkey", "-pubout", "-outform", "DER", stdin=pem) == sample(SM2, 256).spki


def test_raw_forms() -> None:
    """Symmetric keys and 25519 halves have raw forms; nothing else has."""
    secret = bytes(range(32))
    assert convert.from_raw(AES, 256, secret) == KeyMaterial(AES, 256, secret)
    assert convert.to_raw(KeyMaterial(AES, 256, secret), private=True) == secret
    assert code_of(convert.to_raw, KeyMaterial(AES, 256, secret)) == 401
    pair = imported(ED25519, 256)
    assert convert.from_raw(ED25519, 256, convert.to_raw(pair)).public == pair.public
    private = convert.from_raw(ED25519, 256, convert.to_raw(pair, private=True), private=True)
    assert private == KeyMaterial(ED25519, 256, secret=pair.secret)
    assert code_of(convert.to_raw, imported(ECC, 256)) == 12000001
    assert code_of(convert.from_raw, AES, 256, bytes(31)) == 401


def test_keys_that_huks_does_not_have() -> None:
    """Curves, algorithms and sizes outside HUKS are refused, in PKCS#8 and as public keys."""
    for curve in ("secp256k1", "P-192", "brainpoolP256r1"):
        pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}")
        assert code_of(convert.from_pem, pem) == 12000001
        assert code_of(convert.from_pem, openssl("pkey", "-pubout", stdin=pem)) == 12000001
    odd = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2056")
    assert code_of(convert.from_pem, odd) == 12000001
    assert code_of(convert.from_pem, openssl("pkey", "-pubout", stdin=odd)) == 12000001
    for arguments in (("ED448",),):
        pem = openssl("genpkey", "-algorithm", *arguments)
        assert code_of(convert.from_pem, pem) == 12000001
        assert code_of(convert.from_pem, openssl("pkey", "-pubout", stdin=pem)) == 12000001
    assert code_of(convert.to_pkcs8, KeyMaterial(AES, 128, bytes(16))) == 12000001


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no key",
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN PRIVATE KEY-----\nAAA\n-----END PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "\udc80",
        "-----BEGIN PRIVATE KEY-----" + "\n" * 300_000,
        "-----BEGIN PRIVATE KEY-----\n" * 30_000,
        "-----BEGIN " + "A" * 300_000,
    ],
)
def test_texts_without_a_key(text: str) -> None:
    """A text without a readable key is 401."""
    assert code_of(convert.from_pem, text) == 401


@pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
def test_descriptions_show_no_secret(algorithm: int, size: int) -> None:
    """Every form is recognized with algorithm, size, halves and fingerprint, and no secret shows."""
    key = sample(algorithm, size)
    material = imported(algorithm, size)
    fingerprint = hashlib.sha256(key.exported).hexdigest()
    secrets = [
        value
        for name, value in key.fields.items()
        if name in ("d", "z", "private") or (algorithm == DSA and name == "x")
    ]
    forms = {
        "header form": key.blob(),
        "PKCS#8": convert.to_pkcs8(material),
        "SubjectPublicKeyInfo": convert.to_spki(material),
        "PEM": key.pem,
    }
    for form, blob in forms.items():
        found = describe(blob)
        assert found.form == form
        assert found.length == len(blob)
        assert (found.algorithm, found.size) == (
            {1: "RSA", 2: "ECC", 3: "DSA", 101: "X25519", 102: "ED25519", 103: "DH", 150: "SM2"}[algorithm],
            size,
        )
        assert found.halves == (("public",) if form == "SubjectPublicKeyInfo" else ("public", "private"))
        assert found.fingerprint == fingerprint
        assert found.note == ""
        shown = repr(found)
        for secret in secrets:
            assert secret.hex() not in shown
            assert str(int.from_bytes(secret, "big")) not in shown
            assert repr(secret) not in shown


def test_descriptions_of_other_blobs() -> None:
    """Wrapped keys, JWKs, broken keys and raw bytes are told apart."""
    device = sample(X25519, 256).exported
    wrapped = describe(pack_wrapped(1, bytes(32), device))
    assert wrapped.form.startswith("wrapped key")
    assert wrapped.fields["10"] == 32
    jwk = describe(json.dumps(convert.to_jwk(imported(ECC, 256), private=True)))
    assert (jwk.form, jwk.halves) == ("JWK", ("public", "private"))
    oct_key = describe('{"kty": "oct", "k": "AAECAwQFBgcICQoLDA0ODw"}')
    assert (oct_key.algorithm, oct_key.halves, oct_key.size) == ("", ("private",), 128)
    key = sample(ECC, 256)
    broken = describe(key.blob(z=bytes(31) + b"\x01"))
    assert broken.form == "header form"
    assert "belong" in broken.note
    assert broken.fingerprint == ""
    assert "header" in describe(key.blob()[:15]).note
    assert describe(bytes(range(32))).note.endswith("256 bits")
    assert describe(b"\x30\x03\x02\x01\x00").form == "DER of something that is no key"
    assert describe(b"").form == "raw or unknown"
    assert describe(bytes(2 * 1024 * 1024)).form == "unknown"
    private = describe(key.blob(x=b"", y=b""))
    assert private.halves == ("private",)


_SEEDS = [
    sample(ECC, 256).pem,
    sample(SM2, 256).pem,
    sample(ED25519, 256).spki,
    sample(ECC, 256).blob(),
    b'{"kty":"EC"}',
]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.binary(max_size=300), st.sampled_from(_SEEDS)), st.integers(0, 400), st.binary(max_size=6)
)
def test_any_bytes_are_described_or_refused(blob: bytes, at: int, piece: bytes) -> None:
    """Readers refuse with a documented code, and `describe` never fails, whatever comes in."""
    changed = blob[:at] + piece + blob[at + len(piece) :]
    described = describe(changed)
    assert described.length == len(changed)
    for read in (
        convert.from_pem,
        convert.from_pkcs8,
        convert.from_spki,
        convert.from_layout,
        convert.from_jwk,
    ):
        assert end_of(read, changed)[0] in (0, 401, 12000001, 12000003, 12000006)
