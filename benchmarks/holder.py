"""A process that holds many sessions: prints resident bytes of each, and the share given back by a purge.

Run by the metrics of memory: `python -m benchmarks.holder idle|fed|raw COUNT FOLDER`.
"""

import array
import asyncio
import gc
import os
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import huks_async as huks
from benchmarks import ours
from benchmarks.measuring import Settings

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE


async def hold_sessions(count: int, folder: str, *, fed: bool) -> None:
    """Open sessions, feed each once or not at all, purge them."""
    settings = Settings(quick=False, rounds=0, slice_seconds=0, folder=folder)
    limits = huks.Limits(stale_after=0)
    # no monitor: where the machine itself is short of memory, it would purge before its turn
    async with ours.open_keystore(settings, "gcm", limits=limits, monitor=False) as keystore:
        handles = array.array("q", [0]) * count
        call = ours.options({}, bytes(64))

        async def hold(first: int, last: int) -> None:
            for position in range(first, last):
                session = await keystore.initSession("gcm", ours.SESSIONS["gcm"])
                handles[position] = session.handle
                if fed:
                    await keystore.updateSession(session.handle, call)

        # what the first sessions load and warm up is not theirs
        await hold(0, 1000)
        await keystore.purge_stale_sessions()
        gc.collect()
        before = resident()
        await hold(0, count)
        gc.collect()
        full = resident()
        await asyncio.sleep(0.001)
        ended = await keystore.purge_stale_sessions()
        assert ended == count, f"{ended} sessions were purged, {count} were open"
        print((full - before) / count, (full - resident()) / (full - before))


def hold_contexts(count: int) -> None:
    """Make raw contexts in the same state as a fed session: with additional data, waiting for more; one key is kept."""

    def context() -> object:
        encryptor = Cipher(key, modes.GCM(ours.NONCE)).encryptor()
        encryptor.authenticate_additional_data(ours.AAD)
        return encryptor

    key = algorithms.AES(os.urandom(32))
    kept = [context() for _ in range(1000)]
    kept.clear()
    gc.collect()
    before = resident()
    kept = [context() for _ in range(count)]
    gc.collect()
    print((resident() - before) / len(kept))


if __name__ == "__main__":
    what, number = sys.argv[1], int(sys.argv[2])
    if what == "raw":
        hold_contexts(number)
    else:
        asyncio.run(hold_sessions(number, sys.argv[3], fed=what == "fed"))
