"""SM2: against the standard's examples, OpenSSL's command line, and two independent implementations."""

import base64
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huks_async.crypto.family import OperationSpec
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.operation import Operation
from huks_async.crypto.sm2 import sm2
from huks_async.crypto.sm2.backend import sm2_backend
from huks_async.crypto.sm2.encoding import (
    N,
    identity_hash,
    is_on_curve,
    parse_ciphertext,
    pkcs8,
    point_from_spki,
    spki_from_point,
)
from huks_async.crypto.sm2.operations import MAX_OVERHEAD
from huks_async.model.enums import HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from tests.skips import skip_unsupported

SM2, SIZE, DIGEST_NONE, DIGEST_SM3 = 150, 256, 0, 2
SIGN = HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN
VERIFY = HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY
ENCRYPT = HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT
DECRYPT = HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT

# GB/T 32918.5-2017 (GM/T 0003.5) annex A: the recommended curve, identity 1234567812345678
D = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
X = bytes.fromhex("09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020")
Y = bytes.fromhex("CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13")
Z = bytes.fromhex("B2E14C5C79C6DF5B85F4FE7ED8DB7A262B9DA7E07CCB0EA9F4747B8CCDA8A4F3")
E_VALUE = bytes.fromhex("F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640")
R = "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
S = "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
SIGNATURE = bytes.fromhex("3046022100" + R + "022100" + S)
C1X = "04EBFC718E8D1798620432268E77FEB6415E2EDE0E073C0F4F640ECD2E149A73"
C1Y = "E858F9D81E5430A57B36DAAB8F950A3C64E6EE6A63094D99283AFF767E124DF0"
C3 = "59983C18F809E262923C53AEC295D30383B54E39D609D160AFCB1908D0BD8766"
C2 = "21886CA989CA9C7D58087307CA93092D651EFA"
CIPHERTEXT = bytes.fromhex("307C" + "0220" + C1X + "022100" + C1Y + "0420" + C3 + "0413" + C2)


@pytest.fixture(scope="module", autouse=True)
def _backend() -> None:
    try:
        sm2_backend()
    except BusinessError as error:
        skip_unsupported(error)


@pytest.fixture(scope="module")
def key() -> sm2.Sm2Key:
    return sm2.load(sm2.material_from_parts(X, Y, D))


@pytest.fixture(scope="module")
def public_key() -> sm2.Sm2Key:
    return sm2.load(sm2.material_from_parts(X, Y, b""))


def start(
    key: sm2.Sm2Key,
    purpose: int,
    digest: int | None = DIGEST_SM3,
    limits: Limits | None = None,
    *,
    device: bool = False,
) -> Operation:
    """A running operation."""
    spec = OperationSpec(purpose, SM2, SM2, SIZE, None, None, digest, {}, limits or Limits(), {}, device)
    return sm2.starter(spec)(key, {})


def verify(key: sm2.Sm2Key, message: bytes, signature: bytes, digest: int = DIGEST_SM3) -> bytes:
    """Verify in one go."""
    operation = start(key, VERIFY, digest)
    operation.update(message)
    return operation.finish(signature)


def refused(code: int, call: Any, *args: Any, **kwargs: Any) -> BusinessError:
    """The error that the call must raise."""
    with pytest.raises(BusinessError) as caught:
        call(*args, **kwargs)
    assert caught.value.code == code
    return caught.value


def test_public_point_of_the_standards_key() -> None:
    """The library computes the public point that GB/T 32918.5 prints for its private key."""
    assert sm2.public_point(D) == X + Y


def test_identity_hash_of_the_standard() -> None:
    """Z is the one that GB/T 32918.5 A.2 prints."""
    assert identity_hash(X + Y) == Z


def test_standards_signature_verifies(public_key: sm2.Sm2Key) -> None:
    """The printed signature of "message digest" is right, also over the printed value e."""
    assert verify(public_key, b"message digest", SIGNATURE) == b""
    assert verify(public_key, E_VALUE, SIGNATURE, DIGEST_NONE) == b""


