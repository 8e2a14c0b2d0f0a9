"""The PIN: enrolled, changed, cleared, guessed from everywhere at once."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from huks_async import BusinessError, Keystore
from huks_async.access import (
    AuthHost,
    AuthRequest,
    Lockout,
    LockoutClock,
    PinAuthenticator,
    TotpAuthenticator,
    Vouched,
)
from tests.access.support import (
    FACE,
    GCM_KEY,
    NONE,
    PIN_KEY,
    finish,
    generate,
    open_session,
    options,
    refused,
)

pytestmark = pytest.mark.asyncio


class Clocks:
    """The clocks of a machine, in the test's hands."""

    def __init__(self) -> None:
        self.boot, self.since, self.wall = b"1" * 16, 0.0, 1_000_000.0

    def authenticator(self, **lockout: Any) -> PinAuthenticator:
        """A PIN authenticator on this machine."""
        clock = LockoutClock(boot=self.boot, since_boot=lambda: self.since, wall=lambda: self.wall)
        return PinAuthenticator(lockout=Lockout(clock=clock, **lockout))

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        self.since += seconds
        self.wall += seconds


async def guess(keystore: Keystore, pin: Any, **values: Any) -> str:
    """What comes of a guess: right, wrong or locked."""
    try:
        await keystore.authenticate(bytes(32), pin, **values)
    except BusinessError as error:
        assert error.code == 12000008, error.message
        return "locked" if error.data is not None else "wrong"
    return "right"


async def test_the_life_of_a_pin() -> None:
    """Enrolled once, changed with the old one (keys stay), cleared (keys are void)."""
    pin = PinAuthenticator()
    async with Keystore.open("memory:", authenticator=pin, monitor=False) as keystore:
        await refused(keystore.generateKeyItem("key", options(**GCM_KEY, **PIN_KEY)), 12000013)
        await refused(keystore.authenticate(bytes(32), "1234"), 12000013)
        await refused(pin.clear(keystore, 100), 12000013)
        await pin.enroll(keystore, 100, "1234")
        await refused(pin.enroll(keystore, 100, "5678"), 12000017)
        await generate(keystore)
        await refused(pin.change(keystore, 100, "0000", "5678"), 12000008)
        await pin.change(keystore, 100, "1234", "5678")
        assert [await guess(keystore, one) for one in ("1234", "5678", b"5678", bytearray(b"5678"))] == [
            "wrong",
            "right",
            "right",
            "right",
        ]
        session = await open_session(keystore)
        await finish(keystore, session, await keystore.authenticate(session.challenge, "5678"))
        await pin.clear(keystore, 100)
        await refused(keystore.authenticate(bytes(32), "5678"), 12000013)
        await pin.enroll(keystore, 100, "5678")
        session = await open_session(keystore)
        await refused(
            finish(keystore, session, await keystore.authenticate(session.challenge, "5678")), 12000007
        )


class Late(PinAuthenticator):
    """Answers when it is told to, once a PIN was right."""

    def __init__(self) -> None:
        super().__init__()
        self.checked, self.go = asyncio.Event(), asyncio.Event()

    async def authenticate(self, host: AuthHost, request: AuthRequest, credential: Any) -> Vouched:
        vouched = await super().authenticate(host, request, credential)
        self.checked.set()
        await self.go.wait()
        return vouched


async def test_a_changed_pin_voids_the_tokens_of_the_old_one() -> None:
    """Those that are out, and one that is being made. The key stays, and takes tokens of the new PIN."""
    pin = Late()
    async with Keystore.open("memory:", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, "the old one")
        await generate(keystore, CHALLENGE_TYPE=NONE, AUTH_TIMEOUT=3600)
        pin.go.set()
        token = await keystore.authenticate(b"", "the old one")
        await refused(pin.change(keystore, 100, "a wrong one", "the new one"), 12000008)
        await finish(keystore, await open_session(keystore), token)
        pin.checked.clear()
        pin.go.clear()
        under_way = asyncio.create_task(keystore.authenticate(b"", "the old one"))
        await pin.checked.wait()
        await pin.change(keystore, 100, "the old one", "the new one")
        pin.go.set()
        await refused(under_way, 12000008)
        await refused(finish(keystore, await open_session(keystore), token), 12000008)
        token = await keystore.authenticate(b"", "the new one")
        await finish(keystore, await open_session(keystore), token)


async def test_a_cleared_pin_voids_whatever_else_is_enrolled() -> None:
    """Codes that keys see as a PIN do not keep the identity; cleared codes do not end it while there is a PIN."""
    pin, codes = PinAuthenticator(), TotpAuthenticator()
    async with Keystore.open("memory:", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, "1234")
        await codes.enroll(keystore, 100, account="ana", issuer="Vault")
        await generate(keystore)
        await codes.clear(keystore, 100)
        session = await open_session(keystore)
        await finish(keystore, session, await keystore.authenticate(session.challenge, "1234"))
        await codes.enroll(keystore, 100, account="ana", issuer="Vault")
        await pin.clear(keystore, 100)
        await pin.enroll(keystore, 100, "another's")
        session = await open_session(keystore)
        token = await keystore.authenticate(session.challenge, "another's")
        await refused(finish(keystore, session, token), 12000007)


