"""Streams that break off: whoever goes on with one is told, and never takes a part for the whole."""

import copy
import inspect
from collections.abc import AsyncGenerator

import anyio
import pytest

import huks_async as huks
from tests import loops
from tests.adversity import support

PIECE = bytes(300_000)
PIECES = 8


@pytest.fixture(params=loops.LOOPS)
def run(request):
    """Run an async function in each kind of event loop."""
    return loops.runner(request.param)


def opened():
    return huks.Keystore.open("memory:", monitor=False)


async def pieces(data, held=None):
    """The data, the second half of it not before the event."""
    for start in range(0, len(data), len(PIECE)):
        if held is not None and start >= len(data) // 2:
            await held.wait()
        yield data[start : start + len(PIECE)]


async def the_ways(keystore):
    """Each function that gives a stream, with a source to give it."""
    await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
    sealed = b"".join([piece async for piece in keystore.encrypt_stream("aes", [PIECE * PIECES])])
    async with keystore.session("aes", support.GCM_ENCRYPT) as session:
        yield session.stream, PIECE * PIECES
    yield lambda source: keystore.encrypt_stream("aes", source), PIECE * PIECES
    yield lambda source: keystore.decrypt_stream("aes", source), sealed


async def take(stream, got):
    async for part in stream:
        got.append(part)


async def ends_in_silence(stream):
    return [part async for part in stream] == []


def test_a_stream_that_was_cancelled_has_not_ended(run):
    """A time limit around one step: the next step is refused, and so are all others."""

    async def main():
        async with opened() as keystore:
            async for make, data in the_ways(keystore):
                stream, got = make(pieces(data, anyio.Event())), []
                with anyio.move_on_after(0.05) as scope:
                    await take(stream, got)
                assert scope.cancelled_caught
                for _ in range(2):
                    with pytest.raises(huks.BusinessError, match="before it had ended") as broken:
                        await anext(stream)
                    assert broken.value.code == 12000011
                await stream.aclose()

    run(main)