def test_standards_ciphertext_decrypts(key: sm2.Sm2Key) -> None:
    """The printed ciphertext gives the printed plaintext."""
    assert start(key, DECRYPT).finish(CIPHERTEXT) == b"encryption standard"


def test_signature_in_segments_verifies(key: sm2.Sm2Key) -> None:
    """How a message is cut does not matter, whatever kind of buffer brings it."""
    operation = start(key, SIGN)
    assert operation.update(bytearray(b"mess")) == b""
    assert operation.update(b"") == b""
    assert operation.update(memoryview(b"age ")) == b""
    signature = operation.finish(b"digest")
    assert verify(key, b"message digest", signature) == b""
    assert operation.held == 0


def test_ready_value_and_hash_meet(key: sm2.Sm2Key) -> None:
    """DIGEST_NONE signs e itself: such a signature of e is one of the message."""
    operation = start(key, SIGN, DIGEST_NONE)
    operation.update(E_VALUE[:5])
    assert operation.held == 5
    assert verify(key, b"message digest", operation.finish(E_VALUE[5:])) == b""


@pytest.mark.parametrize("length", [0, 31, 33, 1000])
def test_ready_value_of_another_length(key: sm2.Sm2Key, length: int) -> None:
    """A ready value is 32 bytes."""
    assert "32 bytes" in refused(401, start(key, SIGN, DIGEST_NONE).finish, bytes(length)).message


def test_private_only_key_signs_and_decrypts() -> None:
    """A key imported without its public half computes it."""
    material = sm2.material_from_parts(b"", b"", D)
    assert material.public == b""
    private = sm2.load(material)
    assert verify(private, b"message digest", start(private, SIGN).finish(b"message digest")) == b""
    assert start(private, DECRYPT).finish(CIPHERTEXT) == b"encryption standard"


def test_generated_keys_are_whole() -> None:
    """A generated key has a scalar of 32 bytes and the SubjectPublicKeyInfo of its point."""
    material = sm2.generate(SM2, SIZE)
    assert len(material.secret) == 32
    assert len(material.public) == 91
    point = point_from_spki(material.public)
    assert sm2.material_from_parts(point[:32], point[32:], material.secret) == material
    assert sm2.generate(SM2, SIZE).secret != material.secret


@pytest.mark.parametrize("length", [1, 16, 127, 128, 255, 256, 70_000])
def test_encryption_round_trip(key: sm2.Sm2Key, public_key: sm2.Sm2Key, length: int) -> None:
    """Any length but none comes back; the ciphertext is the documented sequence."""
    plaintext = bytes(index & 0xFF for index in range(length))
    operation = start(public_key, ENCRYPT)
    assert operation.update(plaintext[:1]) == b""
    ciphertext = operation.finish(plaintext[1:])
    point, c3, c2 = parse_ciphertext(ciphertext)
    assert (is_on_curve(point), len(c3), len(c2)) == (True, 32, length)
    decryption = start(key, DECRYPT)
    for at in range(0, len(ciphertext), 40_000):
        decryption.update(ciphertext[at : at + 40_000])
    assert decryption.finish(b"") == plaintext


@pytest.mark.parametrize("position", [0, 1, 3, 10, 40, 70, 90, -1])
def test_damaged_ciphertext(key: sm2.Sm2Key, position: int) -> None:
    """A changed byte anywhere is 12000006, and the message does not say where it went wrong."""
    damaged = bytearray(CIPHERTEXT)
    damaged[position] ^= 1
    error = refused(12000006, start(key, DECRYPT).finish, bytes(damaged))
    assert error.message == refused(12000006, start(key, DECRYPT).finish, b"\x30\x00").message


@pytest.mark.parametrize("purpose", [ENCRYPT, DECRYPT])
def test_no_data_to_encrypt_or_decrypt(key: sm2.Sm2Key, purpose: int) -> None:
    """SM2 has no ciphertext of nothing, whatever the limits."""
    refused(12000014, start(key, purpose).finish, b"")
    refused(12000014, start(key, purpose).update, b"")


