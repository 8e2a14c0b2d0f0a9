"""`huks keys import`, `convert`, `describe`, `wrap` and `import-wrapped`, against OpenSSL's command line."""

import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from huks_async.cli.words.key_file import MAX_KEY_FILE
from huks_async.keys.forms.key_files import recognise
from huks_async.model.enums import HuksKeyAlg
from tests.cli.command_line import Done, Huks, command, shown_on
from tests.keys.key_samples import (
    DH,
    DSA,
    ECC,
    ED25519,
    NAMES,
    RSA,
    SIZES,
    SM2,
    X25519,
    Sample,
    header_form,
    openssl,
    sample,
)

WORDS = {
    RSA: "rsa",
    ECC: "ecc",
    DSA: "dsa",
    DH: "dh",
    X25519: "x25519",
    ED25519: "ed25519",
    SM2: "sm2",
}
PURPOSES = {DH: "agree", X25519: "agree"}
WRAPPING_KINDS = ["unwrap-x25519", "unwrap-p256", "unwrap-sm2"]
every_key = pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
wrapping_kinds = pytest.mark.parametrize("kind", WRAPPING_KINDS)

Write = Callable[[str, bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and gives its path."""

    def put(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return put


def pkcs8(pem: bytes, *more: str) -> bytes:
    """PKCS#8 DER of a key, by OpenSSL."""
    return openssl("pkcs8", "-topk8", "-outform", "DER", *(more or ("-nocrypt",)), stdin=pem)


def stored(huks: Huks, alias: str) -> dict[str, str]:
    """What `huks keys show` prints."""
    lines = huks("keys", "show", alias).out.decode().splitlines()
    return dict(line.split(": ", 1) for line in lines)


def skip_without_sm2(done: Done, what: str | int) -> None:
    """Skip where a call failed for want of a library."""
    if (what == SM2 or "sm2" in str(what)) and "12000001" in done.err:
        pytest.skip("no SM2 implementation on this machine")


def made(huks: Huks, kind: str) -> None:
    """Make a wrapping key, or skip."""
    done = huks("keys", "generate", "wrapping", "--kind", kind)
    skip_without_sm2(done, kind)
    assert done.code == 0, done.err


# --- import -----------------------------------------------------------------------------------


@every_key
def test_openssls_keys_are_imported_with_what_they_say(
    huks: Huks, write: Write, algorithm: int, size: int
) -> None:
    """A PEM file needs no options: the keystore then exports the public half that OpenSSL has."""
    pair = sample(algorithm, size)
    done = huks("keys", "import", "k", write("key.pem", pair.pem))
    skip_without_sm2(done, algorithm)
    assert (done.code, done.out) == (0, b""), done.err
    shown = stored(huks, "k")
    assert shown["key_size"] == str(size)
    assert shown["purpose"] == PURPOSES.get(algorithm, "sign and verify")
    assert shown["import_key_type"] == "HUKS_KEY_TYPE_KEY_PAIR"
    assert huks("keys", "export", "k", "--form", "huks").out == pair.exported


@pytest.mark.parametrize(
    ("algorithm", "size", "digest"), [(RSA, 2048, "sha256"), (ECC, 384, "sha384"), (ECC, 224, "sha256")]
)
def test_an_imported_key_signs_what_openssl_verifies(
    huks: Huks, write: Write, document: Path, tmp_path: Path, algorithm: int, size: int, digest: str
) -> None:
    """`huks sign` works with an imported key as it is, and OpenSSL accepts the signature."""
    pair = sample(algorithm, size)
    assert huks("keys", "import", "k", write("key.pem", pair.pem)).code == 0
    signature = tmp_path / "signature"
    done = huks("sign", "k", document, "-o", signature)
    assert done.code == 0, done.err
    public = write("public.pem", openssl("pkey", "-pubout", stdin=pair.pem))
    padding = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] * (algorithm == RSA)
    said = openssl(
        *("dgst", f"-{digest}", "-verify", str(public), *padding, "-signature", str(signature)),
        str(document),
    )
    assert said.strip() == b"Verified OK"


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("pem", lambda pair: pair.pem),
        ("pkcs8", lambda pair: pkcs8(pair.pem)),
        ("pkcs8", lambda pair: openssl("ec", "-outform", "DER", stdin=pair.pem)),
        ("layout", lambda pair: pair.blob()),
        ("spki", lambda pair: pair.spki),
    ],
    ids=["pem", "pkcs8", "ec-private-key", "layout", "spki"],
)
@pytest.mark.parametrize("forced", [False, True], ids=["recognised", "forced"])
def test_every_form_is_recognised_or_forced(
    huks: Huks, write: Write, form: str, data: Callable[[Sample], bytes], forced: bool
) -> None:
    """The same key in each form is the same key in the keystore."""
    pair = sample(ECC, 256)
    options = ["--form", form] if forced else []
    done = huks("keys", "import", "k", write("key", data(pair)), *options)
    assert done.code == 0, done.err
    assert huks("keys", "export", "k", "--form", "huks").out == pair.exported


