"""A store's files are read, copied, moved, removed and replaced under four writers that come and go.

    python -m tests.adversity.store_files [events] [seed]

What must hold, with times on one clock for all processes:
- Between two events the path names one *incarnation* of the store: the files that are there. A key whose call began
  and was acknowledged while one incarnation was in place is in that one's files, wherever they have been moved
  since; one whose call overlaps with an event is in one of the two. Only what was in files that the operator removed
  is the operator's. Calls that overlap with an event of several steps are not counted where the key is in none.
- No incarnation is damaged: SQLite's integrity check, and each key opens and is the right one.
- A use that begins after a replace or deletion was acknowledged in the incarnation in place does not get an
  older key, nor one of an incarnation that is not in place.
- The only errors are 12000004 and 12000012, nobody hangs, and after the last event keys are made again.
"""

import asyncio
import contextlib
import math
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any

import huks_async as huks
from huks_async.stores import SqliteStore
from tests.adversity import support
from tests.adversity.acknowledged import (
    PATIENCE,
    Hang,
    Record,
    fork_to,
    in_child,
    look,
    mac_of,
    make,
    preload,
    reap,
    use,
)

NAME = "keystore.db"
WRITERS = 4
EVENTS_OF_A_ROUND = 6
HOT = "hot"
"""The alias that all writers replace, delete and use."""


# --- writers -------------------------------------------------------------------------------------------------------


