"""Small operations: what the API costs when there is next to nothing to encrypt or sign.

All of them are done on the event loop at once, so processor time is what they take.
"""

import os
import time

import huks_async as huks
from benchmarks import ours
from benchmarks.measuring import Case, Run, Samples, Settings, calls, interleave
from benchmarks.metric import Outcome, metric
from benchmarks.peers import raw, softhsm, tink

DATA = bytes(64)
_OURS = "huks_async init + finish"


async def _against(settings: Settings, key: str, peer: str, call: raw.Call) -> Samples:
    async with ours.open_keystore(settings, key) as keystore:
        cases = [Case(_OURS, ours.init_and_finish(keystore, key, DATA)), Case(peer, calls(call))]
        return await interleave(settings, cases, clock=time.thread_time)


@metric(1, "gcm-raw", "init + finish AES-256-GCM 64 B / raw Cipher context", target=0.8, floor=1.2)
async def against_context(settings: Settings) -> Outcome:
    """A whole HUKS session, options given as mappings, against a raw context that does the same.

    Both have their nonce given; on our side the session's options are checked against the key's
    every time. `fresh` is the same with options that the caller builds anew around a nonce of its own.
    """
    key, peer = os.urandom(32), "cryptography context"
    async with ours.open_keystore(settings, "gcm") as keystore:
        one_shot = raw.gcm_one_shot(key, ours.NONCE, ours.AAD, DATA)
        samples = await interleave(
            settings,
            [
                Case(_OURS, ours.init_and_finish(keystore, "gcm", DATA)),
                Case(peer, calls(raw.gcm_context(key, ours.NONCE, ours.AAD, DATA))),
                Case("huks_async, fresh options", _fresh(keystore)),
                Case("cryptography one-shot", calls(one_shot)),
            ],
            clock=time.thread_time,
        )
    return Outcome(values=samples.ratios(_OURS, peer), parts=samples.microseconds())


def _fresh(keystore: huks.Keystore) -> Run:
    *fixed, aad = ours.SESSIONS["gcm"]["properties"]
    fixed = [each for each in fixed if each["tag"] != huks.HuksTag.HUKS_TAG_NONCE]

    async def run(times: int) -> None:
        for _ in range(times):
            nonce = {"tag": huks.HuksTag.HUKS_TAG_NONCE, "value": os.urandom(12)}
            session = await keystore.initSession("gcm", {"properties": [*fixed, nonce, aad]})
            await keystore.finishSession(session.handle, {"properties": [], "inData": DATA})

    return run


@metric(2, "gcm-softhsm", "the same / python-pkcs11 + SoftHSM2 in one shot", target=0.33, floor=0.5)
async def against_softhsm(settings: Settings) -> Outcome:
    """A HUKS session against one `encrypt` on a kept PKCS#11 key."""
    with softhsm.session() as token:
        call = softhsm.gcm(token, ours.NONCE, ours.AAD, DATA)
        samples = await _against(settings, "gcm", softhsm.NAME, call)
    return Outcome(values=samples.ratios(_OURS, softhsm.NAME), parts=samples.microseconds())


@metric(3, "gcm-tink", "the same / tink with a kept primitive", target=2.5, floor=4)
async def against_tink(settings: Settings) -> Outcome:
    """A HUKS session against one `encrypt` of a stateless library, which also makes the nonce."""
    samples = await _against(settings, "gcm", tink.NAME, tink.gcm(ours.AAD, DATA))
    return Outcome(values=samples.ratios(_OURS, tink.NAME), parts=samples.microseconds())


@metric(4, "ecdsa-raw", "init + finish ECDSA P-256 sign / raw sign", target=1.15, floor=1.3)
async def sign_against_raw(settings: Settings) -> Outcome:
    """A HUKS signature of 64 bytes against `sign` of a kept key."""
    peer = "cryptography sign"
    samples = await _against(settings, "ecdsa", peer, raw.ecdsa(DATA))
    return Outcome(values=samples.ratios(_OURS, peer), parts=samples.microseconds())


@metric(18, "many-open", "init + finish with 10⁵ open sessions / with 10", target=1.1, floor=1.3)
async def with_many_open(settings: Settings) -> Outcome:
    """The same small operation, beside many and beside few sessions that are open and idle."""
    many = 20_000 if settings.quick else 100_000
    async with (
        ours.open_keystore(settings, "gcm") as full,
        ours.open_keystore(settings, "gcm") as empty,
    ):
        for keystore, count in ((full, many), (empty, 10)):
            for _ in range(count):
                await keystore.initSession("gcm", ours.SESSIONS["gcm"])
        samples = await interleave(
            settings,
            [
                Case(f"{many} open", ours.init_and_finish(full, "gcm", DATA)),
                Case("10 open", ours.init_and_finish(empty, "gcm", DATA)),
            ],
            clock=time.thread_time,
        )
    return Outcome(values=samples.ratios(f"{many} open", "10 open"), parts=samples.microseconds())
