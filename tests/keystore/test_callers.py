"""Several callers of one keystore: whose call it is, and that they never meet."""

import asyncio
import contextvars
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import huks_async as huks
from huks_async import Caller, Keystore, Limits
from huks_async.access import callers
from huks_async.keystore.keyrings import caller_named
from tests import loops
from tests.garbage import collect_until
from tests.keystore.support import (
    AES_CBC,
    AGREE,
    DECRYPT,
    ENCRYPT,
    A,
    T,
    key,
    options,
    properties,
    refused,
    run,
)

ENCRYPTION = AES_CBC | {"IV": bytes(16), "PURPOSE": ENCRYPT}
DECRYPTION = AES_CBC | {"IV": bytes(16), "PURPOSE": DECRYPT}
BLOCK = b"sixteen bytes ok"

Main = Callable[[Keystore], Awaitable[object]]


@pytest.fixture(params=loops.LOOPS)
def use(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Run an async function with an open keystore, on each kind of event loop."""
    loop = loops.runner(request.param)

    def with_keystore(function: Main, **how: Any) -> None:
        async def main() -> None:
            async with Keystore.open("memory:", monitor=False, **how) as keystore:
                await function(keystore)

        loop(main)

    return with_keystore


def key_of(number: int) -> bytes:
    """A key that tells callers apart."""
    return number.to_bytes(32, "big")


def sealed_by(number: int) -> bytes:
    """What the key of that number makes of the block."""
    cipher = Cipher(algorithms.AES(key_of(number)), modes.CBC(bytes(16))).encryptor()
    return cipher.update(BLOCK) + cipher.finalize()


async def import_key(keystore: Any, number: int, alias: str = "k") -> None:
    """Import a caller's key."""
    await keystore.importKeyItem(alias, options(key_of(number), **AES_CBC))


async def whose(keystore: Any, alias: str = "k") -> int:
    """The number of the key that this call reaches; 0 where it reaches none."""
    if not await keystore.hasKeyItem(alias, options()):
        return 0
    sealed = await run(keystore, alias, BLOCK, **ENCRYPTION)
    return next(number for number in range(1, 200) if sealed_by(number) == sealed)


def test_a_block_decides_whose_keys_are_used(use: Callable[..., None]) -> None:
    """Within, nested, after an error, after blocks that are left in another order than they were entered."""

    async def main(keystore: Keystore) -> None:
        await import_key(keystore, 1)
        with huks.as_caller("a"):
            assert await whose(keystore) == 0
            await import_key(keystore, 2)
        async with huks.as_caller("b"):
            await import_key(keystore, 3)
            with huks.as_caller("a"):
                assert await whose(keystore) == await whose(huks) == 2
            assert await whose(huks) == 3
            with pytest.raises(LookupError), huks.as_caller("a", 101):
                await import_key(huks, 4)
                raise LookupError
            assert await whose(keystore) == 3
        assert await whose(keystore) == 1
        with huks.as_caller("a", 101):
            assert await whose(keystore) == 4
            assert (await properties(keystore, "k"))[T.HUKS_TAG_PROCESS_NAME] == b"a"
        with huks.as_caller("default"):
            assert await whose(keystore) == 1
        first, second = huks.as_caller("a"), huks.as_caller("b")
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert await whose(keystore) == 3
        second.__exit__(None, None, None)
        assert await whose(keystore) == 1
        again = huks.as_caller("a")
        with again:
            with again:
                pass
            assert await whose(keystore) == 2
        assert await whose(keystore) == 1

    use(main)


def test_tasks_keep_the_caller_of_the_place_where_they_were_made(use: Callable[..., None]) -> None:
    """A task made before a block stays outside; one made within stays inside, also when the block has ended."""

    async def main(keystore: Keystore) -> None:
        await import_key(keystore, 1)
        async with huks.as_caller("a"):
            await import_key(keystore, 2)
        seen = {}
        entered, left = anyio.Event(), anyio.Event()

        async def look(name: str, when: anyio.Event) -> None:
            await when.wait()
            seen[name] = await whose(keystore)

        async def wander() -> None:
            huks.as_caller("a").__enter__()
            seen["a task that never leaves its block"] = await whose(keystore)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look, "made before, looks within", entered)
            async with huks.as_caller("a"):
                tasks.start_soon(look, "made within, looks within", entered)
                tasks.start_soon(look, "made within, looks after", left)
                entered.set()
                while len(seen) < 2:
                    await anyio.sleep(0.001)
            tasks.start_soon(look, "made after", left)
            tasks.start_soon(wander)
            while len(seen) < 3:
                await anyio.sleep(0.001)
            left.set()
            assert await whose(keystore) == 1
        assert seen == {
            "made before, looks within": 1,
            "made within, looks within": 2,
            "made within, looks after": 2,
            "made after": 1,
            "a task that never leaves its block": 2,
        }

    use(main)