class Writer:
    """Makes keys, uses one that others change, and reads the store's files, until it is told to end.

    Sometimes its process has the store open otherwise, too: by a second keystore, which is seldom used, or by a
    connection of its own to SQLite, which only reads. These keep files open that lost their names.
    """

    def __init__(self, home: str, record: Record, prefix: str, seed: int) -> None:
        self.home, self.record, self.prefix = home, record, prefix
        self.rng = random.Random(seed)
        self.ending = False
        self._number = 0

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "ending", True))
        asyncio.run(self._main())

    async def _main(self) -> None:
        while not self.ending:
            end = time.monotonic() + self.rng.uniform(0.05, 0.8)
            try:
                async with contextlib.AsyncExitStack() as opened:
                    keystore = await opened.enter_async_context(self._keystore())
                    second = await self._open_otherwise(opened)
                    failures = 0
                    while not self.ending and time.monotonic() < end and failures < 5:
                        try:
                            await self._act(second if second and self.rng.random() < 0.02 else keystore)
                        except huks.BusinessError as error:
                            failures += 1
                            self.record.failed(self.prefix, error)
                            await asyncio.sleep(0.01)
            except Exception as error:
                self.record.failed(self.prefix, error)
                await asyncio.sleep(0.02)

    def _keystore(self) -> huks.Keystore:
        return huks.Keystore.open(SqliteStore(f"{self.home}/{NAME}", busy_timeout=5), monitor=False)

    async def _open_otherwise(self, opened: contextlib.AsyncExitStack) -> huks.Keystore | None:
        chance = self.rng.random()
        if chance < 0.3:
            return await opened.enter_async_context(self._keystore())
        if chance < 0.5:
            # one that may write would take away, when it is closed as the last one, a log that killed writers have left
            with contextlib.suppress(sqlite3.Error):
                plain = sqlite3.connect(f"file:{self.home}/{NAME}?mode=ro", uri=True)
                opened.callback(plain.close)
                plain.execute("SELECT count(*) FROM item").fetchall()
        return None

    async def _act(self, keystore: huks.Keystore) -> None:
        chance = self.rng.random()
        if chance < 0.55:
            self._number += 1
            alias = f"{self.prefix}-{self._number}"
            begin = time.monotonic()
            await make(keystore, alias)
            self.record.note("key", begin, time.monotonic(), alias)
        elif chance < 0.8:
            begin = time.monotonic()
            mac = await use(keystore, HOT)
            self.record.note("use", begin, time.monotonic(), None if mac is None else mac.hex())
        elif chance < 0.9:
            content = time.monotonic_ns().to_bytes(32, "big")
            await self._change(mac_of(content).hex(), lambda: make(keystore, HOT, content))
        elif chance < 0.93:
            await self._change(None, lambda: _delete(keystore))
        else:
            self._read_files()
        await asyncio.sleep(0.002)

    async def _change(self, value: str | None, change: Callable[[], Any]) -> None:
        begin = time.monotonic()
        self.record.note("changing", begin, value)
        await change()
        self.record.note("changed", begin, time.monotonic(), value)

    def _read_files(self) -> None:
        """What an application does that makes a checksum of its files, or a copy."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self.home):
                with contextlib.suppress(OSError), open(f"{self.home}/{name}", "rb") as file:
                    file.read()
            with contextlib.suppress(OSError):
                shutil.copyfile(f"{self.home}/{NAME}", f"{self.home}/../copy-{self.prefix}")


async def _delete(keystore: huks.Keystore) -> None:
    try:
        await keystore.deleteKeyItem(HOT, support.NONE)
    except huks.BusinessError as error:
        if error.code != 12000011:
            raise


# --- events --------------------------------------------------------------------------------------------------------


@dataclass
class Incarnation:
    """Files that the path names for a time."""

    path: str | None
    """Where they are now; None: removed by the operator."""
    placed: list[tuple[float, float]]
    initial: str | EllipsisType | None = None
    """What the hot key is at first; `...` where that cannot be known."""

    def in_place(self, begin: float, end: float) -> bool:
        return any(start <= end and begin <= stop for start, stop in self.placed)


@dataclass
class Round:
    """One store, its writers, and the operator who handles its files."""

    base: str
    rng: random.Random
    record: Record
    incarnations: list[Incarnation] = field(default_factory=list)
    steps: list[tuple[float, float]] = field(default_factory=list)
    """When events of several steps took place."""
    story: list[str] = field(default_factory=list)
    _asides: int = 0

    @property
    def home(self) -> str:
        return f"{self.base}/home"

    @property
    def path(self) -> str:
        return f"{self.home}/{NAME}"

    @property
    def current(self) -> Incarnation:
        return self.incarnations[-1]

    def aside(self) -> str:
        self._asides += 1
        return f"{self.base}/aside-{self._asides}"

    def _event(self, act: Callable[[], None], *, several: bool = False) -> tuple[float, float]:
        begin = time.monotonic()
        act()
        end = time.monotonic()
        if several:
            self.steps.append((begin, end))
        return begin, end

    def _leaves(self, incarnation: Incarnation, end: float) -> None:
        start, _ = incarnation.placed[-1]
        incarnation.placed[-1] = start, end

    def _comes(self, begin: float, initial: Any = None) -> None:
        self.incarnations.append(Incarnation(self.path, [(begin, math.inf)], initial))

    def returns(self, incarnation: Incarnation, begin: float) -> None:
        incarnation.placed.append((begin, math.inf))
        incarnation.path = self.path
        # the one in place is the last of the list
        self.incarnations.remove(incarnation)
        self.incarnations.append(incarnation)

    # Each event gives what is done a moment later, or None.

    def move_folder(self) -> Callable[[], None]:
        old, aside = self.current, self.aside()
        begin, end = self._event(lambda: os.rename(self.home, aside))
        old.path = f"{aside}/{NAME}"
        self._leaves(old, end)
        self._comes(begin)

        def back() -> None:
            new, other = self.current, self.aside()

            def act() -> None:
                for _ in range(1000):
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(self.home, other)
                        new.path = f"{other}/{NAME}"
                    try:
                        os.rename(aside, self.home)
                        return
                    except OSError:  # a writer was faster and has made the folder again
                        shutil.rmtree(f"{self.base}/between", ignore_errors=True)
                        with contextlib.suppress(FileNotFoundError):
                            os.rename(self.home, f"{self.base}/between")
                raise Hang("the folder cannot be moved back")

            begin, end = self._event(act, several=True)
            self._leaves(new, end)
            self.returns(old, begin)

        return back

    def remove_folder(self) -> None:
        """All at once, as far as writers can see: renamed first."""
        old, aside = self.current, self.aside()
        begin, end = self._event(lambda: os.rename(self.home, aside))
        old.path = None
        self._leaves(old, end)
        self._comes(begin)
        shutil.rmtree(aside)

    def _move_files(self, source: str, target: str, endings: tuple[str, ...]) -> None:
        os.makedirs(target, exist_ok=True)
        for ending in endings:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{source}/{NAME}{ending}", f"{target}/{NAME}{ending}")
        with contextlib.suppress(FileNotFoundError, shutil.SameFileError):
            shutil.copyfile(f"{self.home}/{NAME}.root-key", f"{target}/{NAME}.root-key")
            os.chmod(f"{target}/{NAME}.root-key", 0o600)

    def _move_database(self, endings: tuple[str, ...]) -> Callable[[], None]:
        old, aside = self.current, self.aside()
        begin, end = self._event(lambda: self._move_files(self.home, aside, endings), several=True)
        old.path = f"{aside}/{NAME}"
        self._leaves(old, end)
        self._comes(begin)

        def back() -> None:
            new, other = self.current, self.aside()

            def act() -> None:
                if os.path.exists(self.path):  # a new store was begun meanwhile
                    self._move_files(self.home, other, ("", "-wal", "-shm"))
                    new.path = f"{other}/{NAME}"
                for ending in endings:
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(f"{aside}/{NAME}{ending}", f"{self.home}/{NAME}{ending}")

            begin, end = self._event(act, several=True)
            self._leaves(new, end)
            self.returns(old, begin)

        return back

    def move_database(self) -> Callable[[], None]:
        """Database, log and shared memory, one after the other, and back."""
        return self._move_database(("", "-wal", "-shm"))

    def move_database_alone(self) -> Callable[[], None]:
        """The database without its log, and back."""
        return self._move_database(("",))

    def remove_database(self) -> None:
        """Database, log and shared memory; their folder and the root key stay."""
        old = self.current

        def act() -> None:
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.path}{ending}")

        begin, end = self._event(act, several=True)
        old.path = None
        self._leaves(old, end)
        self._comes(begin)

    def remove_database_alone(self) -> Callable[[], None]:
        """The database without its log. If that makes writers stop, the log goes, too."""
        old = self.current
        begin, end = self._event(lambda: os.unlink(self.path))
        old.path = None
        self._leaves(old, end)
        self._comes(begin)

        def later() -> None:
            if not os.path.exists(self.path):
                self.remove_database()

        return later

    def _lose_log(self, act: Callable[[], None]) -> None:
        """What the log held is the operator's from here on; the store that is left goes on."""
        old = self.current
        begin, end = self._event(act)
        old.path = None
        self._leaves(old, end)
        self._comes(begin, ...)

    def remove_log(self) -> None:
        self._lose_log(lambda: _unlink(f"{self.path}-wal"))

    def move_log(self) -> None:
        """The log, for good: where others have begun a new one, an old one is not to come back."""
        self._lose_log(lambda: _rename(f"{self.path}-wal", self.aside()))

    def replace_log(self) -> None:
        """The log, by an empty one."""
        self._lose_log(lambda: self._put(f"{self.path}-wal", b""))

    def _put(self, path: str, content: bytes) -> None:
        draft = self.aside()
        with open(draft, "wb") as file:
            file.write(content)
        os.chmod(draft, 0o600)
        os.rename(draft, path)

    def remove_shared_memory(self) -> None:
        self._event(lambda: _unlink(f"{self.path}-shm"))

    def move_shared_memory(self) -> None:
        self._event(lambda: _rename(f"{self.path}-shm", self.aside()))

    def replace_shared_memory(self) -> None:
        self._event(lambda: self._put(f"{self.path}-shm", self.rng.randbytes(32768)))

    def _lock_files(self) -> list[str]:
        ours = {NAME, f"{NAME}-wal", f"{NAME}-shm", f"{NAME}.root-key"}
        return [
            f"{self.home}/{name}" for name in os.listdir(self.home) if name not in ours and ".new" not in name
        ]

    def remove_lock(self) -> None:
        self._event(lambda: [_unlink(path) for path in self._lock_files()] and None)

    def move_lock(self) -> Callable[[], None]:
        """The lock's file, and back over the one that was made meanwhile."""
        moved = [(path, self.aside()) for path in self._lock_files()]
        self._event(lambda: [_rename(path, aside) for path, aside in moved] and None)
        return lambda: [_rename(aside, path) for path, aside in moved] and None

    def replace_lock(self) -> None:
        self._event(lambda: [self._put(path, b"") for path in self._lock_files()] and None)

    def replace_by_older(self) -> None:
        """Database and root key, by the copies that were made when the store was new; log and shared memory go."""
        old, draft, key = self.current, self.aside(), self.aside()
        for source, copy in ((f"{self.base}/older.db", draft), (f"{self.base}/older.root-key", key)):
            shutil.copyfile(source, copy)
            os.chmod(copy, 0o600)

        def act() -> None:
            _unlink(f"{self.path}-wal")
            _unlink(f"{self.path}-shm")
            _rename(key, f"{self.path}.root-key")
            os.rename(draft, self.path)
            # a log that somebody has begun between is not this database's
            _unlink(f"{self.path}-wal")
            _unlink(f"{self.path}-shm")

        begin, end = self._event(act, several=True)
        old.path = None
        self._leaves(old, end)
        self._comes(begin, mac_of(b"older".ljust(32)).hex())

    def replace_by_rubbish(self) -> Callable[[], None]:
        """A file that is no database in place of it for a while, then the true one again."""
        old, aside = self.current, self.aside()

        def act() -> None:
            os.link(self.path, aside)
            self._put(self.path, b"not a database\n" * 100)

        begin, end = self._event(act)
        old.path = aside
        self._leaves(old, end)
        self._comes(begin)
        self.current.path = None

        def back() -> None:
            begin, end = self._event(lambda: os.rename(aside, self.path))
            self._leaves(self.current, end)
            self.returns(old, begin)

        return back

    def only_readers(self) -> None:
        """Nothing but the writers' own reading and copying."""


