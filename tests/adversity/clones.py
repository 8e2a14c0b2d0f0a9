"""A hundred clones of a process, made by a bare fork(2) that tells nobody: do two of them make the same?

    python -m tests.adversity.clones [clones]

A machine that is restored from a snapshot is such a clone, too. Each clone makes keys, seals and opens sessions: with
the keystore in memory that was open in the parent, used there shortly before, and with one that it opens itself.
Keys are compared by what they compute, handles as they are, and seals as a store gets them: all clones seal the same
key under the same name, so that nothing but a seal's own randomness tells two of them apart.
"""

import asyncio
import collections
import os
import pickle
import sys
import tempfile
import traceback

import huks_async as huks
from huks_async.stores import ItemName, MemoryStore
from tests.adversity import support
from tests.adversity.acknowledged import Hang, reap, use
from tests.adversity.bare_fork import bare_fork

Made = dict[str, list[bytes]]


class Noting(MemoryStore):
    """A store in memory that notes the rows it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[bytes] = []

    async def put(self, name: ItemName, blob: bytes, *, expect: int | None = None) -> int:
        self.rows.append(bytes(blob))
        return await super().put(name, blob, expect=expect)


async def _make(keystore: huks.Keystore, store: Noting, *, pair: bool) -> Made:
    """Make one of each, and give what must be another one in each clone."""
    made: Made = {"keys": [], "handles": [], "seals": []}
    await keystore.generateKeyItem("mac", support.HMAC_KEY)
    made["keys"].append(await use(keystore, "mac") or b"")
    await keystore.generateKeyItem("aes", support.AES_KEY)
    for _ in range(3):
        made["handles"].append(str((await keystore.initSession("mac", support.HMAC)).handle).encode())
    session = await keystore.initSession("aes", support.GCM_ENCRYPT)
    made["keys"].append((await keystore.finishSession(session.handle, support.data(bytes(32)))).outData)
    if pair:
        await keystore.generateKeyItem("pair", support.ECC_KEY)
        made["keys"].append((await keystore.exportKeyItem("pair", support.NONE)).outData)
    store.rows.clear()
    await keystore.importKeyItem("same", support.imported(support.HMAC_KEY, bytes(32)))
    made["seals"] += store.rows
    return made


async def _in_an_own_one() -> Made:
    store = Noting()
    async with huks.Keystore.open(store, monitor=False) as keystore:
        made = await _make(keystore, store, pair=True)
    # sealed under another key, so that these are unequal anyway
    return {"keys": made["keys"], "own handles": made["handles"]}


class Result:
    def __init__(self) -> None:
        self.clones = self.failed = 0
        self.made: dict[str, list[bytes]] = collections.defaultdict(list)

    @property
    def equal(self) -> dict[str, int]:
        return {kind: len(values) - len(set(values)) for kind, values in sorted(self.made.items())}

    @property
    def good(self) -> bool:
        return not self.failed and not any(self.equal.values()) and bool(self.made)

    def line(self) -> str:
        return f"{self.clones} clones, {self.failed} of them failed: " + ", ".join(
            f"{len(self.made[kind])} {kind}, equal ones {count}" for kind, count in self.equal.items()
        )


def run(clones: int) -> Result:
    """Make the clones, one after the other, from one state of this process."""
    result = Result()
    loop = asyncio.new_event_loop()
    store = Noting()
    keystore = huks.Keystore.open(store, monitor=False)
    loop.run_until_complete(keystore.aopen())
    loop.run_until_complete(_make(keystore, store, pair=True))
    parent = os.getpid()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(clones):
            sys.stdout.flush()
            child = bare_fork()
            if not child:
                code = 1
                try:
                    # the process of a machine that was restored has the number that it had
                    os.getpid = lambda: parent
                    made = loop.run_until_complete(_make(keystore, store, pair=False))
                    own = asyncio.run(_in_an_own_one())
                    with open(f"{folder}/{number}", "wb") as file:
                        pickle.dump([made, own], file)
                    code = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            result.clones += 1
            try:
                status = reap(child)
            except Hang:
                status = 1
            if status:
                result.failed += 1
                continue
            with open(f"{folder}/{number}", "rb") as file:
                for made in pickle.load(file):
                    for kind, values in made.items():
                        result.made[kind] += values
    loop.run_until_complete(keystore.aclose())
    loop.close()
    return result


def main() -> None:
    result = run(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    print(result.line())
    sys.exit(not result.good)


if __name__ == "__main__":
    main()
