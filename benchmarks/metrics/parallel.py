"""Work on several processors: what eight tasks get done against one thread that calls the library below."""

import asyncio
import os

from benchmarks import ours
from benchmarks.measuring import Case, Settings, interleave
from benchmarks.metric import Outcome, metric
from benchmarks.peers import raw
from benchmarks.streamer import SEGMENT_BYTES

_TASKS = 8


@metric(
    9, "rsa-tasks", "8 tasks RSA-2048 sign / one thread raw, throughput", target=1.7, floor=1.4, higher=True
)
async def rsa(settings: Settings) -> Outcome:
    """Signatures of eight tasks at once against as many in a plain loop of `sign`. For two processors."""
    data, each = bytes(64), 10 if settings.quick else 40
    sign_raw = raw.rsa_sign(data)
    async with ours.open_keystore(settings, "rsa") as keystore:
        sign = ours.init_and_finish(keystore, "rsa", data)

        async def together(times: int) -> None:
            await asyncio.gather(*(sign(each * times) for _ in range(_TASKS)))

        def inline(times: int) -> None:
            for _ in range(each * times * _TASKS):
                sign_raw()

        samples = await interleave(settings, [Case("8 tasks", together), Case("raw", inline)], times=1)
    return Outcome(
        values=samples.ratios("raw", "8 tasks"),
        parts={case: each * _TASKS / samples.median(case) for case in samples.seconds},
        unit="signatures/s",
    )


@metric(
    10,
    "sm4-tasks",
    "8 streams SM4-CTR by 100 KB / one inline, throughput",
    target=1.5,
    floor=1.3,
    higher=True,
)
async def sm4(settings: Settings) -> Outcome:
    """Eight sessions fed at once against as much in a plain loop of `update`. For two processors."""
    key, segments = os.urandom(16), 4 if settings.quick else 16
    segment = bytes(SEGMENT_BYTES)
    async with ours.open_keystore(settings, "sm4") as keystore:

        async def together(times: int) -> None:
            for _ in range(times):
                streams = (ours.stream(keystore, "sm4", segment, segments) for _ in range(_TASKS))
                await asyncio.gather(*streams)

        def inline(times: int) -> None:
            for _ in range(times * _TASKS):
                raw.sm4_stream(key, ours.IV, segment, segments)

        samples = await interleave(settings, [Case("8 streams", together), Case("raw", inline)], times=1)
    megabytes = _TASKS * segments * len(segment) / 1e6
    return Outcome(
        values=samples.ratios("raw", "8 streams"),
        parts={case: megabytes / samples.median(case) for case in samples.seconds},
        unit="MB/s",
    )
