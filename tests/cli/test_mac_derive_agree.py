"""`huks mac`, `derive` and `agree` against OpenSSL's command line."""

import hashlib
import hmac
import os
import pty
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.command_line import Huks, command, shown_on
from tests.skips import need

pytestmark = pytest.mark.filterwarnings(
    "ignore::huks_async.HuksLegacyWarning", "ignore::huks_async.HuksCompatibilityWarning"
)

SECRET = bytes(range(32))


def _openssl(*words: object, stdin: bytes = b"") -> bytes:
    need("openssl")
    done = subprocess.run(
        ["openssl", *map(str, words)], input=stdin, capture_output=True, timeout=120, check=True
    )
    return done.stdout


@pytest.fixture
def imported(huks: Huks, tmp_path: Path) -> None:
    """Keys whose bytes the tests know."""
    raw = tmp_path / "secret"
    raw.write_bytes(SECRET)
    for alias, algorithm, *more in (
        ("hmac", "hmac"),
        ("sm3", "sm3"),
        ("aes-mac", "aes", "--purpose", "mac"),
        ("base", "aes", "--purpose", "derive"),
        ("base512", "aes", "--purpose", "derive", "--digest", "sha512"),
    ):
        done = huks("keys", "import", alias, raw, "--algorithm", algorithm, *more)
        assert done.code == 0, done.err
    (tmp_path / "3des").write_bytes(SECRET[:16])
    assert huks("keys", "import", "cmac", tmp_path / "3des", "--algorithm", "cmac").code == 0


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize(
    ("alias", "words"),
    [
        ("hmac", ("-digest", "SHA256", "-macopt", f"hexkey:{SECRET.hex()}", "HMAC")),
        ("sm3", ("-digest", "SM3", "-macopt", f"hexkey:{SECRET.hex()}", "HMAC")),
        ("aes-mac", ("-digest", "SHA256", "-macopt", f"hexkey:{SECRET.hex()}", "HMAC")),
        ("cmac", ("-cipher", "DES-EDE-CBC", "-macopt", f"hexkey:{SECRET[:16].hex()}", "CMAC")),
    ],
)
@pytest.mark.parametrize("where", [("mac",), ("keys", "mac")])
def test_mac(
    huks: Huks, tmp_path: Path, document: Path, alias: str, words: tuple[str, ...], where: tuple[str, ...]
) -> None:
    """The code is OpenSSL's; it checks, and no other does."""
    expected = _openssl("mac", "-binary", "-in", document, *words)
    code = tmp_path / "code"
    assert huks(*where, alias, document, "-o", code).code == 0
    assert code.read_bytes() == expected
    assert huks(*where, alias, document, "--hex").out == expected.hex().encode() + b"\n"
    done = huks(*where, alias, document, "--check", code)
    assert (done.code, done.out, done.err) == (0, b"", "the code matches\n")
    for wrong in (expected[:-1], bytes([expected[0] ^ 1]) + expected[1:]):
        code.write_bytes(wrong)
        done = huks(*where, alias, document, "--check", code)
        assert (done.code, done.out) == (1, b"")
        assert "does not match" in done.err


@pytest.mark.usefixtures("imported")
def test_a_digest_that_would_do_nothing(huks: Huks, document: Path) -> None:
    """CMAC has none, so one that is named is wrong usage."""
    done = huks("mac", "cmac", document, "--digest", "sha256")
    assert (done.code, done.out) == (2, b"")
    assert "cmac has no --digest" in done.err


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("length", [1, 32, 1000])
def test_derive_by_hkdf(huks: Huks, tmp_path: Path, length: int) -> None:
    """OpenSSL derives the same; the file is its owner's alone."""
    salt, target = os.urandom(16), tmp_path / "derived"
    done = huks("derive", "base", "-n", length, "--salt", salt.hex(), "--info", "für Dateien", "-o", target)
    assert (done.code, done.out, done.err) == (0, b"", "")
    options = ["digest:SHA256", f"hexkey:{SECRET.hex()}", f"hexsalt:{salt.hex()}"]
    options.append(f"hexinfo:{'für Dateien'.encode().hex()}")
    words = [word for option in options for word in ("-kdfopt", option)]
    assert target.read_bytes() == _openssl("kdf", "-binary", "-keylen", length, *words, "HKDF")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    by_hex = huks(
        "keys",
        "derive",
        "base",
        "-n",
        length,
        "--salt",
        salt.hex(),
        "--info-hex",
        "für Dateien".encode().hex(),
    )
    assert by_hex.out == target.read_bytes()


