"""Backups of a store under four writers, half of them killed at a random moment.

    python -m tests.adversity.backups [backups]

A backup that was acknowledged is a sound store with each key that was acknowledged before it began. One that was killed
leaves nothing under its name, or all of that. Every second one is made by the command.
"""

import asyncio
import os
import random
import shutil
import signal
import stat
import sys
import tempfile
import time

import huks_async as huks
from tests.adversity.acknowledged import Hang, Record, fork_to, look, make, preload, reap
from tests.adversity.power_cuts import command

WRITERS = 4


def _write(address: str, record: Record, prefix: str) -> None:
    async def main() -> None:
        number = 0
        while True:
            async with huks.Keystore.open(address, monitor=False) as keystore:
                for _ in range(random.randrange(10, 100)):
                    number += 1
                    alias = f"{prefix}-{number}"
                    await make(keystore, alias)
                    record.note("key", alias)
                    # so slow that the copies, each of which is read whole, stay quick to judge
                    await asyncio.sleep(0.03)

    try:
        asyncio.run(main())
    except BaseException as error:
        record.note("wrong", prefix, repr(error))


def _back_up(address: str, record: Record, target: str, *, by_command: bool) -> None:
    async def main() -> None:
        async with huks.Keystore.open(address, monitor=False) as keystore:
            await keystore.backup(target)

    try:
        if not by_command:
            asyncio.run(main())
        elif command("store", "backup", target, "--store", address) != 0:
            record.note("wrong", target, "the command failed")
            return
    except BaseException as error:
        record.note("wrong", target, repr(error))
    else:
        record.note("backup", target)


class Result:
    def __init__(self) -> None:
        self.backups = self.killed = self.acknowledged = self.left = self.keys = 0
        self.lacking = self.damaged = self.half = self.undocumented = self.hangs = 0
        self.details: list[str] = []

    @property
    def good(self) -> bool:
        return not (self.lacking or self.damaged or self.half or self.undocumented or self.hangs) and bool(
            self.acknowledged
        )

    def line(self) -> str:
        return (
            f"{self.backups} backups under {WRITERS} writers, {self.killed} killed, {self.acknowledged} acknowledged, of "
            f"up to {self.keys} keys: lacking a key {self.lacking}, not sound {self.damaged}, half files {self.half}, "
            f"other errors {self.undocumented}, hangs {self.hangs}; drafts left by kills {self.left}"
        )


def _judge(path: str, folder: str, name: str, wanted: set[str], record: Record, result: Result) -> None:
    target = f"{folder}/{name}"
    acknowledged = [target] in record.of("backup")
    result.acknowledged += acknowledged
    if not os.path.exists(target):
        if acknowledged:
            result.lacking += 1
            result.details.append(f"{name} was acknowledged and is not there")
        return
    shutil.copy(f"{path}.root-key", f"{target}.root-key")
    found = look(target, wanted)
    if not acknowledged and (found.damage or found.lost):
        result.half += 1
    else:
        result.damaged += bool(found.damage)
        result.lacking += bool(found.lost)
    if stat.S_IMODE(os.stat(target).st_mode) != 0o600:
        result.undocumented += 1
        result.details.append(f"{name} has mode {os.stat(target).st_mode:o}")
    if found.damage or found.lost:
        result.details.append(f"{name}, acknowledged {acknowledged}: {found.damage} lacks {found.lost[:5]}")


def run(count: int) -> Result:
    result = Result()
    preload()
    with tempfile.TemporaryDirectory() as folder:
        path, address = f"{folder}/keystore.db", f"sqlite:///{folder}/keystore.db"
        copies = f"{folder}/copies"
        os.mkdir(copies)
        record = Record(f"{folder}/record")
        writers = [fork_to(lambda n=n: _write(address, record, f"w{n}")) for n in range(WRITERS)]  # type: ignore[misc]
        took = 0.5
        try:
            while not record.of("key"):
                time.sleep(0.05)
            for number in range(count):
                name, by_command, killed = f"copy-{number}.db", number % 4 > 1, number % 2 == 1
                wanted = {alias for (alias,) in record.of("key")}
                begun = time.monotonic()
                child = fork_to(
                    lambda name=name, by_command=by_command: _back_up(  # type: ignore[misc]
                        address, record, f"{copies}/{name}", by_command=by_command
                    )
                )
                if killed:
                    time.sleep(random.uniform(0, 1.1 * took))
                    os.kill(child, signal.SIGKILL)
                try:
                    reap(child)
                except Hang:
                    result.hangs += 1
                if not killed:
                    took = time.monotonic() - begun
                result.backups += 1
                result.killed += killed
                result.keys = len(wanted)
                _judge(path, copies, name, wanted, record, result)
                made = {name, f"{name}.root-key", f"{name}.lock", f"{name}-wal", f"{name}-shm"}
                left = set(os.listdir(copies)) - made
                result.left += len(left)
                for entry in os.listdir(copies):
                    os.unlink(f"{copies}/{entry}")
        finally:
            for writer in writers:
                os.kill(writer, signal.SIGKILL)
            for writer in writers:
                reap(writer)
        wrong = record.of("wrong")
        result.undocumented += len(wrong)
        result.details += [str(line) for line in wrong]
    return result


def main() -> None:
    result = run(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    for detail in result.details[:10]:
        print(detail, file=sys.stderr)
    print(result.line())
    sys.exit(not result.good)


if __name__ == "__main__":
    main()
