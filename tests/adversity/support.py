"""What the tests under hard conditions share: options of the usual operations, a look at resources."""

import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import huks_async as huks
from huks_async import HuksTag as T
from tests.threads import threads_begun

PURPOSE = huks.HuksKeyPurpose
KEY = bytes(range(32))
NONCE = bytes(12)
IV = bytes(16)


def options(*pairs: tuple[int, Any], data: bytes | None = None) -> huks.HuksOptions:
    return huks.HuksOptions([huks.HuksParam(tag, value) for tag, value in pairs], data)


_GCM = (
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_AES),
    (T.HUKS_TAG_KEY_SIZE, 256),
    (T.HUKS_TAG_BLOCK_MODE, huks.HuksCipherMode.HUKS_MODE_GCM),
    (T.HUKS_TAG_PADDING, huks.HuksKeyPadding.HUKS_PADDING_NONE),
)
_CTR = (
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_AES),
    (T.HUKS_TAG_KEY_SIZE, 256),
    (T.HUKS_TAG_BLOCK_MODE, huks.HuksCipherMode.HUKS_MODE_CTR),
    (T.HUKS_TAG_PADDING, huks.HuksKeyPadding.HUKS_PADDING_NONE),
)
_HMAC = (
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_HMAC),
    (T.HUKS_TAG_KEY_SIZE, 256),
    (T.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA256),
    (T.HUKS_TAG_PURPOSE, PURPOSE.HUKS_KEY_PURPOSE_MAC),
)
_ECC = (
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_ECC),
    (T.HUKS_TAG_KEY_SIZE, 256),
    (T.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA256),
)
_BOTH = (T.HUKS_TAG_PURPOSE, PURPOSE.HUKS_KEY_PURPOSE_ENCRYPT | PURPOSE.HUKS_KEY_PURPOSE_DECRYPT)
_ENCRYPT = (T.HUKS_TAG_PURPOSE, PURPOSE.HUKS_KEY_PURPOSE_ENCRYPT)
_DECRYPT = (T.HUKS_TAG_PURPOSE, PURPOSE.HUKS_KEY_PURPOSE_DECRYPT)

AES_KEY = options(*_GCM[:2], _BOTH)
GCM_ENCRYPT = options(*_GCM, _ENCRYPT, (T.HUKS_TAG_NONCE, NONCE))
CTR_ENCRYPT = options(*_CTR, _ENCRYPT, (T.HUKS_TAG_IV, IV))
HMAC_KEY = HMAC = options(*_HMAC)
ECC_KEY = options(
    *_ECC, (T.HUKS_TAG_PURPOSE, PURPOSE.HUKS_KEY_PURPOSE_SIGN | PURPOSE.HUKS_KEY_PURPOSE_VERIFY)
)
SIGN = options(*_ECC, (T.HUKS_TAG_PURPOSE, PURPOSE.HUKS_KEY_PURPOSE_SIGN))
VERIFY = options(*_ECC, (T.HUKS_TAG_PURPOSE, PURPOSE.HUKS_KEY_PURPOSE_VERIFY))
BASE_KEY = options(
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_AES),
    (T.HUKS_TAG_KEY_SIZE, 256),
    (T.HUKS_TAG_PURPOSE, PURPOSE.HUKS_KEY_PURPOSE_DERIVE),
    (T.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA256),
)
RSA_KEY = options(
    (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_RSA),
    (T.HUKS_TAG_KEY_SIZE, 2048),
    (T.HUKS_TAG_PURPOSE, PURPOSE.HUKS_KEY_PURPOSE_SIGN),
    (T.HUKS_TAG_PADDING, huks.HuksKeyPadding.HUKS_PADDING_PSS),
    (T.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA256),
)
NONE = options()


def gcm_decrypt(tag: bytes) -> huks.HuksOptions:
    return options(*_GCM, _DECRYPT, (T.HUKS_TAG_NONCE, NONCE), (T.HUKS_TAG_AE_TAG, tag))


def derive(iterations: int) -> huks.HuksOptions:
    return options(
        (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_PBKDF2),
        (T.HUKS_TAG_PURPOSE, PURPOSE.HUKS_KEY_PURPOSE_DERIVE),
        (T.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA256),
        (T.HUKS_TAG_DERIVE_KEY_SIZE, 32),
        (T.HUKS_TAG_ITERATION, iterations),
        (T.HUKS_TAG_SALT, b"sixteen bytes of"),
    )


def keep_as(alias: str) -> huks.HuksOptions:
    """Parameters of a finish whose result becomes an AES key."""
    return options(
        (T.HUKS_TAG_DERIVED_AGREED_KEY_STORAGE_FLAG, huks.HuksKeyStorageType.HUKS_STORAGE_ONLY_USED_IN_HUKS),
        (T.HUKS_TAG_KEY_ALIAS, alias.encode()),
        (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_AES),
        (T.HUKS_TAG_KEY_SIZE, 256),
        _BOTH,
    )


def data(content: bytes) -> huks.HuksOptions:
    return huks.HuksOptions([], content)


def imported(key_options: huks.HuksOptions, key: bytes) -> huks.HuksOptions:
    """The same parameters with key bytes, for `importKeyItem`."""
    return huks.HuksOptions(key_options.properties, key)


@asynccontextmanager
async def workers_held(keystore: huks.Keystore) -> AsyncIterator[None]:
    """Let no thread of a keystore do anything in this block: a call that needs one stays under way as long."""
    pool, go_on = keystore._state.pool, threading.Event()
    held = [pool.start(go_on.wait, 120) for _ in range(pool.size)]
    try:
        yield
    finally:
        go_on.set()
        for job in held:
            await job.outcome(shield=True)


class Clock:
    """A clock that goes only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def threads() -> list[str]:
    """Names of the library's threads that the test has begun, and that run."""
    return sorted(thread.name for thread in threads_begun())


def descriptors() -> dict[int, str]:
    """Open file descriptors of this process, and what they lead to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


def opened_since(before: dict[int, str], part: str) -> dict[int, str]:
    """Descriptors that were not open before, of files whose path has this part."""
    return {number: to for number, to in descriptors().items() if number not in before and part in to}


def wait_until(condition: Any, what: str) -> None:
    """Wait, blocking, for what happens outside of the event loop."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true in 120 s"
        time.sleep(0.002)
