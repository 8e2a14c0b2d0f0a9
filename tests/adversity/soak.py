"""A soak: 500 tasks with all kinds of operations for minutes; failures, growth of memory, latency.

    python -m tests.adversity.soak [minutes] [tasks] [sqlite|memory]

Prints a line each minute and a summary: operations, failures, the slope of resident memory after the first
minutes, and the 99th percentile of a small operation (open, update and finish of an HMAC of 100 bytes).
"""

import asyncio
import gc
import hashlib
import hmac
import os
import random
import sys
import tempfile
import time
from collections import Counter
from typing import Any

import huks_async as huks
from tests.adversity import support
from tests.adversity.support import data

WARM_UP = 0.2  # share of the time after which the memory's slope is measured
EXPECTED = {12000011, 12000017}  # keys that other tasks deleted, aliases that exist


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Soak:
    def __init__(self, keystore: huks.Keystore, end: float) -> None:
        self.keystore = keystore
        self.end = end
        self.done: Counter[str] = Counter()
        self.refused: Counter[int] = Counter()
        self.failures: list[str] = []
        self.small: Counter[int] = Counter()  # tenths of a millisecond; bounded, to leave the memory alone

    async def prepare(self) -> None:
        await self.keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
        await self.keystore.importKeyItem("mac", support.imported(support.HMAC_KEY, support.KEY))
        await self.keystore.generateKeyItem("ecc", support.ECC_KEY)
        await self.keystore.generateKeyItem("base", support.BASE_KEY)

    # --- operations; each checks its own result -----------------------------------------------------

    async def mac(self, rng: random.Random) -> None:
        text = rng.randbytes(100)
        began = time.perf_counter()
        handle = (await self.keystore.initSession("mac", support.HMAC)).handle
        await self.keystore.updateSession(handle, data(text[:50]))
        out = (await self.keystore.finishSession(handle, data(text[50:]))).outData
        self.small[min(int((time.perf_counter() - began) * 10_000), 100_000)] += 1
        assert out == hmac.digest(support.KEY, text, hashlib.sha256)

    async def there_and_back(self, rng: random.Random) -> None:
        text = bytes(rng.randrange(300_000))
        async with self.keystore.session("aes", support.GCM_ENCRYPT) as session:
            sealed = b"".join([part async for part in session.stream([text[:70_000], text[70_000:]])])
        async with self.keystore.session("aes", support.gcm_decrypt(sealed[-16:])) as session:
            out = b"".join([part async for part in session.stream([sealed[:-16]])])
        assert out == text

    async def spooled(self, rng: random.Random) -> None:
        text = bytes(2_500_000)
        async with self.keystore.session("aes", support.GCM_ENCRYPT) as session:
            sealed = b"".join([part async for part in session.stream([text])])
        async with self.keystore.session("aes", support.gcm_decrypt(sealed[-16:])) as session:
            size = sum([len(part) async for part in session.stream([sealed[:-16]])])
        assert size == len(text)

    async def sign(self, rng: random.Random) -> None:
        text = rng.randbytes(500)
        async with self.keystore.session("ecc", support.SIGN) as session:
            signature = await session.finish(text)
        async with self.keystore.session("ecc", support.VERIFY) as session:
            await session.update(text)
            await session.finish(signature)

    async def forged(self, rng: random.Random) -> None:
        async with self.keystore.session("aes", support.gcm_decrypt(bytes(16))) as session:
            try:
                await session.finish(rng.randbytes(100))
            except huks.BusinessError as error:
                assert error.code == 12000006
            else:
                raise AssertionError("a forgery was accepted")

    async def keys(self, rng: random.Random) -> None:
        alias = f"key {rng.randrange(200)}"
        await self.keystore.generateKeyItem(alias, support.HMAC_KEY)
        async with self.keystore.session(alias, support.HMAC) as session:
            await session.finish(b"x")
        if rng.random() < 0.5:
            await self.keystore.deleteKeyItem(alias, support.NONE)

    async def derive(self, rng: random.Random) -> None:
        handle = (await self.keystore.initSession("base", support.derive(2000))).handle
        await self.keystore.updateSession(handle, support.NONE)
        await self.keystore.finishSession(handle, support.keep_as(f"derived {rng.randrange(200)}"))

    async def abandon(self, rng: random.Random) -> None:
        """Left open: for the purge."""
        await self.keystore.initSession("aes", support.GCM_ENCRYPT)

    async def abort(self, rng: random.Random) -> None:
        handle = (await self.keystore.initSession("aes", support.CTR_ENCRYPT)).handle
        await self.keystore.updateSession(handle, data(bytes(1000)))
        await self.keystore.abortSession(handle, support.NONE)

    async def cancelled(self, rng: random.Random) -> None:
        async with self.keystore.session("mac", support.HMAC) as session:
            try:
                async with asyncio.timeout(rng.random() * 0.002):
                    while True:
                        await session.update(bytes(400_000))
            except TimeoutError:
                return

    async def task(self, number: int) -> None:
        rng = random.Random(number)
        operations: list[Any] = [self.mac] * 8 + [self.sign, self.forged, self.abort, self.abandon] * 2
        operations += [self.there_and_back, self.keys, self.derive, self.cancelled]
        await asyncio.sleep(rng.random() * 2)  # not all at once
        while time.monotonic() < self.end:
            operation = self.spooled if rng.random() < 0.003 else rng.choice(operations)
            try:
                await operation(rng)
            except huks.BusinessError as error:
                if error.code in EXPECTED:
                    self.refused[error.code] += 1
                else:
                    self.failures.append(f"{operation.__name__}: {error!r}")
            except Exception as error:
                self.failures.append(f"{operation.__name__}: {error!r}")
            self.done[operation.__name__] += 1
            await asyncio.sleep(rng.random() * 2)

    async def watch(self, began: float, samples: list[tuple[float, int]]) -> None:
        told = began
        while (now := time.monotonic()) < self.end:
            await asyncio.sleep(min(10, self.end - now))
            gc.collect()
            samples.append((time.monotonic() - began, resident()))
            if time.monotonic() - told >= 60:
                told = time.monotonic()
                statistics = self.keystore.statistics()
                print(
                    f"{told - began:.0f} s: {self.done.total()} operations, {len(self.failures)} failures, "
                    f"{samples[-1][1] / 1e6:.1f} MB, {statistics.open} open, purged {dict(statistics.purged)}, "
                    f"{len(os.listdir('/proc/self/fd'))} descriptors",
                    flush=True,
                )
                for failure in self.failures[:5]:
                    print("   ", failure, flush=True)


