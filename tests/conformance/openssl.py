"""OpenSSL's command line, as the other side of a test."""

import shutil
import subprocess
from pathlib import Path

import pytest


class OpenSsl:
    """Runs `openssl` in a folder of its own.

    Args:
        folder: for keys and data that it takes from files only.

    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("openssl")
        if program is None:
            pytest.skip("OpenSSL's command line is not installed")
        self._program = program
        self._folder = folder

    @property
    def version(self) -> tuple[int, ...]:
        """Of the program: (3, 0, 19)."""
        words = self.run("version").decode().split()
        return tuple(int(part) for part in words[1].split("-")[0].split("."))

    def file(self, name: str, data: bytes) -> str:
        """Write `data` to a file and give its path."""
        path = self._folder / name
        path.write_bytes(data)
        return str(path)

    def run(self, *arguments: str, given: bytes = b"") -> bytes:
        """What it writes; fails the test where it ends with an error."""
        done = self._run(arguments, given)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def accepts(self, *arguments: str, given: bytes = b"") -> bool:
        """Whether it ends well."""
        return self._run(arguments, given).returncode == 0

    def need(self, what: str, *arguments: str) -> None:
        """Skip the test where this build cannot do `what`, which these arguments try."""
        done = self._run(arguments, b"")
        if done.returncode != 0:
            reason = done.stderr.decode().strip().splitlines()
            pytest.skip(f"this OpenSSL has no {what}: {reason[0] if reason else 'no reason given'}")

    def new_key(self, *arguments: str) -> tuple[str, bytes]:
        """Make a key pair: the file of the private half (PEM), and the SubjectPublicKeyInfo (DER)."""
        path = str(self._folder / "theirs.pem")
        self.run("genpkey", *arguments, "-out", path)
        return path, self.run("pkey", "-in", path, "-pubout", "-outform", "DER")

    def _run(self, arguments: tuple[str, ...], given: bytes) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run([self._program, *arguments], input=given, capture_output=True, check=False)
