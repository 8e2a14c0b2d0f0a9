"""The session model line by line: limits and eviction, busy handles, endings, states, sizes, outputs, parameters."""

import asyncio
import threading
from typing import Any

import pytest

import huks_async as huks
from huks_async.crypto.mac_and_derivation import derive
from tests.conformance import support as s
from tests.conformance.support import NOTHING, Params, data, options, refused, run
from tests.conformance.test_content_errors import (
    AES,
    AGREE,
    BASE,
    CBC,
    CCM,
    DES,
    DES_CBC,
    ECC,
    ECDSA,
    ED,
    GCM,
    GCM_OPEN,
    HKDF,
    HMAC,
    MAC,
    OAEP,
    PBKDF2,
    PSS,
    RSA_CIPHER,
    RSA_SIGN,
    SM2,
    SM4,
    X,
    key,
    session,
)

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning"),
]
PEER = bytes(range(1, 33))
MIB = 1024 * 1024


async def opened(keystore: huks.Keystore, made: Params, given: Params) -> int:
    """A session on a fresh key."""
    await keystore.generateKeyItem("key", options(**made))
    return (await keystore.initSession("key", options(**given))).handle


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What PBKDF2 waits for, so that a call lasts as long as a test wants."""
    opened, derived = threading.Event(), derive.pbkdf2

    def wait(*arguments: Any) -> bytes:
        assert opened.wait(120)
        return derived(*arguments)

    monkeypatch.setattr(derive, "pbkdf2", wait)
    return opened


# --- limits and eviction ------------------------------------------------------------------------


async def test_device_evicts_by_age_not_by_use(device: huks.Keystore) -> None:
    """Of 32 sessions the one opened first goes, even when it was used last; its owner learns why."""
    await device.generateKeyItem("key", options(**AES))
    handles = [(await device.initSession("key", options(**CBC))).handle for _ in range(32)]
    await device.updateSession(handles[0], data(bytes(16)))
    await device.initSession("key", options(**CBC))
    with refused(12000011, "evicted", "32"):
        await device.finishSession(handles[0], data(b""))
    assert len((await device.finishSession(handles[1], data(bytes(16)))).outData) == 16
    assert device.statistics().evicted == 1


async def test_device_limit_of_all_sessions() -> None:
    """The limit of all sessions evicts the oldest, too."""
    limits = huks.Limits(max_sessions=3, evict_oldest_idle=True)
    async with huks.Keystore.open("memory:", limits=limits, monitor=False) as keystore:
        await keystore.generateKeyItem("key", options(**AES))
        handles = [(await keystore.initSession("key", options(**CBC))).handle for _ in range(4)]
        assert [await s.is_gone(keystore, handle) for handle in handles] == [True, False, False, False]
    assert (huks.Limits.device().max_sessions, huks.Limits.device().max_sessions_per_caller) == (96, 32)


async def test_device_evicts_no_session_in_a_call(gate: threading.Event) -> None:
    """The oldest session that has no call running goes; when all have one, 12000010."""
    limits = huks.Limits(max_sessions=2, max_sessions_per_caller=2, evict_oldest_idle=True)
    async with huks.Keystore.open("memory:", limits=limits, monitor=False) as keystore:
        await keystore.generateKeyItem("key", options(**BASE))
        slow = options(**PBKDF2 | {"ITERATION": 300_000})
        busy = [(await keystore.initSession("key", slow)).handle]
        idle = (await keystore.initSession("key", slow)).handle
        async with asyncio.TaskGroup() as group:
            first = group.create_task(keystore.updateSession(busy[0], data(b"")))
            await asyncio.sleep(0)
            busy.append((await keystore.initSession("key", slow)).handle)
            with refused(12000011, "evicted"):
                await keystore.updateSession(idle, data(b""))
            second = group.create_task(keystore.updateSession(busy[1], data(b"")))
            await asyncio.sleep(0)
            assert not first.done()
            with refused(12000010):
                await keystore.initSession("key", slow)
            gate.set()
        assert second.done()
        for handle in busy:
            assert len((await keystore.finishSession(handle, NOTHING)).outData) == 32


async def test_server_evicts_no_fresh_session() -> None:
    """At a server's limit only stale sessions make room, the longest idle first; otherwise 12000010."""
    now = 0.0
    limits = huks.Limits(max_sessions=2, stale_after=60)
    async with huks.Keystore.open("memory:", limits=limits, monitor=False, clock=lambda: now) as keystore:
        await keystore.generateKeyItem("key", options(**AES))
        first = (await keystore.initSession("key", options(**CBC))).handle
        second = (await keystore.initSession("key", options(**CBC))).handle
        now = 59.0
        await keystore.updateSession(first, data(bytes(16)))
        with refused(12000010, "Limits.max_sessions"):
            await keystore.initSession("key", options(**CBC))
        now = 61.0
        third = (await keystore.initSession("key", options(**CBC))).handle
        with refused(12000011, "make room"):
            await keystore.updateSession(second, data(b""))
        for handle in (first, third):
            await keystore.finishSession(handle, data(bytes(16)))


