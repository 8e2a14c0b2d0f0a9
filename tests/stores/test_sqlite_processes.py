"""The SQLite store under several processes, forks and kill -9."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import anyio
import pytest

from huks_async.stores import ItemName, SqliteStore

ROUNDS = 30

COUNTER = """
import asyncio, sys
from huks_async.stores import ItemName, SqliteStore, StoreConflictError

async def main():
    store = SqliteStore(sys.argv[1])
    sys.stdin.readline()
    await store.open()
    name, done = ItemName("app", 2, "counter"), 0
    while done < 40:
        row = await store.get(name)
        try:
            if row is None:
                await store.put(name, b"1", expect=0)
            else:
                await store.put(name, b"%d" % (int(row.blob) + 1), expect=row.version)
        except StoreConflictError:
            continue
        done += 1
    print((await store.put_meta("first", sys.argv[2].encode())).decode())
    await store.aclose()

asyncio.run(main())
"""

WRITER = """
import asyncio, sys
from huks_async.stores import ItemName, SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    print("open", flush=True)
    for line in sys.stdin:
        verb, alias = line.split()
        name = ItemName("app", 2, alias)
        await (store.put(name, b"x") if verb == "put" else store.delete(name))
        print("done", flush=True)
    await store.aclose()

asyncio.run(main())
"""

# One process makes the rounds by fork, which is quick; each child is killed at a random moment. What
# it acknowledged is then looked for by plain SQLite, and the store is opened again by the next child.
KILLED = """
import asyncio, json, os, random, signal, sqlite3, sys
from contextlib import closing
from huks_async.stores import ItemName, SqliteStore

path, rounds = sys.argv[1], int(sys.argv[2])

async def write(round, pipe):
    store = SqliteStore(path)
    await store.open()

    async def one(task):
        for step in range(10_000):
            alias = f"{round}-{task}-{step}"
            version = await store.put(ItemName("app", 2, alias), alias.encode() * 40)
            if step % 3 == 2:
                old = f"{round}-{task}-{step - 1}"
                await store.delete(ItemName("app", 2, old))
                os.write(pipe, f"- {old} 0\\n".encode())
            os.write(pipe, f"+ {alias} {version}\\n".encode())

    await asyncio.gather(*(one(task) for task in range(4)))

expected, versions, lost, leftover = {}, set(), [], 0
for round in range(rounds):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        asyncio.run(write(round, writer))
        os._exit(1)
    os.close(writer)
    lines, quota = b"", random.randrange(0, 2500)
    while len(lines) < quota:
        part = os.read(reader, 4096)
        assert part, "the child ended by itself"
        lines += part
    os.kill(child, signal.SIGKILL)
    while part := os.read(reader, 65536):
        lines += part
    os.close(reader)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    gone = set()
    for line in lines.decode().splitlines():
        verb, alias, version = line.split()
        if verb == "+":
            assert version not in versions, f"version {version} came twice"
            versions.add(version)
            expected[alias] = int(version)
        else:
            expected.pop(alias)
            gone.add(alias)
    if not os.path.exists(path):
        assert not lines
        continue
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = {alias.decode(): (version, blob) for alias, version, blob in
                 database.execute("SELECT alias, version, blob FROM item")}
        tally = database.execute("SELECT sum(items) FROM tally").fetchone()[0] or 0
    assert tally == len(found), (tally, len(found))
    for alias, version in list(expected.items()):
        if found.get(alias, (0, b"")) == (version, alias.encode() * 40):
            continue
        # one row of each task may be gone whose delete was under way; it began when the next one was there
        of, task, step = map(int, alias.split("-"))
        under_way = of == round and step % 3 == 1 and f"{of}-{task}-{step + 1}" in found
        assert alias not in found and under_way, f"{alias} was acknowledged and is lost"
        del expected[alias]
    assert not gone & set(found), "an acknowledged delete came back"
print(json.dumps({"acknowledged": len(versions), "rows": len(expected)}))
"""

FORK = """
import asyncio, os, sys
from huks_async.model.errors import BusinessError
from huks_async.stores import ItemName, MemoryStore, SqliteStore

A = ItemName("app", 2, "a")

async def attempt(store):
    codes = []
    for call in (lambda: store.get(A), lambda: store.put(A, b"child"), lambda: store.open()):
        try:
            await call()
        except BusinessError as error:
            codes.append((error.code, "forked" in error.message))
    await store.aclose()
    return codes

async def put(store, blob):
    await store.put(A, blob)

