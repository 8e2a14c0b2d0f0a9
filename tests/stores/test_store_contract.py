"""What every store promises, whatever it is made of."""

import asyncio
import itertools
import os
import sqlite3

import anyio
import pytest
import pytest_asyncio

from huks_async.model.errors import BusinessError
from huks_async.stores import ItemName, MemoryStore, SqliteStore, StoreConflictError

blockbuster = pytest.importorskip("blockbuster", reason="blockbuster is not installed")

A = ItemName("app", 2, "a")
ODD_ALIASES = [
    "", "\0", "\0\0", "a", "a\0", "a\0b", "a/b", "../a", "a b", "A", "%", "_", "'", '"', "\\", "\x7f", "\x80",
    "\u00e9", "e\u0301", "ключ", "密钥", "\ud7ff", "\ue000", "\uffff", "😀", "x" * 128, "😀" * 32, "\U0010ffff",
]  # fmt: skip


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    """An open store of each kind, with a guard against calls that block the event loop."""
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "store" / "keys.db")
    with blockbuster.blockbuster_ctx() as blocker:
        blocker.functions["os.stat"].can_block_in("huks_async/stores/sqlite/walindex.py", {"look"})
        await made.open()
        yield made
        await made.aclose()


@pytest.mark.asyncio
async def test_the_guard_sees_calls_that_block(tmp_path):
    """The guard of these tests is real: a database call on the event loop is refused."""
    with blockbuster.blockbuster_ctx():
        connection = sqlite3.connect(":memory:")
        with pytest.raises(blockbuster.BlockingError):
            connection.execute("SELECT 1")
        with pytest.raises(blockbuster.BlockingError):
            os.stat(tmp_path)
        connection.close()


@pytest.mark.asyncio
async def test_a_row_is_given_back_as_it_was_put(store):
    """Content and version come back; what was never put is None."""
    assert await store.get(A) is None
    for blob in (b"", b"\0", bytes(range(256)) * 300):
        version = await store.put(A, blob)
        row = await store.get(A)
        assert (row.version, row.blob) == (version, blob)


@pytest.mark.asyncio
async def test_bytes_like_content_is_copied(store):
    """A buffer that the caller changes later does not change the row."""
    buffer = bytearray(b"before")
    await store.put(A, buffer)
    buffer[:] = b"after!"
    row = await store.get(A)
    assert row.blob == b"before"
    assert type(row.blob) is bytes


@pytest.mark.asyncio
async def test_namespace_level_and_alias_tell_rows_apart(store):
    """Rows that share two of three parts of the name are different rows."""
    names = [
        ItemName(namespace, level, alias)
        for namespace, level, alias in itertools.product(["", "a", "b\0"], [-1, 0, 1 << 40], ["", "a", "b\0"])
    ]
    for name in names:
        await store.put(name, repr(name).encode())
    for name in names:
        assert (await store.get(name)).blob == repr(name).encode()
    assert await store.delete(names[0])
    assert [await store.get(name) is not None for name in names] == [False] + [True] * (len(names) - 1)


@pytest.mark.asyncio
async def test_versions_never_come_twice(store):
    """Each put gives a new version, after a delete and under other names too."""
    versions = []
    for _ in range(3):
        versions += [await store.put(A, b"1"), await store.put(A, b"2")]
        versions.append(await store.put(ItemName("b", 0, "b"), b"3"))
        assert await store.delete(A)
    assert len(set(versions)) == len(versions)
    assert min(versions) > 0


@pytest.mark.asyncio
async def test_a_conditional_put_wants_the_version_it_names(store):
    """expect=0 creates, expect=v replaces, all else is a conflict that names the current version."""
    with pytest.raises(StoreConflictError) as caught:
        await store.put(A, b"x", expect=7)
    assert (caught.value.current, caught.value.name) == (0, A)
    first = await store.put(A, b"first", expect=0)
    with pytest.raises(StoreConflictError, match=f"'a' is at version {first}") as caught:
        await store.put(A, b"x", expect=0)
    assert caught.value.current == first
    second = await store.put(A, b"second", expect=first)
    with pytest.raises(StoreConflictError):
        await store.put(A, b"x", expect=first)
    assert await store.get(A) == await store.get(A)
    assert (await store.get(A)).blob == b"second"
    assert (await store.get(A)).version == second


