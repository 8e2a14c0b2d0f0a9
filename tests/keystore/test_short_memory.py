"""Functions that the system gives no memory for say so by 12000014, whichever of their steps it was."""

import ctypes
import io
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import pytest_asyncio

import huks_async as huks
from huks_async.files.chunks import ChunkCipher
from huks_async.messages.deterministic import DeterministicSealer
from huks_async.messages.symmetric import Opener, Sealer
from huks_async.stores.sqlite import files
from huks_async.stores.sqlite.backup import Backup
from huks_async.stores.sqlite.engine import Engine
from tests.keystore.support import options

Work: TypeAlias = Callable[[huks.Keystore, bytes], Coroutine[Any, Any, object]]


@pytest_asyncio.fixture
async def keystore(tmp_path: Path) -> AsyncIterator[huks.Keystore]:
    """A keystore in a file, with a key."""
    async with huks.Keystore.open(f"sqlite:///{tmp_path}/keys.db", monitor=False) as opened:
        await opened.generateKeyItem("key", _key())
        yield opened


def _key() -> dict[str, Any]:
    return options(
        ALGORITHM=huks.HuksKeyAlg.HUKS_ALG_AES,
        KEY_SIZE=256,
        PURPOSE=huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT | huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT,
        BLOCK_MODE=huks.HuksCipherMode.HUKS_MODE_GCM,
        PADDING=huks.HuksKeyPadding.HUKS_PADDING_NONE,
    )


async def _whole(pieces: AsyncGenerator[bytes, None]) -> bytes:
    async with aclosing(pieces):
        return b"".join([piece async for piece in pieces])


async def _range(keystore: huks.Keystore, sealed: bytes) -> bytes:
    async with keystore.open_sealed("key", io.BytesIO(sealed)) as reader:
        return await reader.read_at(0, 5)


STEPS: dict[str, tuple[Work, type, str]] = {
    "encrypt_stream": (
        lambda keystore, _: _whole(keystore.encrypt_stream("key", [b"abcde"])),
        ChunkCipher,
        "seal",
    ),
    "decrypt_stream": (
        lambda keystore, sealed: _whole(keystore.decrypt_stream("key", [sealed])),
        ChunkCipher,
        "open",
    ),
    "open_sealed": (_range, ChunkCipher, "open"),
    "seal": (lambda keystore, _: keystore.seal("key", b"abc"), Sealer, "seal"),
    "seal_deterministic": (
        lambda keystore, _: keystore.seal_deterministic("key", b"abc"),
        DeterministicSealer,
        "seal",
    ),
    "backup": (lambda keystore, _: keystore.backup("copy.db"), Backup, "_copy"),
    "listAliases": (lambda keystore, _: keystore.listAliases({"properties": []}), Engine, "select"),
    "generateKeyItem": (lambda keystore, _: keystore.generateKeyItem("new", _key()), Engine, "_commit"),
}


@pytest.mark.parametrize(("work", "owner", "name"), STEPS.values(), ids=STEPS)
@pytest.mark.asyncio
async def test_short_memory_is_told_by_its_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keystore: huks.Keystore,
    work: Work,
    owner: type,
    name: str,
) -> None:
    """And the same call succeeds once there is memory."""
    monkeypatch.chdir(tmp_path)

    def short(*_: object, **__: object) -> None:
        raise MemoryError

    sealed = await _whole(keystore.encrypt_stream("key", [b"abcde"]))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, short)
        with pytest.raises(huks.BusinessError, match="gives no memory") as caught:
            await work(keystore, sealed)
    assert caught.value.code == 12000014
    await work(keystore, sealed)


@pytest.mark.asyncio
async def test_unseal_is_told_short_memory_by_its_code(
    monkeypatch: pytest.MonkeyPatch, keystore: huks.Keystore
) -> None:
    """A message that it could not open for want of memory is not a wrong one."""
    sealed = await keystore.seal("key", b"abc")

    def short(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Opener, "open", short)
        with pytest.raises(huks.BusinessError, match="gives no memory") as caught:
            await keystore.unseal("key", sealed)
    assert caught.value.code == 12000014
    assert await keystore.unseal("key", sealed) == b"abc"


@pytest.mark.asyncio
async def test_a_store_is_not_opened_without_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own want of memory comes as `MemoryError`."""
    keystore = huks.Keystore.open(f"sqlite:///{tmp_path}/keys.db", monitor=False)

    def short(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", short)
        with pytest.raises(huks.BusinessError, match="gives no memory") as caught:
            await keystore.aopen()
    assert caught.value.code == 12000014
    async with keystore:
        assert keystore.is_open


@pytest.mark.skipif(files._statx is None, reason="this system has no statx")
def test_a_look_at_a_file_needs_no_memory_of_ctypes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it has none to pass an argument, the file is looked at in the ordinary way."""
    path = str(tmp_path / "file")
    Path(path).touch()
    found = files.inode(path)

    def short(*_: object) -> None:
        raise ctypes.ArgumentError("argument 5: MemoryError")

    monkeypatch.setattr(files, "_statx", short)
    assert files.inode(path) == found
    assert files.Names([(path, found)]).hold()
    assert not files.Names([(path, None)]).hold()
