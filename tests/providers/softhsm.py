"""Tokens of SoftHSM, also behind a library that can be told to fail or to hang."""

import ctypes
import ctypes.util
import gc
import os
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

PIN = b"123456"
_PLACES = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    ctypes.util.find_library("softhsm2") or "",
]
MODULE = next((place for place in _PLACES if place and os.path.exists(place)), None)
COMPILER = shutil.which("cc")
LABEL = "one"
OTHER = "two"

needs_token = pytest.mark.skipif(
    MODULE is None or shutil.which("softhsm2-util") is None, reason="SoftHSM2 is not installed"
)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="cc is not installed")

REMOVED, DEVICE_MEMORY, PIN_LOCKED, FINAL_TRY, NOT_LOGGED_IN = 0x32, 0x31, 0xA4, 0, 0x101
TOKEN_INFO, LOGIN, ENCRYPT_INIT = 6, 18, 29


@dataclass
class Slot:
    """Where the token's files are, and the fault of the library before it."""

    folder: Path
    module: str
    label: str = LABEL

    @property
    def _files(self) -> Path:
        return self.folder / "tokens"

    def pull_out(self) -> None:
        self._files.rename(self.folder / "elsewhere")

    def put_back(self) -> None:
        (self.folder / "elsewhere").rename(self._files)

    def fail(self, code: int, function: int | None = None) -> None:
        self._say(str(code) if function is None else f"{code}@{function}")

    def hang(self) -> None:
        self._say("hang")

    def work(self) -> None:
        (self.folder / "fault").unlink(missing_ok=True)

    def sessions(self) -> int:
        """How many sessions of this process are open, as far as the library before the token was asked for them."""
        return self._count("open_sessions")

    def calls(self) -> tuple[int, int]:
        """How many calls are inside the library before the tokens, and how many there ever were at once."""
        return self._count("calls_inside"), self._count("calls_at_once")

    def _count(self, name: str) -> int:
        return ctypes.c_long.in_dll(ctypes.CDLL(self.module), name).value

    def _say(self, text: str) -> None:
        (self.folder / "fault.new").write_text(text)
        (self.folder / "fault.new").rename(self.folder / "fault")


def make_tokens(folder: Path, patch: pytest.MonkeyPatch, *labels: str) -> str:
    """Fresh tokens, and the environment that a process needs to see them; gives the name of the library."""
    assert MODULE is not None
    (folder / "tokens").mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    patch.setenv("SOFTHSM2_CONF", str(config))
    for label in labels:
        command = [
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            label,
            "--so-pin",
            "87654321",
            "--pin",
        ]
        subprocess.run([*command, PIN.decode()], check=True, capture_output=True)
    return MODULE


def make_slot(folder: Path, patch: pytest.MonkeyPatch) -> Slot:
    """Two fresh tokens behind the shim."""
    module = make_tokens(folder, patch, LABEL, OTHER)
    patch.setenv("PKCS11_REAL", module)
    patch.setenv("PKCS11_FAULT", str(folder / "fault"))
    if COMPILER is not None:
        module = str(folder / "shim.so")
        source = Path(__file__).with_name("shim.c")
        subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", module, str(source), "-ldl"], check=True)
    return Slot(folder, module)


def log_out(slot_id: int) -> None:
    """Log the token in a slot out, as other code of this process does, or a token by itself."""
    assert MODULE is not None
    library, handle = ctypes.CDLL(MODULE), ctypes.c_ulong()
    serial_and_writing = 6
    told = [
        library.C_OpenSession(
            ctypes.c_ulong(slot_id), ctypes.c_ulong(serial_and_writing), None, None, ctypes.byref(handle)
        ),
        library.C_Logout(handle),
        library.C_CloseSession(handle),
    ]
    assert told == [0, 0, 0]


def let_threads_end() -> None:
    """Wait for the threads of tokens that earlier tests have closed, which end their sessions by themselves."""
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith("huks-token"):
            thread.join(120)


def end_library(module: str) -> None:
    """End SoftHSM in this process, so that the next tests can begin it with a token of their own, by any name.

    python-pkcs11 knows a library by its path and begins it anew when it is asked for again, but only if it was
    asked to end it. The shim and what it loads are two paths to one library.
    """
    import pkcs11

    let_threads_end()
    pkcs11.lib(module).finalize()