def test_no_data_after_some(key: sm2.Sm2Key) -> None:
    """An empty update is taken once something is collected."""
    encryption = start(key, ENCRYPT)
    assert encryption.update(b"abc") == encryption.update(b"") == b""
    ciphertext = encryption.finish(b"")
    decryption = start(key, DECRYPT)
    assert decryption.update(ciphertext) == decryption.update(b"") == b""
    assert decryption.finish(b"") == b"abc"


def test_empty_message_by_limits(key: sm2.Sm2Key) -> None:
    """The standard signs an empty message; a device does not."""
    assert verify(key, b"", start(key, SIGN).finish(b"")) == b""
    refused(12000014, start(key, SIGN, limits=Limits.device()).finish, b"")
    refused(12000014, start(key, SIGN, DIGEST_NONE, Limits.device()).finish, b"")
    refused(12000014, start(key, VERIFY, limits=Limits.device()).finish, SIGNATURE)


@pytest.mark.parametrize("purpose", [SIGN, VERIFY, ENCRYPT, DECRYPT])
def test_too_much_data(key: sm2.Sm2Key, purpose: int) -> None:
    """The total of all segments is limited, and the message names the limit."""
    most = 10 + (MAX_OVERHEAD if purpose == DECRYPT else 0)
    operation = start(key, purpose, limits=Limits(max_collected_bytes=10))
    operation.update(bytes(most))
    assert (
        f"at most {most} are accepted (Limits.max_collected_bytes)"
        in refused(401, operation.update, b"x").message
    )


@pytest.mark.parametrize("length", [1, 50, 100, 1000, 100_000])
def test_what_is_encrypted_at_the_limit_decrypts(key: sm2.Sm2Key, length: int) -> None:
    """What SM2 adds to a plaintext does not count for the limit; on a device it does."""
    limits, plain = Limits(max_collected_bytes=length), bytes(length)
    sealed = start(key, ENCRYPT, limits=limits).finish(plain)
    assert length < len(sealed) <= length + MAX_OVERHEAD
    assert start(key, DECRYPT, limits=limits).finish(sealed) == plain
    on_device = start(key, DECRYPT, limits=limits, device=True)
    assert f"at most {length} are accepted" in refused(401, on_device.finish, sealed).message


def test_one_key_in_many_threads(key: sm2.Sm2Key) -> None:
    """A loaded key serves several threads at once, for every operation."""

    def work(number: int) -> bool:
        message = number.to_bytes(4, "big")
        signed = verify(key, message, start(key, SIGN).finish(message)) == b""
        return signed and sm2.decrypt(key, sm2.encrypt(key, message)) == message

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(80)))


def test_wrong_signatures(key: sm2.Sm2Key) -> None:
    """Each kind of wrong signature has its documented code."""
    refused(12000006, verify, key, b"message digest!", SIGNATURE)
    refused(12000006, verify, key, b"message digest", SIGNATURE[:-1])
    refused(12000006, verify, key, b"message digest", SIGNATURE[:-1] + b"\0")
    refused(12000006, verify, key, b"message digest", bytes(64))
    refused(401, verify, key, b"message digest", b"")
    error = refused(12000003, verify, key, b"message digest", SIGNATURE + b"\0")
    assert error.reason.name == "HUKS_ERROR_INVALID_SIGNATURE_SIZE"


def test_public_key_alone_cannot_sign_or_decrypt(public_key: sm2.Sm2Key) -> None:
    """What needs the private half is refused when the operation starts."""
    for digest in (DIGEST_SM3, DIGEST_NONE):
        refused(401, start, public_key, SIGN, digest)
    refused(401, start, public_key, DECRYPT)


