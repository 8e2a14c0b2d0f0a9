"""One store or root key object in several keystores: none of them loses what it works with when another leaves."""

import asyncio
import gc
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

import huks_async as huks
from huks_async.keystore import shared_parts
from huks_async.keystore.shared_parts import Parts
from huks_async.runtime.owner import Owner
from tests.adversity.support import descriptors
from tests.keystore.support import AES_CBC, options
from tests.keystore.test_loops import BACKENDS, run, threads_of_ours, use, wait_until

PORTABLE = options(**AES_CBC, IS_ALLOWED_WRAP=True)
WRAPPING = options(KEY_WRAP_TYPE=2)


def both(folder: Path) -> tuple[huks.Keystore, huks.Keystore]:
    """Two keystores with one store object and one root key object."""
    store, root_key = huks.SqliteStore(folder / "keys.db"), huks.FileRootKey(folder / "root.key")
    one, two = (huks.Keystore.open(store, root_key, namespace=name, monitor=False) for name in ("one", "two"))
    return one, two


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_the_last_that_leaves_closes_the_store(
    tmp_path: Path, backend: str, settings: dict[str, Any]
) -> None:
    """Whichever closes first, the other makes, uses and backs up keys; the last leaves no thread and no file open."""
    one, two = both(tmp_path)

    async def main() -> None:
        for first, last in ((one, two), (two, one)):
            await first.aopen()
            await last.aopen()
            await use(first)
            await first.aclose()
            with pytest.raises(huks.BusinessError, match="it was closed"):
                await use(first)
            assert await use(last) == 16
            await last.generateKeyItem("another", options(**AES_CBC))
            await last.backup(tmp_path / f"copy of {last._caller.namespace}")
            await first.aopen()  # in again, while the other is there
            await last.aclose()
            assert await use(first) == 16
            await first.aclose()

    run(main, backend, settings)
    wait_until(lambda: threads_of_ours() == 0)
    assert not [path for path in descriptors().values() if str(tmp_path) in path]


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_a_keystore_that_cannot_open_closes_nothing_of_another(
    tmp_path: Path, backend: str, settings: dict[str, Any]
) -> None:
    """A wrong root key, or a cancelled opening, of one keystore: the other goes on."""

    async def main() -> None:
        one, _ = both(tmp_path)
        wrong = huks.Keystore.open(one._store, huks.PassphraseRootKey("wrong words", log_n=10), monitor=False)
        async with one:
            await use(one)
            with pytest.raises(huks.BusinessError, match="another kind of root key"):
                await wrong.aopen()
            assert await use(one) == 16
            with anyio.CancelScope() as scope:
                scope.cancel()
                await wrong.aopen()
            assert not wrong.is_open
            assert await use(one) == 16

    run(main, backend, settings)


def test_a_wrapping_key_serves_until_the_last_keystore_has_left() -> None:
    """A wrapping key is not closed under a keystore that wraps with it."""

    async def main() -> None:
        wrapping_key = SlowKey()
        one, two = (huks.Keystore.open("memory:", monitor=False, wrapping_key=wrapping_key) for _ in range(2))
        async with one:
            await one.generateKeyItem("key", PORTABLE)
            async with two:
                blob = (await one.wrapKeyItem("key", WRAPPING)).outData
                await two.unwrapKeyItem("key", WRAPPING, blob)
            assert (await one.wrapKeyItem("key", WRAPPING)).outData
            assert wrapping_key.asked == ["open", "open"]
        assert wrapping_key.asked[2:] == ["closing", "closed"]

    anyio.run(main)


