"""What callers are told, and what is left, when a provider answers with something else than it should."""

import asyncio
from contextlib import asynccontextmanager

import pytest

import huks_async as huks
from huks_async.model.errors import ERRORS
from huks_async.providers import HuksCryptoExtensionResult, service
from huks_async.providers.protocol import HuksCryptoExtensionCertInfo, HuksCryptoExtensionResultCode
from huks_async.testing.memory_provider import MemoryProvider
from tests.keystore.test_provider_functions import MAKE, SIGN, _call
from tests.loops import swallow_a_cancellation
from tests.providers.support import ABILITY, ABILITY_PARAM, NAME, external, pin, refused, rid

ext = huks.huksExternalCrypto
pytestmark = pytest.mark.asyncio

_WRONG_PIN = HuksCryptoExtensionResultCode.HUKS_CRYPTO_EXTENSION_ERR_PIN_INCORRECT


class Tampered(MemoryProvider):
    """Its method `method` does what it should, and answers what `answer` makes of that; may wait for `gate`."""

    method = ""
    answer = None
    gate = None

    def __getattribute__(self, name):
        honest = super().__getattribute__(name)
        if name != super().__getattribute__("method"):
            return honest

        async def tampered(*args):
            result = await honest(*args)
            if self.gate is not None:
                await self.gate.wait()
            return self.answer(result) if callable(self.answer) else result

        return tampered


@asynccontextmanager
async def keystore_with(token):
    """A keystore with its provider registered, a key made in it, and the PIN entered."""
    keystore = huks.Keystore.open(
        "memory:", huks.EphemeralRootKey(), monitor=False, load_all=False, abilities={ABILITY: token}
    )
    async with keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.openResource(rid())
        await keystore.authUkeyPin(rid(), pin())
        await keystore.generateKeyItem(rid(), MAKE)
        yield keystore
        token.method = ""


def raising(error):
    def answer(result):
        raise error

    return answer


def changed(**fields):
    def answer(result):
        for name, value in fields.items():
            setattr(result, name, value)
        return result

    return answer


def released():
    view = memoryview(bytearray(b"view"))
    view.release()
    return view


class Broken:
    """An object that fails whatever is asked of it."""

    def __bool__(self):
        raise ValueError

    def __iter__(self):
        raise KeyError

    def __int__(self):
        raise OverflowError

    def __getattr__(self, name):
        raise RuntimeError


