"""What single metrics do on either side."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

import huks_async as huks
from benchmarks import ours, profile
from benchmarks.measuring import Settings
from benchmarks.metrics import keys, loop
from benchmarks.peers import raw


def settings(folder: object, rounds: int = 1) -> Settings:
    """As little as a metric can do."""
    return Settings(quick=True, rounds=rounds, slice_seconds=0, folder=str(folder))


@pytest.mark.asyncio
async def test_an_idle_ticker_waits_whole_milliseconds(tmp_path, monkeypatch) -> None:
    """What a sleeping loop rounds up is no lateness; beside streams, where nothing sleeps, ticks are uneven."""
    waits: dict[bool, set[float]] = {True: set(), False: set()}
    idle = True

    async def sleep(seconds: float) -> None:
        waits[idle].add(seconds)
        await asyncio.sleep(0)

    async def feed(*_: object) -> None:
        nonlocal idle
        idle = False
        for _ in range(200):
            await asyncio.sleep(0)

    monkeypatch.setattr(loop, "_feed", feed)
    monkeypatch.setattr(loop, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))
    monkeypatch.setattr(loop, "percentile_99", lambda _: 1.0)
    await loop.under_streams(settings(tmp_path))
    assert waits[True] == {0.3, 0.001}
    uneven = waits[False] - {0.001}
    assert len(uneven) > 10
    assert all(0.00075 <= wait <= 0.00125 for wait in uneven)


@pytest.mark.asyncio
async def test_the_bare_insert_has_as_many_bytes_as_a_key(tmp_path, monkeypatch) -> None:
    """The rows of both sides of `generate` are equally long."""
    inserted = set()

    def urandom(size: int) -> bytes:
        inserted.add(size)
        return bytes(size)

    async with ours.open_keystore(settings(tmp_path), "gcm") as keystore:
        blob = keys._only_blob(keystore)
    monkeypatch.setattr(keys, "os", SimpleNamespace(urandom=urandom, path=keys.os.path))
    await keys.generate(settings(tmp_path))
    assert inserted == {len(blob)}


@pytest.mark.asyncio
async def test_init_and_finish_are_timed_without_an_update(monkeypatch, capsys) -> None:
    """The steps of init and finish are those of the metric and of the functions below them; update has its own sessions."""
    called = []

    def note(name: str) -> None:
        real = getattr(huks.Keystore, name)

        def noting(*arguments):
            called.append(name)
            return real(*arguments)

        monkeypatch.setattr(huks.Keystore, name, noting)

    for each in ("initSession", "updateSession", "finishSession"):
        note(each)
    await profile.steps("gcm", 2)
    assert called[-10:] == [
        *["initSession", "finishSession"] * 2,
        *["initSession", "updateSession", "finishSession"] * 2,
    ]
    assert "updateSession" in capsys.readouterr().out


class _Kept:
    """Stands for a keystore, and keeps what its sessions give."""

    def __init__(self, keystore: huks.Keystore) -> None:
        self.initSession = keystore.initSession
        self._keystore, self.output = keystore, b""

    async def updateSession(self, *arguments: Any) -> None:
        self.output += (await self._keystore.updateSession(*arguments)).outData

    async def finishSession(self, *arguments: Any) -> None:
        self.output += (await self._keystore.finishSession(*arguments)).outData


def _raw_output(monkeypatch, stream: Callable[[], object]) -> bytes:
    """What a bare stream would give if it did not drop it."""
    output = b""

    def keeping(call: Callable[..., bytes]) -> Callable[..., None]:
        def kept(*data: bytes) -> None:
            nonlocal output
            output += call(*data)

        return kept

    def cipher(*arguments: Any, real: Any = raw.Cipher) -> Any:
        context = real(*arguments).encryptor()
        kept = SimpleNamespace(update=keeping(context.update), finalize=keeping(context.finalize))
        return SimpleNamespace(encryptor=lambda: kept)

    with monkeypatch.context() as patched:
        patched.setattr(raw, "Cipher", cipher)
        stream()
    return output


@pytest.mark.asyncio
async def test_a_session_gives_what_the_bare_context_gives(tmp_path) -> None:
    """`gcm-raw`: ciphertext and tag of both sides are the same."""
    key, data = os.urandom(32), os.urandom(64)
    async with ours.open_keystore(settings(tmp_path)) as keystore:
        await keystore.importKeyItem("gcm", replace(ours.KEYS["gcm"], inData=key))
        kept = _Kept(keystore)
        await ours.init_and_finish(kept, "gcm", data)(1)
    assert kept.output == raw.gcm_context(key, ours.NONCE, ours.AAD, data)()


@pytest.mark.parametrize(
    ("key", "bare", "start", "more"),
    [
        pytest.param("gcm", raw.gcm_stream, ours.NONCE, 16, id="gcm"),  # ours ends with the tag
        pytest.param("cbc", raw.cbc_stream, ours.IV, 16, id="cbc"),  # and with a block of padding
        pytest.param("sm4", raw.sm4_stream, ours.IV, 0, id="sm4"),
    ],
)
@pytest.mark.asyncio
async def test_streams_give_what_bare_streams_give(
    tmp_path, monkeypatch, key: str, bare: Callable[..., object], start: bytes, more: int
) -> None:
    """`stream-gcm`, `stream-cbc`, `sm4-tasks`: the ciphertext of both sides is the same."""
    secret, segment = os.urandom(16 if key == "sm4" else 32), os.urandom(1600)
    async with ours.open_keystore(settings(tmp_path)) as keystore:
        await keystore.importKeyItem(key, replace(ours.KEYS[key], inData=secret))
        kept = _Kept(keystore)
        await ours.stream(kept, key, segment, 3)
    bare_output = _raw_output(monkeypatch, lambda: bare(secret, start, segment, 3))
    assert len(bare_output) == 4800
    assert kept.output[:4800] == bare_output
    assert len(kept.output) == 4800 + more


@pytest.mark.asyncio
async def test_signatures_are_of_the_scheme_of_the_bare_ones(tmp_path, monkeypatch) -> None:
    """`ecdsa-raw`, `rsa-tasks`: what the bare call is given verifies the session's signature."""
    data = os.urandom(64)
    for key, bare in (("ecdsa", raw.ecdsa), ("rsa", raw.rsa_sign)):
        scheme: list[Any] = []
        private = SimpleNamespace(sign=lambda _, *given, into=scheme: into.extend(given))
        with monkeypatch.context() as patched:
            patched.setattr(raw.ec, "generate_private_key", lambda _, private=private: private)
            patched.setattr(raw.rsa, "generate_private_key", lambda *_, private=private: private)
            bare(data)()
        async with ours.open_keystore(settings(tmp_path), key) as keystore:
            kept = _Kept(keystore)
            await ours.init_and_finish(kept, key, data)(1)
            public = load_der_public_key((await keystore.exportKeyItem(key, ours.options({}))).outData)
        public.verify(kept.output, data, *scheme)


_OPENING = """
from benchmarks.metric import PeerMissing
from benchmarks.peers import softhsm

try:
    with softhsm.session():
        print("open")
except PeerMissing as why:
    print(why)
"""


def test_a_token_is_gone_with_its_process(tmp_path) -> None:
    """The folder of SoftHSM's token is removed at the end."""
    environment = os.environ | {
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    # in a process of its own: the library stays with the token that a process gave it first
    process = subprocess.run(
        [sys.executable, "-c", _OPENING], check=True, capture_output=True, text=True, env=environment
    )
    if process.stdout != "open\n":
        pytest.skip(process.stdout.strip())
    assert list(tmp_path.iterdir()) == []
