"""Facts of the machine and of the versions, without which no figure means anything."""

import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

_PACKAGES = (
    "huks-async",
    "cryptography",
    "anyio",
    "uvloop",
    "tink",
    "pycryptodome",
    "pycryptodomex",
    "python-pkcs11",
)


def facts(folder: str) -> dict[str, Any]:
    """What runs where; `folder` is where databases were written."""
    from cryptography.hazmat.backends.openssl import backend

    import huks_async

    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()}",
        "file_system": _file_system(folder),
        "fdatasync_us": _fdatasync(folder),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "openssl_of_cryptography": backend.openssl_version_text(),
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: _version(name) for name in _PACKAGES} | {"huks-async": huks_async.__version__},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _file_system(folder: str) -> str:
    """The type of the file system, where the system tells."""
    try:
        with open("/proc/self/mounts") as file:
            mounts = [line.split()[1:3] for line in file]
    except OSError:
        return "unknown"
    path = os.path.realpath(folder)
    under = [
        (mount, kind)
        for mount, kind in mounts
        if mount == "/" or f"{path}/".startswith(f"{mount.rstrip('/')}/")
    ]
    return max(under, key=lambda each: len(each[0]))[1] if under else "unknown"


def _fdatasync(folder: str) -> float:
    """The time of the disk for a write of one page that is synced, in µs: the middle of a hundred."""
    with tempfile.TemporaryFile(dir=folder) as file:
        page = bytes(4096)
        os.pwrite(file.fileno(), page, 0)
        os.fsync(file.fileno())
        seconds = []
        for _ in range(100):
            # in place, as a log that began anew is written
            os.pwrite(file.fileno(), page, 0)
            start = time.perf_counter()
            _sync(file.fileno())
            seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds) * 1e6, 1)


_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


def openssl_speed(seconds: int = 1) -> dict[str, float] | None:
    """What the `openssl` command itself measures, for information: MB/s, and signatures per second."""
    wanted = {"AES-256-GCM 100 KB": ["-evp", "aes-256-gcm", "-bytes", "102400"]}
    wanted["AES-256-CBC 100 KB"] = ["-evp", "aes-256-cbc", "-bytes", "102400"]
    wanted["SM4-CTR 100 KB"] = ["-evp", "sm4-ctr", "-bytes", "102400"]
    found: dict[str, float] = {}
    try:
        for name, arguments in wanted.items():
            out = _speed([*arguments, "-seconds", str(seconds)])
            found[f"{name}, MB/s"] = float(out[-1].split(":")[-1]) / 1e6
        for name, algorithm in (("RSA-2048 sign/s", "rsa2048"), ("ECDSA P-256 sign/s", "ecdsap256")):
            out = _speed([algorithm, "-seconds", str(seconds)])
            # +F2:… or +F4:…: number, bits, seconds of a private and of a public operation
            found[name] = 1 / float(out[-1].split(":")[3])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError, ZeroDivisionError):
        return found or None
    return found


def _speed(arguments: list[str]) -> list[str]:
    process = subprocess.run(
        ["openssl", "speed", "-mr", "-elapsed", *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return [line for line in process.stdout.splitlines() if line.startswith("+F")]
