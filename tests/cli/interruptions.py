"""Commands of `huks` interrupted at random moments: what each is given, and what may not be left behind."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from huks_async.files.chunks import sealed_size
from huks_async.files.header import CHUNK_BYTES
from huks_command import ENDING

STATUS = 128 + signal.SIGINT
_PATIENCE = 120

# the console script of this environment; the module is the same command by another way
SCRIPT = [str(Path(sys.executable).with_name("huks"))]
MODULE = [sys.executable, "-m", "huks_async.cli"]


@dataclass(frozen=True)
class Case:
    """One command that is interrupted: its words, and the files that it writes."""

    words: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    whole: Callable[[bytes], bool] = field(default=bool)
    """Whether a file that the command wrote is a whole result."""

    @property
    def name(self) -> str:
        """The command's own words."""
        return " ".join(word for word in self.words[:2] if word.isalpha() or "-" in word)


def _pem(data: bytes) -> bool:
    return data.startswith(b"-----BEGIN ") and data.rstrip().endswith(b"-----")


def _sized(size: int) -> Callable[[bytes], bool]:
    return lambda data: len(data) == size


BIG = 4_000_000
CASES = (
    Case(("keys", "generate", "new", "--replace")),
    Case(("keys", "generate", "newer", "--kind", "rsa-2048-pss", "--replace")),
    Case(("keys", "list")),
    Case(("keys", "list", "--json")),
    Case(("keys", "show", "files")),
    Case(("keys", "show", "files", "--json")),
    Case(("keys", "generate", "newest", "-a", "ecc", "-s", "521", "--replace")),
    Case(("keys", "delete", "gone", "--yes")),
    Case(("keys", "export", "signer", "-o", "out"), ("out",), _pem),
    Case(("keys", "import", "taken", "key.pem", "--replace")),
    Case(("keys", "convert", "key.pem", "--to", "pkcs8", "-o", "out"), ("out",), _sized(138)),
    Case(("keys", "describe", "key.pem")),
    Case(("keys", "attest", "signer", "-c", "00ff", "-o", "out"), ("out",), _pem),
    Case(("keys", "attestation-root", "-o", "out"), ("out",), _pem),
    Case(("encrypt", "files", "big", "-o", "out"), ("out",), _sized(sealed_size(140, CHUNK_BYTES, BIG))),
    Case(("decrypt", "files", "sealed", "-o", "out"), ("out",), _sized(BIG)),
    Case(("sign", "signer", "big", "-o", "out"), ("out",), lambda data: 64 < len(data) < 73),
    Case(("verify", "signer", "big", "-s", "signature")),
    Case(("mac", "code", "big", "-o", "out"), ("out",), _sized(32)),
    Case(("derive", "base", "-n", "40", "-o", "out"), ("out",), _sized(40)),
    Case(("agree", "pair", "x25519.pem", "-o", "out"), ("out",), _sized(32)),
    Case(
        ("keys", "wrap", "key.pem", "--for", "x25519.pem", "-o", "out"),
        ("out",),
        lambda data: len(data) > 200,
    ),
    Case(("verify-attestation", "chain", "-c", "00ff", "-r", "root")),
    Case(("doctor",)),
    Case(("algorithms",)),
    Case(("demo", "--size", "1MB")),
    Case(("--help",)),
)


def heed_interrupts() -> None:
    """Let the commands that are started notice the signals that end them, also under `nohup` or in the background."""
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_IGN:
            # what is started inherits that a signal is ignored, but no handler; here it still does nothing
            signal.signal(number, lambda *_: None)


@dataclass
class Tally:
    """What became of one command's interruptions."""

    interrupted: int = 0
    finished: int = 0
    faults: list[str] = field(default_factory=list)


