"""Processes of the command that are copies of one which has loaded it: a test does not wait for that each time.

Each is a process of its own, with standard streams, environment and session of its own; only its beginning is
not that of `huks`. What is about that beginning starts the command itself, by `command_line.command`.
"""

import contextlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
from importlib import import_module

_PATIENCE = 120
_LONGEST = 200_000

_ROOMS = ("cli", "crypto", "files", "keys", "keystore", "rootkeys", "runtime", "sessions", "stores")


class Running:
    """A process of the command."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self.pid = self._answer()

    def wait(self) -> int:
        """Wait for its end, and give its status."""
        return os.waitstatus_to_exitcode(self._answer())

    def _answer(self) -> int:
        try:
            answer = self._link.recv(100)
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            raise
        assert answer, "the process that was to be copied has ended"
        return int(answer)


class Warm:
    """The process that is copied."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cli.warm", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._link.settimeout(_PATIENCE)

    def end(self) -> None:
        self._link.close()
        self._process.wait(_PATIENCE)

    def start(self, words: list[str], streams: list[int], *, terminal: bool = False) -> Running:
        """Start a copy in a session of its own.

        Args:
            words: what follows the command's name.
            streams: descriptors of its standard input, output and error.
            terminal: whether its standard input is a terminal that is to be its own.
        """
        request = {"words": words, "terminal": terminal, "folder": os.getcwd(), "environment": {**os.environ}}
        socket.send_fds(self._link, [json.dumps(request).encode()], streams)
        return Running(self._link)

    def run(self, words: list[str], stdin: bytes | None = b"") -> "subprocess.CompletedProcess[bytes]":
        """Run a copy with pipes, or without an input where there is no `stdin`, to its end."""
        pipes = [os.pipe(), os.pipe(), os.pipe()]
        (reading, writing), (out, out_end), (err, err_end) = pipes
        nothing = os.open(os.devnull, os.O_RDONLY)
        process = self.start(words, [nothing if stdin is None else reading, out_end, err_end])
        for descriptor in (nothing, reading, out_end, err_end):
            os.close(descriptor)
        feeding = threading.Thread(target=_feed, args=(writing, stdin or b""))
        feeding.start()
        got = {out: b"", err: b""}
        with selectors.DefaultSelector() as selector:
            for descriptor in got:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    piece = os.read(key.fd, 1 << 20)
                    got[key.fd] += piece
                    if not piece:
                        selector.unregister(key.fd)
                        os.close(key.fd)
        status = process.wait()
        feeding.join(_PATIENCE)
        return subprocess.CompletedProcess(words, status, got[out], got[err])


def _feed(descriptor: int, data: bytes) -> None:
    # whoever has seen enough closes its end
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:
        pipe.write(data)


_warm: Warm | None = None


def warm() -> Warm:
    """The process that is copied, which is started when it is first asked for."""
    global _warm
    if _warm is None:
        _warm = Warm()
    return _warm


def end() -> None:
    """End it, if it was started."""
    global _warm
    if _warm is not None:
        _warm.end()
    _warm = None


# --- in the process that is copied ------------------------------------------------------------------------------


def _load() -> None:
    # what the command loads at its first await
    import_module("asyncio")
    import_module("anyio._backends._asyncio")
    for room in _ROOMS:
        package = import_module(f"huks_async.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError):  # of an extra that is not there
                    import_module(module.name)


def _become(request: dict[str, object], streams: list[int]) -> None:
    import fcntl
    import termios

    import huks_command

    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, max(streams) + 1)
    os.setsid()
    if request["terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(str(request["folder"]))
    os.environ.clear()
    os.environ.update(request["environment"])  # type: ignore[call-overload]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = ["huks", *request["words"]]  # type: ignore[misc]
    huks_command.main()


def _serve(link: socket.socket) -> None:
    _load()
    while True:
        data, streams, _, _ = socket.recv_fds(link, _LONGEST, 3)
        if not data:
            return
        child = os.fork()
        if not child:
            try:
                _become(json.loads(data), streams)
            finally:
                os._exit(70)
        for descriptor in streams:
            os.close(descriptor)
        link.send(str(child).encode())
        link.send(str(os.waitpid(child, 0)[1]).encode())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as own:
        _serve(own)
