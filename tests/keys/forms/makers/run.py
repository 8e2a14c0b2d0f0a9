"""Make key files with the programs that are installed.

`python -m tests.keys.forms.makers.run` makes those in `files` anew that are kept there, so that the
table of key files is whole on machines without the programs. All of them are forms of the throwaway
keys in `files/base`, which protect nothing.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
FILES = HERE.parent / "files"
BASE = FILES / "base"
_JARS = [Path("/usr/share/java") / name for name in ("bcprov.jar", "bcpkix.jar", "bcutil.jar")]


class MissingProgramError(Exception):
    """A program that makes files is not installed, or too old."""


def make(maker: str, target: Path) -> None:
    """Let a maker write its files into `target`.

    Raises:
        MissingProgramError: its programs are not there.

    """
    MAKERS[maker](target)


def _shell(*programs: str) -> Callable[[Path], None]:
    def run(target: Path) -> None:
        _need(*programs)
        _run(target, "sh", str(HERE / f"{_name_of[programs]}.sh"), str(BASE), str(target))

    return run


def _java(target: Path) -> None:
    _need("java", "javac", "openssl")
    if not all(jar.exists() for jar in _JARS):
        raise MissingProgramError("BouncyCastle (libbcpkix-java)")
    with tempfile.TemporaryDirectory() as folder:
        for key in BASE.glob("*.pem"):
            shutil.copy(key, folder)
            public = Path(folder) / f"{key.stem}.spki.der"
            _run(
                target, "openssl", "pkey", "-in", str(key), "-pubout", "-outform", "DER", "-out", str(public)
            )
        classes = ":".join(map(str, _JARS))
        _run(target, "java", "-cp", classes, str(HERE / "MakeKeys.java"), folder, str(target))


def _node(target: Path) -> None:
    _need("node")
    _run(target, "node", str(HERE / "node.mjs"), str(BASE), str(target))


def _need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise MissingProgramError(program)


def _run(target: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=target, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise AssertionError(f"{command[:2]}: {done.stderr.decode('utf-8', 'replace')[-2000:]}")


_name_of = {
    ("openssl",): "openssl",
    ("ssh-keygen",): "openssh",
    ("certtool",): "gnutls",
    ("puttygen", "gpg", "age", "age-keygen", "minisign"): "others",
}
MAKERS: dict[str, Callable[[Path], None]] = {
    **{name: _shell(*programs) for programs, name in _name_of.items()},
    "java": _java,
    "node": _node,
}
KEPT = ("gnutls", "java", "node", "openssh", "others")
"""Makers whose files are kept; OpenSSL is wherever these tests run."""

if __name__ == "__main__":
    for maker in KEPT:
        target = FILES / maker
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        make(maker, target)
        for file in target.iterdir():
            file.chmod(0o644)
        print(f"{maker}: {len(list(target.iterdir()))} files")