@pytest.mark.usefixtures("imported")
def test_derive_by_words_that_are_no_text(huks: Huks) -> None:
    """The words of a command are bytes, in whatever encoding: they are taken as they are."""
    given = b"\xff f\xfcr"
    by_words = huks("derive", "base", "-n", 32, "--info", os.fsdecode(given))
    assert (by_words.code, by_words.out) == (
        0,
        huks("derive", "base", "-n", 32, "--info-hex", given.hex()).out,
    )


@pytest.mark.usefixtures("imported")
def test_derive_by_words_under_another_encoding(huks: Huks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is UTF-8 whatever encoding the system's names have, so that all systems derive the same."""
    monkeypatch.setattr(os, "fsencode", lambda name: os.fspath(name).encode("latin-1"))
    by_words = huks("derive", "base", "-n", 32, "--info", "é")
    assert (by_words.code, by_words.out) == (
        0,
        huks("derive", "base", "-n", 32, "--info-hex", "é".encode().hex()).out,
    )


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize(("alias", "digest"), [("base", "sha256"), ("base512", "sha512")])
def test_derive_by_pbkdf2(huks: Huks, alias: str, digest: str) -> None:
    """The standard library derives the same."""
    salt = os.urandom(16)
    done = huks("derive", alias, "--by", "pbkdf2", "--salt", salt.hex(), "--iterations", 2000, "-n", 40)
    assert done.out == hashlib.pbkdf2_hmac(digest, SECRET, salt, 2000, 40)


FORMS = {"pem": ("-outform", "PEM"), "der": ("-outform", "DER")}


_AGREEMENTS = [
    (("-a", "x25519"), ("-algorithm", "X25519"), ("pem", "der", "jwk", "raw")),
    (
        ("-a", "ecc", "-s", "256", "-p", "agree"),
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
        ("pem", "der", "jwk"),
    ),
    (
        ("-a", "ecc", "-s", "521", "-p", "agree"),
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"),
        ("pem", "der", "jwk"),
    ),
    (("-a", "dh", "-s", "2048"), ("-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"), ("pem", "der")),
]
"""Our key, the peer's, and the forms that such public keys have."""


@pytest.mark.parametrize(
    ("made", "peer", "form"),
    [
        pytest.param(made, peer, form, id=f"{'-'.join(made[1:4:2])}-{form}")
        for made, peer, forms in _AGREEMENTS
        for form in forms
    ],
)
def test_agree(huks: Huks, tmp_path: Path, made: tuple[str, ...], peer: tuple[str, ...], form: str) -> None:
    """Both sides hold the same secret, in whatever form the peer's public key came."""
    private, public = tmp_path / "peer.pem", tmp_path / "peer.public"
    _openssl("genpkey", *peer, "-out", private)
    _openssl("pkey", "-in", private, "-pubout", *FORMS.get(form, ()), "-out", public)
    if form in ("jwk", "raw"):
        done = huks("keys", "convert", public, "--to", form, "--public", "-o", "-")
        assert done.code == 0, done.err
        public.write_bytes(done.out)
    assert huks("keys", "generate", "k", *made).code == 0
    assert huks("keys", "export", "k", "-o", tmp_path / "ours.pem").code == 0
    done = huks("agree", "k", public, "-o", tmp_path / "secret")
    assert (done.code, done.out, done.err) == (0, b"", "")
    secret = (tmp_path / "secret").read_bytes()
    theirs = _openssl("pkeyutl", "-derive", "-inkey", private, "-peerkey", tmp_path / "ours.pem")
    # OpenSSL's command leaves out leading zeros of a Diffie-Hellman secret
    assert hmac.compare_digest(secret, theirs.rjust(len(secret), b"\0"))
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert huks("keys", "agree", "k", public).out == secret


def test_agree_with_another_kind(huks: Huks, tmp_path: Path) -> None:
    """A peer's key of another algorithm, or a secret one alone, is refused by name."""
    huks("keys", "generate", "k", "-a", "x25519")
    huks("keys", "generate", "other", "--kind", "ecdsa-p256")
    huks("keys", "export", "other", "-o", tmp_path / "other.pem")
    done = huks("agree", "k", tmp_path / "other.pem")
    assert (done.code, done.out) == (1, b"")
    assert "ecc, not of x25519" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("derive", "base", "--salt", "no hex"), "--salt takes hexadecimal digits"),
        (("derive", "base", "--info", "a", "--info-hex", "00"), "exclude each other"),
        (("derive", "base", "--by", "pbkdf2", "--info", "a"), "PBKDF2 has no --info"),
        (("derive", "base", "--by", "pbkdf2", "--info", "", "--iterations", "1000"), "PBKDF2 has no --info"),
        (("derive", "base", "--by", "pbkdf2"), "PBKDF2 needs --iterations"),
        (("derive", "base", "--iterations", "5"), "HKDF has no --iterations"),
        (("mac", "hmac", "-", "--check", "-"), "one of the files only"),
        (("mac", "hmac", "-", "--check", "/dev/stdin"), "standard input can be one of the files only"),
        (("mac", "hmac", "/dev/fd/7", "--check", "/dev/fd/7"), "/dev/fd/7 can be one of the files only"),
        (("mac", "hmac", "-", "--check", "code", "-o", "file"), "--check writes no code"),
        (("mac", "hmac", "-", "--check", "code", "--hex"), "--check writes no code"),
        (("mac", "hmac", "/dev/null", "--digest", "sha3", "--hex"), "there is no digest 'sha3'"),
    ],
)
@pytest.mark.usefixtures("imported")
def test_wrong_words(huks: Huks, words: tuple[str, ...], message: str) -> None:
    done = huks(*words)
    assert (done.code, done.out) == (2, b"")
    assert message in done.err


