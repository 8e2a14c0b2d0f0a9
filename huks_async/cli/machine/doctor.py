"""`huks doctor`: what this machine and this version offer, and what needs care."""

import os
import platform
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cryptography
from cryptography.hazmat.backends.openssl import backend

import huks_async
from huks_async._version import __version__
from huks_async.cli.shell.console import show, show_json
from huks_async.cli.words.arguments import HERE, Json, Place, wrong_words
from huks_async.cli.words.parameters import KINDS, options
from huks_async.crypto.openssl_random import CAN_STIR
from huks_async.crypto.sm2.backend import sm2_backend
from huks_async.keystore.open_arguments import choose_profile, choose_store, home_folder
from huks_async.model.errors import BusinessError
from huks_async.runtime.paths import absolute
from huks_async.runtime.secret_files import too_open
from huks_async.sessions.pressure import SensorStatus, open_sensor
from huks_async.stores import SqliteStore
from huks_async.stores.sqlite.store import ROOT_KEY_SUFFIX
from huks_async.stores.sqlite.versions import loses_commits_at_checkpoints

_NOT_STIRRED = (
    "the OpenSSL below this version of cryptography cannot be given fresh randomness: clones of this machine would "
    "make the same asymmetric keys; use another version of cryptography, or do not clone it while it runs"
)


class Finding(NamedTuple):
    """One thing that was looked at."""

    good: bool
    text: str


async def doctor(*, json: Json = False, place: Place = HERE) -> int:
    """Look at versions, store, root key and sensors, and try a key out. Code 1: something needs care."""
    if place.store is not None:
        with wrong_words():
            choose_store(place.store)
    versions = _versions()
    sections = {
        "keystore": await _keystore(place),
        "memory pressure": await _sensors(),
    }
    sound = all(finding.good for findings in sections.values() for finding in findings)
    if json:
        show_json(
            {
                "sound": sound,
                "versions": versions,
                "findings": [
                    {"section": section, **finding._asdict()}
                    for section, findings in sections.items()
                    for finding in findings
                ],
            }
        )
    else:
        show("versions")
        for line in _lines(versions):
            show(f"  {line}")
        for title, findings in sections.items():
            show(title)
            for good, text in findings:
                show(f"  {'' if good else 'PROBLEM: '}{text}")
    return 0 if sound else 1


def _versions() -> dict[str, str]:
    return {
        "huks_async": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cryptography": cryptography.__version__,
        "openssl": backend.openssl_version_text(),
        "sm2": _sm2(),
        "sqlite": sqlite3.sqlite_version,
        "sqlite_reset_fault": _reset_fault(),
        "openssl_command": _openssl_command(),
        "profile": _profile(),
    }


def _lines(versions: dict[str, str]) -> list[str]:
    return [
        f"huks-async {versions['huks_async']}",
        f"Python {versions['python']} on {versions['system']}",
        f"cryptography {versions['cryptography']} with {versions['openssl']}",
        f"SM2: {versions['sm2']}",
        f"SQLite {versions['sqlite']}: {versions['sqlite_reset_fault']}",
        f"openssl command: {versions['openssl_command']}",
        f"profile: {versions['profile']}",
    ]


def _reset_fault() -> str:
    if loses_commits_at_checkpoints():
        return (
            "has the WAL-reset fault; huks_async keeps clear of it, but let no other program write the store or make "
            "checkpoints of it (litestream, sqlite3)"
        )
    return "without the WAL-reset fault"


def _sm2() -> str:
    try:
        return sm2_backend().name
    except BusinessError as error:
        # nothing is wrong with a keystore that has no use for it
        return f"none; {error.message}"


def _profile() -> str:
    try:
        return choose_profile(None)
    except BusinessError as error:
        return f"none; {error.message}"


def _openssl_command() -> str:
    program = shutil.which("openssl")
    if program is None:
        return "none (only huks demo uses it)"
    done = subprocess.run([program, "version"], capture_output=True, text=True, check=False)  # noqa: S603 -- fixed arguments
    return done.stdout.strip() or "does not answer"


async def _keystore(place: Place) -> list[Finding]:
    findings: list[Finding] = []
    if not CAN_STIR:
        findings.append(Finding(False, _NOT_STIRRED))
    try:
        findings.extend(_rights(place))
        async with place.open() as keystore:
            aliases = (await keystore.listAliases(options(**place.tags))).keyAliases
            findings.append(Finding(True, f"opens; keys at this level: {len(aliases)}"))
        async with huks_async.Keystore.open(store="memory:", load_all=False) as trial:
            await trial.generateKeyItem("doctor", options(**KINDS["aes-256-gcm"]))
            findings.append(
                Finding(await trial.hasKeyItem("doctor", options()), "makes keys (tried in memory)")
            )
    except BusinessError as error:
        findings.append(Finding(False, str(error)))
    return findings


def _rights(place: Place) -> Iterator[Finding]:
    """Who may use the files of the store, and of the folder of the default one."""
    store = choose_store(place.store)
    looked_at: set[str] = set()
    if place.store is None:
        yield from _home(looked_at)
    if isinstance(store, SqliteStore):
        try:
            files = list(_files_of(store))
        except OSError:  # the present folder is gone, which opening the store tells
            files = []
        for path in files:
            if os.path.realpath(path) not in looked_at:
                yield from _file(path)


def _files_of(store: SqliteStore) -> Iterator[Path]:
    """The files of a store that hold keys, or what they are sealed under; those of SQLite are where links lead."""
    given = absolute(store.path)
    database = os.path.realpath(given)
    yield from (Path(database + suffix) for suffix in ("", "-wal", "-shm"))
    yield from (Path(name + ROOT_KEY_SUFFIX) for name in dict.fromkeys((given, database)))


def _home(looked_at: set[str]) -> Iterator[Finding]:
    home = home_folder()
    try:
        mode = stat.S_IMODE(home.stat().st_mode)
        files = sorted(home.iterdir())
    except FileNotFoundError:
        yield Finding(True, f"{home} does not exist yet; it is made now")
        return
    except OSError as error:
        yield Finding(
            False, f"{home}: {error.strerror}; set HUKS_ASYNC_HOME to a folder that this user may read"
        )
        return
    yield Finding(not mode & 0o077, f"{home}: mode {mode:04o}{', open to others' if mode & 0o077 else ''}")
    for path in files:
        looked_at.add(os.path.realpath(path))
        yield from _file(path)


def _file(path: Path) -> Iterator[Finding]:
    try:
        facts = path.stat()
    except OSError as error:
        # not Path.is_symlink, which raises where this user may not look
        if os.path.islink(path):
            yield Finding(False, f"{path}: {error.strerror}; remove it, or restore what it leads to")
        # a store's log goes when the last program that has it open closes it
        elif not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            yield Finding(False, f"{path}: {error.strerror}")
        return
    if stat.S_ISREG(facts.st_mode):
        wrong = too_open(facts)
        yield Finding(wrong is None, f"{path} {wrong or f'has mode {stat.S_IMODE(facts.st_mode):04o}'}")


async def _sensors() -> list[Finding]:
    sensor = await open_sensor()
    try:
        status = sensor.status()
    finally:
        await sensor.aclose()
    used = [Finding(True, f"{part.name}: {part.source}") for part in _leaves(status)]
    return used + [Finding(True, f"not used: {reason}") for reason in status.passed_over]


def _leaves(status: SensorStatus) -> list[SensorStatus]:
    return [leaf for part in status.parts for leaf in _leaves(part)] or [status]
