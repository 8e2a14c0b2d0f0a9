"""Codes of an authenticator app: RFC 6238's own, drifting clocks, each code once, guesses slowed down."""

import asyncio
import base64
import hmac
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from huks_async import BusinessError, Keystore
from huks_async.access import Lockout, LockoutClock, TotpAuthenticator
from huks_async.access.vault import change
from tests.access.support import FACE, FINGERPRINT, GCM_KEY, PIN_KEY, finish, open_session, options, refused

pytestmark = pytest.mark.asyncio

SECRET = b"12345678901234567890"
# RFC 6238, appendix B: digest, its secret, and the codes at these moments
MOMENTS = (59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000)
PUBLISHED = {
    "sha1": (20, "94287082 07081804 14050471 89005924 69279037 65353130"),
    "sha256": (32, "46119246 68084774 67062674 91819424 90698825 77737706"),
    "sha512": (64, "90693936 25091201 99943326 93441116 38618901 47863826"),
}


class Now:
    """A wall clock, and a machine's, in the test's hands."""

    def __init__(self, wall: float = 1_000_000_000.0) -> None:
        self.wall = wall

    def __call__(self) -> float:
        return self.wall

    def authenticator(self, **values: Any) -> TotpAuthenticator:
        """An authenticator by this clock."""
        clock = LockoutClock(boot=b"1" * 16, since_boot=self, wall=self)
        return TotpAuthenticator(clock=self, lockout=Lockout(clock=clock), **values)