def test_a_form_that_the_file_does_not_have_is_refused(huks: Huks, write: Write) -> None:
    """--form is not a wish: a wrong one ends with code 1 and without a key."""
    path = write("key", sample(ECC, 256).pem)
    for form in ("pkcs8", "spki", "jwk", "layout"):
        done = huks("keys", "import", "k", path, "--form", form)
        assert done.code == 1
        assert done.err.startswith(f"error: {path}: ")
    assert huks("keys", "list").out == b""


def test_a_key_comes_through_a_pipe(huks_process: Huks) -> None:
    """`-` reads the key from standard input."""
    done = huks_process("keys", "import", "k", "-", stdin=sample(ED25519, 256).pem)
    assert done.code == 0, done.err
    exported = huks_process("keys", "export", "k", "--form", "huks").out
    assert exported == sample(ED25519, 256).exported


def test_bare_bytes_are_an_aes_key_that_decrypts_elsewhere(
    huks: Huks, write: Write, document: Path, tmp_path: Path
) -> None:
    """A raw AES key encrypts files; another implementation opens them with the same bytes."""
    secret = os.urandom(32)
    done = huks("keys", "import", "k", write("key", secret), "--algorithm", "aes")
    assert done.code == 0, done.err
    sealed = tmp_path / "sealed"
    assert huks("encrypt", "--format", "1", "k", document, "-o", sealed).code == 0
    blob = sealed.read_bytes()
    assert AESGCM(secret).decrypt(blob[8:20], blob[20:], blob[:8]) == document.read_bytes()


def test_bare_bytes_need_a_name(huks: Huks, write: Write) -> None:
    """Nothing is guessed of raw bytes without --algorithm. The words alone do not show what is wrong: code 1."""
    done = huks("keys", "import", "k", write("key", b"\x07" * 32))
    assert done.code == 1
    assert "--algorithm" in done.err
    done = huks("keys", "import", "k", write("key", b"\x07" * 32), "--algorithm", "rsa")
    assert (done.code, "none of the forms of rsa keys" in done.err) == (1, True)
    done = huks("keys", "import", "k", write("pem", sample(ECC, 256).pem), "--private")
    assert (done.code, "--private is for raw bytes" in done.err) == (1, True)
    assert huks("keys", "list").out == b""


@pytest.mark.parametrize("secret", [b"\x30\x1e\x30\x00\x03\x1a" + bytes(26), b'{"kty": "oct"   ' + b" " * 16])
def test_bare_bytes_that_look_like_something_else(huks: Huks, write: Write, secret: bytes) -> None:
    """A raw key whose first bytes are those of DER or JSON is imported as the raw key it is."""
    assert len(secret) == 32
    done = huks("keys", "import", "k", write("key", secret), "--algorithm", "aes")
    assert done.code == 0, done.err
    assert stored(huks, "k")["key_size"] == "256"


def test_hexadecimal_text_is_not_taken_for_a_key(huks: Huks, write: Write) -> None:
    """Digits with a newline have no size of AES, and the hint says what to do; HMAC warns."""
    path = write("key", b"0123456789abcdef" * 4 + b"\n")
    done = huks("keys", "import", "k", path, "--algorithm", "aes")
    assert done.code == 1
    assert "xxd -r -p" in done.err
    assert "0123456789abcdef" not in done.err
    done = huks("keys", "import", "k", path, "--algorithm", "hmac")
    assert (done.code, "warning: " in done.err) == (0, True)