METHODS = [
    "onGetResourceId", "onOpenResource", "onAuthUkeyPin", "onGetUkeyPinAuthState", "onClearUkeyPinAuthState",
    "onGetProperty", "onInitSession", "onUpdateSession", "onFinishSession", "abort", "onGenerateKeyItem",
    "onExportKeyItem", "onExportCertificate", "onCloseResource",
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
async def test_errors_of_no_documented_kind_are_12000020(method):
    """Errors without a code, reason or message of HUKS, and a cancellation of something that the provider awaited."""

    class Empty(huks.BusinessError):
        def __init__(self) -> None:
            """Set nothing."""

    class Silent(huks.BusinessError):
        code = 12000024
        reason = huks.HuksErrorCode.HUKS_ERROR_BAD_STATE

        def __init__(self) -> None:
            """Set no message."""

    no_data = huks.BusinessError(12000006, "changed by whoever raised it")
    del no_data.data
    no_reason = huks.BusinessError(12000006, "changed by whoever raised it")
    no_reason.reason = None  # type: ignore[assignment]
    unknown = huks.BusinessError(12000006, "changed by whoever raised it")
    unknown.code = "PIN"  # type: ignore[assignment]
    for error in (
        huks.BusinessError(999, "x"),
        huks.BusinessError(-1, "x"),
        unknown,
        no_reason,
        no_data,
        Empty(),
        Silent(),
        asyncio.CancelledError("of a task of the provider's own"),
    ):
        token = Tampered()
        async with keystore_with(token) as keystore:
            call = await _call(keystore, method)
            token.method, token.answer = "onFinishSession" if method == "abort" else method, raising(error)
            with refused(12000020, NAME) as told:
                await call()
            assert type(told.value.code) is int
            assert told.value.code in ERRORS
            assert isinstance(told.value.reason, int)


async def test_a_caller_that_is_cancelled_stays_cancelled():
    """Neither is a cancellation by scope or task taken for the provider's, nor one within a time limit of its own."""
    token = Tampered()
    async with keystore_with(token) as keystore:
        token.method, token.gate = "onGetUkeyPinAuthState", asyncio.Event()
        task = asyncio.ensure_future(keystore.getUkeyPinAuthState(rid()))
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await keystore.getUkeyPinAuthState(rid())
        token.gate = None
        assert await keystore.getUkeyPinAuthState(rid()) == 1


@pytest.mark.parametrize("group", [False, True], ids=["alone", "in a group"])
async def test_a_cancellation_of_the_providers_own_is_none_of_a_task_that_swallowed_one(group):
    """The task goes on, as if it had not been cancelled; one that it has not met yet is its own."""

    async def lose(*args):
        await asyncio.sleep(0)
        error = asyncio.CancelledError("of a task of the provider's own")
        raise BaseExceptionGroup("all", [error, RuntimeError()]) if group else error

    token = Tampered()
    async with keystore_with(token) as keystore:
        token.onGetUkeyPinAuthState = lose
        await swallow_a_cancellation()
        with refused(12000020, NAME):
            await keystore.getUkeyPinAuthState(rid())
        asyncio.current_task().cancel()
        with pytest.raises(asyncio.CancelledError):
            await keystore.getUkeyPinAuthState(rid())


async def test_a_cancellation_that_comes_with_the_end_of_the_time_does_not_end_who_closes():
    """The first of two resources closes when that is cancelled; then the second one meets a cancellation of its own."""

    class Two(MemoryProvider):
        async def onClearUkeyPinAuthState(self, *args):
            raise asyncio.CancelledError

        async def onCloseResource(self, *args):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return HuksCryptoExtensionResult()

    keystore = huks.Keystore.open(
        "memory:", monitor=False, load_all=False, abilities={ABILITY: Two()}, provider_timeout=0.05
    )
    await keystore.aopen()
    await keystore.registerProvider(NAME, [ABILITY_PARAM])
    await keystore.openResource(rid("first"))
    await keystore.openResource(rid("second"))
    await keystore.aclose()
    assert not keystore.is_open


@pytest.mark.parametrize(
    ("info", "told"),
    [
        (ext.HuksExternalErrorInfo(63, None), (63, "")),
        (ext.HuksExternalErrorInfo(63, b"bytes"), (63, "")),
        (ext.HuksExternalErrorInfo(None, "wrong PIN"), (0, "wrong PIN")),
        (ext.HuksExternalErrorInfo(True, 5), (0, "")),
        (ext.HuksExternalErrorInfo(10**400, "wrong PIN"), (10**400, "wrong PIN")),
        (Broken(), (0, "")),
        ("wrong PIN", (0, "")),
    ],
    ids=lambda value: str(type(value).__name__) if isinstance(value, Broken) else None,
)
async def test_what_a_provider_says_is_taken_as_far_as_it_is_a_number_and_a_text(info, told):
    """The code and the attempts that are left are told whatever it says beside them."""
    token = Tampered()
    async with keystore_with(token) as keystore:
        token.method = "onAuthUkeyPin"
        token.answer = lambda result: HuksCryptoExtensionResult(_WRONG_PIN, retryCount=2, errInfo=info)
        with refused(12000022) as caught:
            await keystore.authUkeyPin(rid(), pin(b"wrong"))
        assert caught.value.data == 2
        assert "None" not in caught.value.message
        assert ("it says: " in caught.value.message) == (told != (0, ""))
        last = keystore.getErrorInfo()
        assert (last.errno, last.errorDesc) == told


@pytest.mark.parametrize(
    "data", [released(), memoryview(bytes(8)).cast("d"), "text", [1], Broken()], ids=type
)
async def test_output_that_is_no_bytes_ends_the_session(data):
    """The provider has taken the data, and its output is lost: nothing can go on after that."""
    for method in ("onUpdateSession", "onFinishSession"):
        token = Tampered()
        async with keystore_with(token) as keystore:
            handle = (await keystore.initSession(rid(), SIGN)).handle
            call = keystore.updateSession if method == "onUpdateSession" else keystore.finishSession
            token.method, token.answer = method, changed(outData=data)
            with refused(12000020, "outData"):
                await call(handle, external(b"data"))
            token.method = ""
            with refused(12000011):
                await call(handle, external(b"data"))
            assert (token.sessions, len(keystore._open_state().providers.sessions)) == (0, 0)
            token.method, token.answer = "onExportKeyItem", changed(outData=data)
            with refused(12000020, "outData"):
                await keystore.exportKeyItem(rid(), external())


async def test_output_is_the_callers_own():
    """A provider that uses its buffer again does not change what a caller has got."""
    token, buffer = Tampered(), bytearray(b"first")
    async with keystore_with(token) as keystore:
        token.method, token.answer = "onUpdateSession", changed(outData=memoryview(buffer))
        handle = (await keystore.initSession(rid(), SIGN)).handle
        first = (await keystore.updateSession(handle, external(b"data"))).outData
        buffer[:] = b"other"
        assert type(first) is bytes
        assert first == b"first"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("x"), 12000020),
        (huks.BusinessError(12000020, "the driver failed"), 12000020),
        (MemoryError(), 12000014),
    ],
    ids=["any", "12000020", "no memory"],
)
async def test_a_failure_after_the_data_was_taken_ends_the_session(error, code):
    """Whoever repeated the call would have the data twice in the signature."""
    token = Tampered()
    async with keystore_with(token) as keystore:
        handle = (await keystore.initSession(rid(), SIGN)).handle
        token.method, token.answer = "onUpdateSession", raising(error)
        with refused(code):
            await keystore.updateSession(handle, external(b"data"))
        token.method = ""
        assert token.sessions == 0
        with refused(12000011):
            await keystore.finishSession(handle, external(b""))


