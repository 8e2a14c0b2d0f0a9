"""Power cuts at random moments, on a file system that forgets what was not synced: is anything lost that was acknowledged?

    python -m tests.adversity.power_cuts [cuts] [seed] [scenario ...]

The power is cut after a random number of requests to the file system. What the disk has then is mounted anew,
and looked at: stores under two writers that make, replace and delete keys, one of which comes and goes; root key
files; results of `huks encrypt -o` and `huks keys convert -o`. Needs root and /dev/fuse.
"""

import asyncio
import contextlib
import ctypes
import hashlib
import json
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
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import huks_async as huks
from huks_async.rootkeys import FileRootKey
from huks_async.stores import SqliteStore
from tests.adversity import support
from tests.adversity.acknowledged import (
    Hang,
    Record,
    fork_to,
    in_child,
    look,
    mac_of,
    make,
    preload,
    reap,
    use,
)
from tests.adversity.forgetful import Forgetful
from tests.adversity.fuse import Served, mount, unmount

_CLONE_NEWNS = 0x20000
_MS_REC_PRIVATE = 0x44000
IDLE = 1.0
"""Seconds without a request, after which the cut comes anyway."""
KEPT = (0.0, 0.0, 0.5, 0.9, 1.0)
"""How much of what was not synced a cut leaves; each is as likely as the others."""
CUTS_OF_A_DISK = 6


def missing() -> str:
    """Why this cannot run here; the empty text where it can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "mounting a file system needs root"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    probe = subprocess.run(
        [sys.executable, "-m", "tests.adversity.power_cuts", "--probe"],
        capture_output=True,
        text=True,
        check=False,
    )
    return probe.stderr.strip().rpartition("\n")[2] if probe.returncode else ""


def own_mounts() -> None:
    """Mounts of this process from here on are its own, and end with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "mount namespaces cannot be had")
    mount("none", "/", "none", _MS_REC_PRIVATE, "")


# --- the process that is the disk --------------------------------------------------------------------------------


def _be_disk(path: str, control: socket.socket) -> None:
    words = control.makefile("rw")
    files, served, seed = Forgetful(), None, random.Random()
    for line in words:
        word, *values = json.loads(line)
        answer: object = None
        if word == "mount":
            if values[0]:
                files = Forgetful()
            if served is not None:
                unmount(path)
            served = Served(files, path)
            seed = random.Random(values[1])
        elif word == "run":
            assert served is not None
            answer = _serve(served, values[0], control), time.monotonic()
            if values[1] is not None:
                files = served.files.after_cut(seed, values[1])
                served.cut()
        words.write(json.dumps(answer) + "\n")
        words.flush()


def _serve(served: Served, requests: int | None, control: socket.socket) -> int:
    """Answer so many requests (None: until the next word comes); gives how many it were."""
    answered = 0
    watched = [served.descriptor] if requests is not None else [served.descriptor, control]
    while requests is None or answered < requests:
        ready, _, _ = select.select(watched, [], [], IDLE if requests is not None else None)
        if control in ready or not ready:
            break
        if not served.step():
            break
        answered += 1
    return answered


