"""The session block: it ends on every way out, and streams hold back what is not verified."""

import gc
import os
from contextlib import aclosing

import anyio
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import huks_async as huks
from huks_async.keystore.session_functions import SessionFunctions
from tests import loops
from tests.adversity import support
from tests.conformance import support as s
from tests.garbage import collect_until

MIB = 1024 * 1024


@pytest.fixture(params=loops.LOOPS)
def use(request):
    """Run an async function with an open keystore that has an AES key, on each kind of event loop."""
    run = loops.runner(request.param)

    def with_keystore(function, **how):
        async def main():
            async with huks.Keystore.open("memory:", monitor=False, **how) as keystore:
                await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
                await function(keystore)

        run(main)

    return with_keystore


def seal(text):
    out = AESGCM(support.KEY).encrypt(support.NONCE, text, None)
    return out[:-16], out[-16:]


async def collect(stream):
    async with aclosing(stream) as parts:
        return [part async for part in parts]


def test_a_block_ends_on_every_way_out(use):
    """Finished, left, raised in, cancelled in: no session is open afterwards."""

    async def main(keystore):
        async with keystore.session("aes", support.GCM_ENCRYPT) as session:
            out = await session.update(b"te") + await session.finish(b"xt")
        assert out == b"".join(seal(b"text"))
        async with keystore.session("aes", support.GCM_ENCRYPT) as session:
            await session.update(b"x")
        with pytest.raises(LookupError):
            async with keystore.session("aes", support.GCM_ENCRYPT):
                raise LookupError
        with anyio.CancelScope() as scope:
            async with keystore.session("aes", support.GCM_ENCRYPT):
                scope.cancel()
                await anyio.sleep_forever()
        with pytest.raises(huks.BusinessError, match="accepted"):
            async with keystore.session("aes", support.GCM_ENCRYPT) as session:
                await session.update(bytes(65 * MIB))
        statistics = keystore.statistics()
        assert (statistics.open, statistics.finished, statistics.aborted) == (0, 1, 4)

    use(main)


def test_a_block_finds_its_keystore_when_it_is_entered(use, monkeypatch):
    """Making one looks nothing up, and a stream of a block that is not open takes nothing of its source."""
    found = []
    find = SessionFunctions._session_parts
    monkeypatch.setattr(SessionFunctions, "_session_parts", lambda self: found.append(self) or find(self))

    async def main(keystore):
        for options in (support.GCM_ENCRYPT, support.gcm_decrypt(bytes(16))):
            block = keystore.session("aes", options)
            source = iter([b"one"])
            with pytest.raises(huks.BusinessError, match="async with") as early:
                await collect(block.stream(source))
            assert early.value.code == 12000012
            assert list(source) == [b"one"]
        assert found == []
        async with keystore.session("aes", support.GCM_ENCRYPT) as session:
            await session.finish(b"text")
        assert len(found) == 1

    use(main)


def test_a_block_is_for_one_session(use):
    """Used before it is entered, or entered twice: 12000012 with the way out."""

    async def main(keystore):
        block = keystore.session("aes", support.GCM_ENCRYPT)
        with pytest.raises(huks.BusinessError, match="async with") as early:
            await block.update(b"x")
        assert early.value.code == 12000012
        async with block:
            assert block.challenge == b""
            with pytest.raises(huks.BusinessError, match="make a new one") as again:
                await block.__aenter__()
            assert again.value.code == 12000012
        assert keystore.statistics().open == 0

    use(main)


@pytest.mark.parametrize("size", [0, 5, 100_000, 9 * MIB], ids=["none", "few", "some", "many"])
def test_streams_there_and_back(use, size):
    """Output is the same as in one call, whatever the chunks; large ones come out in parts."""

    async def main(keystore):
        text = os.urandom(size)
        async with keystore.session("aes", support.GCM_ENCRYPT) as session:
            parts = await collect(session.stream([bytearray(text)]))
        assert b"".join(parts) == b"".join(seal(text))
        assert max(len(part) for part in parts) <= 4 * MIB
        sealed, tag = seal(text)

        async def chunks():
            for start in range(0, size, 700_001):
                yield memoryview(sealed)[start : start + 700_001]

        async with keystore.session("aes", support.gcm_decrypt(tag)) as session:
            parts = await collect(session.stream(chunks()))
        assert b"".join(parts) == text

    use(main)


