"""The functions on external providers, and the ordinary ones on their keys, with a provider in memory."""

import asyncio
import inspect
import json
import logging
import sys
import traceback
import types
from contextlib import aclosing
from math import inf

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

import huks_async as huks
from huks_async.providers import (
    HuksCryptoExtensionCertInfo,
    HuksCryptoExtensionResult,
    HuksCryptoExtensionResultCode,
    service,
)
from huks_async.providers.key_sessions import MAX_SESSIONS_PER_CALLER
from huks_async.providers.parameters import parse_external
from huks_async.sessions.pressure import SilentSensor
from huks_async.testing.memory_provider import MemoryProvider, value_of
from tests.garbage import close
from tests.providers.support import (
    ABILITY,
    ABILITY_PARAM,
    KEY_CLASS,
    NAME,
    TAG,
    external,
    pin,
    refused,
    rid,
)

ext = huks.huksExternalCrypto
pytestmark = pytest.mark.asyncio

ECC = {"ALGORITHM": 2, "KEY_SIZE": 256, "DIGEST": 12}
SIGN = external(PURPOSE=4, **ECC)
VERIFY = external(PURPOSE=8, **ECC)
MAKE = external(PURPOSE=12, **ECC)


@pytest.fixture
def token():
    return MemoryProvider()


@pytest_asyncio.fixture
async def keystore(token):
    async with huks.Keystore.open(
        "memory:", monitor=False, load_all=False, abilities={ABILITY: token}
    ) as keystore:
        yield keystore


@pytest_asyncio.fixture
async def ready(keystore):
    """A keystore with its provider registered, a key made in it, and the PIN entered."""
    await keystore.registerProvider(NAME, [ABILITY_PARAM])
    await keystore.openResource(rid())
    await keystore.authUkeyPin(rid(), pin())
    await keystore.generateKeyItem(rid(), MAKE)
    return keystore


async def test_a_key_of_a_provider_signs_and_its_signature_verifies_elsewhere(ready):
    """The whole way by the module-level functions; the signature is checked without the provider."""
    session = await huks.initSession(rid(), SIGN)
    assert 0 <= session.handle < 2**32
    assert session.challenge == b""
    assert (await huks.updateSession(session.handle, external(b"hello "))).outData == b""
    signature = (await huks.finishSession(session.handle, external(b"world"))).outData
    public = load_der_public_key((await huks.exportKeyItem(rid(), external())).outData)
    public.verify(signature, b"hello world", ec.ECDSA(hashes.SHA256()))

    for wrong, code in ((b"", None), (b"x", 12000006)):
        session = await huks.initSession(rid(), VERIFY)
        await huks.updateSession(session.handle, external(b"hello world" + wrong))
        if code is None:
            await huks.finishSession(session.handle, external(signature))
        else:
            with refused(code):
                await huks.finishSession(session.handle, external(signature))
        with refused(12000011):
            await huks.finishSession(session.handle, external(signature))


async def test_a_session_block_says_the_key_class_in_each_call(ready, token):
    """A key of a provider works in `keystore.session`, which ends its session on every way out."""
    await ready.openResource(rid("aes"))
    await ready.generateKeyItem(rid("aes"), external(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3))
    async with ready.session(rid("aes"), external(ALGORITHM=20, PURPOSE=1)) as session:
        sealed = b"".join([part async for part in session.stream([b"top ", b"secret"])])
    async with ready.session(rid("aes"), external(ALGORITHM=20, PURPOSE=2)) as session:
        await session.update(sealed[:20])
        assert await session.finish(sealed[20:]) == b"top secret"
    with pytest.raises(ZeroDivisionError):
        async with ready.session(rid("aes"), external(ALGORITHM=20, PURPOSE=1)) as session:
            raise ZeroDivisionError
    assert token.sessions == 0


async def test_a_block_whose_abort_fails_still_raises_what_ended_it(ready, token, monkeypatch):
    """A time limit stays a time limit, a cancelled task is cancelled, and an error is the block's own."""
    await ready.openResource(rid("aes"))
    await ready.generateKeyItem(rid("aes"), external(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3))
    options = external(ALGORITHM=20, PURPOSE=1)

    async def broken(*_):
        raise huks.BusinessError(12000005, "the token was pulled out")

    monkeypatch.setattr(token, "onFinishSession", broken)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit, ready.session(rid("aes"), options):
            limit.reschedule(0)
            await asyncio.sleep(60)

    async def use(ended):
        async with ready.session(rid("aes"), options):
            ended.set()
            await asyncio.sleep(60)

    began = asyncio.Event()
    task = asyncio.create_task(use(began))
    await began.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()

    with pytest.raises(ZeroDivisionError):
        async with ready.session(rid("aes"), options):
            raise ZeroDivisionError

    async def source():
        try:
            yield b"text"
            yield b"text"
        finally:
            raise LookupError

    with pytest.raises(LookupError):
        async with ready.session(rid("aes"), options) as session:
            async for part in session.stream(source()):
                assert part
                break


@pytest.mark.parametrize("elsewhere", [False, True], ids=["this thread", "another thread"])
async def test_a_block_of_a_task_that_the_collector_ends_tells_the_provider(ready, token, elsewhere):
    """A coroutine that is being closed cannot wait for that; the event loop does it."""
    await ready.openResource(rid("aes"))
    await ready.generateKeyItem(rid("aes"), external(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3))
    block = ready.session(rid("aes"), external(ALGORITHM=20, PURPOSE=1))
    await block.__aenter__()

    @types.coroutine
    def pause():
        yield

    async def left():
        try:
            await pause()
        finally:
            await block.__aexit__(*sys.exc_info())

    coroutine = left()
    coroutine.send(None)
    close(coroutine, elsewhere=elsewhere)
    async with asyncio.timeout(60):
        while token.sessions:
            await asyncio.sleep(0.001)
    assert len(ready._state.providers.sessions) == 0


@pytest.mark.parametrize("abandoned", [False, True], ids=["in no block", "of a block that was left"])
@pytest.mark.parametrize("call", ["update", "finish"])
async def test_a_call_that_is_closed_in_the_middle_has_its_session_ended(
    ready, token, monkeypatch, call, abandoned
):
    """Its coroutine cannot wait for that, and was told to have ignored it; the event loop does it."""
    handle = (await ready.initSession(rid(), SIGN)).handle

    @types.coroutine
    def pause():
        yield

    async def hang(*_):
        await pause()

    name = f"on{call.capitalize()}Session"
    with monkeypatch.context() as patched:
        patched.setattr(token, name, hang)
        coroutine = getattr(ready, f"{call}Session")(handle, external(b"x"))
        coroutine.send(None)
        if abandoned:
            await ready._session_parts().leave(handle, None)
        assert token.sessions == 1
        coroutine.close()
    async with asyncio.timeout(60):
        while token.sessions:
            await asyncio.sleep(0.001)
    assert len(ready._state.providers.sessions) == 0


async def test_a_generator_that_is_left_early_frees_the_place_of_its_session(ready, token):
    """The next session found the limit reached."""
    await ready.openResource(rid("aes"))
    await ready.generateKeyItem(rid("aes"), external(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3))
    encrypt = external(ALGORITHM=20, PURPOSE=1)
    for _ in range(MAX_SESSIONS_PER_CALLER - 1):
        await ready.initSession(rid("aes"), encrypt)

    async def parts():
        async with ready.session(rid("aes"), encrypt):
            yield

    async with aclosing(parts()) as generator:
        async for _ in generator:
            break
    await ready.initSession(rid("aes"), encrypt)
    async with asyncio.timeout(60):
        while token.sessions > MAX_SESSIONS_PER_CALLER:
            await asyncio.sleep(0.001)
    assert len(ready._state.providers.sessions) == MAX_SESSIONS_PER_CALLER


@pytest.mark.parametrize("call", ["update", "finish", "abort", "illegal"])
async def test_a_generator_that_is_left_early_sees_the_provider_s_session_ended(ready, token, call):
    """As one on a key of the keystore; the session could still be fed."""

    async def parts():
        async with ready.session(rid(), SIGN) as session:
            yield session.handle

    async with aclosing(parts()) as generator:
        handle = await anext(generator)
    token.calls.clear()
    match call:
        case "abort":
            await ready.abortSession(handle, external())
        case "illegal":
            await ready.abortSession(handle, TWICE)
        case _:
            with refused(12000011):
                await getattr(ready, f"{call}Session")(handle, external(b"x"))
    assert token.calls == []  # the event loop tells the provider in a later turn
    async with asyncio.timeout(60):
        while token.sessions:
            await asyncio.sleep(0.001)
    assert [method for method, _ in token.calls] == ["onFinishSession"]


async def test_wrapped_import_takes_two_keys_of_one_provider(ready, token):
    """Both aliases are resource ids; another provider's wrapping key is 12000018."""
    for index in ("kek", "new"):
        await ready.openResource(rid(index))
    await ready.generateKeyItem(rid("kek"), external(ALGORITHM=20, PURPOSE=3))
    async with ready.session(rid("kek"), external(ALGORITHM=20, PURPOSE=1)) as session:
        wrapped = await session.finish(b"\x07" * 32)
    await ready.importWrappedKeyItem(rid("new"), rid("kek"), external(wrapped, ALGORITHM=20))
    assert "new" in token.keys
    await ready.registerProvider("other", [ABILITY_PARAM])
    await ready.openResource(rid("kek", name="other"))
    with refused(12000018):
        await ready.importWrappedKeyItem(rid("new"), rid("kek", name="other"), external(wrapped))
    with refused(12000011):
        await ready.importWrappedKeyItem(rid("new"), rid("absent"), external(wrapped))