EVENTS = [
    "move_folder",
    "remove_folder",
    "move_database",
    "move_database_alone",
    "remove_database",
    "remove_database_alone",
    "remove_log",
    "move_log",
    "replace_log",
    "remove_shared_memory",
    "move_shared_memory",
    "replace_shared_memory",
    "remove_lock",
    "move_lock",
    "replace_lock",
    "replace_by_older",
    "replace_by_rubbish",
    "only_readers",
]


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _rename(path: str, to: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, to)


# --- a round, and what is made of it ---------------------------------------------------------------------------------


class Result(dict[str, int]):
    def __init__(self) -> None:
        super().__init__(events=0, keys=0, uses=0, told=0, excused=0)
        self.bad = dict.fromkeys(("lost", "damaged", "outdated", "undocumented", "hangs"), 0)
        self.details: list[str] = []

    def line(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in (*self.items(), *self.bad.items()))


def _prepare_closed(folder: str) -> None:
    """Prepare, and have another program write all of the log into the database."""
    in_child(_prepare_open, folder)
    with contextlib.closing(sqlite3.connect(f"{folder}/home/{NAME}")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    shutil.copyfile(f"{folder}/home/{NAME}", f"{folder}/older.db")
    shutil.copyfile(f"{folder}/home/{NAME}.root-key", f"{folder}/older.root-key")


def _prepare_open(folder: str) -> None:
    async def main() -> None:
        async with huks.Keystore.open(f"sqlite:///{folder}/home/{NAME}", monitor=False) as keystore:
            await make(keystore, HOT, b"older".ljust(32))
            await make(keystore, "older")

    asyncio.run(main())


def run_round(folder: str, events: list[str], seed: int, result: Result) -> None:
    rng = random.Random(seed)
    os.makedirs(f"{folder}/home", mode=0o700)
    in_child(_prepare_closed, folder)
    record = Record(f"{folder}/record")
    this = Round(folder, rng, record)
    this.incarnations.append(
        Incarnation(this.path, [(-math.inf, math.inf)], mac_of(b"older".ljust(32)).hex())
    )
    writers = [
        fork_to(Writer(this.home, record, f"{writer}", rng.randrange(1 << 30)).run)
        for writer in range(WRITERS)
    ]
    last = time.monotonic()
    try:
        time.sleep(0.4)
        for event in events:
            _wait_for_store(this.path)
            later = getattr(this, event)()
            this.story.append(f"{event} {time.monotonic():.3f}")
            time.sleep(rng.uniform(0.1, 0.4))
            if later is not None:
                later()
                this.story.append(f"  and after {time.monotonic():.3f}")
                time.sleep(rng.uniform(0.1, 0.4))
            last = time.monotonic()
            result["events"] += 1
        if not _goes_on(record, last):
            result.bad["hangs"] += 1
            told = record.of("told")
            result.details.append(f"seed {seed}: no key is made any more after {events}; {told[-1:]}")
    finally:
        for writer in writers:
            os.kill(writer, rng.choice((signal.SIGTERM, signal.SIGKILL)))
        for writer in writers:
            try:
                reap(writer)
            except Hang as error:
                result.bad["hangs"] += 1
                result.details.append(f"seed {seed}: {error} after {events}")
    judge(this, result, f"seed {seed}, events {this.story}")


def _wait_for_store(path: str) -> None:
    """Give writers the time to begin a new store where the last one was removed."""
    end = time.monotonic() + PATIENCE / 2
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.01)


