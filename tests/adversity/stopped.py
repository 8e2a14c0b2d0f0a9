"""One of four writers is stopped (SIGSTOP) for longer than the others are willing to wait.

    python -m tests.adversity.stopped [times]

The others get keys acknowledged or the answer 12000004, not before they have waited, and all goes on when the stopped
one goes on. Each writer closes and opens its keystore now and then, also while another one stands still. Every second
time, the first one included, a writer is stopped in the middle of a commit, until another one was told.
"""

import asyncio
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import huks_async as huks
from huks_async.stores import SqliteStore
from huks_async.stores.sqlite.writes import GroupCommit, Outcome, Write
from tests.adversity.acknowledged import PATIENCE, Hang, Record, fork_to, look, make, preload, reap

WRITERS = 4
WAIT = 0.2
"""Seconds that a writer waits for the others."""
STOPPED = 0.8


class Writer:
    def __init__(self, path: str, record: Record, prefix: str) -> None:
        self._path, self._record, self._prefix = path, record, prefix
        self._ending = self._stopping = False
        self._number = 0
        self._began = 0.0

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_ending", True))
        signal.signal(signal.SIGUSR1, lambda *_: setattr(self, "_stopping", True))
        commit = GroupCommit._commit

        def stop(group: GroupCommit, writes: list[Write]) -> list[Outcome]:
            if self._stopping:
                self._stopping = False
                # To this thread: a signal to the process is taken by its main thread, and until that has its turn on
                # a busy machine this thread would go on and end the commit.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            return commit(group, writes)

        GroupCommit._commit = stop  # type: ignore[method-assign]
        asyncio.run(self._main())

    async def _main(self) -> None:
        while not self._ending:
            self._beat("opens")
            try:
                async with huks.Keystore.open(
                    SqliteStore(self._path, busy_timeout=WAIT), monitor=False
                ) as keystore:
                    for _ in range(random.randrange(20, 200)):
                        await self._write(keystore)
                    self._beat("closes")
            except Exception as error:
                self._failed(error)

    async def _write(self, keystore: huks.Keystore) -> None:
        self._number += 1
        alias = f"{self._prefix}-{self._number}"
        self._beat("writes")
        try:
            await make(keystore, alias)
        except huks.BusinessError as error:
            self._failed(error)
        else:
            self._record.note("key", alias)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, huks.BusinessError) and error.code == 12000004:
            waited = time.monotonic() - self._began
            self._record.note("refused", self._prefix, self._began, waited, str(error))
        else:
            self._record.failed(self._prefix, error)

    def _beat(self, what: str) -> None:
        """Tell what this writer is about to do, and when."""
        self._began = time.monotonic()
        self._record.note("beat", self._prefix, self._began, what)


class Result:
    def __init__(self) -> None:
        self.stops = self.keys = self.told = self.hasty = self.undocumented = self.hangs = self.lost = 0
        self.longest = 0.0
        self.damage = ""
        self.details: list[str] = []

    @property
    def good(self) -> bool:
        wrong = self.undocumented or self.hangs or self.lost or self.damage or self.hasty
        return not wrong and self.keys > 0 and self.told > 0

    def line(self) -> str:
        return (
            f"{self.stops} times one of {WRITERS} writers stopped for {STOPPED} s: {self.keys} keys acknowledged, "
            f"{self.told} answers 12000004, {self.hasty} of them too early, undocumented errors {self.undocumented}, hangs {self.hangs}, lost {self.lost}, "
            f"{self.damage or 'sound'}; longest step of a writer that ran {self.longest:.1f} s"
        )


def _longest(beats: list[list[object]], stops: list[tuple[str, float, float]]) -> float:
    """The longest time from one step of a writer to its next one, without those in which it was stopped itself."""
    longest, before = 0.0, dict[str, float]()
    for name, moment, _ in beats:
        assert isinstance(name, str)
        assert isinstance(moment, float)
        begin = before.get(name, moment)
        before[name] = moment
        if not any(who == name and start < moment and begin < end for who, start, end in stops):
            longest = max(longest, moment - begin)
    return longest


def run(times: int) -> Result:
    result = Result()
    preload()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/keystore.db"
        record = Record(f"{folder}/record")
        names = [f"w{number}" for number in range(WRITERS)]
        writers = [fork_to(Writer(path, record, name).run) for name in names]
        stops = []
        # a signal to one that has not begun would end it
        result.hangs += not _happens(lambda: {name for name, *_ in record.of("beat")} == set(names))
        time.sleep(0.5)
        for number in range(times):
            time.sleep(random.uniform(0.02, 0.4))
            chosen = random.randrange(WRITERS)
            begin = time.monotonic()
            if number % 2:
                os.kill(writers[chosen], signal.SIGSTOP)
                time.sleep(STOPPED)
            else:
                os.kill(writers[chosen], signal.SIGUSR1)
                result.hangs += not (_stands(writers[chosen]) and _somebody_is_refused(record))
            os.kill(writers[chosen], signal.SIGCONT)
            stops.append((names[chosen], begin, time.monotonic() + 0.05))
            result.stops += 1
        # everybody goes on
        moment, end = time.monotonic(), time.monotonic() + PATIENCE
        waiting = set(names)
        while waiting and time.monotonic() < end:
            time.sleep(0.1)
            waiting -= {alias.partition("-")[0] for _, alias in _keys_since(record, moment)}
        result.hangs += len(waiting)
        result.details += [f"{name} does not go on" for name in waiting]
        for writer in writers:
            os.kill(writer, signal.SIGTERM)
        for writer in writers:
            try:
                reap(writer)
            except Hang as error:
                result.hangs += 1
                result.details.append(str(error))
        result.longest = _longest(record.of("beat"), stops)
        if result.longest > PATIENCE / 3:
            result.hangs += 1
        keys = {alias for (alias,) in record.of("key")}
        refused = record.of("refused")
        result.keys, result.told = len(keys), len(refused)
        hasty = [line for line in refused if line[2] < WAIT]
        result.hasty = len(hasty)
        result.details += [f"told too early: {line}" for line in hasty]
        wrong = [*record.of("wrong"), *record.of("told")]
        result.undocumented = len(wrong)
        result.details += [str(line) for line in wrong]
        found = look(path, keys)
        result.lost, result.damage = len(found.lost), found.damage
    return result


def _happens(condition: Callable[[], bool]) -> bool:
    """Wait for it; tells whether it has happened."""
    end = time.monotonic() + PATIENCE
    while not (happened := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return happened


def _stands(writer: int) -> bool:
    """Wait until a writer has been stopped."""
    return _happens(lambda: os.waitpid(writer, os.WUNTRACED | os.WNOHANG)[0] == writer)


def _somebody_is_refused(record: Record) -> bool:
    """Wait until a writer is refused whose step begins after now."""
    now = time.monotonic()
    return _happens(lambda: any(began > now for _, began, *_ in record.of("refused")))


def _keys_since(record: Record, moment: float) -> list[tuple[float, str]]:
    """Keys that were acknowledged after a moment, as the beats before them tell."""
    found, last = [], dict[str, float]()
    for kind, *values in record.read():
        if kind == "beat":
            last[values[0]] = values[1]
        elif kind == "key":
            begun = last.get(values[0].partition("-")[0], 0.0)
            if begun > moment:
                found.append((begun, values[0]))
    return found


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    result = run(times)
    for detail in result.details[:10]:
        print(detail, file=sys.stderr)
    print(result.line())
    sys.exit(not result.good)


if __name__ == "__main__":
    main()