def test_a_stream_that_failed_has_not_ended(run):
    """What its source raised is told once, and then that it broke off."""

    async def failing(data):
        yield data[: len(data) // 2]
        raise LookupError

    async def main():
        async with opened() as keystore:
            async for make, data in the_ways(keystore):
                stream = make(failing(data))
                with pytest.raises(LookupError):
                    await take(stream, [])
                with pytest.raises(huks.BusinessError, match="broke off with LookupError") as broken:
                    await take(stream, [])
                assert broken.value.code == 12000011

    run(main)


def test_whoever_closes_a_stream_knows_it(run):
    """After its own `aclose`, and after the end, it just ends."""

    async def main():
        async with opened() as keystore:
            async for make, data in the_ways(keystore):
                stream = make(pieces(data))
                assert isinstance(stream, AsyncGenerator)
                assert await stream.__anext__()
                await stream.aclose()
                assert await ends_in_silence(stream)
        async with opened() as keystore:
            async for make, data in the_ways(keystore):
                stream = make(pieces(data))
                assert await stream.asend(None)
                await take(stream, [])
                assert await ends_in_silence(stream)
                await stream.aclose()
                with pytest.raises(TypeError, match="cannot be copied"):
                    copy.copy(stream)

    run(main)


def test_a_stream_that_its_event_loop_closed_has_not_ended(run):
    """Loops close the generators that are left in them at their end; another loop does not take one for complete."""
    left = []

    async def begin():
        async with opened() as keystore:
            async for make, data in the_ways(keystore):
                stream = make([data])
                left.append((stream, make))
                if make.__name__ == "<lambda>":  # the other one is closed with its block
                    assert await anext(stream)

    async def go_on():
        for stream, make in left:
            text = "an event loop closed" if make.__name__ == "<lambda>" else "its block was left"
            for _ in range(2):
                with pytest.raises(huks.BusinessError, match=text) as closed:
                    await anext(stream)
                assert closed.value.code == 12000011

    run(begin)
    run(go_on)
    assert len(left) == 3


def test_a_stream_shows_that_it_can_be_read_once(run):
    """HTTP clients refuse to send a generator a second time, and frameworks take one for a body, by its class."""

    async def main():
        async with opened() as keystore:
            async for make, data in the_ways(keystore):
                stream = make(pieces(data))
                assert inspect.isasyncgen(stream)
                assert stream.ag_frame is not None
                assert not stream.ag_running
                assert not hasattr(stream, "gi_running")
                await take(stream, [])
                assert stream.ag_frame is None

    run(main)


def test_an_error_may_be_thrown_into_a_stream(run):
    """As into any other; it closes the source and breaks the stream."""
    closed = []

    async def main():
        async def source(data):
            try:
                while True:
                    yield data
            finally:
                closed.append(True)

        async with opened() as keystore:
            async for make, data in the_ways(keystore):
                stream = make(source(data))
                assert await anext(stream)
                assert await anext(stream)
                with pytest.raises(LookupError):
                    await stream.athrow(LookupError())
                with pytest.raises(huks.BusinessError, match="broke off"):
                    await anext(stream)
        assert closed == [True] * 3

    run(main)


def test_a_second_reader_breaks_nothing(run):
    """Its step is refused while the first one's goes on, which gets everything."""

    async def main():
        async with opened() as keystore:
            async for make, data in the_ways(keystore):
                held, got = anyio.Event(), []
                stream = make(pieces(data, held))
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(take, stream, got)
                    while not stream._parts.ag_running:
                        await anyio.lowlevel.checkpoint()
                    with pytest.raises(RuntimeError, match="already running"):
                        await anext(stream)
                    held.set()
                assert await ends_in_silence(stream)
                assert sum(map(len, got)) > len(PIECE) * PIECES - 1

    run(main)


def test_a_stream_ends_with_its_session_block(run):
    """One that was not read to its end raises 12000011 afterwards, whether it was begun or not, also held back."""

    async def main():
        async with opened() as keystore:
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            async with keystore.session("aes", support.GCM_ENCRYPT) as session:
                whole = b"".join([part async for part in session.stream(pieces(PIECE * PIECES))])
            decrypt = support.gcm_decrypt(whole[-16:])
            for options, data in ((support.GCM_ENCRYPT, PIECE * PIECES), (decrypt, whole[:-16])):
                for begun in (False, True):
                    async with keystore.session("aes", options) as session:
                        stream = session.stream(pieces(data))
                        if begun:
                            await anext(stream)
                    for _ in range(2):
                        with pytest.raises(huks.BusinessError, match="its block was left before") as left:
                            await anext(stream)
                        assert left.value.code == 12000011
                    await stream.aclose()
                async with keystore.session("aes", options) as session:
                    stream = session.stream(pieces(data))
                    await take(stream, [])
                assert await ends_in_silence(stream)
                async with keystore.session("aes", options) as session:
                    stream = session.stream(pieces(data))
                    await anext(stream)
                    await stream.aclose()
                assert await ends_in_silence(stream)

    run(main)


def test_a_block_that_is_left_while_another_task_reads(run):
    """The reader's step goes on, and meets the end of its session."""

    async def main():
        async with opened() as keystore:
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            held, told = anyio.Event(), []

            async def read(stream):
                with pytest.raises(huks.BusinessError) as ended:
                    await take(stream, [])
                told.append(ended.value.code)
                with pytest.raises(huks.BusinessError, match="broke off"):
                    await anext(stream)

            async with anyio.create_task_group() as tasks:
                async with keystore.session("aes", support.GCM_ENCRYPT) as session:
                    stream = session.stream(pieces(PIECE * PIECES, held))
                    tasks.start_soon(read, stream)
                    while not stream._parts.ag_running:
                        await anyio.lowlevel.checkpoint()
                held.set()
            assert told == [12000011]

    run(main)


def test_every_stream_of_a_block_is_closed(run):
    """With its source, in the block's end; also if one of the sources fails at it, which is told."""
    closed = []

    async def source(name, error=None):
        try:
            while True:
                yield PIECE
        finally:
            closed.append(name)
            if error is not None:
                raise error

    async def main():
        async with opened() as keystore:
            await keystore.importKeyItem("aes", support.imported(support.AES_KEY, support.KEY))
            for error in (None, ValueError("cannot be closed"), RuntimeError("cannot be closed")):
                closed.clear()
                told = None
                try:
                    async with keystore.session("aes", support.GCM_ENCRYPT) as session:
                        for stream in (session.stream(source("a", error)), session.stream(source("b"))):
                            await anext(stream)
                except (ValueError, RuntimeError) as raised:
                    told = raised
                assert told is error
                assert sorted(closed) == ["a", "b"]
                assert keystore.statistics().open == 0

    run(main)