def _goes_on(record: Record, since: float) -> bool:
    end = time.monotonic() + PATIENCE / 2
    while time.monotonic() < end:
        if any(begin > since for begin, _, _ in record.of("key")):
            return True
        time.sleep(0.1)
    return False


def judge(this: Round, result: Result, where: str) -> None:
    keys = this.record.of("key")
    result["keys"] += len(keys)
    result["told"] += len(this.record.of("told"))
    for line in this.record.of("wrong"):
        result.bad["undocumented"] += 1
        result.details.append(f"{where}: {line}")
    wanted: list[set[str]] = [set() for _ in this.incarnations]
    either: list[tuple[str, float, float, list[int]]] = []
    for begin, end, alias in keys:
        possible = [n for n, incarnation in enumerate(this.incarnations) if incarnation.in_place(begin, end)]
        if len(possible) == 1:
            wanted[possible[0]].add(alias)
        else:
            either.append((alias, begin, end, possible))
    there: list[set[str]] = []
    for number, incarnation in enumerate(this.incarnations):
        path = incarnation.path
        if path is None or not (wanted[number] or os.path.exists(path)):
            there.append(set())
            continue
        found = look(path, wanted[number], {HOT})
        there.append(found.aliases)
        if found.damage:
            result.bad["damaged"] += 1
            result.details.append(
                f"{where}: incarnation {number} of {len(this.incarnations)}: {found.damage}"
            )
        else:
            result.bad["lost"] += len(found.lost)
        if found.lost:
            result.details.append(f"{where}: incarnation {number} lacks {len(found.lost)}: {found.lost[:4]}")
    for alias, begin, end, possible in either:
        if any(alias in there[n] or this.incarnations[n].path is None for n in possible):
            continue
        if any(start <= end and begin <= stop for start, stop in this.steps):
            result["excused"] += 1
            continue
        result.bad["lost"] += 1
        result.details.append(f"{where}: {alias}, acknowledged {begin} to {end}, is in none of {possible}")
    _judge_uses(this, result, where)