def test_threads_take_the_caller_along_or_not(use: Callable[..., None]) -> None:
    """A worker thread has a copy of the context; what it enters stays there. A bare thread has none."""

    async def main(keystore: Keystore) -> None:
        await import_key(keystore, 1)
        async with huks.as_caller("a"):
            await import_key(keystore, 2)

        def from_thread() -> tuple[int, int]:
            before = anyio.from_thread.run(whose, keystore)
            with huks.as_caller("default"):
                return before, anyio.from_thread.run(whose, keystore)

        async with huks.as_caller("a"):
            assert await anyio.to_thread.run_sync(from_thread) == (2, 1)
            assert await whose(keystore) == 2
        assert await whose(keystore) == 1

    use(main)


def test_a_bare_thread_is_the_keystores_own_caller() -> None:
    """`run_coroutine_threadsafe` from a thread that was started without a context."""

    async def main() -> None:
        async with Keystore.open("memory:", monitor=False) as keystore:
            await import_key(keystore, 1)
            loop = asyncio.get_running_loop()
            async with huks.as_caller("a"):
                await import_key(keystore, 2)
                found: list[int] = []

                def in_thread() -> None:
                    found.append(asyncio.run_coroutine_threadsafe(whose(keystore), loop).result(100))

                thread = threading.Thread(target=contextvars.Context().run, args=(in_thread,))
                thread.start()
                while not found:
                    await asyncio.sleep(0.001)
                thread.join()
                assert found == [1]

    asyncio.run(main())


def test_a_block_left_in_another_context_takes_out_nothing_else(use: Callable[..., None]) -> None:
    """A generator that another task ends: the block ends there without an error, and hits no other block."""

    async def main(keystore: Keystore) -> None:
        async with huks.as_caller("a"):
            await import_key(keystore, 2)

        async def leaks() -> AsyncIterator[None]:
            async with huks.as_caller("a"):
                yield

        generator = leaks()
        await anext(generator)
        assert await whose(keystore) == 2  # as the documentation warns

        async def end() -> None:
            async with huks.as_caller("b"):
                await generator.aclose()  # type: ignore[attr-defined]
                assert await whose(keystore) == 0

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end)

    use(main)


def test_a_handle_is_its_callers(use: Callable[..., None]) -> None:
    """Of another application or another user it is unknown, in the words for one that never was."""

    async def main(keystore: Keystore) -> None:
        async with huks.as_caller("a"):
            await import_key(keystore, 2)
            handle = (await keystore.initSession("k", options(**ENCRYPTION))).handle
        others: list[Any] = [
            keystore,
            keystore.for_caller("b"),
            keystore.for_caller("a", 101),
            keystore.for_caller("b", namespace="a"),
        ]
        for other in others:
            for call in (other.updateSession, other.finishSession):
                error = await refused(call(handle, options(BLOCK)), 12000011)
                assert "never existed" in error.message
            await other.abortSession(handle, options())
        assert keystore.statistics().open_by_caller == {Caller("a", 100): 1}
        mine = keystore.for_caller("a", 100)
        assert (await mine.finishSession(handle, options(BLOCK))).outData == sealed_by(2)
        error = await refused(mine.updateSession(handle, options(BLOCK)), 12000011)
        assert "finished" in error.message
        for other in others:
            error = await refused(other.updateSession(handle, options(BLOCK)), 12000011)
            assert "never existed" in error.message

    use(main)


