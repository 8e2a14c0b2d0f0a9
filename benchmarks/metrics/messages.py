"""Messages in one call: what `seal` and `sign` add to the bare calls of the library below.

All of them are done on the event loop at once, so processor time is what they take.
"""

import os
import time
from collections.abc import Awaitable, Callable

import huks_async as huks
from benchmarks import ours
from benchmarks.measuring import Case, Run, Samples, Settings, calls, interleave
from benchmarks.metric import Outcome, metric
from benchmarks.peers import raw, tink

_SMALL, _LARGE = bytes(64), bytes(16 * 1024)
_SEAL, _SIGN = "huks_async seal", "huks_async sign"
_BARE = "cryptography AESGCM"


def _repeat(function: Callable[[], Awaitable[object]]) -> Run:
    async def run(times: int) -> None:
        for _ in range(times):
            await function()

    return run


def _seal(keystore: huks.Keystore, data: bytes) -> Run:
    seal = keystore.seal
    return _repeat(lambda: seal("gcm", data, ours.AAD))


async def _against_bare(settings: Settings, data: bytes) -> Samples:
    async with ours.open_keystore(settings, "gcm") as keystore:
        bare = raw.gcm_random_nonce(os.urandom(32), ours.AAD, data)
        cases = [Case(_SEAL, _seal(keystore, data)), Case(_BARE, calls(bare))]
        return await interleave(settings, cases, clock=time.thread_time)


@metric(19, "seal-tink", "seal 64 B / tink with a kept primitive", target=1.5, floor=2)
async def against_tink(settings: Settings) -> Outcome:
    """A message from a key by its alias, against one `encrypt` of a stateless library; both make the nonce."""
    async with ours.open_keystore(settings, "gcm") as keystore:
        cases = [Case(_SEAL, _seal(keystore, _SMALL)), Case(tink.NAME, calls(tink.gcm(ours.AAD, _SMALL)))]
        samples = await interleave(settings, cases, clock=time.thread_time)
    return Outcome(values=samples.ratios(_SEAL, tink.NAME), parts=samples.microseconds())


@metric(20, "seal-raw", "seal 64 B / AESGCM alone with a random nonce", target=4, floor=6)
async def small_against_bare(settings: Settings) -> Outcome:
    """A message from a key by its alias, against a kept cipher and `os.urandom`."""
    samples = await _against_bare(settings, _SMALL)
    return Outcome(values=samples.ratios(_SEAL, _BARE), parts=samples.microseconds())


@metric(21, "seal-raw-16k", "seal 16 KB / AESGCM alone with a random nonce", target=1.2, floor=2)
async def large_against_bare(settings: Settings) -> Outcome:
    """The same with data that takes longer than what is around it."""
    samples = await _against_bare(settings, _LARGE)
    return Outcome(values=samples.ratios(_SEAL, _BARE), parts=samples.microseconds())


@metric(22, "sign-raw", "sign P-256 / raw sign", target=1.1, floor=1.3)
async def sign(settings: Settings) -> Outcome:
    """A signature by a key's alias, against `sign` of a kept key."""
    peer = "cryptography sign"
    async with ours.open_keystore(settings, "ecdsa") as keystore:
        make = keystore.sign
        cases = [
            Case(_SIGN, _repeat(lambda: make("ecdsa", _SMALL))),
            Case(peer, calls(raw.ecdsa(_SMALL))),
        ]
        samples = await interleave(settings, cases, clock=time.thread_time)
    return Outcome(values=samples.ratios(_SIGN, peer), parts=samples.microseconds())