@pytest.mark.parametrize(("profile", "bits"), [("server", 53), ("device", 32)])
async def test_handles(profile: str, bits: int) -> None:
    """Handles are random, in the range of their profile, and not used twice."""
    async with huks.Keystore.open("memory:", profile=profile, monitor=False) as keystore:
        await keystore.generateKeyItem("key", options(**AES))
        handles = []
        for _ in range(200):
            opened_session = await keystore.initSession("key", options(**CBC))
            assert opened_session.challenge == b""
            handles.append(opened_session.handle)
            await keystore.abortSession(handles[-1], NOTHING)
    assert len(set(handles)) == 200
    assert all(0 <= handle < 2**bits for handle in handles)
    assert max(handles) > 2 ** (bits - 4)
    assert handles != sorted(handles)


async def test_a_session_keeps_its_key(either: huks.Keystore) -> None:
    """Deleting or replacing the key does not disturb a running session."""
    handle = await opened(either, AES, GCM | {"NONCE": s.NONCE12})
    expected = await run(either, "key", last=b"text", **GCM, NONCE=s.NONCE12)
    other = (await either.initSession("key", options(**GCM, NONCE=s.NONCE12))).handle
    await either.generateKeyItem("key", options(**AES))
    assert (await either.finishSession(handle, data(b"text"))).outData == expected
    await either.deleteKeyItem("key", NOTHING)
    assert (await either.finishSession(other, data(b"text"))).outData == expected


async def test_sessions_are_their_callers_own(tmp_path: Any) -> None:
    """Another keystore on the same store knows neither the session nor, under another name, the key."""
    where = f"sqlite:///{tmp_path}/keys.db"
    async with (
        huks.Keystore.open(where, namespace="a", monitor=False) as a,
        huks.Keystore.open(where, namespace="b", monitor=False) as b,
    ):
        handle = await opened(a, AES, CBC)
        with refused(12000011):
            await b.initSession("key", options(**CBC))
        with refused(12000011):
            await b.finishSession(handle, data(bytes(16)))
        assert await b.abortSession(handle, NOTHING) is None
        assert len((await a.finishSession(handle, data(bytes(16)))).outData) == 16


# --- busy, endings, states ------------------------------------------------------------------------


async def test_busy_handle(either: huks.Keystore, gate: threading.Event) -> None:
    """A second call does not wait: update and finish are refused, abort does nothing; the first goes on."""
    handle = await opened(either, BASE, PBKDF2 | {"ITERATION": 300_000})
    async with asyncio.TaskGroup() as group:
        running = group.create_task(either.updateSession(handle, data(b"")))
        await asyncio.sleep(0)
        for call in (either.updateSession, either.finishSession):
            with refused(12000011, "another call"):
                await call(handle, data(b""))
        assert await either.abortSession(handle, NOTHING) is None
        assert not running.done()
        gate.set()
    assert len((await either.finishSession(handle, NOTHING)).outData) == 32