def slope(samples: list[tuple[float, int]]) -> float:
    """Bytes a minute, by least squares."""
    times, sizes = [t for t, _ in samples], [s for _, s in samples]
    mean_t, mean_s = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((t - mean_t) ** 2 for t in times) or 1.0
    return 60 * sum((t - mean_t) * (s - mean_s) for t, s in samples) / spread


def percentile(counts: Counter[int], share: float) -> float:
    """Milliseconds that this share of the calls took at most."""
    left = share * counts.total()
    for tenths in sorted(counts):
        left -= counts[tenths]
        if left <= 0:
            return (tenths + 1) / 10
    return 0.0


async def soak(minutes: float, tasks: int, address: str) -> bool:
    began = time.monotonic()
    samples: list[tuple[float, int]] = []
    # sessions that were abandoned end soon, so that memory comes to rest
    limits = huks.Limits(stale_after=5.0, max_idle=10.0)
    async with huks.Keystore.open(address, limits=limits) as keystore:
        run = Soak(keystore, began + minutes * 60)
        await run.prepare()
        async with asyncio.TaskGroup() as group:
            group.create_task(run.watch(began, samples))
            for number in range(tasks):
                group.create_task(run.task(number))
        statistics = keystore.statistics()
    late = [sample for sample in samples if sample[0] > minutes * 60 * WARM_UP]
    p50, p99, worst = (percentile(run.small, share) for share in (0.5, 0.99, 1.0))
    print(f"{run.done.total()} operations by {tasks} tasks in {minutes} min: {dict(run.done)}")
    print(f"expected refusals {dict(run.refused)}; failures: {len(run.failures)}")
    for failure in run.failures[:20]:
        print("   ", failure)
    print(f"sessions: {statistics}")
    print(f"resident memory {late[0][1] / 1e6:.1f} … {late[-1][1] / 1e6:.1f} MB after the warm-up, "
          f"slope {slope(late) / 1e3:+.1f} kB a minute")  # fmt: skip
    print(f"small operation: p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {worst:.1f} ms")
    return not run.failures


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    tasks = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    kind = sys.argv[3] if len(sys.argv) > 3 else "sqlite"
    with tempfile.TemporaryDirectory() as folder:
        address = "memory:" if kind == "memory" else f"sqlite:///{folder}/keys.db"
        right = asyncio.run(soak(minutes, tasks, address))
    sys.exit(not right)


if __name__ == "__main__":
    main()
