"""`huks encrypt` and `decrypt` on format 2: several keys, parts of the content, old files, slow pipes."""

import asyncio
import filecmp
import itertools
import os
import pty
import select
import shlex
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import huks_async
from huks_async.cli.flow.progress import Progress
from huks_async.cli.words.parameters import KINDS, options
from huks_async.files.chunks import ChunkCipher
from huks_async.files.header import CHUNK_BYTES, PREFIX_BYTES, header_length, read_header
from huks_async.keystore.file_keys import find_file_key, new_file
from tests.cli.command_line import Huks, command, shown_on
from tests.cli.interruptions import wait_until_it_waits

_FORMAT_1 = Path(__file__).parent / "format1"


def test_several_keys_open_one_file(huks: Huks, tmp_path: Path, document: Path) -> None:
    """Each key that was named opens the file, and no other does."""
    for alias in ("one", "two", "other"):
        huks("keys", "generate", alias)
    sealed = tmp_path / "sealed"
    assert huks("encrypt", "-k", "one", "--key", "two", document, "-o", sealed).code == 0
    for words in (["one", sealed], ["two", sealed], ["-k", "two", sealed]):
        assert huks("decrypt", *words).out == document.read_bytes()
    done = huks("decrypt", "other", sealed)
    assert (done.code, done.out) == (1, b"")
    assert "not sealed for the key 'other'" in done.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "no key is named"),
        (("-k", "k", "one", "two"), "cannot both be the file"),
        (("-k", "k", "-k", "j", "--format", "1", "x"), "takes one key"),
        (("-k", "k", "-k", "j", "--sm2-form", "der", "x"), "takes one key"),
        (("k", "x", "--format", "2", "--sm2-form", "der"), "has no --format"),
    ],
)
def test_wrong_usage_of_encrypt(huks: Huks, words: tuple[str, ...], problem: str) -> None:
    """Words that cannot go together end with code 2 and are named."""
    done = huks("encrypt", *words)
    assert (done.code, done.out) == (2, b"")
    assert problem in done.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("-k", "k", "-k", "j", "x"), "with one key"),
        (("k", "x", "--range", "5"), "is no range"),
        (("k", "x", "--range", "-1:5"), "is no range"),
        (("k", "x", "--range", "5:4"), "ends before it begins"),
        (("k", "x", "--range", "5:6", "--whole"), "exclude each other"),
    ],
)
def test_wrong_usage_of_decrypt(huks: Huks, words: tuple[str, ...], problem: str) -> None:
    """The same for decrypt."""
    done = huks("decrypt", *words)
    assert (done.code, done.out) == (2, b"")
    assert problem in done.err


