"""Forks of all kinds beside an open keystore: are acknowledged keys lost, does anything hang?

    python -m tests.adversity.forks [rounds] [pattern ...]

Each round of a pattern is a program of its own that forks, on a new store. Parent and child note each key
when it is acknowledged. A child of a process that had the store open may be refused with 12000012; any other
error counts as undocumented.
"""

import asyncio
import contextlib
import importlib.util
import multiprocessing
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import huks_async as huks
from tests.adversity import bare_fork as c_code
from tests.adversity.acknowledged import PATIENCE, Record, look, make, preload

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.getcwd()}
TASKS = 6


class Keyring:
    """The store of a round, and the record of what happened to it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.path = f"{folder}/keystore.db"
        self.record = Record(f"{folder}/record")

    def keystore(self) -> huks.Keystore:
        return huks.Keystore.open(f"sqlite:///{self.path}", monitor=False)

    async def write(self, keystore: huks.Keystore, prefix: str, count: int) -> None:
        for number in range(count):
            alias = f"{prefix}-{number}"
            await make(keystore, alias)
            self.record.note("key", alias)


class Service(threading.Thread):
    """A keystore on an event loop in a thread, as a service has it, in which tasks make keys until it is told to end."""

    def __init__(self, place: Keyring, keystore: huks.Keystore | None = None) -> None:
        super().__init__(name="service", daemon=True)
        self._place = place
        self._keystore = keystore or place.keystore()
        self.opened = threading.Event()
        self.written = threading.Event()
        self._ending = threading.Event()
        self._quiet = threading.Event()
        self._resting = threading.Semaphore(0)

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._place.record.failed("parent", error)
        finally:
            self.opened.set()
            self.written.set()

    async def _serve(self) -> None:
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()
        async with self._keystore as keystore:
            self.opened.set()
            await asyncio.gather(*(self._write(keystore, task) for task in range(TASKS)))

    async def _write(self, keystore: huks.Keystore, task: int) -> None:
        step = 0
        while not self._ending.is_set():
            await self._place.write(keystore, f"parent-{task}-{step}", 3)
            step += 1
            self.written.set()
            await asyncio.sleep(0.01)
            if self._quiet.is_set():
                self._resting.release()
                await self._woken.wait()

    def rest(self) -> None:
        """Return once each task has done what it had begun, and waits until `stop`: no thread asks for anything."""
        self._quiet.set()
        for _ in range(TASKS):
            if not self._resting.acquire(timeout=PATIENCE / 3):
                self._place.record.note("hang", "the parent's tasks do not come to rest")
        if not _all_stand_still(PATIENCE / 3):
            self._place.record.note("hang", "the parent's threads do not come to rest")

    def stop(self) -> None:
        self._ending.set()
        if self._quiet.is_set():
            self._loop.call_soon_threadsafe(self._woken.set)
        self.join(PATIENCE)
        if self.is_alive():
            self._place.record.note("hang", "the parent's service does not end")


def _all_stand_still(seconds: float) -> bool:
    """Wait until no other thread of this process moves any more; whether it came to that in time.

    One that waits for the interpreter's lock is given it while we sleep, and is seen to run or to have moved on.
    """
    before, still, end = None, 0, time.monotonic() + seconds
    while still < 10 and time.monotonic() < end:
        time.sleep(0.01)
        frames = sys._current_frames()
        now = {one: (frame.f_code, frame.f_lasti) for one, frame in frames.items()}
        del now[threading.get_ident()]
        states = {_state(one.native_id) for one in threading.enumerate() if one.ident in now}
        still = still + 1 if states <= {"S"} and now == before else 0
        before = now
    return still == 10


def _state(thread: int | None) -> str:
    """The letter of the kernel for what a thread does: `S` where it sleeps."""
    try:
        return Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:  # it has just ended
        return ""


class Signal:
    """A word between two processes, through a pipe."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()

    def give(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._writing, b".")

    def wait(self, seconds: float = PATIENCE / 3) -> None:
        ready, _, _ = select.select([self._reading], [], [], seconds)
        if ready:
            os.read(self._reading, 1)


def own_keystore(place: Keyring, prefix: str, between: Callable[[], None] = lambda: None) -> None:
    """What a child does that opens a keystore of its own: five keys, something between, five more."""

    async def main() -> None:
        async with place.keystore() as keystore:
            await place.write(keystore, f"{prefix}-1", 5)
            await asyncio.to_thread(between)
            await place.write(keystore, f"{prefix}-2", 5)

    try:
        asyncio.run(main())
    except BaseException as error:
        place.record.failed("child", error)


