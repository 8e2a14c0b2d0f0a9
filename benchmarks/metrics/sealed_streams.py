"""Sealed streams in the process: `encrypt_stream` beside one thread over the same chunks, and beside tink's."""

import os
from contextlib import aclosing

from benchmarks import ours
from benchmarks.measuring import Case, Run, Samples, Settings, interleave
from benchmarks.metric import Outcome, metric
from benchmarks.peers import raw, tink
from huks_async.files.header import CHUNK_BYTES

_AMOUNT = 10**9
_QUICK_AMOUNT = 10**8


async def _measure(settings: Settings, name: str, make: Run) -> Samples:
    chunks = (_QUICK_AMOUNT if settings.quick else _AMOUNT) // CHUNK_BYTES
    piece = os.urandom(CHUNK_BYTES)
    async with ours.open_keystore(settings, "gcm") as keystore:

        async def sealed(times: int) -> None:
            async with aclosing(
                keystore.encrypt_stream("gcm", (piece for _ in range(times * chunks)))
            ) as pieces:
                async for _ in pieces:
                    pass

        def other(times: int) -> float | None:
            made = make(times * chunks)
            assert made is None or isinstance(made, float)
            return made

        return await interleave(settings, [Case("huks_async", sealed), Case(name, other)], times=1)


def _outcome(settings: Settings, samples: Samples, name: str) -> Outcome:
    amount = (_QUICK_AMOUNT if settings.quick else _AMOUNT) // CHUNK_BYTES * CHUNK_BYTES / 1e6
    return Outcome(
        # throughput is the inverse of time
        values=samples.ratios(name, "huks_async"),
        parts={case: amount / samples.median(case) for case in samples.seconds},
        unit="MB/s",
    )


@metric(
    25,
    "seal-stream",
    "encrypt_stream 1 GB / one thread AESGCM, throughput",
    quick_title="encrypt_stream 100 MB / one thread AESGCM, throughput",
    target=1.5,
    floor=1.2,
    higher=True,
)
async def seal_stream(settings: Settings) -> Outcome:
    """Chunks through the pool of threads against a plain loop over the same chunks. For two processors."""
    name = "cryptography AESGCM"
    samples = await _measure(settings, name, raw.gcm_chunks(os.urandom(32), os.urandom(CHUNK_BYTES)))
    return _outcome(settings, samples, name)


@metric(26, "seal-stream-tink", "the same / tink's streaming AEAD", target=1.5, floor=1.0, higher=True)
async def seal_stream_tink(settings: Settings) -> Outcome:
    """The same against a writer of tink's streaming AEAD, which seals in chunks of a megabyte, in one thread."""
    samples = await _measure(settings, tink.NAME, tink.streaming(os.urandom(CHUNK_BYTES)))
    return _outcome(settings, samples, tink.NAME)
