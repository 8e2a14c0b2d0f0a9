"""Many sessions and tasks at once, closing under load, forks, endings of threads."""

import asyncio
import gc
import hashlib
import hmac
import os
import subprocess
import sys

import anyio
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import huks_async as huks
from tests.adversity import support
from tests.adversity.support import data
from tests.garbage import collect_until


async def keys(keystore):
    await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
    await keystore.importKeyItem("mac", support.imported(support.HMAC_KEY, support.KEY))
    await keystore.generateKeyItem("base", support.BASE_KEY)


def expected_ctr(text):
    encryptor = Cipher(algorithms.AES(support.KEY), modes.CTR(support.IV)).encryptor()
    return encryptor.update(text) + encryptor.finalize()


def test_a_thousand_interleaved_sessions_are_all_right(run):
    """1,000 sessions of two kinds, open at once and fed in turns by 50 tasks, each give their own result."""

    async def main():
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keys(keystore)
            texts = [os.urandom(3 * 40) for _ in range(1000)]
            handles = [
                (
                    await keystore.initSession(
                        "aes" if i % 2 else "mac", support.CTR_ENCRYPT if i % 2 else support.HMAC
                    )
                ).handle
                for i in range(1000)
            ]
            assert len(set(handles)) == 1000
            assert keystore.statistics().open == 1000
            out = [b""] * 1000

            async def feed(first):
                for part in range(3):
                    for i in range(first, 1000, 50):
                        piece = texts[i][part * 40 : part * 40 + 40]
                        out[i] += (await keystore.updateSession(handles[i], data(piece))).outData
                for i in reversed(range(first, 1000, 50)):
                    out[i] += (await keystore.finishSession(handles[i], data(b""))).outData

            async with anyio.create_task_group() as tasks:
                for first in range(50):
                    tasks.start_soon(feed, first)
            for i in range(1000):
                right = (
                    expected_ctr(texts[i]) if i % 2 else hmac.digest(support.KEY, texts[i], hashlib.sha256)
                )
                assert out[i] == right
            statistics = keystore.statistics()
            assert (statistics.open, statistics.finished, statistics.peak_open) == (0, 1000, 1000)

    run(main)


def test_a_busy_handle_is_refused_and_its_data_stay_right(run):
    """A second call gets 12000011, an abort has no effect, and the first call's result is right."""

    async def main():
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keys(keystore)
            big = os.urandom(2_000_000)
            handle = (await keystore.initSession("mac", support.HMAC)).handle
            refused = []

            async def disturb():
                while not keystore.statistics().busy:
                    await anyio.lowlevel.checkpoint()
                for call in (keystore.updateSession, keystore.finishSession):
                    try:
                        await call(handle, data(b"intruder"))
                    except huks.BusinessError as error:
                        refused.append((error.code, "another call running" in error.message))
                assert keystore.statistics().busy == 1
                await keystore.abortSession(handle, support.NONE)
                assert keystore.statistics().open == 1

            async with anyio.create_task_group() as tasks, support.workers_held(keystore):
                tasks.start_soon(keystore.updateSession, handle, data(big))
                await disturb()
            assert refused == [(12000011, True)] * 2
            out = (await keystore.finishSession(handle, data(b"end"))).outData
            assert out == hmac.digest(support.KEY, big + b"end", hashlib.sha256)
            assert keystore.statistics().aborted == 0

    run(main)