OPERATIONS: dict[str, tuple[Params, Params, bytes]] = {
    "AES-CBC": (AES, CBC, bytes(16)),
    "AES-GCM": (AES, GCM, b"text"),
    "AES-CCM": (AES, CCM, b"text"),
    "RSA": (RSA_CIPHER, OAEP, b"text"),
    "ECDSA": (ECC, ECDSA, b"text"),
    "Ed25519": (ED, session(s.ED25519, s.SIGN), b"text"),
    "HMAC": (HMAC, MAC, b"text"),
    "HKDF": (BASE, HKDF, b"text"),
    "X25519": (X, AGREE, PEER),
}
ONCE = ("HKDF", "X25519")


@pytest.mark.parametrize("name", OPERATIONS)
async def test_states(either: huks.Keystore, name: str) -> None:
    """From open through fed to gone, by every call, as the state table says."""
    made, given, segment = OPERATIONS[name]
    await either.generateKeyItem("key", options(**made))

    async def begin(feed: int) -> int:
        handle = (await either.initSession("key", options(**given))).handle
        for _ in range(feed):
            await either.updateSession(handle, data(segment))
        return handle

    async def gone(handle: int, word: str) -> None:
        for call in (either.updateSession, either.finishSession):
            with refused(12000011, word):
                await call(handle, data(segment))
        assert await either.abortSession(handle, NOTHING) is None

    for feed in (0, 1):
        handle = await begin(feed)
        assert await either.abortSession(handle, NOTHING) is None
        await gone(handle, "abort")
        handle = await begin(feed)
        if name in ONCE and not feed:
            with refused(401):
                await either.finishSession(handle, NOTHING)
            await gone(handle, "failed")
        else:
            await either.finishSession(handle, data(segment))
            await gone(handle, "finished")
    handle = await begin(1)
    if name in ONCE:
        with refused(12000012):
            await either.updateSession(handle, data(segment))
        await gone(handle, "failed")
    else:
        await either.updateSession(handle, data(segment))
        for wrong in (5, {"properties": 5}, data("text")):
            with refused(401):
                await either.updateSession(handle, wrong)  # type: ignore[arg-type]
        await either.finishSession(handle, data(segment))
    assert either.statistics().open == 0


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "X25519"])
async def test_empty_updates(either: huks.Keystore, name: str) -> None:
    """An empty update is accepted, gives nothing, and counts as an update."""
    made, given, segment = OPERATIONS[name]
    handle = await opened(either, made, given)
    assert (await either.updateSession(handle, data(b""))).outData == b""
    if name == "HKDF":
        with refused(12000012):
            await either.updateSession(handle, data(segment))
        return
    assert (await either.updateSession(handle, NOTHING)).outData == b""
    assert (await either.finishSession(handle, data(segment))).outData != b""


@pytest.mark.parametrize("name", OPERATIONS)
async def test_parameters_are_frozen_at_init(either: huks.Keystore, name: str) -> None:
    """What update and finish pass as parameters, contradictions included, has no effect."""
    made, given, segment = OPERATIONS[name]
    noise = properties_of_another_operation()
    handle = await opened(either, made, given)
    first = await either.updateSession(handle, {"properties": noise, "inData": segment})
    out = await either.finishSession(handle, {"properties": noise, "inData": b""})
    quiet = await run(either, "key", segment, **given)
    assert len(first.outData + out.outData) == len(quiet) or name == "ECDSA"
    if name in ("AES-CBC", "Ed25519", "HMAC", "HKDF", "X25519"):
        assert first.outData + out.outData == quiet
    assert (out.properties, out.certChains, out.sharedSecret) == ([], [], b"")


def properties_of_another_operation() -> list[dict[str, Any]]:
    """Parameters that no session above has."""
    return s.properties(
        ALGORITHM=s.SM4,
        PURPOSE=s.VERIFY,
        DIGEST=s.SM3,
        PADDING=s.PKCS7,
        BLOCK_MODE=s.OFB,
        IV=b"x",
        AE_TAG=b"y",
    )


async def again(keystore: huks.Keystore, given: Params) -> int:
    """Another session on the key."""
    return (await keystore.initSession("key", options(**given))).handle


# --- sizes --------------------------------------------------------------------------------------