def test_halves_of_bare_25519_keys(huks: Huks, write: Write) -> None:
    """32 bytes are a public key, or with --private a private one."""
    path = write("key", sample(ED25519, 256).fields["private"])
    assert huks("keys", "import", "private", path, "-a", "ed25519", "--private").code == 0
    assert stored(huks, "private")["purpose"] == "sign"
    path = write("key", sample(ED25519, 256).exported)
    assert huks("keys", "import", "public", path, "-a", "ed25519").code == 0
    assert stored(huks, "public")["purpose"] == "verify"


def test_a_jwk_of_a_symmetric_key(huks: Huks, write: Write) -> None:
    """`oct` is AES unless told otherwise, by the file or by an option; where it can be neither, the option is named."""
    path = write("key", b'{"kty": "oct", "k": "AAECAwQFBgcICQoLDA0ODw"}')
    assert huks("keys", "import", "aes", path).code == 0
    assert huks("keys", "import", "mac", path, "--algorithm", "hmac").code == 0
    assert stored(huks, "aes")["algorithm"] == "HUKS_ALG_AES"
    assert stored(huks, "mac")["purpose"] == "mac"
    webcrypto = write(
        "webcrypto", b'{"kty": "oct", "k": "AAECAwQFBgcICQoLDA0ODw", "alg": "HS256", "key_ops": ["sign"]}'
    )
    assert huks("keys", "import", "hs256", webcrypto).code == 0
    assert stored(huks, "hs256")["algorithm"] == "HUKS_ALG_HMAC"
    long = write("long", b'{"kty": "oct", "k": "' + 86 * b"A" + b'"}')
    assert "--algorithm" in huks("keys", "import", "long", long).err


def test_purposes_and_parameters_by_option(huks: Huks, write: Write) -> None:
    """Options replace what an import chooses."""
    rsa = write("rsa", sample(RSA, 2048).pem)
    assert huks("keys", "import", "rsa", "-p", "decrypt", "-p", "encrypt", rsa).code == 0
    shown = stored(huks, "rsa")
    assert (shown["purpose"], shown["padding"]) == ("encrypt and decrypt", "HUKS_PADDING_OAEP")
    aes = write("aes", bytes(range(16)))
    assert huks("keys", "import", "aes", aes, "-a", "aes", "--mode", "cbc").code == 0
    shown = stored(huks, "aes")
    assert (shown["block_mode"], shown["padding"]) == ("HUKS_MODE_CBC", "HUKS_PADDING_PKCS7")
    options = ["--padding", "pkcs1", "--digest", "sha512", "--purpose", "sign"]
    assert huks("keys", "import", "signer", rsa, *options).code == 0
    shown = stored(huks, "signer")
    assert (shown["digest"], shown["padding"]) == ("HUKS_DIGEST_SHA512", "HUKS_PADDING_PKCS1_V1_5")
    assert "rsa_pss_salt_len_type" not in shown


@pytest.mark.parametrize(
    ("algorithm", "length", "purpose"),
    [
        ("aes", 24, "encrypt and decrypt"),
        ("sm4", 16, "encrypt and decrypt"),
        ("des", 8, "encrypt and decrypt"),
        ("3des", 24, "encrypt and decrypt"),
        ("hmac", 40, "mac"),
        ("sm3", 32, "mac"),
        ("cmac", 16, "mac"),
    ],
)
def test_every_symmetric_algorithm(
    huks: Huks, write: Write, algorithm: str, length: int, purpose: str
) -> None:
    """Without options a symmetric key is for what it is most often for; derivation is an option of AES."""
    path = write("key", bytes(range(length)))
    done = huks("keys", "import", "k", path, "--algorithm", algorithm)
    assert done.code == 0, done.err
    assert stored(huks, "k")["purpose"] == purpose
    if algorithm == "aes":
        assert huks("keys", "import", "base", path, "-a", "aes", "-p", "derive").code == 0
        assert stored(huks, "base")["digest"] == "HUKS_DIGEST_SHA256"


