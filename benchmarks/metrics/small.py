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
from huks_async import HuksTag as Tag
from huks_async.testing import EverybodyAuthenticator

DATA = bytes(64)
_OURS = "huks_async init + finish"
_USER = 100
_BOUND: dict[int, int] = {
    Tag.HUKS_TAG_USER_AUTH_TYPE: huks.HuksUserAuthType.HUKS_USER_AUTH_TYPE_PIN,
    Tag.HUKS_TAG_KEY_AUTH_ACCESS_TYPE: huks.HuksAuthAccessType.HUKS_AUTH_ACCESS_INVALID_CLEAR_PASSWORD,
    Tag.HUKS_TAG_CHALLENGE_TYPE: huks.HuksChallengeType.HUKS_CHALLENGE_TYPE_NORMAL,
}


async def _against(settings: Settings, key: str, peer: str, call: raw.Call) -> Samples:
    async with ours.open_keystore(settings, key) as keystore:
        cases = [Case(_OURS, ours.init_and_finish(keystore, key, DATA)), Case(peer, calls(call))]
        return await interleave(settings, cases, clock=time.thread_time)


@metric(1, "gcm-raw", "init + finish AES-256-GCM 64 B / raw Cipher context", target=0.8, floor=1.2)
async def against_context(settings: Settings) -> Outcome:
    """A whole HUKS session against a raw context that does the same.

    Both have their nonce given; on our side the session's options are checked against the key's
    every time. `fresh` is the same with options that the caller builds anew around a nonce of its own,
    `mappings` with plain mappings in place of objects, `repeated` with all parameters in both calls, as programs for
    devices have them.
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
                Case("huks_async, mappings", _of_mappings(keystore)),
                Case("huks_async, repeated options", _repeating(keystore)),
                Case("cryptography one-shot", calls(one_shot)),
            ],
            clock=time.thread_time,
        )
    return Outcome(values=samples.ratios(_OURS, peer), parts=samples.microseconds())


def _fresh(keystore: huks.Keystore) -> Run:
    *fixed, aad = ours.SESSIONS["gcm"].properties
    fixed = [each for each in fixed if each.tag != huks.HuksTag.HUKS_TAG_NONCE]

    async def run(times: int) -> None:
        for _ in range(times):
            nonce = huks.HuksParam(huks.HuksTag.HUKS_TAG_NONCE, os.urandom(12))
            session = await keystore.initSession("gcm", huks.HuksOptions([*fixed, nonce, aad]))
            await keystore.finishSession(session.handle, huks.HuksOptions([], DATA))

    return run


def _repeating(keystore: huks.Keystore) -> Run:
    same = huks.HuksOptions(ours.SESSIONS["gcm"].properties, DATA)

    async def run(times: int) -> None:
        for _ in range(times):
            session = await keystore.initSession("gcm", same)
            await keystore.finishSession(session.handle, same)

    return run


def _of_mappings(keystore: huks.Keystore) -> Run:
    begin, end = ours.as_mappings(ours.SESSIONS["gcm"]), ours.as_mappings(ours.options({}, DATA))

    async def run(times: int) -> None:
        for _ in range(times):
            session = await keystore.initSession("gcm", begin)
            await keystore.finishSession(session.handle, end)

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


@metric(
    18,
    "many-open",
    "init + finish with 10⁵ open sessions / with 10",
    quick_title="init + finish with 2·10⁴ open sessions / with 10",
    target=1.1,
    floor=1.3,
)
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


@metric(27, "bound", "init + finish with a bound key, token included / without", target=2, floor=3)
async def bound_key(settings: Settings) -> Outcome:
    """The same small operation on a key that asks for a user, whose token is there when it is needed.

    Making the token is the authenticator's work and does not count. What counts is 32 random bytes of challenge,
    one HMAC-SHA256 and one AES-GCM over the token, and the documented comparisons.
    """
    authenticator = EverybodyAuthenticator()
    authenticator.enroll(_USER)
    begin, end = ours.SESSIONS["gcm"], ours.options({}, DATA)
    bound = ours.options(_BOUND).properties
    async with ours.open_keystore(settings, "gcm", authenticator=authenticator) as keystore:
        await keystore.generateKeyItem("bound", huks.HuksOptions([*ours.KEYS["gcm"].properties, *bound]))
        init, finish, clock = keystore.initSession, keystore.finishSession, time.thread_time

        async def run(times: int) -> float:
            spent = 0.0
            for done in range(0, times, 100):
                start = clock()
                sessions = [await init("bound", begin) for _ in range(min(100, times - done))]
                spent += clock() - start
                tokens = [await keystore.authenticate(session.challenge, "any") for session in sessions]
                start = clock()
                for session, token in zip(sessions, tokens, strict=True):
                    await finish(session.handle, end, token)
                spent += clock() - start
            return spent

        free = Case(_OURS, ours.init_and_finish(keystore, "gcm", DATA))
        samples = await interleave(settings, [Case("bound", run), free], clock=clock)
    return Outcome(values=samples.ratios("bound", _OURS), parts=samples.microseconds())
