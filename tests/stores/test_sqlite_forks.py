"""Forks: what was open is refused in the child by name, what was only made works, and the parent is never harmed."""

import subprocess
import sys

import pytest

COMMON = """
import asyncio, gc, os, signal, sys
from huks_async.model.errors import BusinessError
from huks_async.stores import ItemName, MemoryStore, SqliteStore
from tests.adversity.bare_fork import bare_fork

path = sys.argv[1]

def fork(bare):
    return bare_fork() if bare else os.fork()

def item(alias):
    return ItemName("app", 2, str(alias))

def code(call):
    try:
        asyncio.run(call)
    except BusinessError as error:
        return error.code, "spawn or forkserver" in error.message
    return None

async def write(store, *aliases):
    await store.open()
    for alias in aliases:
        await store.put(item(alias), b"x")

async def check(expected):
    store = SqliteStore(path)
    await store.open()
    found = set(await store.aliases("app", 2, limit=1_000_000))
    await store.aclose()
    assert found == set(map(str, expected)), found ^ set(map(str, expected))

def wait(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""

OPENED_BEFORE = """
store = SqliteStore(path)
asyncio.run(write(store, 1))
for round in range(3):
    child = fork(bare)
    if child == 0:
        ok = code(store.put(item("c"), b"x")) == (12000012, True)
        ok = ok and code(store.get(item(1))) == (12000012, True)
        other = SqliteStore(path)
        ok = ok and code(other.open()) == (12000012, True)
        asyncio.run(other.aclose())
        asyncio.run(store.aclose())
        del store, other
        gc.collect()
        if round == 0:
            os._exit(0 if ok else 3)
        if round == 1:
            sys.exit(0 if ok else 3)
        os.kill(os.getpid(), signal.SIGKILL)
    assert wait(child) == (-9 if round == 2 else 0)
    asyncio.run(write(store, f"after {round}"))
asyncio.run(store.aclose())
asyncio.run(check([1, "after 0", "after 1", "after 2"]))
print("good")
"""

MADE_BEFORE = """
store, memory = SqliteStore(path), MemoryStore()
child = fork(bare)
if child == 0:
    asyncio.run(write(store, *range(20)))
    asyncio.run(write(memory, 1))
    asyncio.run(store.aclose())
    sys.exit(0)
asyncio.run(write(store, *range(20, 40)))
asyncio.run(write(memory, 1))
assert wait(child) == 0
asyncio.run(store.aclose())
asyncio.run(check(range(40)))
print("good")
"""

CLOSED_BEFORE = """
store = SqliteStore(path)
asyncio.run(write(store, 1))
asyncio.run(store.aclose())
child = fork(bare)
if child == 0:
    asyncio.run(write(store, 2))
    asyncio.run(store.aclose())
    sys.exit(0)
assert wait(child) == 0
asyncio.run(write(store, 3))
asyncio.run(store.aclose())
asyncio.run(check([1, 2, 3]))
print("good")
"""

# forks at any moment of the commits that a thread makes; the child collects its garbage and ends as programs do
DURING_COMMITS = """
import threading
store = SqliteStore(path)
written, stop = [], threading.Event()
async def work():
    await store.open()
    while not stop.is_set():
        number = len(written)
        await store.put(item(number), b"x" * 3000)
        written.append(number)
    await store.aclose()
thread = threading.Thread(target=asyncio.run, args=[work()], daemon=True)
thread.start()
for round in range(8):
    child = fork(bare)
    if child == 0:
        del store
        gc.collect()
        sys.exit(0)
    assert wait(child) == 0
stop.set()
thread.join()
asyncio.run(check(written))
print("good")
"""

# forks while a thread makes a file that becomes a store only then; the child uses it when it has its name
BECOMES_A_STORE = """
import threading
from huks_async.stores.sqlite import creation
from huks_async.stores.sqlite.snapshot import Snapshot

begun, forked = threading.Event(), threading.Event()
def held(function):
    def hold(*arguments):
        function(*arguments)
        if not begun.is_set():
            begun.set()
            forked.wait()
    return hold

def check_child(work, path):
    thread = threading.Thread(target=asyncio.run, args=[work])
    thread.start()
    begun.wait()
    end, tell = os.pipe()
    child = fork(bare)
    if child == 0:
        os.close(tell)
        os.read(end, 1)
        os._exit(0 if code(SqliteStore(path).open()) == (12000012, True) else 3)
    forked.set()
    thread.join()
    os.close(tell)
    assert wait(child) == 0
    begun.clear()
    forked.clear()

