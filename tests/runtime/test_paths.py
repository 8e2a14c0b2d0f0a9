"""Objects that are given as paths and are none, and which file a path names."""

import asyncio
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from huks_async import BusinessError, FileRootKey, Keystore
from huks_async.cli.machine.doctor import _files_of
from huks_async.providers import Pkcs11Provider
from huks_async.rootkeys import Pkcs11RootKey
from huks_async.runtime.paths import absolute
from huks_async.stores import SqliteStore
from tests.keystore.support import AES_CBC, options


class NoPath:
    """Claims to be a path, and gives neither str nor bytes."""

    def __fspath__(self) -> int:
        return 5


@pytest.mark.parametrize(
    "make",
    [
        FileRootKey,
        SqliteStore,
        lambda path: Pkcs11RootKey(path, "token", "1234"),
        lambda path: Pkcs11Provider(path, "token"),
    ],
    ids=["FileRootKey", "SqliteStore", "Pkcs11RootKey", "Pkcs11Provider"],
)
@pytest.mark.parametrize("path", [NoPath(), b"/tmp/bytes", 5], ids=["no path", "bytes", "int"])
def test_what_is_no_path_is_refused(make: Callable[[object], object], path: object) -> None:
    """With 401 and a message that says what is needed."""
    with pytest.raises(BusinessError, match="path") as caught:
        make(path)
    assert caught.value.code == 401


@pytest.fixture
def linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `link`, which leads to `real/sub`."""
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/sub")
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def test_an_absolute_path_names_what_the_path_names(linked: Path) -> None:
    """As the system takes it: over all short paths of these words, relative and absolute, there or not."""
    (linked / "real" / "k.db").touch()
    for count in range(1, 5):
        for words in product(("..", ".", "", "link", "real", "sub", "k.db"), repeat=count):
            for path in ("/".join(words), f"{linked}/{'/'.join(words)}"):
                if not path:
                    continue
                made = absolute(path)
                assert os.path.isabs(made)
                assert os.pardir not in made.split("/")
                if os.path.exists(path):
                    assert os.path.samefile(made, path), path
                if os.pardir not in words:
                    assert made == os.path.abspath(path)


@pytest.mark.asyncio
async def test_a_path_behind_a_link_names_one_store(linked: Path) -> None:
    """Store, root key and backup are where the path leads, as other programs see it; other spellings are the same store."""
    async with Keystore.open("sqlite:///link/../k.db") as keystore:
        await keystore.generateKeyItem("a", options(**AES_CBC))
        made = await keystore.backup("link/../copy.db")
        assert made.path == f"{linked}/real/copy.db"
        for path in ("real/k.db", f"{linked}/link/../k.db", "real/sub/.././k.db"):
            async with Keystore.open(f"sqlite:///{path}") as same:
                assert (await same.hasKeyItem("a", options())) is True
                await same.generateKeyItem(path, options(**AES_CBC))
            assert (await keystore.hasKeyItem(path, options())) is True
    assert sorted(os.listdir("real")) == ["copy.db", "k.db", "k.db.root-key", "sub"]
    assert sorted(os.listdir()) == ["link", "real"]
    files = await asyncio.to_thread(lambda: list(_files_of(SqliteStore("link/../k.db"))))
    looked_at = {str(path) for path in files}
    assert {f"{linked}/real/k.db", f"{linked}/real/k.db.root-key"} <= looked_at


@pytest.mark.asyncio
async def test_a_root_key_behind_a_link(linked: Path) -> None:
    """Made where the path leads."""
    root_key = FileRootKey("link/../root.key")
    await root_key.open()
    await root_key.aclose()
    assert root_key.path == f"{linked}/real/root.key"
