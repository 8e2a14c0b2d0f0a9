"""Four processes make keys beside two that only open and close the store, and so only checkpoint: is anything lost?

    python -m tests.adversity.checkpoints [seconds]

SQLite before 3.51.3 loses commits, or damages the file, where one process commits while others checkpoint.
"""

import asyncio
import random
import sys
import tempfile
import time

import huks_async as huks
from tests.adversity.acknowledged import PATIENCE, Hang, Record, fork_to, look, make, preload, reap

WRITERS, CHECKPOINTERS = 4, 2


def _write(address: str, record: Record, prefix: str, until: float) -> None:
    async def main() -> None:
        number = 0
        async with huks.Keystore.open(address, monitor=False) as keystore:

            async def one() -> None:
                nonlocal number
                while True:  # once in any case, however late this process is
                    number += 1
                    # few names, many versions: the database stays small and its pages are written again and again
                    alias = f"{prefix}-{number % 2000}"
                    await make(keystore, alias)
                    record.note("key", alias)
                    if time.monotonic() >= until:
                        break

            await asyncio.gather(*(one() for _ in range(4)))

    try:
        asyncio.run(main())
    except BaseException as error:
        record.note("wrong", prefix, repr(error))


def _open_and_close(address: str, record: Record, until: float) -> None:
    async def main() -> None:
        while True:
            async with huks.Keystore.open(address, monitor=False):
                await asyncio.sleep(random.random() * 0.01)
            record.note("closed")
            if time.monotonic() >= until:
                break

    try:
        asyncio.run(main())
    except BaseException as error:
        record.note("wrong", "open and close", repr(error))


class Result:
    writes = closes = lost = hangs = 0
    damage = ""
    errors: list[str]

    @property
    def good(self) -> bool:
        return (
            not (self.lost or self.hangs or self.damage or self.errors)
            and self.writes > 0
            and self.closes > 0
        )

    def line(self) -> str:
        return (
            f"{self.writes} keys written by {WRITERS} processes beside {self.closes} openings and closings: lost {self.lost}, "
            f"integrity_check {self.damage or 'ok'}, hangs {self.hangs}, errors {len(self.errors)}"
        )


def run(seconds: float) -> Result:
    result = Result()
    preload()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/keystore.db"
        record = Record(f"{folder}/record")
        until = time.monotonic() + seconds
        address = f"sqlite:///{path}"
        workers = [
            fork_to(lambda n=n: _write(address, record, f"w{n}", until))  # type: ignore[misc]
            for n in range(WRITERS)
        ]
        workers += [fork_to(lambda: _open_and_close(address, record, until)) for _ in range(CHECKPOINTERS)]
        for worker in workers:
            try:
                reap(worker, seconds + PATIENCE)
            except Hang:
                result.hangs += 1
        lines = record.of("key")
        result.writes, result.closes = len(lines), len(record.of("closed"))
        found = look(path, {alias for (alias,) in lines})
        result.lost, result.damage = len(found.lost), found.damage
        result.errors = [str(line) for line in record.of("wrong")]
    return result


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300
    result = run(seconds)
    for error in result.errors[:5]:
        print(error, file=sys.stderr)
    print(f"{seconds:.0f} s: {result.line()}")
    sys.exit(not result.good)


if __name__ == "__main__":
    main()
