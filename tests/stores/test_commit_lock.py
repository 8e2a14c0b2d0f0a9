"""The lock that all processes commit under: exclusive, bounded, let go by the dead, not inherited."""

import asyncio
import contextlib
import errno
import fcntl
import itertools
import os
import pathlib
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time

import pytest

from huks_async.model.errors import BusinessError
from huks_async.stores import SqliteStore
from huks_async.stores.sqlite.commitlock import CommitLock
from huks_async.stores.sqlite.lockfile import LockFile
from tests.adversity.support import descriptors
from tests.stores.peer import Peer, name
from tests.threads import threads_begun

# a process that stops itself in the middle of a commit, once it is told to
STOPS = """
import os, signal, threading
from huks_async.stores.sqlite.writes import GroupCommit
commit = GroupCommit._commit
def stop(self, writes):
    if os.path.exists(path + ".stop"):
        os.unlink(path + ".stop")
        # To this thread: a signal to the process is taken by its main thread, and until that has its turn on a busy
        # machine this thread would go on and end the commit.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    return commit(self, writes)
GroupCommit._commit = stop
"""


@pytest.fixture
def path(tmp_path):
    """A path for a database, in a directory that does not exist yet."""
    return tmp_path / "store" / "keys.db"


def wait_until(condition):
    """Wait for something that another process does."""
    for _ in range(12_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def stop_at_next_commit(path):
    """Have the process with the prelude `STOPS` stop itself."""
    pathlib.Path(f"{path}.stop").touch()


def state(process):
    """Give the state letter of a process."""
    with open(f"/proc/{process.pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


@pytest.mark.asyncio
async def test_a_holder_that_stands_still_is_named(path):
    """Others wait as long as they are set to, then get 12000004 with the process; reads, closes go on; so does all in the end."""
    store = SqliteStore(path, busy_timeout=0.3)
    await store.open()
    await store.put(name("old"), b"x")
    with Peer(path, prelude=STOPS) as other:
        assert other.ask("opened()")
        stop_at_next_commit(path)
        other.send("put('theirs')")
        await asyncio.to_thread(wait_until, lambda: state(other.process) == "T")
        for _ in range(3):
            with pytest.raises(BusinessError) as caught:
                await store.put(name("new"), b"x")
            assert caught.value.code == 12000004
            assert f"process {other.process.pid} " in caught.value.message
            assert "(stopped)" in caught.value.message
        assert (await store.get(name("old"))).blob == b"x"
        await store.aclose()
        with Peer(path, busy_timeout=0.2) as newcomer:
            code, message = newcomer.ask("opened()")
            assert (code, "(stopped)" in message) == (12000004, True)
        other.stopped(False)
        assert other.answer() is True
        # whoever gave up still waits in the kernel, and has the lock for a moment now
        await asyncio.to_thread(wait_until, lambda: not _lock_threads())
        await store.open()
        await store.put(name("new"), b"x")
        assert await store.aliases("app", 2) == ["new", "old", "theirs"]
        await store.aclose()
        assert other.ask("closed()")
    assert [file.name for file in path.parent.iterdir()] == ["keys.db"]


def _lock_threads():
    return threads_begun("huks-store-lock")


@pytest.mark.asyncio
async def test_an_opening_that_gives_up_names_the_busy_timeout_that_was_set(path):
    """And not what was left of it when it came to wait. Nobody is told to end the very process that asks."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(BusinessError, match=r"longer than the busy timeout of 0\.25 s;") as error:
            await SqliteStore(path, busy_timeout=0.25).open()
        assert error.value.code == 12000004
        assert "held by another call of this process" in error.value.message
        assert "end it" not in error.value.message
    finally:
        os.close(descriptor)


@pytest.mark.asyncio
async def test_a_write_that_gave_up_is_never_carried_out(path):
    """A refused write does not happen later, when the holder goes on; a write that is called meanwhile does."""
    store = SqliteStore(path, busy_timeout=0.3)
    await store.open()
    await store.put(name("a"), b"x")
    descriptor = os.open(f"{path}.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(BusinessError):
        await store.put(name("refused"), b"x")
    store._threads.engine._busy_timeout = 60
    later = asyncio.create_task(store.put(name("later"), b"x"))
    await asyncio.sleep(0.02)
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
    await later
    assert await store.aliases("app", 2) == ["a", "later"]
    await store.aclose()


@pytest.mark.asyncio
async def test_a_killed_holder_lets_go(path):
    """A process that is killed in its commit leaves the lock free at once, and nothing of the commit."""
    store = SqliteStore(path)
    await store.open()
    with Peer(path, prelude=STOPS) as other:
        assert other.ask("opened()")
        stop_at_next_commit(path)
        other.send("put('theirs')")
        await asyncio.to_thread(wait_until, lambda: state(other.process) == "T")
        mine = asyncio.create_task(store.put(name("mine"), b"x"))
        await asyncio.sleep(0.05)
        assert not mine.done()
        other.kill()
        await mine
    assert await store.aliases("app", 2) == ["mine"]
    await store.aclose()


FORKS = """
import asyncio, os, signal, sys, time
from huks_async.stores import SqliteStore, ItemName
from huks_async.stores.sqlite.writes import GroupCommit
commit = GroupCommit._commit
def fork(self, writes):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(300)  # as long as the test may take
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    GroupCommit._commit = fork
    await store.put(ItemName("app", 2, "a"), b"x")
asyncio.run(main())
"""


def test_a_child_does_not_keep_the_lock(path):
    """Forked in the middle of a commit of its parent, which is then killed, a child that lives on holds up nobody."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FORKS, str(path)], stdout=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    try:
        assert process.wait(60) == -signal.SIGKILL
        with Peer(path) as other:
            assert other.ask("opened()") is True
            assert other.ask("put('b')") is True
            assert other.ask("aliases()") == ["b"]
            assert other.ask("closed()")
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


@pytest.mark.asyncio
async def test_the_lock_has_the_rights_of_the_store(path):
    """Whoever may write the database may lock it; a group that was given rights keeps them at the next opening."""
    store = SqliteStore(path)
    await store.open()
    await store.aclose()
    os.chmod(path, 0o660)
    # only root may give files away, and in a user namespace only to those who are mapped there
    with contextlib.suppress(OSError):
        os.chown(path, 12345, 54321)
    owner = os.stat(path)
    await store.open()
    facts = os.stat(f"{path}.lock")
    assert stat.S_IMODE(facts.st_mode) == 0o660
    assert (facts.st_uid, facts.st_gid) == (owner.st_uid, owner.st_gid)
    await store.aclose()


@pytest.mark.asyncio
async def test_the_lock_file_is_removed_and_replaced_under_its_users(path):
    """Two writers and somebody who keeps taking the file away: each write is there, and no version comes twice."""
    store = SqliteStore(path)
    await store.open()
    with Peer(path) as other:
        assert other.ask("opened()")
        versions = []
        for number in range(20):
            other.send(f"put(*[f'theirs {number} {{k}}' for k in range(5)])")
            writes = [asyncio.create_task(store.put(name(f"{number} {k}"), b"x")) for k in range(5)]
            await asyncio.sleep(0)
            try:
                if number % 2:
                    os.unlink(f"{path}.lock")
                else:
                    os.rename(f"{path}.lock", f"{path}.lock.old")
            except FileNotFoundError:
                pass
            versions += await asyncio.gather(*writes)
            assert other.answer() is True
        assert other.ask("closed()")
    assert len(set(versions)) == 100
    assert await store.count("app", 2) == 200
    await store.aclose()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(DISTINCT version) FROM item").fetchall() == [(200,)]


def test_only_one_at_a_time(tmp_path):
    """Threads of one process and several lock objects exclude each other, whichever way they came to the lock."""
    locks = [CommitLock(str(tmp_path / "x"), "s") for _ in range(3)]
    inside, seen = [], []

    def work():
        inside.append(1)
        seen.append(len(inside))
        time.sleep(0.001)
        inside.pop()

    def run(lock):
        for _ in range(30):
            lock.call(work, 120)

    threads = [threading.Thread(target=run, args=(lock,)) for lock in locks for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 180
    for lock in locks:
        lock.close()
    wait_until(lambda: not _lock_threads())


def test_whoever_waits_long_keeps_newcomers_out(tmp_path):
    """While somebody waits for long, the lock is not taken at once by others, though it be free; afterwards it is."""
    mine, other = LockFile(str(tmp_path / "x")), LockFile(str(tmp_path / "x"))
    turnstile = mine.close_turnstile()
    assert turnstile is not None
    assert other.close_turnstile() is None
    assert other.take_at_once() is None
    descriptor = other.take()
    other.release(descriptor)
    mine.open_turnstile(turnstile)
    descriptor = other.take_at_once()
    assert descriptor is not None
    assert mine.take_at_once() is None
    other.release(descriptor)
    mine.close_spare()
    other.close_spare()


def test_the_turnstile_is_open_again_though_a_child_lives(tmp_path):
    """A child that was forked while somebody had waited for long keeps no newcomers out."""
    mine, other = LockFile(str(tmp_path / "x")), LockFile(str(tmp_path / "x"))
    turnstile = mine.close_turnstile()
    mine._open.discard(turnstile)  # as for a fork by C code, which runs no handlers
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    try:
        assert other.take_at_once() is None
        mine.open_turnstile(turnstile)
        descriptor = other.take_at_once()
        assert descriptor is not None
        other.release(descriptor)
        other.close_spare()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_child_keeps_no_descriptor(tmp_path):
    """Nor one of a file that was removed."""
    file = LockFile(str(tmp_path / "x"))
    held = file.take_at_once()
    os.unlink(file.path)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.fstat(held)
        except OSError:
            os.write(writing, b"closed")
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 10) == b"closed"
    os.close(reading)
    os.waitpid(child, 0)
    os.fstat(held)
    file.release(held)


def test_a_request_that_was_given_up_waits_for_no_other_file(tmp_path):
    """The thread of a line that was left takes no lock any more once the holder of the removed file has gone."""
    file, path = LockFile(str(tmp_path / "x")), tmp_path / "x.lock"
    path.touch()
    old = os.open(path, os.O_RDWR)
    fcntl.flock(old, fcntl.LOCK_EX)
    taken, awaited, wanted = [], [], [True]
    thread = threading.Thread(
        target=lambda: taken.append(file.take(awaited.append, lambda: wanted[0])), daemon=True
    )
    thread.start()
    wait_until(lambda: awaited)
    os.unlink(path)
    wanted[0] = False
    os.close(old)
    thread.join(120)
    assert taken == [None]
    assert not path.exists()
    file.close_spare()


def test_a_turnstile_that_cannot_be_closed_costs_no_descriptor(tmp_path, monkeypatch):
    """Such as on a file system without such locks."""
    file = LockFile(str(tmp_path / "x"))

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    before = descriptors()
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    for _ in range(3):
        with pytest.raises(OSError, match="No locks"):
            file.close_turnstile()
    assert descriptors().items() <= before.items()  # an earlier test may let one go meanwhile


@pytest.mark.parametrize("how", [os.unlink, lambda name: os.rename(name, f"{name}.old")])
def test_nobody_waits_for_a_file_that_was_removed(tmp_path, how):
    """Its holder may stand still for ever: whoever waits, or comes to wait behind them, goes on with the new file."""
    lock, path = CommitLock(str(tmp_path / "x"), "s"), tmp_path / "x.lock"
    path.touch()
    old = os.open(path, os.O_RDWR)
    fcntl.flock(old, fcntl.LOCK_EX)
    done = []
    waiting = [
        threading.Thread(
            target=lambda number=number: done.append(lock.call(lambda: number, 120)), daemon=True
        )
        for number in range(3)
    ]
    for thread in waiting:
        thread.start()
    wait_until(lambda: any(line.awaited is not None for line in lock._lines))
    how(path)
    # behind those who hold the new file for a while, too
    held = threading.Event()
    waiting.append(threading.Thread(target=lock.call, args=(lambda: held.wait(0.1), 120), daemon=True))
    waiting[-1].start()
    for thread in waiting:
        thread.join(120)
    assert sorted(done) == [0, 1, 2]
    assert lock.call(lambda: 5, 10) == 5
    lock.close()
    os.close(old)


def test_a_kept_descriptor_of_a_removed_file_is_no_trap(tmp_path):
    """Where no more files can be opened, it gives its number to the new file; it was tried again without end."""
    script = f"""
import os, resource
from huks_async.stores.sqlite.lockfile import LockFile
file = LockFile({str(tmp_path / "x")!r})
file.release(file.take_at_once())
os.unlink(file.path)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
except OSError:
    pass
for take in (file.take_at_once, file.take):
    descriptor = take()
    print(os.path.samestat(os.fstat(descriptor), os.stat(file.path)))
    os.unlink(file.path)
    file.release(descriptor)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_only_the_held_file_is_removed(tmp_path):
    """Not the one that somebody has put there since, which another process may hold."""
    file = LockFile(str(tmp_path / "x"))
    held = file.take_at_once()
    os.unlink(file.path)
    other = LockFile(str(tmp_path / "x"))
    theirs = other.take_at_once()
    file.remove()
    file.release(held)
    assert other.is_current(theirs)
    file.remove()
    assert other.is_current(theirs)
    other.remove()
    assert not os.path.exists(file.path)
    other.release(theirs)


def _call_behind(lock, other, function):
    """Call a function under the lock, which another one holds until the call waits for it in the line."""
    held, join_line = other.take(), CommitLock._join_line

    def join_and_let_go(request):
        line = join_line(lock, request)
        other.release(held)
        return line

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock, "_join_line", join_and_let_go)
        return lock.call(function, 120)


def test_an_error_under_the_lock_is_the_callers(tmp_path):
    """The exception of the function comes through, from either thread, and the lock is free again."""
    lock, other = CommitLock(str(tmp_path / "x"), "s"), LockFile(str(tmp_path / "x"))
    callers = []

    def fail():
        callers.append(threading.current_thread())
        raise LookupError("mine")

    with pytest.raises(LookupError):
        lock.call(fail, 1)
    with pytest.raises(LookupError):
        _call_behind(lock, other, fail)
    assert callers == [threading.current_thread(), *_lock_threads()]
    assert lock.call(lambda: 5, 0) == 5
    lock.close()
    other.close_spare()


def test_whoever_gives_up_leaves_no_descriptor(tmp_path):
    """The thread that waits for a closed lock has it at last, and gives it back for good."""
    lock, other = CommitLock(str(tmp_path / "x"), "s"), LockFile(str(tmp_path / "x"))
    before = descriptors()
    held = other.take()
    with pytest.raises(BusinessError):
        lock.call(lambda: None, 0.05)
    lock.close()
    other.release(held)
    other.close_spare()
    wait_until(lambda: not _lock_threads())
    assert descriptors().items() <= before.items()  # an earlier test may let one go meanwhile


def test_whoever_waits_longer_tries_less_often(tmp_path, monkeypatch):
    """Hundreds that wait for one store would hold each other up with their tries to close the turnstile."""
    lock, other = CommitLock(str(tmp_path / "x"), "s"), LockFile(str(tmp_path / "x"))
    held, tries = other.take(), []

    def in_vain(_):
        tries.append(time.monotonic())
        if len(tries) == 6:
            other.release(held)

    monkeypatch.setattr(LockFile, "close_turnstile", in_vain)
    assert lock.call(lambda: 5, 120) == 5
    # between two tries there is one wait; whoever is late makes what is measured longer, never shorter
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries[:6])]
    assert all(pause > 0.9 * 0.01 * 2**number for number, pause in enumerate(pauses, 1))
    lock.close()
    other.close_spare()


def test_a_line_that_gets_no_memory_for_a_moment_goes_on(tmp_path, monkeypatch):
    """Its request ends with the error, whether it was waited for or served, and the next one is served."""
    lock, other = CommitLock(str(tmp_path / "x"), "s"), LockFile(str(tmp_path / "x"))

    def call():
        return _call_behind(lock, other, lambda: 5)

    assert call() == 5
    (thread,) = _lock_threads()
    real_take, real_release = lock._file.take, lock._file.release
    with monkeypatch.context() as patch:

        def take(*args):
            patch.setattr(lock._file, "take", real_take)
            raise MemoryError

        patch.setattr(lock._file, "take", take)
        with pytest.raises(MemoryError):
            call()
    with monkeypatch.context() as patch:

        def release(descriptor):
            real_release(descriptor)
            if threading.current_thread() is thread:
                raise MemoryError

        patch.setattr(lock._file, "release", release)
        assert call() == 5
    assert call() == 5
    assert _lock_threads() == [thread]
    lock.close()
    other.close_spare()


def test_a_process_without_descriptors_still_writes(path):
    """Out of descriptors, an open store goes on writing and reading, and opening another one fails by name."""
    script = f"""
import asyncio, os, resource
from huks_async.model.errors import BusinessError
from huks_async.stores import ItemName, SqliteStore
async def main():
    store, other = SqliteStore({str(path)!r}), SqliteStore({str(path) + "2"!r})
    await store.open()
    await store.put(ItemName("app", 2, "a"), b"x")
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for alias in "bcd":
        await store.put(ItemName("app", 2, alias), b"x")
    print(await store.aliases("app", 2))
    try:
        await other.open()
    except BusinessError as error:
        print(error.code)
    for descriptor in taken:
        os.close(descriptor)
    await other.open()
    await other.aclose()
    await store.aclose()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["['a', 'b', 'c', 'd']", "12000004"], done.stderr


def test_errors_of_a_file_system_that_has_gone_do_not_end_the_lock(path, monkeypatch):
    """Giving the lock up and closing its file may fail; whoever comes next still gets an answer."""
    path.parent.mkdir()
    path.touch()
    file = LockFile(str(path))
    held = file.take_at_once()
    assert held is not None
    file.release(held)  # kept open for the next time
    first, real_close, real_flock = file.take_at_once(), os.close, fcntl.flock
    assert first is not None

    def close(descriptor):
        real_close(descriptor)
        raise OSError(107, "Transport endpoint is not connected")

    def flock(descriptor, operation):
        real_flock(descriptor, operation)
        if operation == fcntl.LOCK_UN:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "close", close)
    monkeypatch.setattr(fcntl, "flock", flock)
    file.release(first)
    monkeypatch.undo()
    second = file.take_at_once()
    assert second is not None
    file.release(second)
    file.close_spare()