class Pulled(MemoryProvider):
    """A token that knows no handle of before it was pulled out."""

    def pull(self, *indexes):
        self._opened = {handle: key for handle, key in self._opened.items() if key.index not in indexes}


@pytest.mark.parametrize("gone", [("kek", "new"), ("kek",), ("new",)], ids="+".join)
@pytest.mark.parametrize("met", ["absent", "back"])
async def test_a_wrapped_import_after_which_both_keys_can_be_opened_again(gone, met):
    """Its code does not tell which of the two the provider misses; none stays open there."""
    token = Pulled()
    async with huks.Keystore.open(
        "memory:", monitor=False, load_all=False, abilities={ABILITY: token}
    ) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        for index in ("kek", "new"):
            await keystore.openResource(rid(index))
        await keystore.authUkeyPin(rid("kek"), pin())
        await keystore.generateKeyItem(rid("kek"), external(ALGORITHM=20, PURPOSE=3))
        async with keystore.session(rid("kek"), external(ALGORITHM=20, PURPOSE=1)) as session:
            wrapped = external(await session.finish(b"\x07" * 32), ALGORITHM=20)
        token.pull(*gone)
        token.present = met == "back"
        with refused(12000011 if token.present else 12000006, "open the resource again"):
            await keystore.importWrappedKeyItem(rid("new"), rid("kek"), wrapped)
        if token.present:
            assert token.open_resources == 0
        token.present = True
        for index in ("kek", "new"):
            await keystore.openResource(rid(index))
        await keystore.authUkeyPin(rid("new"), pin())
        await keystore.importWrappedKeyItem(rid("new"), rid("kek"), wrapped)


async def test_data_for_a_key_of_a_provider_has_the_limits_of_a_call(token):
    """More than one call takes is 401 before the handle, is not copied, and leaves the session."""
    limits = huks.Limits(max_call_bytes=1000)
    async with huks.Keystore.open(
        "memory:", monitor=False, limits=limits, abilities={ABILITY: token}
    ) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.openResource(rid())
        await keystore.authUkeyPin(rid(), pin())
        await keystore.generateKeyItem(rid(), MAKE)
        session = await keystore.initSession(rid(), SIGN)
        for much in (bytes(1001), bytearray(1001), memoryview(bytearray(1001))):
            for handle in (session.handle, 7):
                for call in (keystore.updateSession, keystore.finishSession):
                    with refused(401, "inData has 1001 bytes, accepted 1000 a call"):
                        await call(handle, external(much))
        await keystore.updateSession(session.handle, external(bytearray(1000)))
        assert (await keystore.finishSession(session.handle, external(bytearray()))).outData
        with refused(401, "inData has 1048577 bytes, accepted 1048576"):
            await keystore.importWrappedKeyItem(rid(), rid(), external(bytearray(1024 * 1024 + 1)))


async def test_a_provider_gets_long_data_whose_copy_leaves_turns_to_others(ready, token):
    """A long buffer is copied in parts; what the caller then does to it does not reach the provider."""
    session = await ready.initSession(rid(), SIGN)
    given = bytearray(b"x") * (8 * 1024 * 1024)
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.ensure_future(count())
    await ready.updateSession(session.handle, external(given))
    other.cancel()
    assert turns >= 8
    given[:] = bytes(len(given))
    (held,) = token._sessions.values()
    assert held.data == b"x" * len(given)


async def test_sessions_of_a_token_that_is_gone_keep_no_places(ready, token):
    """It is pulled out and put back more often than there are places; its sessions are told to be gone."""
    left = await ready.initSession(rid(), SIGN)
    for _ in range(MAX_SESSIONS_PER_CALLER + 1):
        session = await ready.initSession(rid(), SIGN)
        token.present = False
        with refused(12000006):
            await ready.getProperty(rid(), "SKF_GetDevInfo")
        token.present = True
        for handle in (left.handle, session.handle):
            with refused(12000011, "it may have ended"):
                await ready.updateSession(handle, external(b"x"))
        await ready.abortSession(session.handle, external())
        await ready.openResource(rid())
        await ready.authUkeyPin(rid(), pin())
    async with ready.session(rid(), SIGN) as session:
        await session.update(b"x")
        assert len(ready._state.providers.sessions) == 1


@pytest.mark.parametrize("step", ["updateSession", "finishSession", "abortSession"])
@pytest.mark.parametrize("code", [34800001, 34800002], ids=["absent", "driver"])
async def test_a_token_that_a_session_misses_is_opened_again(ready, token, step, code):
    """As after every other call; the session and its neighbours are gone. A wrong signature closes nothing."""
    verify = await ready.initSession(rid(), external(ALGORITHM=2, PURPOSE=8, DIGEST=12))
    token.answers["onFinishSession"] = huks.BusinessError(12000006, "a wrong signature")
    with refused(12000006):
        await ready.finishSession(verify.handle, external(b"x"))
    handles = [(await ready.initSession(rid(), SIGN)).handle for _ in range(2)]
    method = "onUpdateSession" if step == "updateSession" else "onFinishSession"
    token.answers = {method: HuksCryptoExtensionResult(code)}
    with refused(12000006):
        await getattr(ready, step)(handles[0], external(b"x"))
    token.answers = {}
    for handle in handles:
        with refused(12000011):
            await ready.updateSession(handle, external(b"x"))
    await ready.openResource(rid())
    await ready.authUkeyPin(rid(), pin())
    async with ready.session(rid(), SIGN) as session:
        await session.finish(b"x")


async def test_a_call_that_runs_while_its_token_goes_ends_its_session(ready, token, monkeypatch):
    """A call that has its answer gives it; one that opens a session then leaves none."""
    session = await ready.initSession(rid(), SIGN)
    for method, call in (
        ("onUpdateSession", lambda: ready.updateSession(session.handle, external(b"x"))),
        ("onInitSession", lambda: ready.initSession(rid(), SIGN)),
    ):
        begun, go_on = asyncio.Event(), asyncio.Event()
        real = getattr(token, method)

        async def late(*args, real=real, begun=begun, go_on=go_on):
            begun.set()
            await go_on.wait()
            return await real(*args)

        monkeypatch.setattr(token, method, late)
        task = asyncio.create_task(call())
        await begun.wait()
        token.present = False
        with refused(12000006):
            await ready.getProperty(rid(), "SKF_GetDevInfo")
        token.present = True
        go_on.set()
        if method == "onInitSession":
            with refused(12000011, "before the session was open"):
                await task
        else:
            await task
        assert len(ready._state.providers.sessions) == 0
        await ready.openResource(rid())
        await ready.authUkeyPin(rid(), pin())


# --- registration --------------------------------------------------------------------------------


async def test_registration_and_its_codes(keystore, token):
    """Each row of registerProvider and unregisterProvider."""
    register, unregister = keystore.registerProvider, keystore.unregisterProvider
    with refused(12000012):
        await unregister(NAME)
    with refused(12000002, "ABILITY_NAME"):
        await register(NAME, [])
    with refused(12000020, "no ability", "abilities"):
        await register(NAME, [{**ABILITY_PARAM, "value": b"Other"}])
    for name in ("", "n" * 129, "é" * 65):
        with refused(12000018, "providerName"):
            await register(name, [ABILITY_PARAM])
    for name in (None, 3, b"x"):
        with refused(401, "providerName"):
            await register(name, [ABILITY_PARAM])
    with refused(12000018):
        await register(NAME, [{**ABILITY_PARAM, "value": b"a" * 128}])
    for params in ("x", 3, [3], {"a": 1}):
        with refused(401):
            await register(NAME, params)
    for params in (
        [{**ABILITY_PARAM, "value": "text"}],
        [ABILITY_PARAM, ABILITY_PARAM],
        [ABILITY_PARAM, {"tag": 7, "value": b""}],
        [ABILITY_PARAM, {"tag": (5 << 28) | 200006, "value": b""}],
        [ABILITY_PARAM, {"tag": TAG.HUKS_EXT_CRYPTO_TAG_UID, "value": 1}],
        [ABILITY_PARAM, {"tag": TAG.HUKS_EXT_CRYPTO_TAG_PURPOSE, "value": 2**31}],
        [ABILITY_PARAM, {"tag": TAG.HUKS_EXT_CRYPTO_TAG_PURPOSE, "value": True}],
        [{**ABILITY_PARAM, "value": b"\xff"}],
        [{**ABILITY_PARAM, "value": b""}],
    ):
        with refused(12000018):
            await register(NAME, params)
    await register("n" * 128, [ABILITY_PARAM])
    with refused(12000019):
        await register("n" * 128, [ABILITY_PARAM])
    for number in range(9):
        await register(f"p{number}", [ABILITY_PARAM])
    with refused(12000025):
        await register("one more", [ABILITY_PARAM])
    with refused(12000011):
        await unregister("unknown")
    with refused(12000011):
        await unregister("p0", [{**ABILITY_PARAM, "value": b"Other"}])
    await unregister("p0", [ABILITY_PARAM])
    await register("one more", [ABILITY_PARAM])


async def test_a_provider_serves_callers_of_the_user_who_registered_it(keystore):
    """Of any name; for those of another user it is registered again."""
    await keystore.registerProvider(NAME, [ABILITY_PARAM])
    with huks.as_caller("other"):
        await keystore.openResource(rid())
    with huks.as_caller("default", 101):
        with refused(12000011, "user 101"):
            await keystore.openResource(rid())
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.openResource(rid())


