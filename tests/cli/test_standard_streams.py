"""Standard input and output that are closed, full, narrow or a terminal's."""

import asyncio
import contextlib
import os
import shlex
import subprocess
from pathlib import Path

import pytest

import huks_async
from huks_async.cli.words.parameters import KINDS, options
from tests.cli.command_line import Done, Huks, command
from tests.cli.interruptions import wait_until_it_waits


def _shell(*words: object, streams: str, **environment: str) -> Done:
    """The command under a shell that has opened or closed its streams first."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {shlex.join(command(*words))} {streams}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


async def _make_keys(*aliases: str) -> None:
    async with huks_async.Keystore.open() as keystore:
        for alias in aliases:
            await keystore.generateKeyItem(alias, options(**KINDS["aes-256-gcm"]))


@pytest.mark.parametrize(
    ("words", "streams", "closed"),
    [
        (("keys", "list"), ">&-", "output"),
        ((), ">&-", "output"),
        (("--help",), ">&-", "output"),
        (("keys", "generate", "--help"), ">&-", "output"),
        (("--version",), ">&-", "output"),
        (("doctor",), ">&-", "output"),
        (("demo", "--size", "1KB"), ">&-", "output"),
        (("encrypt", "k", "SEALED"), ">&-", "output"),
        (("decrypt", "k", "SEALED"), ">&-", "output"),
        (("encrypt", "k"), "<&-", "input"),
        (("keys", "describe", "-"), "<&-", "input"),
    ],
)
def test_a_closed_stream_is_named(
    huks: Huks, document: Path, tmp_path: Path, words: tuple[str, ...], streams: str, closed: str
) -> None:
    """A stream that the command needs and was not given is one line and code 1."""
    sealed = tmp_path / "sealed"
    huks("keys", "generate", "k")
    huks("encrypt", "k", document, "-o", sealed)
    done = _shell(*(sealed if word == "SEALED" else word for word in words), streams=streams)
    assert (done.code, done.out) == (1, b"")
    assert done.err == f"error: standard {closed} is closed\n"


def test_closed_streams_that_are_not_needed(huks: Huks, document: Path, tmp_path: Path) -> None:
    """What needs no standard stream works without any, and files do not take their place."""
    sealed, opened = tmp_path / "sealed", tmp_path / "opened"
    closed = "<&- >&- 2>&-"
    assert _shell("keys", "generate", "k", streams=closed).code == 0
    assert _shell("encrypt", "k", document, "-o", sealed, streams=closed).code == 0
    assert _shell("decrypt", "k", sealed, "-o", opened, streams=closed).code == 0
    assert opened.read_bytes() == document.read_bytes()
    assert huks("keys", "list").out == b"k\n"


def test_messages_do_not_go_to_standard_output(home: Path) -> None:
    """Without standard error a failure is its code alone."""
    done = _shell("keys", "show", "absent", streams="2>&-")
    assert (done.code, done.out) == (1, b"")


def test_a_deletion_cannot_be_confirmed_without_an_input(huks: Huks) -> None:
    """Where nobody can answer, closed input included, the key stays."""
    huks("keys", "generate", "k")
    done = _shell("keys", "delete", "k", streams="<&-")
    assert done.code == 2
    assert "--yes" in done.err
    assert huks("keys", "list").out == b"k\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("keys", "list", "--nonsense"), 2),
        (("keys", "show", "absent"), 1),
        (("keys", "delete", "k", "--yes"), 0),
    ],
)
def test_messages_that_nobody_can_take_change_no_code(huks: Huks, words: tuple[str, ...], code: int) -> None:
    """A key that was deleted is deleted, also if that cannot be told."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    huks("keys", "generate", "k")
    assert _shell(*words, streams="2>/dev/full").code == code
    assert huks("keys", "list").out == (b"k\n" if code else b"")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--help",),
        ("--version",),
        ("keys", "list"),
        ("algorithms",),
        ("encrypt", "k", "DOCUMENT"),
        ("encrypt", "k", "DOCUMENT", "-o", "-"),
    ],
)
def test_a_full_standard_output_is_named(huks: Huks, document: Path, words: tuple[str, ...]) -> None:
    """A failed write to standard output is one line that says where, text and bytes alike."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    huks("keys", "generate", "k")
    done = _shell(*(document if word == "DOCUMENT" else word for word in words), streams=">/dev/full")
    assert done.code == 1
    assert done.err == "error: standard output: No space left on device\n"


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    ("words", "stream", "code"),
    [
        ("keys list", "stdout", 0),
        ("keys list --json", "stdout", 0),
        ("keys export pair", "stdout", 0),
        ("--help", "stdout", 0),
        ("--version", "stdout", 0),
        ("completion bash", "stdout", 0),
        ("keys show absent", "stderr", 1),
        ("keys list --nonsense", "stderr", 2),
    ],
)
def test_a_stream_that_does_not_wait_gets_all(
    huks_process: Huks, words: str, stream: str, code: int, unbuffered: str
) -> None:
    """As ssh and Node hand it over: a pipe that is full for the moment loses nothing, and nothing fails by it."""
    huks_process("keys", "generate", "pair", "--kind", "ecdsa-p256")
    expected = huks_process(*words.split())
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += os.write(writing, bytes(4096))
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: writing}
    with subprocess.Popen(
        command(*words.split()), env={**os.environ, "PYTHONUNBUFFERED": unbuffered}, **streams
    ) as process:
        os.close(writing)
        wait_until_it_waits(process)
        with open(reading, "rb") as pipe:
            shown = pipe.read()[filled:]
        assert process.wait(timeout=120) == code == expected.code
    assert shown == (expected.out if stream == "stdout" else expected.err.encode())


def test_an_output_file_beyond_the_limit_is_named(huks: Huks, tmp_path: Path) -> None:
    """The target is named, not the temporary file beside it, and neither is left."""
    plain, target = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(bytes(6_000_000))
    huks("keys", "generate", "k")
    # the limit counts blocks of 512 or 1,024 bytes; Python ignores the signal, so the write fails
    words = shlex.join(command("encrypt", "k", plain, "-o", target))
    done = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -f 4000; exec {words}"], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert done.stderr.decode() == f"error: {target}: File too large\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keystore", "plain"]


def test_a_narrow_encoding_shows_every_alias(home: Path) -> None:
    """In a locale of ASCII other characters are escaped."""
    asyncio.run(_make_keys("plain", "日本", "Zoë"))
    narrow = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    done = _shell("keys", "list", streams="", **narrow)
    assert done.err == ""
    assert done.code == 0
    assert done.out == b"Zo\\xeb\nplain\n\\u65e5\\u672c\n"


def test_aliases_take_one_line_and_do_not_steer_a_terminal(huks: Huks, home: Path) -> None:
    """Line ends, escape codes and changes of direction come escaped; text and its spaces come as they are."""
    aliases = ["two\nlines", "red\x1b[31m", "left\u202eright", "back\\slash", "wide\u3000space", "日本"]
    asyncio.run(_make_keys(*aliases))
    lines = huks("keys", "list").out.decode().split("\n")
    assert lines.pop() == ""
    assert sorted(lines) == sorted(
        ["two\\nlines", "red\\x1b[31m", "left\\u202eright", "back\\\\slash", "wide\u3000space", "日本"]
    )


def test_a_signature_from_standard_input(huks: Huks, huks_process: Huks, document: Path) -> None:
    """`-s -` reads the signature from a pipe, a wrong one does not match, and two files cannot be it."""
    huks("keys", "generate", "letters", "--kind", "ecdsa-p256")
    signature = huks("sign", "letters", document).out
    good = huks_process("verify", "letters", document, "-s", "-", stdin=signature)
    assert (good.code, good.err) == (0, "the signature matches\n")
    assert huks_process("verify", "letters", document, "-s", "-", stdin=signature[:-1]).code == 1
    both = huks_process("verify", "letters", "-s", "-", stdin=signature)
    assert both.code == 2
    assert "standard input" in both.err
    assert huks_process("verify", "letters", document, "-s", "-").err.startswith("error: - is empty")
    assert huks_process("verify", "letters", document, "-s", "--nonsense").code == 2
