"""Workers that get no memory several times in a row, wherever that begins: the thread lives on and no result is lost."""

import subprocess
import sys

import pytest

pytest.importorskip("_testcapi", reason="this Python has no hooks of the allocator")

# While allocations fail, only the thread under test runs: the interpreter takes no turn from it, and it waits nowhere.
PROGRAM = """
import _testcapi, sys, threading, time
from types import SimpleNamespace
from huks_async.files import shared_work
from huks_async.runtime import batches, jobs, workers
from huks_async.runtime.daemons import DaemonThread

sys.setswitchinterval(60)
at_once = lambda seconds: None
for module in (batches, jobs, workers):
    module.time = SimpleNamespace(sleep=at_once, monotonic=time.monotonic)
shared_work.sleep = at_once
threading.excepthook = lambda thread: None

kept = []
told = threading.Lock()
told.acquire()

class Waiter:
    done = lambda self: True

def post(wake):
    _testcapi.remove_mem_hooks()
    wake()
    told.release()

home = jobs.Home(None, post, Waiter)
shared_work.current_home = lambda known: home

def fail(place, times):
    # the interpreter keeps no tuples in stock, such as the end of a `with` takes
    kept[:] = []
    kept.extend([(each, each, each) for each in range(4000)])
    _testcapi.set_nomemory(place, place + times)

class FailingTicket(list):
    place = times = 0
    def pop(self):
        super().pop()
        fail(self.place, self.times)

def handler(begin, check):
    requests = begin()
    for request in requests:
        if request:
            fail(*request)
    return requests

def begin(work, *args, ticket=None):
    desk = workers.Desk()
    thread = DaemonThread(work, (desk, *args))
    thread._ticket = ticket or thread._ticket
    return desk, thread

def is_done(desk, function, *args):
    desk.count(1)
    desk.jobs.put(jobs.Job(home, function, args))
    return told.acquire(True, 20)

def goes_on(desk, thread, last):
    done = is_done(desk, *last) and thread.is_alive() and desk.unfinished == 0
    desk.jobs.put(None)
    return done

def pool(place, times):
    desk, thread = begin(workers._work, 5)
    thread.start()
    return is_done(desk, fail, place, times) and goes_on(desk, thread, (int,))

def batch(place, times):
    desk, thread = begin(batches._work, handler, 9)
    thread.start()
    return is_done(desk, None, (place, times)) and goes_on(desk, thread, (None, ()))

def begins(place, times):
    ticket = FailingTicket([None])
    ticket.place, ticket.times = place, times
    desk, thread = begin(workers._work, 5, ticket=ticket)
    desk.count(1)
    desk.jobs.put(jobs.Job(home, int, ()))
    thread.start()
    return told.acquire(True, 20) and goes_on(desk, thread, (int,))

def shared(place, times):
    work = shared_work.SharedWork(SimpleNamespace(size=2, is_crowded=False), None)
    class Task:
        done = lambda self: False
        def set_result(self, none):
            work._awaited = None
    call = jobs.Call(int)
    work._helpers, work._awaited, work._waiter = 1, call, Task()
    work._todo.extend([jobs.Call(fail, (place, times)), call])
    thread = DaemonThread(work._help)
    thread.start()
    done = told.acquire(True, 20)
    thread.join(20)
    return done and call.has_run and not work._helpers

for place in range(16):
    for times in range(1, 11):
        if not globals()[sys.argv[1]](place, times):
            print(place, times)
            sys.exit()
"""


@pytest.mark.parametrize(
    "where",
    ["pool", "batch", "begins", "shared"],
    ids=["after a call", "after a batch", "at its begin", "shared work"],
)
def test_a_worker_without_memory_goes_on_when_there_is_some(where):
    """For up to 10 failures in a row, from any of the first 16 allocations on."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, where], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
