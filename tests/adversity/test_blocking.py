"""No public call waits on the event loop: sleeping, locking and file access there are errors."""

import asyncio
import sqlite3
import threading
from typing import ClassVar

import pytest

import huks_async as huks
from tests.adversity import support
from tests.adversity.support import data

blockbuster = pytest.importorskip("blockbuster", reason="blockbuster finds blocking calls")


@pytest.fixture
def alarmed():
    """Blocking calls in a running event loop raise BlockingError; SQLite's, too."""
    with blockbuster.blockbuster_ctx() as blocker:
        # a look at a name of which a file is open, which the kernel answers from memory
        blocker.functions["os.stat"].can_block_in("huks_async/stores/sqlite/walindex.py", {"look"})
        yield blocker


class Traced(sqlite3.Connection):
    """A connection that notes the threads it is used in."""

    seen: ClassVar[set[str]] = set()

    def execute(self, *args):
        self.seen.add(threading.current_thread().name)
        return super().execute(*args)

    def close(self):
        self.seen.add(threading.current_thread().name)
        return super().close()


def test_no_public_call_blocks_the_loop(tmp_path, alarmed, monkeypatch):
    """Opening with a new root key file, keys of all speeds, sessions, spools, listing, purging, closing."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **how: connect(*args, factory=Traced, **how))
    Traced.seen = set()

    async def main():
        async with huks.Keystore.open(f"sqlite:///{tmp_path}/deep/keys.db") as keystore:
            await keystore.generateKeyItem("aes", support.AES_KEY)
            await keystore.generateKeyItem("rsa", support.RSA_KEY)
            await keystore.generateKeyItem("ecc", support.ECC_KEY)
            await keystore.generateKeyItem("mac", support.HMAC_KEY)
            await keystore.generateKeyItem("base", support.BASE_KEY)
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            await keystore.exportKeyItem("rsa", support.NONE)
            await keystore.getKeyItemProperties("rsa", support.NONE)
            await keystore.hasKeyItem("absent", support.NONE)
            assert len((await keystore.listAliases(support.NONE)).keyAliases) == 5
            for alias, options in (
                ("aes", support.GCM_ENCRYPT),
                ("aes", support.CTR_ENCRYPT),
                ("rsa", support.RSA_KEY),
                ("ecc", support.SIGN),
                ("mac", support.HMAC),
            ):
                handle = (await keystore.initSession(alias, options)).handle
                await keystore.updateSession(handle, data(bytearray(2_000_000)))
                await keystore.finishSession(handle, data(b"x"))
            handle = (await keystore.initSession("base", support.derive(10_000))).handle
            await keystore.updateSession(handle, support.NONE)
            await keystore.finishSession(handle, support.keep_as("kept"))
            async with keystore.session("aes", support.GCM_ENCRYPT) as session:
                sealed = b"".join([part async for part in session.stream([bytes(3_000_000)])])
            async with keystore.session("aes", support.gcm_decrypt(sealed[-16:])) as session:
                out = [part async for part in session.stream([sealed[:-16]])]
            assert b"".join(out) == bytes(3_000_000)
            await keystore.initSession("aes", support.GCM_ENCRYPT)
            await keystore.purge_stale_sessions()
            await keystore.deleteKeyItem("aes", support.NONE)
            keystore.statistics()

    asyncio.run(main())
    assert Traced.seen
    assert all(name.startswith("huks-store") for name in Traced.seen), Traced.seen


def test_the_alarm_works(alarmed):
    """What this file relies on: a blocking call in the loop does raise."""
    import time

    async def main():
        time.sleep(0.001)

    with pytest.raises(blockbuster.BlockingError):
        asyncio.run(main())
