"""Every public coroutine, cancelled at each of its suspension points, leaves nothing behind."""

import asyncio
import contextlib
import inspect
import os
import sqlite3

import anyio
import anyio.lowlevel
import pytest

import huks_async as huks
from huks_async.keystore.authentication_functions import AuthenticationFunctions
from huks_async.keystore.backup_functions import BackupFunctions
from huks_async.keystore.file_functions import FileFunctions
from huks_async.keystore.message_functions import MessageFunctions
from huks_async.keystore.provider_functions import ProviderFunctions
from tests.adversity import support
from tests.adversity.support import data
from tests.garbage import collect_until

# The calls under test: name → (preparation, call). A preparation gives what the call needs.


async def nothing(keystore):
    return None


async def opened(keystore):
    return (await keystore.initSession("aes", support.GCM_ENCRYPT)).handle


async def hashing(keystore):
    return (await keystore.initSession("mac", support.HMAC)).handle


async def deriving(keystore):
    return (await keystore.initSession("base", support.derive(20_000))).handle


async def derived(keystore):
    handle = await deriving(keystore)
    await keystore.updateSession(handle, support.NONE)
    return handle


async def sealed(keystore):
    handle = (await keystore.initSession("aes", support.GCM_ENCRYPT)).handle
    out = (await keystore.finishSession(handle, data(bytes(3_000_000)))).outData
    return out[:-16], out[-16:]


async def block(keystore, _):
    async with keystore.session("aes", support.GCM_ENCRYPT) as session:
        await session.update(b"first")
        await session.finish(b"last")


async def stream_out(keystore, _):
    async with keystore.session("aes", support.GCM_ENCRYPT) as session:
        async for _part in session.stream([bytes(100_000)] * 3):
            await anyio.lowlevel.checkpoint()


async def stream_back(keystore, prepared):
    text, tag = prepared
    async with keystore.session("aes", support.gcm_decrypt(tag)) as session:
        async for _part in session.stream([text[:1_500_000], text[1_500_000:]]):
            await anyio.lowlevel.checkpoint()


async def stale(keystore):
    for _ in range(700):
        await keystore.initSession("aes", support.GCM_ENCRYPT)
    keystore._clock.now += 100


T = huks.HuksTag
PORTABLE_KEY = support.options(
    *((param.tag, param.value) for param in support.AES_KEY.properties), (T.HUKS_TAG_IS_ALLOWED_WRAP, True)
)
WRAPPING = support.options((T.HUKS_TAG_KEY_WRAP_TYPE, 2))
PAIR = support.options(
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_ML_KEM),
    (T.HUKS_TAG_KEY_SIZE, 768),
    (T.HUKS_TAG_PURPOSE, support.PURPOSE.HUKS_KEY_PURPOSE_WRAP | support.PURPOSE.HUKS_KEY_PURPOSE_UNWRAP),
)
KEM = PAIR.properties[:1]
CHALLENGE = support.options((T.HUKS_TAG_ATTESTATION_CHALLENGE, b"challenge"))


async def wrapped(keystore):
    return ((await keystore.wrapKeyItem("portable", WRAPPING)).outData,)


async def encapsulated(keystore):
    return ((await keystore.encapsulate("pair", KEM)).outData,)


async def refused_import(keystore, _):
    with contextlib.suppress(huks.BusinessError):  # an AES key wraps no keys
        await keystore.importWrappedKeyItem("new", "aes", support.imported(support.AES_KEY, bytes(200)))


