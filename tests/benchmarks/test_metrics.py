"""What single metrics do on either side."""

import asyncio
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import huks_async as huks
from benchmarks import ours, profile
from benchmarks.measuring import Settings
from benchmarks.metrics import keys, loop


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
