"""Turns for other tasks between small calls: given when somebody waits, and left out when nobody does."""

import asyncio
import contextlib
import sys
import time
import types

import anyio
import pytest

import huks_async as huks
from huks_async.sessions import dispatch
from huks_async.testing import EverybodyAuthenticator

_TAG, _PARAM = huks.HuksTag, huks.HuksParam
_CALLS = 50
_AES = [
    _PARAM(_TAG.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_AES),
    _PARAM(_TAG.HUKS_TAG_KEY_SIZE, 256),
    _PARAM(_TAG.HUKS_TAG_PURPOSE, 3),
    _PARAM(_TAG.HUKS_TAG_BLOCK_MODE, huks.HuksCipherMode.HUKS_MODE_GCM),
    _PARAM(_TAG.HUKS_TAG_PADDING, huks.HuksKeyPadding.HUKS_PADDING_NONE),
]
_BEGIN = [
    *(param for param in _AES if param.tag != _TAG.HUKS_TAG_PURPOSE),
    _PARAM(_TAG.HUKS_TAG_PURPOSE, huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT),
    _PARAM(_TAG.HUKS_TAG_NONCE, bytes(12)),
]
_ECC = [
    _PARAM(_TAG.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_ECC),
    _PARAM(_TAG.HUKS_TAG_KEY_SIZE, 256),
    _PARAM(_TAG.HUKS_TAG_PURPOSE, 12),
    _PARAM(_TAG.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA256),
]
_KEM = [
    _PARAM(_TAG.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_ML_KEM),
    _PARAM(_TAG.HUKS_TAG_KEY_SIZE, 768),
    _PARAM(
        _TAG.HUKS_TAG_PURPOSE,
        huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_WRAP | huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_UNWRAP,
    ),
    _PARAM(_TAG.HUKS_TAG_IS_ALLOWED_WRAP, True),
]
_WRAP = [_PARAM(_TAG.HUKS_TAG_KEY_WRAP_TYPE, 2)]

_PIN = [
    _PARAM(_TAG.HUKS_TAG_USER_AUTH_TYPE, huks.HuksUserAuthType.HUKS_USER_AUTH_TYPE_PIN),
    _PARAM(
        _TAG.HUKS_TAG_KEY_AUTH_ACCESS_TYPE,
        huks.HuksAuthAccessType.HUKS_AUTH_ACCESS_INVALID_CLEAR_PASSWORD,
    ),
    _PARAM(_TAG.HUKS_TAG_CHALLENGE_TYPE, huks.HuksChallengeType.HUKS_CHALLENGE_TYPE_NORMAL),
]


