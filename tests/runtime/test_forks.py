"""A fork that did not wait for the end of a load: the child can load, and other forks are not mixed up."""

import subprocess
import sys

COMMON = """
import os, threading, time
from huks_async.runtime import forks

forks._LONGEST_LOAD = 0.05
held, done = threading.Event(), threading.Event()

def load():
    with forks.no_fork():
        held.set()
        done.wait()

def loads_within(seconds):
    ended = threading.Event()
    def load():
        with forks.no_fork():
            ended.set()
    threading.Thread(target=load, daemon=True).start()
    return ended.wait(seconds)

def code_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""

GIVEN_UP = """
loader = threading.Thread(target=load)
loader.start()
held.wait()
child = os.fork()
if child == 0:
    # in this thread, because a new one may get the number of the thread that loads in the parent
    os._exit(0 if forks.no_fork().acquire(timeout=60) else 3)
print(code_of(child), loads_within(0.1))
done.set()
loader.join()
print(loads_within(60))
child = os.fork()
if child == 0:
    os._exit(0 if loads_within(60) else 3)
print(code_of(child), loads_within(60))
"""

TWO_AT_ONCE = """
# a second thread gives up while the first one holds the lock for its own fork
forks._wait_for_load()
second = threading.Thread(target=forks._wait_for_load)
second.start()
second.join()
forks._go_on()
print(loads_within(60))
"""


def _run(script: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMMON + script], capture_output=True, text=True, timeout=250
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_child_whose_parent_was_loading_can_load() -> None:
    """The child of a fork that gave up waiting has a lock of its own; the parent's is held until its load ends."""
    assert _run(GIVEN_UP).split() == ["0", "False", "True", "0", "True"]


def test_a_fork_that_gives_up_does_not_keep_the_lock_of_another() -> None:
    """What one thread waited for is not taken for what another one did."""
    assert _run(TWO_AT_ONCE).split() == ["True"]


ALL_LOCKS = """
import contextlib, importlib, pkgutil
import huks_async

modules = []
for found in pkgutil.walk_packages(huks_async.__path__, "huks_async."):
    with contextlib.suppress(ImportError):  # of an extra that is not installed
        modules.append(importlib.import_module(found.name))
kinds = type(threading.Lock()), type(threading.RLock())
locks = [(module, name) for module in modules for name, value in vars(module).items()
         if isinstance(value, kinds) and module.__name__ != "huks_async.runtime.forks"]  # a fork waits for that one

def hold():
    for module, name in locks:
        getattr(module, name).acquire()
    held.set()
    threading.Event().wait()

held = threading.Event()
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    held = [f"{module.__name__}.{name}" for module, name in locks if not getattr(module, name).acquire(timeout=0)]
    print(*held, flush=True)
    os._exit(3 if held else 0)
print(len(locks), code_of(child))
"""


def test_no_lock_of_a_module_is_held_in_a_child() -> None:
    """A thread of the parent may have it at the time of the fork, and is not there to give it back."""
    found, code = map(int, _run(ALL_LOCKS).split())
    assert (found >= 5, code) == (True, 0)


CLOSING = """
import anyio
from huks_async.sessions.pressure import closing

closing._closing = closing._MOST  # as many threads close sensors
child = os.fork()
if child == 0:
    anyio.run(closing.close_later, lambda: None)
    os._exit(0 if closing._closing <= 1 else 3)
print(code_of(child))
"""


def test_a_child_does_not_wait_for_sensors_that_the_parent_closes() -> None:
    """The threads that close them are the parent's."""
    assert _run(CLOSING).split() == ["0"]
