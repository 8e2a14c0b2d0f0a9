"""`huks encrypt`, `decrypt`, `sign` and `verify` on files and pipes, seen from outside."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import huks_async
from huks_async.cli.operations import container
from huks_async.cli.words.parameters import KINDS, options
from huks_async.files.chunks import sealed_size
from huks_async.files.header import CHUNK_BYTES, PREFIX_BYTES, header_length
from tests.cli.command_line import Huks, command
from tests.cli.interruptions import wait_until_it_waits


def _leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def _header_bytes(sealed: Path) -> int:
    with sealed.open("rb") as file:
        return header_length(file.read(PREFIX_BYTES))


async def _import_key(alias: str, key: bytes) -> None:
    async with huks_async.Keystore.open() as keystore:
        await keystore.importKeyItem(alias, options(key, **KINDS["aes-256-gcm"]))


def test_old_layout_is_the_documented_one(home: Path, tmp_path: Path, document: Path) -> None:
    """With --format 1, anybody with the key can read the file by the documented layout of that format alone."""
    key = bytes(range(32))
    asyncio.run(_import_key("known", key))
    target = tmp_path / "sealed"
    words = command("encrypt", "known", document, "-o", target, "--format", "1")
    done = subprocess.run(words, timeout=120, check=False)
    assert done.returncode == 0
    data = target.read_bytes()
    assert data[:8] == b"huksenc\x01"
    assert AESGCM(key).decrypt(data[8:20], data[20:], data[:8]) == document.read_bytes()


@pytest.mark.parametrize(
    "length", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 8 * CHUNK_BYTES, 9_000_001]
)
def test_there_and_back(huks: Huks, tmp_path: Path, length: int) -> None:
    """Files of all lengths around the chunk's and the batch's come back as they were."""
    plain, sealed, opened = (tmp_path / name for name in ("plain", "sealed", "opened"))
    plain.write_bytes(os.urandom(length))
    assert huks("keys", "generate", "k").code == 0
    assert huks("encrypt", "k", plain, "-o", sealed).code == 0
    assert sealed.stat().st_size == sealed_size(_header_bytes(sealed), CHUNK_BYTES, length)
    assert huks("decrypt", "k", sealed, "-o", opened).code == 0
    assert opened.read_bytes() == plain.read_bytes()
    assert huks("decrypt", "k", sealed).out == plain.read_bytes()
    assert _leftovers(tmp_path) == []


def test_two_encryptions_differ(huks: Huks, document: Path) -> None:
    """Each run has a file key of its own."""
    huks("keys", "generate", "k")
    first, second = huks("encrypt", "k", document).out, huks("encrypt", "k", document).out
    assert first[:16] == second[:16]
    assert first[16:32] != second[16:32]
    assert first[-100:] != second[-100:]


def test_pipes_both_ways(huks_process: Huks, document: Path) -> None:
    """Standard input and output carry the data, and nothing else is on standard output."""
    assert huks_process("keys", "generate", "k").out == b""
    sealed = huks_process("encrypt", "k", "-", stdin=document.read_bytes())
    assert sealed.code == 0
    opened = huks_process("decrypt", "k", "-", "-o", "-", stdin=sealed.out)
    assert opened.code == 0
    assert opened.out == document.read_bytes()
    assert sealed.err == opened.err == ""


@pytest.mark.parametrize("where", [0, 7, 8, 9, 11, 15, 16, 40, 60, 100, 150_000, -17, -16, -1])
def test_a_changed_byte_gives_no_plaintext(huks: Huks, tmp_path: Path, document: Path, where: int) -> None:
    """A change anywhere ends with code 1, no file, nothing on standard output, an old target untouched."""
    huks("keys", "generate", "k")
    data = bytearray(huks("encrypt", "k", document).out)
    data[where] ^= 1
    sealed, opened, old = (tmp_path / name for name in ("sealed", "opened", "old"))
    sealed.write_bytes(data)
    old.write_bytes(b"old")
    for target in (opened, old):
        done = huks("decrypt", "k", sealed, "-o", target)
        assert done.code == 1
        assert done.err.startswith("error: ")
        assert "Traceback" not in done.err
    assert not opened.exists()
    assert old.read_bytes() == b"old"
    assert huks("decrypt", "k", sealed, "--whole").out == b""
    piped = huks("decrypt", "k", sealed)
    assert piped.code == 1
    assert document.read_bytes().startswith(piped.out)
    assert len(piped.out) % CHUNK_BYTES == 0
    assert _leftovers(tmp_path) == []


@pytest.mark.parametrize("length", [0, 7, 8, 20, 35, 36, 100, 200, 200_000])
def test_a_cut_file_is_refused(huks: Huks, tmp_path: Path, document: Path, length: int) -> None:
    """A file that ends early is never taken for a shorter one."""
    huks("keys", "generate", "k")
    sealed = tmp_path / "sealed"
    sealed.write_bytes(huks("encrypt", "k", document).out[:length])
    done = huks("decrypt", "k", sealed)
    assert (done.code, done.out) == (1, b"")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("piped", [True, False])
def test_what_a_pipe_gets_of_a_changed_file(
    huks_process: Huks, tmp_path: Path, whole: bool, piped: bool
) -> None:
    """The chunks before the wrong one, and status 1; with --whole nothing."""
    plain = os.urandom(30 * CHUNK_BYTES + 5)
    huks_process("keys", "generate", "k")
    data = bytearray(huks_process("encrypt", "k", stdin=plain).out)
    at = len(data) - (31 - 20) * (CHUNK_BYTES + 16)
    data[at] ^= 1
    sealed = tmp_path / "sealed"
    sealed.write_bytes(data)
    words = ["decrypt", "k", "-" if piped else sealed, *(["--whole"] if whole else [])]
    done = huks_process(*words, stdin=bytes(data) if piped else b"")
    assert done.code == 1
    assert "chunk 19" in done.err
    assert ("nothing was written" if whole else "what was written before is verified") in done.err
    assert done.out == (b"" if whole else plain[: 19 * CHUNK_BYTES])


@pytest.mark.parametrize("whole", [True, False])
def test_what_a_pipe_gets_of_a_cut_file(huks_process: Huks, whole: bool) -> None:
    """Everything that is there, and status 1 with the word that the end is missing; with --whole nothing."""
    plain = os.urandom(3 * CHUNK_BYTES)
    huks_process("keys", "generate", "k")
    sealed = huks_process("encrypt", "k", stdin=plain).out[: -(CHUNK_BYTES + 16)]
    done = huks_process("decrypt", "k", *(["--whole"] if whole else []), stdin=sealed)
    assert done.code == 1
    assert "cut off" in done.err
    # the chunk at the end is not known to be complete data before it has the mark of the last one
    assert done.out == (b"" if whole else plain[:CHUNK_BYTES])


@pytest.mark.parametrize("length", [5, 2_000_000])
def test_whole_gives_everything(huks_process: Huks, tmp_path: Path, length: int) -> None:
    """With --whole a sound input comes out, from a file and from a pipe."""
    plain, sealed = os.urandom(length), tmp_path / "sealed"
    huks_process("keys", "generate", "k")
    sealed.write_bytes(huks_process("encrypt", "k", stdin=plain).out)
    assert huks_process("decrypt", "k", sealed, "--whole").out == plain
    assert huks_process("decrypt", "k", "--whole", stdin=sealed.read_bytes()).out == plain


def test_another_key_is_refused(huks: Huks, tmp_path: Path, document: Path) -> None:
    """A file opens with the key that made it and no other."""
    huks("keys", "generate", "k")
    huks("keys", "generate", "other")
    sealed = tmp_path / "sealed"
    huks("encrypt", "k", document, "-o", sealed)
    done = huks("decrypt", "other", sealed)
    assert (done.code, done.out) == (1, b"")
    assert "not sealed for the key 'other'" in done.err


def test_a_later_version_is_named(huks: Huks, tmp_path: Path) -> None:
    """A file of a later format says so instead of failing as broken."""
    huks("keys", "generate", "k")
    sealed = tmp_path / "sealed"
    sealed.write_bytes(container.MAGIC + b"\x03" + bytes(100))
    done = huks("decrypt", "k", sealed)
    assert done.code == 1
    assert "version 3" in done.err


def test_a_file_can_be_encrypted_in_place(huks: Huks, document: Path) -> None:
    """Input and output may be the same file, whose permissions stay."""
    content = document.read_bytes()
    document.chmod(0o640)
    huks("keys", "generate", "k")
    assert huks("encrypt", "k", document, "-o", document).code == 0
    assert document.read_bytes() != content
    assert huks("decrypt", "k", document, "-o", document).code == 0
    assert document.read_bytes() == content
    assert stat.S_IMODE(document.stat().st_mode) == 0o640


def test_a_link_stays_a_link(huks: Huks, tmp_path: Path, document: Path) -> None:
    """Writing through a symbolic link replaces what it points to."""
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    huks("keys", "generate", "k")
    assert huks("encrypt", "k", document, "-o", link).code == 0
    assert link.is_symlink()
    assert target.stat().st_size > document.stat().st_size


def test_a_full_disk_leaves_nothing(huks: Huks, tmp_path: Path, document: Path) -> None:
    """A device without space is an error of the operation that names it, not a traceback."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    huks("keys", "generate", "k")
    done = huks("encrypt", "k", document, "-o", "/dev/full")
    assert done.code == 1
    assert done.err == "error: /dev/full: No space left on device\n"


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048-pss", "ed25519"])
def test_signatures_hold_outside(huks: Huks, tmp_path: Path, document: Path, kind: str) -> None:
    """OpenSSL's command accepts the signature with the exported key, and ours refuses another file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is not installed")
    signature, public = tmp_path / "signature", tmp_path / "public.pem"
    assert huks("keys", "generate", "k", "--kind", kind).code == 0
    assert huks("sign", "k", document, "-o", signature).code == 0
    assert huks("keys", "export", "k", "-o", public).code == 0
    if kind == "ed25519":
        words = [
            "pkeyutl",
            "-verify",
            "-rawin",
            "-pubin",
            "-inkey",
            public,
            "-sigfile",
            signature,
            "-in",
            document,
        ]
    else:
        digest = {"ecdsa-p384": "-sha384", "ecdsa-p521": "-sha512"}.get(kind, "-sha256")
        padding = ["-sigopt", "rsa_padding_mode:pss"] if kind.startswith("rsa") else []
        words = ["dgst", digest, *padding, "-verify", public, "-signature", signature, document]
    verdict = subprocess.run([openssl, *map(str, words)], capture_output=True, timeout=120, check=False)
    assert verdict.returncode == 0, verdict.stderr
    done = huks("verify", "k", document, "-s", signature)
    assert (done.code, done.out) == (0, b"")
    document.write_bytes(document.read_bytes() + b"x")
    done = huks("verify", "k", document, "-s", signature)
    assert done.code == 1
    assert "does not match" in done.err
    # its maker must have used the same
    digests = {"ed25519": "over the whole file", "ecdsa-p384": "with SHA384", "ecdsa-p521": "with SHA512"}
    assert digests.get(kind, "with SHA256") in done.err
    assert ("PSS" in done.err) == kind.startswith("rsa")


def test_a_key_is_used_for_its_purpose_only(huks: Huks, document: Path) -> None:
    """The message says which keys would do, or what this one is for."""
    huks("keys", "generate", "k", "--kind", "ecdsa-p256")
    for words in (["k"], ["-k", "k"], ["-k", "k", "--format", "2"]):
        done = huks("encrypt", *words, document)
        assert (done.code, done.out) == (1, b"")
        assert "cannot seal files: that takes a key to encrypt with" in done.err
    done = huks("encrypt", "k", "--format", "1", document)
    assert (done.code, done.out) == (1, b"")
    assert "sign and verify, not to encrypt" in done.err


def test_memory_stays_the_same(huks_process: Huks, home: Path, tmp_path: Path) -> None:
    """A file of 300 MB needs no more memory than a small one: less than 150 MB."""
    assert huks_process("keys", "generate", "k").code == 0
    big, sealed = tmp_path / "big", tmp_path / "sealed"
    with big.open("wb") as file:
        file.truncate(300 * 1024 * 1024)
    program = (
        "import sys; from huks_async.cli import main; from huks_async.cli.demo.report import peak_memory; "
        "code = main(sys.argv[1:]); print(peak_memory()); sys.exit(code)"
    )
    for words in (["encrypt", "k", big, "-o", sealed], ["decrypt", "k", sealed, "-o", "/dev/null"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *words], capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < 150_000_000
    assert sealed.stat().st_size == sealed_size(_header_bytes(sealed), CHUNK_BYTES, big.stat().st_size)
    sealed.unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_cleanly(
    huks_process: Huks, home: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """A signal while input is awaited ends with its code, one word and no file."""
    huks_process("keys", "generate", "k")
    target = tmp_path / "target"
    words = command("encrypt", "k", "-", "-o", target)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"some")
        process.stdin.flush()
        _wait_for(lambda: bool(_leftovers(tmp_path)))
        wait_until_it_waits(process)
        process.send_signal(number)
        assert process.wait(timeout=120) == 128 + number
        assert process.stderr.read() == b"interrupted\n"
    assert not target.exists()
    assert _leftovers(tmp_path) == []


def test_a_closed_reader_is_no_error(huks_process: Huks, home: Path, document: Path) -> None:
    """A reader that has seen enough ends the command without a word."""
    huks_process("keys", "generate", "k")
    with subprocess.Popen(
        command("encrypt", "k", document), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=120) == 1
        assert process.stderr.read() == b""


def _wait_for(condition: object, seconds: float = 120) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