@pytest.mark.parametrize(
    ("generate", "algorithm", "size", "purpose"),
    [
        (mldsa.MLDSA65PrivateKey.generate, "ML_DSA", "65", "sign and verify"),
        (mlkem.MLKEM768PrivateKey.generate, "ML_KEM", "768", "wrap and unwrap"),
    ],
)
def test_post_quantum_keys(
    huks: Huks, write: Write, generate: Callable[[], Any], algorithm: str, size: str, purpose: str
) -> None:
    """A seed in PKCS#8 is imported as the pair that it expands to; its public half alone as that half."""
    key = generate()
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    done = huks("keys", "import", "pair", write("key", private))
    if "12000001" in done.err:
        pytest.skip("no library that expands the seeds of ML keys on this machine")
    assert done.code == 0, done.err
    shown = stored(huks, "pair")
    assert (shown["algorithm"], shown["key_size"]) == (f"HUKS_ALG_{algorithm}", size)
    assert shown["purpose"] == purpose
    assert huks("keys", "export", "pair", "--form", "huks").out == spki
    assert huks("keys", "import", "half", write("half", spki)).code == 0
    assert stored(huks, "half")["purpose"] == purpose.split(" and ")[algorithm == "ML_DSA"]


def test_purposes_that_the_key_cannot_have(huks: Huks, write: Write) -> None:
    """The keystore's refusal comes through with its code; an unknown word is wrong usage."""
    path = write("key", sample(ED25519, 256).pem)
    done = huks("keys", "import", "k", path, "--purpose", "encrypt")
    assert (done.code, "12000003" in done.err) == (1, True)
    done = huks("keys", "import", "k", path, "--purpose", "everything")
    assert (done.code, "encrypt, decrypt" in done.err) == (2, True)


def test_a_file_must_hold_the_algorithm_it_is_said_to(huks: Huks, write: Write) -> None:
    """--algorithm of a file that tells its own is a check."""
    path = write("key", sample(ED25519, 256).pem)
    done = huks("keys", "import", "k", path, "--algorithm", "rsa")
    assert done.code == 1
    assert "ed25519" in done.err
    assert huks("keys", "import", "k", path, "--algorithm", "ed25519").code == 0


def test_an_existing_key_is_kept_without_replace(huks: Huks, write: Write) -> None:
    """An import does not replace a key unasked."""
    path = write("key", sample(ECC, 256).pem)
    assert huks("keys", "generate", "k").code == 0
    done = huks("keys", "import", "k", path)
    assert (done.code, "--replace" in done.err) == (1, True)
    assert stored(huks, "k")["algorithm"] == "HUKS_ALG_AES"
    assert huks("keys", "import", "k", path, "--replace").code == 0
    assert stored(huks, "k")["algorithm"] == "HUKS_ALG_ECC"


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_encrypted_keys(huks: Huks, write: Write, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """A passphrase comes from a file or the environment; without or with a wrong one the hint helps."""
    monkeypatch.setenv("SECRET", "Grüße, Welt")
    encrypted = pkcs8(sample(ECC, 256).pem, "-outform", form, "-passout", "env:SECRET")
    key = write("key", encrypted)
    done = huks("keys", "import", "k", key)
    assert (done.code, "--passphrase-file" in done.err) == (1, True)
    wrong = write("wrong", b"Welt\n")
    done = huks("keys", "import", "k", key, "--passphrase-file", wrong)
    assert (done.code, "passphrase" in done.err, "Welt" in done.err) == (1, True, False)
    right = write("right", "Grüße, Welt\r\nand more\n".encode())
    assert huks("keys", "import", "file", key, "--passphrase-file", right).code == 0
    assert huks("keys", "import", "environment", key, "--passphrase-env", "SECRET").code == 0
    for alias in ("file", "environment"):
        assert huks("keys", "export", alias, "--form", "huks").out == sample(ECC, 256).exported


def test_a_passphrase_is_the_first_line_of_a_file_of_any_length(
    huks: Huks, write: Write, tmp_path: Path
) -> None:
    """No more than that line is read, and no device without end."""
    key = write("key", pkcs8(sample(ECC, 256).pem, "-passout", "pass:secret"))
    right = tmp_path / "right"
    with right.open("wb") as file:
        file.write(b"secret\n")
        file.truncate(1 << 40)
    assert huks("keys", "import", "k", key, "--passphrase-file", str(right)).code == 0
    done = huks("keys", "import", "l", key, "--passphrase-file", "/dev/zero")
    assert (done.code, "longer than any passphrase" in done.err) == (1, True)


def test_where_passphrases_cannot_come_from(huks: Huks, write: Write) -> None:
    """Two sources, a variable that is not set, and one standard input for two are wrong usage."""
    path = write("key", sample(ECC, 256).pem)
    for options in (
        (path, "--passphrase-env", "HUKS_TEST_NOT_SET"),
        (path, "--passphrase-env", "PATH", "--passphrase-file", path),
        ("-", "--passphrase-file", "-"),
        (path, "--passphrase", "text"),
    ):
        done = huks("keys", "import", "k", *options)
        assert (done.code, done.err.startswith("error: ")) == (2, True), done.err


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (bytes(MAX_KEY_FILE + 1), "longer than any key"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "ssh-keygen"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "openssl x509"),
        (b'{"keys": []}', "kty"),
        (header_form(ECC, 256, {"x": b"1", "y": b"2", "z": b"3"}), "401"),
    ],
    ids=["empty", "long", "openssh", "certificate", "key-set", "no-point"],
)
def test_files_that_hold_no_key(huks: Huks, write: Write, data: bytes, told: str) -> None:
    """Each is refused in one line with a way out, and nothing is stored."""
    done = huks("keys", "import", "k", write("key", data))
    assert (done.code, done.out) == (1, b"")
    assert done.err.startswith("error: ")
    assert told in done.err
    assert huks("keys", "list").out == b""


