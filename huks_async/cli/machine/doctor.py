"""`huks doctor`: what this machine and this version offer, and what needs care."""

import os
import platform
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator

import cryptography
from cryptography.hazmat.backends.openssl import backend

import huks_async
from huks_async._version import __version__
from huks_async.cli.shell.console import show
from huks_async.cli.words.arguments import HERE, Place
from huks_async.cli.words.parameters import KINDS, options
from huks_async.keystore.opening import home_folder
from huks_async.model.errors import BusinessError
from huks_async.sessions.pressure import SensorStatus, open_sensor


async def doctor(*, place: Place = HERE) -> int:
    """Look at versions, store, root key and sensors, and try a key out. Code 1: something needs care."""
    problems = 0
    sections = {
        "versions": _versions(),
        "keystore": await _keystore(place),
        "memory pressure": await _sensors(),
    }
    for title, lines in sections.items():
        show(title)
        for good, text in lines:
            show(f"  {'' if good else 'PROBLEM: '}{text}")
            problems += not good
    return 1 if problems else 0


Finding = tuple[bool, str]


def _versions() -> list[Finding]:
    return [
        (True, f"huks-async {__version__}"),
        (True, f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"),
        (True, f"cryptography {cryptography.__version__} with {backend.openssl_version_text()}"),
        (True, f"SQLite {sqlite3.sqlite_version}"),
        (True, f"openssl command: {_openssl_command()}"),
        (True, f"profile: {os.environ.get('HUKS_ASYNC_PROFILE', 'server')}"),
    ]


def _openssl_command() -> str:
    program = shutil.which("openssl")
    if program is None:
        return "none (only huks demo uses it)"
    done = subprocess.run([program, "version"], capture_output=True, text=True, check=False)  # noqa: S603 -- fixed arguments
    return done.stdout.strip() or "does not answer"


async def _keystore(place: Place) -> list[Finding]:
    findings: list[Finding] = list(_home()) if place.store is None else []
    try:
        async with place.open() as keystore:
            aliases = (await keystore.listAliases(options(**place.tags))).keyAliases
            findings.append((True, f"opens; {len(aliases)} keys at this level"))
        async with huks_async.Keystore.open(store="memory:") as trial:
            await trial.generateKeyItem("doctor", options(**KINDS["aes-256-gcm"]))
            findings.append((await trial.hasKeyItem("doctor", options()), "makes keys (tried in memory)"))
    except BusinessError as error:
        findings.append((False, str(error)))
    return findings


def _home() -> Iterator[Finding]:
    home = home_folder()
    if not home.exists():
        yield True, f"{home} does not exist yet; it is made now"
        return
    for path in sorted((home, *home.iterdir())):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path == home or path.is_file():
            yield not mode & 0o077, f"{path}: mode {mode:04o}{', open to others' if mode & 0o077 else ''}"


async def _sensors() -> list[Finding]:
    sensor = await open_sensor()
    try:
        status = sensor.status()
    finally:
        await sensor.aclose()
    used = [(True, f"{part.name}: {part.source}") for part in _leaves(status)]
    return used + [(True, f"not used: {reason}") for reason in status.passed_over]


def _leaves(status: SensorStatus) -> list[SensorStatus]:
    return [leaf for part in status.parts for leaf in _leaves(part)] or [status]