@pytest.mark.parametrize("size", [1000, 3 * MIB], ids=["in memory", "on disk"])
def test_a_forged_stream_gives_nothing(use, size):
    """Not one byte comes out before the tag was verified: 12000006, and the session is gone."""

    async def main(keystore):
        sealed, tag = seal(bytes(size))
        wrong = bytes([tag[0] ^ 1]) + tag[1:]
        seen = []
        async with keystore.session("aes", support.gcm_decrypt(wrong)) as session:
            with pytest.raises(huks.BusinessError) as forged:
                async for part in session.stream([sealed[:500], sealed[500:]]):
                    seen.append(part)
        assert forged.value.code == 12000006
        assert not seen
        assert keystore.statistics().open == 0

    use(main)


def test_leaving_a_stream_early_closes_everything(use):
    """The source's generator and the spool's file end with the block, not with the garbage collector."""
    ended = []

    async def main(keystore):
        async def source():
            try:
                while True:
                    yield bytes(1000)
            finally:
                ended.append("source")

        before = support.descriptors()
        async with keystore.session("aes", support.GCM_ENCRYPT) as session:
            async for _part in session.stream(source()):
                break
        assert ended == ["source"]
        sealed, tag = seal(bytes(3 * MIB))
        async with keystore.session("aes", support.gcm_decrypt(tag)) as session:
            async for _part in session.stream([sealed]):
                assert support.descriptors().items() - before.items(), "this was to test the spool's file"
                break
        assert support.descriptors().items() <= before.items()  # an earlier test may let one go meanwhile
        assert keystore.statistics().open == 0

    use(main)


@pytest.mark.parametrize("source", [b"bytes", bytearray(b"x"), "text", 5, [5]], ids=repr)
def test_a_stream_takes_chunks(use, source):
    """One buffer, text or numbers are refused with 401."""

    async def main(keystore):
        async with keystore.session("aes", support.GCM_ENCRYPT) as session:
            with pytest.raises(huks.BusinessError) as refused:
                await collect(session.stream(source))
            assert refused.value.code == 401

    use(main)


def test_debug_mode_reports_blocks_that_were_never_left(use):
    """A block made and dropped, or entered and dropped, is a ResourceWarning with its place."""

    async def main(keystore):
        async def dropped():
            await keystore.session("aes", support.GCM_ENCRYPT).__aenter__()

        with pytest.warns(ResourceWarning, match=r"(?s)never entered.*test_context\.py") as told:
            keystore.session("aes", support.GCM_ENCRYPT)
            collect_until(lambda: any("never entered" in str(one.message) for one in told))
        with pytest.warns(ResourceWarning, match=r"(?s)never left.*in dropped") as told:
            await dropped()
            collect_until(lambda: any("never left" in str(one.message) for one in told))
        async with keystore.session("aes", support.GCM_ENCRYPT):
            pass
        with pytest.raises(huks.BusinessError):
            async with keystore.session("absent", support.GCM_ENCRYPT):
                pass
        for handle in list(keystore._state.table.sessions):
            await keystore.abortSession(handle, support.NONE)
        gc.collect()

    use(main, debug=True)


def test_debug_mode_reports_sessions_that_outlive_their_keystore(use):
    """With the place where they were opened; without debug mode nothing is said."""

    async def main(keystore):
        await keystore.initSession("aes", support.GCM_ENCRYPT)

    with pytest.warns(ResourceWarning, match=r"(?s)never finished nor aborted.*test_context\.py"):
        use(main, debug=True)
    use(main)