class Bench:
    """A keystore and files that every command finds in order, however the one before it ended."""

    def __init__(self, folder: Path) -> None:
        heed_interrupts()
        self.folder = folder
        self.home = folder / "home"
        self.work = folder / "work"
        self.scratch = folder / "scratch"
        for one in (self.work, self.scratch):
            one.mkdir(parents=True)
        self._environment = {
            **os.environ,
            "HUKS_ASYNC_HOME": str(self.home),
            "TMPDIR": str(self.scratch),
        }
        (self.work / "big").write_bytes(random.randbytes(BIG))
        for words in (
            "keys generate files",
            "keys generate gone",
            "keys generate signer --kind ecdsa-p256",
            "keys generate code -a hmac -s 256",
            "keys generate base -a aes -s 256 -p derive",
            "keys generate pair -a x25519",
            "keys export pair -o x25519.pem",
            "keys attest signer -c 00ff -o chain",
            "keys attestation-root -o root",
            "encrypt files big -o sealed",
            "sign signer big -o signature",
        ):
            self.run(tuple(words.split()))
        key = ec.generate_private_key(ec.SECP256R1())
        (self.work / "key.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self._given = {path.name for path in self.work.iterdir()}

    def run(self, words: tuple[str, ...]) -> float:
        """Run a command to its end; the seconds it took."""
        started = time.monotonic()
        done = subprocess.run(
            [*SCRIPT, *words],
            cwd=self.work,
            env=self._environment,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        return time.monotonic() - started

    def interrupt(self, case: Case, start: list[str], after: float, tally: Tally) -> None:
        """Run a command, and press Ctrl-C so many seconds after it has taken the signals."""
        with subprocess.Popen(
            [*start, *case.words],
            cwd=self.work,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        ) as process:
            wait_until_signals_are_taken(process)
            time.sleep(after)
            with suppress(ProcessLookupError):  # it may have ended before it was looked at
                os.killpg(process.pid, signal.SIGINT)
            try:
                _, err = process.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                tally.faults.append(f"{case.name}: still there after {_PATIENCE} s")
                return
        when = f"{case.name} after {1000 * after:.0f} ms"
        if process.returncode == 0:
            tally.finished += 1
        elif process.returncode == STATUS:
            tally.interrupted += 1
        else:
            tally.faults.append(f"{when}: status {process.returncode}: {err.decode()}")
        if b"Traceback" in err or b"Exception ignored" in err:
            tally.faults.append(f"{when}: {err.decode()}")
        tally.faults += [f"{when}: {fault}" for fault in self._left_behind(case)]

    def _left_behind(self, case: Case) -> list[str]:
        faults = []
        for path in self.work.iterdir():
            if path.name in case.outputs:
                if not case.whole(path.read_bytes()):
                    faults.append(f"{path.name} is there, but not whole: {path.stat().st_size} bytes")
                path.unlink()
            elif path.name not in self._given:
                faults.append(f"{path.name} was left behind")
                path.unlink()
        for path in self.scratch.iterdir():
            faults.append(f"{path.name} was left in the temporary folder")
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if case.words[1:2] == ("delete",):
            self.run(("keys", "generate", "gone", "--replace"))
        return faults


def wait_until_signals_are_taken(process: "subprocess.Popen[bytes]") -> None:
    """Wait until the command has a handler for each signal that ends it, or was started to ignore that one."""
    # The signals are taken one after the other, and the process may be looked at between two of them. The
    # interpreter itself handles SIGINT, so that one alone says nothing of the command.
    end = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < end:
        decided = _signals(process.pid, "SigCgt") | _signals(process.pid, "SigIgn")
        if all(decided >> (number - 1) & 1 for number in ENDING):
            return
        time.sleep(0.0005)


def wait_until_it_waits(process: "subprocess.Popen[bytes]") -> None:
    """Wait until the command has begun, and then waits for something, as for a pipe that is empty."""
    wait_until_signals_are_taken(process)
    end, looks = time.monotonic() + _PATIENCE, 0
    while process.poll() is None and looks < 20 and time.monotonic() < end:
        # it may wait for a moment elsewhere, but not so often in a row
        looks = looks + 1 if _status(process.pid, "State") == "S" else 0
        time.sleep(0.01)


def _signals(pid: int, name: str) -> int:
    return int(_status(pid, name) or "0", 16)


def _status(pid: int, name: str) -> str | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next((line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:")), None)
