"""Sessions of coroutines that are closed, as the garbage collector does it: at any moment, in any thread."""

import sys
import threading
import types
import warnings
from collections import OrderedDict, deque
from contextlib import aclosing, nullcontext, suppress

import anyio
import anyio.to_thread
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import huks_async as huks
from huks_async.crypto.operation import Operation
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.runtime.closing import Leftovers
from huks_async.sessions import table as module
from huks_async.sessions.spool import Spool
from huks_async.sessions.table import SessionTable
from tests import loops
from tests.adversity import support


class Held(Operation):
    kind = "aes-gcm"
    held = 0


@types.coroutine
def pause():
    yield


def here(close):
    close()


def elsewhere(close):
    thread = threading.Thread(target=close)
    thread.start()
    thread.join()


def errors_of(function):
    """What it raises, which would be lost with another thread."""
    try:
        function()
    except BaseException as error:
        return [error]
    return []


def to_close(end):
    """What closes a coroutine that then calls `end`."""

    async def left():
        try:
            await pause()
        finally:
            end()

    coroutine = left()
    coroutine.send(None)
    return coroutine.close


def make(**how):
    posted = []
    return SessionTable(Limits(), lambda: 0.0, post=posted.append, **how), posted


WAYS = {
    "abandon": lambda table, session: table.abandon(session.handle, session.owner),
    "abort": lambda table, session: table.abort(session.handle, session.owner),
    "fail": lambda table, session: table.fail(session, "its call was cancelled"),
}


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture(params=[here, elsewhere], ids=["this thread", "another thread"])
def run(request):
    return request.param


def test_a_session_ends_when_nothing_else_is_under_way_in_its_table(way, run):
    """The collector may be at work between any two steps of the table, which then looked through what had changed."""
    table, posted = make()
    sessions = [table.open("app", Held()) for _ in range(4)]
    kept = iter(table.sessions.values())
    next(kept)
    for session in sessions[:2]:
        for _ in range(2):
            run(to_close(lambda session=session: WAYS[way](table, session)))
    assert [*kept] == sessions[1:]
    assert len(posted) == 1
    posted[0]()
    assert [*table.sessions.values()] == sessions[2:]
    ended = table.counts.failed if way == "fail" else table.counts.aborted
    assert (ended, table.finished) == (2, 0)
    with pytest.raises(BusinessError, match="cancelled" if way == "fail" else "aborted"):
        table.find(sessions[0].handle, "app")
    run(to_close(lambda: WAYS[way](table, sessions[2])))
    assert len(posted) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda table: table.purge_stale(10, 1e9, "x"),
        lambda table: table.compact(),
        lambda table: table.find(next(reversed(table.sessions)), "app"),
        lambda table: table.close(),
        lambda table: table.open("app", Held()),
    ],
    ids=["purge", "compact", "find", "close", "open"],
)
def test_calls_find_it_ended(call, run, way):
    """Whoever looks before the event loop's turn sees no session that was given up."""
    table, _ = make()
    session, _ = [table.open("app", Held()) for _ in range(2)]
    run(to_close(lambda: WAYS[way](table, session)))
    call(table)
    assert session.handle not in table.sessions
    assert table.counts.failed + table.counts.aborted == 1


def test_a_call_finds_at_once_that_its_session_was_given_up(way):
    """A generator that is closed by a task that goes on: the handle is gone for what this does next."""
    table, _ = make()
    session = table.open("app", Held())
    to_close(lambda: WAYS[way](table, session))()
    assert session.free_for != "app"
    with pytest.raises(BusinessError) as gone:
        table.take(session.handle, "app")
    assert gone.value.code == 12000011


def test_a_coroutine_that_interrupts_the_table_does_not_catch_up(way):
    """It looks at the table, too: what it left is in the way of the step that it is in the middle of."""
    table, posted = make()
    session, other = [table.open("app", Held()) for _ in range(2)]
    seen = []

    def end():
        WAYS[way](table, session)
        with pytest.raises(BusinessError) as gone:
            table.take(session.handle, "app")
        assert table.take(other.handle, "app") is other
        seen.append((gone.value.code, [*table.sessions.values()]))

    table.clock = lambda: to_close(end)() or 0.0
    table.purge_stale(10, 1e9, "x")
    assert seen == [(12000011, [session, other])]
    table.clock = lambda: 0.0
    posted[0]()
    assert [*table.sessions.values()] == [other]


def test_one_that_does_not_interrupt_it_finds_what_it_ended_gone(way):
    """An asynchronous generator that its user closes goes on with calls while it is closed."""
    table, _ = make()
    session = table.open("app", Held())
    seen = []

    def end():
        WAYS[way](table, session)
        with pytest.raises(BusinessError, match="cancelled" if way == "fail" else "aborted"):
            table.take(session.handle, "app")
        seen.append(len(table))

    to_close(end)()
    assert seen == [0]


def test_steps_that_two_threads_leave_at_once_are_posted():
    """Each found the other's there, and took it for posted."""
    posted, done = [], []
    left = Leftovers((), posted.append)

    class Raced(deque):
        def append(self, step):
            super().append(step)
            if len(self) == 1:
                elsewhere(lambda: left.leave(lambda: done.append(2)))

    left._steps = Raced()
    left.leave(lambda: done.append(1))
    posted.pop()()
    assert done == [1, 2]