async def test_size_of_one_call(keystore: huks.Keystore, device: huks.Keystore) -> None:
    """A device takes 983,040 bytes a call; one more is refused and leaves the session. A server takes more."""
    handle = await opened(device, HMAC, MAC)
    await device.updateSession(handle, data(bytes(983_040)))
    for call in (device.updateSession, device.finishSession):
        with refused(401, "983041", "983040"):
            await call(handle, data(bytes(983_041)))
    assert len((await device.finishSession(handle, data(b""))).outData) == 32
    handle = await opened(keystore, HMAC, MAC)
    await keystore.updateSession(handle, data(bytes(8 * MIB)))
    await keystore.finishSession(handle, data(b""))


ED_SIGN = session(s.ED25519, s.SIGN)
CAPS = [
    pytest.param(AES, CCM | {"NONCE": bytes(7)}, 102_400, 12000012, id="CCM"),
    pytest.param(key(s.ML_DSA, 44, s.SIGNATURE), session(s.ML_DSA, s.SIGN), 102_400, 401, id="ML-DSA"),
    pytest.param(ED, ED_SIGN, 5 * MIB, 401, id="Ed25519"),
    pytest.param(SM2, session(s.SM2, s.SIGN, DIGEST=s.SM3), 5 * MIB, 401, id="SM2"),
]


