"""`huks keys attest` and `huks verify-attestation`, seen from outside."""

import subprocess
from pathlib import Path

import pytest

from tests.cli.command_line import Huks
from tests.skips import need

CHALLENGE = "00112233445566778899aabbccddeeff"


@pytest.fixture
def attested(huks: Huks, tmp_path: Path) -> tuple[Path, Path]:
    """The files of a chain and of its root."""
    chain, root = tmp_path / "chain.pem", tmp_path / "root.pem"
    assert huks("keys", "generate", "k", "--kind", "ecdsa-p256").code == 0
    done = huks("keys", "attest", "k", "-c", CHALLENGE, "--key-id", "till 7", "-o", chain)
    assert done.code == 0, done.err
    assert huks("keys", "attestation-root", "-o", root).code == 0
    return chain, root


def test_what_is_attested_verifies(huks: Huks, attested: tuple[Path, Path], tmp_path: Path) -> None:
    """The report names the key, its origin and that software vouches; OpenSSL accepts the same files."""
    chain, root = attested
    done = huks("verify-attestation", chain, "-c", CHALLENGE, "-r", root)
    assert done.code == 0, done.err
    public = huks("keys", "export", "k", "--form", "der", "-o", "-").out
    told = done.out.decode()
    for line in (
        "vouched for by: software",
        "key id: till 7",
        "origin: generate key",
        f"key: {public.hex()}",
    ):
        assert f"{line}\n" in told
    need("openssl")
    command = ["openssl", "verify", "-CAfile", str(root), "-untrusted", str(chain), str(chain)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_roots_from_standard_input(huks_process: Huks, attested: tuple[Path, Path]) -> None:
    """`-` is standard input, beside another file of roots."""
    chain, root = attested
    for roots in (("-r", "-"), ("-r", chain, "-r", "-")):
        done = huks_process("verify-attestation", chain, "-c", CHALLENGE, *roots, stdin=root.read_bytes())
        assert done.code == 0, done.err


@pytest.mark.parametrize(("form", "count"), [("named", 4), ("anonymous", 3), ("offline", 4)])
def test_forms(huks: Huks, attested: tuple[Path, Path], form: str, count: int) -> None:
    """Each form has its number of certificates, on standard output, and verifies."""
    chain, root = attested
    done = huks("keys", "attest", "k", "-c", CHALLENGE, "--form", form)
    assert done.out.count(b"BEGIN CERTIFICATE") == count
    chain.write_bytes(done.out)
    assert huks("verify-attestation", chain, "-c", CHALLENGE, "-r", root).code == 0


def test_what_does_not_verify(huks: Huks, attested: tuple[Path, Path], tmp_path: Path) -> None:
    """Another challenge, another store's root, a chain out of order: code 1 and the reason, no report."""
    chain, root = attested
    other = tmp_path / "other.pem"
    assert (
        huks("keys", "attestation-root", "-o", other, "--store", f"sqlite:///{tmp_path / 'other.db'}").code
        == 0
    )
    blocks = chain.read_text().split("-----BEGIN")[1:]
    reversed_chain = tmp_path / "reversed.pem"
    reversed_chain.write_text("".join(f"-----BEGIN{block}" for block in reversed(blocks)))
    for words, reason in (
        ((chain, "-c", CHALLENGE + "00", "-r", root), "WRONG_CHALLENGE"),
        ((chain, "-c", CHALLENGE, "-r", other), "UNTRUSTED_ROOT"),
        ((reversed_chain, "-c", CHALLENGE, "-r", root), "WRONG_ORDER"),
    ):
        done = huks("verify-attestation", *words)
        assert (done.code, done.out) == (1, b"")
        assert f"reason: {reason}" in done.err


def test_wrong_usage(huks: Huks, attested: tuple[Path, Path], document: Path) -> None:
    """A challenge that is no number and no root are wrong usage; a file without certificates is not."""
    chain, root = attested
    for words in (
        (chain, "-c", "xyz", "-r", root),
        (chain, "-c", "", "-r", root),
        (chain, "-c", CHALLENGE),
    ):
        assert huks("verify-attestation", *words).code == 2
    for words in ((document, "-c", CHALLENGE, "-r", root), (chain, "-c", CHALLENGE, "-r", document)):
        done = huks("verify-attestation", *words)
        assert (done.code, "has no certificates in PEM" in done.err) == (1, True)
    for word in (["--root=-"], ["--root", "-"], ["-r", "-"]):
        done = huks("verify-attestation", "-", "-c", CHALLENGE, *word)
        assert done.code == 2
        assert "standard input can be one of the files only" in done.err
    done = huks("verify-attestation", chain, "-r", root, "-r", "-x", "-c", CHALLENGE)
    assert (done.code, "there is no option -x" in done.err) == (2, True)
    assert huks("keys", "attest", "k", "-c", "xyz").code == 2
    done = huks("keys", "attest", "nobody", "-c", CHALLENGE)
    assert done.code == 1
    assert "12000011" in done.err