def test_a_damaged_key_gives_an_error_at_every_length(write: Write) -> None:
    """A key that is cut off is never recognised as a whole one in DER, and never breaks the command."""
    der = pkcs8(sample(ECC, 256).pem)
    assert recognise(der) == "pkcs8"
    assert {recognise(der[:length]) for length in range(1, len(der))} == {None}
    assert recognise(sample(ECC, 256).spki) == "spki"
    encrypted = pkcs8(sample(ECC, 256).pem, "-passout", "pass:long enough")
    assert recognise(encrypted) == "pkcs8"


# --- convert ----------------------------------------------------------------------------------


@every_key
def test_round_trips_through_every_form(
    huks: Huks, write: Write, tmp_path: Path, algorithm: int, size: int
) -> None:
    """OpenSSL's key through the header form, PKCS#8 and PEM is the key that left."""
    pair = sample(algorithm, size)
    path, target = write("key.pem", pair.pem), tmp_path / "target"
    for form in ("layout", "pkcs8", "pem"):
        done = huks("keys", "convert", path, "--to", form, "--output", target, "--force")
        skip_without_sm2(done, algorithm)
        assert (done.code, done.out, done.err) == (0, b"", "")
        path = write(f"key.{form}", target.read_bytes())
    # DH: the header form has no group, so what comes back names the standard one with its order
    if algorithm != DH:
        assert openssl("pkey", "-pubout", "-outform", "DER", "-in", str(path)) == pair.spki
    numbers = openssl("pkey", "-text", "-noout", "-in", str(path)).replace(b"\n    ", b"").replace(b":", b"")
    for name, value in pair.fields.items():
        assert name == "e" or value.lstrip(b"\0").hex().encode() in numbers


@every_key
def test_the_header_form_is_the_documented_one(huks: Huks, write: Write, algorithm: int, size: int) -> None:
    """What convert writes for HUKS has, number by number, the fields that OpenSSL names."""
    pair = sample(algorithm, size)
    done = huks("keys", "convert", write("key.pem", pair.pem), "--to", "layout", "-o", "-")
    skip_without_sm2(done, algorithm)
    written = done.out
    back = huks("keys", "convert", write("layout", pair.blob()), "--to", "layout", "-o", "-").out
    assert written == back
    assert written[:8] == pair.blob()[:8]


