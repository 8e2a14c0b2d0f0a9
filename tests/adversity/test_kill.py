"""kill -9 at any moment, and two processes on one store: what was acknowledged holds."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time

import pytest

import huks_async as huks
from huks_async.stores import SqliteStore
from tests.adversity import support
from tests.adversity.support import data

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.getcwd()}

GENERATOR = """
import asyncio, itertools, sys
import huks_async as huks
from tests.adversity import support

async def main():
    async with huks.Keystore.open(sys.argv[1], monitor=False) as keystore:
        print("open", flush=True)
        async def one(task):
            for step in itertools.count():  # a program that came to its end would not be killed
                alias = f"{task}-{step}"
                await keystore.generateKeyItem(alias, support.HMAC_KEY)
                mac = (await keystore.initSession(alias, support.HMAC)).handle
                out = (await keystore.finishSession(mac, support.data(alias.encode()))).outData
                print(alias, out.hex(), flush=True)
        await asyncio.gather(*(one(task) for task in range(10)))

asyncio.run(main())
"""


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip


def finished(process):
    process.stdout.close()
    return process.wait(120)


async def mac_of(keystore, alias, text):
    handle = (await keystore.initSession(alias, support.HMAC)).handle
    return (await keystore.finishSession(handle, data(text))).outData


@pytest.mark.parametrize("after", [1, 40, 150])
def test_acknowledged_keys_survive_kill_9(tmp_path, after):
    """Of ten tasks' generate calls cut off by kill -9, each key that was acknowledged is there and is the same."""
    address = f"sqlite:///{tmp_path}/keys.db"
    process = start(GENERATOR, address)
    assert process.stdout.readline() == "open\n"
    lines = [process.stdout.readline() for _ in range(after)]
    time.sleep(random.random() * 0.01)
    process.kill()
    lines += process.stdout.read().splitlines()
    assert finished(process) == -signal.SIGKILL
    acknowledged = dict(line.split() for line in lines if len(line.split()) == 2 and len(line.strip()) >= 67)
    assert len(acknowledged) >= after - 1

    async def main():
        # opens at once: a lock that was left behind would be an error
        store = SqliteStore(f"{tmp_path}/keys.db", busy_timeout=0)
        async with huks.Keystore.open(store, monitor=False) as keystore:
            aliases = (await keystore.listAliases(support.NONE)).keyAliases
            assert set(acknowledged) <= set(aliases)
            for alias in aliases:  # those that were not acknowledged are whole, too
                out = await mac_of(keystore, alias, alias.encode())
                assert out.hex() == acknowledged.get(alias, out.hex())

    asyncio.run(main())


# A replace is stopped at each of its named points, where the process kills itself.
REPLACER = """
import asyncio, os, signal, sqlite3, sys
import huks_async as huks
from huks_async.stores.sqlite import writes
from tests.adversity import support

point, address = sys.argv[1], sys.argv[2]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Connection:
    def __init__(self, inner):
        self._inner = inner
    def __getattr__(self, name):
        return getattr(self._inner, name)
    def execute(self, statement, *values):
        verb = statement.split()[0] + (" sequence" if "sequence" in statement and "UPDATE" in statement else "")
        if armed and point == "before " + verb:
            die()
        result = self._inner.execute(statement, *values)
        if armed and point == "after " + verb:
            die()
        return result

armed = False
first = writes.GroupCommit.__init__
def init(self, connection, *more):
    first(self, Connection(connection), *more)
writes.GroupCommit.__init__ = init

async def main():
    global armed
    async with huks.Keystore.open(address, monitor=False) as keystore:
        await keystore.importKeyItem("key", support.imported(support.HMAC_KEY, bytes(32)))
        # a commit of somebody else, so that the next one has to look which version was given last
        async with huks.Keystore.open(address, monitor=False) as other:
            await other.importKeyItem("other", support.imported(support.HMAC_KEY, bytes(32)))
        print("ready", flush=True)
        armed = True
        if point == "before seal":
            die()
        await keystore.importKeyItem("key", support.imported(support.HMAC_KEY, bytes([1] * 32)))
        armed = False
        print("acknowledged", flush=True)
        if point == "after acknowledge":
            die()

asyncio.run(main())
"""

POINTS = {
    "before seal": "old",
    "before BEGIN": "old",
    "after BEGIN": "old",
    "before SELECT": "old",
    "before INSERT": "old",
    "after INSERT": "old",
    "before UPDATE sequence": "old",
    "after UPDATE sequence": "old",
    "before COMMIT": "old",
    "after COMMIT": "new",
    "after acknowledge": "new",
}


@pytest.mark.parametrize("point", POINTS)
def test_kill_9_at_each_write_point_of_a_replace_leaves_one_whole_key(tmp_path, point):
    """Up to the commit it is the old key, from then on the new one; never none, never half of one."""
    address = f"sqlite:///{tmp_path}/keys.db"
    process = start(REPLACER, point, address)
    said = process.stdout.read().splitlines()
    assert finished(process) == -signal.SIGKILL, "the point was not reached"
    assert said[0] == "ready"

    async def main():
        async with huks.Keystore.open(address, monitor=False) as keystore:
            import hashlib
            import hmac

            out = await mac_of(keystore, "key", b"text")
            key = bytes(32) if POINTS[point] == "old" else bytes([1] * 32)
            assert out == hmac.digest(key, b"text", hashlib.sha256)
            assert ("acknowledged" in said) <= (POINTS[point] == "new")

    asyncio.run(main())


def test_kill_9_at_random_moments_of_replaces_leaves_an_acknowledged_key(tmp_path):
    """Whenever the process dies, the key is the last one acknowledged, or the one that was on its way."""
    address = f"sqlite:///{tmp_path}/keys.db"
    script = """
import asyncio, sys
import huks_async as huks
from tests.adversity import support
async def main():
    async with huks.Keystore.open(sys.argv[1], monitor=False) as keystore:
        for step in range(int(sys.argv[2]), 100_000):
            key = step.to_bytes(32, "big")
            await keystore.importKeyItem("key", support.imported(support.HMAC_KEY, key))
            print(step, flush=True)
asyncio.run(main())
"""
    step = 1
    for _ in range(6):
        process = start(script, address, str(step))
        process.stdout.readline()
        time.sleep(random.random() * 0.08)
        process.kill()
        lines = process.stdout.read()
        finished(process)
        whole = [line for line in lines.split("\n")[:-1] if line]
        step = int(whole[-1]) if whole else step

        async def main(step=step):
            import hashlib
            import hmac

            async with huks.Keystore.open(address, monitor=False) as keystore:
                out = await mac_of(keystore, "key", b"text")
                accepted = [
                    hmac.digest(number.to_bytes(32, "big"), b"text", hashlib.sha256)
                    for number in (step, step + 1)
                ]
                assert out in accepted

        asyncio.run(main())


def test_a_change_by_another_process_is_never_missed(tmp_path):
    """An initSession that begins after a delete or replace was acknowledged never uses the old key."""
    from tests.adversity.stale_race import race

    assert race(f"sqlite:///{tmp_path}/keys.db", 300) == (300, 0)
