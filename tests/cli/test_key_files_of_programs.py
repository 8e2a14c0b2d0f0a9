"""`huks keys import`, `convert` and `describe` with files of other programs: what is said, and where.

Which files are read is for `tests/keys/forms`.
"""

from pathlib import Path

import pytest

from tests.cli.command_line import Huks

FILES = Path(__file__).parents[1] / "keys" / "forms" / "files"
SECRET = ("--passphrase-env", "SECRET")

TAKEN = {
    "java/p256.p12": ("ecc 256", True),
    "java/bc.rsa2048.p12": ("rsa 2048", True),
    "java/ed25519.certificate.der": ("ed25519 256", False),
    "java/bc.x25519.version2.der": ("x25519 256", True),
    "java/p384.pkcs8.base64": ("ecc 384", True),
    "openssh/p521.encrypted.openssh": ("ecc 521", True),
    "openssh/ed25519.authorized_keys": ("ed25519 256", False),
    "openssh/rsa2048.old.encrypted.pem": ("rsa 2048", True),
    "gnutls/p256.private.pem": ("ecc 256", True),
    "node/set.jwks": ("ecc 256", True),
    "node/rsa2048.pkcs1.public.pem": ("rsa 2048", False),
}
REFUSED = {
    "java/rsa2048.jks": ("Java keystore (JKS)", "keytool -importkeystore"),
    "java/two.p12": ("holds 2 keys", "keytool -importkeystore"),
    "java/secret.p12": ("secret key", "getEncoded"),
    "java/default.dh.pkcs8.der": ("MODP group 14", "ffdhe2048"),
    "java/ed448.pkcs8.der": ("Ed448 private key", "Ed25519"),
    "node/secp256k1.public.jwk": ("secp256k1", "P-256"),
    "others/putty.ppk": ("PuTTY", "puttygen"),
    "others/private.gpg": ("OpenPGP", "new one"),
}


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "secret")


@pytest.mark.parametrize("name", TAKEN)
def test_files_are_imported_and_converted(huks: Huks, tmp_path: Path, name: str) -> None:
    """The key is there afterwards, and a copy in PEM imports, too; an unused passphrase is noted."""
    if name.endswith("encrypted.openssh"):
        pytest.importorskip("bcrypt")
    words, private = TAKEN[name]
    done = huks("keys", "import", "k", FILES / name, *SECRET)
    assert (done.code, f"({words}" in done.err) == (0, True), done.err
    needs_it = ".p12" in name or "encrypted" in name
    assert ("passphrase was not used" in done.err) != needs_it
    copy = tmp_path / "copy.pem"
    assert huks("keys", "convert", FILES / name, "--to", "pem", "-o", copy, *SECRET).code == 0
    assert (b"PRIVATE KEY" in copy.read_bytes()) == private
    assert huks("keys", "import", "copy", copy).code == 0


@pytest.mark.parametrize("name", REFUSED)
def test_files_are_refused_with_a_hint(huks: Huks, name: str) -> None:
    """The error names the file's kind, the line below it the way out; `describe` says the same."""
    what, way_out = REFUSED[name]
    done = huks("keys", "import", "k", FILES / name, *SECRET)
    assert done.code == 1
    error, hint = done.err.splitlines()[:2]
    assert error.startswith("error: ")
    assert what in error
    assert hint.startswith("hint: ")
    assert way_out in hint
    told = huks("keys", "describe", FILES / name)
    assert told.code == 0
    assert told.out


@pytest.mark.parametrize("name", ["java/p256.p12", "openssh/rsa2048.old.encrypted.pem"])
def test_encrypted_files_ask_for_their_passphrase(
    huks: Huks, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one the hint tells the option; a wrong one is called so."""
    done = huks("keys", "import", "k", FILES / name)
    assert (done.code, "--passphrase-file" in done.err) == (1, True)
    monkeypatch.setenv("SECRET", "wrong")
    done = huks("keys", "import", "k", FILES / name, *SECRET)
    assert (done.code, "passphrase is wrong" in done.err) == (1, True)


def test_raw_points_of_browsers(huks: Huks) -> None:
    """What WebCrypto exports as `raw` is imported with --algorithm."""
    for name, bits in (("p256", 256), ("p384", 384), ("p521", 521)):
        done = huks("keys", "import", name, FILES / "node" / f"webcrypto.{name}.raw", "-a", "ecc")
        assert (done.code, f"ecc {bits} public" in done.err) == (0, True), done.err