def test_an_empty_chunk_changes_nothing(use):
    """Not even in SM2, which refuses an empty segment; a derivation begins with one."""

    async def asynchronous(chunks):
        for chunk in chunks:
            yield chunk

    async def main(keystore):
        key = {"ALGORITHM": s.SM2, "KEY_SIZE": 256, "DIGEST": s.SM3}
        await keystore.generateKeyItem("sm2", s.options(**key, PURPOSE=s.CIPHER))
        for chunks in ([b"", b"te", b"", b"xt", b""], [b"text", bytearray()], [memoryview(b""), b"text"]):
            async with keystore.session("sm2", s.options(**key, PURPOSE=s.ENCRYPT)) as session:
                sealed = b"".join(await collect(session.stream(asynchronous(chunks))))
            async with keystore.session("sm2", s.options(**key, PURPOSE=s.DECRYPT)) as session:
                parts = [b"", sealed[:40], b"", sealed[40:]]
                assert b"".join(await collect(session.stream(parts))) == b"text"
            async with keystore.session("aes", support.GCM_ENCRYPT) as session:
                assert b"".join(await collect(session.stream(chunks))) == b"".join(seal(b"text"))
        with s.refused(12000014):
            async with keystore.session("sm2", s.options(**key, PURPOSE=s.ENCRYPT)) as session:
                await collect(session.stream([b"", b""]))
        await keystore.generateKeyItem(
            "d", s.options(ALGORITHM=s.AES, KEY_SIZE=256, DIGEST=s.SHA256, PURPOSE=s.DERIVE)
        )
        derive = s.options(ALGORITHM=s.HKDF, DIGEST=s.SHA256, DERIVE_KEY_SIZE=32, PURPOSE=s.DERIVE, INFO=b"x")
        async with keystore.session("d", derive) as session:
            assert b"".join(await collect(session.stream([b""]))) == await keystore.derive("d", b"x", 32)

    use(main)


def test_a_block_that_two_tasks_enter_at_once_has_one_session(use):
    """The second is refused as one that comes later is; the session ends with the first."""

    async def main(keystore):
        block = keystore.session("aes", support.GCM_ENCRYPT)
        told = []

        async def enter():
            try:
                async with block as session:
                    await anyio.sleep(0.01)
                    told.append(session.handle > 0)
            except huks.BusinessError as error:
                told.append(error.code)

        async with anyio.create_task_group() as group:
            group.start_soon(enter)
            group.start_soon(enter)
        assert told == [12000012, True]
        assert keystore.statistics().open == 0

    use(main, key_cache=huks.KeyCache(keys=0))


def test_a_block_whose_session_could_not_be_opened_may_be_entered_again(use):
    """Once its key is there."""

    async def main(keystore):
        block = keystore.session("later", support.GCM_ENCRYPT)
        with s.refused(12000011):
            async with block:
                pass
        await keystore.importKeyItem("later", support.imported(support.AES_KEY, support.KEY))
        async with block as session:
            assert await session.finish(b"text")

    use(main)


def test_a_block_that_is_older_than_the_opening_of_its_keystore_ends_its_session(use):
    """The session is in the keystore as it is open now, and so is the spool of what is not verified yet."""

    async def main(keystore):
        out, tag = seal(b"text")
        left = keystore.session("aes", support.GCM_ENCRYPT)
        streamed = keystore.session("aes", support.gcm_decrypt(tag))
        await keystore.aclose()
        await keystore.aopen()
        async with left:
            assert keystore.statistics().open == 1
        assert keystore.statistics().open == 0
        async with streamed as session:
            assert await collect(session.stream([out])) == [b"text"]

    use(main)


@pytest.mark.parametrize("options", [[], 5, "x", {"properties": 5}], ids=repr)
def test_odd_options_of_finish_are_told_as_in_the_function(use, options):
    """401 with what was expected; the block ends the session."""

    async def main(keystore):
        async with keystore.session("aes", support.GCM_ENCRYPT) as session:
            with s.refused(401):
                await session.finish(b"", options)
        assert keystore.statistics().open == 0

    use(main)