async def test_output_that_there_is_no_memory_for_ends_the_session(monkeypatch):
    """As the data was taken."""
    token = Tampered()
    async with keystore_with(token) as keystore:
        handle = (await keystore.initSession(rid(), SIGN)).handle
        token.method, token.answer = "onUpdateSession", changed(outData=bytearray(b"large"))

        def no_copy(value, what, most):
            raise huks.BusinessError(12000014, "no memory for the output")

        monkeypatch.setattr(service, "as_bytes", no_copy)
        with refused(12000014):
            await keystore.updateSession(handle, external(b"data"))
        assert token.sessions == 0
        with refused(12000011):
            await keystore.finishSession(handle, external(b""))


async def test_a_refusal_of_the_data_leaves_the_session():
    """By a result code, or a documented error: the provider knows that it has not taken it."""
    for refusal, code in (
        (lambda result: HuksCryptoExtensionResult(34800000), 12000020),
        (raising(huks.BusinessError(401, "the data is too short")), 401),
    ):
        token = Tampered()
        async with keystore_with(token) as keystore:
            handle = (await keystore.initSession(rid(), SIGN)).handle
            token.method, token.answer = "onUpdateSession", refusal
            with refused(code):
                await keystore.updateSession(handle, external(b"data"))
            token.method = ""
            await keystore.finishSession(handle, external(b""))


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("onGetProperty", {"property": Broken()}),
        ("onGetProperty", {"property": [Broken()]}),
        ("onGetProperty", {"property": [ext.HuksExternalCryptoParam(1, released())]}),
        ("onExportCertificate", {"certs": Broken()}),
        ("onExportCertificate", {"certs": [Broken()]}),
        ("onExportCertificate", {"certs": [HuksCryptoExtensionCertInfo(float("inf"), "k", b"")]}),
        ("onExportCertificate", {"certs": [HuksCryptoExtensionCertInfo(1, "k", 5)]}),
        ("onExportCertificate", {"certs": [HuksCryptoExtensionCertInfo(1, "k", [1, 2])]}),
        ("onExportCertificate", {"certs": [HuksCryptoExtensionCertInfo(1, "k", 10**15)]}),
    ],
)
async def test_lists_of_something_else_are_12000020(method, fields):
    """Whatever fails in a provider's objects; and a number is no certificate of so many zero bytes."""
    token = Tampered()
    async with keystore_with(token) as keystore:
        call = await _call(keystore, method)
        token.method, token.answer = method, changed(**fields)
        with refused(12000020):
            await call()


@pytest.mark.parametrize("method", ["onAuthUkeyPin", "onGetUkeyPinAuthState"])
async def test_a_state_that_cannot_be_compared_is_12000020(method):
    """As one that is none of the three."""

    class Odd:
        def __eq__(self, other):
            raise RuntimeError

        def __hash__(self):
            return hash(1)

    token = Tampered()
    async with keystore_with(token) as keystore:
        call = await _call(keystore, method)
        for state in (Odd(), Broken(), [], 7, 0.5):
            token.method, token.answer = method, changed(authState=state)
            with refused(12000020, "authState"):
                await call()


@pytest.mark.parametrize(
    ("method", "field"), [("onGetProperty", "property"), ("onExportCertificate", "certs")]
)
async def test_lists_that_there_is_no_memory_for_are_12000014(method, field):
    """As a call that there is no memory for is, and not as a fault of the provider."""

    class Large:
        def __iter__(self):
            raise MemoryError

    class LargeBytes:
        """As one whose copy there is no memory for."""

        @property
        def tag(self):
            raise huks.BusinessError(12000014, "no memory") from MemoryError()

        purpose = tag

    for large in (Large(), [LargeBytes()]):
        token = Tampered()
        async with keystore_with(token) as keystore:
            call = await _call(keystore, method)
            token.method, token.answer = method, changed(**{field: large})
            with refused(12000014, NAME):
                await call()


# --- what is left --------------------------------------------------------------------------------


class Queue(MemoryProvider):
    """One at which a finish waits for its turn before it has any effect."""

    def __init__(self):
        super().__init__()
        self.turn = asyncio.Event()
        self.turn.set()

    async def onUpdateSession(self, *args):
        await self.turn.wait()
        return await super().onUpdateSession(*args)

    async def onFinishSession(self, *args):
        await self.turn.wait()
        return await super().onFinishSession(*args)