class Disk:
    """The file system, as the process sees it that cuts the power."""

    def __init__(self, path: str) -> None:
        self.path = path
        ours, theirs = socket.socketpair()
        self._process = fork_to(lambda: (ours.close(), _be_disk(path, theirs)))
        theirs.close()
        self._words = ours.makefile("rw")
        self._socket = ours

    def _say(self, *word: object) -> None:
        self._words.write(json.dumps(word) + "\n")
        self._words.flush()

    def _hear(self) -> Any:
        return json.loads(self._words.readline())

    def mount(self, *, fresh: bool, seed: int) -> None:
        self._say("mount", fresh, seed)
        self._hear()

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve without a cut."""
        self._say("run", None, None)
        try:
            yield
        finally:
            # the next word ends it
            self._say("nothing")
            self._hear()
            self._hear()

    def run_until_cut(self, requests: int, kept: float) -> tuple[int, float]:
        """Serve so many requests, then cut; gives how many it were, and the moment of the last."""
        self._say("run", requests, kept)
        answered, moment = self._hear()
        return answered, moment

    def end(self) -> None:
        self._words.close()
        self._socket.close()
        reap(self._process)


# --- scenarios: what runs when the power is cut, and what must be there afterwards ----------------------------------


class Scenario:
    """Runs programs on a disk, and looks at what a cut left."""

    most_requests = 1500

    def __init__(self, disk: str, outside: str, record: Record, rng: random.Random) -> None:
        self.disk, self.outside, self.record, self.rng = disk, outside, record, rng
        self.cuts = 0

    def programs(self) -> list[Callable[[], None]]:
        """What to run at once, each in a process of its own."""
        raise NotImplementedError

    def judge(self) -> tuple[list[str], list[str]]:
        """What was lost, and what is damaged."""
        raise NotImplementedError


class StoreUnderWriters(Scenario):
    """Two writers on a store in a folder that is new itself, and a reader: what it saw must be there, too."""

    @property
    def path(self) -> str:
        return f"{self.disk}/new/folder/keystore.db"

    def programs(self) -> list[Callable[[], None]]:
        self.cuts += 1
        numbers = self.rng.randrange(1 << 30), self.rng.randrange(1 << 30)
        return [
            lambda: self._write(f"a{self.cuts}", random.Random(numbers[0]), 10_000),
            lambda: self._write(f"b{self.cuts}", random.Random(numbers[1]), 6),
            lambda: asyncio.run(self._read()),
        ]

    async def _read(self) -> None:
        seen: set[str] = set()
        async with huks.Keystore.open(SqliteStore(self.path, busy_timeout=10), monitor=False) as keystore:
            while True:
                there = set((await keystore.listAliases(support.NONE)).keyAliases)
                for alias in there - seen:
                    self.record.note("seen", alias)
                seen |= there
                await asyncio.sleep(0.001)

    def _write(self, prefix: str, rng: random.Random, before_closing: int) -> None:
        asyncio.run(self._write_on(prefix, rng, before_closing))

    async def _write_on(self, prefix: str, rng: random.Random, before_closing: int) -> None:
        number = 0
        while True:
            async with huks.Keystore.open(SqliteStore(self.path, busy_timeout=10), monitor=False) as keystore:
                mine: list[str] = []
                for _ in range(before_closing):
                    number += 1
                    alias = f"{prefix}-{number}"
                    await make(keystore, alias)
                    self.record.note("key", alias)
                    mine.append(alias)
                    if number % 3 == 0:
                        victim = mine.pop(rng.randrange(len(mine)))
                        self.record.note("deleting", victim)
                        await keystore.deleteKeyItem(victim, support.NONE)
                        self.record.note("deleted", victim)
                    if number % 4 == 0:
                        content = time.monotonic_ns()
                        self.record.note("replacing", prefix, content)
                        await make(keystore, f"r{prefix}", content.to_bytes(32, "big"))
                        self.record.note("replaced", prefix, content)

    def judge(self) -> tuple[list[str], list[str]]:
        lines = self.record.read()
        keys = {line[1] for line in lines if line[0] == "key"}
        deleting = {line[1] for line in lines if line[0] == "deleting"}
        deleted = {line[1] for line in lines if line[0] == "deleted"}
        replaced = {f"r{line[1]}": 0 for line in lines if line[0] == "replacing"}
        for line in lines:
            if line[0] == "replaced":
                replaced[f"r{line[1]}"] = line[2]
        replacements = {f"r{line[1]}" for line in lines if line[0] == "replacing"}
        keys |= {line[1] for line in lines if line[0] == "seen"} - replacements
        wanted = keys - deleting
        if not os.path.exists(self.path):
            lost = wanted | {alias for alias, content in replaced.items() if content}
            # before the first acknowledgement there need not be a store
            return sorted(lost), []
        found = look(self.path, wanted, {*replaced, *deleting})
        lost = list(found.lost)
        lost += [f"{alias} was deleted and is there" for alias in sorted(found.aliases & deleted)]
        if not found.damage:
            contents: dict[str, set[int]] = {alias: set() for alias in replaced}
            for line in lines:
                if line[0] == "replacing" and line[2] >= replaced[f"r{line[1]}"]:
                    contents[f"r{line[1]}"].add(line[2])
            lost += in_child(self._outdated, contents, {alias for alias in replaced if replaced[alias]})
        return lost, [found.damage] if found.damage else []

    def _outdated(self, contents: dict[str, set[int]], wanted: set[str]) -> list[str]:
        async def main() -> list[str]:
            wrong = []
            async with huks.Keystore.open(f"sqlite:///{self.path}", monitor=False) as keystore:
                for alias, accepted in contents.items():
                    mac = await use(keystore, alias)
                    if mac is None and alias not in wanted:
                        continue
                    if mac not in {mac_of(content.to_bytes(32, "big")) for content in accepted}:
                        wrong.append(f"{alias} is not the last one acknowledged")
            return wrong

        return asyncio.run(main())


class RootKeyFiles(Scenario):
    """Root key files in a folder that is new itself."""

    def programs(self) -> list[Callable[[], None]]:
        self.cuts += 1
        return [self._make]

    def _path(self, name: str) -> str:
        return f"{self.disk}/keys/{name}"

    def _make(self) -> None:
        async def main() -> None:
            for number in range(10_000):
                name = f"{self.cuts}-{number}"
                key = FileRootKey(self._path(name))
                self.record.note("name", name)
                await key.open()
                self.record.note("root", name, key.key_id)
                await key.aclose()

        asyncio.run(main())

    def judge(self) -> tuple[list[str], list[str]]:
        return in_child(self._judge)

    def _judge(self) -> tuple[list[str], list[str]]:
        acknowledged = dict(self.record.of("root"))
        lost, damaged = [], []

        names = [(name, os.path.exists(self._path(name))) for (name,) in self.record.of("name")]

        async def main() -> None:
            for name, there in names:
                if not there:
                    if name in acknowledged:
                        lost.append(name)
                    continue
                key = FileRootKey(self._path(name), create=False)
                try:
                    await key.open()
                except huks.BusinessError as error:
                    damaged.append(f"{name}: {error}")
                    continue
                if acknowledged.get(name, key.key_id) != key.key_id:
                    lost.append(f"{name} is another key")
                await key.aclose()

        asyncio.run(main())
        return lost, damaged


def command(*arguments: str) -> int:
    """Run the command in this process, without a word of its own; gives its exit code."""
    from huks_async.cli import main

    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        return main(arguments)


class _Results(Scenario):
    """Files that the command writes: acknowledged by exit code 0, and whole or not there at all before that."""

    most_requests = 150

    def prepare(self) -> None:
        raise NotImplementedError

    def write(self, name: str, target: str) -> int:
        raise NotImplementedError

    def right(self, name: str, target: str) -> bool:
        raise NotImplementedError

    def programs(self) -> list[Callable[[], None]]:
        if not self.cuts:
            reap(fork_to(self.prepare))
        self.cuts += 1
        return [self._write]

    def _write(self) -> None:
        for number in range(10_000):
            name = f"{type(self).__name__}-{self.cuts}-{number}"
            self.record.note("name", name)
            if self.write(name, f"{self.disk}/{name}") != 0:
                return
            self.record.note("file", name)

    def judge(self) -> tuple[list[str], list[str]]:
        return in_child(self._judge)

    def _judge(self) -> tuple[list[str], list[str]]:
        acknowledged = {name for (name,) in self.record.of("file")}
        lost, damaged = [], []
        for (name,) in self.record.of("name"):
            target = f"{self.disk}/{name}"
            if not os.path.exists(target):
                if name in acknowledged:
                    lost.append(name)
            elif not self.right(name, target):
                damaged.append(f"{name}: half a file of {os.path.getsize(target)} bytes")
        return lost, damaged


class Encrypted(_Results):
    """Results of `huks encrypt -o`."""

    @property
    def _store(self) -> str:
        return f"sqlite:///{self.outside}/encrypting.db"

    def _plain(self, name: str) -> bytes:
        return hashlib.sha256(name.encode()).digest() * (1 + sum(name.encode()) % 3000)

    def prepare(self) -> None:
        async def main() -> None:
            async with huks.Keystore.open(self._store, monitor=False) as keystore:
                await keystore.generateKeyItem("files", support.AES_KEY)

        asyncio.run(main())

    def write(self, name: str, target: str) -> int:
        plain = f"{self.outside}/plain"
        with open(plain, "wb") as file:
            file.write(self._plain(name))
        return command("encrypt", "files", plain, "-o", target, "--store", self._store)

    def right(self, name: str, target: str) -> bool:
        back = f"{self.outside}/back"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(back)
        if command("decrypt", "files", target, "-o", back, "--store", self._store) != 0:
            return False
        with open(back, "rb") as file:
            return file.read() == self._plain(name)


class Converted(_Results):
    """Results of `huks keys convert -o`."""

    def prepare(self) -> None:
        key = rsa.generate_private_key(65537, 4096)
        with open(f"{self.outside}/key.pem", "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        assert self.write("", f"{self.outside}/expected") == 0

    def write(self, name: str, target: str) -> int:
        return command("keys", "convert", "--to", "jwk", f"{self.outside}/key.pem", "-o", target)

    def right(self, name: str, target: str) -> bool:
        with open(target, "rb") as file, open(f"{self.outside}/expected", "rb") as expected:
            return file.read() == expected.read()


SCENARIOS: dict[str, type[Scenario]] = {
    "store": StoreUnderWriters,
    "root-key": RootKeyFiles,
    "encrypt": Encrypted,
    "convert": Converted,
}
WEIGHTS = {"store": 7, "root-key": 1, "encrypt": 1, "convert": 1}


class Result:
    """What was found."""

    def __init__(self) -> None:
        self.cuts = self.requests = self.lost = self.damaged = self.acknowledged = self.seen = self.hangs = 0
        self.undocumented = 0
        self.details: list[str] = []

    @property
    def good(self) -> bool:
        return self.acknowledged > 0 and not (self.lost or self.damaged or self.hangs or self.undocumented)

    def line(self) -> str:
        return (
            f"{self.cuts} power cuts after {self.requests} requests: {self.acknowledged} acknowledged, {self.seen} seen "
            f"by a reader, lost {self.lost}, "
            f"not opened or half {self.damaged}, hangs {self.hangs}, undocumented errors {self.undocumented}"
        )


def _noting_errors(program: Callable[[], None], record: Record) -> None:
    """Run a program; when its disk has gone it fails, in whichever thread, which is told by the moment."""

    def note(error: BaseException | None) -> None:
        record.note("error", time.monotonic(), repr(error)[:500])

    threading.excepthook = lambda what: note(what.exc_value)
    try:
        program()
    except BaseException as error:
        note(error)


def one_disk(disk: Disk, kind: str, cuts: int, seed: int, folder: str, result: Result) -> None:
    """A new disk, and some cuts of one scenario on it."""
    rng = random.Random(seed)
    os.makedirs(folder)
    record = Record(f"{folder}/record")
    scenario = SCENARIOS[kind](disk.path, folder, record, rng)
    disk.mount(fresh=True, seed=seed)
    for number in range(cuts):
        programs = [fork_to(partial(_noting_errors, program, record)) for program in scenario.programs()]
        before = time.monotonic()
        kept = rng.choice(KEPT)
        most = 100 if number == 0 and rng.random() < 0.5 else scenario.most_requests
        requests, moment = disk.run_until_cut(rng.randint(1, most), kept)
        result.requests += requests
        for program in programs:
            os.kill(program, signal.SIGKILL)
        for program in programs:
            reap(program)
        early = [line for line in record.of("error") if before < line[0] < moment]
        result.undocumented += len(early)
        result.details += [f"{kind}, seed {seed}, cut {number}: {line}" for line in early]
        disk.mount(fresh=False, seed=rng.randrange(1 << 30))
        result.cuts += 1
        try:
            with disk.serving():
                lost, damaged = scenario.judge()
        except Hang as error:
            result.hangs += 1
            result.details.append(f"{kind}, seed {seed}: {error}")
            break
        result.lost += len(lost)
        result.damaged += len(damaged)
        if lost or damaged:
            result.details.append(
                f"{kind}, seed {seed}, cut {number} that keeps {kept}: lost {lost[:5]} {damaged[:2]}"
            )
            break  # what comes later would only repeat it
    result.seen += len(record.of("seen"))
    result.acknowledged += sum(
        line[0] in ("key", "root", "file", "deleted", "replaced") for line in record.read()
    )


def run(cuts: int, seed: int, kinds: list[str]) -> Result:
    rng = random.Random(seed)
    result = Result()
    own_mounts()
    preload()
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/disk")
        disk = Disk(f"{folder}/disk")
        try:
            number = 0
            while result.cuts < cuts:
                kind = (
                    kinds[number]
                    if number < len(kinds)
                    else rng.choices(kinds, [WEIGHTS[k] for k in kinds])[0]
                )
                more = min(CUTS_OF_A_DISK, cuts // len(kinds) or 1, cuts - result.cuts)
                one_disk(disk, kind, more, rng.randrange(1 << 30), f"{folder}/{number}", result)
                number += 1
        finally:
            disk.end()
            with contextlib.suppress(OSError):
                unmount(f"{folder}/disk")
    return result


def main() -> None:
    if sys.argv[1:] == ["--probe"]:
        own_mounts()
        with tempfile.TemporaryDirectory() as folder:
            Served(Forgetful(), folder).cut()
            unmount(folder)
        return
    cuts = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    reason = missing()
    if reason:
        print(f"power cuts skipped: {reason}")
        return
    import huks_async.cli.app  # noqa: F401 - once, and not in each process

    result = run(cuts, seed, sys.argv[3:] or list(SCENARIOS))
    for detail in result.details[:20]:
        print(detail, file=sys.stderr)
    print(f"{result.line()}; seed {seed}")
    sys.exit(not result.good)


if __name__ == "__main__":
    main()