@pytest.mark.asyncio
async def test_a_conditional_delete_wants_the_version_it_names(store):
    """A delete of another version changes nothing; of an absent row it tells so."""
    assert await store.delete(A) is False
    assert await store.delete(A, expect=0) is False
    with pytest.raises(StoreConflictError, match="does not exist"):
        await store.delete(A, expect=5)
    version = await store.put(A, b"x")
    with pytest.raises(StoreConflictError) as caught:
        await store.delete(A, expect=version + 1)
    assert caught.value.current == version
    assert await store.delete(A, expect=version) is True
    assert await store.get(A) is None


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
async def test_aliases_come_in_pages_ordered_by_their_bytes(store, limit):
    """All pages together are all aliases, each once, sorted as UTF-8; other rows are not among them."""
    for alias in ODD_ALIASES:
        await store.put(ItemName("app", 1, alias), b"x")
        await store.put(ItemName("app", 2, alias + "!"), b"x")
        await store.put(ItemName("app2", 1, alias + "?"), b"x")
    found, after = [], None
    while page := await store.aliases("app", 1, after=after, limit=limit):
        assert len(page) <= limit
        found += page
        after = page[-1]
    assert found == sorted(ODD_ALIASES, key=str.encode)
    for alias in ODD_ALIASES:
        assert (await store.get(ItemName("app", 1, alias))).blob == b"x"
    assert await store.aliases("nobody", 1) == []
    assert await store.aliases("app", 3) == []


@pytest.mark.asyncio
async def test_a_page_goes_on_behind_an_alias_that_is_gone(store):
    """The key of the last page need not exist any more."""
    for alias in "abcd":
        await store.put(ItemName("app", 1, alias), b"x")
    await store.delete(ItemName("app", 1, "b"))
    assert await store.aliases("app", 1, after="b") == ["c", "d"]
    assert await store.aliases("app", 1, after="bz") == ["c", "d"]


@pytest.mark.asyncio
async def test_the_count_follows_every_change(store):
    """Creating adds one, replacing none, deleting takes one, conflicts change nothing."""
    assert await store.count("app", 2) == 0
    await store.put(A, b"1")
    await store.put(A, b"2")
    await store.put(ItemName("app", 2, "b"), b"1")
    await store.put(ItemName("app", 3, "b"), b"1")
    with pytest.raises(StoreConflictError):
        await store.put(A, b"3", expect=0)
    assert await store.count("app", 2) == 2
    await store.delete(A)
    await store.delete(A)
    assert await store.count("app", 2) == 1
    assert await store.count("app", 3) == 1


@pytest.mark.asyncio
async def test_the_first_meta_value_stays_until_it_is_replaced(store):
    """put_meta gives the value that is there, replace_meta changes it."""
    assert await store.get_meta("m") is None
    assert await store.put_meta("m", b"one") == b"one"
    assert await store.put_meta("m", b"two") == b"one"
    assert await store.get_meta("m") == b"one"
    await store.replace_meta("m", b"three")
    assert await store.get_meta("m") == b"three"
    await store.replace_meta("new", b"four")
    assert await store.put_meta("new", b"five") == b"four"
    assert await asyncio.gather(*(store.put_meta("race", bytes([n])) for n in range(20))) == [b"\0"] * 20


@pytest.mark.asyncio
async def test_of_many_that_compare_and_set_one_wins_each_round(store):
    """Twenty tasks that count up by compare-and-set lose no step."""
    await store.put(A, b"0")

    async def count_up():
        while True:
            row = await store.get(A)
            try:
                await store.put(A, b"%d" % (int(row.blob) + 1), expect=row.version)
            except StoreConflictError:
                continue
            return

    await asyncio.gather(*(count_up() for _ in range(20)))
    assert (await store.get(A)).blob == b"20"


@pytest.mark.asyncio
async def test_of_many_that_create_one_wins(store):
    """expect=0 lets exactly one of many creators through, in the same batch of writes too."""
    outcomes = await asyncio.gather(
        *(store.put(A, b"%d" % n, expect=0) for n in range(50)), return_exceptions=True
    )
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, StoreConflictError) for outcome in outcomes) == 49