def test_a_step_is_posted_after_a_turn_that_found_none():
    """Because a call had taken what was left."""
    posted, done = [], []
    left = Leftovers((), posted.append)
    for number in (1, 2):
        left.leave(lambda number=number: done.append(number))
        left.take()
        posted.pop()()
        assert done[-1] == number
    left.leave(lambda: done.append(3))
    posted.pop()()
    assert done == [1, 2, 3]


@pytest.mark.parametrize("loop", loops.LOOPS)
def test_a_generator_that_is_left_early_sees_its_sessions_ended(loop):
    """It may wait, and go on with the keystore."""

    async def parts(keystore, seen):
        handle = (await keystore.initSession("aes", support.GCM_ENCRYPT)).handle
        try:
            async with keystore.session("aes", support.GCM_ENCRYPT):
                yield
        finally:
            await keystore.abortSession(handle, {})
            for call in (keystore.updateSession, keystore.finishSession):
                with pytest.raises(BusinessError, match="it was aborted") as gone:
                    await call(handle, {"inData": b"text"})
                assert gone.value.code == 12000011
            counts = keystore.statistics()
            seen.append((counts.open, counts.aborted, counts.finished))

    async def within(seen):
        async with huks.Keystore.open("memory:", monitor=False, debug=True) as keystore:
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            async with aclosing(parts(keystore, seen)) as generator:
                async for _ in generator:
                    break
            async with keystore.session("aes", support.GCM_ENCRYPT):
                yield

    async def main():
        seen = []
        with warnings.catch_warnings():
            # as one would say that the keystore was closed before the session had ended
            warnings.simplefilter("error", ResourceWarning)
            async with aclosing(within(seen)) as generator:
                async for _ in generator:
                    break
        assert seen == [(0, 2, 0)]

    loops.runner(loop)(main)


def test_one_in_a_call_ends_with_the_call(run):
    """That another task is making."""
    table, posted = make()
    session = table.take(table.open("app", Held()).handle, "app")
    run(to_close(lambda: table.abandon(session.handle, "app")))
    posted[0]()
    assert (table.count_busy(), len(table)) == (1, 1)
    table.give_back(session)
    assert (table.count_busy(), len(table), table.counts.aborted) == (0, 0, 1)


def test_a_session_that_ends_while_memory_is_given_back_stays_ended(monkeypatch):
    """It was in the copy of the table already, and came back."""
    table, posted = make()
    session = table.open("app", Held())
    close = to_close(lambda: table.abandon(session.handle, "app"))

    class Copied(OrderedDict):
        def __init__(self, *args):
            super().__init__(*args)
            elsewhere(close)

    with monkeypatch.context() as patched:
        patched.setattr(module, "OrderedDict", Copied)
        table.compact()
    posted[0]()
    assert (len(table), table.counts.aborted, table.finished) == (0, 1, 0)


def test_room_is_made_although_the_oldest_session_has_gone():
    """It looked for ever at one that no table had."""
    table = SessionTable(
        Limits(max_sessions=3, max_sessions_per_caller=3, evict_oldest_idle=True), lambda: 0.0
    )
    first, *_ = [table.open("app", Held()) for _ in range(3)]
    del table.sessions[first.handle]
    table.open("app", Held())
    table.open("app", Held())
    assert (len(table), table.counts.evicted) == (3, 1)


@pytest.mark.parametrize("loop", loops.LOOPS)
def test_an_abandoned_block_ends_its_session_in_the_loop(loop, run):
    """Without any further call on the keystore; and whatever its stream's source waits for at its end."""

    async def source():
        try:
            yield b"text"
        finally:
            await pause()

    async def left(block, parts):
        try:
            await pause()
        finally:
            await block.__aexit__(*sys.exc_info())

    async def main():
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            for _ in range(2):
                block = keystore.session("aes", support.GCM_ENCRYPT)
                await block.__aenter__()
                parts = block.stream(source())
                await anext(parts)
                coroutine = left(block, parts)
                coroutine.send(None)

                def close(coroutine=coroutine):
                    with suppress(RuntimeError):  # as a source that waits makes it
                        coroutine.close()

                run(close)
                table = keystore._state.table
                with anyio.fail_after(60):
                    while len(table):
                        await anyio.sleep(0.001)
            seen = keystore.statistics()
            assert (seen.open, seen.busy, seen.aborted, seen.finished) == (0, 0, 2, 0)

    loops.runner(loop)(main)


