"""Which names a store may have: none that a store beside it would take for its own, write over or remove."""

import os
from pathlib import Path

import pytest

from huks_async import BusinessError
from huks_async.stores import SqliteStore
from tests.stores.peer import name

pytestmark = pytest.mark.asyncio

_NUMBER = "0123456789abcdef"
ENDINGS = [
    "-wal",
    "-shm",
    "-journal",
    ".lock",
    f".{_NUMBER}.new",
    f".{_NUMBER}.new-wal",
    f".{_NUMBER}.backup-draft",
]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("behind", ["", "/", "/."])
async def test_a_store_has_no_name_of_a_file_that_belongs_to_another(
    tmp_path: Path, ending: str, behind: str
) -> None:
    """It would be lost when that is opened. Nothing is made."""
    with pytest.raises(BusinessError, match="belongs to the database 'keys") as refused:
        SqliteStore(f"{tmp_path}/keys.db{ending}{behind}")
    assert refused.value.code == 401
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ending", ENDINGS)
async def test_nor_does_a_link_lead_to_one(tmp_path: Path, ending: str) -> None:
    """Whether there is a file or not."""
    link = tmp_path / "link.db"
    link.symlink_to(f"keys.db{ending}")
    with pytest.raises(BusinessError, match="leads to has the name") as refused:
        await SqliteStore(link).open()
    assert refused.value.code == 401
    assert os.listdir(tmp_path) == ["link.db"]


@pytest.mark.parametrize(
    "odd",
    [
        *(
            "my.new",
            "keys.db.new",
            f"keys.db.{_NUMBER[1:]}.new",
            f"keys.db.{_NUMBER.upper()}.new",
            "keys.db-wal2",
        ),
        *(
            "keys.db.backup-draft",
            f"keys.db-wal.{_NUMBER}.unsaved",
            ".lock",
            "-wal",
            f".{_NUMBER}.new",
            "keys.lock.db",
        ),
    ],
)
async def test_other_names_do_and_their_keys_stay(tmp_path: Path, odd: str) -> None:
    """Beside a store that is made, backed up and opened again."""
    store = SqliteStore(tmp_path / odd)
    await store.open()
    await store.put(name("a"), b"x")
    await store.aclose()
    for number in range(2):
        other = SqliteStore(tmp_path / "keys.db")
        await other.open()
        await other.backup(f"{tmp_path}/copy{number}.db", lambda *_: None, lambda *_: None)
        await other.aclose()
    await store.open()
    assert await store.aliases("app", 2) == ["a"]
    await store.aclose()