def fork() -> int:
    sys.stdout.flush()
    return os.fork()


def end(rng: random.Random) -> None:
    """End as processes end: by the end of the program, at once, or killed."""
    way = rng.choice(("exit", "at once", "killed"))
    if way == "exit":
        sys.exit(0)
    if way == "at once":
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


# --- patterns, each called in a program of its own ------------------------------------------------------------


def described_before(place: Keyring, rng: random.Random) -> None:
    """`Keystore.open(…)` before the fork, entered after it in parent and child."""
    keystore = place.keystore()
    first = Signal()

    def enter(prefix: str, *, leave_first: bool) -> None:
        async def main() -> None:
            async with keystore:
                await place.write(keystore, f"{prefix}-1", 5)
                if not leave_first:
                    await asyncio.to_thread(first.wait)
                await place.write(keystore, f"{prefix}-2", 5)

        try:
            asyncio.run(main())
        except BaseException as error:
            # nothing was open at the fork, so not even 12000012 is an answer here
            place.record.note("wrong", prefix, repr(error))
        if leave_first:
            first.give()

    child_first = rng.random() < 0.5
    child = fork()
    enter("parent" if child else "child", leave_first=child_first != bool(child))
    if child:
        os.waitpid(child, 0)
    end(rng)


def inherited(place: Keyring, rng: random.Random) -> None:
    """The child uses the keystore that its parent had open, and is told; the parent goes on."""
    keystore = place.keystore()
    service = Service(place, keystore)
    service.start()
    service.written.wait(PATIENCE)
    child = fork()
    if not child:

        async def main() -> None:
            await make(keystore, "inherited")
            place.record.note("key", "inherited")

        try:
            asyncio.run(main())
        except BaseException as error:
            place.record.failed("child", error)
        end(rng)
    os.waitpid(child, 0)
    time.sleep(0.02)
    service.stop()
    end(rng)


def parent_first(place: Keyring, rng: random.Random) -> None:
    """The child opens its own, and goes on after the parent has closed."""
    service = Service(place)
    service.start()
    service.written.wait(PATIENCE)
    half, closed = Signal(), Signal()
    child = fork()
    if not child:

        def between() -> None:
            half.give()
            closed.wait()

        own_keystore(place, "child", between)
        half.give()
        end(rng)
    half.wait()
    service.stop()
    closed.give()
    os.waitpid(child, 0)
    end(rng)


def child_first(place: Keyring, rng: random.Random) -> None:
    """The child opens its own and ends; the parent goes on."""
    service = Service(place)
    service.start()
    service.written.wait(PATIENCE)
    child = fork()
    if not child:
        own_keystore(place, "child")
        end(rng)
    os.waitpid(child, 0)
    time.sleep(0.05 * rng.random())
    if rng.random() < 0.5:
        service.stop()
    end(rng)


def during_commits(place: Keyring, rng: random.Random) -> None:
    """Three children, each forked at a random moment of the parent's commits."""
    service = Service(place)
    service.start()
    service.written.wait(PATIENCE)
    children = []
    for number in range(3):
        time.sleep(0.02 * rng.random())
        child = fork()
        if not child:
            own_keystore(place, f"child-{number}")
            end(rng)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    service.stop()
    end(rng)


def during_opening(place: Keyring, rng: random.Random) -> None:
    """A child that is forked while the parent opens its store."""
    service = Service(place)
    service.start()
    time.sleep(0.08 * rng.random())
    child = fork()
    if not child:
        own_keystore(place, "child")
        end(rng)
    service.written.wait(PATIENCE)
    os.waitpid(child, 0)
    service.stop()
    end(rng)


def child_killed(place: Keyring, rng: random.Random) -> None:
    """The child is killed while it writes; the parent goes on."""
    service = Service(place)
    service.start()
    service.written.wait(PATIENCE)
    child = fork()
    if not child:
        for number in range(1000):
            own_keystore(place, f"child-{number}")
        os._exit(0)
    time.sleep(0.05 + 0.2 * rng.random())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    time.sleep(0.02)
    service.stop()
    end(rng)