async def test_what_is_no_provider_is_not_declared():
    """Neither a class nor nothing; a name that is declared can be registered."""
    for wrong, word in ((MemoryProvider, "class"), (None, "None")):
        with refused(401, ABILITY, word):
            huks.Keystore.open("memory:", monitor=False, abilities={ABILITY: wrong})


async def test_who_may_register(token, caplog):
    """An application that declares no abilities is told 201, and so is one that its policy does not let: a denial."""
    caplog.set_level(logging.INFO, "huks_async.access")

    class Asked:
        def may_act_for(self, caller, user_id):
            return False

        def groups_of(self, caller):
            return ()

        def may_register_providers(self, caller):
            return caller.namespace == "driver"

    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        with refused(201, "abilities"):
            await keystore.registerProvider(NAME, [ABILITY_PARAM])
        with refused(201):
            await keystore.unregisterProvider(NAME)
    for namespace in ("driver", "app"):
        async with huks.Keystore.open(
            "memory:", monitor=False, abilities={ABILITY: token}, policy=Asked(), namespace=namespace
        ) as keystore:
            if namespace == "driver":
                await keystore.registerProvider(NAME, [ABILITY_PARAM])
                await keystore.openResource(rid(bundle="driver"))
            else:
                with refused(201, "policy"):
                    await keystore.registerProvider(NAME, [ABILITY_PARAM])
                with refused(201, "policy"):
                    await keystore.unregisterProvider(NAME)
    assert [record.getMessage() for record in caplog.records if record.name == "huks_async.access"] == [
        f"denied: 'app' of user 100: {what} the provider '{NAME}'"
        for what in ("registering", "unregistering")
    ]


async def test_who_may_open_resources_and_try_pins(token):
    """Who has no entry in a table learns of no provider; a policy that does not know the question lets everybody."""

    class Unasked:
        def may_act_for(self, caller, user_id):
            return False

        def groups_of(self, caller):
            return ()

    class Asked(Unasked):
        answer = True

        def may_use_providers(self, caller):
            return caller.namespace != "stranger" or self.answer

    place = [ABILITY_PARAM, {"tag": TAG.HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, "value": b"default"}]
    table = huks.TablePolicy({"version": 1, "callers": {"default": {}, "app": {"keys": []}}})
    asked = Asked()
    for policy in (table, asked, Unasked()):
        async with huks.Keystore.open(
            "memory:", monitor=False, abilities={ABILITY: token}, policy=policy
        ) as keystore:
            await keystore.registerProvider(NAME, [ABILITY_PARAM])
            for name in ("default", "app"):
                caller = keystore.for_caller(name)
                await caller.openResource(rid())
                await caller.authUkeyPin(rid(), pin())
            stranger = keystore.for_caller("stranger")
            if policy is not table:
                await stranger.openResource(rid())
                await stranger.closeResource(rid())
            for asked.answer in () if type(policy) is Unasked else (False, 1, None):
                calls = (
                    stranger.openResource(rid()),
                    stranger.openResource(rid(name="unknown")),
                    stranger.getResourceId(
                        NAME, [*place, {"tag": TAG.HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO, "value": b"x"}]
                    ),
                    stranger.export_certificates(rid()),
                    stranger.list_certificates(NAME, place),
                )
                for call in calls:
                    with refused(201, "stranger"):
                        await call
                with refused(12000011):
                    await stranger.authUkeyPin(rid(), pin(b"0000"))
            asked.answer = True


async def test_a_failing_connection_is_12000020(keystore, token):
    """Whatever the ability raises, or if it does not answer; it can be registered later."""

    class Stubborn(MemoryProvider):
        async def onConnect(self):
            if failure == "hang":
                await asyncio.sleep(60)
            if failure is not None:
                raise failure

    for failure in (OSError("x"), huks.BusinessError(12000012, "no"), "hang", None):
        async with huks.Keystore.open(
            "memory:",
            monitor=False,
            abilities={ABILITY: Stubborn()},
            provider_timeout=0.1 if failure == "hang" else 60,
        ) as other:
            if failure is None:
                await other.registerProvider(NAME, [ABILITY_PARAM])
            else:
                with refused(12000020, "cannot be reached"):
                    await other.registerProvider(NAME, [ABILITY_PARAM])


async def test_a_provider_in_memory_fails_to_connect_when_it_is_told_to(keystore, token):
    """As any other of its methods; what `onDisconnect` raises is nobody's concern."""
    token.answers["onConnect"] = RuntimeError("x")
    with refused(12000020, "cannot be reached"):
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
    del token.answers["onConnect"]
    token.answers["onDisconnect"] = RuntimeError("x")
    await keystore.registerProvider(NAME, [ABILITY_PARAM])
    await keystore.unregisterProvider(NAME)
    assert [method for method, _ in token.calls] == ["onConnect", "onConnect", "onDisconnect"]


async def test_a_provider_in_memory_opens_no_changed_ciphertext(ready):
    """12000006 in a session and in a wrapped import, after which all is open as before."""
    await ready.openResource(rid("kek"))
    await ready.openResource(rid("new"))
    await ready.generateKeyItem(rid("kek"), external(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3))
    async with ready.session(rid("kek"), external(ALGORITHM=20, PURPOSE=1)) as session:
        wrapped = await session.finish(b"\x07" * 32)
    for wrong in (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), wrapped[:20], b"x"):
        with refused(12000006, "was changed"):
            async with ready.session(rid("kek"), external(ALGORITHM=20, PURPOSE=2)) as session:
                await session.finish(wrong)
        with refused(12000006, "was changed"):
            await ready.importWrappedKeyItem(rid("new"), rid("kek"), external(wrong, ALGORITHM=20))
    async with ready.session(rid("kek"), external(ALGORITHM=20, PURPOSE=2)) as session:
        assert await session.finish(wrapped) == b"\x07" * 32


async def test_a_provider_in_memory_keeps_a_session_whose_finish_it_refused(ready, token):
    """As the keystore does, by this code; an abort ends both."""
    handle = (await ready.initSession(rid(), external(PURPOSE=64, **ECC))).handle
    for _ in range(2):
        with refused(12000003):
            await ready.finishSession(handle, external(b"x"))
    assert token.sessions == len(ready._state.providers.sessions) == 1
    await ready.abortSession(handle, external())
    assert token.sessions == len(ready._state.providers.sessions) == 0


@pytest.mark.parametrize("cleared", ["new", "kek"])
async def test_a_provider_in_memory_asks_for_the_pin_at_a_wrapped_import(ready, cleared):
    """12000023 where it is gone for the key that unwraps, or for the new one, as in a session."""
    await ready.openResource(rid("kek"))
    await ready.openResource(rid("new"))
    await ready.generateKeyItem(rid("kek"), external(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3))
    async with ready.session(rid("kek"), external(ALGORITHM=20, PURPOSE=1)) as session:
        wrapped = await session.finish(b"\x07" * 32)
    await ready.clearUkeyPinAuthState(rid(cleared))
    with refused(12000023):
        await ready.importWrappedKeyItem(rid("new"), rid("kek"), external(wrapped, ALGORITHM=20))
    await ready.authUkeyPin(rid(cleared), pin())
    await ready.importWrappedKeyItem(rid("new"), rid("kek"), external(wrapped, ALGORITHM=20))


@pytest.mark.parametrize("failure", [None, OSError("x"), "hang"], ids=str)
async def test_a_provider_learns_when_it_is_no_longer_used(failure):
    """Once for each connection that succeeded; what goes wrong there is nobody's concern any more."""
    told = []

    class Connected(MemoryProvider):
        async def onConnect(self):
            told.append("connect")

        async def onDisconnect(self):
            told.append("disconnect")
            if failure == "hang":
                await asyncio.sleep(60)
            if failure is not None:
                raise failure

    timeout = 0.1 if failure == "hang" else 60
    abilities = {ABILITY: Connected()}
    opened = huks.Keystore.open("memory:", monitor=False, abilities=abilities, provider_timeout=timeout)
    async with opened as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.unregisterProvider(NAME)
        assert told == ["connect", "disconnect"]
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.registerProvider(f"{NAME}2", [ABILITY_PARAM])
    assert told == ["connect", "disconnect"] + ["connect"] * 2 + ["disconnect"] * 2


class Gated(MemoryProvider):
    """One whose methods named in `gated` wait for `gate` before they answer, and that counts its connections."""

    def __init__(self, *gated):
        super().__init__()
        self.gate = asyncio.Event()
        self.reached = asyncio.Event()
        self.gated = gated
        self.connections = 0
        self.lost = 0

    async def wait(self, method):
        if method in self.gated:
            self.reached.set()
            await self.gate.wait()

    async def onConnect(self):
        await self.wait("onConnect")
        self.connections += 1

    async def onDisconnect(self):
        self.connections -= 1
        self.lost += 1

    async def onOpenResource(self, *args):
        await self.wait("onOpenResource")
        return await super().onOpenResource(*args)

    async def onCloseResource(self, *args):
        await self.wait("onCloseResource")
        return await super().onCloseResource(*args)

    async def onInitSession(self, *args):
        await self.wait("onInitSession")
        return await super().onInitSession(*args)


def with_provider(provider, **more):
    return huks.Keystore.open(
        "memory:", monitor=False, load_all=False, abilities={ABILITY: provider, "Second": provider}, **more
    )


async def to_the_gate(provider, call):
    task = asyncio.ensure_future(call)
    await provider.reached.wait()
    return task


async def test_closing_while_a_provider_is_being_registered_disconnects_it():
    """The registration ends with 12000012, and is no more; so it is when it was cancelled."""
    for end in ("answer", "cancel"):
        provider = Gated("onConnect")
        async with with_provider(provider) as keystore:
            task = await to_the_gate(provider, keystore.registerProvider(NAME, [ABILITY_PARAM]))
        if end == "cancel":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            provider.gate.set()
            with refused(12000012):
                await task
        assert provider.connections == 0


