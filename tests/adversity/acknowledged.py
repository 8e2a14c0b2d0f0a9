"""What tests of several processes share: a record of what was acknowledged, and a look from outside at what is there.

A key's bytes follow from its alias, so that whoever knows the alias can tell whether the key is the right one.
"""

import asyncio
import contextlib
import hashlib
import hmac
import importlib
import json
import os
import pickle
import select
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import huks_async as huks
from huks_async.stores import SqliteStore
from tests.adversity import support

PATIENCE = 240.0
"""Seconds after which something hangs. Far above what anything takes, also on a machine with much else to do."""

TEXT = b"text"


def key_of(alias: str) -> bytes:
    return hashlib.sha256(b"key of " + alias.encode()).digest()


def mac_of(key: bytes) -> bytes:
    return hmac.digest(key, TEXT, hashlib.sha256)


async def make(keystore: huks.Keystore, alias: str, key: bytes | None = None) -> None:
    await keystore.importKeyItem(alias, support.imported(support.HMAC_KEY, key or key_of(alias)))


async def use(keystore: huks.Keystore, alias: str) -> bytes | None:
    """The MAC of a text under a key; None where there is no such key."""
    try:
        handle = (await keystore.initSession(alias, support.HMAC)).handle
    except huks.BusinessError as error:
        if error.code != 12000011:
            raise
        return None
    return (await keystore.finishSession(handle, support.data(TEXT))).outData


class Record:
    """Lines that any process adds, and that outlive each of them."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(self, kind: str, *values: object) -> None:
        # on a line of its own also behind one that a kill has cut short
        os.write(self._descriptor, f"\n{json.dumps([kind, *values])}\n".encode())

    def failed(self, what: str, error: BaseException) -> None:
        """Note an error: `told` for the documented answers, `wrong` with all that is known for others."""
        code = error.code if isinstance(error, huks.BusinessError) else 0
        if code in (12000004, 12000012):
            self.note("told", what, code, str(error))
        else:
            self.note("wrong", what, code, "".join(traceback.format_exception(error))[-2000:])

    def read(self) -> list[list[Any]]:
        """All that was noted: not a line that is being added while we read, nor one whose process was killed in it."""
        found = []
        with open(self.path, encoding="utf-8") as file:
            for line in file:
                with contextlib.suppress(json.JSONDecodeError):
                    found.append(json.loads(line))
        return found

    def of(self, kind: str) -> list[list[Any]]:
        return [line[1:] for line in self.read() if line[0] == kind]


class Hang(Exception):
    """Something did not end."""


def fork_to(function: Callable[[], object]) -> int:
    """Run a function in a child process, which ends when it returns; gives the process id.

    Only for processes that have not opened a keystore.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        function()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def reap(child: int, seconds: float = PATIENCE) -> int:
    """Wait for a child and give its wait status; one that does not end is killed, and `Hang` raised."""
    descriptor = os.pidfd_open(child)
    try:
        ended, _, _ = select.select([descriptor], [], [], seconds)
        if not ended:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    finally:
        os.close(descriptor)
    if not ended:
        raise Hang(f"process {child} did not end within {seconds} s")
    return status


def in_child(function: Callable[..., Any], *arguments: Any, seconds: float = PATIENCE) -> Any:
    """Call a function in a process of its own and give its result, or raise what it raised."""
    reading, writing = os.pipe()

    def call() -> None:
        os.close(reading)
        try:
            answer: tuple[Any, BaseException | None] = function(*arguments), None
        except BaseException as error:
            traceback.print_exc()
            answer = None, error
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)

    child = fork_to(call)
    os.close(writing)
    end = time.monotonic() + seconds
    answer = b""
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], max(0, end - time.monotonic()))
            piece = pipe.read(1 << 16) if ready else b""
            if not piece:
                break
            answer += piece
    reap(child, max(0, end - time.monotonic()))
    result, error = pickle.loads(answer)
    if error is not None:
        raise error
    return result


def _loaded_by_use() -> list[str]:
    before = set(sys.modules)
    with tempfile.TemporaryDirectory() as folder:

        async def main() -> None:
            async with huks.Keystore.open(f"sqlite:///{folder}/keystore.db", monitor=False) as keystore:
                await make(keystore, "key")
                await use(keystore, "key")

        asyncio.run(main())
    return sorted(set(sys.modules) - before)


def preload() -> None:
    """Load what a keystore loads when it is used, once, and not in each child; without opening one in this process."""
    for name in in_child(_loaded_by_use):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


class Found(NamedTuple):
    """What a look at a store finds."""

    lost: list[str]
    """Wanted aliases without a key, or with another one than was acknowledged."""
    damage: str
    """What is damaged, the empty text where nothing is."""
    aliases: set[str]


async def _look(
    path: str, wanted: Iterable[str], others: Iterable[str]
) -> tuple[list[str], list[str], set[str]]:
    lost, damaged = [], []
    async with huks.Keystore.open(SqliteStore(path, busy_timeout=10), monitor=False) as keystore:
        aliases = set((await keystore.listAliases(support.NONE)).keyAliases)
        for alias in sorted(set(wanted) | aliases):
            try:
                mac = await use(keystore, alias)
            except huks.BusinessError as error:
                damaged.append(f"{alias} does not open: {error}")
                continue
            if alias in others and mac is not None:
                continue
            if mac is None or mac != mac_of(key_of(alias)):
                (lost if alias in wanted else damaged).append(alias)
    return lost, damaged, aliases


def integrity(path: str) -> str:
    """SQLite's own judgement of a database; the empty text where it is sound."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    except sqlite3.Error as error:
        return f"integrity_check: {error}"
    return "" if found == ["ok"] else f"integrity_check: {found[:3]}"


def _look_at(path: str, wanted: set[str], others: set[str]) -> Found:
    try:
        lost, damaged, aliases = asyncio.run(_look(path, wanted, others))
    except (huks.BusinessError, sqlite3.Error) as error:
        return Found(sorted(wanted), f"does not open: {error}", set())
    return Found(lost, "; ".join(damaged[:3]), aliases)


def look(path: str, wanted: Iterable[str], others: Iterable[str] = ()) -> Found:
    """Open a store in a new process and use each key: those wanted, and all that are there.

    Args:
        path: the database.
        wanted: aliases that must be there with the key that belongs to them.
        others: aliases that may have any key.

    """
    if not os.path.exists(path):
        return Found(sorted(wanted), "is not there", set())
    found: Found = in_child(_look_at, path, set(wanted), set(others))
    damage = in_child(integrity, path)
    return found._replace(damage="; ".join(filter(None, [found.damage, damage])))
