"""A million sessions are purged, and ten thousand of their callers ask what became of theirs.

    python -m tests.adversity.purged_fates [SESSIONS] [ASKED]

Prints how many were told the right fate, bytes remembered for each, and the longest question.
"""

import array
import asyncio
import gc
import os
import random
import sys
import time

import huks_async as huks
from tests.keystore.support import AES_CBC, ENCRYPT, options

SESSION = options(**{**AES_CBC, "PURPOSE": ENCRYPT, "IV": bytes(16)})
_BATCH = 20_000


def resident() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def main(sessions: int, asked: int) -> int:
    """Returns how many were told something wrong."""
    limits = huks.Limits(stale_after=0)
    async with huks.Keystore.open("memory:", limits=limits, monitor=False) as keystore:
        await keystore.generateKeyItem("key", options(**AES_CBC))

        async def purge_some(handles: "array.array[int]", first: int, count: int) -> None:
            for place in range(first, first + count):
                handles[place] = (await keystore.initSession("key", SESSION)).handle
            await asyncio.sleep(0.001)
            assert await keystore.purge_stale_sessions() == count

        handles = array.array("q", [1]) * sessions  # this program's own, and resident from here on
        await purge_some(handles, 0, _BATCH)  # what the first ones warm up is not theirs
        gc.collect()
        before = resident()
        for first in range(0, sessions, _BATCH):
            await purge_some(handles, first, min(_BATCH, sessions - first))
        gc.collect()
        remembered = resident() - before
        wrong, longest = 0, 0.0
        for handle in random.sample(handles, asked):
            start = time.thread_time()
            try:
                await keystore.updateSession(handle, {"inData": b""})
            except huks.BusinessError as error:
                right = (
                    error.code == 12000011 and "it was purged as stale by the service after" in error.message
                )
            else:
                right = False
            longest = max(longest, time.thread_time() - start)
            wrong += not right
            await asyncio.sleep(0)
        print(
            f"{asked - wrong} of {asked} told; {remembered / sessions:.1f} bytes resident for each of "
            f"{sessions} purged sessions; longest question {longest * 1e3:.2f} ms of processor time"
        )
        return wrong


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(min(1, asyncio.run(main(*(numbers + [1_000_000, 10_000][len(numbers) :])))))