CALLS = {
    "generateKeyItem": (nothing, lambda k, _: k.generateKeyItem("new", support.AES_KEY)),
    "generateKeyItem of a slow key": (nothing, lambda k, _: k.generateKeyItem("new", support.RSA_KEY)),
    "importKeyItem": (
        nothing,
        lambda k, _: k.importKeyItem("new", support.imported(support.AES_KEY, support.KEY)),
    ),
    "exportKeyItem": (nothing, lambda k, _: k.exportKeyItem("ecc", support.NONE)),
    "deleteKeyItem": (nothing, lambda k, _: k.deleteKeyItem("victim", support.NONE)),
    "hasKeyItem": (nothing, lambda k, _: k.hasKeyItem("victim", support.NONE)),
    "isKeyItemExist": (nothing, lambda k, _: k.isKeyItemExist("victim", support.NONE)),
    "getKeyItemProperties": (nothing, lambda k, _: k.getKeyItemProperties("victim", support.NONE)),
    "listAliases": (nothing, lambda k, _: k.listAliases(support.NONE)),
    "initSession": (nothing, lambda k, _: k.initSession("victim", support.GCM_ENCRYPT)),
    "updateSession": (opened, lambda k, h: k.updateSession(h, data(b"x" * 1000))),
    "updateSession in a worker": (hashing, lambda k, h: k.updateSession(h, data(b"x" * 1_000_000))),
    "updateSession of a large buffer": (
        hashing,
        lambda k, h: k.updateSession(h, data(bytearray(3_000_000))),
    ),
    "updateSession that derives": (deriving, lambda k, h: k.updateSession(h, support.NONE)),
    "finishSession": (opened, lambda k, h: k.finishSession(h, data(b"x" * 1000))),
    "finishSession in a worker": (hashing, lambda k, h: k.finishSession(h, data(b"x" * 1_000_000))),
    "finishSession that keeps a key": (derived, lambda k, h: k.finishSession(h, support.keep_as("kept"))),
    "abortSession": (opened, lambda k, h: k.abortSession(h, support.NONE)),
    "session": (nothing, block),
    "stream": (nothing, stream_out),
    "stream that holds back": (sealed, stream_back),
    "importWrappedKeyItem": (nothing, refused_import),
    "wrapKeyItem": (nothing, lambda k, _: k.wrapKeyItem("portable", WRAPPING)),
    "unwrapKeyItem": (wrapped, lambda k, blob: k.unwrapKeyItem("new", WRAPPING, blob[0])),
    "encapsulate": (nothing, lambda k, _: k.encapsulate("pair", KEM)),
    "decapsulate": (encapsulated, lambda k, sent: k.decapsulate("pair", KEM, sent[0])),
    "attestKeyItem": (nothing, lambda k, _: k.attestKeyItem("ecc", CHALLENGE)),
    "anonAttestKeyItem": (nothing, lambda k, _: k.anonAttestKeyItem("ecc", CHALLENGE)),
    "anonAttestKeyItemOffline": (
        nothing,
        lambda k, _: k.anonAttestKeyItemOffline("ecc", CHALLENGE.properties),
    ),
    "attestation_root": (nothing, lambda k, _: k.attestation_root()),
    "purge_stale_sessions": (stale, lambda k, _: k.purge_stale_sessions()),
}
ENDS_ITS_SESSION = {name for name in CALLS if name.startswith(("updateSession", "finishSession"))}


class Points:
    """Steps a coroutine through, and throws it away after `at` steps: `cancel` is called there."""

    def __init__(self, coroutine, at, cancel):
        self._steps = coroutine.__await__()
        self._at = at
        self._cancel = cancel
        self.count = 0

    def __await__(self):
        send, value = self._steps.send, None
        while True:
            try:
                signal = send(value)
            except StopIteration as end:
                return end.value
            self.count += 1
            if self.count == self._at:
                self._cancel()
            try:
                value = yield signal
                send = self._steps.send
            except BaseException as error:
                send, value = self._steps.throw, error


async def natively(coroutine, at):
    """Cancel by `Task.cancel()` at the given point; gives the points seen, and whether it was cancelled."""
    points = None

    async def body():
        nonlocal points
        points = Points(coroutine, at, asyncio.current_task().cancel)
        return await points

    task = asyncio.get_running_loop().create_task(body())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return points.count, task.cancelled()


async def by_scope(coroutine, at):
    """Cancel the surrounding scope at the given point."""
    with anyio.CancelScope() as scope:
        points = Points(coroutine, at, scope.cancel)
        await points
    return points.count, scope.cancelled_caught


async def under_shield(coroutine, at):
    """Cancel an outer scope while an inner one shields: the call must go through."""
    with anyio.CancelScope() as scope:
        with anyio.CancelScope(shield=True):
            points = Points(coroutine, at, scope.cancel)
            await points
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught == (points.count >= at), "the call has kept the cancellation for itself"
    return points.count, False


async def by_deadline(coroutine, at):
    """Let a deadline pass that is over already, at the given point."""
    with anyio.CancelScope() as scope:
        points = Points(coroutine, at, lambda: setattr(scope, "deadline", anyio.current_time() - 1))
        await points
    return points.count, scope.cancelled_caught