async def test_an_abort_that_is_cancelled_is_told_again():
    """No session stays at the provider, of which the keystore knows nothing any more."""
    token = Queue()
    async with keystore_with(token) as keystore:
        handle = (await keystore.initSession(rid(), SIGN)).handle
        token.turn.clear()
        task = asyncio.ensure_future(keystore.abortSession(handle, external()))
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0.001)
        token.turn.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert token.sessions == 0


async def test_leaving_a_block_that_is_cancelled_is_told_again():
    """As an abort is; the shield around the leaving keeps no `Task.cancel()` away."""
    token = Queue()
    async with keystore_with(token) as keystore:

        async def work():
            async with keystore.session(rid(), SIGN):
                token.turn.clear()

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0.001)
        assert token.sessions == 1
        task.cancel()
        await asyncio.sleep(0.001)
        token.turn.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (token.sessions, len(keystore._open_state().providers.sessions)) == (0, 0)


async def test_a_block_that_is_left_while_a_call_runs_ends_the_session_after_it():
    """As for keys of the keystore; the call itself goes on."""
    token = Queue()
    async with keystore_with(token) as keystore:
        token.turn.clear()
        async with keystore.session(rid(), SIGN) as session:
            task = asyncio.ensure_future(session.update(b"data"))
            await asyncio.sleep(0.001)
        token.turn.set()
        assert await task == b""
        assert (token.sessions, len(keystore._open_state().providers.sessions)) == (0, 0)


async def test_leaving_a_block_raises_nothing_of_its_own():
    """Neither when the keystore was closed meanwhile, nor when the provider fails: the block's own error counts."""
    token = Tampered()
    async with keystore_with(token) as keystore:
        with pytest.raises(KeyError):
            async with keystore.session(rid(), SIGN):
                token.method, token.answer = "onFinishSession", raising(OSError())
                raise KeyError
        token.method = ""
        with pytest.raises(KeyError):
            async with keystore.session(rid(), SIGN):
                await keystore.aclose()
                raise KeyError


@pytest.mark.parametrize("call", ["update", "finish"])
@pytest.mark.parametrize("end", ["cancelled", "no memory", "copied"])
async def test_a_block_that_is_left_while_data_is_copied_ends_the_session(call, end, monkeypatch):
    """However the copy ends: nothing stays open, and the provider gets no data after the block was left."""
    token = MemoryProvider()
    async with keystore_with(token) as keystore:
        driver, go_on = type(keystore._open_state().driver), asyncio.Event()

        async def copy(driver, data):
            await go_on.wait()
            if end == "no memory":
                raise huks.BusinessError(12000014, "no memory")
            return bytes(data)

        monkeypatch.setattr(driver, "copy", copy)
        async with keystore.session(rid(), SIGN) as session:
            task = asyncio.ensure_future(getattr(session, call)(bytearray(b"data")))
            await asyncio.sleep(0.001)
        assert token.sessions == 1
        go_on.set()
        if end == "cancelled":
            task.cancel()
        with pytest.raises((huks.BusinessError, asyncio.CancelledError)) as told:
            await task
        assert getattr(told.value, "code", None) == {"no memory": 12000014, "copied": 12000011}.get(end)
        assert (token.sessions, len(keystore._open_state().providers.sessions)) == (0, 0)
        asked = [method for method, _ in token.calls]
        assert (asked.count("onUpdateSession"), asked.count("onFinishSession")) == (0, 1)


@pytest.mark.parametrize("call", ["updateSession", "finishSession"])
@pytest.mark.parametrize("error", [None, RuntimeError("unforeseen")], ids=["cancelled", "failed"])
async def test_a_call_that_ends_while_its_data_is_copied_ends_the_session(call, error, monkeypatch):
    """As for a key of the keystore's own: its caller cannot tell what the provider was given. The provider is told."""
    token = MemoryProvider()
    async with keystore_with(token) as keystore:
        driver, began = type(keystore._open_state().driver), asyncio.Event()

        async def copy(driver, data):
            began.set()
            if error is not None:
                raise error
            await asyncio.Event().wait()

        monkeypatch.setattr(driver, "copy", copy)
        handle = (await keystore.initSession(rid(), SIGN)).handle
        task = asyncio.ensure_future(getattr(keystore, call)(handle, external(bytearray(b"data"))))
        await began.wait()
        if error is None:
            task.cancel()
        with pytest.raises(asyncio.CancelledError if error is None else type(error)):
            await task
        assert token.sessions == 0
        asked = [method for method, _ in token.calls]
        assert (asked.count("onUpdateSession"), asked.count("onFinishSession")) == (0, 1)
        for again in (keystore.updateSession, keystore.finishSession):
            with refused(12000011):
                await again(handle, external(b"data"))
