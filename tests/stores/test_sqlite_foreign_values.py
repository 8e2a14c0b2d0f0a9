"""What a SQLite store answers when another program has written values that this package never writes."""

import sqlite3
from contextlib import closing

import pytest
import pytest_asyncio

from huks_async.model.errors import BusinessError
from huks_async.stores import ItemName, SqliteStore, StoreConflictError
from huks_async.stores.base import MAX_NAME_BYTES
from huks_async.stores.sqlite.connections import MAX_VALUE_BYTES

A, B = ItemName("app", 2, "a"), ItemName("app", 2, "b")
LAST = 2**63 - 1


@pytest_asyncio.fixture
async def store(tmp_path):
    """A store with the rows a and b and a value of its own, at the versions 1 and 2."""
    opened = SqliteStore(tmp_path / "keys.db")
    await opened.open()
    await opened.put(A, b"first")
    await opened.put(B, b"second")
    await opened.put_meta("kept", b"value")
    yield opened
    await opened.aclose()


def change(store, statement, *values, table=None):
    """Write what another program may write; with a table, whatever types and rules its columns have."""
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        if table is None:
            connection.execute(statement, values)
            return
        ((strict,),) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
        loose = strict.replace("STRICT, ", "").replace(") STRICT", ")")
        for word in (" NOT NULL", " CHECK (only = 1)"):
            loose = loose.replace(word, "")
        _set_schema(connection, table, loose)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        connection.execute(statement, values)
        _set_schema(connection, table, strict)


def _set_schema(connection, table, sql):
    ((number,),) = connection.execute("PRAGMA schema_version").fetchall()
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, table))
    connection.execute(f"PRAGMA schema_version = {number + 1}")


async def refused(call):
    """Give the message of the error 12000004 that a call must raise, with a way out."""
    with pytest.raises(BusinessError) as caught:
        await call
    assert caught.value.code == 12000004
    assert "backup" in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("statement", "strict"),
    [
        (f"UPDATE sequence SET version = {LAST}", True),
        ("UPDATE sequence SET version = -1", True),
        ("DELETE FROM sequence", True),
        ("INSERT INTO sequence VALUES (2, 7)", False),
        ("UPDATE sequence SET version = 'many'", False),
        ("UPDATE sequence SET version = 2.5", False),
        ("UPDATE sequence SET version = NULL", False),
    ],
)
@pytest.mark.asyncio
async def test_no_version_is_issued_by_a_damaged_counter(store, statement, strict):
    """A version must be issued once only, so nothing can be written then; all that is there can be read."""
    change(store, statement, table=None if strict else "sequence")
    for expect in (None, 0):
        await refused(store.put(ItemName("app", 2, "new"), b"third", expect=expect))
    await refused(store.put(A, b"third"))
    assert await store.get(A) == (1, b"first")
    assert await store.aliases("app", 2) == ["a", "b"]


@pytest.mark.asyncio
async def test_the_last_versions_are_issued(store):
    """The counter ends where SQLite's numbers end; rows can be deleted afterwards."""
    change(store, "UPDATE sequence SET version = ?", LAST - 3)
    issued = [await store.put(ItemName("app", 2, f"k{number}"), b"x") for number in range(3)]
    assert issued == [LAST - 2, LAST - 1, LAST]
    await refused(store.put(A, b"third"))
    assert await store.delete(A)


@pytest.mark.parametrize("version", [0, -1])
@pytest.mark.asyncio
async def test_a_row_exists_at_whatever_version(store, version):
    """A conditional write that wants no row there must not replace one whose version is 0."""
    change(store, "UPDATE item SET version = ?", version)
    with pytest.raises(StoreConflictError):
        await store.put(A, b"third", expect=0)
    with pytest.raises(StoreConflictError):
        await store.delete(A, expect=0)
    assert "'a'" in await refused(store.get(A))
    assert await store.put(A, b"third") == 3
    assert await store.get(A) == (3, b"third")


@pytest.mark.parametrize("column", ["version", "blob"])
@pytest.mark.parametrize("value", ["text", None, 2.5])
@pytest.mark.asyncio
async def test_content_of_another_type_is_refused_and_can_be_deleted(store, column, value):
    """Columns have types, but not for whoever writes the schema by hand."""
    change(store, f"UPDATE item SET {column} = ? WHERE alias = CAST('a' AS BLOB)", value, table="item")
    await refused(store.get(A))
    assert await store.get(B) == (2, b"second")
    assert await store.delete(A)
    assert await store.get(A) is None