async def idle(keystore):
    """Wait until workers and store have nothing left to do."""
    while keystore._state.pool.active:
        await anyio.sleep(0.001)


async def check(keystore, name, handle, cancelled, before):
    """Everything is as before, and the keystore works."""
    await idle(keystore)
    now = keystore.statistics()
    assert now.busy == 0, name
    assert now.jobs == 0, name
    if name in ENDS_ITS_SESSION and cancelled:
        with pytest.raises(huks.BusinessError, match="cancelled") as gone:
            await keystore.updateSession(handle, data(b"more"))
        assert gone.value.code == 12000011
    if handle is not None and not isinstance(handle, tuple):
        await keystore.abortSession(handle, support.NONE)
    if not name.startswith("initSession") or cancelled:
        assert keystore.statistics().open == before.open, name
        assert keystore.statistics().bytes_held == before.bytes_held, name
    ended = now.finished + now.aborted + now.failed + now.evicted + sum(now.purged.values())
    assert now.opened == ended + now.open, name
    # no transaction is left open: another connection can write at once
    if keystore._store.address.startswith("sqlite"):
        other = sqlite3.connect(keystore._store.path, timeout=120, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
        other.close()
    assert (await keystore.hasKeyItem("aes", support.NONE)) is True
    async with keystore.session("aes", support.GCM_ENCRYPT) as session:
        assert await session.finish(b"works") == before_text


before_text = b""


async def prepare(keystore):
    await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
    await keystore.generateKeyItem("mac", support.HMAC_KEY)
    await keystore.generateKeyItem("ecc", support.ECC_KEY)
    await keystore.generateKeyItem("base", support.BASE_KEY)
    await keystore.generateKeyItem("portable", PORTABLE_KEY)
    await keystore.generateKeyItem("pair", PAIR)
    global before_text
    async with keystore.session("aes", support.GCM_ENCRYPT) as session:
        before_text = await session.finish(b"works")


async def all_points(keystore, way):
    """Try each call with cancellation at its first, second, … point until it goes through; count them."""
    tried = 0
    for name, (preparation, call) in CALLS.items():
        at = 1
        while True:
            if not await keystore.hasKeyItem("victim", support.NONE):
                await keystore.importKeyItem("victim", support.imported(support.AES_KEY, support.KEY))
            keystore._state.shelf.shrink()  # the way through the store has more points
            # a turn is due, which the driver gives before work on the loop
            keystore._state.driver._dispatcher.turn_ends = 0.0
            before = keystore.statistics()
            prepared = await preparation(keystore)
            if name == "purge_stale_sessions":
                before = keystore.statistics()
            keystore._state.shelf.shrink()
            keystore._state.driver._dispatcher.turn_ends = 0.0
            count, cancelled = await way(call(keystore, prepared), at)
            if name == "purge_stale_sessions":
                # what was not purged yet is still there, and goes with the next call
                await keystore.purge_stale_sessions()
                assert keystore.statistics().open == 0
            else:
                if name == "initSession" and not cancelled:
                    keystore._clock.now += 100
                    await keystore.purge_stale_sessions()
                await check(keystore, name, prepared, cancelled, before)
            if count < at:
                break  # the call has no such point
            tried += 1
            at += 1
            assert at < 400, f"{name} does not end"
    return tried


def keystore_on(store, clock):
    return huks.Keystore.open(store, monitor=False, clock=clock, wrapping_key=huks.EphemeralRootKey())


WAYS = [by_scope, under_shield, by_deadline, natively]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_cancelling_anywhere_leaves_nothing_behind(run, request, tmp_path, store, way, capsys):
    """Sessions, bytes, counters, busy marks, locks, threads and descriptors are as before; all still works."""
    if way is natively and "trio" in request.node.name:
        pytest.skip("Task.cancel() is of asyncio")
    tried = 0

    async def main():
        nonlocal tried
        address = "memory:" if store == "memory" else f"sqlite:///{tmp_path}/keys.db"
        async with keystore_on(address, support.Clock()) as keystore:
            await prepare(keystore)
            tried = await all_points(keystore, way)

    run(anyio.lowlevel.checkpoint)  # a kind of loop may open something once, for all of its loops
    files = support.descriptors()
    run(main)
    support.wait_until(lambda: not support.threads(), "the end of the threads")
    # the mapping of a file keeps a descriptor, and may hang on the frames of an exception
    collect_until(lambda: not support.opened_since(files, ""), "the end of the descriptors")
    assert tried > (40 if store == "sqlite" else 15)
    with capsys.disabled():
        print(f"\n{way.__name__}, {store}: {tried} suspension points", end="")


def test_every_public_coroutine_is_tried():
    """The list above names every coroutine of the keystore that can wait for something."""
    names = {
        name
        for name, member in inspect.getmembers(huks.Keystore)
        if inspect.iscoroutinefunction(member) and not name.startswith("_")
    }
    covered = {name.split()[0] for name in CALLS} | {
        # opening, closing and the monitor have tests of their own
        "aclose",
        "aopen",
        "monitor_low_memory",
        # two names of one function; forms for other users refuse before they wait; the api-8 forms call
        # the functions above
        *(name for name in names if name.endswith("AsUser")),
        *LEGACY,
        # cancelled in the tests of their own rooms: tests/keystore/test_messages.py and test_provider_functions.py,
        # tests/files, tests/access, tests/stores/test_backup.py
        *(name for kind in ELSEWHERE for name in vars(kind) if not name.startswith("_")),
    }
    assert names <= covered, names - covered


ELSEWHERE = (AuthenticationFunctions, BackupFunctions, FileFunctions, MessageFunctions, ProviderFunctions)

LEGACY = {
    name
    for name in dir(huks.keystore.keystore.LegacyFunctions)
    if not name.startswith("_") and name not in CALLS
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_opening_and_closing_can_be_cancelled_anywhere(run, request, tmp_path, way, capsys):
    """A keystore is open or closed afterwards, nothing in between, and can be opened again."""
    if way is natively and "trio" in request.node.name:
        pytest.skip("Task.cancel() is of asyncio")
    tried = 0

    async def main():
        nonlocal tried
        for turn in ("aopen", "aclose"):
            at = 1
            while True:
                keystore = huks.Keystore.open(f"sqlite:///{tmp_path}/{turn}{at}.db", clock=support.Clock())
                if turn == "aclose":
                    await keystore.aopen()
                    await keystore.generateKeyItem("aes", support.AES_KEY)
                    await keystore.initSession("aes", support.GCM_ENCRYPT)
                count, _ = await way(getattr(keystore, turn)(), at)
                if turn == "aclose":
                    assert not keystore.is_open
                elif count < at:
                    assert keystore.is_open
                if keystore.is_open:
                    await keystore.aclose()
                await keystore.aopen()
                await keystore.generateKeyItem("aes", support.AES_KEY)
                await keystore.aclose()
                if count < at:
                    break
                tried += 1
                at += 1
                assert at < 100

    run(anyio.lowlevel.checkpoint)  # a kind of loop may open something once, for all of its loops
    files = support.descriptors()
    run(main)
    support.wait_until(lambda: not support.threads(), "the end of the threads")
    # the mapping of a file keeps a descriptor, and may hang on the frames of an exception
    collect_until(lambda: not support.opened_since(files, ""), "the end of the descriptors")
    assert tried >= 4
    assert os.listdir(tmp_path)
    with capsys.disabled():
        print(f"\n{way.__name__}: {tried} suspension points of opening and closing", end="")


def test_a_deadline_that_is_over_cancels_a_call_and_its_session(run):
    """move_on_after(0) and fail_after end an update in a worker, and its session with it."""

    async def main():
        async with keystore_on("memory:", support.Clock()) as keystore:
            await prepare(keystore)
            handle = await hashing(keystore)
            with anyio.move_on_after(0) as scope:
                await keystore.updateSession(handle, data(bytes(1_000_000)))
            assert scope.cancelled_caught
            with pytest.raises(huks.BusinessError, match="cancelled"):
                await keystore.finishSession(handle, data(b""))
            handle = await deriving(keystore)
            with pytest.raises(TimeoutError), anyio.fail_after(0):
                await keystore.updateSession(handle, support.NONE)
            await idle(keystore)
            await keystore.abortSession(handle, support.NONE)
            statistics = keystore.statistics()
            assert statistics.busy == 0
            assert statistics.failed == 2

    run(main)
