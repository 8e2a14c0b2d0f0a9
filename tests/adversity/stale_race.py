"""Two processes on one store: does an initSession ever use a key that another process has changed before?

    python -m tests.adversity.stale_race [rounds]

In each round the other process deletes the key or replaces it, and tells so; then this one opens a session
at once. Its own key cache has the old key at that moment.
"""

import asyncio
import hashlib
import hmac
import os
import subprocess
import sys
import tempfile

import huks_async as huks
from tests.adversity import support

CHANGER = """
import asyncio, sys
import huks_async as huks
from tests.adversity import support

async def main():
    async with huks.Keystore.open(sys.argv[1], monitor=False) as keystore:
        for line in sys.stdin:
            verb, number = line.split()
            if verb == "delete":
                await keystore.deleteKeyItem("key", support.NONE)
            else:
                key = int(number).to_bytes(32, "big")
                await keystore.importKeyItem("key", support.imported(support.HMAC_KEY, key))
            sys.stdout.write("done\\n")
            sys.stdout.flush()

asyncio.run(main())
"""


async def use(keystore: huks.Keystore) -> bytes | None:
    """The MAC of a text under the key, None where there is no key."""
    try:
        handle = (await keystore.initSession("key", support.HMAC)).handle
    except huks.BusinessError as error:
        if error.code != 12000011:
            raise
        return None
    return (await keystore.finishSession(handle, support.data(b"text"))).outData


def expected(number: int) -> bytes:
    return hmac.digest(number.to_bytes(32, "big"), b"text", hashlib.sha256)


async def _race(address: str, rounds: int) -> tuple[int, int]:
    outdated = 0
    async with huks.Keystore.open(address, monitor=False) as keystore:
        await keystore.importKeyItem("key", support.imported(support.HMAC_KEY, bytes(32)))
        other = subprocess.Popen(
            [sys.executable, "-c", CHANGER, address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert other.stdin
        assert other.stdout
        try:
            there = True
            for number in range(1, rounds + 1):
                before = await use(keystore)
                assert (before is not None) == there
                there = number % 3 != 0
                other.stdin.write(f"{'replace' if there else 'delete'} {number}\n")
                other.stdin.flush()
                # blocks on purpose: nothing of this process may run between the word and the call
                assert other.stdout.readline() == "done\n"
                after = await use(keystore)
                if after != (expected(number) if there else None):
                    outdated += 1
                # the next use comes from the cache, and must be the same
                assert await use(keystore) == after
                if number % 6 == 0:
                    # and the other way: this process changes it, the other one deletes what it finds
                    await keystore.importKeyItem("key", support.imported(support.HMAC_KEY, bytes(32)))
                    there = True
        finally:
            other.stdin.close()
            other.wait(120)
            other.stdout.close()
    return rounds, outdated


def race(address: str, rounds: int) -> tuple[int, int]:
    """Give the number of rounds, and in how many an outdated key was used."""
    return asyncio.run(_race(address, rounds))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        done, outdated = race(f"sqlite:///{folder}/keys.db", rounds)
    print(f"{done} changes by another process, {outdated} times an outdated key was used")
    sys.exit(outdated > 0)


if __name__ == "__main__":
    main()
