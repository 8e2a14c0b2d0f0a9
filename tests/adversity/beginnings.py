"""Eight processes begin one thing at the same moment: a store, its root key, its first PIN, a folder.

    python -m tests.adversity.beginnings [rounds]

What only one of them can make, the others must find or be refused by name; each key that was acknowledged is there
afterwards and computes what it did, whoever came first.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

import huks_async as huks
from huks_async.access import PinAuthenticator
from tests.adversity.acknowledged import (
    Hang,
    Record,
    fork_to,
    in_child,
    key_of,
    look,
    mac_of,
    make,
    preload,
    reap,
    use,
)
from tests.adversity.power_cuts import command

PROCESSES = 8
PASSPHRASE = "of all the processes"


async def _keys(keystore: huks.Keystore, record: Record, number: int, count: int) -> None:
    for place in range(count):
        alias = f"{number}-{place}"
        await make(keystore, alias)
        record.note("key", alias)


def _a_store(folder: str, record: Record, number: int) -> None:
    """In a folder that somebody has to make, too, with the root key beside it."""

    async def main() -> None:
        async with huks.Keystore.open(f"sqlite:///{folder}/new/keystore.db", monitor=False) as keystore:
            await _keys(keystore, record, number, 1 + number * 2)

    asyncio.run(main())


def _under_a_passphrase(folder: str, record: Record, number: int) -> None:
    """The wrapped key and its salt are in the store."""

    async def main() -> None:
        root_key = huks.PassphraseRootKey(PASSPHRASE, log_n=10)
        address = f"sqlite:///{folder}/keystore.db"
        async with huks.Keystore.open(address, root_key=root_key, monitor=False) as keystore:
            await _keys(keystore, record, number, 3)

    asyncio.run(main())


def _coming_and_going(folder: str, record: Record, number: int) -> None:
    """The last one to close tidies up, and removes the lock's file, while the next ones begin."""

    async def main() -> None:
        for turn in range(4):
            async with huks.Keystore.open(f"sqlite:///{folder}/keystore.db", monitor=False) as keystore:
                await _keys(keystore, record, number * 10 + turn, 2)

    asyncio.run(main())


def _by_the_command(folder: str, record: Record, number: int) -> None:
    """`huks keys generate` in an empty home."""
    os.environ["HUKS_ASYNC_HOME"] = f"{folder}/home"
    if (code := command("keys", "generate", f"key {number}")) != 0:
        raise RuntimeError(f"the command ended with {code}")
    record.note("made", f"key {number}")


def _a_pin(folder: str, record: Record, number: int) -> None:
    """One of them enrolls it."""

    async def main() -> None:
        pin = PinAuthenticator()
        address = f"sqlite:///{folder}/keystore.db"
        async with huks.Keystore.open(address, authenticator=pin, monitor=False) as keystore:
            try:
                await pin.enroll(keystore, 100, f"{number:04}")
            except huks.BusinessError as error:
                if error.code != 12000017:
                    raise
            else:
                record.note("enrolled", number)
            await _keys(keystore, record, number, 1)

    asyncio.run(main())


async def _lacking(address: str, root_key: huks.RootKey | None, aliases: list[str]) -> list[str]:
    async with huks.Keystore.open(address, root_key=root_key, monitor=False) as keystore:
        return [alias for alias in aliases if await use(keystore, alias) != mac_of(key_of(alias))]


def _kept_under_a_passphrase(folder: str, record: Record) -> tuple[list[str], str]:
    address, root_key = f"sqlite:///{folder}/keystore.db", huks.PassphraseRootKey(PASSPHRASE)
    return asyncio.run(_lacking(address, root_key, [alias for (alias,) in record.of("key")])), ""


def _kept_by_the_command(folder: str, record: Record) -> tuple[list[str], str]:
    os.environ["HUKS_ASYNC_HOME"] = f"{folder}/home"
    # it refuses to replace a key that is there
    return [alias for (alias,) in record.of("made") if command("keys", "generate", alias) != 1], ""