@pytest.mark.parametrize(
    ("purpose", "digest", "code"),
    [
        pytest.param(ENCRYPT, DIGEST_NONE, 12000003, id="encrypt-none"),
        pytest.param(ENCRYPT, None, 12000002, id="encrypt-absent"),
        pytest.param(ENCRYPT, 12, 12000003, id="encrypt-sha256"),
        pytest.param(DECRYPT, 12, 12000003, id="decrypt-sha256"),
        pytest.param(SIGN, None, 401, id="sign-absent"),
        pytest.param(VERIFY, 12, 12000003, id="verify-sha256"),
        pytest.param(HuksKeyPurpose.HUKS_KEY_PURPOSE_AGREE, DIGEST_SM3, 401, id="agree"),
        pytest.param(HuksKeyPurpose.HUKS_KEY_PURPOSE_UNWRAP, DIGEST_SM3, 401, id="unwrap"),
    ],
)
def test_parameters_refused(key: sm2.Sm2Key, purpose: int, digest: int | None, code: int) -> None:
    """Digests and purposes that sessions with SM2 do not take."""
    refused(code, start, key, purpose, digest)


@pytest.mark.parametrize(
    ("x", "y", "z"),
    [
        pytest.param(X, Y, bytes(31) + b"\1", id="halves-differ"),
        pytest.param(X, X, b"", id="off-the-curve"),
        pytest.param(b"\xff" * 32, Y, b"", id="not-reduced"),
        pytest.param(X, Y[1:], D, id="short-y"),
        pytest.param(X, b"", D, id="half-a-point"),
        pytest.param(b"", b"", b"", id="nothing"),
        pytest.param(b"", b"", bytes(32), id="scalar-0"),
        pytest.param(b"", b"", (N - 1).to_bytes(32, "big"), id="scalar-n-1"),
        pytest.param(b"", b"", N.to_bytes(32, "big"), id="scalar-n"),
    ],
)
def test_parts_refused(x: bytes, y: bytes, z: bytes) -> None:
    """OpenState that are no key are 401."""
    refused(401, sm2.material_from_parts, x, y, z)


@pytest.mark.parametrize("scalar", [1, 2, N - 2], ids=["1", "2", "n-2"])
def test_scalars_at_the_edges(scalar: int) -> None:
    """The smallest and the largest private keys sign."""
    edge = sm2.load(sm2.material_from_parts(b"", b"", scalar.to_bytes(32, "big")))
    assert verify(edge, b"edge", start(edge, SIGN).finish(b"edge")) == b""


def test_public_key_in_der_is_strict() -> None:
    """One form of SubjectPublicKeyInfo is taken, and it comes back the same."""
    spki = spki_from_point(X + Y)
    assert len(spki) == 91
    material = sm2.material_from_spki(spki)
    assert (material.public, material.secret) == (spki, b"")
    older = bytes.fromhex("305a3014 06082a811ccf5501822d 06082a811ccf5501822d 034200 04") + X + Y
    assert len(older) == 92
    assert sm2.material_from_spki(older).public == spki
    for wrong in (
        older[:-1],
        older + b"\0",
        older[:-1] + bytes([older[-1] ^ 1]),
        older.replace(b"\x82\x2d", b"\x82\x2e", 1),
    ):
        refused(401, sm2.material_from_spki, wrong)
    p256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004") + X + Y
    for wrong in (b"", spki[:-1], spki + b"\0", p256, spki[:-1] + b"\0", spki[:26] + b"\2" + X):
        refused(401, sm2.material_from_spki, wrong)


def test_load_refuses_what_is_no_key() -> None:
    """Stored material that is no key is 401, never something else."""
    for secret, public in ((b"", b""), (bytes(32), b""), (b"x", b""), (b"", b"x"), (D, b"x")):
        refused(401, sm2.load, KeyMaterial(SM2, SIZE, secret, public))


def test_repr_shows_no_key() -> None:
    """Neither form of a key shows its bytes."""
    material = sm2.material_from_parts(X, Y, D)
    for shown in (repr(material), repr(sm2.load(material))):
        assert D.hex() not in shown
        assert repr(D) not in shown