def test_a_session_block_is_the_callers_who_made_it(use: Callable[..., None]) -> None:
    """It may be entered, used and left as another caller; it works on the same session and ends it."""

    async def main(keystore: Keystore) -> None:
        await import_key(keystore, 1)
        async with huks.as_caller("a"):
            await import_key(keystore, 2)
            block = keystore.session("k", options(**ENCRYPTION))
            left = keystore.session("k", options(**ENCRYPTION))
        async with huks.as_caller("b"), block as session, huks.as_caller("c"):
            assert await session.update(BLOCK) + await session.finish() == sealed_by(2)
        async with left:
            assert keystore.statistics().open_by_caller == {Caller("a", 100): 1}
        assert keystore.statistics().open == 0
        own = keystore.session("k", options(**ENCRYPTION))
        async with huks.as_caller("a"), own as session:
            assert b"".join([part async for part in session.stream([BLOCK])]) == sealed_by(1)

    use(main)


def test_the_functions_for_one_caller(use: Callable[..., None]) -> None:
    """`for_caller` is not moved by blocks, follows its keystore, and has the older functions, too."""

    async def main(keystore: Keystore) -> None:
        mine = keystore.for_caller("a")
        async with huks.as_caller("b"):
            await import_key(mine, 2)
            assert await whose(mine) == 2
            assert await whose(keystore) == 0
            assert await mine.isKeyExist("k", options())
        assert (await mine.listAliases(options())).keyAliases == ["k"]
        assert (await keystore.listAliases(options())).keyAliases == []
        await keystore.aclose()
        await refused(mine.hasKeyItem("k", options()), 12000012)

    use(main)


def test_the_functions_for_one_caller_have_files(use: Callable[..., None], tmp_path: Path) -> None:
    """Streams, and files read at any place, with this caller's key, whatever block the call is in."""

    async def main(keystore: Keystore) -> None:
        mine, other = keystore.for_caller("a"), keystore.for_caller("b")
        gcm = options(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3, BLOCK_MODE=32, PADDING=0)
        await mine.generateKeyItem("f", gcm)
        await other.generateKeyItem("f", gcm)
        async with huks.as_caller("b"):
            sealed = b"".join([piece async for piece in mine.encrypt_stream("f", [b"some", b"thing"])])
            opened = [piece async for piece in mine.decrypt_stream("f", [sealed])]
            assert b"".join(opened) == b"something"
        (tmp_path / "sealed").write_bytes(sealed)
        async with mine.open_sealed("f", tmp_path / "sealed") as reader:
            assert await reader.read_at(4, 5) == b"thing"

        async def opened_by(keys: Any) -> None:
            async for _ in keys.decrypt_stream("f", [sealed]):
                pass

        await refused(opened_by(other), 12000011)
        await refused(opened_by(keystore), 12000011)

    use(main)


def of_format_1(material: bytes, data: bytes) -> bytes:
    """A sealed file of format 1, made with another library."""
    header, nonce = b"huksenc\1", bytes(12)
    return header + nonce + AESGCM(material).encrypt(nonce, data, header)


def test_streams_are_the_callers_who_called_for_them(use: Callable[..., None], tmp_path: Path) -> None:
    """Also if they are read after the block, or in another's, as a response of a web service is."""

    async def main(keystore: Keystore) -> None:
        mine = keystore.for_caller("a")
        gcm = options(ALGORITHM=20, KEY_SIZE=256, PURPOSE=3, BLOCK_MODE=32, PADDING=0)
        for keys in (mine, keystore, keystore.for_caller("b")):
            await keys.generateKeyItem("f", gcm)
        async with huks.as_caller("a"):
            sealing = keystore.encrypt_stream("f", [b"something"])
        sealed = b"".join([piece async for piece in sealing])
        assert [piece async for piece in mine.decrypt_stream("f", [sealed])] == [b"something"]
        (tmp_path / "sealed").write_bytes(sealed)
        async with huks.as_caller("a"):
            opening = keystore.decrypt_stream("f", [sealed])
            await keystore.importKeyItem("old", gcm | {"inData": key_of(1)})
            older = keystore.decrypt_stream("old", [of_format_1(key_of(1), b"something older")])
            reading = keystore.open_sealed("f", tmp_path / "sealed")
        async with huks.as_caller("b"):
            assert [piece async for piece in opening] == [b"something"]
            assert [piece async for piece in older] == [b"something older"]
            async with reading as reader:
                assert await reader.read_at(4, 5) == b"thing"

    use(main)


