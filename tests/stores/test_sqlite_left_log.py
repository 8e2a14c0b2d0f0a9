"""A log without its database: a new store is not begun beside it, and nothing in it is lost."""

import contextlib
import os
import signal

import pytest

from huks_async import BusinessError
from huks_async.stores import SqliteStore
from huks_async.stores.base import ItemName
from tests.adversity.acknowledged import in_child

NAME = ItemName("app", 1, "key")


def _write_and_die(path):
    import anyio

    async def main():
        store = SqliteStore(path)
        await store.open()
        await store.put(NAME, b"kept in the log")
        os.kill(os.getpid(), signal.SIGKILL)

    anyio.run(main)


def _remove(path):
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + ending)


@pytest.mark.asyncio
async def test_a_store_is_not_begun_beside_a_log_that_was_left(tmp_path):
    """12000004 names the log; with the database back, the key is there; without the log, a new store is begun."""
    path = f"{tmp_path}/keystore.db"
    with pytest.raises(EOFError):
        in_child(_write_and_die, path)
    os.rename(path, f"{tmp_path}/moved")
    assert (tmp_path / "keystore.db-wal").stat().st_size  # noqa: ASYNC240 - nobody else waits
    store = SqliteStore(path)
    with pytest.raises(BusinessError, match="its log is there") as refused:
        await store.open()
    assert refused.value.code == 12000004
    os.rename(f"{tmp_path}/moved", path)
    await store.open()
    row = await store.get(NAME)
    assert row
    assert row.blob == b"kept in the log"
    await store.aclose()

    _remove(path)
    await store.open()
    assert await store.is_empty()
    await store.aclose()