def code_at(moment: float, secret: bytes = SECRET, digits: int = 6, step: int = 30) -> str:
    """A code, by the text of RFC 4226 and 6238 and the standard library alone."""
    import hashlib
    import hmac

    mac = hmac.new(secret, (int(moment) // step).to_bytes(8, "big"), hashlib.sha1).digest()
    start = mac[-1] & 15
    number = int.from_bytes(mac[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"


async def show(keystore: Keystore, code: str) -> str:
    """What comes of a code: right, wrong, used or locked."""
    try:
        await keystore.authenticate(bytes(32), code)
    except BusinessError as error:
        assert error.code == 12000008, error.message
        if error.data is not None:
            return "locked"
        return "used" if "used already" in error.message else "wrong"
    return "right"


async def enroll(totp: TotpAuthenticator, keystore: Keystore, secret: bytes | None = SECRET) -> str:
    """User 100 gets a secret."""
    return await totp.enroll(keystore, 100, account="ana@example.org", issuer="Vault", secret=secret)


@pytest.mark.parametrize("digest", PUBLISHED)
async def test_the_published_codes(digest: str) -> None:
    """All 18 of RFC 6238, one after the other, as time goes on."""
    size, codes = PUBLISHED[digest]
    now = Now()
    totp = now.authenticator(digits=8, digest=digest, drift=0)
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        await enroll(totp, keystore, (SECRET * 4)[:size])
        for now.wall, code in zip(MOMENTS, codes.split(), strict=True):
            assert await show(keystore, code) == "right"
            assert await show(keystore, code) == "used"


async def test_a_key_asks_for_a_code() -> None:
    """From the address for the app to a session; a cleared secret makes the key void."""
    now = Now()
    totp = now.authenticator()
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        await refused(keystore.generateKeyItem("key", options(**GCM_KEY, **PIN_KEY)), 12000013)
        address = urlsplit(await enroll(totp, keystore, None))
        assert (address.scheme, address.netloc, address.path) == (
            "otpauth",
            "totp",
            "/Vault:ana%40example.org",
        )
        query = parse_qs(address.query)
        assert query["issuer"] == ["Vault"]
        assert query["digits"] == ["6"]
        assert query["period"] == ["30"]
        secret = base64.b32decode(query["secret"][0])
        assert len(secret) == 20
        await refused(enroll(totp, keystore), 12000017)
        await keystore.generateKeyItem("key", options(**GCM_KEY, **PIN_KEY))
        session = await open_session(keystore)
        token = await keystore.authenticate(session.challenge, code_at(now.wall, secret))
        await finish(keystore, session, token)
        other = await open_session(keystore)
        await refused(finish(keystore, other, token), 12000008)
        await totp.clear(keystore, 100)
        await refused(totp.clear(keystore, 100), 12000013)
        await refused(keystore.authenticate(bytes(32), code_at(now.wall, secret)), 12000013)
        await enroll(totp, keystore)
        now.wall += 60
        session = await open_session(keystore)
        token = await keystore.authenticate(session.challenge, code_at(now.wall))
        await refused(finish(keystore, session, token), 12000007)


@pytest.mark.parametrize("drift", [0, 1, 3])
async def test_clocks_that_drift(drift: int) -> None:
    """Codes of so many steps around now are right, the next ones on either side are wrong."""
    for steps in range(-5, 6):
        now = Now()
        totp = now.authenticator(drift=drift)
        async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
            await enroll(totp, keystore)
            expected = "right" if abs(steps) <= drift else "wrong"
            assert await show(keystore, code_at(now.wall + 30 * steps)) == expected


async def test_each_code_once_and_none_that_is_older() -> None:
    """A used code, and one from before it, are refused in every window, after clearing and with the clock set back."""
    now = Now()
    totp = now.authenticator(drift=2)
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        await enroll(totp, keystore)
        assert await show(keystore, code_at(now.wall)) == "right"
        for steps in (-2, -1, 0):
            assert await show(keystore, code_at(now.wall + 30 * steps)) == "used"
        assert await show(keystore, code_at(now.wall + 30)) == "right"
        await totp.clear(keystore, 100)
        await enroll(totp, keystore)
        assert await show(keystore, code_at(now.wall + 30)) == "used"
        now.wall -= 90
        assert await show(keystore, code_at(now.wall)) == "used"
        now.wall += 180
        code = code_at(now.wall)
        assert await show(keystore, f"{code[:3]} {code[3:]}") == "right"


@pytest.mark.parametrize("secrets", [1, 16])
async def test_codes_of_one_secret_use_up_none_of_another(secrets: int) -> None:
    """A new secret works at once; the old one, also with zeros at its end, which has the same codes, gains none."""
    now = Now()
    totp = now.authenticator(drift=10)
    ahead = now.wall + 300
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        await enroll(totp, keystore)
        assert await show(keystore, code_at(ahead)) == "right"
        for number in range(1, secrets):
            await totp.clear(keystore, 100)
            secret = bytes([number]) * 20
            await enroll(totp, keystore, secret)
            assert await show(keystore, code_at(now.wall, secret)) == "right"
            assert await show(keystore, code_at(now.wall, secret)) == "used"
        for secret in (SECRET, SECRET + bytes(1)):
            await totp.clear(keystore, 100)
            await enroll(totp, keystore, secret)
            assert await show(keystore, code_at(ahead)) == "used"
            assert await show(keystore, code_at(now.wall)) == "used"


async def test_what_earlier_versions_kept_of_used_codes() -> None:
    """A moment without a secret's name counts for all secrets, also after the next right code."""
    now = Now()
    totp = now.authenticator()
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        await keystore.auth_host.vault.put(
            "totp-used/100", struct.pack("<q", int(now.wall) // 30 * 30), expect=0
        )
        for secret in (SECRET, b"another" * 3):
            await enroll(totp, keystore, secret)
            assert await show(keystore, code_at(now.wall, secret)) == "used"
            assert await show(keystore, code_at(now.wall + 30, secret)) == "right"
            await totp.clear(keystore, 100)


async def test_a_table_in_the_place_of_the_newest_moment() -> None:
    """A version wrote one there: its moments count for their secrets alone."""
    now = Now()
    totp = now.authenticator()
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        name = hmac.digest(SECRET, b"huks_async totp secret 1", "sha256")[:16]
        state = struct.pack("<16sq", name, int(now.wall) // 30 * 30)
        await keystore.auth_host.vault.put("totp-used/100", state, expect=0)
        for secret, expected in ((SECRET, "used"), (b"another" * 3, "right"), (SECRET, "used")):
            await enroll(totp, keystore, secret)
            assert await show(keystore, code_at(now.wall, secret)) == expected
            await totp.clear(keystore, 100)


class WithoutTable:
    """What a process notes and refuses whose version knows the newest moment alone."""

    def __init__(self, keystore: Keystore) -> None:
        self._vault: Any = keystore.auth_host.vault

    async def use(self, moment: float) -> bool:
        """Use the code of a moment, whatever the secret."""

        def used(state: bytes | None) -> tuple[bytes | None, bool]:
            step = int(moment) // 30 * 30
            last = -1 if state is None else struct.unpack("<q", state)[0]
            return (struct.pack("<q", step), True) if step > last else (state, False)

        return await change(self._vault, "totp-used/100", used)


async def test_beside_processes_without_the_table() -> None:
    """They read what is written here, and no code passes in both, whichever was first."""
    now = Now()
    totp = now.authenticator(drift=10)
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        other = WithoutTable(keystore)
        await enroll(totp, keystore)
        for _ in range(3):
            assert await show(keystore, code_at(now.wall)) == "right"
            assert not await other.use(now.wall)
            now.wall += 30
            assert await other.use(now.wall)
            assert await show(keystore, code_at(now.wall)) == "used"
            now.wall += 30
        # used there under a secret that comes back when the table has others
        assert await other.use(now.wall + 60)
        await totp.clear(keystore, 100)
        await enroll(totp, keystore, b"another" * 3)
        assert await show(keystore, code_at(now.wall + 90, b"another" * 3)) == "right"
        await totp.clear(keystore, 100)
        await enroll(totp, keystore)
        assert await show(keystore, code_at(now.wall + 60)) == "used"
        assert await show(keystore, code_at(now.wall + 90)) == "right"


@pytest.mark.parametrize("looks", range(6))
async def test_one_code_here_and_in_a_process_without_the_table_at_once(
    looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the other one uses it, it passes once."""
    now = Now()
    totp = now.authenticator()
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        await enroll(totp, keystore)
        vault: Any = keystore.auth_host.vault
        other, get = WithoutTable(keystore), vault.get
        seen, passed = 0, []

        async def between(name: str) -> Any:
            nonlocal seen
            found = await get(name)
            seen += name.startswith("totp-used")
            if seen == looks and not passed:
                passed.append(await other.use(now.wall))
            return found

        monkeypatch.setattr(vault, "get", between)
        passed.append(await show(keystore, code_at(now.wall)) == "right")
        assert sorted(passed) == [False, True]


async def test_fifty_tasks_show_one_code(tmp_path: Path) -> None:
    """One of them is let in."""
    now = Now()
    totp = TotpAuthenticator(clock=now, lockout=Lockout(free=1000))
    async with Keystore.open(f"sqlite:///{tmp_path}/keys.db", authenticator=totp, monitor=False) as keystore:
        await enroll(totp, keystore)
        outcomes = await asyncio.gather(*(show(keystore, code_at(now.wall)) for _ in range(50)))
        assert sorted(outcomes) == ["right"] + ["used"] * 49


async def test_guesses_are_slowed_down(tmp_path: Path) -> None:
    """Of 50 wrong codes at once five are looked at; the right one has to wait then, in a new process, too."""
    now = Now()
    store = f"sqlite:///{tmp_path}/keys.db"
    totp = now.authenticator()
    right = {code_at(now.wall + 30 * steps) for steps in range(-5, 6)}
    wrong = [code for number in range(100) if (code := f"{number:06}") not in right][:50]
    async with Keystore.open(store, authenticator=totp, monitor=False) as keystore:
        await enroll(totp, keystore)
        outcomes = await asyncio.gather(*(show(keystore, code) for code in wrong))
        assert sorted(outcomes) == ["locked"] * 45 + ["wrong"] * 5
    async with Keystore.open(store, authenticator=now.authenticator(), monitor=False) as keystore:
        assert await show(keystore, code_at(now.wall)) == "locked"
        now.wall += 30
        assert await show(keystore, code_at(now.wall)) == "right"


async def test_what_is_no_code() -> None:
    """401, nothing is counted and no digit is repeated."""
    for wrong in (
        {"digits": 5},
        {"digits": 9},
        {"step": 1},
        {"step": 30.0},
        {"drift": -1},
        {"drift": 11},
        {"digest": "md5"},
    ):
        with pytest.raises(BusinessError) as caught:
            TotpAuthenticator(**wrong)  # type: ignore[arg-type]
        assert caught.value.code == 401
    now = Now()
    totp = now.authenticator()
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        for short in (b"", b"x" * 15, b"x" * 129):
            await refused(enroll(totp, keystore, short), 401)
        await refused(totp.enroll(keystore, 100, account="a", issuer="a:b"), 401)
        await refused(totp.enroll(keystore, 100, account="\ud800", issuer="a"), 401)
        await enroll(totp, keystore)
        for _ in range(3):
            for given in ("", "12345", "123456789", "12345a", "١٢٣٤٥٦", "²²²²²²", 123456, b"123456", None):
                error = await refused(keystore.authenticate(bytes(32), given), 401)
                assert "12345" not in error.message
        await refused(keystore.authenticate(bytes(32), "123456", auth_type=FACE), 12000013)
        assert await show(keystore, code_at(now.wall)) == "right"


async def test_it_can_stand_for_another_type() -> None:
    """As a fingerprint, for keys that ask for one beside a PIN."""
    now = Now()
    totp = now.authenticator(auth_type=FINGERPRINT)
    async with Keystore.open("memory:", authenticator=totp, monitor=False) as keystore:
        await enroll(totp, keystore)
        await keystore.generateKeyItem(
            "key", options(**{**GCM_KEY, **PIN_KEY, "USER_AUTH_TYPE": FINGERPRINT, "KEY_AUTH_ACCESS_TYPE": 2})
        )
        session = await open_session(keystore)
        token = await keystore.authenticate(session.challenge, code_at(now.wall), auth_type=FINGERPRINT)
        await finish(keystore, session, token)


_SHOWER = """
import asyncio, sys
from huks_async import BusinessError, Keystore
from huks_async.access import Lockout, TotpAuthenticator

async def main():
    totp = TotpAuthenticator(clock=lambda: float(sys.argv[3]), lockout=Lockout(free=1000))
    async with Keystore.open(sys.argv[1], authenticator=totp, monitor=False) as keystore:
        print("ready", flush=True)
        sys.stdin.readline()
        async def show():
            try:
                await keystore.authenticate(bytes(32), sys.argv[2])
            except BusinessError as error:
                return "used" if "used already" in error.message else error.message
            return "right"
        for outcome in await asyncio.gather(*(show() for _ in range(10))):
            print(outcome)

asyncio.run(main())
"""


async def test_two_processes_are_shown_one_code(tmp_path: Path) -> None:
    """Of 20 showings in two processes on one store one is let in."""
    store = f"sqlite:///{tmp_path}/keys.db"
    now = Now()
    totp = now.authenticator()
    async with Keystore.open(store, authenticator=totp, monitor=False) as keystore:
        await enroll(totp, keystore)
        processes = [
            subprocess.Popen(  # noqa: ASYNC220 - the test waits for them, and nothing else runs
                [sys.executable, "-c", _SHOWER, store, code_at(now.wall), str(now.wall)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        outputs = await asyncio.gather(
            *(asyncio.to_thread(process.communicate, "go\n") for process in processes)
        )
        outcomes = [line for output, _ in outputs for line in output.splitlines()]
        assert sorted(outcomes) == ["right"] + ["used"] * 19
