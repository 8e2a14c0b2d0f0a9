"""A plain model of a keystore with sessions, and random steps that drive keystore and model alike.

Used by the quick property test and by the long run. Every answer is compared at once: outputs with the
`hmac` module and with AES of the library below, codes and reasons with what the model knows.
"""

import hashlib
import hmac
import random
from dataclasses import dataclass, field
from typing import Any

import anyio
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

import huks_async as huks
from huks_async.stores import MemoryStore
from tests.adversity import support

STALE = 60.0
MAX_IDLE = 500.0
MOST = 50
KINDS = ("gcm", "ctr", "mac", "sign")
OPTIONS = {
    "gcm": support.GCM_ENCRYPT,
    "ctr": support.CTR_ENCRYPT,
    "mac": support.HMAC,
    "sign": support.SIGN,
}
KEY_OPTIONS = {
    "gcm": support.AES_KEY,
    "ctr": support.AES_KEY,
    "mac": support.HMAC_KEY,
}
LIMITS = huks.Limits(max_sessions=MOST, stale_after=STALE, max_idle=MAX_IDLE)


class PlainRootKey(huks.RootKey):
    """A root key that outlives closing, for a store in memory that is opened again; wraps nothing."""

    key_id = "plain"

    async def wrap(self, key: bytes) -> bytes:
        return key

    async def unwrap(self, wrapped: bytes) -> bytes:
        return wrapped


@dataclass
class Modelled:
    """What the model knows of a session."""

    kind: str
    key: Any
    used: float
    fed: bytearray = field(default_factory=bytearray)
    out: bytearray = field(default_factory=bytearray)


