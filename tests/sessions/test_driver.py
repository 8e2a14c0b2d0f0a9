"""The driver: endings, the choice of place, large data, cancellation; with operations made for the test."""

import threading

import anyio
import pytest

from huks_async.crypto.operation import CollectingOperation, Operation
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.runtime.process_pool import ProcessPool
from huks_async.runtime.workers import WorkerPool
from huks_async.sessions.costs import COSTS, UNKNOWN, Cost
from huks_async.sessions.dispatch import Dispatcher
from huks_async.sessions.driver import COPY_AT_ONCE, SessionDriver
from huks_async.sessions.table import SessionTable

MIB = 1024 * 1024


class Echo(Operation):
    """Gives back what it takes, and notes sizes and threads."""

    def __init__(self, kind="aes-ctr"):
        self.kind = kind
        self.held = 0
        self.calls = []

    def update(self, data):
        self.calls.append((len(data), threading.current_thread().name, type(data)))
        return bytes(data)

    def finish(self, data):
        return self.update(data) + b"!"


class Collecting(CollectingOperation):
    kind = "aes-ccm"

    def __init__(self):
        super().__init__(100 * MIB)

    def too_much(self, total):
        return BusinessError(401, f"{total} bytes")

    def complete(self, data):
        return b"%d" % len(data)


@pytest.fixture
def driver():
    pool = WorkerPool(2)
    yield SessionDriver(SessionTable(Limits(), lambda: 0.0), Dispatcher(pool, ProcessPool(1, "the test")))
    pool.close()


def opened(driver, operation, context=None):
    return driver.table.open("app", operation, context).handle


@pytest.mark.asyncio
async def test_small_work_stays_on_the_loop_and_large_work_leaves_it(driver):
    """By the estimated cost of the call."""
    operation = Echo()
    handle = opened(driver, operation)
    assert await driver.update("app", handle, b"small") == b"small"
    assert await driver.update("app", handle, bytes(3 * MIB)) == bytes(3 * MIB)
    names = [name for _, name, _ in operation.calls]
    assert names[0] == threading.current_thread().name
    assert all(name.startswith("huks-worker") for name in names[1:])


@pytest.mark.asyncio
async def test_large_data_is_worked_on_in_slices(driver):
    """So that a worker lets go of the interpreter now and then; the output is the same."""
    operation = Echo()
    handle = opened(driver, operation)
    text = bytes(range(256)) * (5 * MIB // 256) + b"rest"
    assert await driver.update("app", handle, text) == text
    assert [size for size, _, _ in operation.calls] == [MIB] * 5 + [4]
    operation.calls.clear()
    assert await driver.finish("app", handle, text) == (text + b"!", operation_session(driver, operation))
    assert len(operation.calls) == 6


def operation_session(driver, operation):
    class Same:
        def __eq__(self, other):
            return other.operation is operation

        __hash__ = None

    return Same()


@pytest.mark.asyncio
async def test_exact_multiples_of_a_slice_end_with_a_full_one(driver):
    """Finish never gets an empty last slice where there is data."""
    operation = Echo()
    handle = opened(driver, operation)
    out, _ = await driver.finish("app", handle, bytes(2 * MIB))
    assert out == bytes(2 * MIB) + b"!"
    assert [size for size, _, _ in operation.calls] == [MIB, MIB]


@pytest.mark.parametrize("kind", ["pbkdf2-sha256", "x25519", "ecdh-p256", "not in the table"])
def test_data_that_cannot_be_cut_is_not_cut(kind):
    """A derivation or agreement takes its data in one piece."""
    assert COSTS.get(kind, UNKNOWN).slice_bytes is None


def test_slices_follow_the_cost():
    """About two milliseconds each, between 16 KiB and 1 MiB."""
    assert Cost(1, 1, 0.00009).slice_bytes == MIB
    assert Cost(1, 1, 0.02).slice_bytes == 100_000
    assert Cost(1, 1, 10).slice_bytes == 16 * 1024


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [bytearray, memoryview], ids=["bytearray", "memoryview"])
async def test_a_buffer_that_may_change_is_copied_before_a_worker_reads_it(driver, kind):
    """The worker sees bytes, and a large copy lets other tasks run meanwhile."""
    operation = Echo()
    handle = opened(driver, operation)
    buffer = bytearray(4 * COPY_AT_ONCE)
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        out = await driver.update("app", handle, kind(buffer))
        tasks.cancel_scope.cancel()
    assert out == bytes(buffer)
    assert turns >= 4
    buffer.clear()  # no view of it is left


