"""`--signature-form` and `--sm2-form`: what other programs write is read, and what they read is written."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from Cryptodome.Hash import SHA256, SHA384, SHA512
from Cryptodome.PublicKey import DSA, ECC
from Cryptodome.Signature import DSS
from gmssl.sm2 import CryptSM2

from tests.cli.command_line import Huks

PAIR = ("--purpose", "sign", "--purpose", "verify")


@pytest.mark.parametrize(
    ("made", "length", "digest"),
    [
        (("--kind", "ecdsa-p256"), 64, SHA256),
        (("--kind", "ecdsa-p384"), 96, SHA384),
        (("--kind", "ecdsa-p521"), 132, SHA512),
        (("--algorithm", "ecc", "--size", "224", *PAIR), 56, SHA256),
        (("--algorithm", "dsa", "--size", "1024", *PAIR), 40, SHA256),
    ],
)
@pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")
def test_raw_signatures(
    huks: Huks, tmp_path: Path, document: Path, made: tuple[str, ...], length: int, digest: object
) -> None:
    """A signature written raw is verified by pycryptodome and by `huks verify`, in both forms."""
    signature, der, public = (tmp_path / name for name in ("raw.sig", "der.sig", "public"))
    assert huks("keys", "generate", "k", *made).code == 0
    assert huks("sign", "k", document, "-o", signature, "--signature-form", "raw").code == 0
    assert signature.stat().st_size == length
    assert huks("verify", "k", document, "-s", signature, "--signature-form", "raw").code == 0
    assert huks("keys", "export", "k", "-o", public).code == 0
    module = DSA if "dsa" in made else ECC
    hashed = digest.new(document.read_bytes())  # type: ignore[attr-defined]
    DSS.new(module.import_key(public.read_bytes()), "fips-186-3", encoding="binary").verify(
        hashed, signature.read_bytes()
    )
    # the forms told apart, each with the way out
    done = huks("verify", "k", document, "-s", signature)
    assert done.code == 1
    assert "--signature-form raw" in done.err
    assert huks("sign", "k", document, "-o", der).code == 0
    assert huks("verify", "k", document, "-s", der).code == 0
    done = huks("verify", "k", document, "-s", der, "--signature-form", "raw")
    assert done.code != 0
    assert "DER already" in done.err


def test_raw_is_for_signatures_of_two_numbers(huks: Huks, tmp_path: Path, document: Path) -> None:
    """Others are refused before anything is signed or written."""
    assert huks("keys", "generate", "k", "--kind", "ed25519").code == 0
    done = huks("sign", "k", document, "-o", tmp_path / "sig", "--signature-form", "raw")
    assert done.code != 0
    assert "one form" in done.err
    assert not (tmp_path / "sig").exists()
    assert huks("sign", "k", document, "--signature-form", "jose").code == 2


@pytest.fixture
def sm2_point(huks: Huks, tmp_path: Path) -> str:
    """An SM2 key `k` that encrypts and decrypts; the hex of its public point, without 04."""
    done = huks("keys", "generate", "k", "--algorithm", "sm2", "--purpose", "encrypt", "--purpose", "decrypt")
    if "12000001" in done.err:
        pytest.skip("no library for SM2 is installed")
    assert done.code == 0, done.err
    assert huks("keys", "export", "k", "-o", tmp_path / "public.pem").code == 0
    lines = (tmp_path / "public.pem").read_text().splitlines()[1:-1]
    return base64.b64decode("".join(lines))[-64:].hex()


@pytest.mark.parametrize(("form", "mode"), [("c1c3c2", 1), ("c1c2c3", 0)])
def test_sm2_of_gmssl(huks: Huks, tmp_path: Path, sm2_point: str, form: str, mode: int) -> None:
    """What gmssl encrypts is decrypted, and the command's own raw output too; the wrong form is refused."""
    sealed, opened = tmp_path / "sealed", tmp_path / "opened"
    peer = CryptSM2("", sm2_point, mode=mode)
    peer.public_key = sm2_point  # it strips a leading 04, with which one x in 256 begins
    sealed.write_bytes(peer.encrypt(b"a secret"))
    assert huks("decrypt", "k", sealed, "--sm2-form", form).out == b"a secret"
    done = huks("decrypt", "k", sealed, "-o", opened)
    assert done.code == 1
    assert f"--sm2-form {form}" in done.err
    assert not opened.exists()
    plain = tmp_path / "plain"
    plain.write_bytes(b"another")
    raw = huks("encrypt", "k", plain, "--sm2-form", form).out
    assert (len(raw), raw[0]) == (97 + 7, 4)
    sealed.write_bytes(raw)
    assert huks("decrypt", "k", sealed, "--sm2-form", form).out == b"another"
    other = "c1c2c3" if form == "c1c3c2" else "c1c3c2"
    assert huks("decrypt", "k", sealed, "--sm2-form", other).code == 1


def test_sm2_of_openssl(huks: Huks, tmp_path: Path, sm2_point: str) -> None:
    """DER is the form without an option, as OpenSSL has it."""
    assert sm2_point
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("OpenSSL's command line is not installed")
    (tmp_path / "plain").write_bytes(b"a secret")
    done = subprocess.run(
        [openssl, "pkeyutl", "-encrypt", "-pubin", "-inkey", "public.pem", "-in", "plain", "-out", "sealed"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"this OpenSSL has no SM2: {done.stderr.decode()[:100]}")
    assert huks("decrypt", "k", tmp_path / "sealed").out == b"a secret"
    made = huks("encrypt", "k", tmp_path / "plain").out
    assert made[0] == 0x30


def test_sm2_form_is_for_sm2(huks: Huks, document: Path) -> None:
    """With another key it is refused; a word that is none as well."""
    assert huks("keys", "generate", "k").code == 0
    done = huks("encrypt", "k", document, "--sm2-form", "der")
    assert done.code != 0
    assert "for SM2 keys" in done.err
    assert huks("encrypt", "k", document, "--sm2-form", "c2").code == 2