async def test_what_is_no_pin() -> None:
    """Clear answers to wrong arguments, none of which shows the PIN or counts as a guess."""
    pin = PinAuthenticator(shortest=6)
    async with Keystore.open("memory:", authenticator=pin, monitor=False) as keystore:
        for wrong in ("", "12345", b"x" * 1025, "x" * 1025, "\ud800aaaaaa", 123456, None):
            error = await refused(pin.enroll(keystore, 100, wrong), 401)  # type: ignore[arg-type]
            assert "12345" not in error.message
            assert error.__context__ is None or not isinstance(error.__context__, UnicodeError)
        error = await refused(pin.enroll(keystore, 100, ""), 401)
        assert "accepted 6 … 1024" in error.message
        for user in (-1, 2**31, "100", True):
            await refused(pin.enroll(keystore, user, "123456"), 401)  # type: ignore[arg-type]
        await pin.enroll(keystore, 100, "caf\u00e9--")
        for _ in range(10):
            await refused(keystore.authenticate(bytes(32), 123456), 401)
            await refused(keystore.authenticate(bytes(31), "123456"), 401)
            await refused(keystore.authenticate(bytes(32), "123456", auth_type=FACE), 12000013)
            await refused(keystore.authenticate(bytes(32), "123456", auth_type=5), 401)
        # the same letter, composed in another way
        assert await guess(keystore, "cafe\u0301--") == "right"
        await refused(keystore.authenticate(bytes(32), "caf\u00e9--", user_id=101), 201)


async def test_waits_double_and_a_right_pin_ends_them() -> None:
    """Five guesses are free; then 30, 60, 120 … seconds, at most a day."""
    clocks = Clocks()
    pin = clocks.authenticator()
    async with Keystore.open("memory:", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, "1234")
        assert [await guess(keystore, "0000") for _ in range(6)] == ["wrong"] * 5 + ["locked"]
        for wait in (30, 60, 120, 240):
            clocks.go_on(wait - 1)
            assert await guess(keystore, "1234") == "locked"
            error = await refused(keystore.authenticate(bytes(32), "1234"), 12000008)
            assert error.data == {"retry_after": 2}
            assert "2 seconds" in error.message
            clocks.go_on(1)
            assert await guess(keystore, "0000") == "wrong"
        for _ in range(10):
            clocks.go_on(86_400)
            assert await guess(keystore, "0000") == "wrong"
        clocks.go_on(86_399)
        assert await guess(keystore, "1234") == "locked"
        clocks.go_on(1)
        assert await guess(keystore, "1234") == "right"
        assert [await guess(keystore, "0000") for _ in range(6)] == ["wrong"] * 5 + ["locked"]


async def test_setting_the_clock_changes_nothing(tmp_path: Path) -> None:
    """Forward, back, and over a restart of the machine: nobody waits less, and nobody for ever."""
    clocks = Clocks()
    store = f"sqlite:///{tmp_path}/keys.db"
    pin = clocks.authenticator()
    async with Keystore.open(store, authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, "1234")
        for _ in range(5):
            await guess(keystore, "0000")
        clocks.wall += 10_000_000
        assert await guess(keystore, "1234") == "locked"
        clocks.wall -= 20_000_000
        assert await guess(keystore, "1234") == "locked"
    clocks.boot, clocks.since = b"2" * 16, 0.0
    async with Keystore.open(store, authenticator=clocks.authenticator(), monitor=False) as keystore:
        # the wall clock is before the last guess: the wait begins anew, and ends
        assert await guess(keystore, "1234") == "locked"
        clocks.go_on(29)
        assert await guess(keystore, "1234") == "locked"
        clocks.go_on(1)
        assert await guess(keystore, "1234") == "right"


async def test_a_clock_that_runs_backwards_between_two_starts_of_the_machine() -> None:
    """As that of a virtual machine that was put back: the wait begins anew, and where there is none, none comes."""
    clocks = Clocks()
    clocks.since = 10_000_000.0
    pin = clocks.authenticator()
    async with Keystore.open("memory:", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, "1234")
        assert await guess(keystore, "0000") == "wrong"
        clocks.since -= 1_000_000
        assert await guess(keystore, "1234") == "right"
        assert [await guess(keystore, "0000") for _ in range(6)] == ["wrong"] * 5 + ["locked"]
        clocks.since -= 1_000_000
        assert await guess(keystore, "1234") == "locked"
        clocks.go_on(29)
        assert await guess(keystore, "1234") == "locked"
        clocks.go_on(1)
        assert await guess(keystore, "1234") == "right"


async def test_fifty_tasks_guess_at_once(tmp_path: Path) -> None:
    """Of 50 wrong guesses at the same moment 5 are looked at, and the right one behind them is not let in."""
    clocks = Clocks()
    pin = clocks.authenticator()
    async with Keystore.open(f"sqlite:///{tmp_path}/keys.db", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, "9999")
        outcomes = await asyncio.gather(*(guess(keystore, f"{number:04}") for number in range(50)))
        assert sorted(outcomes) == ["locked"] * 45 + ["wrong"] * 5
        assert await guess(keystore, "9999") == "locked"