@pytest.mark.parametrize("path", sorted(_FORMAT_1.iterdir()), ids=lambda path: path.stem)
def test_files_of_the_first_version_are_read(huks: Huks, huks_process: Huks, path: Path) -> None:
    """Files that the first version of the program wrote come out as they went in, from files and pipes."""
    bits, length = (int(part) for part in path.stem.removeprefix("aes").split("-"))
    plain = bytes(place * 7 % 256 for place in range(length))

    async def bring() -> None:
        async with huks_async.Keystore.open() as keystore:
            key = bytes(range(bits // 8))
            await keystore.importKeyItem("old", options(key, **KINDS[f"aes-{bits}-gcm"]))

    asyncio.run(bring())
    assert huks("decrypt", "old", path).out == plain
    assert huks_process("decrypt", "old", stdin=path.read_bytes()).out == plain
    done = huks("decrypt", "old", path, "--range", "0:1")
    assert (done.code, done.out) == (1, b"")
    assert "format 1" in done.err
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    done = huks_process("decrypt", "old", stdin=bytes(data))
    assert (done.code, done.out) == (1, b"")


_RANGES = [
    "0:0",
    f"{CHUNK_BYTES}:{CHUNK_BYTES}",
    f"{3 * CHUNK_BYTES + 100}:{3 * CHUNK_BYTES + 100}",
    "0:1",
    ":10",
    f"{CHUNK_BYTES - 1}:{CHUNK_BYTES + 1}",
    f"{CHUNK_BYTES}:{2 * CHUNK_BYTES}",
    f"{2 * CHUNK_BYTES + 7}:",
    "10:999999999999",
    f"{3 * CHUNK_BYTES + 100}:",
    ":",
]


@pytest.mark.parametrize("where", _RANGES)
@pytest.mark.parametrize("way", ["file", "pipe", "to file"])
def test_ranges(huks_process: Huks, tmp_path: Path, where: str, way: str) -> None:
    """A range gives those bytes and no others, wherever they are read from and written to."""
    plain, sealed = os.urandom(3 * CHUNK_BYTES + 100), tmp_path / "sealed"
    huks_process("keys", "generate", "k")
    sealed.write_bytes(huks_process("encrypt", "k", stdin=plain).out)
    start, end = (int(part) if part else None for part in where.split(":"))
    if way == "pipe":
        done = huks_process("decrypt", "k", "--range", where, stdin=sealed.read_bytes())
    elif way == "file":
        done = huks_process("decrypt", "k", "--range", where, sealed)
    else:
        done = huks_process("decrypt", "k", "--range", where, sealed, "-o", tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == plain[start:end]
    assert (done.code, done.err) == (0, "")
    assert done.out == (b"" if way == "to file" else plain[start:end])


@pytest.mark.parametrize("where", ["1001:", "1001:1001", "99999999:99999999"])
@pytest.mark.parametrize("piped", [True, False])
def test_a_range_beyond_the_end(huks_process: Huks, tmp_path: Path, piped: bool, where: str) -> None:
    """Where the content ends before the range begins, its verified length is named."""
    sealed = tmp_path / "sealed"
    huks_process("keys", "generate", "k")
    sealed.write_bytes(huks_process("encrypt", "k", stdin=bytes(1000)).out)
    stdin = sealed.read_bytes() if piped else b""
    done = huks_process("decrypt", "k", "--range", where, "-" if piped else sealed, stdin=stdin)
    assert (done.code, done.out) == (1, b"")
    assert "the content ends at 1000" in done.err


def test_a_range_needs_its_chunks_only(huks: Huks, tmp_path: Path) -> None:
    """Other chunks may be damaged; those of the range may not."""
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(os.urandom(4 * CHUNK_BYTES))
    huks("keys", "generate", "k")
    huks("encrypt", "k", plain, "-o", sealed)
    data = bytearray(sealed.read_bytes())
    header = header_length(bytes(data[:PREFIX_BYTES]))
    data[header] ^= 1
    data[-1] ^= 1
    sealed.write_bytes(data)
    start, end = CHUNK_BYTES, 3 * CHUNK_BYTES
    assert huks("decrypt", "k", sealed, "--range", f"{start}:{end}").out == plain.read_bytes()[start:end]
    done = huks("decrypt", "k", sealed, "--range", f"{start - 1}:{end}")
    assert (done.code, done.out) == (1, b"")


def test_sm2_keys_write_bare_ciphertexts_or_files(huks: Huks, document: Path) -> None:
    """Alone an SM2 key makes what other programs read; with --format 2 or beside others a file of any length."""
    done = huks("keys", "generate", "s", "--algorithm", "sm2", "--purpose", "encrypt", "--purpose", "decrypt")
    if "12000001" in done.err:
        pytest.skip("no SM2 on this machine")
    huks("keys", "generate", "k")
    assert huks("encrypt", "s", document).out.startswith(b"\x30")
    for words in (["--format", "2", "-k", "s"], ["-k", "s", "-k", "k"]):
        sealed = document.with_name("sealed")
        assert huks("encrypt", *words, document, "-o", sealed, "--force").code == 0
        assert sealed.read_bytes().startswith(b"huksenc\x02")
        assert huks("decrypt", "s", sealed).out == document.read_bytes()


@pytest.fixture
def sm2_key(huks: Huks) -> str:
    """A key that encrypts and decrypts."""
    done = huks("keys", "generate", "s", "-a", "sm2", "-p", "encrypt", "-p", "decrypt")
    if "12000001" in done.err:
        pytest.skip("no SM2 on this machine")
    assert done.code == 0, done.err
    return "s"


def test_no_part_of_a_bare_ciphertext(huks: Huks, document: Path, tmp_path: Path, sm2_key: str) -> None:
    """It is one message, so a range of it is refused as one of format 1 is; nothing is written."""
    bare, one, opened = tmp_path / "bare", tmp_path / "one", tmp_path / "opened"
    huks("keys", "generate", "k")
    assert huks("encrypt", sm2_key, document, "-o", bare).code == 0
    assert huks("encrypt", "k", document, "--format", "1", "-o", one).code == 0
    for key, sealed in ((sm2_key, bare), ("k", one)):
        for output in ("-", opened):
            done = huks("decrypt", key, sealed, "--range", "0:1", "-o", output)
            assert (done.code, done.out, opened.exists()) == (1, b"", False)
            assert "no part of it can be verified alone" in done.err
    sealed = tmp_path / "sealed"
    assert huks("encrypt", sm2_key, document, "--format", "2", "-o", sealed).code == 0
    assert huks("decrypt", sm2_key, sealed, "--range", "2:4").out == document.read_bytes()[2:4]


def test_the_longest_bare_ciphertext_is_decrypted(huks: Huks, tmp_path: Path, sm2_key: str) -> None:
    """The bound of 64 MiB is that of the plaintext."""
    plain, sealed, opened = tmp_path / "plain", tmp_path / "sealed", tmp_path / "opened"
    plain.touch()
    os.truncate(plain, 64 * 1024 * 1024)
    done = huks("encrypt", sm2_key, plain, "-o", sealed)
    assert done.code == 0, done.err
    done = huks("decrypt", sm2_key, sealed, "-o", opened)
    assert done.code == 0, done.err
    assert filecmp.cmp(plain, opened, shallow=False)
    with plain.open("ab") as file:
        file.write(b"x")
    assert huks("encrypt", sm2_key, plain, "-o", tmp_path / "none").code == 1


def test_bare_ciphertexts_longer_than_a_call(
    huks: Huks, tmp_path: Path, sm2_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device takes 983,040 bytes at once, and 5 MiB in a session."""
    monkeypatch.setenv("HUKS_ASYNC_PROFILE", "device")
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(bytes(1_000_000))
    assert huks("encrypt", sm2_key, plain, "-o", sealed).code == 0
    done = huks("decrypt", sm2_key, sealed)
    assert (done.code, done.out == plain.read_bytes()) == (0, True), done.err


def test_command_and_library_write_the_same_format(huks: Huks, tmp_path: Path, document: Path) -> None:
    """What the command writes opens by the header and its chunks, one after another; and the other way round."""
    huks("keys", "generate", "k")
    data = huks("encrypt", "k", document).out
    header = read_header(data[: header_length(data[:PREFIX_BYTES])])

    async def keys() -> tuple[bytes, bytes, bytes]:
        async with huks_async.Keystore.open() as keystore:
            made, made_key = await new_file(keystore, "k", chunk_bytes=4096)
            return await find_file_key(keystore, "k", header), made.data, made.chunk_key(made_key)

    file_key, other_header, other_key = asyncio.run(keys())
    cipher, plain = ChunkCipher(header.chunk_key(file_key), header.chunk_bytes), b""
    sealed = data[len(header.data) :]
    count = -(-len(sealed) // cipher.sealed_bytes)
    for place in range(count):
        piece = sealed[place * cipher.sealed_bytes : (place + 1) * cipher.sealed_bytes]
        plain += cipher.open(place, piece, last=place == count - 1)
    assert plain == document.read_bytes()
    other = ChunkCipher(other_key, 4096)
    pieces = [plain[start : start + 4096] for start in range(0, len(plain), 4096)]
    chunks = [other.seal(place, piece, last=piece is pieces[-1]) for place, piece in enumerate(pieces)]
    path = tmp_path / "other"
    path.write_bytes(other_header + b"".join(chunks))
    assert huks("decrypt", "k", path).out == plain


def test_chunks_of_a_slow_pipe_are_not_held_back(huks_process: Huks) -> None:
    """A chunk comes out once it is known that others follow, though the next ones have not come yet."""
    huks_process("keys", "generate", "k")
    plain = os.urandom(3 * CHUNK_BYTES)
    sealed = huks_process("encrypt", "k", stdin=plain).out
    first = header_length(sealed[:PREFIX_BYTES]) + CHUNK_BYTES + 16 + 1
    words = command("decrypt", "k")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(sealed[:first])
        process.stdin.flush()
        assert process.stdout.read(CHUNK_BYTES) == plain[:CHUNK_BYTES]
        process.stdin.write(sealed[first:])
        process.stdin.close()
        assert process.stdout.read() == plain[CHUNK_BYTES:]
        assert process.wait(timeout=120) == 0


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_a_file_is_read_from_where_it_stands(
    huks_process: Huks, home: Path, tmp_path: Path, version: str, name: str
) -> None:
    """Of a file that the shell hands over at a place in its middle, what follows is encrypted, or decrypted."""
    huks_process("keys", "generate", "k")
    path, sealed, behind = tmp_path / "plain", tmp_path / "sealed", tmp_path / "behind"
    path.write_bytes(b"0123456789" * 100_000)
    _at(777_777, path, "encrypt", "k", name, "--format", version, "-o", sealed)
    assert huks_process("decrypt", "k", sealed).out == path.read_bytes()[777_777:]
    behind.write_bytes(bytes(4321) + sealed.read_bytes())
    assert _at(4321, behind, "decrypt", "k", name) == path.read_bytes()[777_777:]


def _at(place: int, path: Path, *words: object) -> bytes:
    with path.open("rb") as file:
        os.lseek(file.fileno(), place, os.SEEK_SET)
        return subprocess.run(
            command(*words), stdin=file, capture_output=True, timeout=120, check=True
        ).stdout


def test_files_whose_size_is_not_told(huks: Huks, tmp_path: Path) -> None:
    """Files of /proc have content though their size is 0."""
    path = Path("/proc/version")
    if not path.exists():
        pytest.skip("this system has no /proc")
    huks("keys", "generate", "k")
    target = tmp_path / "sealed"
    assert huks("encrypt", "k", path, "-o", target).code == 0
    assert huks("decrypt", "k", target).out == path.read_bytes()


@pytest.mark.parametrize("quiet", [True, False])
def test_progress_on_a_terminal(huks: Huks, home: Path, quiet: bool) -> None:
    """What lasts longer than a second tells its rate on a terminal, and takes the line away; --quiet does not."""
    huks("keys", "generate", "k")
    controller, terminal = pty.openpty()
    words = command("encrypt", "k", *(["--quiet"] if quiet else []))
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=terminal
    ) as process:
        assert process.stdin is not None
        os.close(terminal)
        # more than a pipe holds, so the command has begun when all of it is written
        process.stdin.write(bytes(CHUNK_BYTES))
        shown, end = b"", time.monotonic() + 2.5
        while b"B/s" not in shown and (not quiet or time.monotonic() < end):
            process.stdin.write(bytes(CHUNK_BYTES))
            process.stdin.flush()
            if select.select([controller], [], [], 0.1)[0]:
                shown += os.read(controller, 1000)
        process.stdin.close()
        assert process.wait(timeout=120) == 0
    shown += shown_on(controller)
    assert (b"B/s" in shown) is not quiet
    assert shown == b"" if quiet else shown.endswith(b"\r")


def test_progress_keeps_to_a_narrow_terminal() -> None:
    """A wider line would go on in the next one, and each one after it below that."""
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 12))
    clock = itertools.count(step=2)
    with os.fdopen(terminal, "w") as error, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", error)
        progress = Progress(10**9, clock=lambda: next(clock))
        for done in (10**8, 5 * 10**8, 9 * 10**8):
            progress.show(done)
        progress.clear()
    shown = shown_on(controller)
    assert shown.startswith(b"\r 10%  100 M\r")
    assert max(map(len, shown.split(b"\r"))) == 11
    assert b"\n" not in shown


@pytest.mark.parametrize(
    ("words", "wide"),
    [
        (("--algorithm", "aes", "--size", "256", "--purpose", "derive"), True),
        (("--algorithm", "hmac", "--size", "256"), True),
        (("--algorithm", "sm3", "--size", "256"), True),
        (("--algorithm", "hmac", "--size", "256", "--digest", "sha1"), False),
        (("--kind", "ed25519"), False),
    ],
)
def test_a_key_that_derives_or_macs_serves_alone(
    huks: Huks, document: Path, words: tuple[str, ...], wide: bool
) -> None:
    """It opens files without `--format 2` and without another key; what cannot serve is refused with what can."""
    done = huks("keys", "generate", "stamps", *words)
    if "12000001" in done.err:
        pytest.skip("this machine has not the algorithm")
    sealed = document.with_name("sealed")
    done = huks("encrypt", "stamps", document, "-o", sealed)
    assert (done.code, sealed.exists()) == ((0, True) if wide else (1, False)), done.err
    if wide:
        assert huks("decrypt", "stamps", sealed).out == document.read_bytes()
        done = huks("decrypt", "stamps", document)
        assert (done.code, done.out) == (1, b"")
        assert "not to decrypt" not in done.err
    else:
        assert "cannot seal files" in done.err


@pytest.mark.parametrize(
    ("damage", "said", "kept"),
    [
        (lambda data: data[:-100], "cut off in chunk 1 (its end is missing)", 1),
        (lambda data: data[: -CHUNK_BYTES - 50], "cut off in chunk 0 (its end is missing)", 0),
        (lambda data: data + b"xyz", "or bytes follow it", 1),
        (
            lambda data: data + bytes(2 * CHUNK_BYTES),
            "chunk 1 was changed, moved, or is of another file, or",
            1,
        ),
        (lambda data: data[:1000] + bytes([data[1000] ^ 1]) + data[1001:], "chunk 0 was changed", 0),
    ],
    ids=["cut", "cut in the first chunk", "added", "much added", "changed"],
)
def test_what_befell_a_file_is_told(
    huks: Huks, tmp_path: Path, damage: Callable[[bytes], bytes], said: str, kept: int
) -> None:
    """A cut is called one, and only what was written is called verified."""
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(os.urandom(CHUNK_BYTES + CHUNK_BYTES // 2))
    huks("keys", "generate", "k")
    data = huks("encrypt", "k", plain).out
    if said.startswith("cut off in chunk 0"):
        data = data[: header_length(data[:PREFIX_BYTES]) + CHUNK_BYTES + 16 + 50 + CHUNK_BYTES // 2]
    sealed.write_bytes(damage(data))
    done = huks("decrypt", "k", sealed)
    assert (done.code, done.out) == (1, plain.read_bytes()[: kept * CHUNK_BYTES])
    assert said in done.err
    assert ("what was written before is verified" in done.err) is bool(kept)
    assert ("nothing was written" in done.err) is not bool(kept)


@pytest.mark.parametrize("words", [("--whole",), ("-o", "opened")], ids=["format 2", "format 1"])
def test_a_full_temporary_folder_is_named(huks: Huks, tmp_path: Path, words: tuple[str, ...]) -> None:
    """A pipe that cannot be copied: the folder and its variable are told, and nothing is left."""
    plain, sealed, folder = tmp_path / "plain", tmp_path / "sealed", tmp_path / "temporary"
    plain.write_bytes(bytes(6_000_000))
    folder.mkdir()
    huks("keys", "generate", "k")
    assert huks("encrypt", "--format", "2" if "--whole" in words else "1", "k", plain, "-o", sealed).code == 0
    call = shlex.join(command("decrypt", "k", "-", *words))
    done = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -f 4000; cat {shlex.quote(str(sealed))} | {call}"],
        capture_output=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert (done.returncode, done.stdout) == (1, b"")
    told = done.stderr.decode().splitlines()
    assert told[0] == f"error: the temporary folder {folder}: File too large"
    assert "TMPDIR" in told[1]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("words", [("encrypt", "k"), ("mac", "m", "--hex")], ids=["encrypt", "mac"])
def test_a_pipe_that_does_not_wait(huks: Huks, words: tuple[str, ...]) -> None:
    """An empty one is waited for, at its beginning and in its middle, and not taken for an error or its end."""
    huks("keys", "generate", "k")
    huks("keys", "generate", "m", "--algorithm", "hmac", "--size", "256")
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with subprocess.Popen(command(*words), stdin=reading, stdout=subprocess.PIPE) as process:
        os.close(reading)
        for piece in (b"one", b"two"):
            wait_until_it_waits(process)
            os.write(writing, piece)
        os.close(writing)
        out = process.communicate(timeout=120)[0]
        assert process.returncode == 0
    path = Path(os.environ["HUKS_ASYNC_HOME"]).with_name("file")
    path.write_bytes(out if words[0] == "encrypt" else b"onetwo")
    if words[0] == "encrypt":
        assert huks("decrypt", "k", path).out == b"onetwo"
    else:
        assert huks("mac", "m", path, "--hex").out == out


def test_decrypt_waits_for_a_pipe_that_does_not(huks: Huks, document: Path) -> None:
    """Where the pipe is still empty when the first bytes are looked at."""
    huks("keys", "generate", "k")
    sealed = huks("encrypt", "k", document).out
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with subprocess.Popen(command("decrypt", "k"), stdin=reading, stdout=subprocess.PIPE) as process:
        os.close(reading)
        wait_until_it_waits(process)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(sealed[:10])
            pipe.flush()
            wait_until_it_waits(process)
            pipe.write(sealed[10:])
        out = process.communicate(timeout=120)[0]
    assert (process.returncode, out) == (0, document.read_bytes())