def test_a_key_for_something_else(huks: Huks, document: Path) -> None:
    """What the key is for is said; a key that no session serves is named."""
    huks("keys", "generate", "k")
    for words in (("mac", "k", document, "--hex"), ("derive", "k"), ("agree", "k", document)):
        done = huks(*words)
        assert (done.code, done.out) == (1, b"")
        assert "is made to encrypt and decrypt, not to" in done.err
    huks("keys", "generate", "e", "-a", "ed25519", "-p", "agree")
    done = huks("agree", "e", document)
    assert (done.code, "no session serves keys of ed25519" in done.err) == (1, True)


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("words", [("derive", "base"), ("mac", "hmac", "/dev/null")])
def test_secrets_and_a_terminal(home: Path, words: tuple[str, ...]) -> None:
    """Nothing raw is shown on a terminal unless - was named."""

    def on_terminal(*more: str) -> tuple[int, bytes]:
        parent, child = pty.openpty()
        try:
            done = subprocess.run(
                command(*words, *more), stdout=child, stderr=subprocess.PIPE, timeout=120, check=False
            )
        finally:
            os.close(child)
            shown = shown_on(parent)
        return done.returncode, shown

    assert on_terminal() == (2, b"")
    code, shown = on_terminal("-o", "-")
    assert code == 0
    assert len(shown) >= 32