@pytest.mark.parametrize("way", ["close", "unregister"])
async def test_what_is_being_opened_when_a_provider_goes_is_closed(way):
    """Resources and sessions whose opening ends late are not left open at the provider."""
    for method in ("onOpenResource", "onInitSession"):
        provider = Gated(method)
        async with with_provider(provider) as keystore:
            await keystore.registerProvider(NAME, [ABILITY_PARAM])
            if method == "onOpenResource":
                call = keystore.openResource(rid())
            else:
                await keystore.openResource(rid())
                await keystore.authUkeyPin(rid(), pin())
                await keystore.generateKeyItem(rid(), MAKE)
                call = keystore.initSession(rid(), SIGN)
            task = await to_the_gate(provider, call)
            if way == "unregister":
                await keystore.unregisterProvider(NAME)
        provider.gate.set()
        with pytest.raises(huks.BusinessError):
            await task
        assert (provider.connections, provider.open_resources, provider.sessions) == (0, 0, 0)


async def test_a_session_that_is_open_after_its_resource_was_closed_ends(ready, token):
    """12000011, and the provider has no session."""
    gate, reached = asyncio.Event(), asyncio.Event()
    begin = token.onInitSession

    async def late(*args):
        result = await begin(*args)
        reached.set()
        await gate.wait()
        return result

    token.onInitSession = late
    task = asyncio.ensure_future(ready.initSession(rid(), SIGN))
    await reached.wait()
    await ready.closeResource(rid())
    gate.set()
    with refused(12000011):
        await task
    assert (token.open_resources, token.sessions) == (0, 0)


@pytest.mark.parametrize("way", ["aclose", "unregisterProvider"])
async def test_a_provider_is_told_also_if_its_end_is_cancelled(way):
    """Cancelled by Task.cancel(), which ignores shields, in a call that hangs: each provider is told all the same."""
    provider = Gated("onCloseResource")
    second = {"tag": TAG.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, "value": b"Second"}
    keystore = with_provider(provider)
    await keystore.aopen()
    try:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.registerProvider(NAME, [second])
        await keystore.openResource(rid())
        call = keystore.aclose() if way == "aclose" else keystore.unregisterProvider(NAME)
        task = await to_the_gate(provider, call)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (provider.connections, provider.lost) == (0, 2)
    finally:
        provider.gate.set()
        await keystore.aclose()
    assert (provider.connections, provider.lost) == (0, 2)


async def test_nothing_runs_on_if_closing_is_cancelled_at_a_provider_that_hangs():
    """The monitor and the idle timer end with the keystore, and their tasks with them."""
    provider = Gated("onCloseResource")
    keystore = huks.Keystore.open(
        "memory:",
        abilities={ABILITY: provider},
        sensor=lambda: SilentSensor(""),
        limits=huks.Limits(max_idle=60),
    )
    await keystore.aopen()
    await keystore.registerProvider(NAME, [ABILITY_PARAM])
    await keystore.openResource(rid())
    task = await to_the_gate(provider, keystore.aclose())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_callers_of_keystores_that_share_a_provider_prove_their_own_pins():
    """What one caller has proved counts for it alone, and for as long as its own keystore is open."""
    provider = MemoryProvider()
    async with with_provider(provider) as first:
        await first.registerProvider(NAME, [ABILITY_PARAM])
        await first.openResource(rid())
        await first.authUkeyPin(rid(), pin())
        await first.generateKeyItem(rid(), MAKE)
        async with with_provider(provider, namespace="other") as second:
            await second.registerProvider(NAME, [ABILITY_PARAM])
            other = rid(bundle="other")
            await second.openResource(other)
            assert await second.getUkeyPinAuthState(other) == 0
            with refused(12000023):
                await second.generateKeyItem(other, MAKE)
            await second.authUkeyPin(other, pin())
            await second.generateKeyItem(other, MAKE)
        assert await first.getUkeyPinAuthState(rid()) == 1
        await first.generateKeyItem(rid(), MAKE)


async def test_unregistering_drops_what_is_open(ready, token):
    """Sessions and resources of it are gone, here and at the provider."""
    session = await ready.initSession(rid(), SIGN)
    await ready.unregisterProvider(NAME)
    assert (token.sessions, token.open_resources) == (0, 0)
    with refused(12000011):
        await ready.finishSession(session.handle, external(b"x"))
    with refused(12000011):
        await ready.openResource(rid())


async def test_closing_the_keystore_closes_what_is_open(token):
    """No resource, session or PIN outlives the keystore."""
    async with huks.Keystore.open("memory:", monitor=False, abilities={ABILITY: token}) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.openResource(rid())
        await keystore.authUkeyPin(rid(), pin())
        await keystore.generateKeyItem(rid(), MAKE)
        await keystore.initSession(rid(), SIGN)
    assert (token.sessions, token.open_resources, token._authenticated) == (0, 0, set())


# --- resources -----------------------------------------------------------------------------------


async def test_resource_ids(keystore, token):
    """getResourceId makes what openResource takes; forms and limits of the text."""
    await keystore.registerProvider(NAME, [ABILITY_PARAM])
    needed = [
        ABILITY_PARAM,
        {"tag": TAG.HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, "value": b"default"},
        {"tag": TAG.HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO, "value": b"slot one"},
    ]
    text = await keystore.getResourceId(NAME, needed)
    assert json.loads(text) == {
        "providerName": NAME,
        "abilityName": ABILITY,
        "bundleName": "default",
        "index": "slot one",
    }
    for missing in range(3):
        with refused(12000002):
            await keystore.getResourceId(NAME, needed[:missing] + needed[missing + 1 :])
    with refused(12000011):
        await keystore.getResourceId("unknown", needed)
    with refused(12000020):
        await keystore.getResourceId(NAME, [*needed[:2], {**needed[2], "value": b"x" * 513}])
    await keystore.openResource(text)
    with refused(12000017):
        await keystore.openResource(text.replace(":", ": "))

    await keystore.openResource(rid({"key": "testKey"}))  # as the documented samples write it
    assert '{"key":"testKey"}' in {opened.index for opened in token._opened.values()}
    for wrong in (
        "",
        "[]",
        "3",
        "{",
        "[" * 1000,
        rid(3),
        rid(index="x" * 513),
        rid(name=""),
        rid("x")[:-9] + "}",
    ):
        with refused(12000018):
            await keystore.openResource(wrong)
    with refused(12000018):
        await keystore.openResource(rid(name="n" * 128, ability="a" * 127, bundle="b" * 300, index="i" * 512))
    for wrong in (None, 3, b"{}"):
        with refused(401):
            await keystore.openResource(wrong)
    for elsewhere in (rid(name="u"), rid(ability="u"), rid(bundle="u")):
        with refused(12000011, "provider is not found"):
            await keystore.openResource(elsewhere)


async def test_every_use_comes_after_opening(keystore):
    """12000011 for each function on a resource that is not open; closing one is no mistake."""
    await keystore.registerProvider(NAME, [ABILITY_PARAM])
    for call in (
        keystore.authUkeyPin(rid(), pin()),
        keystore.getUkeyPinAuthState(rid()),
        keystore.clearUkeyPinAuthState(rid()),
        keystore.getProperty(rid(), "p"),
        keystore.setProperty(rid(), "p"),
        keystore.generateKeyItem(rid(), MAKE),
        keystore.exportKeyItem(rid(), external()),
        keystore.initSession(rid(), SIGN),
        keystore.importWrappedKeyItem(rid(), rid(), external(b"")),
    ):
        with refused(12000011, "openResource"):
            await call
    await keystore.closeResource(rid())


async def test_at_most_100_resources_of_a_provider_are_open(keystore):
    """The 101st is 12000025; room comes from closing one."""
    await keystore.registerProvider(NAME, [ABILITY_PARAM])
    for number in range(100):
        await keystore.openResource(rid(str(number)))
    with refused(12000025):
        await keystore.openResource(rid("100"))
    await keystore.closeResource(rid("7"))
    await keystore.openResource(rid("100"))


async def test_closing_ends_sessions_and_forgets_the_pin(ready, token):
    """What closeResource takes along."""
    session = await ready.initSession(rid(), SIGN)
    await ready.closeResource(rid())
    assert (token.sessions, token.open_resources) == (0, 0)
    with refused(12000011):
        await ready.updateSession(session.handle, external(b"x"))
    await ready.openResource(rid())
    assert await ready.getUkeyPinAuthState(rid()) == 0


# --- PIN -----------------------------------------------------------------------------------------


async def test_a_list_of_parameters_that_cannot_be_read(keystore, token):
    """Whatever a list of the caller's own class raises, the call is refused with 401."""

    class Broken(list):
        def __iter__(self):
            raise ValueError("no")

    with refused(401):
        await keystore.registerProvider(NAME, Broken())


