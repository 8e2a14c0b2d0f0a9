"""A log without its database: a new store is not begun beside it, and nothing in it is lost."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

import pytest

from huks_async import BusinessError
from huks_async.stores import SqliteStore
from huks_async.stores.base import ItemName
from huks_async.stores.sqlite.creation import open_still
from tests.stores.peer import Peer

NAME = ItemName("app", 1, "key")


WRITE_AND_DIE = """
import os, signal, sys
import anyio
from huks_async.stores import ItemName, SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    await store.put(ItemName("app", 1, "key"), b"kept in the log")
    os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


def _write_and_die(path):
    done = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, path], check=False)
    assert done.returncode == -signal.SIGKILL


def _remove(path):
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + ending)


@pytest.mark.asyncio
async def test_a_store_is_not_begun_beside_a_log_that_was_left(tmp_path):
    """12000004 names the log; with the database back, the key is there; without the log, a new store is begun."""
    path = f"{tmp_path}/keystore.db"
    _write_and_die(path)
    os.rename(path, f"{tmp_path}/moved")
    assert (tmp_path / "keystore.db-wal").stat().st_size
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


@pytest.mark.asyncio
async def test_a_store_is_not_begun_beside_a_journal_that_was_left(tmp_path):
    """SQLite would undo in the new store what another program had begun in an old one; the journal may be needed there."""
    path = f"{tmp_path}/keystore.db"
    (tmp_path / "keystore.db-journal").write_bytes(b"journal" * 100)
    store = SqliteStore(path)
    with pytest.raises(BusinessError, match=r"keystore\.db-journal") as refused:
        await store.open()
    assert refused.value.code == 12000004
    assert not (tmp_path / "keystore.db").exists()


@pytest.mark.asyncio
async def test_a_log_that_killed_processes_left_is_written_back_at_once(tmp_path):
    """If a sync of it failed before they ended, nobody who opens it later is told; so nothing is written behind it."""
    path = f"{tmp_path}/keystore.db"
    _write_and_die(path)
    store = SqliteStore(path)
    await store.open()
    log = tmp_path / "keystore.db-wal"
    assert not log.stat().st_size

    def rows():
        with contextlib.closing(open_still(path)) as still:
            return still.execute("SELECT blob FROM item").fetchall()

    assert await asyncio.to_thread(rows) == [(b"kept in the log",)]
    await store.put(NAME, b"later")
    # while it is in use, those who have it open are told
    size = log.stat().st_size
    with Peer(path) as other:
        assert other.ask("opened()") is True
        assert log.stat().st_size == size
    await store.aclose()