class Machine:
    """Keystore and model, and the steps on both."""

    def __init__(self) -> None:
        self.clock = support.Clock()
        self.store = MemoryStore()
        self.keystore = self._new()
        self.keys: dict[str, Any] = {}
        self.sessions: dict[int, Modelled] = {}
        self.ended: dict[int, str] = {}
        self.counts = dict.fromkeys(("opened", "finished", "aborted", "failed", "purged"), 0)
        self.steps = 0
        self.aliases = {kind: f"key of {kind}" for kind in KINDS}

    def _new(self) -> huks.Keystore:
        return huks.Keystore.open(self.store, PlainRootKey(), monitor=False, clock=self.clock, limits=LIMITS)

    async def start(self) -> None:
        await self.keystore.aopen()
        for kind in KINDS:
            await self.replace_key(kind, 1)

    async def stop(self) -> None:
        await self.keystore.aclose()

    # --- the model -----------------------------------------------------------------------------------

    def _end(self, handle: int, why: str, count: str) -> None:
        del self.sessions[handle]
        self.ended[handle] = why
        self.counts[count] += 1
        if len(self.ended) > 2000:  # the keystore remembers a few thousand
            del self.ended[next(iter(self.ended))]

    def _expire(self) -> None:
        """Note sessions that have idled too long; the keystore notices at the next touch or its timer."""
        for handle, session in list(self.sessions.items()):
            if self.clock() - session.used > MAX_IDLE:
                self._end(handle, "timed out", "purged")

    def _expect_gone(self, error: huks.BusinessError, handle: int) -> None:
        assert error.code == 12000011, error
        assert self.ended.get(handle, "never existed") in error.message, (
            error.message,
            self.ended.get(handle),
        )

    # --- steps ---------------------------------------------------------------------------------------

    async def replace_key(self, kind: str, seed: int) -> None:
        alias = self.aliases[kind]
        if kind == "sign":
            await self.keystore.generateKeyItem(alias, support.ECC_KEY)
            public = (await self.keystore.exportKeyItem(alias, support.NONE)).outData
            self.keys[kind] = load_der_public_key(public)
        else:
            key = hashlib.sha256(b"%d" % seed).digest()
            await self.keystore.importKeyItem(alias, support.imported(KEY_OPTIONS[kind], key))
            self.keys[kind] = key

    async def delete_key(self, kind: str) -> None:
        try:
            await self.keystore.deleteKeyItem(self.aliases[kind], support.NONE)
        except huks.BusinessError as error:
            assert error.code == 12000011
            assert kind not in self.keys
        else:
            del self.keys[kind]

    async def init(self, kind: str) -> None:
        self._expire()
        full = len(self.sessions) >= MOST
        try:
            handle = (await self.keystore.initSession(self.aliases[kind], OPTIONS[kind])).handle
        except huks.BusinessError as error:
            if kind not in self.keys:
                assert error.code == 12000011
            else:
                assert full
                assert error.code == 12000010
                assert not any(self.clock() - s.used > STALE for s in self.sessions.values())
            return
        assert kind in self.keys
        assert handle not in self.sessions
        if full:
            # the one that was used longest ago made room, if the keystore had not ended idle ones before
            oldest = next(iter(self.sessions))
            assert self.clock() - self.sessions[oldest].used > STALE
            self._end(oldest, "purged to make room", "purged")
        self.sessions[handle] = Modelled(kind, self.keys[kind], self.clock())
        self.counts["opened"] += 1

    async def update(self, handle: int, piece: bytes) -> None:
        self._expire()
        try:
            out = (await self.keystore.updateSession(handle, support.data(piece))).outData
        except huks.BusinessError as error:
            assert handle not in self.sessions
            self._expect_gone(error, handle)
            return
        # to the end: of sessions used at one reading of the clock, the order of use tells the oldest
        session = self.sessions[handle] = self.sessions.pop(handle)
        session.used = self.clock()
        session.fed += piece
        session.out += out

    async def finish(self, handle: int, piece: bytes) -> None:
        self._expire()
        try:
            out = (await self.keystore.finishSession(handle, support.data(piece))).outData
        except huks.BusinessError as error:
            assert handle not in self.sessions
            self._expect_gone(error, handle)
            return
        session = self.sessions[handle]
        self._check(session, bytes(session.fed + piece), bytes(session.out + out))
        self._end(handle, "finished", "finished")

    def _check(self, session: Modelled, text: bytes, out: bytes) -> None:
        if session.kind == "gcm":
            assert out == AESGCM(session.key).encrypt(support.NONCE, text, None)
        elif session.kind == "ctr":
            encryptor = Cipher(algorithms.AES(session.key), modes.CTR(support.IV)).encryptor()
            assert out == encryptor.update(text) + encryptor.finalize()
        elif session.kind == "mac":
            assert out == hmac.digest(session.key, text, hashlib.sha256)
        else:
            try:
                session.key.verify(out, text, ec.ECDSA(SHA256()))
            except InvalidSignature:
                raise AssertionError("the signature is wrong") from None

    async def abort(self, handle: int) -> None:
        self._expire()
        await self.keystore.abortSession(handle, support.NONE)
        if handle in self.sessions:
            self._end(handle, "aborted", "aborted")

    async def cancel(self, handle: int, last: bool) -> None:
        """Cancel a call that is about to begin."""
        self._expire()
        self.keystore._state.dispatcher.turn_ends = 0.0
        call = self.keystore.finishSession if last else self.keystore.updateSession
        with anyio.CancelScope() as scope:
            scope.cancel()
            try:
                await call(handle, support.data(b"lost"))
            except huks.BusinessError as error:
                assert handle not in self.sessions
                self._expect_gone(error, handle)
                return
        assert scope.cancelled_caught
        # a call on one that is gone ends in its error, or is cancelled in the turn that it gives to other tasks
        if handle in self.sessions:
            self._end(handle, "its call was cancelled", "failed")

    async def purge(self) -> None:
        self._expire()
        stale = [h for h, s in self.sessions.items() if self.clock() - s.used > STALE]
        ended = await self.keystore.purge_stale_sessions()
        # those beyond the idle limit count as purged by this call where no timer came before
        assert ended >= len(stale)
        for handle in stale:
            self._end(handle, "purged as stale", "purged")

    async def advance(self, seconds: float) -> None:
        self.clock.now += seconds
        self._expire()
        # what the timer does; it sleeps in real time, which this clock is not
        self.keystore._state.table.purge_stale(1000, MAX_IDLE, "timed out")

    async def reopen(self) -> None:
        await self.keystore.aclose()
        for handle in list(self.sessions):
            self._end(handle, "never existed", "aborted")
        self.ended.clear()
        self.counts = dict.fromkeys(self.counts, 0)
        self.keystore = self._new()
        await self.keystore.aopen()

    def check(self) -> None:
        """Compare the whole state."""
        self._expire()
        table = self.keystore._state.table
        assert set(table.sessions) == set(self.sessions), (len(table), len(self.sessions))
        statistics = self.keystore.statistics()
        now = self.clock()
        assert statistics.open == len(self.sessions)
        assert statistics.busy == 0
        assert statistics.stale == sum(now - s.used > STALE for s in self.sessions.values())
        assert statistics.opened == self.counts["opened"]
        assert statistics.finished == self.counts["finished"]
        assert statistics.aborted == self.counts["aborted"]
        assert statistics.failed == self.counts["failed"]
        assert sum(statistics.purged.values()) == self.counts["purged"]
        assert statistics.bytes_held == sum(s.held for s in table.sessions.values())

    async def random_step(self, rng: random.Random) -> None:
        """One step, as a service would weigh them."""
        self.steps += 1
        dice = rng.random()
        handle = 0
        if self.sessions:
            handle = rng.choice(list(self.sessions)) if len(self.sessions) < 8 else self._some(rng)
        if rng.random() < 0.02:
            handle = next(iter(self.ended), 12345)
        if dice < 0.25:
            await self.init(KINDS[rng.randrange(4)])
        elif dice < 0.60:
            await self.update(handle, rng.randbytes(rng.randrange(40)))
        elif dice < 0.78:
            await self.finish(handle, rng.randbytes(rng.randrange(40)))
        elif dice < 0.85:
            await self.abort(handle)
        elif dice < 0.89:
            await self.cancel(handle, rng.random() < 0.5)
        elif dice < 0.95:
            await self.advance(rng.choice((0.1, 1.0, 5.0, 30.0, 61.0)))
        elif dice < 0.96:
            await self.advance(rng.choice((100.0, 400.0, 600.0)))
        elif dice < 0.97:
            await self.purge()
        elif dice < 0.985:
            await self.replace_key(KINDS[rng.randrange(4)], rng.randrange(1000))
        elif dice < 0.999:
            await self.delete_key(KINDS[rng.randrange(4)])
        else:
            await self.reopen()

    def _some(self, rng: random.Random) -> int:
        handles = list(self.sessions)
        return handles[rng.randrange(len(handles))]
