"""Ctrl-C at any moment. The long form is `python -m tests.adversity.interrupt_commands`."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command_line import Huks, command, shown_on
from tests.cli.interruptions import (
    CASES,
    MODULE,
    SCRIPT,
    STATUS,
    Bench,
    Case,
    Tally,
    wait_until_it_waits,
    wait_until_signals_are_taken,
)

_FEW = [case for case in CASES if case.words[0] in {"encrypt", "algorithms"} or case.words[1:2] == ("list",)]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Files and a keystore for all tests."""
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize("start", [SCRIPT, MODULE], ids=["huks", "python -m"])
def test_an_interruption_at_once(bench: Bench, start: list[str]) -> None:
    """From its first line on the command knows the signal, long before its imports are done."""
    for case in _FEW:
        tally = Tally()
        while not tally.interrupted:  # on a busy machine the command may have ended before the signal comes
            bench.interrupt(case, start, 0, tally)
            assert tally.faults == []
            assert tally.finished < 20


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_interruptions_on_the_way(bench: Bench, share: float) -> None:
    """Later it ends as cleanly, or it has done its work."""
    tally = Tally()
    for case in _FEW:
        seconds = bench.run(case.words)
        for output in case.outputs:
            assert case.whole((bench.work / output).read_bytes())
            (bench.work / output).unlink()
        bench.interrupt(case, SCRIPT, seconds * share, tally)
    assert tally.faults == []
    assert tally.interrupted + tally.finished == len(_FEW)


def test_the_bench_sees_what_is_left_behind(bench: Bench) -> None:
    """A command that leaves half a file and shows a traceback does not pass."""
    tally = Tally()
    program = (
        "import signal, sys, time; open('out', 'w').write('half'); "
        "[signal.signal(one, lambda *_: None) for one in (signal.SIGTERM, signal.SIGHUP)]; time.sleep(60)"
    )
    case = Case((), ("out",), lambda data: len(data) == 100)
    bench.interrupt(case, [sys.executable, "-c", program], 0, tally)
    assert len(tally.faults) == 3


def test_all_signals_are_waited_for() -> None:
    """A process that has a handler for one signal need not have the next one's yet."""
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, lambda *_: None); time.sleep(0.3); "
        "signal.signal(signal.SIGHUP, lambda *_: exit(7)); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        wait_until_signals_are_taken(process)
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=120) == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("start", [SCRIPT, MODULE], ids=["huks", "python -m"])
def test_other_signals(huks_process: Huks, start: list[str], number: signal.Signals) -> None:
    """A service manager's signal, and a terminal that is closed, end it in the same way."""
    huks_process("keys", "generate", "k")  # or it could end by itself before the signal comes
    with subprocess.Popen([*start, "encrypt", "k"], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until_signals_are_taken(process)
        process.send_signal(number)
        assert process.stderr is not None
        assert process.wait(timeout=120) == 128 + number
        assert process.stderr.read() == b"interrupted\n"


def test_an_ignored_signal_stays_ignored(home: Path) -> None:
    """`nohup`, and a shell that starts the command in the background, have decided already."""
    words = ["/bin/sh", "-c", 'trap "" INT HUP; echo ignored >&2; exec "$@"', "sh", *SCRIPT, "doctor"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"ignored\n"
        for _ in range(20):
            time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, b"")


def test_an_interrupted_question(huks_process: Huks) -> None:
    """Ctrl-C at `keys delete`'s question is an answer: the key stays."""
    huks_process("keys", "generate", "k")
    parent, child = pty.openpty()
    try:
        with subprocess.Popen(
            command("keys", "delete", "k"), stdin=child, stderr=subprocess.PIPE, start_new_session=True
        ) as process:
            assert process.stderr is not None
            asked = os.read(process.stderr.fileno(), 100)
            assert asked.endswith(b"[y/N] ")
            wait_until_it_waits(process)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=120) == STATUS
            assert process.stderr.read() == b"interrupted\n"
    finally:
        os.close(parent)
        os.close(child)
    assert huks_process("keys", "list").out == b"k\n"


