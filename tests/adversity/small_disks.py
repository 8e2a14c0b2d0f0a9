"""A store is begun, written and closed on nearly full disks of every size: is it usable once there is space again?

    python -m tests.adversity.small_disks [step in KiB]

Each size from 8 to 256 KiB is a file system in memory of that size, which is made larger afterwards. Needs root.
"""

import asyncio
import os
import subprocess
import sys
import tempfile

import huks_async as huks
from tests.adversity import fuse, power_cuts
from tests.adversity.acknowledged import Hang, Record, fork_to, in_child, look, make, preload, reap

SMALLEST, LARGEST = 8, 256
KEYS = 8
_MS_REMOUNT = 32


def missing() -> str:
    """Why this cannot run here; the empty text where it can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "mounting a file system needs root"
    probe = subprocess.run(
        [sys.executable, "-m", "tests.adversity.small_disks", "--probe"],
        capture_output=True,
        text=True,
        check=False,
    )
    return probe.stderr.strip().rpartition("\n")[2] if probe.returncode else ""


def _fill(path: str, record: Record, *, kill: bool) -> None:
    """Begin a store, make keys until it fails, close it, and do so again; the second time it may be killed in place of closed."""

    async def main() -> None:
        for attempt in range(2):
            try:
                async with huks.Keystore.open(f"sqlite:///{path}", monitor=False) as keystore:
                    try:
                        for number in range(KEYS):
                            alias = f"{attempt}-{number}"
                            await make(keystore, alias)
                            record.note("key", alias)
                    except BaseException as error:
                        record.failed("writer", error)
                    if kill and attempt:
                        os._exit(0)
            except BaseException as error:
                record.failed("writer", error)

    asyncio.run(main())


def _one_more(path: str) -> str:
    async def main() -> None:
        async with huks.Keystore.open(f"sqlite:///{path}", monitor=False) as keystore:
            await make(keystore, "one more")

    try:
        asyncio.run(main())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


class Result:
    def __init__(self) -> None:
        self.disks = self.keys = self.full = self.lost = self.unusable = self.undocumented = self.hangs = 0
        self.details: list[str] = []

    @property
    def good(self) -> bool:
        return not (self.lost or self.unusable or self.undocumented or self.hangs)

    def line(self) -> str:
        return (
            f"{self.disks} nearly full disks, {self.full} of them too small for all keys: {self.keys} keys acknowledged, "
            f"lost {self.lost}, unusable afterwards {self.unusable}, undocumented errors {self.undocumented}, "
            f"hangs {self.hangs}"
        )


def _try(folder: str, size: int, *, kill: bool, result: Result) -> None:
    os.makedirs(folder)
    record = Record(f"{folder}-record")
    fuse.mount("none", folder, "tmpfs", 0, f"size={size}k")
    path = f"{folder}/keystore.db"
    try:
        try:
            reap(fork_to(lambda: _fill(path, record, kill=kill)))
        except Hang as error:
            result.hangs += 1
            result.details.append(f"{size} KiB: {error}")
        fuse.mount("none", folder, "tmpfs", _MS_REMOUNT, "size=16m")
        keys = {alias for (alias,) in record.of("key")}
        more = in_child(_one_more, path)
        found = look(path, {*keys, "one more"} if not more else keys)
    finally:
        fuse.unmount(folder)
    result.disks += 1
    result.keys += len(keys)
    result.full += len(keys) < 2 * KEYS
    result.lost += len(found.lost)
    wrong = record.of("wrong")
    result.undocumented += len(wrong)
    if more or found.damage:
        result.unusable += 1
    if more or found.damage or found.lost or wrong:
        result.details.append(
            f"{size} KiB, kill {kill}: {more} {found.damage} lost {found.lost[:5]} {wrong[:1]}"
        )


def run(sizes: list[int], *, ways: tuple[bool, ...] = (False, True)) -> Result:
    result = Result()
    power_cuts.own_mounts()
    preload()
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            for kill in ways:
                _try(f"{folder}/{size}-{kill}", size, kill=kill, result=result)
    return result


def main() -> None:
    if sys.argv[1:] == ["--probe"]:
        power_cuts.own_mounts()
        with tempfile.TemporaryDirectory() as folder:
            fuse.mount("none", folder, "tmpfs", 0, "size=8k")
            fuse.unmount(folder)
        return
    step = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    if reason := missing():
        print(f"small disks skipped: {reason}")
        return
    result = run(list(range(SMALLEST, LARGEST + 1, step)))
    for detail in result.details[:20]:
        print(detail, file=sys.stderr)
    print(result.line())
    sys.exit(not result.good)


if __name__ == "__main__":
    main()
