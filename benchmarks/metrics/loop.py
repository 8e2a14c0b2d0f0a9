"""The event loop under load: how late a task comes that wants to run every millisecond."""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable
from itertools import chain

import huks_async as huks
from benchmarks import ours
from benchmarks.measuring import Settings
from benchmarks.metric import Outcome, metric
from benchmarks.streamer import SEGMENT_BYTES
from huks_async import HuksTag as Tag

_TICK = 0.001


async def _tick(late: list[float], uneven: float) -> None:
    while True:
        tick = random.uniform(1 - uneven, 1 + uneven) * _TICK
        due = time.perf_counter() + tick
        await asyncio.sleep(tick)
        late.append(time.perf_counter() - due)


async def lateness(work: Awaitable[object], *, uneven: float = 0.0) -> list[float]:
    """Run the ticker until the work is done; seconds by which each tick came late.

    Args:
        work: what the ticker runs beside.
        uneven: by which share ticks are longer or shorter than a millisecond. A loop that sleeps between ticks
            rounds its waits up to whole milliseconds, so there an uneven tick would be late by the rounding.
    """
    late: list[float] = []
    ticker = asyncio.create_task(_tick(late, uneven))
    try:
        await work
        await asyncio.sleep(_TICK)  # the tick that the work's end held up
    finally:
        ticker.cancel()
    return late


def percentile_99(values: list[float]) -> float:
    """The value that one in a hundred exceeds."""
    return statistics.quantiles(values, n=100, method="inclusive")[98]


@metric(7, "ticker-gcm", "1 ms ticker p99 under 8 GCM streams / idle p99", target=2, floor=4)
async def under_streams(settings: Settings) -> Outcome:
    """Lateness of a 1 ms ticker beside eight sessions fed back to back, against that of an idle loop.

    Beside the sessions, which leave the loop no time to sleep, the ticker is uneven: one in step with their
    turns would always come just after one.
    """
    seconds = 0.3 if settings.quick else 1.0
    idle: list[list[float]] = []
    busy: list[list[float]] = []
    async with ours.open_keystore(settings, "gcm") as keystore:
        for _ in range(settings.rounds):
            idle.append(await lateness(asyncio.ensure_future(asyncio.sleep(seconds))))
            streams = asyncio.gather(*(_feed(keystore, seconds) for _ in range(8)))
            busy.append(await lateness(streams, uneven=0.25))
    return Outcome(
        values=[percentile_99(b) / percentile_99(i) for b, i in zip(busy, idle, strict=True)],
        parts={
            "idle p50": statistics.median(chain.from_iterable(idle)) * 1e6,
            "idle p99": statistics.median(map(percentile_99, idle)) * 1e6,
            "8 streams p50": statistics.median(chain.from_iterable(busy)) * 1e6,
            "8 streams p99": statistics.median(map(percentile_99, busy)) * 1e6,
            "8 streams worst": max(map(max, busy)) * 1e6,
        },
    )


async def _feed(keystore: huks.Keystore, seconds: float) -> None:
    session = await keystore.initSession("gcm", ours.SESSIONS["gcm"])
    call, end = ours.options({}, bytes(SEGMENT_BYTES)), time.perf_counter() + seconds
    while time.perf_counter() < end:
        await keystore.updateSession(session.handle, call)
    await keystore.abortSession(session.handle, ours.options({}))


@metric(8, "stall-import", "longest stall in an RSA-4096 import / the bare check", target=0.03, floor=0.1)
async def under_import(settings: Settings) -> Outcome:
    """The latest tick while a key pair is imported, against the time that OpenSSL checks such a pair.

    The check holds the interpreter's lock, so no thread can hide it. The process that does it is
    started by a first import, reported apart.
    """
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_der_private_key,
    )

    key = rsa.generate_private_key(65537, 4096)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    options = _import_options(key)
    worst, bare = [], []
    async with ours.open_keystore(settings) as keystore:
        first = max(await lateness(asyncio.ensure_future(keystore.importKeyItem("rsa", options))))
        for _ in range(settings.rounds):
            start = time.perf_counter()
            load_der_private_key(der, None)
            bare.append(time.perf_counter() - start)
            worst.append(max(await lateness(asyncio.ensure_future(keystore.importKeyItem("rsa", options)))))
    return Outcome(
        values=[stall / check for stall, check in zip(worst, bare, strict=True)],
        parts={
            "bare check": statistics.median(bare) * 1e6,
            "longest stall": statistics.median(worst) * 1e6,
            "longest stall in the first import": first * 1e6,
        },
    )


def _import_options(key: "object") -> huks.HuksOptions:
    """A key pair in HUKS's own form: a header of sizes, then modulus and both exponents."""
    numbers = key.private_numbers()  # type: ignore[attr-defined]
    length = 4096 // 8
    modulus = numbers.public_numbers.n.to_bytes(length, "big")
    public = numbers.public_numbers.e.to_bytes(3, "big")
    private = numbers.d.to_bytes(length, "big")
    sizes = (huks.HuksKeyAlg.HUKS_ALG_RSA, 4096, len(modulus), len(public), len(private))
    header = b"".join(int(size).to_bytes(4, "little") for size in sizes)
    return ours.options(
        {
            Tag.HUKS_TAG_ALGORITHM: huks.HuksKeyAlg.HUKS_ALG_RSA,
            Tag.HUKS_TAG_KEY_SIZE: huks.HuksKeySize.HUKS_RSA_KEY_SIZE_4096,
            Tag.HUKS_TAG_PURPOSE: huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN,
            Tag.HUKS_TAG_DIGEST: huks.HuksKeyDigest.HUKS_DIGEST_SHA256,
            Tag.HUKS_TAG_PADDING: huks.HuksKeyPadding.HUKS_PADDING_PSS,
            Tag.HUKS_TAG_IMPORT_KEY_TYPE: huks.HuksImportKeyType.HUKS_KEY_TYPE_KEY_PAIR,
        },
        header + modulus + public + private,
    )
