"""Which names a store may have: none that a store beside it would take for its own, write over or remove."""

import os
from pathlib import Path

import pytest

from huks_async import BusinessError, FileRootKey, Keystore
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


def _path(folder: Path, length: int) -> str:
    """A path of that many bytes, with names of a hundred."""
    path = str(folder.resolve())
    while length - len(path) > 201:
        path += "/" + "f" * 100
    return f"{path}/{'n' * (length - len(path) - 1)}"


async def test_a_name_that_is_too_long_for_the_files_beside_it_is_told_before_anything_is_made(
    tmp_path: Path,
) -> None:
    """Of the file, of the longest path that SQLite opens, and of a folder."""
    too_long = [
        "n" * 226,
        "n" * 250,
        "n" * 1000,
        f"folder/{'n' * 226}",
        f"folder/{'f' * 256}/keys.db",
        "f/" * 300 + "k",
    ]
    for path in (*(f"{tmp_path}/{long}" for long in too_long), _path(tmp_path, 484)):
        with pytest.raises(BusinessError, match=r"too long.*choose a shorter one") as refused:
            async with Keystore.open(f"sqlite:///{path}"):
                pass
        assert refused.value.code == 401
        assert os.listdir(tmp_path) == []
    for path in (f"{tmp_path}/{'n' * 225}", _path(tmp_path, 483)):
        async with Keystore.open(f"sqlite:///{path}") as keystore:
            assert (await keystore.backup(tmp_path / f"copy-{len(path)}.db")).keys == 0


async def test_a_path_that_is_too_long_for_a_backup_is_told(tmp_path: Path) -> None:
    """By the longest path that SQLite opens, where links lead."""
    target = _path(tmp_path, 475)
    os.makedirs(os.path.dirname(target))
    store = SqliteStore(tmp_path / "keys.db")
    await store.open()
    link = tmp_path / "link"
    link.symlink_to(os.path.dirname(target))
    for path in (target, f"{link}/{os.path.basename(target)}"):
        with pytest.raises(BusinessError, match="choose a shorter one") as refused:
            await store.backup(path, lambda *_: None, lambda *_: None)
        assert refused.value.code == 401
    back = os.path.join(os.path.dirname(target), "back")
    os.symlink(tmp_path, back)
    assert (await store.backup(f"{back}/copy.db", lambda *_: None, lambda *_: None)).rows == 0
    assert (await store.backup(target[:-1], lambda *_: None, lambda *_: None)).rows == 0
    await store.aclose()


async def test_a_store_whose_name_became_too_long_is_told_so(tmp_path: Path) -> None:
    """One that was renamed, so that its lock has no room."""
    store = SqliteStore(tmp_path / "keys.db")
    await store.open()
    await store.aclose()
    (tmp_path / "keys.db").rename(tmp_path / ("n" * 255))
    with pytest.raises(BusinessError, match="too long; give it a shorter name"):
        await SqliteStore(tmp_path / ("n" * 255)).open()
    assert os.listdir(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("behind", ["", "/", "/."])
async def test_a_root_key_file_has_no_name_of_a_file_that_belongs_to_a_store(
    tmp_path: Path, ending: str, behind: str
) -> None:
    """It would be removed or written over, and all keys be lost with it."""
    with pytest.raises(BusinessError, match="belongs to the database 'keys") as refused:
        FileRootKey(f"{tmp_path}/keys.db{ending}{behind}")
    assert refused.value.code == 401


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("there", [False, True])
async def test_nor_does_a_link_to_a_root_key_lead_to_one(tmp_path: Path, ending: str, there: bool) -> None:
    """Whether there is a file or not."""
    if there:
        await FileRootKey(tmp_path / "root.key").open()
        (tmp_path / "root.key").rename(tmp_path / f"keys.db{ending}")
    link = tmp_path / "link.key"
    link.symlink_to(f"keys.db{ending}")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(BusinessError, match="leads to has the name") as refused:
        await FileRootKey(link).open()
    assert refused.value.code == 401
    assert sorted(os.listdir(tmp_path)) == before


async def test_a_root_key_file_whose_name_is_too_long_is_told(tmp_path: Path) -> None:
    """Its draft has a longer one."""
    with pytest.raises(BusinessError, match=r"too long.*choose a shorter one") as refused:
        await FileRootKey(tmp_path / ("n" * 240)).open()
    assert refused.value.code == 401
    assert os.listdir(tmp_path) == []