@pytest.mark.parametrize(("algorithm", "size"), [(RSA, 2048), (ECC, 521), (ED25519, 256), (X25519, 256)])
def test_jwk_there_and_back(huks: Huks, write: Write, algorithm: int, size: int) -> None:
    """A JWK of a pair has its secret member; the public one has not, and both come back."""
    pair = sample(algorithm, size)
    pem = write("key.pem", pair.pem)
    private = huks("keys", "convert", pem, "--to", "jwk").out
    public = huks("keys", "convert", pem, "--to", "jwk", "--public").out
    assert "d" in json.loads(private)
    assert "d" not in json.loads(public)
    back = huks("keys", "convert", write("jwk", private), "--to", "pkcs8", "-o", "-").out
    assert openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", stdin=back) == pair.spki
    assert huks("keys", "convert", write("jwk", public), "--to", "spki").out == pair.spki


def test_bare_bytes(huks: Huks, write: Write) -> None:
    """Halves of a 25519 key, and a symmetric key of a JWK, as bare bytes."""
    pair = sample(X25519, 256)
    pem = write("key.pem", pair.pem)
    assert huks("keys", "convert", pem, "--to", "raw").out == pair.fields["private"]
    assert huks("keys", "convert", pem, "--to", "raw", "--public").out == pair.fields["public"]
    jwk = write("jwk", b'{"kty": "oct", "k": "AAECAwQFBgcICQoLDA0ODw"}')
    assert huks("keys", "convert", jwk, "--to", "raw").out == bytes(range(16))
    raw = write("raw", bytes(range(16)))
    out = huks("keys", "convert", raw, "--algorithm", "aes", "--to", "jwk").out
    assert json.loads(out) == {"kty": "oct", "k": "AAECAwQFBgcICQoLDA0ODw"}


def test_modes_of_the_files(huks: Huks, write: Write, tmp_path: Path) -> None:
    """A private form is its owner's alone, even where it replaces an open file; a public one is not."""
    pem, target = write("key.pem", sample(ECC, 256).pem), tmp_path / "target"
    target.touch()
    target.chmod(0o644)
    for form in ("pem", "jwk", "pkcs8", "layout"):
        assert huks("keys", "convert", pem, "--to", form, "-o", target, "--force").code == 0
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        target.chmod(0o644)
    for form, *public in (("pem", "--public"), ("jwk", "--public"), ("spki",)):
        assert huks("keys", "convert", pem, "--to", form, *public, "-o", target, "--force").code == 0
        assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_forms_that_a_key_does_not_have(huks: Huks, write: Write, tmp_path: Path) -> None:
    """A form without this key, and halves that are absent, are refused; no file appears."""
    public, target = write("public", sample(ECC, 256).spki), tmp_path / "target"
    pair, aes = write("pair", sample(ECC, 256).pem), write("aes", bytes(16))
    for words, code in (
        ([public, "--to", "pkcs8"], 1),
        ([public, "--to", "layout"], 1),
        ([pair, "--to", "raw"], 1),
        ([pair, "--to", "layout", "--public"], 2),
        ([aes, "--to", "pem", "-a", "aes"], 1),
        ([aes, "--to", "raw", "-a", "aes", "--public"], 2),
        ([pair, "--to", "der"], 2),
        ([pair], 2),
    ):
        done = huks("keys", "convert", *words, "-o", target)
        assert (done.code, done.err.startswith("error: ")) == (code, True), done.err
        assert not target.exists()


def test_a_secret_is_not_written_to_a_terminal(home: Path, write: Write) -> None:
    """A private key on a terminal needs `-o -`; a public one in text is shown."""
    pem = write("key.pem", sample(ECC, 256).pem)

    def on_terminal(*words: object) -> tuple[int, bytes]:
        leader, follower = os.openpty()
        try:
            done = subprocess.run(
                command("keys", "convert", pem, *words), stdout=follower, stderr=subprocess.PIPE, timeout=120
            )
        finally:
            os.close(follower)
            shown = shown_on(leader)
        return done.returncode, shown

    assert on_terminal("--to", "pem") == (2, b"")
    assert b"PRIVATE KEY" in on_terminal("--to", "pem", "-o", "-")[1]
    assert b"PUBLIC KEY" in on_terminal("--to", "pem", "--public")[1]