async def test_the_pin(keystore, token):
    """States, attempts that are left, the lock, and the provider's own words."""
    await keystore.registerProvider(NAME, [ABILITY_PARAM])
    await keystore.openResource(rid())
    states = ext.HuksExternalPinAuthState
    assert keystore.getErrorInfo() == ext.HuksExternalErrorInfo(0, "")
    assert await keystore.getUkeyPinAuthState(rid()) is states.HUKS_EXT_CRYPTO_PIN_NO_AUTH
    for params in ([], pin(b"")):
        with refused(12000018, "PIN"):
            await keystore.authUkeyPin(rid(), params)
    with refused(12000018, "UID"):
        await keystore.authUkeyPin(rid(), [*pin(), {"tag": TAG.HUKS_EXT_CRYPTO_TAG_UID, "value": 1}])
    with refused(12000022) as caught:
        await keystore.authUkeyPin(rid(), pin(b"sesame"))
    assert caught.value.data == 2
    assert "sesame" not in str(caught.value)
    assert ext.getErrorInfo() == ext.HuksExternalErrorInfo(63, "wrong PIN")
    await keystore.authUkeyPin(rid(), pin())
    assert await keystore.getUkeyPinAuthState(rid()) is states.HUKS_EXT_CRYPTO_PIN_AUTH_SUCCEEDED
    await keystore.clearUkeyPinAuthState(rid())
    assert await keystore.getUkeyPinAuthState(rid()) is states.HUKS_EXT_CRYPTO_PIN_NO_AUTH
    with refused(12000023):
        await keystore.generateKeyItem(rid(), MAKE)
    for code in (12000022, 12000022, 12000021, 12000021):
        with refused(code):
            await keystore.authUkeyPin(rid(), pin(b"x"))
    assert keystore.getErrorInfo().errno == 0
    assert await keystore.getUkeyPinAuthState(rid()) is states.HUKS_EXT_CRYPTO_PIN_LOCKED


async def test_ever_new_callers_are_forgotten(ready, token, monkeypatch):
    """Their numbers and last errors, but not the number of one with a resource open; none is given twice."""
    monkeypatch.setattr(service, "_MOST_CALLERS", 8)
    token.calls.clear()
    await ready.export_certificates(rid(), [])
    token.answers["onExportCertificate"] = HuksCryptoExtensionResult(
        resultCode=34800000, errInfo=ext.HuksExternalErrorInfo(7, "no")
    )
    callers = [ready.for_caller(f"customer {number}") for number in range(40)]
    for caller in (*callers, callers[0]):
        with pytest.raises(huks.BusinessError):
            await caller.export_certificates(rid(), [])
        assert caller.getErrorInfo().errno == 7
    del token.answers["onExportCertificate"]
    await ready.export_certificates(rid(), [])
    uids = [value_of(params, TAG.HUKS_EXT_CRYPTO_TAG_UID) for _, params in token.calls]
    assert uids[0] == uids[-1]
    assert len(set(uids)) == len(uids) - 1
    providers = ready._state.providers
    assert len(providers._uids) <= 8
    assert len(providers._errors) <= 8
    assert callers[1].getErrorInfo().errno == 0
    assert (
        await ready.getUkeyPinAuthState(rid())
        is ext.HuksExternalPinAuthState.HUKS_EXT_CRYPTO_PIN_AUTH_SUCCEEDED
    )


async def test_on_a_device_pins_are_for_system_applications(token):
    """202 for authUkeyPin and for the property that encrypts PINs."""
    async with huks.Keystore.open(
        "memory:", monitor=False, profile="device", abilities={ABILITY: token}
    ) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.openResource(rid())
        with refused(202):
            await keystore.authUkeyPin(rid(), pin())
        with refused(202):
            await keystore.getProperty(rid(), "SKF_ExportPublicKey")
        await keystore.getProperty(rid(), "SKF_EnumDev")


async def test_pins_are_not_shown():
    """Neither a parameter nor a result tells its bytes."""
    param = ext.HuksExternalCryptoParam(TAG.HUKS_EXT_CRYPTO_TAG_UKEY_PIN, b"sesame")
    assert "sesame" not in repr(param)
    assert "UKEY_PIN" in repr(param)
    assert "sesame" not in repr(HuksCryptoExtensionResult(outData=b"sesame"))
    assert repr(parse_external([param])) == "ExternalParams(HUKS_EXT_CRYPTO_TAG_UKEY_PIN=<6 bytes>)"


async def test_pins_that_are_no_bytes_are_not_shown_either():
    """A mistake, which is refused; the parameter may be in a report all the same."""

    class Text(str):
        pass

    for mistaken in ("123456", Text("123456"), 123456):
        param = ext.HuksExternalCryptoParam(TAG.HUKS_EXT_CRYPTO_TAG_UKEY_PIN, mistaken)
        assert "123456" not in repr(param)
        with refused(12000018) as told:
            parse_external([param])
        assert "123456" not in str(told.value)


def from_another(*, cause):
    """An error of a provider that was raised from another one, or while that was handled."""
    try:
        try:
            raise ValueError("sesame")
        except ValueError as error:
            raise huks.BusinessError(12000027, "no network") from (error if cause else None)
    except huks.BusinessError as error:
        error.__suppress_context__ = cause
        return error


async def test_pins_are_not_in_tracebacks(ready, token):
    """Neither among the values of local variables, which reports of errors may have, nor as what a provider said."""
    wrong = pin(b"sesame")[0]
    param = ext.HuksExternalCryptoParam(wrong["tag"], wrong["value"])
    for answer in (
        None,
        ValueError("sesame"),
        MemoryError("sesame"),
        ExceptionGroup("sesame", [ValueError("sesame")]),
        huks.BusinessError(999, "sesame"),
        from_another(cause=True),
        from_another(cause=False),
    ):
        token.answers = {"onAuthUkeyPin": answer}
        with pytest.raises(huks.BusinessError) as caught:
            await ready.authUkeyPin(rid(), [param])
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        here = told.stack.pop(0)
        assert here.name == "test_pins_are_not_in_tracebacks"
        assert "sesame" not in "".join(told.format())


# --- properties and certificates -----------------------------------------------------------------


async def test_properties_pass_through(ready):
    """What was set is read; the limits of the name."""
    extra = {"tag": TAG.HUKS_EXT_CRYPTO_TAG_EXTRA_DATA, "value": bytearray(b"value")}
    await ready.setProperty(rid(), "own", [extra])
    assert await ready.getProperty(rid(), "own") == [
        ext.HuksExternalCryptoParam(TAG.HUKS_EXT_CRYPTO_TAG_EXTRA_DATA, b"value")
    ]
    for name, code in (("", 12000018), ("é" * 51, 12000018), (None, 401), (b"x", 401)):
        for function in (ready.getProperty, ready.setProperty):
            with refused(code, "propertyId"):
                await function(rid(), name)


async def test_certificates(ready, token):
    """Those of one key, and all; the locators are resource ids."""
    token.certificates = {"k": b"cert", "other": b"cert two"}
    (cert,) = await ready.export_certificates(rid())
    assert (cert.cert, json.loads(cert.resourceId)) == (b"cert", json.loads(rid()))
    bundle = {"tag": TAG.HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, "value": b"default"}
    assert [c.cert for c in await ready.list_certificates(NAME, [ABILITY_PARAM, bundle])] == [
        b"cert",
        b"cert two",
    ]


# --- codes ---------------------------------------------------------------------------------------

_FAIL, _ABSENT, _DRIVER, _NO_AUTH, _NO_HANDLE, _BAD_HANDLE, _WRONG_PIN, _LOCKED = range(34800000, 34800008)
_COMMON = {
    _FAIL: 12000020,
    _ABSENT: 12000006,
    _DRIVER: 12000006,
    _NO_AUTH: 12000020,
    _NO_HANDLE: 12000011,
    _BAD_HANDLE: 12000011,
    _WRONG_PIN: 12000020,
    _LOCKED: 12000020,
    1: 12000020,
    -5: 12000020,
}
_KEY = _COMMON | {_NO_AUTH: 12000023, _LOCKED: 12000021}
_CODES = {
    "onOpenResource": _COMMON,
    "onCloseResource": _COMMON | {_NO_HANDLE: None, _BAD_HANDLE: None},
    "onAuthUkeyPin": _COMMON | {_WRONG_PIN: 12000022, _LOCKED: 12000021},
    "onGetUkeyPinAuthState": _COMMON,
    "onClearUkeyPinAuthState": _COMMON,
    "onGetProperty": _KEY,
    "onSetProperty": _KEY,
    "onInitSession": _KEY,
    "onUpdateSession": _KEY,
    "onFinishSession": _KEY,
    "abort": _KEY | {_NO_AUTH: None, _NO_HANDLE: None, _BAD_HANDLE: None, _LOCKED: None},
    "onGenerateKeyItem": _KEY,
    "onImportWrappedKeyItem": _KEY,
    "onExportKeyItem": _KEY,
    "onExportCertificate": _COMMON,
    "onGetResourceId": dict.fromkeys(_COMMON, 12000020),
}


async def _call(keystore, method):
    """A call of the function that asks a provider for `method`."""
    info = [
        ABILITY_PARAM,
        {"tag": TAG.HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, "value": b"default"},
        {"tag": TAG.HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO, "value": b"i"},
    ]
    calls = {
        "onOpenResource": lambda: keystore.openResource(rid("new")),
        "onCloseResource": lambda: keystore.closeResource(rid()),
        "onAuthUkeyPin": lambda: keystore.authUkeyPin(rid(), pin()),
        "onGetUkeyPinAuthState": lambda: keystore.getUkeyPinAuthState(rid()),
        "onClearUkeyPinAuthState": lambda: keystore.clearUkeyPinAuthState(rid()),
        "onGetProperty": lambda: keystore.getProperty(rid(), "p"),
        "onSetProperty": lambda: keystore.setProperty(rid(), "p"),
        "onInitSession": lambda: keystore.initSession(rid(), SIGN),
        "onUpdateSession": lambda: keystore.updateSession(handle, external(b"x")),
        "onFinishSession": lambda: keystore.finishSession(handle, external(b"x")),
        "abort": lambda: keystore.abortSession(handle, external()),
        "onGenerateKeyItem": lambda: keystore.generateKeyItem(rid(), MAKE),
        "onImportWrappedKeyItem": lambda: keystore.importWrappedKeyItem(rid(), rid(), external(b"x")),
        "onExportKeyItem": lambda: keystore.exportKeyItem(rid(), external()),
        "onExportCertificate": lambda: keystore.export_certificates(rid()),
        "onGetResourceId": lambda: keystore.getResourceId(NAME, info),
    }
    handle = 0
    if method in ("onUpdateSession", "onFinishSession", "abort"):
        handle = (await keystore.initSession(rid(), SIGN)).handle
    return calls[method]