def parent_killed(place: Keyring, rng: random.Random) -> None:
    """The parent is killed while both write; the child goes on."""
    service = Service(place)
    service.start()
    service.written.wait(PATIENCE)
    parent = os.getpid()
    child = fork()
    if not child:
        moment = 0.05 * rng.random()

        def between() -> None:
            time.sleep(moment)
            os.kill(parent, signal.SIGKILL)

        own_keystore(place, "child", between)
        with contextlib.suppress(ProcessLookupError):
            os.kill(parent, signal.SIGKILL)
        own_keystore(place, "child-again")
        end(rng)
    os.waitpid(child, 0)


def _worker(folder: str, prefix: str) -> None:
    own_keystore(Keyring(folder), prefix)


def _multiprocessing(place: Keyring, rng: random.Random, method: str) -> None:
    context = multiprocessing.get_context(method)
    service = Service(place)
    service.start()
    service.written.wait(PATIENCE)
    workers = [
        context.Process(target=_worker, args=(place.folder, f"child-{number}"))  # type: ignore[attr-defined]
        for number in range(2)
    ]
    for worker in workers:
        worker.start()
    if rng.random() < 0.5:
        service.stop()
    for worker in workers:
        worker.join(PATIENCE)
        if worker.is_alive():
            place.record.note("hang", f"{method}: a worker does not end")
            worker.kill()
    service.stop()
    sys.exit(0)


def multiprocessing_fork(place: Keyring, rng: random.Random) -> None:
    """Workers of `multiprocessing` by fork, with a keystore each."""
    _multiprocessing(place, rng, "fork")


def multiprocessing_forkserver(place: Keyring, rng: random.Random) -> None:
    """Workers of `multiprocessing` by its fork server; these may not be refused."""
    _multiprocessing(place, rng, "forkserver")
    # not reached


class _GunicornClient:
    def __init__(self, place: Keyring, address: str) -> None:
        self._place, self._address = place, address

    def ask(self, alias: str) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE / 2)
            try:
                connection.connect(self._address)
                connection.sendall(f"GET /{alias} HTTP/1.0\r\n\r\n".encode())
                answer = b""
                while piece := connection.recv(65536):
                    answer += piece
            except TimeoutError:
                self._place.record.note("hang", "gunicorn: no answer")
                return False
            except OSError:
                return False  # no server yet, or its worker was killed
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200")):
            self._place.record.note("key", body.decode())
            return True
        if head:
            # the keystore was only described at the fork, so that no refusal is right
            self._place.record.note(
                "wrong", "gunicorn", (head[:40] + b" " + body[-500:]).decode(errors="replace")
            )
        return False


def _gunicorn(place: Keyring, rng: random.Random, *options: str) -> None:
    # by a short name, as that of a socket may have 107 bytes at most
    os.chdir(place.folder)
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--workers", "3", "--bind", "unix:socket"),
            *("--timeout", str(int(PATIENCE)), "--log-level", "critical", *options),
            "tests.adversity.gunicorn_app:app",
        ],
        env={**ENVIRONMENT, "ADVERSITY_STORE": f"sqlite:///{place.path}"},
    )
    client = _GunicornClient(place, "socket")
    patience = time.monotonic() + PATIENCE / 2
    try:
        while not client.ask("first") and time.monotonic() < patience and server.poll() is None:
            time.sleep(0.05)
        answered = [client.ask(f"a-{number}") for number in range(15)]
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        if children:
            os.kill(int(rng.choice(children)), signal.SIGKILL)
        answered += [client.ask(f"b-{number}") for number in range(25)]
        if sum(answered) < 20:
            place.record.note("wrong", "gunicorn", f"only {sum(answered)} of 40 requests were answered")
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(PATIENCE / 2)
        except subprocess.TimeoutExpired:
            place.record.note("hang", "gunicorn does not end")
            server.kill()
    sys.exit(0)


def gunicorn(place: Keyring, rng: random.Random) -> None:
    """Three workers of gunicorn, each of which imports the application; one is killed."""
    _gunicorn(place, rng)


def gunicorn_preload(place: Keyring, rng: random.Random) -> None:
    """The same with `--preload`: the application is imported before the workers are forked."""
    _gunicorn(place, rng, "--preload")


def bare_fork(place: Keyring, rng: random.Random) -> None:
    """A fork by C code, which tells nobody in Python of it; the child opens its own, the parent closes first.

    It comes while no thread asks for anything.
    """
    service = Service(place)
    service.start()
    service.written.wait(PATIENCE)
    half, closed = Signal(), Signal()
    service.rest()
    child = c_code.bare_fork()
    if not child:

        def between() -> None:
            half.give()
            closed.wait()

        own_keystore(place, "child", between)
        half.give()
        os._exit(0)
    half.wait()
    service.stop()
    closed.give()
    os.waitpid(child, 0)
    end(rng)