@dataclass
class _Change:
    begin: float
    end: float
    value: str | None


def _judge_uses(this: Round, result: Result, where: str) -> None:
    done = {(begin, value): end for begin, end, value in this.record.of("changed")}
    # one that was not acknowledged may have taken place at any time since it began
    changes = [
        _Change(begin, done.get((begin, value), math.inf), value)
        for begin, value in this.record.of("changing")
    ]
    of_incarnation = []
    for incarnation in this.incarnations:
        mine = [
            change
            for change in changes
            if incarnation.in_place(change.begin, min(change.end, change.begin + 60))
        ]
        # acknowledged in this incarnation for certain
        sure = [
            change
            for change in mine
            if change.end < math.inf
            and sum(other.in_place(change.begin, change.end) for other in this.incarnations) == 1
        ]
        of_incarnation.append((mine, sure))
    for begin, end, value in this.record.of("use"):
        result["uses"] += 1
        if not any(
            _possible(value, begin, end, incarnation, *of_incarnation[number])
            for number, incarnation in enumerate(this.incarnations)
            if incarnation.in_place(begin, end)
        ):
            result.bad["outdated"] += 1
            result.details.append(f"{where}: use {begin} to {end} got {value and value[:8]}")


def _possible(
    value: str | None,
    begin: float,
    end: float,
    incarnation: Incarnation,
    mine: list[_Change],
    sure: list[_Change],
) -> bool:
    """Whether a use in this time may get this key in this incarnation."""
    before = [change for change in sure if change.end < begin]
    if not before and incarnation.initial in (value, ...):
        return True
    return any(
        change.value == value
        and change.begin <= end
        and not any(later.begin > change.end for later in before)
        for change in mine
    )


def run(count: int, seed: int, only: list[str] | None = None) -> Result:
    rng = random.Random(seed)
    result = Result()
    pool: list[str] = []
    preload()
    with tempfile.TemporaryDirectory() as folder:
        number = 0
        while result["events"] < count:
            events = []
            for _ in range(min(EVENTS_OF_A_ROUND, count - result["events"])):
                if not pool:  # each kind as often as the others
                    pool = list(only or EVENTS)
                    rng.shuffle(pool)
                events.append(pool.pop())
            run_round(f"{folder}/{number}", events, rng.randrange(1 << 30), result)
            number += 1
    return result


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    result = run(count, seed, sys.argv[3:])
    for detail in result.details[:20]:
        print(detail, file=sys.stderr)
    print(f"{result.line()}; seed {seed}")
    sys.exit(any(result.bad.values()))


if __name__ == "__main__":
    main()