def test_a_keystore_that_is_opened_again_has_its_callers_keys(tmp_path: Path) -> None:
    """Also through the functions for one caller that were taken before; in the store each has its own name."""

    async def main() -> None:
        address = f"sqlite:///{tmp_path / 'keys.db'}"
        keystore = Keystore.open(address, monitor=False)
        mine = keystore.for_caller("a", 101)
        await refused(mine.hasKeyItem("k", options()), 12000012)
        async with keystore:
            await import_key(mine, 2)
        async with keystore:
            assert await whose(mine) == 2
        async with Keystore.open(address, namespace="a", user_id=101, monitor=False) as own:
            assert await whose(own) == 2

    asyncio.run(main())


@pytest.mark.parametrize(
    "name", ["", "a\x1fuser\x1f101", "\ud800", 7, None, b"a", "n" * 1025, "ä" * 513, "\x1f" * 10_000_000]
)
def test_names_that_are_none(name: Any) -> None:
    """A caller is named by text that no place in a store has."""
    with pytest.raises(huks.BusinessError, match="401: the caller's name"):
        huks.as_caller(name)
    for user_id in (99, -1, True, "100", 2**31):
        with pytest.raises(huks.BusinessError, match="401: user_id"):
            huks.as_caller("a", user_id)  # type: ignore[arg-type]
    if name is not None:
        with pytest.raises(huks.BusinessError, match="401: namespace"):
            huks.as_caller("a", namespace=name)


@pytest.mark.parametrize("name", ["n" * 1024, "ä" * 512])
def test_the_longest_names(name: str) -> None:
    """They are those of 1024 bytes."""
    huks.as_caller(name, namespace=name)


def test_the_same_list_of_parameters_for_many_callers(use: Callable[..., None]) -> None:
    """What was learnt about a list for one caller's key is not used for another's of the same alias."""
    session = options(**ENCRYPTION)

    async def main(keystore: Keystore) -> None:
        for number in range(1, 6):
            await import_key(keystore.for_caller(f"service-{number}"), number)
        for _ in range(4):
            for number in range(1, 6):
                async with huks.as_caller(f"service-{number}"):
                    opened = await keystore.initSession("k", session)
                    out = (await keystore.finishSession(opened.handle, {"inData": BLOCK})).outData
                    assert out == sealed_by(number)
            async with huks.as_caller("stranger"):
                await refused(keystore.initSession("k", session), 12000011)

    use(main)


def test_an_agreed_key_is_stored_for_the_caller_of_the_session(use: Callable[..., None]) -> None:
    """Also where two callers agree with the same parameters, one after the other."""
    pair = key(A.HUKS_ALG_X25519, 256, AGREE)

    async def main(keystore: Keystore) -> None:
        for name in ("a", "b", "a"):
            async with huks.as_caller(name):
                await keystore.generateKeyItem("pair", options(**pair))
                public = (await keystore.exportKeyItem("pair", options())).outData
                opened = await keystore.initSession("pair", options(**pair))
                await keystore.updateSession(opened.handle, options(public))
                stored = AES_CBC | {"KEY_ALIAS": f"of {name}".encode(), "DERIVED_AGREED_KEY_STORAGE_FLAG": 2}
                await keystore.finishSession(opened.handle, options(**stored))
        for name in ("a", "b"):
            aliases = (await keystore.for_caller(name).listAliases(options())).keyAliases
            assert aliases == [f"of {name}", "pair"]
        assert (await keystore.listAliases(options())).keyAliases == []

    use(main)