def test_tasks_that_fight_for_handles_never_corrupt_data(run):
    """Twenty tasks feed five handles at random: each result is the MAC of exactly what was accepted."""

    async def main():
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keys(keystore)
            handles = [(await keystore.initSession("mac", support.HMAC)).handle for _ in range(5)]
            order = {handle: hashlib.sha256() for handle in handles}
            pads = bytes(b ^ 0x36 for b in support.KEY.ljust(64, b"\0"))
            for inner in order.values():
                inner.update(pads)
            refused = 0

            async def fight(task):
                nonlocal refused
                for turn in range(30):
                    handle = handles[(task * 7 + turn) % 5]
                    piece = f"{task}:{turn}".encode() * (1 if turn % 5 else 60_000)
                    try:
                        await keystore.updateSession(handle, data(piece))
                    except huks.BusinessError as error:
                        assert error.code == 12000011
                        refused += 1
                        await anyio.lowlevel.checkpoint()
                    else:
                        order[handle].update(piece)

            async with anyio.create_task_group() as tasks:
                for task in range(20):
                    tasks.start_soon(fight, task)
            assert refused
            for handle in handles:
                outer = bytes(b ^ 0x5C for b in support.KEY.ljust(64, b"\0"))
                right = hashlib.sha256(outer + order[handle].digest()).digest()
                assert (await keystore.finishSession(handle, data(b""))).outData == right

    run(main)


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_closing_while_calls_run_hangs_nothing(run, tmp_path, store):
    """Each call in flight gives a right result or 12000011 or 12000012 with a reason; nothing is left."""
    ends = []

    async def main():
        address = "memory:" if store == "memory" else f"sqlite:///{tmp_path}/keys.db"
        keystore = huks.Keystore.open(address, monitor=False)
        await keystore.aopen()
        await keys(keystore)
        texts = {}

        async def worker(number):
            try:
                while True:
                    if number % 3 == 0:
                        await keystore.generateKeyItem(f"new{number}", support.AES_KEY)
                    elif number % 3 == 1:
                        handle = (await keystore.initSession("base", support.derive(50_000))).handle
                        await keystore.updateSession(handle, support.NONE)
                        await keystore.finishSession(handle, support.keep_as(f"kept{number}"))
                    else:
                        handle = (await keystore.initSession("mac", support.HMAC)).handle
                        await keystore.updateSession(handle, data(bytes(500_000)))
                        out = await keystore.finishSession(handle, data(b""))
                        texts[number] = out.outData
            except huks.BusinessError as error:
                ends.append((error.code, error.message))

        with anyio.fail_after(120):
            async with anyio.create_task_group() as tasks:
                for number in range(30):
                    tasks.start_soon(worker, number)
                while len(texts) < 5:
                    await anyio.sleep(0.001)
                await keystore.aclose()
        assert len(ends) == 30
        for code, message in ends:
            assert code in (12000011, 12000012), (code, message)
            assert "closed" in message or "not open" in message, message
        assert set(texts.values()) <= {hmac.digest(support.KEY, bytes(500_000), hashlib.sha256)}
        if store == "sqlite":  # a store in memory has lost its root key
            await keystore.aopen()
            await keystore.aclose()

    run(main)
    support.wait_until(lambda: not support.threads(), "the end of the threads")


def test_a_session_that_is_being_opened_while_the_keystore_closes_is_refused(run, tmp_path):
    """initSession that waits for the store does not put a session into a closed keystore."""

    async def main():
        keystore = huks.Keystore.open(f"sqlite:///{tmp_path}/keys.db", monitor=False)
        await keystore.aopen()
        await keys(keystore)
        table = keystore._state.table
        keystore._state.shelf.shrink()
        ends = []

        async def opening():
            try:
                ends.append(await keystore.initSession("aes", support.GCM_ENCRYPT))
            except huks.BusinessError as error:
                ends.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(opening)
            await anyio.lowlevel.checkpoint()
            await keystore.aclose()
        assert len(table) == 0
        assert isinstance(ends[0], huks.BusinessError)
        assert ends[0].code == 12000012
        assert "closed" in ends[0].message

    run(main)


def test_a_block_whose_keystore_was_closed_ends_quietly(run):
    """Leaving a session block after its keystore was closed raises nothing of its own."""

    async def main():
        keystore = huks.Keystore.open("memory:", monitor=False)
        await keystore.aopen()
        await keys(keystore)
        with pytest.raises(LookupError):
            async with keystore.session("aes", support.GCM_ENCRYPT) as session:
                await session.update(b"x")
                await keystore.aclose()
                raise LookupError

    run(main)