@given(st.binary(max_size=200))
def test_any_bytes_as_ciphertext(key: sm2.Sm2Key, data: bytes) -> None:
    """Whatever is decrypted, only a documented error comes out."""
    with pytest.raises(BusinessError):
        start(key, DECRYPT).finish(data)


@given(st.binary(max_size=100))
def test_any_bytes_as_signature(key: sm2.Sm2Key, data: bytes) -> None:
    """Whatever is verified, only a documented error comes out."""
    with pytest.raises(BusinessError):
        verify(key, b"message", data)


@given(st.binary(max_size=100) | st.binary(max_size=70).map(lambda tail: spki_from_point(X + Y)[:27] + tail))
def test_any_bytes_as_public_key(data: bytes) -> None:
    """Whatever is imported, only a documented error comes out."""
    with pytest.raises(BusinessError):
        sm2.material_from_spki(data)


@given(st.integers(0, len(CIPHERTEXT) - 1), st.binary(max_size=6), st.integers(0, 6))
def test_edited_ciphertext(key: sm2.Sm2Key, at: int, inserted: bytes, cut: int) -> None:
    """A ciphertext with bytes cut out and others put in is the same one or is refused."""
    edited = CIPHERTEXT[:at] + inserted + CIPHERTEXT[at + cut :]
    if edited == CIPHERTEXT:
        assert sm2.decrypt(key, edited) == b"encryption standard"
    else:
        refused(12000006, sm2.decrypt, key, edited)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param("30817C0220" + C1X + "022100" + C1Y + "0420" + C3 + "0413" + C2, id="long-length"),
        pytest.param("307D022100" + C1X + "022100" + C1Y + "0420" + C3 + "0413" + C2, id="padded-x"),
        pytest.param("307B0220" + C1X + "0220" + C1Y + "0420" + C3 + "0413" + C2, id="negative-y"),
        pytest.param("3069" + "0220" + C1X + "022100" + C1Y + "0420" + C3 + "0400", id="no-c2"),
        pytest.param("307C0220" + C1X + "022100" + C1Y + "0413" + C2 + "0420" + C3, id="c1c2c3"),
        pytest.param("04" + C1X + C1Y + C3 + C2, id="raw"),
        pytest.param("30800220" + C1X + "022100" + C1Y + "0420" + C3 + "0413" + C2 + "0000", id="indefinite"),
        pytest.param("02" + CIPHERTEXT.hex()[2:], id="other-tag"),
    ],
)
def test_forms_that_are_not_der(key: sm2.Sm2Key, wrong: str) -> None:
    """Other encodings of the same ciphertext are refused: there is one."""
    refused(12000006, sm2.decrypt, key, bytes.fromhex(wrong))


# --- OpenSSL's command line -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl command")
    curves = subprocess.run([program, "ecparam", "-list_curves"], capture_output=True, text=True, check=True)
    if "SM2" not in curves.stdout:
        pytest.skip("the openssl command is built without SM2")
    folder = tmp_path_factory.mktemp("openssl")
    _write_pem(folder / "key.pem", "PRIVATE KEY", bytes(pkcs8(D, X + Y)))
    _write_pem(folder / "pub.pem", "PUBLIC KEY", spki_from_point(X + Y))
    return program, folder


def _write_pem(path: Path, label: str, der: bytes) -> None:
    body = base64.encodebytes(der).decode()
    path.write_text(f"-----BEGIN {label}-----\n{body}-----END {label}-----\n")