for store in (SqliteStore(sys.argv[1]), MemoryStore()):
    asyncio.run(store.open())
    asyncio.run(put(store, b"parent"))
    child = os.fork()
    if child == 0:
        good = asyncio.run(attempt(store)) == [(12000012, True)] * 3
        if isinstance(store, SqliteStore):
            good = good and store.stamp() is None
            fresh = SqliteStore(sys.argv[1])
            try:
                asyncio.run(fresh.open())
                good = False
            except BusinessError as error:
                good = good and error.code == 12000012 and "spawn or forkserver" in error.message
        sys.exit(0 if good else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    row = asyncio.run(store.get(A))
    assert row.blob == (b"parent"), row
    asyncio.run(put(store, b"after"))
    asyncio.run(store.aclose())
print("good")
"""


@contextmanager
def start(script: str, *args: object) -> Iterator["subprocess.Popen[str]"]:
    """A process that ends with the block, at the latest."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.asyncio
async def test_processes_that_create_and_count_together_lose_nothing(tmp_path):
    """Three processes make one store at once, count by compare-and-set, and agree on the first meta value."""
    path = tmp_path / "store" / "keys.db"
    with ExitStack() as stack:
        processes = [stack.enter_context(start(COUNTER, path, number)) for number in range(3)]
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = {process.communicate(timeout=120)[0] for process in processes}
        assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(answers) == 1
    store = SqliteStore(path)
    await store.open()
    assert (await store.get(ItemName("app", 2, "counter"))).blob == b"120"
    await store.aclose()
    assert [file.name for file in path.parent.iterdir()] == ["keys.db"]


@pytest.mark.asyncio
async def test_the_stamp_tells_of_every_commit_of_another_process(tmp_path):
    """Once another process was told that its write is done, the stamp here is another one, through checkpoints too."""
    path = tmp_path / "keys.db"
    store = SqliteStore(path)
    await store.open()
    with start(WRITER, path) as process:

        def ask(line):
            process.stdin.write(line)
            process.stdin.flush()
            return process.stdout.readline()

        assert process.stdout.readline() == "open\n"
        seen = [store.stamp()]
        for number in range(150):
            for line in (f"put {number % 7}\n", f"delete {number % 7}\n"):
                assert ask(line) == "done\n"
                stamp = store.stamp()
                assert stamp not in seen
                seen.append(stamp)
                assert store.stamp() == stamp
            if number % 40 == 20:
                # a checkpoint that starts the log anew, as heavy writing brings about
                store._threads.engine._database.written.execute("PRAGMA wal_checkpoint(RESTART)")
                seen.append(store.stamp())
        process.communicate(timeout=120)
        assert process.returncode == 0
    await store.put(ItemName("app", 2, "own"), b"x")
    assert store.stamp() not in seen
    await store.aclose()


@pytest.mark.parametrize(
    ("backend", "options"),
    [pytest.param("asyncio", {"use_uvloop": True}, id="uvloop"), pytest.param("trio", {}, id="trio")],
)
def test_the_store_works_on_other_event_loops(tmp_path, backend, options):
    """Writers at once, reads and cancellation on uvloop and trio."""
    pytest.importorskip("uvloop" if options else "trio")

    async def main():
        store = SqliteStore(tmp_path / "keys.db")
        await store.open()
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(store.put, ItemName("app", 2, f"{number:02}"), b"x")
        assert await store.aliases("app", 2) == [f"{number:02}" for number in range(40)]
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(store.delete, ItemName("app", 2, f"{number:02}"))
            await store.get(ItemName("app", 2, "00"))
            tasks.cancel_scope.cancel()
        left = await store.aliases("app", 2)
        assert len(left) == await store.count("app", 2)
        await store.put(ItemName("app", 2, "last"), b"x")
        await store.aclose()

    anyio.run(main, backend=backend, backend_options=options)
    assert [file.name for file in tmp_path.iterdir()] == ["keys.db"]


def test_kill_9_loses_no_acknowledged_write(tmp_path):
    """Killed at random moments, from its creation on, the store opens at once with every acknowledged row."""
    with start(KILLED, tmp_path / "store" / "keys.db", ROUNDS) as process:
        output, _ = process.communicate(timeout=280)
    assert process.returncode == 0
    assert json.loads(output)["acknowledged"] > ROUNDS


def test_an_open_store_is_refused_in_a_forked_child(tmp_path):
    """The child gets a clear error, for a store of its own on the same file too; the parent's goes on undisturbed."""
    with start(FORK, tmp_path / "keys.db") as process:
        output, _ = process.communicate(timeout=120)
    assert (process.returncode, output) == (0, "good\n")


def test_a_store_that_was_never_closed_ends_with_its_process(tmp_path):
    """A program that forgets to close its store still exits, and the rows are there."""
    script = f"""
import asyncio
from huks_async.stores import ItemName, SqliteStore
async def main():
    store = SqliteStore({str(tmp_path / "keys.db")!r})
    await store.open()
    await store.put(ItemName("app", 2, "a"), b"x")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "ignore::ResourceWarning", "-c", script], timeout=120)
    assert done.returncode == 0

    async def read():
        store = SqliteStore(tmp_path / "keys.db")
        await store.open()
        row = await store.get(ItemName("app", 2, "a"))
        await store.aclose()
        return row

    assert asyncio.run(read()).blob == b"x"