class SlowlyClosed(huks.MemoryStore):
    """A store that waits while it closes, and notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def open(self) -> None:
        self.asked.append("open")
        await super().open()

    async def aclose(self) -> None:
        self.asked.append("closing")
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        self.asked.append("closed")


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_opening_waits_for_the_end_of_closing(backend: str, settings: dict[str, Any]) -> None:
    """A keystore that opens while the last other one closes gets a store that is open."""

    async def main() -> None:
        store, root_key = SlowlyClosed(), huks.PassphraseRootKey("secret words", log_n=10)
        keystores = [huks.Keystore.open(store, root_key, monitor=False) for _ in range(3)]
        first = keystores[0]
        await first.aopen()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.aclose)
            while "closing" not in store.asked:
                await anyio.lowlevel.checkpoint()
            for other in keystores[1:]:
                tasks.start_soon(other.aopen)
        assert store.asked == ["open", "closing", "closed", "open", "open"]
        for other in keystores[1:]:
            assert await use(other) == 16
            await other.aclose()
        assert store.asked[5:] == ["closing", "closed"]

    run(main, backend, settings)


def test_a_store_object_belongs_to_one_event_loop_at_a_time(tmp_path: Path) -> None:
    """Another loop is told to take an object of its own, and harms nothing; later it may have this one."""
    one, two = both(tmp_path)
    told: list[str] = []

    async def intrude() -> None:
        try:
            async with two:
                told.append("no error")
        except huks.BusinessError as error:
            told.append(f"{error.code} {error.message}")

    async def main() -> None:
        async with one:
            await use(one)
            thread = threading.Thread(target=lambda: asyncio.run(intrude()))
            thread.start()
            await anyio.to_thread.run_sync(thread.join)
            assert await use(one) == 16

    anyio.run(main)
    assert len(told) == 1
    assert told[0].startswith("12000012")
    assert "a store object of its own: the same address opens the same keys" in told[0]
    anyio.run(intrude)
    assert told[1:] == ["no error"]


def test_a_loop_that_ended_does_not_keep_a_store_from_the_next(tmp_path: Path) -> None:
    """A keystore that was left open by a loop that is gone holds up nobody."""
    one, two = both(tmp_path)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(one.aopen())
    loop.close()

    async def main() -> None:
        async with two:
            assert await use(two) == 16
            await one.aclose()
            assert await use(two) == 16

    anyio.run(main)
    wait_until(lambda: threads_of_ours() == 0)


def test_root_key_files_are_made_by_whoever_may_make_them(tmp_path: Path) -> None:
    """One that may not make the file, in the same object at the same moment, changes nothing for the other."""

    async def main() -> None:
        root_key = huks.FileRootKey(tmp_path / "root.key")
        refused: list[int] = []

        async def of_old_store() -> None:
            try:
                await root_key.open(new=False)
            except huks.BusinessError as error:
                refused.append(error.code)

        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(of_old_store)
                tasks.start_soon(of_old_store)
        assert refused == [12000004] * 6
        await root_key.open()
        assert (tmp_path / "root.key").exists()

    anyio.run(main)


def test_an_opening_that_is_cancelled_leaves_the_store_to_another_that_opens(tmp_path: Path) -> None:
    """Two keystores open at once, and one is cancelled at any moment: the other one works, and closes everything."""

    async def main() -> None:
        for turns in range(12):
            one, two = both(tmp_path / str(turns))
            opening = asyncio.create_task(one.aopen())
            other = asyncio.create_task(two.aopen())
            for _ in range(turns):
                await asyncio.to_thread(lambda: None)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await other
            assert await use(two) == 16
            await two.aclose()
            await one.aclose()

    asyncio.run(main())
    wait_until(lambda: threads_of_ours() == 0)
    assert not [path for path in descriptors().values() if str(tmp_path) in path]


class SlowKey(huks.PassphraseRootKey):
    """A root key that waits while it closes, is of no use then, and fails at the end of it if told so."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__("secret words", log_n=10)
        self.asked: list[str] = []
        self.fails = fails

    async def open(self, *, new: bool = True) -> None:
        self.asked.append("open")

    async def aclose(self) -> None:
        self.asked.append("closing")
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        self.asked.append("closed")
        if self.fails:
            raise OSError("a key that cannot be closed")


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_opening_waits_for_the_end_of_closing_keys(backend: str, settings: dict[str, Any]) -> None:
    """A wrapping key is not closed under a keystore that opens it while the last other one closes."""

    async def main() -> None:
        key = SlowKey()
        one, two = (huks.Keystore.open("memory:", monitor=False, wrapping_key=key) for _ in range(2))
        await one.aopen()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.aclose)
            while "closing" not in key.asked:
                await anyio.lowlevel.checkpoint()
            tasks.start_soon(two.aopen)
        assert key.asked == ["open", "closing", "closed", "open"]
        await two.aclose()
        assert key.asked[4:] == ["closing", "closed"]

    run(main, backend, settings)


@pytest.mark.parametrize(("backend", "settings"), BACKENDS)
def test_opening_waits_for_another_event_loop_that_closes_a_key(
    backend: str, settings: dict[str, Any]
) -> None:
    """A key is not closed under a keystore of another loop that opens it while the last one of this loop closes."""

    class Watched(SlowKey):
        async def aclose(self) -> None:
            self.asked.append("closing")
            with anyio.move_on_after(0.3):
                while self.asked.count("open") < 2:
                    await anyio.sleep(0.001)
            self.asked.append("closed")

    key = Watched()
    one, two = (
        huks.Keystore.open("memory:", monitor=False, load_all=False, wrapping_key=key) for _ in range(2)
    )
    wrapped: list[bytes] = []

    async def other() -> None:
        with anyio.fail_after(120):
            async with two:
                await two.generateKeyItem("key", PORTABLE)
                wrapped.append((await two.wrapKeyItem("key", WRAPPING)).outData)

    async def main() -> None:
        await one.aopen()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.aclose)
            while "closing" not in key.asked:
                await anyio.lowlevel.checkpoint()
            await anyio.to_thread.run_sync(run, other, backend, settings)

    run(main, backend, settings)
    assert wrapped
    assert key.asked == ["open", "closing", "closed", "open", "closing", "closed"]


