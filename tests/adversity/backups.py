"""Backups beside writers, and killed: `python -m tests.adversity.backups COUNT`.

Four processes make keys all the time, and note each that was acknowledged. Every backup is made by a process
of its own; each second one is killed at a random moment. A copy under the target's name must be whole:
it opens as a store, its database is sound, and every key acknowledged before the backup began opens in it.
"""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import huks_async as huks
from huks_async.stores.sqlite.backup import DRAFT

WRITERS = 4
_OPTIONS = {
    "properties": [
        {"tag": huks.HuksTag.HUKS_TAG_ALGORITHM, "value": huks.HuksKeyAlg.HUKS_ALG_AES},
        {"tag": huks.HuksTag.HUKS_TAG_KEY_SIZE, "value": 256},
        {"tag": huks.HuksTag.HUKS_TAG_PURPOSE, "value": huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT},
        {"tag": huks.HuksTag.HUKS_TAG_BLOCK_MODE, "value": huks.HuksCipherMode.HUKS_MODE_GCM},
        {"tag": huks.HuksTag.HUKS_TAG_PADDING, "value": huks.HuksKeyPadding.HUKS_PADDING_NONE},
    ]
}


def _open(folder: Path, name: str = "keystore.db") -> huks.Keystore:
    root_key = huks.FileRootKey(folder / "root.key")
    return huks.Keystore.open(huks.SqliteStore(folder / name), root_key, monitor=False)


async def write(folder: Path, writer: str) -> None:
    """Make keys until killed, and append the name of each to a file once it is acknowledged."""
    number = 0
    async with _open(folder) as keystore:
        with (folder / f"acknowledged.{writer}").open("a") as acknowledged:
            while True:
                alias = f"{writer}-{number}"
                await keystore.generateKeyItem(alias, _OPTIONS)
                print(alias, file=acknowledged, flush=True)
                number += 1
                await asyncio.sleep(0.002)


async def back_up(folder: Path, target: str) -> None:
    """Make one backup."""
    async with _open(folder) as keystore:
        print("ready", flush=True)
        await keystore.backup(target)


async def _check(folder: Path, name: str, expected: set[str]) -> None:
    with closing(sqlite3.connect(f"{(folder / name).as_uri()}?immutable=1", uri=True)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    async with _open(folder, name) as keystore:
        found = set((await keystore.listAliases({"properties": []})).keyAliases)
        assert expected <= found, f"{len(expected - found)} acknowledged keys are not in the copy"
        for alias in random.sample(sorted(expected), min(20, len(expected))):
            session = await keystore.initSession(alias, _OPTIONS)
            await keystore.finishSession(session.handle, {"properties": [], "inData": b"data"})


def _acknowledged(folder: Path) -> set[str]:
    return {
        line
        for file in folder.glob("acknowledged.*")
        # a last line may be half written yet
        for line in file.read_text().rpartition("\n")[0].splitlines()
    }


def _start(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.adversity.backups", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main(count: int, seed: int) -> dict[str, int]:
    """Make so many backups; gives what came of them."""
    random.seed(seed)
    outcomes = {"whole": 0, "killed, none": 0, "killed, whole": 0, "keys": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(_prepare(folder))
        writers = [_start("write", folder, f"writer{number}") for number in range(WRITERS)]
        try:
            while len(list(folder.glob("acknowledged.*"))) < WRITERS:
                time.sleep(0.05)
            took = 0.1
            for number in range(count):
                copy, expected = f"copy{number}.db", _acknowledged(folder)
                process = _start("backup", folder, folder / copy)
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                began = time.monotonic()
                if number % 2:
                    time.sleep(random.uniform(0, 1.2 * took))
                    process.send_signal(signal.SIGKILL)
                code = process.wait(60)
                process.stdout.close()
                there = (folder / copy).exists()
                if number % 2 == 0:
                    took = time.monotonic() - began
                    assert code == 0
                    assert there
                    assert not list(folder.glob(f"{copy}.*{DRAFT}*"))
                if there:
                    asyncio.run(_check(folder, copy, expected))
                    (folder / copy).unlink()
                outcomes["whole" if code == 0 else "killed, whole" if there else "killed, none"] += 1
            assert all(writer.poll() is None for writer in writers)
        finally:
            for writer in writers:
                writer.kill()
                writer.wait()
                if writer.stdout is not None:
                    writer.stdout.close()
        outcomes["keys"] = len(_acknowledged(folder))
    return outcomes


async def _prepare(folder: Path) -> None:
    async with _open(folder) as keystore:
        for number in range(200):
            await keystore.generateKeyItem(f"before-{number}", _OPTIONS)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        asyncio.run(write(Path(sys.argv[2]), sys.argv[3]))
    elif sys.argv[1] == "backup":
        asyncio.run(back_up(Path(sys.argv[2]), sys.argv[3]))
    else:
        chosen = int(os.environ.get("SEED") or time.time_ns())
        print(f"SEED={chosen}", main(int(sys.argv[1]), chosen))
