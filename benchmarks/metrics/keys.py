"""Keys and the store: opening cached and uncached keys, generating them durably, and very many of them."""

import asyncio
import itertools
import os
import random
import sqlite3
import tempfile
import time
from contextlib import closing

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

import huks_async as huks
from benchmarks import ours
from benchmarks.measuring import Case, Clock, Run, Settings, interleave
from benchmarks.metric import Outcome, metric

_NO_CACHE = huks.KeyCache(keys=0)


def _inits(keystore: huks.Keystore, aliases: list[str]) -> Run:
    """`initSession` alone: the sessions are aborted after the clock was stopped."""
    chosen = itertools.cycle(aliases)

    async def run(times: int) -> float:
        start = time.perf_counter()
        sessions = [await keystore.initSession(next(chosen), ours.SESSIONS["gcm"]) for _ in range(times)]
        passed = time.perf_counter() - start
        for session in sessions:
            await keystore.abortSession(session.handle, ours.options({}))
        return passed

    return run


@metric(11, "cached-key", "init with a cached key / with an uncached key", target=0.1, floor=0.2)
async def cached(settings: Settings) -> Outcome:
    """`initSession` on a key that is kept ready against one that is read and unsealed each time."""
    async with (
        ours.open_keystore(settings, "gcm") as keeping,
        ours.open_keystore(settings, "gcm", key_cache=_NO_CACHE) as reading,
    ):
        samples = await interleave(
            settings,
            [Case("cached", _inits(keeping, ["gcm"])), Case("uncached", _inits(reading, ["gcm"]))],
        )
    return Outcome(values=samples.ratios("cached", "uncached"), parts=samples.microseconds())


def _generations(keystore: huks.Keystore, tasks: int) -> Run:
    """Generate keys under new aliases, `tasks` at once; repetitions are keys."""
    numbers = itertools.count()

    async def one_task(times: int) -> None:
        for _ in range(times):
            await keystore.generateKeyItem(f"{tasks}-{next(numbers)}", ours.KEYS["gcm"])

    async def run(times: int) -> None:
        each, rest = divmod(times, tasks)
        await asyncio.gather(*(one_task(each + (number < rest)) for number in range(tasks)))

    return run


@metric(12, "generate", "durable generate AES / inline SQLite insert", target=1.8, floor=2.5)
async def generate(settings: Settings) -> Outcome:
    """`generateKeyItem` until the key is on disk, against a bare insert of as many bytes as its row has, also synced."""
    return await _against_insert(settings, time.perf_counter)


@metric(23, "generate-cpu", "processor time of a durable generate / of the inline insert", target=2, floor=3)
async def generate_processor(settings: Settings) -> Outcome:
    """The same in processor time of all threads: what we do ourselves, without the waiting for the disk."""
    return await _against_insert(settings, time.process_time)


async def _against_insert(settings: Settings, clock: Clock) -> Outcome:
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        async with ours.open_keystore(settings, "gcm") as keystore:
            size = len(_only_blob(keystore))
            with closing(_plain_table(folder)) as connection:
                numbers = itertools.count()

                def insert(times: int) -> None:
                    for _ in range(times):
                        connection.execute(
                            "INSERT INTO item VALUES (?, ?)", (f"{next(numbers)}", os.urandom(size))
                        )

                samples = await interleave(
                    settings,
                    [Case("generateKeyItem", _generations(keystore, 1)), Case("SQLite insert", insert)],
                    times=40 if settings.quick else 200,
                    clock=clock,
                )
    return Outcome(values=samples.ratios("generateKeyItem", "SQLite insert"), parts=samples.microseconds())