def test_opening_twice_at_once_is_refused(run):
    """Of two tasks that open one keystore at once, the second is told so."""

    async def main():
        keystore = huks.Keystore.open("memory:", monitor=False)
        ends = []

        async def opening():
            try:
                await keystore.aopen()
            except huks.BusinessError as error:
                ends.append(error.code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(opening)
            tasks.start_soon(opening)
        assert ends == [12000012]
        await keystore.aclose()

    run(main)


FORK = """
import asyncio, os, sys
import huks_async as huks
from tests.adversity import support

async def main():
    keystore = await huks.Keystore.open(sys.argv[1], monitor=False).__aenter__()
    await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
    handle = (await keystore.initSession("aes", support.CTR_ENCRYPT)).handle
    return keystore, handle

loop = asyncio.new_event_loop()
keystore, handle = loop.run_until_complete(main())
if os.fork() == 0:
    async def child():
        calls = [
            lambda: keystore.updateSession(handle, support.data(b"x")),
            lambda: keystore.finishSession(handle, support.data(b"x")),
            lambda: keystore.abortSession(handle, support.NONE),
            lambda: keystore.initSession("aes", support.CTR_ENCRYPT),
            lambda: keystore.hasKeyItem("aes", support.NONE),
            lambda: keystore.generateKeyItem("new", support.AES_KEY),
            lambda: keystore.purge_stale_sessions(),
        ]
        for call in calls:
            try:
                await call()
                print("accepted")
            except huks.BusinessError as error:
                print(error.code, "fork" in error.message)
        await keystore.aclose()
        try:
            async with huks.Keystore.open(sys.argv[1] if "sqlite" in sys.argv[1] else "memory:") as own:
                print("own", await own.hasKeyItem("aes", support.NONE))
        except huks.BusinessError as error:
            print("own", error.code, "spawn or forkserver" in error.message)
    asyncio.run(child())
    sys.stdout.flush()
    os._exit(0)
os.wait()
async def parent():
    out = (await keystore.finishSession(handle, support.data(b"text"))).outData
    print("parent", len(out))
    await keystore.aclose()
loop.run_until_complete(parent())
loop.close()
"""


@pytest.mark.parametrize("store", ["memory:", "sqlite"])
def test_a_forked_child_is_refused_and_the_parent_goes_on(tmp_path, store):
    """Each call in the child gives 12000012 and names the fork, and so does opening the same file; the parent's session is not disturbed."""
    address = store if store == "memory:" else f"sqlite:///{tmp_path}/keys.db"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORK, address],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:7] == ["12000012 True"] * 7
    assert lines[7] == ("own 12000012 True" if "sqlite" in address else "own False")
    assert lines[8] == "parent 4"


def test_fifty_keystores_leave_no_thread_and_no_descriptor(run, tmp_path):
    """Opened, used with workers, closed, fifty times: threads, descriptors and tasks are as before."""

    async def main():
        for _ in range(50):
            async with huks.Keystore.open(f"sqlite:///{tmp_path}/keys.db") as keystore:
                await keystore.generateKeyItem("base", support.BASE_KEY)
                handle = (await keystore.initSession("base", support.derive(20_000))).handle
                await keystore.updateSession(handle, support.NONE)
                assert any(name.startswith("huks-worker") for name in support.threads())

    gc.collect()
    run(main)  # the first time loads modules and opens what stays open
    support.wait_until(lambda: not support.threads(), "the end of the threads")
    files = support.descriptors()
    run(main)
    support.wait_until(lambda: not support.threads(), "the end of the threads")
    collect_until(lambda: len(support.descriptors()) <= len(files), "the end of the descriptors")


def test_the_default_keystore_closes_with_its_loop(run, tmp_path, monkeypatch):
    """The functions at module level work in one loop after the other, and leave nothing behind."""
    monkeypatch.setenv("HUKS_ASYNC_HOME", str(tmp_path / "home"))

    async def first():
        await huks.generateKeyItem("aes", support.AES_KEY)
        await huks.initSession("aes", support.GCM_ENCRYPT)

    async def later():
        handle = (await huks.initSession("aes", support.GCM_ENCRYPT)).handle
        assert (await huks.finishSession(handle, data(b"x"))).outData

    async def from_many_tasks():
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(later)

    run(first)
    support.wait_until(lambda: not support.threads(), "the end of the threads")
    gc.collect()
    files = support.descriptors()
    for _ in range(5):
        run(later)
        run(from_many_tasks)
    support.wait_until(lambda: not support.threads(), "the end of the threads")
    collect_until(lambda: len(support.descriptors()) <= len(files), "the end of the descriptors")
    assert not os.path.exists(tmp_path / "home" / "keystore.db-wal"), "the last connection was not closed"


def test_asyncio_run_several_times_with_one_keystore_object(tmp_path):
    """The same description can be opened in one loop after the other."""
    keystore = huks.Keystore.open(f"sqlite:///{tmp_path}/keys.db")

    async def main():
        async with keystore:
            await keystore.generateKeyItem("aes", support.AES_KEY)
            await keystore.initSession("aes", support.GCM_ENCRYPT)

    for _ in range(3):
        asyncio.run(main())
    support.wait_until(lambda: not support.threads(), "the end of the threads")
