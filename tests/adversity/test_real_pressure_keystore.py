"""A real shortage of memory, and a whole keystore with the sensors that it chooses itself."""

import hashlib
import hmac
import subprocess
import time

import anyio
import anyio.to_thread
import pytest

import huks_async as huks
from huks_async.sessions.pressure.base import SensorUnavailable
from huks_async.sessions.pressure.psi import open_system_psi
from tests.adversity import support
from tests.adversity.test_real_pressure import PATIENCE, hog

__all__ = ["hog"]  # the fixture

STALE, ACTIVE = 2_000, 20
SEGMENT = b"a segment of the active ones"


@pytest.mark.asyncio
async def test_stale_sessions_go_and_active_ones_come_out_right(
    hog: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """Sessions that idle are purged, with the reason told; those in use give the right result."""
    try:
        (await anyio.to_thread.run_sync(open_system_psi)).close()
    except SensorUnavailable as error:
        pytest.skip(f"no trigger on the system's memory stalls: {error}")
    started, told = time.perf_counter(), []
    clock = support.Clock()
    async with huks.Keystore.open(
        store="memory:",
        clock=clock,
        on_purge=lambda ended: told.append((time.perf_counter(), ended)),
    ) as keystore:
        await keystore.importKeyItem("mac", support.imported(support.HMAC_KEY, support.KEY))
        idle = [(await keystore.initSession("mac", support.HMAC)).handle for _ in range(STALE)]
        clock.now += huks.Limits().stale_after + 1
        active = [(await keystore.initSession("mac", support.HMAC)).handle for _ in range(ACTIVE)]
        segments = 0
        with anyio.move_on_after(PATIENCE):
            while sum(ended for _, ended in told) < STALE:
                for handle in active:
                    await keystore.updateSession(handle, support.data(SEGMENT))
                segments += 1
                await anyio.sleep(0.05)
        assert sum(ended for _, ended in told) == STALE, f"not purged; the hog ended with {hog.poll()}"
        with pytest.raises(huks.ItemNotFoundError, match="purged on low memory after"):
            await keystore.updateSession(idle[0], support.data(SEGMENT))
        expected = hmac.new(support.KEY, SEGMENT * segments, hashlib.sha256).digest()
        for handle in active:
            assert (await keystore.finishSession(handle, support.data(b""))).outData == expected
        statistics = keystore.statistics()
        assert (statistics.open, statistics.finished) == (0, ACTIVE)
        assert statistics.purged == {"purged on low memory": STALE}
        assert statistics.memory.events >= 1
    with capsys.disabled():
        print(
            f"\nkeystore: {STALE} stale sessions gone {told[-1][0] - started:.2f} s after the start, within "
            f"{(told[-1][0] - told[0][0]) * 1e3:.1f} ms; {ACTIVE} active ones right after {segments} segments; "
            f"sensor: {statistics.memory.sensor}, {statistics.memory.last_reason}"
        )