@pytest.mark.parametrize("method", _CODES)
async def test_result_codes(token, method):
    """Each result code of each method is the documented code; ten more ways to answer wrongly are 12000020 or 24."""
    asked = "onFinishSession" if method == "abort" else method
    answers = [(HuksCryptoExtensionResult(code), expected) for code, expected in _CODES[method].items()]
    answers += [
        ("text", 12000020),
        (HuksCryptoExtensionResult("0"), 12000020),
        (HuksCryptoExtensionResult(False), 12000020),
        (HuksCryptoExtensionResult([]), 12000020),
        (ValueError("sesame"), 12000020),
        (TimeoutError(), 12000020),
        (NotImplementedError(), 12000024),
        (MemoryError(), 12000014),
        (huks.BusinessError(12000001, "not on this token"), 12000001),
    ]
    for answer, expected in answers:
        async with huks.Keystore.open(
            "memory:", monitor=False, load_all=False, abilities={ABILITY: token}
        ) as keystore:
            await keystore.registerProvider(NAME, [ABILITY_PARAM])
            await keystore.openResource(rid())
            await keystore.authUkeyPin(rid(), pin())
            await keystore.generateKeyItem(rid(), MAKE)
            call = await _call(keystore, method)
            token.answers = {asked: answer}
            if expected is None:
                await call()
            else:
                with refused(expected) as caught:
                    await call()
                assert "sesame" not in caught.value.message
            token.answers = {}
            token.present = True


@pytest.mark.parametrize("method", [name for name in _CODES if name != "abort"])
async def test_a_provider_that_does_not_answer_is_12000024(token, method):
    """Each call is bounded in time; the provider's coroutine is cancelled."""
    cancelled = []

    class Slow(MemoryProvider):
        async def stuck(self, *args):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(method)
                raise

    slow = Slow()
    async with huks.Keystore.open(
        "memory:", monitor=False, load_all=False, abilities={ABILITY: slow}
    ) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.openResource(rid())
        await keystore.authUkeyPin(rid(), pin())
        await keystore.generateKeyItem(rid(), MAKE)
        call = await _call(keystore, method)
        setattr(slow, method, slow.stuck)
        # from here on only: what came before may take its time
        keystore._open_state().providers._asker.timeout = 0.05
        with refused(12000024, method):
            await call()
        assert cancelled
        delattr(slow, method)


async def test_a_stale_handle_is_forgotten(ready, token):
    """After a failure of token or handle the resource must be opened again, and can be."""
    for code in (_ABSENT, _DRIVER, _NO_HANDLE, _BAD_HANDLE):
        token.answers = {"onGetUkeyPinAuthState": HuksCryptoExtensionResult(code)}
        with refused(_COMMON[code]):
            await ready.getUkeyPinAuthState(rid())
        token.answers = {}
        with refused(12000011, "openResource"):
            await ready.getUkeyPinAuthState(rid())
        await ready.openResource(rid())
    for code in (_FAIL, _WRONG_PIN):
        token.answers = {"onGetUkeyPinAuthState": HuksCryptoExtensionResult(code)}
        with refused(12000020):
            await ready.getUkeyPinAuthState(rid())
        token.answers = {}
        await ready.getUkeyPinAuthState(rid())


@pytest.mark.parametrize("code", ["HANDLE_NOT_EXIST", "UKEY_NOT_EXIST"])
async def test_a_result_code_of_another_keystore_s_provider_closes_nothing_of_this_one(ready, token, code):
    """A provider may use another keystore; what is gone there says nothing about its own handles."""

    class Uses(MemoryProvider):
        async def onExportKeyItem(self, handle, params):
            return HuksCryptoExtensionResult(outData=(await ready.exportKeyItem(rid(), external())).outData)

    user = Uses()
    async with huks.Keystore.open(
        "memory:", monitor=False, load_all=False, abilities={ABILITY: user}
    ) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.openResource(rid())
        number = getattr(HuksCryptoExtensionResultCode, f"HUKS_CRYPTO_EXTENSION_ERR_{code}")
        told = ext.HuksExternalErrorInfo(5, "inner words")
        token.answers["onExportKeyItem"] = HuksCryptoExtensionResult(number, errInfo=told)
        with refused(12000011 if code == "HANDLE_NOT_EXIST" else 12000006, "inner words"):
            await keystore.exportKeyItem(rid(), external())
        assert keystore.getErrorInfo() == ext.HuksExternalErrorInfo()
        assert len(keystore._state.providers.resources) == user.open_resources == 1
        assert len(ready._state.providers.resources) == 0


async def test_malformed_results_are_12000020(ready, token):
    """Success with nothing, or with the wrong thing, in it."""
    for method, answer in (
        ("onOpenResource", HuksCryptoExtensionResult()),
        ("onOpenResource", HuksCryptoExtensionResult(handle=3)),
        ("onInitSession", HuksCryptoExtensionResult()),
        ("onAuthUkeyPin", HuksCryptoExtensionResult(authState=0)),
        ("onGetUkeyPinAuthState", HuksCryptoExtensionResult(authState=9)),
        ("onGetUkeyPinAuthState", HuksCryptoExtensionResult()),
        ("onGetProperty", HuksCryptoExtensionResult(property=3)),
        ("onGetProperty", HuksCryptoExtensionResult(property=[3])),
        ("onExportKeyItem", HuksCryptoExtensionResult(outData="text")),
        ("onUpdateSession", HuksCryptoExtensionResult(outData=3)),
        ("onGetProperty", HuksCryptoExtensionResult(property=map(divmod, [1], [0]))),
        ("onExportCertificate", HuksCryptoExtensionResult(certs=[3])),
        ("onExportCertificate", HuksCryptoExtensionResult(certs=[HuksCryptoExtensionCertInfo(0, rid(), 32)])),
        (
            "onExportCertificate",
            HuksCryptoExtensionResult(certs=[HuksCryptoExtensionCertInfo(0, rid(), [1])]),
        ),
        (
            "onExportCertificate",
            HuksCryptoExtensionResult(certs=[HuksCryptoExtensionCertInfo(inf, rid(), b"c")]),
        ),
        ("onExportCertificate", HuksCryptoExtensionResult(certs=map(divmod, [1], [0]))),
        ("onGetResourceId", HuksCryptoExtensionResult()),
    ):
        call = await _call(ready, method)
        token.answers = {method: answer}
        with refused(12000020):
            await call()
        token.answers = {}


# --- sessions ------------------------------------------------------------------------------------


async def test_session_limits_without_eviction(token):
    """32 sessions of a caller, and none of them makes room for another."""
    async with huks.Keystore.open("memory:", monitor=False, abilities={ABILITY: token}) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.openResource(rid())
        await keystore.authUkeyPin(rid(), pin())
        await keystore.generateKeyItem(rid(), MAKE)
        handles = [(await keystore.initSession(rid(), SIGN)).handle for _ in range(32)]
        with refused(12000010, "evicted"):
            await keystore.initSession(rid(), SIGN)
        for handle in handles:
            await keystore.updateSession(handle, external(b"x"))
        await keystore.abortSession(handles[0], external())
        await keystore.initSession(rid(), SIGN)
        assert token.sessions == 32


async def test_all_callers_share_96_sessions():
    """The table itself, with four callers."""
    from huks_async.providers.key_sessions import ProviderSessions
    from huks_async.providers.registry import Owner, Provider
    from huks_async.providers.resources import OpenResource

    provider = Provider(NAME, ABILITY, Owner("default", 100), None)
    opened = [
        OpenResource(provider, str(caller), caller, provider.resource_id("k"), "h") for caller in range(4)
    ]
    table = ProviderSessions()
    sessions = [table.reserve(opened[number % 3]) for number in range(96)]
    for entry in (opened[0], opened[3]):
        with refused(12000010):
            table.reserve(entry)
    table.drop(sessions[0])
    table.reserve(opened[3])


async def test_the_key_class_is_in_every_call(ready, token):
    """Without it a handle is looked for among the keystore's own; other values are 401."""
    session = await ready.initSession(rid(), SIGN)
    for options in ({"inData": b"x"}, {"properties": [], "inData": b"x"}):
        with refused(12000011):
            await ready.updateSession(session.handle, options)
    with refused(12000011, "no key"):
        await ready.initSession(rid(), {"properties": SIGN["properties"][1:]})
    for value in (2, 7):
        wrong = {"properties": [{**KEY_CLASS, "value": value}]}
        for call in (
            ready.initSession(rid(), wrong),
            ready.updateSession(session.handle, wrong),
            ready.finishSession(session.handle, wrong),
            ready.abortSession(session.handle, wrong),
            ready.generateKeyItem(rid(), wrong),
            ready.exportKeyItem(rid(), wrong),
            ready.importWrappedKeyItem(rid(), rid(), wrong),
        ):
            with refused(401, "KEY_CLASS"):
                await call
    await ready.finishSession(session.handle, external(b"x"))
    with refused(401, "PURPOSE"):
        await ready.initSession(rid(), external(ALGORITHM=2))
    with refused(401, "twice"):
        await ready.generateKeyItem(rid(), {"properties": [*MAKE["properties"], KEY_CLASS]})