def test_a_hundred_tasks_of_many_callers_at_once(use: Callable[..., None]) -> None:
    """Each sees its own keys, handles and results, however their calls interleave; wrong handles are tried, too."""
    handles: dict[Caller, set[int]] = {}

    async def work(keystore: Keystore, number: int) -> None:
        caller = Caller(f"service-{number % 25}", 100 + number % 2)
        async with huks.as_caller(*caller):
            alias = f"k{number}"
            await import_key(huks, number, alias)
            for _ in range(5):
                opened = await keystore.initSession(alias, options(**ENCRYPTION))
                handles.setdefault(caller, set()).add(opened.handle)
                await anyio.lowlevel.checkpoint()
                others = [one for other, some in handles.items() if other != caller for one in some]
                for other in others[:5]:
                    await refused(keystore.updateSession(other, options(BLOCK)), 12000011)
                    await keystore.abortSession(other, options())
                await anyio.lowlevel.checkpoint()
                out = (await keystore.finishSession(opened.handle, options(BLOCK))).outData
                handles[caller].discard(opened.handle)
                assert out == sealed_by(number)
            names = set((await huks.listAliases(options())).keyAliases)
            mates = {f"k{other}" for other in range(1, 101) if other % 50 == number % 50}
            assert alias in names
            assert names <= mates

    async def main(keystore: Keystore) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(1, 101):
                tasks.start_soon(work, keystore, number)
        assert keystore.statistics().open == 0
        assert keystore.statistics().open_by_caller == {}

    use(main)


def test_limits_are_each_callers(use: Callable[..., None]) -> None:
    """A device's 32 a caller and 96 in all: the oldest idle one of the caller goes, then the oldest of all."""

    async def fill(keystore: Any, count: int) -> list[int]:
        return [(await keystore.initSession("k", options(**ENCRYPTION))).handle for _ in range(count)]

    async def is_open(keystore: Any, handle: int) -> bool:
        try:
            await keystore.updateSession(handle, options(BLOCK))
        except huks.BusinessError as error:
            assert error.code == 12000011
            return False
        return True

    async def main(keystore: Keystore) -> None:
        callers = [keystore.for_caller(f"app-{number}") for number in range(4)]
        for caller in callers:
            await import_key(caller, 1)
        of_first = await fill(callers[0], 32)
        of_second = await fill(callers[1], 32)
        assert keystore.statistics().evicted == 0
        newer = await fill(callers[0], 1)
        assert [await is_open(callers[0], each) for each in [*of_first[:2], *newer]] == [False, True, True]
        assert await is_open(callers[1], of_second[0])
        await fill(callers[2], 32)
        assert len(keystore.statistics().open_by_caller) == 3
        await fill(callers[3], 2)
        counts = keystore.statistics().open_by_caller
        assert sum(counts.values()) == keystore.statistics().open == 96
        assert counts[Caller("app-0", 100)] == 30
        for handle in (*of_first, *newer):
            await callers[0].abortSession(handle, options())
        assert Caller("app-0", 100) not in keystore.statistics().open_by_caller

    use(main, profile="device")


def test_a_caller_at_its_limit_ends_no_session_of_others(use: Callable[..., None]) -> None:
    """A server's stale sessions make room for their own caller alone; the limit of all takes anybody's."""
    now = [0.0]

    async def main(keystore: Keystore) -> None:
        first, second, third = (keystore.for_caller(name) for name in "abc")
        for caller in (first, second, third):
            await import_key(caller, 1)
        for _ in range(3):
            await first.initSession("k", options(**ENCRYPTION))
        now[0] = 100.0
        for _ in range(3):
            await second.initSession("k", options(**ENCRYPTION))
        await refused(second.initSession("k", options(**ENCRYPTION)), 12000010)
        assert keystore.statistics().open_by_caller == {Caller("a", 100): 3, Caller("b", 100): 3}
        now[0] = 120.0
        await first.initSession("k", options(**ENCRYPTION))
        assert keystore.statistics().open_by_caller == {Caller("a", 100): 3, Caller("b", 100): 3}
        await third.initSession("k", options(**ENCRYPTION))
        assert keystore.statistics().open_by_caller[Caller("a", 100)] == 2
        assert keystore.statistics().purged == {"purged to make room": 2}
        now[0] = 500.0
        assert await keystore.purge_stale_sessions() == 6
        assert keystore.statistics().open_by_caller == {}

    use(main, limits=Limits(max_sessions=6, max_sessions_per_caller=3), clock=lambda: now[0])