# --- describe ---------------------------------------------------------------------------------


@every_key
def test_describe_says_what_it_is_and_no_secret(huks: Huks, write: Write, algorithm: int, size: int) -> None:
    """Algorithm, size, halves and fingerprint in the open; no field of the private half in any spelling."""
    pair = sample(algorithm, size)
    done = huks("keys", "describe", write("key", pair.blob()))
    skip_without_sm2(done, algorithm)
    assert done.code == 0
    text = done.out.decode()
    for line in ("form: header form", f"size: {size}", "halves: public, private"):
        assert f"{line}\n" in text
    assert f"algorithm: {WORDS[algorithm].upper()}\n" in text
    for name in {"d", "z", "private"} & set(pair.fields):
        assert pair.fields[name].hex() not in text.lower()
        assert pair.fields[name] not in done.out


def test_describe_gives_one_fingerprint_for_every_form(huks: Huks, write: Write) -> None:
    """A key has the same fingerprint in each form, pair or public half."""
    pair = sample(ECC, 256)
    texts = [
        huks("keys", "describe", write("key", data)).out.decode()
        for data in (pair.pem, pair.spki, pair.blob(), pkcs8(pair.pem))
    ]
    found = {line for text in texts for line in text.splitlines() if line.startswith("sha-256")}
    assert len(found) == 1
    assert openssl("dgst", "-sha256", "-r", stdin=pair.spki)[:64].decode() in found.pop()


def test_describe_of_what_is_no_key(huks_process: Huks) -> None:
    """Any bytes have a description, and it ends with code 0."""
    done = huks_process("keys", "describe", "-", stdin=b"\x01" * 24)
    assert done.code == 0
    assert b"192 bits" in done.out


# --- wrap and import-wrapped ------------------------------------------------------------------


@wrapping_kinds
@pytest.mark.parametrize(("algorithm", "size"), [(RSA, 2048), (ECC, 256), (ED25519, 256)])
def test_a_pair_of_openssl_reaches_a_device(
    huks: Huks, write: Write, tmp_path: Path, kind: str, algorithm: int, size: int
) -> None:
    """What wrap packs, and says on standard error, imports there as the pair that left."""
    made(huks, kind)
    pair = sample(algorithm, size)
    public = write("device.pem", huks("keys", "export", "wrapping").out)
    wrapped = tmp_path / "wrapped"
    done = huks("keys", "wrap", write("key.pem", pair.pem), "--for", public, "-o", wrapped)
    assert (done.code, done.out) == (0, b""), done.err
    said = done.err.splitlines()
    assert f"  key_size: {size}" in said
    assert "  import_key_type: HUKS_KEY_TYPE_KEY_PAIR" in said
    assert pair.blob()[-32:].hex() not in done.err
    advice = said[-1].removeprefix("or: huks ")
    half = write("half.pem", openssl("pkey", "-pubout", stdin=pair.pem))
    names = {
        "ALIAS": "new",
        "FILE": str(wrapped),
        "WRAPPING_ALIAS": "wrapping",
        "PUBLIC_KEY_FILE": str(half),
    }
    done = huks(*(names.get(word, word) for word in advice.split()))
    assert done.code == 0, done.err
    assert huks("keys", "export", "new", "--form", "huks").out == pair.exported
    assert stored(huks, "new")["purpose"] == "sign and verify"


@wrapping_kinds
def test_a_symmetric_key_reaches_a_device(
    huks: Huks, write: Write, document: Path, tmp_path: Path, kind: str
) -> None:
    """A raw AES key, wrapped for a device, there encrypts what its maker can open."""
    made(huks, kind)
    secret, wrapped, sealed = os.urandom(32), tmp_path / "wrapped", tmp_path / "sealed"
    public = write("device", huks("keys", "export", "wrapping", "--form", "huks").out)
    done = huks("keys", "wrap", write("key", secret), "-a", "aes", "--for", public, "-o", wrapped)
    assert done.code == 0, done.err
    assert secret not in wrapped.read_bytes()
    assert secret.hex() not in done.err
    options = ["--with", "wrapping", "--algorithm", "aes", "--size", 256]
    assert huks("keys", "import-wrapped", "new", wrapped, *options).code == 0
    assert huks("encrypt", "--format", "1", "new", document, "-o", sealed).code == 0
    blob = sealed.read_bytes()
    assert AESGCM(secret).decrypt(blob[8:20], blob[20:], blob[:8]) == document.read_bytes()