@pytest.mark.asyncio
async def test_writes_of_one_task_are_seen_by_its_next_call(store):
    """A read after an acknowledged write, amid other writers, gives that write."""

    async def work(number):
        name = ItemName("app", number % 3, f"alias {number}")
        for step in range(5):
            version = await store.put(name, b"%d" % step)
            row = await store.get(name)
            assert (row.version, row.blob) == (version, b"%d" % step)
        if number % 2:
            assert await store.delete(name)
            assert await store.get(name) is None

    await asyncio.gather(*(work(number) for number in range(30)))
    assert [await store.count("app", level) for level in range(3)] == [5, 5, 5]
    assert [len(await store.aliases("app", level)) for level in range(3)] == [5, 5, 5]


@pytest.mark.asyncio
async def test_the_stamp_changes_with_every_write_and_only_then(store):
    """Reads, conflicts aside, leave the stamp; each acknowledged change gives a new one."""
    stamp = store.stamp()
    assert stamp is not None
    for change in (
        lambda: store.put(A, b"1"),
        lambda: store.put(A, b"1"),
        lambda: store.delete(A),
        lambda: store.put(ItemName("other", 0, "x"), b"1"),
    ):
        await change()
        assert store.stamp() != stamp
        stamp = store.stamp()
        await store.get(A)
        await store.aliases("app", 2)
        assert store.stamp() == stamp


@pytest.mark.asyncio
async def test_cancelled_writes_leave_the_store_usable(store):
    """However a put is cancelled, the row is the old or the new one, and the next write goes through."""
    other = ItemName("app", 2, "other")
    await store.put(A, b"old")
    for turns in range(12):
        task = asyncio.create_task(store.put(A, b"new %d" % turns))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        content = (await store.get(A)).blob
        assert content == b"old" or content.startswith(b"new")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.delete(other)
        await store.put(other, b"again")
    await store.put(A, b"last")
    assert (await store.get(A)).blob == b"last"
    assert await store.count("app", 2) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("bad", "why"), [("a\ud800", "surrogate"), ("a" * 65_537, "too long"), ("ä" * 32_769, "too long")]
)
async def test_names_that_cannot_be_kept_are_refused(store, bad, why):
    """A lone surrogate in any name, or too many bytes, is 401, and nothing else is disturbed."""
    calls = [
        lambda: store.get(ItemName(bad, 1, "a")),
        lambda: store.put(ItemName("a", 1, bad), b""),
        lambda: store.put(ItemName(bad, 1, "a"), b""),
        lambda: store.delete(ItemName("a", 1, bad)),
        lambda: store.aliases(bad, 1),
        lambda: store.aliases("a", 1, after=bad),
        lambda: store.count(bad, 1),
        lambda: store.get_meta(bad),
        lambda: store.put_meta(bad, b""),
        lambda: store.replace_meta(bad, b""),
    ]
    await store.put(ItemName("a", 1, "a"), b"")
    await store.put(ItemName("a", 2, "ä" * 32_768), b"")
    assert await store.aliases("a", 2) == ["ä" * 32_768]
    for call in calls:
        with pytest.raises(BusinessError, match=why) as caught:
            await call()
        assert caught.value.code == 401
    assert await store.count("a", 1) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("bad", [2**63, -(2**63) - 1])
async def test_levels_that_cannot_be_kept_are_refused(store, bad):
    """A number of more than 64 bits is 401, and what is written at the same time is kept."""
    calls = [
        lambda: store.get(ItemName("a", bad, "a")),
        lambda: store.delete(ItemName("a", bad, "a")),
        lambda: store.aliases("a", bad),
        lambda: store.count("a", bad),
    ]
    for call in calls:
        with pytest.raises(BusinessError, match="64-bit") as caught:
            await call()
        assert caught.value.code == 401
    await store.put(ItemName("a", 2**63 - 1, "a"), b"")
    await store.put(ItemName("a", -(2**63), "a"), b"")
    puts = (store.put(ItemName("a", level, "b"), b"") for level in (1, bad, 2))
    kept = await asyncio.gather(*puts, return_exceptions=True)
    assert [isinstance(outcome, int) for outcome in kept] == [True, False, True]
    assert kept[1].code == 401


@pytest.mark.asyncio
async def test_opening_and_closing_twice_does_nothing(store):
    """A store can be opened and closed again, and its rows are still there."""
    await store.put(A, b"kept")
    await store.open()
    assert (await store.get(A)).blob == b"kept"
    await store.aclose()
    await store.aclose()
    await store.open()
    assert (await store.get(A)).blob == b"kept"