@pytest.mark.asyncio
async def test_operations_that_collect_get_their_data_whole(driver):
    """Collected in any pieces, worked on at finish."""
    handle = opened(driver, Collecting())
    for size in (10, 3 * MIB, 2 * MIB):
        assert await driver.update("app", handle, bytearray(size)) == b""
    assert driver.table.held == 5 * MIB + 10
    out, _ = await driver.finish("app", handle, bytes(MIB))
    assert out == b"%d" % (6 * MIB + 10)
    assert driver.table.held == 0


class Broken(Operation):
    kind = "aes-ctr"
    held = 0

    def __init__(self, error):
        self.error = error

    def update(self, data):
        raise self.error

    finish = update


@pytest.mark.asyncio
@pytest.mark.parametrize("call", ["update", "finish"])
@pytest.mark.parametrize("size", [1, 5 * MIB], ids=["inline", "worker"])
async def test_any_error_ends_the_session(driver, call, size):
    """Errors of the operation as they are, unexpected ones as 12000006 without their text."""
    handle = opened(driver, Broken(BusinessError(12000003, "the padding is wrong")))
    with pytest.raises(BusinessError) as raised:
        await getattr(driver, call)("app", handle, bytes(size))
    assert raised.value.code == 12000003
    with pytest.raises(BusinessError, match="it failed: the padding is wrong"):
        await driver.update("app", handle, b"")
    handle = opened(driver, Broken(ZeroDivisionError("key bytes might be here")))
    with pytest.raises(BusinessError) as raised:
        await getattr(driver, call)("app", handle, bytes(size))
    assert raised.value.code == 12000006
    assert "key bytes" not in raised.value.message
    assert "ZeroDivisionError" in raised.value.message
    assert driver.table.counts.failed == 2
    assert len(driver.table) == 0


@pytest.mark.asyncio
async def test_a_call_that_is_too_large_leaves_the_session_open():
    """Refused before it reaches the session: 401, and the next call works."""
    pool = WorkerPool(1)
    driver = SessionDriver(
        SessionTable(Limits(max_call_bytes=10), lambda: 0.0), Dispatcher(pool, ProcessPool(1, "the test"))
    )
    handle = opened(driver, Echo())
    for call in (driver.update, driver.finish):
        with pytest.raises(BusinessError, match="11 bytes, accepted 10") as refused:
            await call("app", handle, bytes(11))
        assert refused.value.code == 401
    assert await driver.update("app", handle, bytes(10)) == bytes(10)
    pool.close()


@pytest.mark.asyncio
async def test_a_session_with_a_context_stays_busy_until_it_is_complete(driver):
    """What follows its finish belongs to the same call: success, error and cancellation end it."""
    handle = opened(driver, Echo(), context="rule")
    out, session = await driver.finish("app", handle, b"x")
    assert (out, session.context) == (b"x!", "rule")
    with pytest.raises(BusinessError, match="another call running"):
        await driver.finish("app", handle, b"x")

    async def fail():
        raise BusinessError(12000017, "the alias exists")

    with pytest.raises(BusinessError, match="the alias exists"):
        await driver.complete(session, fail())
    with pytest.raises(BusinessError, match="it failed: the alias exists"):
        await driver.finish("app", handle, b"x")
    handle = opened(driver, Echo(), context="rule")
    out, session = await driver.finish("app", handle, b"x")
    with anyio.move_on_after(0.01):
        await driver.complete(session, anyio.sleep_forever())
    with pytest.raises(BusinessError, match="cancelled"):
        await driver.finish("app", handle, b"x")
    counts = driver.table.counts
    assert (driver.table.finished, counts.failed) == (0, 2)


@pytest.mark.asyncio
async def test_a_cancelled_call_in_a_worker_ends_its_session_at_once(driver):
    """The await ends although the worker goes on, and the session is gone with that reason."""
    release = threading.Event()
    entered = threading.Event()

    class Slow(Echo):
        def update(self, data):
            entered.set()
            assert release.wait(120)
            return b""

    handle = opened(driver, Slow())
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.update, "app", handle, bytes(5 * MIB))
            while not entered.is_set():
                await anyio.sleep(0.001)
            scope.cancel()
    assert len(driver.table) == 0
    with pytest.raises(BusinessError, match="its call was cancelled"):
        await driver.update("app", handle, b"")
    release.set()


@pytest.mark.asyncio
async def test_a_call_refused_for_its_content_ends_the_session(driver):
    """A set of parameters that is illegal as a whole; on a busy or unknown handle it says so instead."""
    handle = opened(driver, Echo())
    error = driver.fail("app", handle, BusinessError(401, "twice"))
    assert error.code == 401
    with pytest.raises(BusinessError, match="it failed: twice"):
        await driver.update("app", handle, b"")
    assert driver.fail("app", handle, BusinessError(401, "twice")).code == 12000011