def test_a_root_key_that_fails_to_close_keeps_nothing_else_open() -> None:
    """The wrapping key and the store are closed all the same, and can be opened again."""

    async def main() -> None:
        store, root_key, wrapping_key = SlowlyClosed(), SlowKey(fails=True), SlowKey()
        keystore = huks.Keystore.open(store, root_key, wrapping_key=wrapping_key, monitor=False)
        for _ in range(2):
            await keystore.aopen()
            with pytest.raises(OSError, match="cannot be closed"):
                await keystore.aclose()
        assert wrapping_key.asked == ["open", "closing", "closed"] * 2
        assert store.asked == ["open", "closing", "closed"] * 2

    anyio.run(main)


@pytest.mark.asyncio
async def test_who_comes_while_another_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key may serve the event loops of several threads, which open and close their keystores at any moment."""
    key = huks.EphemeralRootKey()
    *opened, meanwhile = (Parts(huks.MemoryStore(), key, None) for _ in range(4))
    real = Owner.is_elsewhere

    def coming(owner: Owner) -> bool:
        shared_parts._uses[id(key)].users[meanwhile] = owner
        return real(owner)

    for parts in opened[:2]:
        await parts.open()
    with monkeypatch.context() as patch:
        patch.setattr(Owner, "is_elsewhere", coming)
        await opened[2].open()
    for parts in opened:
        await parts.aclose()


class NeverClosed(huks.EphemeralRootKey):
    """A key whose closing does not come to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = False

    async def aclose(self) -> None:
        self.closing = True
        await anyio.sleep_forever()


@pytest.mark.parametrize("ended", [False, True])
def test_a_closing_that_nobody_goes_on_with_keeps_nobody_out(ended: bool) -> None:
    """Its event loop was stopped in the middle, as by Ctrl-C, or is closed; other loops of the thread use the key."""
    key = NeverClosed()
    first = asyncio.new_event_loop()
    parts = Parts(huks.MemoryStore(), key, None)
    first.run_until_complete(parts.open())
    task = first.create_task(parts.aclose())
    while not key.closing:
        first.run_until_complete(asyncio.sleep(0))

    async def use_it() -> None:
        for _ in range(2):
            await Parts(huks.MemoryStore(), key, None).open()

    if not ended:
        asyncio.run(use_it())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        first.run_until_complete(task)
    first.close()
    asyncio.run(use_it())


def in_a_thread(function: Any) -> threading.Thread:
    """Run it in an event loop of another thread."""
    thread = threading.Thread(target=lambda: asyncio.run(function()), daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("other", ["comes", "leaves"])
def test_two_loops_decide_one_after_the_other(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    """One leaves a key while another thread's comes or leaves: it is open while it is used, and closed in the end."""
    key = SlowKey()
    one, two = (Parts(huks.MemoryStore(), huks.EphemeralRootKey(), key) for _ in range(2))
    real = shared_parts._Use.is_left_to
    threads: list[threading.Thread] = []
    done = threading.Event()

    async def meanwhile() -> None:
        await (two.open() if other == "comes" else two.aclose())
        done.set()

    def slowly(use: Any, parts: Parts) -> bool:
        left = real(use, parts)
        if parts is one and not threads and shared_parts._uses.get(id(key)) is use:
            threads.append(in_a_thread(meanwhile))
            until = time.monotonic() + 0.2
            while not done.is_set() and time.monotonic() < until:
                pass  # it must not get through now; if it does, then at once
        return left

    async def main() -> None:
        await one.open()
        if other == "leaves":
            await two.open()
        with monkeypatch.context() as patch:
            patch.setattr(shared_parts._Use, "is_left_to", slowly)
            await one.aclose()
            await anyio.to_thread.run_sync(threads[0].join, 120)
        if other == "comes":
            assert key.asked == ["open", "closing", "closed", "open"]
            await two.aclose()
        assert key.asked[-2:] == ["closing", "closed"]

    anyio.run(main)


class ClosedByNobody(huks.EphemeralRootKey):
    """A key whose closing waits for what nobody keeps."""

    async def aclose(self) -> None:
        await asyncio.get_running_loop().create_future()


def test_the_garbage_collector_ends_a_closing_in_the_middle_of_a_decision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may run at any allocation, and ends the closing in this thread, which has the lock already."""
    done = threading.Event()

    class Collecting(shared_parts._Use):
        def __init__(self) -> None:
            gc.collect()
            super().__init__()

    async def begin_to_close() -> None:
        parts = Parts(huks.MemoryStore(), huks.EphemeralRootKey(), ClosedByNobody())
        await parts.open()
        asyncio.create_task(parts.aclose())  # noqa: RUF006 - it is to be lost
        await asyncio.sleep(0)

    async def main() -> None:
        await begin_to_close()
        parts = Parts(huks.MemoryStore(), huks.EphemeralRootKey(), None)
        with monkeypatch.context() as patch:
            patch.setattr(shared_parts, "_Use", Collecting)
            await parts.open()
        await parts.aclose()
        done.set()

    was_enabled = gc.isenabled()
    gc.disable()  # so that the task is not collected before
    try:
        thread = in_a_thread(main)
        thread.join()
        assert done.is_set()
    finally:
        if was_enabled:
            gc.enable()
