"""Another process that uses a store: told what to do on its standard input, answering with a line of JSON each.

Commands are Python expressions over `store`, `put`, `get`, `delete`, `read_file` and `stamp`; see `Peer`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys

from huks_async.model.errors import BusinessError
from huks_async.stores import ItemName, SqliteStore


def name(alias):
    """The item of an alias."""
    return ItemName("app", 2, alias)


class Peer:
    """Starts such a process and asks it."""

    def __init__(self, path, *, busy_timeout=60.0, prelude=""):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.stores.peer", str(path), str(busy_timeout), prelude],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def send(self, command):
        """Ask without waiting for the answer."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self):
        """Give the answer: a value, or `[code, message]` of an error."""
        line = self.process.stdout.readline()
        assert line, f"the process ended: {self.process.wait(30)}"
        return json.loads(line)

    def ask(self, command):
        """Ask, and give the answer."""
        self.send(command)
        return self.answer()

    def kill(self):
        """End it at once."""
        self.process.kill()
        self.end()

    def stopped(self, yes):
        """Stop it, or let it go on."""
        os.kill(self.process.pid, signal.SIGSTOP if yes else signal.SIGCONT)

    def end(self):
        """Let it end by itself; gives its exit status."""
        self.process.stdin.close()
        status = self.process.wait(60)
        self.process.stdout.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.end()


async def _main():
    path, busy_timeout, prelude = sys.argv[1:]
    store = SqliteStore(path, busy_timeout=float(busy_timeout))
    scope = {"store": store, "path": path, "os": os}
    exec(prelude, scope)

    async def put(*aliases, blob=b"x" * 600):
        for alias in aliases:
            await store.put(name(alias), blob + alias.encode())
        return True

    async def get(alias):
        row = await store.get(name(alias))
        return None if row is None else row.blob.decode()

    async def delete(alias):
        return await store.delete(name(alias))

    async def opened():
        await store.open()
        return True

    async def closed():
        await store.aclose()
        return True

    async def aliases():
        return await store.aliases("app", 2)

    def read_files():
        for part in ("", "-wal", "-shm", ".lock"):
            with open(path + part, "rb") as file:
                file.read()
        return True

    scope |= {"put": put, "get": get, "delete": delete, "opened": opened, "closed": closed}
    scope |= {"aliases": aliases, "read_files": read_files}
    for line in iter(sys.stdin.readline, ""):
        try:
            answer = eval(line, scope)
            if asyncio.iscoroutine(answer):
                answer = await answer
        except BusinessError as error:
            answer = [error.code, error.message]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