PATTERNS = {
    function.__name__: function
    for function in (
        described_before,
        inherited,
        parent_first,
        child_first,
        during_commits,
        during_opening,
        child_killed,
        parent_killed,
        multiprocessing_fork,
        multiprocessing_forkserver,
        gunicorn,
        gunicorn_preload,
        bare_fork,
    )
}


def missing(pattern: str) -> str:
    """What a pattern needs and is not there; the empty text where it can run."""
    if pattern.startswith("gunicorn") and importlib.util.find_spec("gunicorn") is None:
        return "gunicorn is not installed"
    return ""


class Result(dict[str, int]):
    """How many keys were acknowledged and lost, hangs, refusals, other errors."""

    def __init__(self) -> None:
        super().__init__(keys=0, lost=0, hangs=0, told=0, undocumented=0, damaged=0)
        self.details: list[str] = []

    def add(self, other: "Result") -> None:
        for name, count in other.items():
            self[name] += count
        self.details += other.details

    @property
    def good(self) -> bool:
        return not (self["lost"] or self["hangs"] or self["undocumented"] or self["damaged"])


def _wait_for_all(reading: int, group: int) -> bool:
    """Wait until no process of a round is left; tells whether it came to that by itself."""
    ready, _, _ = select.select([reading], [], [], PATIENCE)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    return bool(ready)


def run_pattern(pattern: str, seed: int, folder: str) -> Result:
    """One round of a pattern, in a folder of its own."""
    os.makedirs(folder)
    place = Keyring(folder)
    # nobody writes into this pipe; its end tells that all processes which inherited it have gone
    reading, writing = os.pipe()
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.adversity.forks", "--one", pattern, folder, str(seed)],
        pass_fds=(writing,),
        start_new_session=True,
        env=ENVIRONMENT,
    )
    os.close(writing)
    result = Result()
    try:
        if not _wait_for_all(reading, program.pid):
            result["hangs"] += 1
            result.details.append(f"{pattern}, seed {seed}: processes do not end")
    finally:
        os.close(reading)
        program.wait()
    keys = {alias for (alias,) in place.record.of("key")}
    found = look(place.path, keys)
    result["keys"], result["lost"], result["damaged"] = len(keys), len(found.lost), bool(found.damage)
    for kind, name in (("told", "told"), ("hang", "hangs"), ("wrong", "undocumented")):
        lines = place.record.of(kind)
        result[name] += len(lines)
        if kind != "told":
            result.details += [f"{pattern}, seed {seed}: {line}" for line in lines]
    if found.lost or found.damage:
        result.details.append(f"{pattern}, seed {seed}: lost {found.lost[:5]} {found.damage}")
    return result


def run_until_acknowledged(pattern: str, seed: int, folder: str) -> Result:
    """Rounds of a pattern until one shows something: on a busy machine all may be killed before the first key."""
    for attempt in range(5):
        result = run_pattern(pattern, seed + attempt, f"{folder}-{attempt}")
        if result["keys"] or not result.good:
            return result
    result["undocumented"] += 1
    result.details.append(f"{pattern}, seed {seed}: nothing was acknowledged")
    return result


def run(patterns: list[str], rounds: int, seed: int | None = None) -> Result:
    seed = random.randrange(1 << 30) if seed is None else seed
    total = Result()
    preload()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for pattern in patterns:
                total.add(run_until_acknowledged(pattern, seed + number, f"{folder}/{pattern}-{number}"))
    return total


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        _, _, pattern, folder, seed = sys.argv
        PATTERNS[pattern](Keyring(folder), random.Random(int(seed)))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    wanted = sys.argv[2:] or list(PATTERNS)
    patterns = [pattern for pattern in wanted if not missing(pattern)]
    total = run(patterns, rounds)
    for detail in total.details[:20]:
        print(detail, file=sys.stderr)
    skipped = [f"{pattern} skipped: {missing(pattern)}" for pattern in wanted if missing(pattern)]
    print(
        f"{len(patterns)} patterns of forks, {rounds} rounds each: "
        + ", ".join(f"{name} {count}" for name, count in total.items())
        + "".join(f"; {line}" for line in skipped)
    )
    sys.exit(not total.good)


if __name__ == "__main__":
    main()
