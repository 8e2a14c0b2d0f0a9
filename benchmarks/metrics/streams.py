"""Streams: 100 MB in segments of 100 KB, the size that HUKS advises."""

import os
from collections.abc import Callable

from benchmarks import ours
from benchmarks.measuring import Case, Settings, interleave
from benchmarks.metric import Outcome, metric
from benchmarks.peers import raw

SEGMENT = bytes(100 * 1024)
_MEGABYTES = 100


async def _throughput(settings: Settings, key: str, raw_stream: Callable[[int], None]) -> Outcome:
    megabytes = 20 if settings.quick else _MEGABYTES
    segments = round(megabytes * 1e6 / len(SEGMENT))
    async with ours.open_keystore(settings, key) as keystore:

        async def run_ours(times: int) -> None:
            for _ in range(times):
                await ours.stream(keystore, key, SEGMENT, segments)

        def run_raw(times: int) -> None:
            for _ in range(times):
                raw_stream(segments)

        samples = await interleave(
            settings, [Case("huks_async", run_ours), Case("cryptography update", run_raw)]
        )
    return Outcome(
        # throughput is the inverse of time
        values=samples.ratios("cryptography update", "huks_async"),
        parts={case: segments * len(SEGMENT) / 1e6 / samples.median(case) for case in samples.seconds},
        unit="MB/s",
    )


@metric(5, "stream-gcm", "100 MB AES-256-GCM by 100 KB, throughput / raw", target=0.9, floor=0.8, higher=True)
async def gcm(settings: Settings) -> Outcome:
    """A GCM session that lets others run, against an uninterrupted loop of `update`."""
    key = os.urandom(32)
    return await _throughput(settings, "gcm", lambda count: raw.gcm_stream(key, ours.NONCE, SEGMENT, count))


@metric(6, "stream-cbc", "100 MB AES-256-CBC by 100 KB, throughput / raw", target=1.2, floor=1.0, higher=True)
async def cbc(settings: Settings) -> Outcome:
    """A CBC session with PKCS7 against an uninterrupted loop of `update`, both giving new bytes."""
    key = os.urandom(32)
    return await _throughput(settings, "cbc", lambda count: raw.cbc_stream(key, ours.IV, SEGMENT, count))
