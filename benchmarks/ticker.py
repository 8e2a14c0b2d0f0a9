"""How long the event loop is held up while heavy work runs: a ticker of 1 ms beside the keystore.

Three calls run at once: the encryption of 100 MB in segments of 100 KB, the generation of an RSA key of
4096 bits, and PBKDF2 with a million iterations; again and again until the time is over. A task on the same
loop sleeps for a millisecond and notes how late it wakes.

    python benchmarks/ticker.py [seconds] [asyncio|uvloop|trio] [idle|load|large]

`idle` is the machine alone; `large` adds calls with segments of 16 MB of AES-GCM, SM4 and HMAC.
"""

import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

import huks_async as huks
from huks_async import HuksTag as T

MB = 1_000_000


def options(*pairs: tuple[int, Any]) -> huks.HuksOptions:
    return huks.HuksOptions([huks.HuksParam(tag, value) for tag, value in pairs])


AES = (
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_AES),
    (T.HUKS_TAG_KEY_SIZE, 256),
    (T.HUKS_TAG_BLOCK_MODE, huks.HuksCipherMode.HUKS_MODE_GCM),
    (T.HUKS_TAG_PADDING, huks.HuksKeyPadding.HUKS_PADDING_NONE),
)
SM4 = (
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_SM4),
    (T.HUKS_TAG_KEY_SIZE, 128),
    (T.HUKS_TAG_BLOCK_MODE, huks.HuksCipherMode.HUKS_MODE_CTR),
    (T.HUKS_TAG_PADDING, huks.HuksKeyPadding.HUKS_PADDING_NONE),
)
HMAC = (
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_HMAC),
    (T.HUKS_TAG_KEY_SIZE, 256),
    (T.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA512),
    (T.HUKS_TAG_PURPOSE, huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_MAC),
)
RSA = options(
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_RSA),
    (T.HUKS_TAG_KEY_SIZE, 4096),
    (T.HUKS_TAG_PURPOSE, huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN),
    (T.HUKS_TAG_PADDING, huks.HuksKeyPadding.HUKS_PADDING_PSS),
    (T.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA256),
)
BASE = options(
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_AES),
    (T.HUKS_TAG_KEY_SIZE, 256),
    (T.HUKS_TAG_PURPOSE, huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_DERIVE),
    (T.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA256),
)
DERIVE = options(
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_PBKDF2),
    (T.HUKS_TAG_PURPOSE, huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_DERIVE),
    (T.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA256),
    (T.HUKS_TAG_DERIVE_KEY_SIZE, 32),
    (T.HUKS_TAG_ITERATION, 1_000_000),
    (T.HUKS_TAG_SALT, b"sixteen bytes of"),
)
ENCRYPT = (T.HUKS_TAG_PURPOSE, huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT)


async def feed(keystore: huks.Keystore, alias: str, session_options: Any, size: int, segment: int) -> None:
    chunk = bytes(segment)
    async with keystore.session(alias, session_options) as session:
        for _ in range(size // segment):
            await session.update(chunk)
        await session.finish()


async def encrypt(keystore: huks.Keystore) -> None:
    await feed(keystore, "aes", options(*AES, ENCRYPT), 100 * MB, 100 * 1024)


async def generate(keystore: huks.Keystore) -> None:
    await keystore.generateKeyItem("rsa", RSA)
    # the fresh key is used, and so loaded
    async with keystore.session("rsa", RSA) as session:
        await session.finish(b"message")


async def derive(keystore: huks.Keystore) -> None:
    async with keystore.session("base", DERIVE) as session:
        await session.update(b"")
        await session.finish()


async def large(keystore: huks.Keystore) -> None:
    iv = (T.HUKS_TAG_IV, bytes(16))
    await feed(keystore, "aes", options(*AES, ENCRYPT), 32 * MB, 16 * MB)
    await feed(keystore, "sm4", options(*SM4, ENCRYPT, iv), 16 * MB, 16 * MB)
    await feed(keystore, "hmac", options(*HMAC), 32 * MB, 16 * MB)


async def again(
    keystore: huks.Keystore,
    work: Callable[[huks.Keystore], Awaitable[None]],
    end: float,
    done: dict[str, int],
) -> None:
    while time.perf_counter() < end:
        await work(keystore)
        done[work.__name__] = done.get(work.__name__, 0) + 1


async def tick(end: float, late: list[float]) -> None:
    while (before := time.perf_counter()) < end:
        await anyio.sleep(0.001)
        late.append(time.perf_counter() - before - 0.001)


async def measure(seconds: float, works: list[Any]) -> tuple[list[float], dict[str, int]]:
    late: list[float] = []
    done: dict[str, int] = {}
    async with huks.Keystore.open("memory:") as keystore:
        both = (T.HUKS_TAG_PURPOSE, 3)
        await keystore.generateKeyItem("aes", options(*AES, both))
        await keystore.generateKeyItem("sm4", options(*SM4, both))
        await keystore.generateKeyItem("hmac", options(*HMAC))
        await keystore.generateKeyItem("base", BASE)
        end = time.perf_counter() + seconds
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick, end, late)
            for work in works:
                tasks.start_soon(again, keystore, work, end, done)
    return late, done


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    loop = sys.argv[2] if len(sys.argv) > 2 else "asyncio"
    mode = sys.argv[3] if len(sys.argv) > 3 else "load"
    works = {"idle": [], "load": [encrypt, generate, derive], "large": [encrypt, generate, derive, large]}[
        mode
    ]
    backend, backend_options = ("asyncio", {"use_uvloop": True}) if loop == "uvloop" else (loop, {})
    late, done = anyio.run(measure, seconds, works, backend=backend, backend_options=backend_options)
    late.sort()
    worst = late[-1]
    p50, p99, p999 = (late[min(int(len(late) * part), len(late) - 1)] for part in (0.5, 0.99, 0.999))
    print(
        f"{loop} {mode}: {len(late)} ticks; late p50 {p50 * 1e3:.2f}, p99 {p99 * 1e3:.2f}, "
        f"p99.9 {p999 * 1e3:.2f}, worst {worst * 1e3:.2f} ms; done {done}"
    )


if __name__ == "__main__":
    main()
