"""Random bytes that are fetched many at a time: none is given twice."""

import os
import threading

import pytest

from huks_async.runtime.randomness import RandomPool


@pytest.mark.parametrize("size", [0, 1, 12, 32, 256, 257, 5000])
def test_as_many_bytes_as_asked_for(size):
    """Small and large amounts, over several refills."""
    pool = RandomPool()
    assert {len(pool.take(size)) for _ in range(300)} == {size}


def test_no_bytes_are_given_twice():
    """Not by one thread, and not by several at once."""
    pool = RandomPool()
    taken: list[bytes] = []

    def take():
        taken.extend([pool.take(16) for _ in range(2000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 8000


def test_what_was_given_does_not_stay_in_the_pool():
    """Neither as bytes to come nor in the buffer behind its end."""
    pool = RandomPool()
    pool.take(16)
    view = memoryview(pool._left)
    before = bytes(view)
    view.release()
    taken = pool.take(32)
    assert before.endswith(taken)
    assert before[:-32] == bytes(pool._left)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_process_gets_other_bytes_than_its_parent():
    """Though both go on with a pool that was filled before the fork."""
    pool = RandomPool()
    pool.take(16)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b"".join(pool.take(16) for _ in range(100)))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        told = pipe.read()
    theirs = {told[start : start + 16] for start in range(0, len(told), 16)}
    assert len(theirs) == 100
    assert not theirs & {pool.take(16) for _ in range(100)}