@pytest.mark.parametrize("alias", [b"\xff", b"x" * (MAX_NAME_BYTES + 1), "text", 7])
@pytest.mark.asyncio
async def test_an_alias_that_is_none_is_told(store, alias):
    """It would be listed as something that it is not."""
    change(
        store,
        "INSERT INTO item VALUES (CAST('app' AS BLOB), 2, ?, 9, x'00')",
        alias,
        table=None if isinstance(alias, bytes) else "item",
    )
    await refused(store.aliases("app", 2))
    assert await store.get(A) == (1, b"first")


@pytest.mark.parametrize("value", ["text", None, 5, 5_000_000_000, -5])
@pytest.mark.asyncio
async def test_a_value_of_the_store_that_is_not_bytes_is_refused(store, value):
    """`bytes` would make five thousand million zeros of a number."""
    change(store, "UPDATE meta SET value = ?", value, table="meta")
    await refused(store.get_meta("kept"))
    await refused(store.put_meta("kept", b"new"))


@pytest.mark.parametrize("items", ["text", None, -3])
@pytest.mark.asyncio
async def test_a_count_that_is_none_is_told(store, items):
    """A wrong number cannot be told from a right one, but this one can."""
    change(store, "UPDATE tally SET items = ?", items, table="tally")
    await refused(store.count("app", 2))


@pytest.mark.parametrize("items", [None, LAST])
@pytest.mark.asyncio
async def test_a_count_that_cannot_grow_is_told(store, items):
    """The triggers of the tables fail then, and with them the write."""
    change(store, "UPDATE tally SET items = ?", items, table="tally")
    await refused(store.put(ItemName("app", 2, "new"), b"third"))
    assert await store.get(ItemName("app", 2, "new")) is None


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE item SET blob = zeroblob(?) WHERE alias = CAST('a' AS BLOB)", "16 MiB"),
        ("UPDATE item SET alias = zeroblob(?) WHERE alias = CAST('a' AS BLOB)", "16 MiB"),
        ("UPDATE meta SET value = zeroblob(?)", "values of its own"),
        ("UPDATE tally SET items = ?", "counts"),
        ("INSERT INTO item VALUES (x'ff', 2, x'ff', 9, zeroblob(?))", "16 MiB"),
        ("INSERT INTO item SELECT x'ff', 2, x'ff', ?, x'00'", "UTF-8"),
        ("INSERT INTO meta SELECT x'ff', x'00' WHERE ?", "UTF-8"),
    ],
)
@pytest.mark.asyncio
async def test_a_backup_says_what_it_does_not_copy(store, tmp_path, statement, what):
    """A copy with such values would be no store."""
    change(store, statement, MAX_VALUE_BYTES + 1)
    message = await refused(store.backup(str(tmp_path / "copy.db"), lambda *_: None, lambda _: None))
    assert what in message
    if "16 MiB" not in what:
        assert "a copy of it has" in message
        assert "acknowledged" not in message
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.asyncio
async def test_writes_alone_say_that_nothing_was_acknowledged(store):
    """What a read finds is told, and nothing about writing."""
    change(store, "UPDATE meta SET value = 'text'", table="meta")
    read, written = await refused(store.get_meta("kept")), await refused(store.put_meta("kept", b"new"))
    assert "not as this package writes it: its value 'kept' is not bytes; another program changed it" in read
    assert "acknowledged" not in read
    assert "nothing of this call was acknowledged" in written


@pytest.mark.asyncio
async def test_a_longer_value_than_a_store_has_is_not_read(store):
    """A planted gigabyte would be taken into memory; it can be deleted or replaced unread."""
    change(store, "UPDATE item SET blob = zeroblob(?)", MAX_VALUE_BYTES + 1)
    change(store, "UPDATE meta SET value = zeroblob(?)", MAX_VALUE_BYTES + 1)
    assert "16 MiB" in await refused(store.get(A))
    assert "16 MiB" in await refused(store.get_meta("kept"))
    assert await store.aliases("app", 2) == ["a", "b"]
    assert await store.delete(A)
    assert await store.put(B, b"third") == 3
    assert await store.get(B) == (3, b"third")


@pytest.mark.asyncio
async def test_a_longer_value_than_is_read_is_not_written(store):
    """Nobody could read it; the writes beside it are done."""
    await refused(store.put(A, bytes(MAX_VALUE_BYTES + 1)))
    assert await store.get(A) == (1, b"first")
    long = bytes(MAX_VALUE_BYTES - 1000)
    assert await store.put(A, long) == 3
    assert await store.get(A) == (3, long)


@pytest.mark.parametrize("number", [0, -1])
@pytest.mark.asyncio
async def test_tables_of_no_schema_are_refused(tmp_path, number):
    """The number of the schema says which tables there are."""
    store = SqliteStore(tmp_path / "keys.db")
    await store.open()
    await store.aclose()
    change(store, f"PRAGMA user_version = {number}")
    assert "another program" in await refused(store.open())
