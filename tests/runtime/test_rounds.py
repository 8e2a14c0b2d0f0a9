"""Whether something but the running task waits for the event loop: seen for each way in which something can wait."""

import asyncio
import ctypes
import os
import resource
import selectors
import signal
import socket
import sys
import threading
import time

import anyio
import pytest

from huks_async.runtime.rounds import other_rounds, others_wait


async def _nothing() -> None:
    return


async def _settled() -> None:
    for _ in range(5):  # what asyncio itself has to do when a loop begins
        await asyncio.sleep(0)


def _ask():
    ask = others_wait()
    if ask is None:
        pytest.skip("this event loop does not show who waits")
    return ask


def _wait_for(ask) -> None:
    """Hold up the loop, as long work would, until it is seen that somebody waits."""
    end = time.monotonic() + 60
    while not ask() and time.monotonic() < end:
        time.sleep(0.001)


def run(main) -> None:
    """In asyncio's usual loop, whatever loop the other tests use."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


def test_nobody_waits():
    """Not before anything was begun, and not for timers and files whose time has not come."""

    async def main():
        await _settled()
        ask = _ask()
        assert not ask()
        loop = asyncio.get_running_loop()
        timer = loop.call_later(3600, print)
        sleeper = asyncio.create_task(asyncio.sleep(3600))
        silent, other = socket.socketpair()
        loop.add_reader(silent, print)
        await _settled()
        assert not ask()
        loop.remove_reader(silent)
        silent.close()
        other.close()
        timer.cancel()
        sleeper.cancel()
        assert ask()  # the cancelled task must end

    run(main)


def test_each_way_of_waiting_is_seen():
    """A callback, a new task, a future's task, a timer, a socket, a thread, a signal, a cancellation."""
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        ask = _ask()
        future: asyncio.Future[None] = loop.create_future()
        waiting = asyncio.ensure_future(asyncio.wait_for(future, 3600))
        idle = asyncio.create_task(asyncio.Event().wait())
        silent, other = socket.socketpair()
        loop.add_reader(silent, lambda: seen.append(silent.recv(1)))
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "signal")

        def by_thread():
            thread = threading.Thread(target=loop.call_soon_threadsafe, args=(seen.append, "thread"))
            thread.start()
            thread.join()

        def by_timer():
            loop.call_later(0.001, seen.append, "timer")
            _wait_for(ask)

        ways = {
            "callback": lambda: loop.call_soon(seen.append, "callback"),
            "task": lambda: asyncio.create_task(_nothing()),
            "future": lambda: future.set_result(None),
            "timer": by_timer,
            "socket": lambda: other.send(b"x"),
            "thread": by_thread,
            "signal": lambda: os.kill(os.getpid(), signal.SIGUSR1),
            "cancellation": idle.cancel,
        }
        for name, begin in ways.items():
            await _settled()
            assert not ask(), f"before {name}"
            begin()
            assert ask(), name
            await other_rounds(3)()
        await waiting
        loop.remove_signal_handler(signal.SIGUSR1)
        loop.remove_reader(silent)
        silent.close()
        other.close()

    run(main)
    assert sorted(map(str, seen)) == sorted(["callback", "timer", "b'x'", "thread", "signal"])


def test_timers_are_seen_after_cancelled_ones_were_removed():
    """asyncio makes a new list of timers then."""

    async def main():
        loop = asyncio.get_running_loop()
        ask = _ask()
        for timer in [loop.call_later(3600, print) for _ in range(1000)]:
            timer.cancel()
        await _settled()
        loop.call_later(0, lambda: None)
        assert ask()

    run(main)


def test_the_deadline_of_a_scope_is_seen():
    """anyio's time limits are timers, too."""

    async def main():
        ask = _ask()
        await _settled()
        with anyio.move_on_after(0.001) as scope:
            _wait_for(ask)
            await other_rounds(3)()
            pytest.fail("the scope was not cancelled")
        assert scope.cancelled_caught

    run(main)


def test_a_loop_that_is_to_stop_waits():
    """Its caller goes on as soon as the running task lets it."""

    async def main():
        loop = asyncio.get_running_loop()
        await _settled()
        ask = _ask()
        assert not ask()
        loop.stop()
        assert ask()

    loop = asyncio.SelectorEventLoop()
    task = loop.create_task(main())
    loop.run_forever()
    loop.run_until_complete(task)
    loop.close()


def test_a_process_that_may_open_no_files():
    """It cannot see whether a file is ready, so one always may be."""

    async def main():
        await _settled()
        ask = _ask()
        assert not ask()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            assert ask()
            await _settled()  # which works
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert not ask()

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 has no eager tasks")
def test_who_begins_an_eager_task_waits():
    """Until the eager task has let others run for the first time."""

    async def eager(ask):
        first = ask()
        await _settled()
        return first, ask()

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await _settled()
        ask = _ask()
        assert not ask()
        assert await asyncio.create_task(eager(ask)) == (True, False)

    run(main)


def test_in_another_loop_somebody_always_waits():
    """So that the caller goes the way on which its loop is checked."""
    asked = []

    async def main():
        await _settled()
        asked.append(_ask())
        assert not asked[0]()

    async def elsewhere():
        await _settled()
        assert asked[0]()

    run(main)
    run(elsewhere)
    assert asked[0]()


def test_in_a_child_that_c_code_forked_somebody_always_waits():
    """No fork handler has run there, so Python takes the loop for the child's own."""

    async def main():
        await _settled()
        ask = _ask()
        assert not ask()
        child = ctypes.PyDLL(None).fork()
        if child == 0:
            os._exit(0 if ask() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0  # noqa: ASYNC222

    run(main)


def test_loops_that_do_not_show_it():
    """A derived class may run its callbacks in another way; trio and uvloop have other attributes."""

    class Derived(asyncio.SelectorEventLoop):
        pass

    async def main():
        assert others_wait() is None

    with asyncio.Runner(loop_factory=Derived) as runner:
        runner.run(main())
    pytest.importorskip("trio", reason="trio is not installed")
    anyio.run(main, backend="trio")
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("selector", [selectors.SelectSelector, selectors.PollSelector])
def test_a_loop_that_asks_the_system_in_another_way(selector):
    """Without epoll there is nothing that tells whether any of its files is ready."""

    async def main():
        assert others_wait() is None

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector())) as runner:
        runner.run(main())


def test_trio_as_a_guest_of_asyncio():
    """The loop of asyncio runs, but the running task is not one of its own."""
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def guest():
        assert asyncio.get_running_loop()  # which also tells that trio runs inside it
        return others_wait()

    async def main():
        ended = asyncio.get_running_loop().create_future()
        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            done_callback=ended.set_result,
        )
        assert (await ended).unwrap() is None

    run(main)
