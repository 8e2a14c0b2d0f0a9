"""A keystore and `fork`: described before and opened after works, opened before is refused in the child. Nobody hangs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

COMMON = """
import asyncio, json, os, sys, warnings
warnings.simplefilter("ignore")
import huks_async as huks
from huks_async import HuksTag as T
AES = {"properties": [{"tag": T.HUKS_TAG_ALGORITHM, "value": 20}, {"tag": T.HUKS_TAG_KEY_SIZE, "value": 256},
       {"tag": T.HUKS_TAG_PURPOSE, "value": 3}, {"tag": T.HUKS_TAG_BLOCK_MODE, "value": 32},
       {"tag": T.HUKS_TAG_PADDING, "value": 0}]}
SESSION = {"properties": [*AES["properties"][:2], {"tag": T.HUKS_TAG_PURPOSE, "value": 1}, *AES["properties"][3:],
           {"tag": T.HUKS_TAG_NONCE, "value": bytes(12)}]}

async def work(keystore, alias):
    await keystore.generateKeyItem(alias, AES)
    opened = await keystore.initSession(alias, SESSION)
    return len((await keystore.finishSession(opened.handle, {"inData": b"text"})).outData)

async def told(call):
    try:
        await call
    except huks.BusinessError as error:
        return str(error)
    return "no error"

def in_child(function):
    "What the function gives in a child process, by os.fork."
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reader)
            with open(writer, "w") as out: json.dump(function(), out)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader) as answer: text = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(text)
