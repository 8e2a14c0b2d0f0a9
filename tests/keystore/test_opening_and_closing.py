"""Opening that fails leaves nothing open, and a keystore that was closed is closed, whoever asked for it."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import huks_async as huks
from huks_async.sessions.pressure import SilentSensor
from tests.adversity.support import descriptors
from tests.keystore.support import AES_CBC, options
from tests.keystore.test_loops import SESSION, threads_of_ours, use, wait_until


def _nothing_is_left(folder: Path) -> None:
    wait_until(lambda: threads_of_ours() == 0)
    assert not [path for path in descriptors().values() if str(folder) in path]


def test_a_part_that_cannot_be_loaded_leaves_no_store_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last thing that opening does is to load modules; where one cannot be loaded, the store is closed again."""
    store = f"sqlite:///{tmp_path}/keys.db"

    async def main() -> None:
        keystore = huks.Keystore.open(store, monitor=False, load_all=False)
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "huks_async.access.control", None)
            with pytest.raises(huks.BusinessError, match="could not be loaded") as caught:
                await keystore.aopen()
            assert caught.value.code == 12000012
        _nothing_is_left(tmp_path)
        async with keystore:
            assert keystore.is_open

    asyncio.run(main())


def test_a_keystore_in_memory_can_be_opened_again() -> None:
    """After a close it has the keys that it had, in another event loop too; an opening that is cancelled spoils nothing."""
    keystore = huks.Keystore.open("memory:", monitor=False)

    async def first() -> None:
        for turns in range(30):
            opening = asyncio.create_task(keystore.aopen())
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await keystore.aclose()
        async with keystore:
            await keystore.generateKeyItem("key", options(**AES_CBC))

    async def again() -> None:
        async with keystore:
            assert await keystore.hasKeyItem("key", options())
            assert await use(keystore) == 16

    asyncio.run(first())
    asyncio.run(again())


class Gate(huks.MemoryStore):
    """A store whose close waits until it may end, and may ask something meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = asyncio.Event()
        self.may_end = asyncio.Event()
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def aclose(self) -> None:
        self.closing.set()
        if self.meanwhile is not None:
            await self.meanwhile()
        await self.may_end.wait()


@pytest.mark.asyncio
async def test_whoever_closes_a_keystore_finds_it_closed() -> None:
    """A second `aclose` waits for the first, if it is not cancelled, and the keystore can be opened again right then."""
    store = Gate()
    keystore = huks.Keystore.open(store, monitor=False)
    await keystore.aopen()
    first = asyncio.create_task(keystore.aclose())
    await store.closing.wait()
    second, impatient = (asyncio.create_task(keystore.aclose()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert not second.done()
    store.may_end.set()
    await second
    await keystore.aopen()
    await first
    await keystore.aclose()


class Closes(SilentSensor):
    """A sensor that closes its keystore when it is closed itself."""

    def __init__(self, close: Callable[[], Awaitable[None]]) -> None:
        super().__init__("it has something else to do")
        self._close = close

    async def aclose(self) -> None:
        await self._close()


@pytest.mark.asyncio
async def test_what_a_close_waits_for_may_close_the_keystore() -> None:
    """Its store, its monitor's sensor, and their tasks: none of them waits for the close that waits for it."""
    store = Gate()
    keystore = huks.Keystore.open(store, sensor=lambda: Closes(keystore.aclose))

    async def in_a_task() -> None:
        await asyncio.create_task(keystore.aclose())

    store.meanwhile = in_a_task
    store.may_end.set()
    await keystore.aopen()
    await asyncio.sleep(0)
    await keystore.aclose()


@pytest.mark.asyncio
async def test_a_warning_that_is_an_error_keeps_no_thread() -> None:
    """A keystore that was forgotten lets its threads end, whatever becomes of its warning."""
    keystore = huks.Keystore.open("memory:", monitor=False)
    await keystore.aopen()
    state = keystore._state
    assert state is not None
    with pytest.raises(ResourceWarning, match="was never closed"):
        keystore.__del__()
    assert state.pool.closed
    await keystore.aclose()


@pytest.mark.parametrize("given", [None, "~nobody-of-this-name/keys"])
def test_a_user_without_a_home_folder_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    """As in a container whose user has no entry in the system's list."""
    for name in ("HOME", "XDG_DATA_HOME", "HUKS_ASYNC_HOME"):
        monkeypatch.delenv(name, raising=False)
    if given is not None:
        monkeypatch.setenv("HUKS_ASYNC_HOME", given)

    def unknown(*_: object) -> None:
        raise KeyError("no such user")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(huks.BusinessError, match="set HUKS_ASYNC_HOME") as caught:
        huks.Keystore.open()
    assert caught.value.code == 12000004

    async def use_default() -> None:
        await huks.hasKeyItem("key", {})

    with pytest.raises(huks.BusinessError, match="set HUKS_ASYNC_HOME"):
        asyncio.run(use_default())


def test_purged_sessions_are_counted_although_no_memory_can_be_given_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The system may refuse the thread for that, when memory is short; the sessions have ended, and the log tells it."""
    now = 0.0

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        nonlocal now
        async with huks.Keystore.open("memory:", monitor=False, clock=lambda: now) as keystore:
            await keystore.generateKeyItem("key", options(**AES_CBC))
            for _ in range(3):
                await keystore.initSession("key", SESSION)
            now = 1000.0
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", refused)
                assert await keystore.purge_stale_sessions() == 3

    asyncio.run(main())
    assert "giving memory back failed; the sessions were ended all the same" in caplog.text


@pytest.mark.parametrize("part", ["store", "root key", "backup"])
def test_a_current_folder_that_was_removed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """A relative path has no meaning then; the refusal names what it was for."""
    (tmp_path / "gone").mkdir()
    store = "sqlite:///keys.db" if part == "store" else f"sqlite:///{tmp_path}/keys.db"
    root_key = huks.FileRootKey("root.key" if part == "root key" else tmp_path / "root.key")

    async def main() -> None:
        async with huks.Keystore.open(store, root_key, monitor=False) as keystore:
            await keystore.backup("copy.db")

    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        with pytest.raises(huks.BusinessError, match=part) as caught:
            asyncio.run(main())
        assert caught.value.code == 12000004