def test_wrapping_through_pipes(huks: Huks, huks_process: Huks, write: Write) -> None:
    """The device's key comes in at a pipe and the wrapped key leaves at one; no key is replaced unasked."""
    made(huks, "unwrap-x25519")
    public = huks("keys", "export", "wrapping").out
    wrapped = huks_process("keys", "wrap", write("key", bytes(16)), "-a", "sm4", "--for", "-", stdin=public)
    assert wrapped.code == 0, wrapped.err
    options = ["--with", "wrapping", "--algorithm", "sm4"]
    done = huks_process("keys", "import-wrapped", "new", "-", *options, stdin=wrapped.out)
    assert done.code == 0, done.err
    again = huks("keys", "import-wrapped", "new", write("wrapped", wrapped.out), *options)
    assert (again.code, "--replace" in again.err) == (1, True)


def test_who_keys_cannot_be_wrapped_for(huks: Huks, write: Write) -> None:
    """Only X25519, P-256 and SM2 keys are device keys; a public key is not wrapped at all."""
    key, pair = write("key", bytes(16)), sample(ECC, 256)
    edwards = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    for name, data in (
        ("ed25519", openssl("pkey", "-pubout", stdin=sample(ED25519, 256).pem)),
        ("p384", sample(ECC, 384).spki),
        ("rsa", sample(RSA, 2048).spki),
        ("short", edwards[:31]),
    ):
        done = huks("keys", "wrap", key, "-a", "aes", "--for", write(name, data), "-o", "-")
        assert (done.code in (1, 2), done.out) == (True, b""), name
    done = huks("keys", "wrap", write("public", pair.spki), "--for", write("p256", pair.spki), "-o", "-")
    assert (done.code, done.out, "public key only" in done.err) == (1, b"", True)
    done = huks("keys", "wrap", "-", "--for", "-", "-o", "-")
    assert done.code == 2


def test_wrapped_keys_that_do_not_open(huks: Huks, write: Write, tmp_path: Path) -> None:
    """Another wrapping key, a changed byte, a key of another kind and a missing size are told apart."""
    made(huks, "unwrap-x25519")
    assert huks("keys", "generate", "other", "--kind", "unwrap-x25519").code == 0
    assert huks("keys", "generate", "cipher").code == 0
    stranger = write("stranger", x25519.X25519PrivateKey.generate().public_key().public_bytes_raw())
    key, wrapped = write("key", bytes(16)), tmp_path / "wrapped"
    assert huks("keys", "wrap", key, "-a", "aes", "--for", stranger, "-o", wrapped).code == 0
    options = ["--algorithm", "aes", "--size", 128]
    for alias, code, told in (
        ("wrapping", 1, "12000006"),
        ("cipher", 1, "--kind unwrap-x25519"),
        ("nobody", 1, "12000011"),
    ):
        done = huks("keys", "import-wrapped", "new", wrapped, "--with", alias, *options)
        assert (done.code, told in done.err) == (code, True), done.err
    done = huks("keys", "import-wrapped", "new", wrapped, "--with", "wrapping", "--algorithm", "aes")
    assert (done.code, "128, 192, 256" in done.err) == (2, True)
    assert b"new" not in huks("keys", "list").out


def test_every_algorithm_has_a_word() -> None:
    """The command's words cover every algorithm that keys have."""
    from huks_async.cli.words.key_use import ALGORITHM_NAMES
    from huks_async.crypto.rules.matrix import ALGORITHMS

    assert set(ALGORITHM_NAMES.values()) == set(ALGORITHMS)
    assert ALGORITHM_NAMES["ml-dsa"] == HuksKeyAlg.HUKS_ALG_ML_DSA
