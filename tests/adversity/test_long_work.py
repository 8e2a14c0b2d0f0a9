"""Work that nobody can wait for: it ends when it is cancelled, and when its keystore closes."""

import functools
import importlib
import os
import subprocess
import sys
import threading

import anyio
import pytest

import huks_async as huks
from huks_async import HuksTag as T
from huks_async.crypto import engine
from huks_async.crypto.key_material import KeyMaterial
from tests.adversity import support
from tests.adversity.cancelled_work import ROUNDS, cancelled, children, derive
from tests.keys.key_samples import sample


@pytest.mark.parametrize("running", [False, True], ids=["while-they-start", "while-they-run"])
def test_cancelled_derivations_give_their_places_back(run, running):
    """More of them than there are workers; small threaded work goes on, and nothing is left."""
    left = run(functools.partial(cancelled, 16, running=running))
    assert (left.threads, left.processes, left.sessions, left.running) == ([], set(), 0, 0)


def test_closing_the_keystore_ends_long_work(run):
    """Callers are told 12000012; no process is left when the keystore is closed."""

    async def main():
        before, codes = children(), []
        keystore = huks.Keystore.open(store="memory:", workers=1)
        await keystore.aopen()
        secret = b"a key whose bytes nobody is told"
        await keystore.importKeyItem("base", {"properties": support.BASE_KEY.properties, "inData": secret})

        async def call():
            handle = (await keystore.initSession("base", support.derive(ROUNDS))).handle
            with pytest.raises(huks.BusinessError, match="the keystore was closed") as caught:
                await keystore.updateSession(handle, support.NONE)
            codes.append(caught.value.code)
            assert secret.decode() not in str(caught.value)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(call)
            while (keystore.statistics().processes, keystore.statistics().processes_waited_for) != (1, 2):
                await anyio.sleep(0.005)
            while not children() - before:
                await anyio.sleep(0.005)
            await keystore.aclose()
            assert children() <= before
        assert codes == [12000012] * 3

    run(main)


def test_a_long_derivation_gives_what_a_short_one_would(monkeypatch):
    """The same bytes from a process and from a worker thread; a second update is refused in both."""

    async def main():
        async with huks.Keystore.open(store="memory:") as keystore:
            await keystore.importKeyItem("base", support.imported(support.BASE_KEY, support.KEY))
            in_thread = await derive(keystore, 2000)
            monkeypatch.setattr("huks_async.sessions.driver._LONG_MICROSECONDS", 200.0)
            assert await derive(keystore, 2000) == in_thread
            handle = (await keystore.initSession("base", support.derive(2000))).handle
            await keystore.updateSession(handle, support.NONE)
            with pytest.raises(huks.BusinessError, match="takes one update") as caught:
                await keystore.updateSession(handle, support.NONE)
            assert caught.value.code == 12000012

    anyio.run(main)


def _seldom_ends(algorithm: int, size: int) -> KeyMaterial:
    threading.Event().wait()
    return engine.generate(algorithm, size)


def test_a_cancelled_generation_ends(run, monkeypatch):
    """RSA of 4096 bits is long work; the alias stays free and the process goes."""
    monkeypatch.setattr("huks_async.crypto.engine.generate", _seldom_ends)

    async def main():
        before = children()
        key = support.options(
            (T.HUKS_TAG_ALGORITHM, huks.HuksKeyAlg.HUKS_ALG_RSA),
            (T.HUKS_TAG_KEY_SIZE, 4096),
            (T.HUKS_TAG_PURPOSE, huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN),
        )
        async with huks.Keystore.open(store="memory:") as keystore:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(keystore.generateKeyItem, "long", key)
                while not children() - before:
                    await anyio.sleep(0.005)
                assert keystore.statistics().processes == 1
                tasks.cancel_scope.cancel()
            assert children() <= before
            assert not await keystore.hasKeyItem("long", support.NONE)

    run(main)