def _one_pin(folder: str, record: Record) -> tuple[list[str], str]:
    async def opens(number: int) -> bool:
        pin = PinAuthenticator()
        address = f"sqlite:///{folder}/keystore.db"
        async with huks.Keystore.open(address, authenticator=pin, monitor=False) as keystore:
            return bool(await keystore.authenticate(bytes(32), f"{number:04}"))

    enrolled = [number for (number,) in record.of("enrolled")]
    if len(enrolled) != 1:
        return [], f"PINs of processes {enrolled} were acknowledged"
    return ([], "") if asyncio.run(opens(enrolled[0])) else ([], "the PIN does not open")


Worker = Callable[[str, Record, int], None]
Judge = Callable[[str, Record], tuple[list[str], str]]

THINGS: dict[str, tuple[Worker, str, Judge | None]] = {
    "store": (_a_store, "new/keystore.db", None),
    "passphrase": (_under_a_passphrase, "", _kept_under_a_passphrase),
    "coming and going": (_coming_and_going, "keystore.db", None),
    "command": (_by_the_command, "", _kept_by_the_command),
    "pin": (_a_pin, "keystore.db", _one_pin),
}
"""What is begun; the store in which its keys are looked up with the root key that lies beside it, if there is one; and
what else is asked for: the aliases that are lost, and a fault."""


class Result:
    def __init__(self) -> None:
        self.begun = self.keys = self.lost = self.damaged = self.refused = self.hangs = 0
        self.details: list[str] = []

    @property
    def good(self) -> bool:
        return bool(self.keys) and not (self.lost or self.damaged or self.refused or self.hangs)

    def line(self) -> str:
        return (
            f"{self.begun} things begun by {PROCESSES} processes at once: keys {self.keys}, lost {self.lost}, "
            f"damaged {self.damaged}, wrongly refused {self.refused}, hangs {self.hangs}"
        )


def _together(worker: Worker, folder: str, record: Record, result: Result) -> None:
    """Run the worker in all processes, which begin when the pipe is closed, or up to a tenth of a second later."""
    waiting, starting = os.pipe()
    spread = random.choice((0.0, 0.01, 0.1))

    def begin(number: int) -> None:
        os.close(starting)
        os.read(waiting, 1)
        time.sleep(random.uniform(0, spread))
        try:
            worker(folder, record, number)
        except BaseException as error:
            record.note("wrong", number, repr(error))

    children = [fork_to(partial(begin, number)) for number in range(PROCESSES)]
    os.close(waiting)
    os.close(starting)
    for child in children:
        try:
            reap(child)
        except Hang:
            result.hangs += 1


def _judge(thing: str, folder: str, record: Record, result: Result) -> None:
    _, store, judge = THINGS[thing]
    aliases = {alias for kind in ("key", "made") for (alias,) in record.of(kind)}
    result.keys += len(aliases)
    for number, error in record.of("wrong"):
        result.refused += 1
        result.details.append(f"{thing}, process {number}: {error}")
    found: list[tuple[list[str], str]] = []
    if store:
        seen = look(f"{folder}/{store}", aliases)
        found.append((seen.lost, seen.damage))
    if judge is not None:
        # in a process of its own, because one that has opened a store must not fork the next round's
        found.append(in_child(judge, folder, record))
    for lost, fault in found:
        result.lost += len(lost)
        result.damaged += bool(fault)
        if lost or fault:
            result.details.append(f"{thing}: lost {lost[:5]}, {fault}")


def run(rounds: int) -> Result:
    """Begin each thing so many times."""
    result = Result()
    preload()
    for _ in range(rounds):
        for thing, (worker, _, _) in THINGS.items():
            with tempfile.TemporaryDirectory() as folder:
                record = Record(f"{folder}/record")
                _together(worker, folder, record, result)
                _judge(thing, folder, record, result)
                result.begun += 1
    return result


def main() -> None:
    """Print the figures, and what went wrong."""
    result = run(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    print(result.line())
    for detail in result.details[:20]:
        print(detail, file=sys.stderr)
    sys.exit(not result.good)


if __name__ == "__main__":
    main()