def test_an_answer_that_is_no_text(huks_process: Huks) -> None:
    """Whatever it is in the terminal's encoding, it is no yes."""
    huks_process("keys", "generate", "k")
    parent, child = pty.openpty()
    try:
        with subprocess.Popen(command("keys", "delete", "k"), stdin=child, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            assert os.read(process.stderr.fileno(), 100).endswith(b"[y/N] ")
            os.write(parent, b"\xff\xfe\n")
            assert process.wait(timeout=120) == 1
            assert process.stderr.read() == b"error: not deleted\n"
    finally:
        os.close(parent)
        os.close(child)
    assert huks_process("keys", "list").out == b"k\n"


def test_a_reader_that_does_not_read(huks_process: Huks, tmp_path: Path) -> None:
    """A command that waits for a full pipe can be interrupted there."""
    huks_process("keys", "generate", "k")
    big = tmp_path / "big"
    big.write_bytes(bytes(3_000_000))
    with subprocess.Popen(
        command("encrypt", "k", big), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        wait_until_it_waits(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == STATUS
        assert process.stderr.read() == b"interrupted\n"


def _status(process: "subprocess.Popen[bytes]") -> int:
    try:
        return process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """An end of a pipe for writing, which has no room, and whose reader does not read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("words", ["keys list", "keys show k", "keys list --json", "--help", "--version"])
def test_a_reader_of_lines_that_does_not_read(
    huks_process: Huks, full_pipe: int, words: str, number: signal.Signals
) -> None:
    """One signal ends a command that waits to write its result, however short that is."""
    huks_process("keys", "generate", "k")
    with subprocess.Popen(command(*words.split()), stdout=full_pipe, stderr=subprocess.PIPE) as process:
        wait_until_it_waits(process)
        process.send_signal(number)
        assert process.stderr is not None
        assert _status(process) == 128 + number
        assert process.stderr.read() == b"interrupted\n"


@pytest.mark.parametrize(
    "words",
    ["keys list --nonsense", "keys export absent", "keys delete k --yes", "verify l file -s file.sig"],
)
def test_a_reader_of_messages_that_does_not_read(
    huks_process: Huks, full_pipe: int, tmp_path: Path, words: str
) -> None:
    """The same for standard error, as of a service whose log nobody takes: the signal is not told there either."""
    huks_process("keys", "generate", "k")
    huks_process("keys", "generate", "l", "--kind", "ecdsa-p256")
    (tmp_path / "file").write_bytes(b"content")
    huks_process("sign", "l", tmp_path / "file", "-o", tmp_path / "file.sig")
    with subprocess.Popen(command(*words.split()), cwd=tmp_path, stderr=full_pipe) as process:
        wait_until_it_waits(process)
        process.send_signal(signal.SIGTERM)
        assert _status(process) == 128 + signal.SIGTERM


def test_a_terminal_that_was_stopped(huks_process: Huks, tmp_path: Path) -> None:
    """Ctrl-S holds up the line that tells how far the work is; a signal ends the work all the same."""
    huks_process("keys", "generate", "k")
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        command("encrypt", "k", "-o", tmp_path / "sealed"), stdin=subprocess.PIPE, stderr=terminal
    ) as process:
        while not select.select([controller], [], [], 1)[0]:
            assert process.poll() is None
        termios.tcflow(terminal, termios.TCOOFF)
        wait_until_it_waits(process)
        process.send_signal(signal.SIGTERM)
        assert _status(process) == 128 + signal.SIGTERM
    termios.tcflow(terminal, termios.TCOON)
    os.close(terminal)
    shown_on(controller)
    assert [path.name for path in tmp_path.iterdir()] == ["keystore"]


@pytest.mark.parametrize("results", [None, subprocess.DEVNULL], ids=["terminal", "elsewhere"])
def test_a_terminal_that_was_stopped_while_it_shows_a_bar(tmp_path: Path, results: int | None) -> None:
    """Another thread draws the bar, and neither it nor the results keep the demo from its end."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        command("demo", "--size", "200MB"),
        stdout=terminal if results is None else results,
        stderr=terminal,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:
        assert select.select([controller], [], [], 60)[0]
        termios.tcflow(terminal, termios.TCOOFF)
        time.sleep(0.5)  # the bar is drawn ten times a second
        process.send_signal(signal.SIGTERM)
        assert _status(process) == 128 + signal.SIGTERM
    termios.tcflow(terminal, termios.TCOON)
    os.close(terminal)
    shown_on(controller)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_the_status_where_it_cannot_be_told(huks_process: Huks, number: signal.Signals) -> None:
    """Whoever read standard error has gone, as a terminal has that is closed."""
    huks_process("keys", "generate", "k")
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(command("encrypt", "k"), stdin=subprocess.PIPE, stderr=writing) as process:
        os.close(writing)
        wait_until_it_waits(process)
        process.send_signal(number)
        assert _status(process) == 128 + number