def _pkeyutl(openssl: tuple[str, Path], *arguments: str, data: bytes) -> tuple[int, bytes]:
    program, folder = openssl
    (folder / "in").write_bytes(data)
    done = subprocess.run(
        [program, "pkeyutl", *arguments, "-in", "in", "-out", "out"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    return done.returncode, (folder / "out").read_bytes() if (folder / "out").exists() else b""


_MESSAGE_OPTIONS = ("-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678")


def test_openssl_signs_we_verify(openssl: tuple[str, Path], public_key: sm2.Sm2Key) -> None:
    """A signature made by the openssl command is right for us."""
    code, signature = _pkeyutl(openssl, "-sign", "-inkey", "key.pem", *_MESSAGE_OPTIONS, data=b"hello")
    assert code == 0
    assert verify(public_key, b"hello", signature) == b""


def test_we_sign_openssl_verifies(openssl: tuple[str, Path], key: sm2.Sm2Key) -> None:
    """Our signature is right for the openssl command, and wrong for another message."""
    (openssl[1] / "sig").write_bytes(start(key, SIGN).finish(b"hello"))
    arguments = ("-verify", "-pubin", "-inkey", "pub.pem", *_MESSAGE_OPTIONS, "-sigfile", "sig")
    assert _pkeyutl(openssl, *arguments, data=b"hello")[0] == 0
    assert _pkeyutl(openssl, *arguments, data=b"hellO")[0] != 0


def test_openssl_encrypts_we_decrypt(openssl: tuple[str, Path], key: sm2.Sm2Key) -> None:
    """A ciphertext made by the openssl command decrypts here."""
    code, ciphertext = _pkeyutl(openssl, "-encrypt", "-pubin", "-inkey", "pub.pem", data=b"123456")
    assert code == 0
    assert start(key, DECRYPT).finish(ciphertext) == b"123456"


def test_we_encrypt_openssl_decrypts(openssl: tuple[str, Path], public_key: sm2.Sm2Key) -> None:
    """Our ciphertext decrypts by the openssl command."""
    ciphertext = start(public_key, ENCRYPT).finish(b"123456")
    assert _pkeyutl(openssl, "-decrypt", "-inkey", "key.pem", data=ciphertext) == (0, b"123456")


# --- independent implementations --------------------------------------------------------------------


def test_second_opinion_of_gmssl(key: sm2.Sm2Key) -> None:
    """Signatures and ciphertexts pass in both directions with the package gmssl."""
    module = pytest.importorskip("gmssl.sm2", reason="the package gmssl is not installed")
    other = module.CryptSM2(private_key=D.hex(), public_key=(X + Y).hex(), asn1=True, mode=1)
    assert verify(key, b"hello", bytes.fromhex(other.sign_with_sm3(b"hello"))) == b""
    assert other.verify_with_sm3(start(key, SIGN).finish(b"hello").hex(), b"hello")
    point, c3, c2 = parse_ciphertext(sm2.encrypt(key, b"hello"))
    assert other.decrypt(point + c3 + c2) == b"hello"


def test_second_opinion_of_gmalg(key: sm2.Sm2Key) -> None:
    """Signatures and ciphertexts pass in both directions with the package gmalg."""
    gmalg = pytest.importorskip("gmalg", reason="the package gmalg is not installed")
    other = gmalg.SM2(D, b"1234567812345678", b"\4" + X + Y)
    r, s = other.sign(b"hello")
    assert verify(key, b"hello", _sequence(_integer(r), _integer(s))) == b""
    raw = other.encrypt(b"hello")
    der = _sequence(
        _integer(raw[1:33]), _integer(raw[33:65]), b"\x04\x20" + raw[65:97], b"\x04\x05" + raw[97:]
    )
    assert sm2.decrypt(key, der) == b"hello"
    point, c3, c2 = parse_ciphertext(sm2.encrypt(key, b"hello"))
    assert other.decrypt(b"\4" + point + c3 + c2) == b"hello"


def _sequence(*elements: bytes) -> bytes:
    body = b"".join(elements)
    assert len(body) < 0x80 or len(body) < 0x100
    return b"\x30" + (bytes((len(body),)) if len(body) < 0x80 else bytes((0x81, len(body)))) + body


def _integer(number: bytes) -> bytes:
    value = int.from_bytes(number, "big")
    content = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes((2, len(content))) + content