@pytest.mark.parametrize("loop", loops.LOOPS)
@pytest.mark.parametrize("step", ["_write", "_read"])
def test_a_generator_that_is_left_early_takes_nothing_from_a_stream_that_runs(loop, step, monkeypatch):
    """Another task reads it: what that had not read yet was missing in silence."""
    size, using, go_on = (5 << 20) // 2, threading.Event(), threading.Event()
    work = getattr(Spool, step)

    def held(*args):
        using.set()
        go_on.wait(60)
        return work(*args)

    async def holder(keystore, sealed, streams):
        async with keystore.session("aes", support.gcm_decrypt(sealed[-16:])) as session:
            streams.append(
                session.stream([sealed[:-16][start : start + 500_000] for start in range(0, size, 500_000)])
            )
            yield

    async def main():
        given, refused = [], []

        async def consume(parts):
            try:
                given.extend([len(part) async for part in parts])
            except BusinessError as error:
                refused.append(error.code)

        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            sealed = AESGCM(support.KEY).encrypt(support.NONCE, bytes(size), None)
            streams = []
            generator = holder(keystore, sealed, streams)
            await anext(generator)
            monkeypatch.setattr(Spool, step, held)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(consume, streams[0])
                await anyio.to_thread.run_sync(using.wait, 60)
                closing = anyio.Event()
                tasks.start_soon(close, generator, closing)
                await closing.wait()
                go_on.set()
            # the session of one that still feeds it has gone with its block
            assert (sum(given), refused) == ((size, []) if step == "_read" else (0, [12000011]))

    async def close(generator, closing):
        closing.set()
        await generator.aclose()

    loops.runner(loop)(main)


@pytest.mark.parametrize("closes", [False, True], ids=["block", "closing"])
@pytest.mark.parametrize("closed", [False, True], ids=["pool", "closed pool"])
def test_an_abandoned_stream_gives_up_its_file(run, closed, closes):
    """Without waiting: Python reported that the coroutine ignored its end, and left it where it was."""

    async def left(block, stream):
        try:
            async with aclosing(stream) if closes else nullcontext():
                await pause()
        finally:
            await block.__aexit__(*sys.exc_info())

    async def main():
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            sealed = AESGCM(support.KEY).encrypt(support.NONCE, bytes(3 << 20), None)
            block = keystore.session("aes", support.gcm_decrypt(sealed[-16:]))
            await block.__aenter__()
            stream = block.stream([sealed[:-16]])
            await anext(stream)
            ((_, (spool,)),) = block._streams
            file = spool._file
            coroutine = left(block, stream)
            coroutine.send(None)
            if closed:
                keystore._state.pool.close()
            raised = []
            run(lambda: raised.extend(errors_of(coroutine.close)))
            assert not raised
            with anyio.fail_after(60):
                while not file.closed:
                    await anyio.sleep(0.001)
            assert keystore.statistics().open == 0

    anyio.run(main)


def test_a_call_that_is_abandoned_ends_its_session(run):
    """It was waiting for a worker; its session counts as failed, once."""

    async def main():
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            handle = (await keystore.initSession("aes", support.GCM_ENCRYPT)).handle
            call = keystore.updateSession(handle, {"inData": bytes(4_000_000)})
            call.send(None)
            run(call.close)
            assert handle in keystore._state.table.sessions
            seen = keystore.statistics()
            assert (seen.open, seen.busy, seen.failed) == (0, 0, 1)

    anyio.run(main)


def calls_on(handle):
    return {
        "init": lambda keystore: keystore.initSession("aes", support.GCM_ENCRYPT),
        "update": lambda keystore: keystore.updateSession(handle, {"inData": b"text"}),
        "finish": lambda keystore: keystore.finishSession(handle, {"inData": b"text"}),
        "abort": lambda keystore: keystore.abortSession(handle, {}),
        "seal": lambda keystore: keystore.seal("aes", b"text"),
    }


@pytest.mark.parametrize("loop", loops.LOOPS)
@pytest.mark.parametrize("name", ["init", "update", "finish", "abort", "seal"])
def test_a_call_of_an_abandoned_task_takes_no_turn(loop, name):
    """It never gave it back, so that all other calls waited for theirs."""

    async def left(keystore, call, done):
        try:
            await pause()
        finally:
            await call(keystore)
            done.append(name)

    async def main():
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            handle = (await keystore.initSession("aes", support.GCM_ENCRYPT)).handle
            done = []
            coroutine = left(keystore, calls_on(handle)[name], done)
            coroutine.send(None)
            dispatcher = keystore._state.dispatcher
            dispatcher.turn_ends = 0.0  # a turn is due
            coroutine.close()
            assert done == [name]
            dispatcher.turn_ends = 0.0
            with anyio.fail_after(60):
                await keystore.seal("aes", b"text")

    loops.runner(loop)(main)


@pytest.mark.parametrize("loop", loops.LOOPS)
@pytest.mark.parametrize("name", ["init", "update", "finish", "abort", "seal"])
def test_a_call_of_a_generator_that_its_user_closes_takes_its_turn(loop, name):
    """Such calls held up the event loop for as long as the generator made them."""

    async def parts(keystore, call):
        try:
            yield
        finally:
            keystore._state.dispatcher.turn_ends = 0.0  # a turn is due
            await call(keystore)

    async def main():
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            handle = (await keystore.initSession("aes", support.GCM_ENCRYPT)).handle
            async with aclosing(parts(keystore, calls_on(handle)[name])) as generator:
                async for _ in generator:
                    break
            assert keystore._state.dispatcher.turn_ends

    loops.runner(loop)(main)
