"""Random bytes: as many as asked for, none twice, whatever the system call answers."""

import subprocess
import sys
import threading

import pytest

from huks_async.runtime import randomness
from huks_async.runtime.randomness import ForkWatch, random_bytes


@pytest.mark.parametrize("size", [0, 1, 2, 12, 32, 255, 256, 257, 5000])
def test_as_many_bytes_as_asked_for(size):
    """On both sides of the size up to which the quick way is taken."""
    assert {len(random_bytes(size)) for _ in range(50)} == {size}


@pytest.mark.parametrize("size", [2, 16, 256, 257])
def test_every_byte_is_filled(size):
    """Each position is other than zero sooner or later: 200 zeros in a row have a chance of 2 in 10^482."""
    seen = bytearray(size)
    for _ in range(200):
        for place, byte in enumerate(random_bytes(size)):
            seen[place] |= byte
    assert all(seen)


def test_no_bytes_are_given_twice():
    """Not by one thread, and not by several at once."""
    taken: list[bytes] = []

    def take():
        taken.extend([random_bytes(16) for _ in range(2000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 8000


def test_single_bytes_are_not_changed():
    """The interpreter has one object for each `bytes` of one byte; it must stay what it is."""
    for _ in range(100):
        random_bytes(1)
        random_bytes(0)
    assert [bytes([number])[0] for number in range(256)] == list(range(256))
    assert len(bytes([])) == 0


@pytest.mark.parametrize(
    "answer", [BlockingIOError(), PermissionError(), OSError(38, "ENOSYS"), b"", b"\0" * 5]
)
def test_a_system_call_that_fails_or_stops_early_is_made_up_for(monkeypatch, answer):
    """As under a filter of system calls, or before the machine's generator is ready."""

    def getrandom(_size, _flags):
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(randomness, "_getrandom", getrandom)
    taken = {random_bytes(32) for _ in range(100)}
    assert len(taken) == 100
    assert bytes(32) not in taken


def test_a_system_without_getrandom_is_made_up_for(monkeypatch):
    """As any but Linux."""
    monkeypatch.setattr(randomness, "_getrandom", None)
    assert len({random_bytes(32) for _ in range(100)}) == 100


@pytest.mark.skipif(sys.platform != "linux", reason="getrandom is Linux's")
def test_the_quick_way_is_taken_here():
    """Or the tests above would show nothing."""
    assert randomness._getrandom is not None


@pytest.mark.skipif(sys.platform != "linux", reason="MADV_WIPEONFORK is Linux's")
def test_a_fork_by_c_code_is_noticed():
    """By the child alone, and until it vouches for itself."""
    program = """
import os
from huks_async.runtime.randomness import ForkWatch
from tests.adversity.bare_fork import bare_fork
watch = ForkWatch()
assert watch.mark[0] == 0
watch.renew()
assert watch.mark[0] == 1
child = bare_fork()
if not child:
    good = watch.mark[0] == 0
    watch.renew()
    os._exit(0 if good and watch.mark[0] == 1 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert watch.mark[0] == 1
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_where_pages_are_not_wiped_nothing_is_vouched_for(monkeypatch):
    """So that what was fetched ahead is never used there."""
    monkeypatch.setattr(randomness, "_wiped_page", lambda: None)
    watch = ForkWatch()
    watch.renew()
    assert watch.mark[0] == 0


def test_nothing_in_the_library_keeps_random_bytes_or_another_generator():
    """`random` makes numbers from a state in memory, which copies of a process share."""
    import pathlib

    import huks_async

    top = pathlib.Path(huks_async.__file__).parent
    for file in top.rglob("*.py"):
        text = file.read_text()
        assert "import random\n" not in text, file
        assert "from random import" not in text, file
        assert "uuid" not in text, file
