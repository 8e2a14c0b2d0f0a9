"""Which keystore the functions of the module work on: that of the block, and never another in its place."""

import asyncio
from pathlib import Path

import pytest

import huks_async as huks
from huks_async import huksExternalCrypto
from tests.conformance.support import refused
from tests.keystore.support import AES_CBC, options


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default store would be made here."""
    monkeypatch.setenv("HUKS_ASYNC_HOME", str(tmp_path / "home"))


def _made(folder: Path) -> bool:
    """Whether anything was made where the default store would be."""
    return (folder / "home").exists()


async def _make_late(leave: asyncio.Event) -> None:
    await leave.wait()
    await huks.generateKeyItem("late", options(**AES_CBC))


async def _refused(task: "asyncio.Task[None]") -> None:
    with pytest.raises(huks.BusinessError, match="it was closed") as caught:
        await task
    assert caught.value.code == 12000012


@pytest.mark.asyncio
async def test_a_task_that_outlives_its_block_makes_no_key_elsewhere(tmp_path: Path) -> None:
    """It is told that its keystore was closed; no default store appears, and no outer keystore is used."""
    left = asyncio.Event()
    async with huks.Keystore.open("memory:") as outer:
        async with huks.Keystore.open("memory:"):
            of_inner = asyncio.create_task(_make_late(left))
        of_outer = asyncio.create_task(_make_late(asyncio.Event()))
        await asyncio.sleep(0)
        left.set()
        await _refused(of_inner)
        assert not await outer.hasKeyItem("late", options())
        of_outer.cancel()
        left = asyncio.Event()
        of_outer = asyncio.create_task(_make_late(left))
        await asyncio.sleep(0)
    left.set()
    await _refused(of_outer)
    assert not _made(tmp_path)


@pytest.mark.asyncio
async def test_a_block_whose_keystore_was_closed_has_no_other(tmp_path: Path) -> None:
    """After `aclose` within the block its functions are refused; opened again, it is used again."""
    async with huks.Keystore.open("memory:", huks.PassphraseRootKey("secret words", log_n=10)) as keystore:
        await keystore.aclose()
        with pytest.raises(huks.BusinessError, match="it was closed"):
            await huks.hasKeyItem("key", options())
        assert huksExternalCrypto.getErrorInfo() == huksExternalCrypto.HuksExternalErrorInfo()
        await keystore.aopen()
        assert not await huks.hasKeyItem("key", options())
    assert not _made(tmp_path)
    # outside of all blocks there is the default keystore
    assert not await huks.hasKeyItem("key", options())
    assert _made(tmp_path)


def test_outside_of_an_event_loop_there_is_none(tmp_path: Path) -> None:
    """As in a child that was forked from within one: the call says so, and getErrorInfo knows of no failure."""
    assert huksExternalCrypto.getErrorInfo() == huksExternalCrypto.HuksExternalErrorInfo()
    call = huks.hasKeyItem("key", options())
    with refused(12000012, "event loop", "fork"):
        call.send(None)
    assert not _made(tmp_path)
