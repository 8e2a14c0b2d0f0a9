"""A keystore that closes at each suspension point of each call: the call ends with its result, or says why not."""

import contextlib
import io
import os

import anyio
import pytest

import huks_async as huks
from huks_async.access import Lockout, PinAuthenticator
from tests.access.support import finish, generate, open_session
from tests.adversity import support
from tests.adversity.test_cancellation import CALLS, Points, deriving, nothing, prepare
from tests.garbage import collect_until

USER = 100
ENDS = {12000011, 12000012}
"""What a call may say when its keystore closed meanwhile: the session is gone, or the keystore cannot be used."""

FILE = bytes(range(256)) * 12_000


async def guarded(keystore):
    """A session that waits for a token, and the token."""
    opened = await open_session(keystore, "bound")
    return opened, await keystore.authenticate(opened.challenge, "1234")


async def sealed_file(keystore):
    return [b"".join([piece async for piece in keystore.encrypt_stream("aes", [FILE])])]


async def seal_all(keystore, _):
    return b"".join([piece async for piece in keystore.encrypt_stream("aes", io.BytesIO(FILE))])


async def open_all(keystore, prepared):
    opened = b"".join([piece async for piece in keystore.decrypt_stream("aes", prepared)])
    assert opened == FILE


async def read_parts(keystore, prepared):
    async with keystore.open_sealed("aes", io.BytesIO(prepared[0])) as reader:
        for start in (0, 2_000_000, 100):
            assert await reader.read_at(start, 500_000) == FILE[start : start + 500_000]


async def message(keystore):
    return await keystore.seal("aes", bytes(300_000))


async def enrolled_anew(keystore, _):
    await keystore._authenticator.enroll(keystore, USER + 1, "5678")


async def forget_second_user(keystore):
    with contextlib.suppress(huks.BusinessError):
        await keystore._authenticator.clear(keystore, USER + 1)


class Folder:
    """Names of files to make."""

    path = ""


async def back_up(keystore, _):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{Folder.path}/copy.db")
    try:
        await keystore.backup(f"{Folder.path}/copy.db")
    except BaseException:
        assert not [name for name in os.listdir(Folder.path) if "copy" in name]
        raise


MORE = {
    "generateKeyItem in a process": (nothing, lambda k, _: k.generateKeyItem("new", support.RSA_KEY)),
    "updateSession in a process": (deriving, lambda k, h: k.updateSession(h, support.NONE)),
    "finishSession behind a gate": (guarded, lambda k, p: finish(k, *p)),
    "initSession behind a gate": (nothing, lambda k, _: open_session(k, "bound")),
    "generateKeyItem of a bound key": (nothing, lambda k, _: generate(k, "new")),
    "authenticate": (nothing, lambda k, _: k.authenticate(bytes(32), "1234")),
    "enroll": (forget_second_user, enrolled_anew),
    "change": (nothing, lambda k, _: k._authenticator.change(k, USER, "1234", "1234")),
    "encrypt_stream": (nothing, seal_all),
    "decrypt_stream": (sealed_file, open_all),
    "open_sealed": (sealed_file, read_parts),
    "seal": (nothing, lambda k, _: k.seal("aes", bytes(300_000))),
    "unseal": (message, lambda k, m: k.unseal("aes", m)),
    "backup": (nothing, back_up),
}
ALL = {**CALLS, **MORE}
OF_USERS = {"authenticate", "enroll", "change"}


async def closing(keystore, coroutine, at):
    """Have the keystore closed at the given point of a call; gives the points seen, and the error if any."""
    close = anyio.Event()
    told = None
    points = Points(coroutine, at, close.set)

    async def closer():
        await close.wait()
        await keystore.aclose()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(closer)
        try:
            await points
        except huks.BusinessError as error:
            told = error
        close.set()
    return points.count, told


async def look(keystore, name):
    """Every key that is listed can be opened, the old ones work, and a PIN is right or wrong as before."""
    for alias in (await keystore.listAliases(support.NONE)).keyAliases:
        assert (await keystore.getKeyItemProperties(alias, support.NONE)).properties, (name, alias)
    async with keystore.session("aes", support.GCM_ENCRYPT) as session:
        await session.finish(b"works")
    statistics = keystore.statistics()
    assert statistics.open == statistics.busy == statistics.jobs == statistics.processes == 0, name
    if name in OF_USERS:
        await keystore.authenticate(bytes(32), "1234")


@contextlib.contextmanager
def quick_work(name):
    """PINs and long work are soon done; what a process does is still done by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huks_async.access.pin._LOG_N", 4)
        if name.endswith("in a process"):
            patch.setattr("huks_async.keys.lifecycle.LONG_SECONDS", 0.0)
            patch.setattr("huks_async.sessions.driver._LONG_MICROSECONDS", 200.0)
        yield


def test_closing_anywhere_ends_each_call(run, tmp_path, capsys):
    """Nothing hangs and nothing is left; what was stored is whole; the keystore can be opened again.

    Of calls with many suspension points some are tried; `test_cancellation` tries them all.
    """
    tried = 0

    async def main():
        nonlocal tried
        Folder.path = str(tmp_path)
        keystore = huks.Keystore.open(
            f"sqlite:///{tmp_path}/keys.db",
            huks.FileRootKey(tmp_path / "root.key"),
            monitor=False,
            clock=support.Clock(),
            wrapping_key=huks.FileRootKey(tmp_path / "wrapping.key"),
            authenticator=PinAuthenticator(lockout=Lockout(free=1000)),
        )
        await keystore.aopen()
        await prepare(keystore)
        with quick_work("enroll"):
            await keystore._authenticator.enroll(keystore, USER, "1234")
        await generate(keystore, "bound")
        for name, (preparation, call) in ALL.items():
            at = 1
            while True:
                if not keystore.is_open:
                    await keystore.aopen()
                if not await keystore.hasKeyItem("victim", support.NONE):
                    await keystore.importKeyItem("victim", support.imported(support.AES_KEY, support.KEY))
                prepared = await preparation(keystore)
                keystore._state.shelf.shrink()
                keystore._state.driver._dispatcher.turn_ends = 0.0
                with quick_work(name):
                    count, told = await closing(keystore, call(keystore, prepared), at)
                assert not keystore.is_open
                if told is not None:
                    assert told.code in ENDS, (name, at, told.code, told.message)
                    assert count >= at, (name, at, told.message)
                await keystore.aopen()
                await look(keystore, name)
                if count < at:
                    break
                tried += 1
                at += 1 + at // 3
        await keystore.aclose()

    run(main)
    assert tried > 60
    support.wait_until(lambda: not support.threads(), "the end of the threads")
    collect_until(
        lambda: not any("keys.db" in to or "copy" in to for to in support.descriptors().values()),
        "the end of the descriptors",
    )
    with capsys.disabled():
        print(f"\n{tried} suspension points", end="")