def test_a_snapshot_of_many_callers_makes_none_of_them(
    use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its counts by caller are a mapping that does not change any more, and makes a caller when it is asked for one."""

    async def main(keystore: Keystore) -> None:
        for number in range(3):
            caller = keystore.for_caller("a", 100 + number)
            await import_key(caller, 1)
            await caller.initSession("k", options(**ENCRYPTION))
        made: list[str] = []

        def counted(namespace: str) -> Caller:
            made.append(namespace)
            return caller_named(namespace)

        monkeypatch.setattr("huks_async.keystore.statistics.caller_named", counted)
        counts = keystore.statistics().open_by_caller
        assert (len(counts), counts[Caller("a", 101)], counts.get(Caller("b", 101)), made) == (3, 1, None, [])
        assert "a" not in counts
        await caller.initSession("k", options(**ENCRYPTION))
        assert counts == dict(counts) == {Caller("a", 100 + number): 1 for number in range(3)}
        assert repr(counts) == repr(dict(counts))

    use(main)


def test_more_callers_than_are_kept_ready(use: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that called longest ago are opened again; sessions of theirs go on."""
    monkeypatch.setattr("huks_async.keystore.caller_functions._MAX_CALLERS", 3)

    async def main(keystore: Keystore) -> None:
        opened = []
        for number in range(1, 9):
            async with huks.as_caller(f"service-{number}"):
                await import_key(keystore, number)
                opened.append((await keystore.initSession("k", options(**ENCRYPTION))).handle)
        assert keystore.statistics().cached_keys <= 3
        for number in range(1, 9):
            async with huks.as_caller(f"service-{number}"):
                assert await whose(keystore) == number
                handle = opened[number - 1]
                assert (await keystore.finishSession(handle, options(BLOCK))).outData == sealed_by(number)

    use(main)


FIRST_USE = """
import asyncio, sys, threading
import huks_async as huks
from huks_async import Keystore
sys.path.insert(0, {tests!r})
from tests.keystore.test_callers import import_key, whose

def name_a_caller():
    with huks.as_caller("a"):
        pass

async def main():
    async with Keystore.open("memory:", monitor=False) as keystore:
        await import_key(keystore, 1)
        assert await whose(keystore) == 1
        assert keystore._direct is not None  # nobody has named a caller: sessions take the short way
        if {in_thread}:
            thread = threading.Thread(target=name_a_caller)
            thread.start()
            thread.join()
            assert keystore._direct is None
        async with huks.as_caller("a"):
            assert await whose(keystore) == 0
            await import_key(keystore, 2)
            assert await whose(keystore) == 2
        assert await whose(keystore) == 1
        async with Keystore.open("memory:", monitor=False) as later, huks.as_caller("a"):
            assert await whose(later) == 0

asyncio.run(main())
"""


@pytest.mark.parametrize("in_thread", [False, True])
def test_the_first_caller_that_a_process_names(in_thread: bool) -> None:
    """Keystores that are open by then look for callers from that moment on, those opened later at once."""
    code = FIRST_USE.format(tests=str(Path(__file__).parents[2]), in_thread=in_thread)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_keystore_that_looks_for_callers_is_not_kept_alive() -> None:
    """It is freed as any other object once it is closed."""

    async def main() -> "weakref.ref[Keystore]":
        async with Keystore.open("memory:", monitor=False) as keystore, huks.as_caller("a"):
            await import_key(keystore, 1)
        return weakref.ref(keystore)

    gone = asyncio.run(main())
    collect_until(lambda: gone() is None)


@asynccontextmanager
async def as_service(name: str) -> AsyncIterator[None]:
    """A program's own block around ours."""
    async with huks.as_caller(name):
        yield


def test_a_programs_own_block_around_ours(use: Callable[..., None]) -> None:
    """`asynccontextmanager` runs in the context of its user, so the block reaches it, and ends with it."""

    async def main(keystore: Keystore) -> None:
        async with as_service("a"):
            await import_key(keystore, 2)
        assert await whose(keystore) == 0
        async with as_service("a"):
            assert await whose(keystore) == 2

    use(main)


@pytest.mark.asyncio
async def test_a_keystore_that_is_opened_again_and_again_is_told_once_of_the_first_caller() -> None:
    """Each opening noted it once more, and nothing forgot that as long as the keystore lived."""
    keystore = Keystore.open("memory:", monitor=False)
    for _ in range(5):
        await keystore.aopen()
        await keystore.aclose()
    told = [tell for watcher in callers._watchers if (tell := watcher()) is not None]
    # other keystores of the process may be freed meanwhile
    assert sum(getattr(tell, "__self__", None) is keystore for tell in told) == 1