@pytest.mark.parametrize("alias", ["k", rid(), rid("k" * 400)], ids=["alias", "id", "long-id"])
async def test_functions_without_a_form_for_providers_say_so(ready, alias):
    """12000001 for each of them with KEY_CLASS = EXTENSION, also where the resource id would be too long an alias."""
    for function in (
        ready.deleteKeyItem,
        ready.hasKeyItem,
        ready.isKeyItemExist,
        ready.getKeyItemProperties,
        ready.importKeyItem,
        ready.attestKeyItem,
        ready.anonAttestKeyItem,
        ready.wrapKeyItem,
    ):
        with refused(12000001):
            await function(alias, external())
    given = external()["properties"]
    for call in (
        ready.unwrapKeyItem(alias, external(), b"x"),
        ready.anonAttestKeyItemOffline(alias, given),
        ready.encapsulate(alias, given),
        ready.encapsulate("k", [], alias, given),
        ready.decapsulate(alias, given, b"x"),
        ready.listAliases(external()),
    ):
        with refused(12000001):
            await call


@pytest.mark.parametrize(
    "named",
    [
        {"tag": huks.InnerTag.SPECIFIC_USER_ID, "value": 200},
        {"tag": huks.HuksTag.HUKS_TAG_KEY_ACCESS_GROUP, "value": b"ledger"},
    ],
    ids=["user", "group"],
)
async def test_a_user_or_group_by_tag_is_refused(ready, token, named):
    """A provider is never told one, which nobody has asked the policy about; an open session stays."""

    def naming(options):
        return {**options, "properties": [*options["properties"], named]}

    handle = (await ready.initSession(rid(), SIGN)).handle
    told = len(token.calls)
    word = "USER" if "USER" in named["tag"].name else "GROUP"
    for call in (
        ready.generateKeyItem(rid(), naming(MAKE)),
        ready.exportKeyItem(rid(), naming(external())),
        ready.importWrappedKeyItem(rid(), rid(), naming(external(b"x"))),
        ready.initSession(rid(), naming(SIGN)),
        ready.updateSession(handle, naming(external(b"x"))),
        ready.finishSession(handle, naming(external(b"x"))),
    ):
        with refused(12000001, word):
            await call
    assert len(token.calls) == told
    assert (await ready.finishSession(handle, external(b"x"))).outData


async def test_finish_can_be_repeated_after_the_pin(ready, token):
    """A missing PIN leaves the session; it finishes once the PIN is there."""
    session = await ready.initSession(rid(), SIGN)
    await ready.clearUkeyPinAuthState(rid())
    with refused(12000023):
        await ready.finishSession(session.handle, external(b"x"))
    await ready.authUkeyPin(rid(), pin())
    assert (await ready.finishSession(session.handle, external(b"x"))).outData


@pytest.mark.parametrize("proved", [True, False], ids=["proved", "PIN gone"])
@pytest.mark.parametrize("purpose", [1, 2, 4, 8])
async def test_an_abort_does_nothing_with_the_key(ready, token, monkeypatch, purpose, proved):
    """The provider in memory ends the session and works on nothing, whether the PIN is still proved or not."""

    def work(*_):
        raise AssertionError("an abort is no use of the key")

    monkeypatch.setattr("huks_async.testing.memory_provider._work", work)
    handle = (await ready.initSession(rid(), external(ALGORITHM=2, PURPOSE=purpose))).handle
    await ready.updateSession(handle, external(b"data"))
    if not proved:
        await ready.clearUkeyPinAuthState(rid())
    await ready.abortSession(handle, external())
    assert token.sessions == 0


async def test_closing_one_key_leaves_the_pin_to_the_callers_others(ready):
    """In the provider in memory as in tokens."""
    await ready.openResource(rid("other"))
    await ready.authUkeyPin(rid("other"), pin())
    await ready.closeResource(rid("other"))
    handle = (await ready.initSession(rid(), SIGN)).handle
    await ready.finishSession(handle, external(b"x"))
    await ready.closeResource(rid())
    await ready.openResource(rid())
    handle = (await ready.initSession(rid(), SIGN)).handle
    with refused(12000023):
        await ready.finishSession(handle, external(b"x"))


async def test_aborting_what_is_gone_succeeds(ready, token):
    """Unknown and ended handles, and those of a token that was pulled out."""
    await ready.abortSession(77, external())
    session = await ready.initSession(rid(), SIGN)
    token._sessions.clear()
    await ready.abortSession(session.handle, external())
    with refused(12000011):
        await ready.updateSession(session.handle, external(b"x"))


async def test_two_calls_on_one_session(ready, token):
    """The second is told 12000024 and does no harm."""
    session = await ready.initSession(rid(), SIGN)
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def slow(handle, params):
        inside.set()
        await go_on.wait()
        return HuksCryptoExtensionResult(outData=b"late")

    token.onUpdateSession = slow
    task = asyncio.create_task(ready.updateSession(session.handle, external(b"x")))
    await inside.wait()
    with refused(12000024):
        await ready.finishSession(session.handle, external(b"x"))
    go_on.set()
    assert (await task).outData == b"late"
    await ready.finishSession(session.handle, external(b"x"))


@pytest.mark.parametrize("method", ["onInitSession", "onUpdateSession", "onFinishSession", "onOpenResource"])
async def test_a_cancelled_call_leaves_nothing(ready, token, method):
    """No place in a table and no session at the provider outlives a call that was cancelled."""
    inside = asyncio.Event()

    async def slow(*args):
        inside.set()
        await asyncio.sleep(60)

    call = await _call(ready, method)
    setattr(token, method, slow)
    task = asyncio.create_task(call())
    await inside.wait()
    delattr(token, method)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    state = ready._open_state().providers
    assert (len(state.sessions), token.sessions) == (0, 0)
    assert len(state.resources) == token.open_resources == 1


async def test_no_token_of_authentication_is_taken(ready):
    """The keystore's own auth tokens mean nothing to a provider, and are not ignored."""
    session = await ready.initSession(rid(), SIGN)
    with refused(401, "token"):
        await ready.updateSession(session.handle, external(b"x"), b"t" * 280)
    with refused(401, "token"):
        await ready.finishSession(session.handle, external(b"x"), b"t" * 280)
    assert (await ready.finishSession(session.handle, external(b"x"))).outData


async def test_callers_are_kept_apart(token):
    """Handles, resources and PINs of one caller are not another's; providers see different numbers."""
    async with (
        huks.Keystore.open("memory:", monitor=False, abilities={ABILITY: token}) as one,
        huks.Keystore.open("memory:", monitor=False, abilities={ABILITY: token}, namespace="two") as two,
    ):
        await one.registerProvider(NAME, [ABILITY_PARAM])
        with refused(12000012):
            await two.unregisterProvider(NAME)
        await one.openResource(rid())
        with refused(12000011):
            await two.getUkeyPinAuthState(rid())


async def test_the_declared_surface():
    """Names, arguments and kinds of the functions, at both places."""
    declared = {
        "registerProvider": "providerName params",
        "unregisterProvider": "providerName params?",
        "getResourceId": "providerName params",
        "openResource": "resourceId params?",
        "closeResource": "resourceId params?",
        "authUkeyPin": "resourceId params",
        "getUkeyPinAuthState": "resourceId params?",
        "clearUkeyPinAuthState": "resourceId",
        "getProperty": "resourceId propertyId params?",
        "setProperty": "resourceId propertyId params?",
        "getErrorInfo": "",
    }
    for name, arguments in declared.items():
        for place, skip in ((huks.Keystore, 1), (ext, 0)):
            function = getattr(place, name)
            given = list(inspect.signature(function).parameters.values())[skip:]
            assert [p.name + ("?" if p.default is None else "") for p in given] == arguments.split()
            assert inspect.iscoroutinefunction(function) == (name != "getErrorInfo")
    tags = {tag.name.removeprefix("HUKS_EXT_CRYPTO_TAG_"): int(tag) & 0xFFFFFFF for tag in TAG}
    assert tags == {
        "UKEY_PIN": 200001,
        "ABILITY_NAME": 200002,
        "EXTRA_DATA": 200003,
        "UID": 200004,
        "PURPOSE": 200005,
        "RESOURCE_INFO": 200007,
        "ABILITY_INFO": 200008,
        "BUNDLE_NAME": 200009,
    }


async def test_without_a_keystore_nothing_has_failed():
    """getErrorInfo never opens a keystore."""
    assert ext.getErrorInfo() == ext.HuksExternalErrorInfo(0, "")


async def test_the_functions_for_one_caller_have_providers(token):
    """What `for_caller` opens is that caller's alone: its PIN, its resource, its sessions."""
    async with huks.Keystore.open("memory:", monitor=False, abilities={ABILITY: token}) as keystore:
        mine, other = keystore.for_caller("a"), keystore.for_caller("b")
        await mine.registerProvider(NAME, [ABILITY_PARAM])
        named = rid(bundle="a")
        await mine.openResource(named)
        await mine.authUkeyPin(named, pin())
        await mine.generateKeyItem(named, MAKE)
        session = await mine.initSession(named, SIGN)
        for stranger in (other, keystore):
            with refused(12000011):
                await stranger.getUkeyPinAuthState(named)
            with refused(12000011):
                await stranger.initSession(named, SIGN)
            with refused(12000011):
                await stranger.finishSession(session.handle, external(b"x"))
        async with huks.as_caller("b"):
            assert (await mine.finishSession(session.handle, external(b"x"))).outData
        async with huks.as_caller("a"):
            assert await keystore.getUkeyPinAuthState(named) == 1
        await mine.closeResource(named)
        with refused(12000011):
            await other.unregisterProvider(NAME)
        await mine.unregisterProvider(NAME)