def _plain_table(folder: str) -> sqlite3.Connection:
    connection = sqlite3.connect(os.path.join(folder, "plain.db"), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE item (alias TEXT PRIMARY KEY, blob BLOB) WITHOUT ROWID")
    return connection


@metric(13, "generate-tasks", "durable generate: 64 tasks / one, throughput", target=10, floor=5, higher=True)
async def generate_together(settings: Settings) -> Outcome:
    """Keys that 64 tasks generate at once against one after the other: commits are shared."""
    async with ours.open_keystore(settings) as keystore:
        samples = await interleave(
            settings,
            [Case("one task", _generations(keystore, 1)), Case("64 tasks", _generations(keystore, 64))],
            times=256 if settings.quick else 640,
        )
    return Outcome(
        values=samples.ratios("one task", "64 tasks"),
        parts={case: 1 / samples.median(case) for case in samples.seconds},
        unit="keys/s",
    )


_TOGETHER = 64


@metric(
    24,
    "generate-tasks-cpu",
    "64 tasks generating / bare executemany, processor time",
    target=0.6,
    floor=0.4,
    higher=True,
)
async def generate_together_processor(settings: Settings) -> Outcome:
    """Keys that 64 tasks generate at once, against the least that makes such rows: 64 in each commit on both sides."""
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        async with ours.open_keystore(settings, "gcm") as keystore:
            blob = _only_blob(keystore)
            with closing(_plain_rows(folder)) as connection:
                samples = await interleave(
                    settings,
                    [
                        Case("64 tasks", _generations(keystore, _TOGETHER)),
                        Case("executemany", _bare_generations(connection, blob)),
                    ],
                    times=256 if settings.quick else 640,
                    clock=time.process_time,
                )
    return Outcome(values=samples.ratios("executemany", "64 tasks"), parts=samples.microseconds())


def _plain_rows(folder: str) -> sqlite3.Connection:
    connection = _plain_table(folder)
    connection.execute(
        "CREATE TABLE row (namespace BLOB, level INTEGER, alias BLOB, version INTEGER, blob BLOB, "
        "PRIMARY KEY (namespace, level, alias)) WITHOUT ROWID"
    )
    return connection


def _bare_generations(connection: sqlite3.Connection, blob: bytes) -> Run:
    """Make, seal and insert keys by direct calls; each row is as large as `blob`."""
    cipher = AESSIV(os.urandom(64))
    # what is sealed is the key and 14 bytes that describe it; the seal adds 16, and 16 random bytes stand before
    head = blob[: -(16 + 16 + 14 + 32)]
    numbers = itertools.count()

    def row() -> tuple[bytes, int, bytes, int, bytes]:
        number = next(numbers)
        alias, random_part = f"64-{number}".encode(), os.urandom(16)
        sealed = cipher.encrypt(bytes(14) + os.urandom(32), [b"default" + alias + head, random_part])
        return b"default", 1, alias, number, head + random_part + sealed

    def run(times: int) -> None:
        for _ in range(times // _TOGETHER):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO row VALUES (?, ?, ?, ?, ?)", [row() for _ in range(_TOGETHER)]
            )
            connection.execute("COMMIT")

    return run


@metric(
    14,
    "million-keys",
    "init (uncached) with 10⁶ stored keys / with 10³",
    quick_title="init (uncached) with 10⁵ stored keys / with 10³",
    target=4,
    floor=6,
)
async def among_many(settings: Settings) -> Outcome:
    """`initSession` on random keys of a large store, against those of a small one; nothing is cached."""
    few, many = 1_000, 100_000 if settings.quick else 1_000_000
    async with (
        ours.open_keystore(settings, key_cache=_NO_CACHE) as small,
        ours.open_keystore(settings, key_cache=_NO_CACHE) as large,
    ):
        cases = []
        for keystore, count in ((small, few), (large, many)):
            # known keys, in an order that has nothing to do with their places in the file
            aliases = [os.urandom(8).hex() for _ in range(min(count, 5_000))]
            tasks = (keystore.generateKeyItem(alias, ours.KEYS["gcm"]) for alias in aliases)
            await asyncio.gather(*tasks)
            _fill(_path(keystore), count - len(aliases))
            random.shuffle(aliases)
            cases.append(Case(f"{count} keys", _inits(keystore, aliases)))
        samples = await interleave(settings, cases)
    return Outcome(values=samples.ratios(f"{many} keys", f"{few} keys"), parts=samples.microseconds())


def _path(keystore: huks.Keystore) -> str:
    store = keystore._store
    assert isinstance(store, huks.SqliteStore)
    return store.path


def _only_blob(keystore: huks.Keystore) -> bytes:
    """The sealed item of the one key that is in the store."""
    with closing(sqlite3.connect(_path(keystore))) as stored:
        ((blob,),) = stored.execute("SELECT blob FROM item").fetchall()
    assert isinstance(blob, bytes)
    return blob


def _fill(path: str, rows: int) -> None:
    """Put keys that nobody will open into the store's file, as large as real ones."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        sample = connection.execute("SELECT namespace, level, version, blob FROM item LIMIT 1").fetchone()
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        namespace, level, version, blob = sample
        connection.executemany(
            "INSERT INTO item VALUES (?, ?, ?, ?, ?)",
            (
                (namespace, level, alias, version, blob)
                for alias in sorted(os.urandom(8).hex().encode() for _ in range(rows))
            ),
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