def test_a_generation_in_a_process_makes_a_key_that_works(monkeypatch):
    """What comes back through the pipe is stored and signs."""
    monkeypatch.setattr("huks_async.keys.lifecycle.LONG_SECONDS", 0.0)

    async def main():
        async with huks.Keystore.open(store="memory:") as keystore:
            await keystore.generateKeyItem("rsa", support.RSA_KEY)
            async with keystore.session("rsa", support.RSA_KEY) as session:
                assert len(await session.finish(b"text")) == 256

    anyio.run(main)


def _never_ends(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    threading.Event().wait()
    raise AssertionError("unreachable")


def test_a_cancelled_passphrase_ends(monkeypatch):
    """scrypt with costly parameters, which come with the store, runs where it can be ended."""

    monkeypatch.setattr("huks_async.rootkeys.passphrase._scrypt", _never_ends)

    async def main():
        before = children()
        root_key = huks.PassphraseRootKey("a passphrase", log_n=20, r=1, p=16)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(root_key.wrap, bytes(32))
            while not children() - before:
                await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
        assert children() <= before

    anyio.run(main)


def test_a_costly_passphrase_opens_what_it_wrapped():
    """The process derives the same key each time."""

    async def main():
        wrapped = await huks.PassphraseRootKey("a passphrase", log_n=10, r=16, p=16).wrap(bytes(range(32)))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("huks_async.rootkeys.passphrase.LONG_SECONDS", 0.0)
            assert await huks.PassphraseRootKey("a passphrase").unwrap(wrapped) == bytes(range(32))

    anyio.run(main)


@pytest.mark.parametrize(
    ("algorithm", "size", "kind"), [("DSA", 1024, 0), ("DSA", 1024, 2), ("RSA", 1024, 2), ("DH", 2048, 2)]
)
def test_checks_of_imported_keys_leave_the_event_loop(monkeypatch, algorithm, size, kind):
    """Each check that takes many milliseconds happens in another process, also that of a public DSA key's group."""
    number = huks.HuksKeyAlg[f"HUKS_ALG_{algorithm}"]
    purpose = {"DSA": 8 if kind == 0 else 4, "RSA": 4, "DH": 256}[algorithm]
    key = sample(number, size)
    modules = {"DSA": "asymmetric.dsa", "RSA": "asymmetric.rsa", "DH": "asymmetric.dh"}

    def refuse(*arguments: object) -> None:
        raise AssertionError("the check ran in this process")

    module = importlib.import_module(f"huks_async.crypto.{modules[algorithm]}")
    for name in ("material_from_parts", "material_from_numbers", "material_from_spki"):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, refuse)

    async def main():
        async with huks.Keystore.open(store="memory:") as keystore:
            given = support.options(
                (T.HUKS_TAG_ALGORITHM, number),
                (T.HUKS_TAG_KEY_SIZE, size),
                (T.HUKS_TAG_PURPOSE, purpose),
                (T.HUKS_TAG_DIGEST, huks.HuksKeyDigest.HUKS_DIGEST_SHA256),
                (T.HUKS_TAG_IMPORT_KEY_TYPE, kind),
                data=key.spki if kind == 0 else key.blob(),
            )
            await keystore.importKeyItem("imported", given)
            assert (await keystore.exportKeyItem("imported", support.NONE)).outData == key.spki

    anyio.run(main)


_LEAVES = """
import asyncio, os, sys
import huks_async as huks
from tests.adversity import support
from tests.adversity.cancelled_work import ROUNDS, children, derive
async def main():
    keystore = huks.Keystore.open(store="memory:")
    await keystore.aopen()
    await keystore.generateKeyItem("base", support.BASE_KEY)
    task = asyncio.create_task(derive(keystore, ROUNDS))
    while not children():
        await asyncio.sleep(0.005)
    print(*children(), flush=True)
    sys.exit(7)
asyncio.run(main())
"""


def test_a_program_that_ends_is_not_held_up():
    """It may leave a keystore open and a derivation running; neither keeps it, and the process goes with it."""
    ended = subprocess.run(
        [sys.executable, "-c", _LEAVES], stdout=subprocess.PIPE, text=True, timeout=120, check=False
    )
    assert ended.returncode == 7
    child = int(ended.stdout)
    support.wait_until(lambda: not os.path.exists(f"/proc/{child}"), "the end of the child")