async def test_the_right_guess_among_fifty_opens_at_most_its_own_place(tmp_path: Path) -> None:
    """Which guesses come first is for threads to decide: the right one is let in only as one of the first five.

    It then ends the counting, so that at most five more are looked at, if any are still to come.
    """
    clocks = Clocks()
    pin = clocks.authenticator()
    async with Keystore.open(f"sqlite:///{tmp_path}/keys.db", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, "0002")
        outcomes = await asyncio.gather(*(guess(keystore, f"{number:04}") for number in range(50)))
        if "right" in outcomes:
            assert outcomes[2] == "right"
            assert outcomes.count("right") == 1
            assert 4 <= outcomes.count("wrong") <= 9
        else:
            assert outcomes.count("wrong") == 5


async def test_a_restart_and_a_cleared_pin_forget_no_guess(tmp_path: Path) -> None:
    """Guesses count over openings of the store, and stay counted when the PIN is enrolled anew."""
    store = f"sqlite:///{tmp_path}/keys.db"
    clocks = Clocks()
    for number in range(6):
        pin = clocks.authenticator()
        async with Keystore.open(store, authenticator=pin, monitor=False) as keystore:
            if number == 0:
                await pin.enroll(keystore, 100, "1234")
            assert await guess(keystore, "0000") == ("wrong" if number < 5 else "locked")
            if number == 5:
                await pin.clear(keystore, 100)
                await pin.enroll(keystore, 100, "1234")
                assert await guess(keystore, "1234") == "locked"


async def test_a_cancelled_guess_is_counted() -> None:
    """Cancelling between the count and the check gives no further guess."""
    clocks = Clocks()
    pin = clocks.authenticator()
    async with Keystore.open("memory:", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, "1234")
        for _ in range(5):
            task = asyncio.create_task(guess(keystore, "0000"))
            while await keystore.auth_host.vault.get("pin-attempts/100") is None:
                await asyncio.sleep(0)
            for _ in range(20):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert await guess(keystore, "1234") == "locked"


_GUESSER = """
import asyncio, sys
from huks_async import BusinessError, Keystore
from huks_async.access import Lockout, LockoutClock, PinAuthenticator

async def main():
    clock = LockoutClock(boot=b"1" * 16, since_boot=lambda: 0.0, wall=lambda: 1_000_000.0)
    pin = PinAuthenticator(lockout=Lockout(clock=clock))
    async with Keystore.open(sys.argv[1], authenticator=pin, monitor=False) as keystore:
        print("ready", flush=True)
        sys.stdin.readline()
        async def guess(number):
            try:
                await keystore.authenticate(bytes(32), f"{number:04}")
            except BusinessError as error:
                return "locked" if error.data else "wrong"
            return "right"
        for outcome in await asyncio.gather(*(guess(number) for number in range(25))):
            print(outcome)

asyncio.run(main())
"""


async def test_two_processes_guess_at_once(tmp_path: Path) -> None:
    """Of 50 wrong guesses of two processes on one store 5 are looked at, and the right one has to wait."""
    store = f"sqlite:///{tmp_path}/keys.db"
    # in all three processes the time stands still, however long the guesses take
    pin = Clocks().authenticator()
    async with Keystore.open(store, authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, "9999")
        processes = [
            subprocess.Popen(  # noqa: ASYNC220 - the test waits for them, and nothing else runs
                [sys.executable, "-c", _GUESSER, store],
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
        outcomes = [line for output, _ in outputs for line in output.split()]
        assert sorted(outcomes) == ["locked"] * 45 + ["wrong"] * 5
        assert await guess(keystore, "9999") == "locked"


async def test_a_changed_row_is_noticed(tmp_path: Path) -> None:
    """The PIN and the count of guesses are sealed: a flipped bit is 12000012, and nobody is let in."""
    path = tmp_path / "keys.db"
    pin, right = PinAuthenticator(), "correct horse"  # too long to be anywhere by chance
    async with Keystore.open(f"sqlite:///{path}", authenticator=pin, monitor=False) as keystore:
        await pin.enroll(keystore, 100, right)
        await guess(keystore, "0000")
    with closing(sqlite3.connect(path)) as database, database:
        assert right.encode() not in path.read_bytes()
        rows = database.execute("SELECT alias, blob FROM item").fetchall()
        assert sorted(alias for alias, _ in rows) == [b"pin-attempts/100", b"user/100", b"voided/100"]
        for alias, blob in rows:
            changed = blob[:-1] + bytes([blob[-1] ^ 1])
            database.execute("UPDATE item SET blob = ? WHERE alias = ?", (changed, alias))
    async with Keystore.open(f"sqlite:///{path}", authenticator=pin, monitor=False) as keystore:
        await refused(keystore.authenticate(bytes(32), right), 12000012)
