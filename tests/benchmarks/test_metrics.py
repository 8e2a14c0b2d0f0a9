"""What single metrics do on either side."""

import asyncio
from types import SimpleNamespace

import pytest

from benchmarks import ours
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