async def whole_sessions(keystore):
    for _ in range(_CALLS // 2):
        session = await keystore.initSession("aes", {"properties": _BEGIN})
        await keystore.finishSession(session.handle, {"properties": [], "inData": b"x"})


async def segments(keystore):
    session = await keystore.initSession("aes", {"properties": _BEGIN})
    for _ in range(_CALLS):
        await keystore.updateSession(session.handle, {"properties": [], "inData": b"x"})
    await keystore.abortSession(session.handle, {"properties": []})


async def seals(keystore):
    for _ in range(_CALLS):
        await keystore.seal("aes", b"x", b"")


async def signs(keystore):
    for _ in range(_CALLS):
        await keystore.sign("ecc", b"x")


async def guarded_sessions(keystore):
    for _ in range(_CALLS):
        session = await keystore.initSession("guarded", {"properties": _BEGIN})
        await keystore.abortSession(session.handle, {"properties": []})


async def guarded_sessions_with_parameters_made_anew(keystore):
    for number in range(_CALLS):
        begin = [*_BEGIN[:-1], _PARAM(_TAG.HUKS_TAG_NONCE, number.to_bytes(12, "big"))]
        session = await keystore.initSession("guarded", {"properties": begin})
        await keystore.abortSession(session.handle, {"properties": []})


async def seals_of_buffers(keystore):
    for _ in range(_CALLS):
        await keystore.seal("aes", bytearray(b"x"), b"")


async def unseals(keystore):
    sealed = await keystore.seal("aes", b"x")
    for _ in range(_CALLS):
        await keystore.unseal("aes", sealed)


async def deterministic_seals(keystore):
    for _ in range(_CALLS):
        await keystore.seal_deterministic("aes", b"x")


async def verifications(keystore):
    signature = await keystore.sign("ecc", b"x")
    for _ in range(_CALLS):
        await keystore.verify("ecc", b"x", signature)


async def refused(call, code):
    for _ in range(_CALLS):
        try:
            await call()
        except huks.BusinessError as error:
            if error.code != code:
                raise


async def refused_sessions(keystore):
    await refused(lambda: keystore.initSession("aes", {"properties": [*_BEGIN[:-1]]}), 401)
    wrong = [*_BEGIN[:-1], _PARAM(_TAG.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA256)]
    await refused(lambda: keystore.initSession("ecc", {"properties": wrong}), 401)


async def updates_of_sessions_that_are_gone(keystore):
    await refused(lambda: keystore.updateSession(5, {"properties": [], "inData": b"x"}), 12000011)


async def finishes_of_sessions_that_are_gone(keystore):
    await refused(lambda: keystore.finishSession(5, {"properties": [], "inData": b"x"}), 12000011)


async def aborts(keystore):
    for _ in range(_CALLS):
        await keystore.abortSession(5, {"properties": []})
    await keystore.exportKeyItem("ecc", {"properties": []})  # a time limit ends no task in its aborts


async def look_ups(keystore):
    for _ in range(_CALLS // 4 + 1):
        await keystore.hasKeyItem("ecc", {"properties": []})
        await keystore.isKeyItemExist("ecc", {"properties": []})
        await keystore.getKeyItemProperties("ecc", {"properties": []})
        await keystore.exportKeyItem("ecc", {"properties": []})


async def encapsulations(keystore):
    for _ in range(_CALLS):
        await keystore.encapsulate("kem", _KEM[:1])


async def decapsulations(keystore):
    ciphertext = (await keystore.encapsulate("kem", _KEM[:1])).outData
    for _ in range(_CALLS):
        await keystore.decapsulate("kem", _KEM[:1], ciphertext)


async def wraps(keystore):
    for _ in range(_CALLS):
        await keystore.wrapKeyItem("kem", {"properties": _WRAP})


async def refused_unwraps(keystore):
    await refused(lambda: keystore.unwrapKeyItem("kem", {"properties": _WRAP}, b""), 12000018)


CALLS = pytest.mark.parametrize(
    "calls",
    [
        whole_sessions,
        segments,
        guarded_sessions,
        guarded_sessions_with_parameters_made_anew,
        seals,
        seals_of_buffers,
        unseals,
        deterministic_seals,
        signs,
        verifications,
        refused_sessions,
        updates_of_sessions_that_are_gone,
        finishes_of_sessions_that_are_gone,
        aborts,
        look_ups,
        encapsulations,
        decapsulations,
        wraps,
        refused_unwraps,
    ],
    ids=lambda calls: calls.__name__,
)


@pytest.fixture(autouse=True)
def turns_end_at_once(monkeypatch):
    """Each call is late for its turn, so that no clock decides."""
    monkeypatch.setattr(dispatch, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(dispatch, "_LONGEST_SECONDS", float("inf"))


def users():
    authenticator = EverybodyAuthenticator()
    authenticator.enroll(100)
    return authenticator


@contextlib.asynccontextmanager
async def opened():
    async with huks.Keystore.open(
        "memory:", monitor=False, authenticator=users(), wrapping_key=huks.EphemeralRootKey()
    ) as keystore:
        await keystore.generateKeyItem("aes", {"properties": _AES})
        await keystore.generateKeyItem("ecc", {"properties": _ECC})
        await keystore.generateKeyItem("kem", {"properties": _KEM})
        await keystore.generateKeyItem("guarded", {"properties": [*_AES, *_PIN]})
        yield keystore


@types.coroutine
def counted(coroutine, steps):
    """Await it, and note each time that it lets other tasks run."""
    inner = coroutine.__await__()
    while True:
        try:
            waited_for = next(inner)
        except StopIteration:
            return
        steps.append(None)
        yield waited_for


def steps_of(calls, factory=asyncio.SelectorEventLoop):
    """How often the calls let others run, once the first of them have."""
    steps = []

    async def main():
        async with opened() as keystore:
            await calls(keystore)
            await counted(calls(keystore), steps)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    return len(steps)


@CALLS
def test_nobody_waits(calls):
    """No call lets others run, because there are none."""
    assert steps_of(calls) == 0


def test_the_next_turn_begins_when_nobody_waits(monkeypatch):
    """So that nobody is asked again before it ends; and one that was ended by hand is due."""
    monkeypatch.setattr(dispatch, "TURN_SECONDS", 3600.0)

    async def main():
        async with opened() as keystore:
            dispatcher = keystore._open_state().dispatcher
            await dispatcher.give_turn()
            dispatcher.turn_ends = now = time.perf_counter()
            assert not dispatcher.is_due()
            assert dispatcher.turn_ends >= now + 3600
            dispatcher.turn_ends = 0.0
            assert dispatcher.is_due()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


def test_a_turn_runs_the_task_whose_timer_has_expired():
    """Although its loop needs a round to see the timer, and another one to run the task."""

    async def main():
        async with opened() as keystore:
            dispatcher = keystore._open_state().dispatcher
            sleeper = asyncio.create_task(asyncio.sleep(0.001))
            await asyncio.sleep(0)
            time.sleep(0.01)  # noqa: ASYNC251
            await dispatcher.give_turn()
            assert sleeper.done()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


def test_the_longest_step_is_counted_from_the_last_turn(monkeypatch):
    """Not from when nobody was seen to wait last: then it would never end."""
    now = 1000.0
    monkeypatch.setattr(dispatch, "time", types.SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(dispatch, "others_wait", lambda: lambda: False)
    monkeypatch.setattr(dispatch, "_LONGEST_SECONDS", 10.0)

    async def main():
        nonlocal now
        async with opened() as keystore:
            dispatcher = keystore._open_state().dispatcher
            await dispatcher.give_turn()
            for _ in range(5):
                now += 2.0
                assert not dispatcher.is_due()
            now += 1.0
            assert dispatcher.is_due()
            await dispatcher.give_turn()
            assert not dispatcher.is_due()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


@CALLS
def test_not_longer_than_a_step_of_a_task_may_take(calls, monkeypatch):
    """Debuggers and monitors of event loops complain of long steps, also if nobody waits."""
    monkeypatch.setattr(dispatch, "_LONGEST_SECONDS", -1.0)
    assert steps_of(calls) >= _CALLS * dispatch._ROUNDS


@CALLS
def test_a_loop_that_does_not_show_who_waits(calls):
    """Each call lets the others run, as if there were some."""

    class Other(asyncio.SelectorEventLoop):
        pass

    assert steps_of(calls, Other) >= _CALLS * dispatch._ROUNDS


@CALLS
@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_somebody_waits(calls, backend):
    """Another task that always has something to do does it between any two calls."""
    if backend != "asyncio":
        pytest.importorskip(backend, reason=f"{backend} is not installed")
    done = 0

    async def other(stop):
        nonlocal done
        while not stop.is_set():
            done += 1
            await anyio.lowlevel.checkpoint()

    async def main():
        async with opened() as keystore, anyio.create_task_group() as group:
            stop = anyio.Event()
            group.start_soon(other, stop)
            await calls(keystore)
            stop.set()

    anyio.run(
        main,
        backend=backend if backend == "trio" else "asyncio",
        backend_options={"use_uvloop": True} if backend == "uvloop" else {},
    )
    assert done >= _CALLS


@CALLS
def test_a_time_limit_ends_calls_that_follow_each_other(calls):
    """Although no other task ever waits."""

    async def main():
        async with opened() as keystore:
            await calls(keystore)
            with anyio.move_on_after(0.05) as scope:
                while True:
                    await calls(keystore)
            assert scope.cancelled_caught

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


@CALLS
def test_two_tasks_take_turns(calls):
    """Neither is done before the other has begun."""
    order = []

    async def busy(keystore, name):
        for _ in range(3):
            await calls(keystore)
            order.append(name)

    async def main():
        async with opened() as keystore, anyio.create_task_group() as group:
            group.start_soon(busy, keystore, "a")
            group.start_soon(busy, keystore, "b")

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())
    assert set(order[:3]) == {"a", "b"}


@CALLS
@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 has no eager tasks")
def test_who_begins_an_eager_task_goes_on(calls):
    """Before the calls of that task are done."""

    async def main():
        async with opened() as keystore:
            await calls(keystore)
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            task = asyncio.create_task(calls(keystore))
            assert not task.done()
            await task

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


@CALLS
def test_another_loop_is_noticed(calls):
    """Its calls are refused from the first turn on, although nobody waits in either loop."""
    kept = []

    async def main():
        kept.append(opened())
        keystore = await kept[0].__aenter__()
        await calls(keystore)
        kept.append(keystore)

    async def elsewhere():
        with pytest.raises(huks.BusinessError) as refused:
            await calls(kept[1])
        assert refused.value.code == 12000012

    first = asyncio.SelectorEventLoop()
    first.run_until_complete(main())
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(elsewhere())
    first.run_until_complete(kept[0].__aexit__(None, None, None))
    first.close()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_task_aborts_all_of_its_sessions(backend, monkeypatch):
    """Although each abort gives a turn, and a turn of a cancelled task would end it."""
    if backend != "asyncio":
        pytest.importorskip(backend, reason=f"{backend} is not installed")
    monkeypatch.setattr(dispatch, "_LONGEST_SECONDS", -1.0)

    async def main():
        async with opened() as keystore:
            with anyio.CancelScope() as scope:
                handles = [
                    (await keystore.initSession("aes", {"properties": _BEGIN})).handle for _ in range(3)
                ]
                try:
                    scope.cancel()
                    await anyio.sleep_forever()
                finally:
                    for handle in handles:
                        await keystore.abortSession(handle, {"properties": []})
            assert keystore.statistics().open == 0

    anyio.run(main, backend=backend)


def test_an_abort_in_a_coroutine_that_is_closed_changes_no_other_task(monkeypatch):
    """The garbage collector closes a task that nobody keeps, in the midst of another one and of its scopes."""
    monkeypatch.setattr(dispatch, "_LONGEST_SECONDS", -1.0)

    async def main():
        async with opened() as keystore:

            async def work():
                handles = [
                    (await keystore.initSession("aes", {"properties": _BEGIN})).handle for _ in range(2)
                ]
                try:
                    await anyio.sleep_forever()
                finally:
                    for handle in handles:
                        await keystore.abortSession(handle, {"properties": []})

            coroutine = work()
            while keystore.statistics().open < 2:
                coroutine.send(None)
            with anyio.CancelScope() as scope:
                keystore._state.dispatcher.turn_ends = 0.0
                coroutine.close()
                assert keystore.statistics().open == 0
                scope.cancel()
                await anyio.sleep_forever()
            assert scope.cancelled_caught

    anyio.run(main)