store = SqliteStore(path)
creation.migrate = held(creation.migrate)
check_child(write(store, 1), path)
Snapshot.check = held(Snapshot.check)
check_child(store.backup(path + ".copy", lambda *_: None, lambda _: None), path + ".copy")
asyncio.run(write(store, 2))
asyncio.run(store.aclose())
asyncio.run(check([1, 2]))
print("good")
"""

# the first process of a PID namespace that forks into another such namespace has the same id as its child
SAME_ID = """
number = os.getpid()
os.getpid = lambda: number
store = SqliteStore(path)
asyncio.run(write(store, 1))
child = os.fork()
if child == 0:
    os._exit(0 if code(SqliteStore(path).open()) == (12000012, True) else 3)
assert wait(child) == 0
asyncio.run(store.aclose())
asyncio.run(check([1]))
print("good")
"""

# a lock of SQLite's own that a thread of the parent holds at the fork: by number that of its memory, of its random
# numbers, of its table of open files
STUCK = """
import ctypes, threading, _sqlite3
from huks_async.stores.sqlite import stuck
stuck._PATIENCE = 1.0
library = ctypes.PyDLL(_sqlite3.__file__)
try:
    library.sqlite3_mutex_alloc.restype = ctypes.c_void_p
except AttributeError:
    print("hidden")
    sys.exit()
library.sqlite3_mutex_enter.argtypes = library.sqlite3_mutex_leave.argtypes = [ctypes.c_void_p]

def hold(mutex, held, forked):
    library.sqlite3_mutex_enter(mutex)
    held.set()
    forked.wait()
    library.sqlite3_mutex_leave(mutex)

numbers = [3, 5, 11]
store = SqliteStore(path)
asyncio.run(write(store))
for number in numbers:
    held, forked = threading.Event(), threading.Event()
    thread = threading.Thread(target=hold, args=[library.sqlite3_mutex_alloc(number), held, forked])
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        ok = [code(SqliteStore(path + ".other").open()) == (12000012, True) for _ in range(2)]
        ok.append(sum(thread.name == "huks-store-after-fork" for thread in threading.enumerate()) == 1)
        os._exit(0 if all(ok) and not os.path.exists(path + ".other.lock") else 3)
    forked.set()
    thread.join()
    assert wait(child) == 0, number
    asyncio.run(write(store, number))
asyncio.run(store.aclose())
asyncio.run(check(numbers))
print("good")
"""

# a child may use a store that its parent has never opened
ANOTHER = """
store = SqliteStore(path)
asyncio.run(write(store, 1))
other = SqliteStore(path + ".other")
child = os.fork()
if child == 0:
    asyncio.run(write(other, 2))
    os._exit(0)
assert wait(child) == 0
asyncio.run(store.aclose())
path += ".other"
asyncio.run(check([2]))
print("good")
"""


@pytest.mark.parametrize(
    ("script", "bare"),
    [
        pytest.param(OPENED_BEFORE, False, id="opened before, os.fork"),
        pytest.param(OPENED_BEFORE, True, id="opened before, fork(2)"),
        pytest.param(MADE_BEFORE, False, id="made before, os.fork"),
        pytest.param(MADE_BEFORE, True, id="made before, fork(2)"),
        pytest.param(CLOSED_BEFORE, False, id="closed before, os.fork"),
        pytest.param(CLOSED_BEFORE, True, id="closed before, fork(2)"),
        # not by fork(2): where a thread waits for the interpreter's lock, Python itself hangs in such a child
        pytest.param(DURING_COMMITS, False, id="during commits, os.fork"),
        pytest.param(BECOMES_A_STORE, False, id="of a file that becomes a store, os.fork"),
        pytest.param(STUCK, False, id="while SQLite is locked, os.fork"),
        pytest.param(ANOTHER, False, id="of a process that had another store open, os.fork"),
        pytest.param(SAME_ID, False, id="into a namespace, os.fork"),
    ],
)
def test_forks(tmp_path, script, bare):
    """Nothing acknowledged is lost, nothing hangs, and each use that cannot work says what to do instead."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{COMMON}\nbare = {bare}\n{script}", str(tmp_path / "keys.db")],
        capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    if done.stdout == "hidden\n":
        pytest.skip("this Python's SQLite does not show its locks")
    assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr
