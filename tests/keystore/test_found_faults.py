"""Faults that were found by trying to break the keystore, each with the test that would have found it."""

import asyncio
import os
import sqlite3
import sys
import warnings
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.utils import CryptographyDeprecationWarning

import huks_async as huks
from huks_async.crypto.asymmetric.dh import prime_of
from huks_async.sessions.costs import COSTS
from tests.conformance import support as s
from tests.keys.key_samples import RSA, header_form, sample

pytestmark = pytest.mark.asyncio

GCM = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "PADDING": s.NOPAD, "BLOCK_MODE": s.GCM}
AGREEING = {"ALGORITHM": s.X25519, "KEY_SIZE": 256, "PURPOSE": s.AGREE}


async def test_a_stream_holds_back_also_where_the_parameters_come_from_an_iterator() -> None:
    """Parameters that can be read once, or that change later, still say that plaintext must wait for its tag."""
    async with huks.Keystore.open(store="memory:") as keystore:
        await keystore.generateKeyItem("k", s.options(**GCM, PURPOSE=s.CIPHER))
        wrong = s.properties(**GCM, PURPOSE=s.DECRYPT, NONCE=s.NONCE12, AE_TAG=bytes(16))
        for given in (iter(wrong), list(wrong)):
            released = b""
            with pytest.raises(huks.CryptoError):
                async with keystore.session("k", {"properties": given}) as session:
                    if isinstance(given, list):
                        given.clear()
                    async for part in session.stream([bytes(300_000)]):
                        released += part
            assert released == b""


async def test_a_block_that_is_left_while_a_call_runs_ends_its_session() -> None:
    """The session goes with the end of the call that another task still has running."""
    async with huks.Keystore.open(store="memory:") as keystore:
        await keystore.generateKeyItem("k", s.options(**GCM, PURPOSE=s.CIPHER))

        async def fails() -> None:
            raise ValueError

        with pytest.raises(ValueError):  # noqa: PT011 - that of the other task
            async with keystore.session("k", s.options(**GCM, PURPOSE=s.ENCRYPT)) as session:
                await asyncio.gather(session.update(bytes(20_000_000)), fails())
        with anyio.fail_after(120):
            while keystore.statistics().open:
                await anyio.sleep(0.01)
        assert keystore.statistics().aborted == 1


@pytest.mark.parametrize(
    "more", [{"KEY_ACCESS_GROUP": b"g"}, {"KEY_ACCESS_GROUP": b""}], ids=["no policy", "no group"]
)
async def test_a_refused_place_for_the_result_ends_the_session(more: dict[str, Any]) -> None:
    """Finish of an agreement that is refused for the group of its result leaves no busy session behind."""
    async with huks.Keystore.open(store="memory:") as keystore:
        for alias in ("a", "b"):
            await keystore.generateKeyItem(alias, s.options(**AGREEING))
        peer = (await keystore.exportKeyItem("b", s.options())).outData
        handle = (await keystore.initSession("a", s.options(**AGREEING))).handle
        await keystore.updateSession(handle, s.options(peer))
        with pytest.raises(huks.BusinessError):
            await keystore.finishSession(handle, s.options(**more))
        statistics = keystore.statistics()
        assert (statistics.open, statistics.busy) == (0, 0)


class Answering:
    """A policy that gives what it is told to give."""

    def __init__(self, may: Any, groups: Any = ()) -> None:
        self.may, self.groups = may, groups

    def may_act_for(self, caller: huks.Caller, user_id: int) -> Any:
        return self.may() if callable(self.may) else self.may

    def groups_of(self, caller: huks.Caller) -> Any:
        return self.groups() if callable(self.groups) else self.groups


async def coroutine() -> bool:
    return True


def failing() -> bool:
    raise RuntimeError("the directory does not answer")


@pytest.mark.parametrize(
    ("answer", "code"),
    [(coroutine, 12000012), ("no", 201), (1, 201), (None, 201), (failing, 12000012)],
    ids=["a coroutine", "text", "1", "None", "an exception"],
)
async def test_only_true_permits(answer: Any, code: int) -> None:
    """Whatever a policy answers but True is no permission, and its failures are BusinessErrors."""
    async with huks.Keystore.open(store="memory:", policy=Answering(answer)) as keystore:
        with s.refused(code):
            await keystore.generateKeyItemAsUser(
                200, "k", s.options(**GCM, PURPOSE=s.CIPHER, AUTH_STORAGE_LEVEL=s.CE)
            )


async def test_groups_are_names_and_not_letters() -> None:
    """One text in place of a collection of names makes no groups of its letters."""
    async with huks.Keystore.open(store="memory:", policy=Answering(False, "team")) as keystore:
        with s.refused(12000012, "groups_of"):
            await keystore.hasKeyItem("k", s.options(KEY_ACCESS_GROUP=b"t"))


async def test_an_import_does_not_run_the_program_again(tmp_path: Path) -> None:
    """A program without a guard around its main part imports an RSA key, and runs once."""
    key = tmp_path / "key"
    key.write_bytes(header_form(RSA, 2048, sample(RSA, 2048).fields))
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import asyncio, huks_async as huks
print("run")
async def main():
    async with huks.Keystore.open(store="memory:") as keystore:
        tags = dict(ALGORITHM=1, KEY_SIZE=2048, PURPOSE=12, IMPORT_KEY_TYPE=2)
        properties = [huks.HuksParam(huks.HuksTag["HUKS_TAG_" + name], value) for name, value in tags.items()]
        await keystore.importKeyItem("k", huks.HuksOptions(properties, open({str(key)!r}, "rb").read()))
        print("imported")
asyncio.run(main())
"""
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with anyio.fail_after(120):
        done = await anyio.run_process([sys.executable, str(program)], env=environment, check=False)
    assert done.stdout.split() == [b"run", b"imported"], done.stderr


async def test_a_store_without_its_key_is_refused(tmp_path: Path) -> None:
    """A store that has keys and lost the key that seals them is not given a new one."""
    address = f"sqlite:///{tmp_path}/keys.db"
    async with huks.Keystore.open(store=address) as keystore:
        await keystore.generateKeyItem("k", s.options(**GCM, PURPOSE=s.CIPHER))
    with closing(sqlite3.connect(tmp_path / "keys.db")) as connection, connection:
        saved = connection.execute("SELECT * FROM meta").fetchall()
        connection.execute("DELETE FROM meta")
    connection.close()
    with s.refused(12000012, "backup"):
        async with huks.Keystore.open(store=address):
            pass
    with closing(sqlite3.connect(tmp_path / "keys.db")) as connection, connection:
        connection.executemany("INSERT INTO meta VALUES (?, ?)", saved)
    connection.close()
    async with huks.Keystore.open(store=address) as keystore:
        await keystore.initSession("k", s.options(**GCM, PURPOSE=s.ENCRYPT))


async def test_a_lost_root_key_is_not_made_anew(tmp_path: Path) -> None:
    """Opening a store whose root key file is gone fails, and leaves no new file that would mislead."""
    address = f"sqlite:///{tmp_path}/keys.db"
    async with huks.Keystore.open(store=address):
        pass
    file = tmp_path / "keys.db.root-key"
    file.rename(tmp_path / "elsewhere")
    with s.refused(12000004, "root key"):
        async with huks.Keystore.open(store=address):
            pass
    assert not file.exists()


async def test_a_store_that_lost_its_count_of_versions_is_named(tmp_path: Path) -> None:
    """Without the row that counts versions nothing is written, and the error says so."""
    address = f"sqlite:///{tmp_path}/keys.db"
    async with huks.Keystore.open(store=address) as keystore:
        await keystore.generateKeyItem("k", s.options(**GCM, PURPOSE=s.CIPHER))
    with closing(sqlite3.connect(tmp_path / "keys.db")) as connection, connection:
        connection.execute("DELETE FROM sequence")
    connection.close()
    with pytest.raises(huks.StorageError):
        async with huks.Keystore.open(store=address) as keystore:
            await keystore.generateKeyItem("other", s.options(**GCM, PURPOSE=s.CIPHER))


async def test_a_released_buffer_is_an_illegal_argument() -> None:
    """A memoryview that was released is 401, as data and as a parameter."""
    async with huks.Keystore.open(store="memory:") as keystore:
        await keystore.generateKeyItem("k", s.options(**GCM, PURPOSE=s.CIPHER))
        handle = (await keystore.initSession("k", s.options(**GCM, PURPOSE=s.ENCRYPT))).handle
        view = memoryview(b"x")
        view.release()
        with s.refused(401):
            await keystore.updateSession(handle, {"inData": view})
        with s.refused(401):
            await keystore.initSession("k", s.options(**GCM, PURPOSE=s.ENCRYPT, NONCE=view))


async def test_a_second_monitor_is_refused_and_the_first_ends_with_the_keystore() -> None:
    """Two tasks cannot monitor one keystore; closing it ends the one that does."""
    keystore = huks.Keystore.open(store="memory:", monitor=False)
    async with anyio.create_task_group() as tasks, keystore:
        tasks.start_soon(keystore.monitor_low_memory)
        await anyio.wait_all_tasks_blocked()
        with s.refused(12000012, "already"):
            await keystore.monitor_low_memory()


async def test_a_sensor_with_a_fault_of_its_own_does_not_end_the_monitor() -> None:
    """Whatever a sensor raises is counted, and the monitor goes on."""

    def factory() -> Any:
        raise OSError(24, "too many open files")

    async with huks.Keystore.open(store="memory:", sensor=factory) as keystore:
        with anyio.fail_after(120):
            while not keystore.statistics().memory.broken:
                await anyio.sleep(0.01)
        assert keystore._background.running


async def test_a_result_without_a_purpose_is_refused() -> None:
    """A derived key that no session could use is not stored."""
    async with huks.Keystore.open(store="memory:") as keystore:
        base = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "PURPOSE": s.DERIVE, "DIGEST": s.SHA256}
        await keystore.generateKeyItem("base", s.options(**base))
        deriving = s.options(ALGORITHM=s.HKDF, PURPOSE=s.DERIVE, DIGEST=s.SHA256, DERIVE_KEY_SIZE=16)
        handle = (await keystore.initSession("base", deriving)).handle
        await keystore.updateSession(handle, s.options())
        with s.refused(401, "HUKS_TAG_PURPOSE"):
            await keystore.finishSession(
                handle,
                s.options(ALGORITHM=s.AES, KEY_SIZE=128, KEY_ALIAS=b"r", DERIVED_AGREED_KEY_STORAGE_FLAG=2),
            )
        assert not await keystore.hasKeyItem("r", s.options())


def _import_of(algorithm: int, size: int, purpose: int) -> "Callable[[huks.Keystore, bytes], Awaitable[Any]]":
    given = {"ALGORITHM": algorithm, "KEY_SIZE": size, "PURPOSE": purpose, "IMPORT_KEY_TYPE": s.PUBLIC}
    return lambda keystore, spki: keystore.importKeyItem("k", s.options(spki, **given))


async def _pack(keystore: huks.Keystore, spki: bytes) -> None:
    huks.pack_wrapped_key(bytes(16), spki)


STRANGERS: "dict[str, Callable[[huks.Keystore, bytes], Awaitable[Any]]]" = {
    "RSA": _import_of(s.RSA, 2048, s.VERIFY),
    "ECC": _import_of(s.ECC, 256, s.VERIFY),
    "DSA": _import_of(s.DSA, 1024, s.VERIFY),
    "DH": _import_of(s.DH, 2048, s.AGREE),
    "SM2": _import_of(s.SM2, 256, s.VERIFY),
    "ML_DSA": _import_of(s.ML_DSA, 65, s.VERIFY),
    "ML_KEM": _import_of(s.ML_KEM, 768, s.WRAP),
    "recipient of a message": lambda keystore, spki: keystore.seal_to(spki, b"x"),
    "wrapping key": _pack,
}


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_key_of_diffie_hellman_is_not_loaded_to_be_refused(name: str) -> None:
    """Loading it tests a group of its sender's choice for primes: 13 s of a stopped event loop for 4096 bits.

    That it was not loaded shows in a notice of deprecation, which the library gives whenever it loads one.
    """

    def der(tag: int, content: bytes) -> bytes:
        length = len(content)
        return (
            bytes([tag, 0x82, length >> 8, length & 255]) + content
            if length > 127
            else bytes([tag, length]) + content
        )

    prime = der(2, b"\0" + prime_of(2048).to_bytes(256, "big"))
    generator = der(2, b"\2")  # of the documented group: a quick load here, with the same notice
    algorithm = der(0x30, der(6, bytes.fromhex("2a864886f70d010301")) + der(0x30, prime + generator))
    spki = der(0x30, algorithm + der(3, b"\0" + der(2, b"\x11" * 32)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        load_der_public_key(spki)
        assert [warning.category for warning in told] == [CryptographyDeprecationWarning]
        del told[:]
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            if name == "DH":
                await STRANGERS[name](keystore, spki)  # the one algorithm that loads it, and says nothing
            else:
                with s.refused(401):
                    await STRANGERS[name](keystore, spki)
    assert not [warning for warning in told if warning.category is CryptographyDeprecationWarning]


SIGNING: "dict[str, dict[str, Any]]" = {
    "ECC": {"ALGORITHM": s.ECC, "KEY_SIZE": 256, "DIGEST": s.SHA256},
    "RSA": {"ALGORITHM": s.RSA, "KEY_SIZE": 2048, "DIGEST": s.SHA256, "PADDING": s.PSS},
    "DSA": {"ALGORITHM": s.DSA, "KEY_SIZE": 1024, "DIGEST": s.SHA256},
    "SM2": {"ALGORITHM": s.SM2, "KEY_SIZE": 256, "DIGEST": s.SM3},
    "Ed25519": {"ALGORITHM": s.ED25519, "KEY_SIZE": 256},
    "ML-DSA": {"ALGORITHM": s.ML_DSA, "KEY_SIZE": 65},
}


@pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")
@pytest.mark.parametrize("name", SIGNING)
async def test_no_part_of_a_long_signature_counts_as_message(name: str) -> None:
    """A worker takes long data in slices; the end of a message, put before its signature, was hashed as message.

    So a signature of a long message was accepted for its beginning, by whoever moved the rest into the signature.
    """
    tags = SIGNING[name] | {"PURPOSE": s.SIGNATURE}
    slices = {cost.slice_bytes for cost in COSTS.values() if cost.slice_bytes}
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        await keystore.generateKeyItem("k", s.options(**tags))
        for length in sorted(slices):
            rest = bytes(length)
            signature = await keystore.sign("k", b"hello" + rest)
            await keystore.verify("k", b"hello" + rest, signature)
            with s.refused(12000006):
                await keystore.verify("k", b"hello", rest + signature)
            with pytest.raises(huks.BusinessError):
                await s.run(keystore, "k", b"hello", last=rest + signature, **(tags | {"PURPOSE": s.VERIFY}))