"""


def run(program: str, folder: Path, *arguments: str) -> Any:
    """Run a program in a new interpreter; what it prints last is JSON."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run(
        [sys.executable, "-c", COMMON + program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize("store", ["sqlite:///keys.db", "memory:"])
def test_described_before_and_entered_after(tmp_path: Path, store: str) -> None:
    """As servers do that load the application before they fork: each process enters the same object."""
    children, parent = run(
        f"""
keystore = huks.Keystore.open({store!r})
async def serve():
    async with keystore:
        return await work(keystore, f"key {{os.getpid()}}")
children = [in_child(lambda: asyncio.run(serve())) for _ in range(3)]
print(json.dumps([children, asyncio.run(serve())]))
""",
        tmp_path,
    )
    assert children == [20, 20, 20]
    assert parent == 20


def test_default_keystores_of_parent_and_child(tmp_path: Path) -> None:
    """The module's functions open a default keystore in each process."""
    assert run(
        """
os.environ["HUKS_ASYNC_HOME"] = os.getcwd()
async def serve():
    await huks.generateKeyItem(f"key {os.getpid()}", AES)
    return (await huks.listAliases({})).keyAliases
first = asyncio.run(serve())
child = in_child(lambda: asyncio.run(serve()))
print(json.dumps([len(first), len(child), len(asyncio.run(serve()))]))
""",
        tmp_path,
    ) == [1, 2, 2]


def test_a_child_of_a_running_loop_has_no_default_keystore(tmp_path: Path) -> None:
    """It has neither the loop nor the keystore of its parent; a loop of its own is told about the store."""
    told, info, later = run(
        """
os.environ["HUKS_ASYNC_HOME"] = os.getcwd()
def use():
    try:
        huks.hasKeyItem("key", AES).send(None)
    except huks.BusinessError as error:
        told = str(error)
    info = huks.huksExternalCrypto.getErrorInfo()
    return told, info.errno, asyncio.run(told_of_default())
async def told_of_default():
    return await told(huks.hasKeyItem("key", AES))
async def main():
    await huks.generateKeyItem("key", AES)
    return in_child(use)
print(json.dumps(asyncio.run(main())))
""",
        tmp_path,
    )
    assert told.startswith("12000012: ")
    assert "event loop" in told
    assert "fork" in told
    assert info == 0
    assert later.startswith("12000012: ")


@pytest.mark.parametrize("store", ["sqlite:///keys.db", "memory:"])
def test_opened_before_is_refused_in_the_child(tmp_path: Path, store: str) -> None:
    """Every way to use it is refused with what to do, the module's functions too; the parent goes on."""
    child, parent = run(
        f"""
async def main():
    keystore = huks.Keystore.open({store!r})
    async with keystore:
        before = await work(keystore, "one")
        opened = await keystore.initSession("one", SESSION)
        def use():
            async def all_ways():
                answers = [await told(call) for call in (
                    keystore.initSession("one", SESSION), keystore.generateKeyItem("x", AES),
                    keystore.finishSession(opened.handle, {{}}), keystore.aopen(), huks.hasKeyItem("one", {{}}),
                )]
                await keystore.aclose()
                return [answers, repr(keystore)]
            return asyncio.run(all_ways())
        child = in_child(use)
        await keystore.finishSession(opened.handle, {{"inData": b"text"}})
        return child, await work(keystore, "two")
print(json.dumps(asyncio.run(main())))
""",
        tmp_path,
    )
    answers, shown = child
    assert len(answers) == 5
    for answer in answers:
        assert answer.startswith("12000012")
        assert "before this process was forked" in answer
        assert "spawn" in answer
    assert "opened before a fork" in shown
    assert parent == 20


def test_a_fork_that_runs_no_hooks_is_noticed(tmp_path: Path) -> None:
    """C code may fork without telling the interpreter: the first call that leaves the loop is refused."""
    answers = run(
        """
import time
from tests.adversity.bare_fork import bare_fork
async def main():
    keystore = huks.Keystore.open("memory:", monitor=False)
    await keystore.aopen()
    await work(keystore, "one")
    reader, writer = os.pipe()
    child = bare_fork()
    if not child:
        try:
            time.sleep(0.01)
            answers = [await told(keystore.initSession("one", SESSION)), await told(keystore.generateKeyItem("x", AES)),
                       await told(keystore.aopen())]
            os.write(writer, json.dumps(answers).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as answer: text = answer.read()
    os.waitpid(child, 0)
    await keystore.aclose()
    return json.loads(text)
print(json.dumps(asyncio.run(main())))
""",
        tmp_path,
    )
    assert [answer[:8] for answer in answers] == ["12000012"] * 3
    assert all("fork" in answer for answer in answers)


def test_forks_while_modules_are_loaded(tmp_path: Path) -> None:
    """A child that is forked while a thread of its parent opens a keystore opens one itself, and does not hang."""
    assert (
        run(
            """
import threading
def open_one():
    async def main():
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            return await work(keystore, "key")
    return asyncio.run(main())
thread = threading.Thread(target=open_one)
thread.start()
children = [in_child(open_one) for _ in range(5)]
thread.join()
print(json.dumps(children))
""",
            tmp_path,
        )
        == [20] * 5
    )


@pytest.mark.parametrize(
    "use", ["huks.Keystore.open('memory:')", "huks.SqliteStore('keys.db')", "huks.MemoryStore()"]
)
def test_a_fork_waits_for_modules_that_come_late(tmp_path: Path, use: str) -> None:
    """What a name or `Keystore.open` loads at its first use is loaded whole when a process forks meanwhile."""
    assert (
        run(
            f"""
import importlib.machinery, threading
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("huks_async.stores.") and not begun.is_set():
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            execute = spec.loader.exec_module
            def slow(module):  # and not in the finder, whose end the interpreter's own lock has a fork wait for
                if not begun.is_set():
                    begun.set()
                    forking.wait(60)
                    forked.wait(1)  # the fork comes in this time, or waits for the end of the load
                execute(module)
            spec.loader.exec_module = slow
            return spec
begun, forking, forked = threading.Event(), threading.Event(), threading.Event()
# the hook of before is called before the library's own, which came earlier
os.register_at_fork(before=forking.set, after_in_parent=forked.set)
sys.meta_path.insert(0, Slow())
def look(): return repr({use}) != ""
thread = threading.Thread(target=look)
thread.start()
assert begun.wait(60)
child = in_child(look)
thread.join()
print(json.dumps(child))
""",
            tmp_path,
        )
        is True
    )


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(tmp_path: Path, method: str) -> None:
    """A pool's processes open the store that their parent has open; forked ones are told what to do."""
    program = tmp_path / "program.py"
    program.write_text(
        COMMON
        + f"""
import multiprocessing
def child(number):
    async def main():
        async with huks.Keystore.open("sqlite:///keys.db", root_key=huks.FileRootKey("root.key")) as keystore:
            return await work(keystore, f"child {{number}}")
    try:
        return asyncio.run(main())
    except huks.BusinessError as error:
        return f"{{error.code}}: {{error.message.rpartition(';')[2]}}"
async def main():
    async with huks.Keystore.open("sqlite:///keys.db", root_key=huks.FileRootKey("root.key")) as keystore:
        await work(keystore, "parent")
        processes = multiprocessing.get_context({method!r}).Pool(2)
        results = processes.map_async(child, range(4))
        while not results.ready():
            await asyncio.sleep(0.01)
        processes.close()
        processes.join()
        return results.get(), len((await keystore.listAliases({{}})).keyAliases)
if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
"""
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120
    )
    assert process.returncode == 0, process.stderr
    results, keys = json.loads(process.stdout)
    if method == "fork":  # SQLite has inherited its table of files, and would take no locks
        assert all(one.startswith("12000012") and "spawn or forkserver" in one for one in results), results
        assert keys == 1
    else:
        assert (results, keys) == ([20] * 4, 5)


CLOSING_KEY = """
import threading
parent, closing, go_on = os.getpid(), threading.Event(), threading.Event()

class Slow(huks.EphemeralRootKey):
    async def aclose(self):
        if os.getpid() == parent:
            closing.set()
            while not go_on.is_set(): await asyncio.sleep(0.001)

key = Slow()

async def use():
    async with asyncio.timeout(100):  # and `run` gives up after 120 s
        async with huks.Keystore.open("memory:", wrapping_key=key, monitor=False) as keystore:
            return await work(keystore, "key")

thread = threading.Thread(target=lambda: asyncio.run(use()), daemon=True)
thread.start()
closing.wait()
print(json.dumps(in_child(lambda: asyncio.run(use()))))
go_on.set()
"""


def test_a_key_that_a_thread_of_the_parent_closes(tmp_path: Path) -> None:
    """The child, which has not that thread, opens the key without waiting for the end of it."""
    assert run(CLOSING_KEY, tmp_path) == 20


def test_a_child_that_leaves_the_block_of_a_sealed_file_ends_as_it_means_to(tmp_path: Path) -> None:
    """It has no event loop and no workers, and its own end must come through the block all the same."""
    codes = run(
        """
async def main():
    codes = []
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        await keystore.generateKeyItem("files", AES)
        with open(sys.argv[1], "wb") as file:
            async for piece in keystore.encrypt_stream("files", [bytes(100)]):
                file.write(piece)
        for way in sys.argv[1], open(sys.argv[1], "rb"):
            child = 1
            try:
                async with keystore.open_sealed("files", way) as reader:
                    child = os.fork()
                    if not child:
                        sys.exit(7)
                    assert await reader.read_at(0, 200) == bytes(100)
            except BaseException as end:
                if child:
                    raise
                os._exit(end.code if isinstance(end, SystemExit) else 1)  # asyncio's own end would stop the parent's loop
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return codes
print(json.dumps(asyncio.run(main())))
""",
        tmp_path,
        str(tmp_path / "sealed"),
    )
    assert codes == [7, 7]