TWICE = {"properties": [KEY_CLASS, KEY_CLASS], "inData": b"x"}


@pytest.mark.parametrize("function", ["updateSession", "finishSession", "abortSession"])
async def test_an_illegal_set_of_parameters_ends_the_session(ready, token, function):
    """As it does with a key of the keystore; the provider is told, too."""
    session = await ready.initSession(rid(), SIGN)
    assert token.sessions == 1
    with refused(401):
        await getattr(ready, function)(session.handle, TWICE)
    assert token.sessions == 0
    if function == "abortSession":
        await ready.abortSession(session.handle, TWICE)
    else:
        with refused(12000011):
            await getattr(ready, function)(session.handle, TWICE)


async def test_an_illegal_set_of_parameters_leaves_a_session_that_is_in_a_call(ready, token, monkeypatch):
    """The call that runs goes on; what came beside it is told so."""
    session = await ready.initSession(rid(), SIGN)
    begun, go_on = asyncio.Event(), asyncio.Event()
    update = token.onUpdateSession

    async def slow(*args):
        begun.set()
        await go_on.wait()
        return await update(*args)

    monkeypatch.setattr(token, "onUpdateSession", slow)
    running = asyncio.create_task(ready.updateSession(session.handle, external(b"text")))
    await begun.wait()
    with refused(12000024):
        await ready.updateSession(session.handle, TWICE)
    await ready.abortSession(session.handle, TWICE)
    go_on.set()
    await running
    assert (await ready.finishSession(session.handle, external(b""))).outData


async def test_a_security_level_is_the_providers_matter(ready, token, monkeypatch):
    """The parameters of a call on its session come to it unchanged."""
    given = []
    update = token.onUpdateSession

    async def noting(handle, options):
        given.extend(param.tag for param in options.properties)
        return await update(handle, options)

    monkeypatch.setattr(token, "onUpdateSession", noting)
    session = await ready.initSession(rid(), SIGN)
    await ready.updateSession(session.handle, external(b"text", KEY_SECURITY_LEVEL=1))
    assert huks.HuksTag.HUKS_TAG_KEY_SECURITY_LEVEL in given
    await ready.abortSession(session.handle, external())


async def test_options_of_a_blocks_finish_may_name_the_key_class(ready, token):
    """It is added where it is absent, and not twice."""
    for options in (external(), external(DIGEST=12), {"properties": None}, {"properties": iter([KEY_CLASS])}):
        async with ready.session(rid(), SIGN) as session:
            assert await session.finish(b"text", options)
    async with ready.session(rid(), SIGN) as session:
        with refused(401):
            await session.finish(b"text", {"properties": [KEY_CLASS, KEY_CLASS]})
        assert token.sessions == 0


# --- a provider's own errors ---------------------------------------------------------------------


_INFO = ext.HuksExternalErrorInfo(63, "wrong PIN")
_NOTHING = ext.HuksExternalErrorInfo()


async def _fail_with_info(keystore):
    with refused(12000022):
        await keystore.authUkeyPin(rid(), pin(b"wrong"))
    await keystore.authUkeyPin(rid(), pin())
    assert keystore.getErrorInfo() == _INFO


@pytest.mark.parametrize(
    ("method", "answer", "code"),
    [
        ("onGetProperty", NotImplementedError(), 12000024),
        ("onGetProperty", MemoryError(), 12000014),
        ("onGetProperty", ValueError(), 12000020),
        ("onGetProperty", huks.BusinessError(12000001, "not on this token"), 12000001),
        ("onGetProperty", HuksCryptoExtensionResult(property=[3]), 12000020),
        ("onGetProperty", HuksCryptoExtensionResult(_FAIL), 12000020),
        ("onGetProperty", "text", 12000020),
        ("onExportCertificate", HuksCryptoExtensionResult(certs=[3]), 12000020),
        ("onGetUkeyPinAuthState", HuksCryptoExtensionResult(authState=9), 12000020),
        ("onAuthUkeyPin", HuksCryptoExtensionResult(), 12000020),
        ("onOpenResource", HuksCryptoExtensionResult(), 12000020),
        ("onInitSession", HuksCryptoExtensionResult(), 12000020),
        ("onExportKeyItem", HuksCryptoExtensionResult(outData="text"), 12000020),
        ("onUpdateSession", HuksCryptoExtensionResult(outData=3), 12000020),
        ("onGetResourceId", HuksCryptoExtensionResult(), 12000020),
    ],
    ids=str,
)
async def test_a_failure_of_which_a_provider_says_nothing_has_no_error_of_its_own(
    ready, token, method, answer, code
):
    """It is not told with what an earlier one was about."""
    call = await _call(ready, method)
    await _fail_with_info(ready)
    token.answers = {method: answer}
    with refused(code):
        await call()
    assert ready.getErrorInfo() == _NOTHING


async def test_refusals_by_the_keystore_itself_have_no_error_of_a_provider(ready, token):
    """Neither of an argument, nor of what is not open, nor of a set of parameters that ends a session."""
    handle = (await ready.initSession(rid(), SIGN)).handle
    for call, code in (
        (lambda: ready.openResource("no id"), 12000018),
        (lambda: ready.getProperty(rid("closed"), "p"), 12000011),
        (lambda: ready.updateSession(handle, {"properties": [KEY_CLASS, KEY_CLASS]}), 401),
    ):
        await _fail_with_info(ready)
        with pytest.raises(huks.BusinessError) as caught:
            await call()
        assert caught.value.code == code
        assert ready.getErrorInfo() == _NOTHING


async def _in_block(keystore, options, options_of_finish=None):
    async with keystore.session(rid(), options) as session:
        await session.finish(b"", options_of_finish)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda k, h: k.generateKeyItem(rid(), "text"), 401),
        (lambda k, h: k.generateKeyItem(rid(), {"properties": [KEY_CLASS, KEY_CLASS]}), 401),
        (lambda k, h: k.exportKeyItem(rid(), {"properties": "text"}), 401),
        (lambda k, h: k.importWrappedKeyItem(rid(), rid(), {"properties": [KEY_CLASS, KEY_CLASS]}), 401),
        (lambda k, h: k.initSession(rid(), "text"), 401),
        (lambda k, h: k.initSession(rid(), {"properties": [KEY_CLASS, KEY_CLASS]}), 401),
        (lambda k, h: k.initSession(rid(), {"properties": [{**KEY_CLASS, "value": 7}]}), 401),
        (lambda k, h: k.updateSession(h, {"properties": [KEY_CLASS], "inData": "text"}), 401),
        (lambda k, h: k.updateSession(h, external(b""), "text"), 401),
        (lambda k, h: k.updateSession(h, {"properties": [{**KEY_CLASS, "value": 7}]}), 401),
        (lambda k, h: k.finishSession(h, {"properties": [KEY_CLASS, KEY_CLASS]}), 401),
        (lambda k, h: k.abortSession(h, {"properties": "text"}), 401),
        (lambda k, h: k.abortSession(h, {"properties": [KEY_CLASS, KEY_CLASS]}), 401),
        (lambda k, h: _in_block(k, {"properties": [KEY_CLASS, KEY_CLASS]}), 401),
        (lambda k, h: _in_block(k, "text"), 401),
        (lambda k, h: _in_block(k, SIGN, "text"), 401),
        (lambda k, h: _in_block(k, SIGN, {"properties": [KEY_CLASS, KEY_CLASS]}), 401),
        (lambda k, h: k.getKeyItemProperties("k", external()), 12000001),
        (lambda k, h: k.initSessionAsUser(101, rid(), SIGN), 12000001),
    ],
)
async def test_what_is_refused_while_it_is_read_has_no_error_of_a_provider(ready, call, code):
    """It may have been meant for a provider; what an earlier call failed of is not its failure."""
    handle = (await ready.initSession(rid(), SIGN)).handle
    await _fail_with_info(ready)
    with refused(code):
        await call(ready, handle)
    assert ready.getErrorInfo() == _NOTHING


async def test_what_can_be_about_no_provider_leaves_the_error_of_what_failed(ready):
    """Functions without a form for keys of providers, if they do not name such a key."""
    await _fail_with_info(ready)
    told = ready.getErrorInfo()
    for call in (ready.hasKeyItem, ready.deleteKeyItem, ready.getKeyItemProperties, ready.attestKeyItem):
        with refused(401):
            await call("k", {"properties": [KEY_CLASS, KEY_CLASS]})
    assert ready.getErrorInfo() == told != _NOTHING


async def test_a_clean_up_leaves_the_error_of_what_failed(ready, token):
    """What fails when a block is left, or a key is closed, comes out of no call, and so its error does not either."""
    own, other = ext.HuksExternalErrorInfo(77, "the real one"), ext.HuksExternalErrorInfo(5, "at the end")
    with refused(12000023):
        async with ready.session(rid(), SIGN) as session:
            token.answers = {
                "onUpdateSession": HuksCryptoExtensionResult(_NO_AUTH, errInfo=own),
                "onFinishSession": HuksCryptoExtensionResult(_NO_HANDLE, errInfo=other),
                "onClearUkeyPinAuthState": HuksCryptoExtensionResult(_FAIL, errInfo=other),
            }
            await session.update(b"x")
    assert ready.getErrorInfo() == own
    handle = (await ready.initSession(rid(), SIGN)).handle
    await ready.abortSession(handle, external())
    await ready.closeResource(rid())
    assert ready.getErrorInfo() == own