@pytest.mark.parametrize(("made", "given", "cap", "code"), CAPS)
async def test_cap_of_all_data(
    keystore: huks.Keystore, device: huks.Keystore, made: Params, given: Params, cap: int, code: int
) -> None:
    """A device's collecting operations have a cap on their sum; beyond it the call fails and the session is gone."""
    step = min(cap, 900_000)
    parts = [bytes(step)] * (cap // step) + [bytes(cap % step)] * bool(cap % step)
    for over in (False, True):
        handle = await opened(device, made, given)
        for part in parts:
            await device.updateSession(handle, data(part))
        if over:
            with refused(code, str(cap + 1)):
                await device.updateSession(handle, data(b"1"))
            assert await s.is_gone(device, handle)
        else:
            assert (await device.finishSession(handle, data(b""))).outData
    await keystore.generateKeyItem("key", options(**made))
    assert await run(keystore, "key", *parts, last=b"1", **given)


@pytest.mark.parametrize("given", [MAC, GCM, ECDSA, CBC], ids=["HMAC", "GCM", "ECDSA", "CBC"])
async def test_streams_have_no_cap(device: huks.Keystore, given: Params) -> None:
    """What is streamed may be longer than any collected data."""
    made = {s.HMAC: HMAC, s.AES: AES, s.ECC: ECC}[given["ALGORITHM"]]
    handle = await opened(device, made, given)
    for _ in range(7):
        await device.updateSession(handle, data(bytes(960_000)))
    assert device.statistics().bytes_held == 0
    await device.finishSession(handle, data(b""))


# --- what goes in and out -------------------------------------------------------------------------

CBC_OPEN = CBC | {"PURPOSE": s.DECRYPT}
OUTPUTS: list[tuple[str, Params, Params, list[bytes], list[int]]] = [
    ("CBC gives complete blocks", AES, CBC, [bytes(10), bytes(10), bytes(20), bytes(8)], [0, 16, 16, 16]),
    ("PKCS7 pads at finish", AES, CBC | {"PADDING": s.PKCS7}, [bytes(16), bytes(16), b""], [16, 16, 16]),
    ("ECB of DES has blocks of 8", DES, DES_CBC, [bytes(7), bytes(9), b""], [0, 16, 0]),
    ("CTR gives what it gets", AES, CBC | {"BLOCK_MODE": s.CTR}, [b"1", b"", b"123", b"12"], [1, 0, 3, 2]),
    (
        "SM4-CFB gives what it gets",
        SM4,
        CBC | {"ALGORITHM": s.SM4, "BLOCK_MODE": s.CFB},
        [b"1", b"23"],
        [1, 2],
    ),
    ("GCM, its tag and nonce", AES, GCM, [b"12345", b"678"], [5, 3 + 16 + 12]),
    ("GCM and its tag", AES, GCM | {"NONCE": s.NONCE12}, [b"12345", b"678"], [5, 3 + 16]),
    ("CCM, its tag and nonce", AES, CCM, [b"12345", b"678"], [0, 8 + 16 + 7]),
    ("CCM and a tag of 4", AES, CCM | {"NONCE": s.NONCE12, "AE_TAG_LEN": 4}, [b"12345", b"678"], [0, 8 + 4]),
    ("RSA", RSA_CIPHER, OAEP, [b"1", b"2", b""], [0, 0, 128]),
    ("RSA signature", RSA_SIGN, PSS, [b"1", b"2", b""], [0, 0, 128]),
    ("Ed25519", ED, ED_SIGN, [b"1", b"2", b""], [0, 0, 64]),
    ("HMAC", HMAC, MAC, [b"1", b"2", b""], [0, 0, 32]),
    ("HKDF", BASE, HKDF, [b"ignored", b"ignored"], [0, 32]),
    ("X25519", X, AGREE, [PEER, b"ignored"], [0, 32]),
]


@pytest.mark.parametrize(
    ("made", "given", "segments", "lengths"), [row[1:] for row in OUTPUTS], ids=[row[0] for row in OUTPUTS]
)
async def test_lengths_of_output(
    either: huks.Keystore, made: Params, given: Params, segments: list[bytes], lengths: list[int]
) -> None:
    """Each update and the finish give exactly as many bytes as documented; nothing is b""."""
    handle = await opened(either, made, given)
    out = [(await either.updateSession(handle, data(part))).outData for part in segments[:-1]]
    out.append((await either.finishSession(handle, data(segments[-1]))).outData)
    assert [len(part) for part in out] == lengths
    assert all(type(part) is bytes for part in out)


async def test_padded_decryption_holds_a_block_back(either: huks.Keystore) -> None:
    """With PKCS7 the block that may be the last is given at finish alone."""
    await either.generateKeyItem("key", options(**AES))
    padded = {"PADDING": s.PKCS7}
    sealed = await run(either, "key", last=bytes(40), **CBC | padded)
    handle = await again(either, CBC_OPEN | padded)
    assert len((await either.updateSession(handle, data(sealed[:16]))).outData) == 0
    assert len((await either.updateSession(handle, data(sealed[16:]))).outData) == 32
    assert len((await either.finishSession(handle, data(b""))).outData) == 8


async def test_gcm_decryption_releases_at_update(either: huks.Keystore) -> None:
    """The documented functions give plaintext at update; a wrong tag is told at finish, for any part changed."""
    await either.generateKeyItem("key", options(**AES))
    sealed = await run(either, "key", last=b"plaintext", **GCM, NONCE=s.NONCE12, AAD=b"aad")
    right = GCM_OPEN | {"AE_TAG": sealed[-16:], "AAD": b"aad"}
    handle = await again(either, right)
    assert (await either.updateSession(handle, data(sealed[:4]))).outData == b"plai"
    assert (await either.finishSession(handle, data(sealed[4:-16]))).outData == b"ntext"
    wrong = {"AAD": b"aae"}, {"AAD": None}, {"NONCE": bytes(12)}, {"AE_TAG": bytes(16)}
    for change in wrong:
        with refused(12000006):
            await run(either, "key", sealed[:4], last=sealed[4:-16], **right | change)
    with refused(12000006):
        await run(either, "key", sealed[:4], last=sealed[4:-17] + bytes([sealed[-17] ^ 1]), **right)


async def test_message_of_a_verification_is_not_taken_at_finish(either: huks.Keystore) -> None:
    """A verification takes the message at update; at finish all of the data is the signature."""
    await either.generateKeyItem("key", options(**ED))
    signature = await run(either, "key", last=b"text", **ED_SIGN)
    verify = ED_SIGN | {"PURPOSE": s.VERIFY}
    assert await run(either, "key", b"te", b"xt", last=signature, **verify) == b""
    with refused(12000006):
        await run(either, "key", b"text", last=b"x" + signature, **verify)
    with refused(12000006):
        await run(either, "key", b"te", last=b"xt" + signature, **verify)
