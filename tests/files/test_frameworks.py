"""Sealed files through the web frameworks that docs/services.md names, in their real forms, over loopback."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.web
import pytest
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import huks_async as huks
from tests.files.support import KINDS, options

pytestmark = pytest.mark.asyncio
DATA = (
    bytes(range(251)) * 12_345
)  # some three megabytes: more than one batch of chunks, and no whole number of them


@asynccontextmanager
async def opened() -> AsyncIterator[huks.Keystore]:
    async with huks.Keystore.open("memory:", huks.EphemeralRootKey(), monitor=False) as keystore:
        await keystore.generateKeyItem("uploads", options(**KINDS["aes-gcm"]))
        yield keystore
        assert keystore.statistics().open == 0


async def pieces(data: bytes, size: int = 70_001) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def gathered(source: AsyncIterator[bytes]) -> bytes:
    async with aclosing(source) as parts:  # type: ignore[type-var]
        return b"".join([part async for part in parts])


# --- aiohttp -----------------------------------------------------------------------------------------------------


Handler = Callable[[aiohttp.web.Request], Awaitable[aiohttp.web.StreamResponse]]


@asynccontextmanager
async def served(put: Handler, get: Handler) -> AsyncIterator[str]:
    """A server on a free port of loopback; gives its address."""
    application = aiohttp.web.Application()
    application.add_routes([aiohttp.web.put("/file", put), aiohttp.web.get("/file", get)])
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/file"
    finally:
        await runner.cleanup()


class Files:
    """Handlers that keep one sealed file in memory."""

    def __init__(self, keystore: huks.Keystore) -> None:
        self.keystore = keystore
        self.sealed = b""
        self.ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def put(self, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        try:
            self.sealed = await gathered(self.keystore.encrypt_stream("uploads", request.content))
        except BaseException as error:
            self.ended.set_result(error)
            raise
        return aiohttp.web.Response(text=str(len(self.sealed)))

    async def get(self, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        response = aiohttp.web.StreamResponse()
        await response.prepare(request)
        try:
            async with aclosing(self.keystore.decrypt_stream("uploads", io.BytesIO(self.sealed))) as plain:
                async for piece in plain:
                    await response.write(piece)
        except BaseException as error:
            self.ended.set_result(error)
            raise
        return response


async def test_an_aiohttp_service_seals_what_it_is_sent_and_opens_it_again() -> None:
    async with opened() as keystore:
        files = Files(keystore)
        async with served(files.put, files.get) as address, aiohttp.ClientSession() as client:
            async with client.put(address, data=pieces(DATA)) as answer:
                assert answer.status == 200
            assert await gathered(keystore.decrypt_stream("uploads", io.BytesIO(files.sealed))) == DATA
            async with client.get(address) as answer:
                assert await answer.read() == DATA


async def test_an_aiohttp_service_seals_a_part_of_a_multipart_upload() -> None:
    """By the generator of the page; the part itself is refused with what to do."""
    page = (Path(__file__).parents[2] / "docs" / "services.md").read_text()
    block = re.search(r"```python\n(async def pieces\(part\):\n.*?)```", page, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(block[1], names)
    refused: list[huks.BusinessError] = []

    async with opened() as keystore:
        files = Files(keystore)

        async def put(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
            part = await (await request.multipart()).next()
            with pytest.raises(huks.BusinessError, match="give a generator") as caught:
                await gathered(keystore.encrypt_stream("uploads", part))  # type: ignore[arg-type]
            refused.append(caught.value)
            files.sealed = await gathered(keystore.encrypt_stream("uploads", names["pieces"](part)))
            return aiohttp.web.Response()

        async with served(put, files.get) as address, aiohttp.ClientSession() as client:
            form = aiohttp.FormData()
            form.add_field("file", io.BytesIO(DATA), filename="photo")
            async with client.put(address, data=form) as answer:
                assert answer.status == 200
            assert [error.code for error in refused] == [401]
            assert await gathered(keystore.decrypt_stream("uploads", io.BytesIO(files.sealed))) == DATA


async def test_an_aiohttp_client_sends_and_receives_sealed_files() -> None:
    """What leaves the process is sealed; the service never sees the data."""
    kept = bytearray()

    async def put(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        async for piece in request.content.iter_any():
            kept.extend(piece)
        return aiohttp.web.Response()

    async def get(_: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        return aiohttp.web.Response(body=bytes(kept))

    async with (
        opened() as keystore,
        served(put, get) as address,
        aiohttp.ClientSession() as client,
    ):
        async with client.put(address, data=keystore.encrypt_stream("uploads", io.BytesIO(DATA))) as answer:
            assert answer.status == 200
        assert DATA[:64] not in kept
        async with client.get(address) as answer:
            assert await gathered(keystore.decrypt_stream("uploads", answer.content)) == DATA


async def test_an_answer_from_a_file_that_is_cut_off_breaks_the_connection() -> None:
    """What was sent before cannot be taken back, but no client takes it for the whole."""
    async with opened() as keystore:
        files = Files(keystore)
        async with served(files.put, files.get) as address, aiohttp.ClientSession() as client:
            async with client.put(address, data=pieces(DATA)):
                pass
            files.sealed = files.sealed[:-5]
            with pytest.raises(aiohttp.ClientPayloadError):
                async with client.get(address) as answer:
                    await answer.read()
            error = await asyncio.wait_for(files.ended, 60)
            assert isinstance(error, huks.BusinessError)
            assert error.code == 12000006


async def test_an_upload_that_breaks_off_seals_nothing_and_leaves_nothing() -> None:
    """The handler gets aiohttp's error from the stream, as it would from the source itself."""

    async def breaks_off() -> AsyncIterator[bytes]:
        yield DATA[:1_000_000]
        raise ConnectionError("the sender has gone")

    async with opened() as keystore:
        files = Files(keystore)
        async with served(files.put, files.get) as address:
            async with aiohttp.ClientSession() as client:
                with pytest.raises(aiohttp.ClientError):
                    async with client.put(address, data=breaks_off()):
                        pass
            error = await asyncio.wait_for(files.ended, 60)
            assert isinstance(error, (aiohttp.ClientError, asyncio.CancelledError, OSError))
            assert files.sealed == b""


# --- Starlette ---------------------------------------------------------------------------------------------------


async def asked(
    application: Starlette, method: str, headers: dict[str, str], body: bytes
) -> tuple[int, bytes]:
    """Send a request through the interface that servers use; give the status and the body of the answer."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": "/file", "raw_path": b"/file", "query_string": b"", "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    parts = [body[start : start + 65_536] for start in range(0, len(body), 65_536)] or [b""]
    incoming = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, 1)
    ]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def multipart(data: bytes) -> tuple[dict[str, str], bytes]:
    head = b'--edge\r\nContent-Disposition: form-data; name="photo"; filename="photo"\r\n\r\n'
    return {"content-type": "multipart/form-data; boundary=edge"}, head + data + b"\r\n--edge--\r\n"


@pytest.mark.parametrize("size", [0, 10, len(DATA)], ids=["nothing", "in memory", "in a temporary file"])
async def test_a_starlette_service_seals_uploads_and_streams_them_back(tmp_path: Path, size: int) -> None:
    """An `UploadFile` of a form, which Starlette keeps in memory or in a file, according to its size."""
    data, target = DATA[:size], tmp_path / "sealed"
    async with opened() as keystore:

        async def upload(request: Request) -> Response:
            async with request.form() as form:
                photo = form["photo"]
                assert isinstance(photo, UploadFile)
                assert photo._in_memory == (size < 1_000_000)
                sealed = await gathered(keystore.encrypt_stream("uploads", photo))
                assert not photo.file.closed
            await asyncio.to_thread(target.write_bytes, sealed)
            return PlainTextResponse("kept")

        async def download(_: Request) -> Response:
            return StreamingResponse(keystore.decrypt_stream("uploads", io.BytesIO(target.read_bytes())))

        application = Starlette(
            routes=[Route("/file", upload, methods=["POST"]), Route("/file", download, methods=["GET"])]
        )
        assert await asked(application, "POST", *multipart(data)) == (200, b"kept")
        assert await asked(application, "GET", {}, b"") == (200, data)


async def test_a_starlette_service_seals_the_stream_of_a_request() -> None:
    """Without a form, as it comes in."""
    async with opened() as keystore:
        kept: list[bytes] = []

        async def upload(request: Request) -> Response:
            kept.append(await gathered(keystore.encrypt_stream("uploads", request.stream())))
            return PlainTextResponse("kept")

        application = Starlette(routes=[Route("/file", upload, methods=["PUT"])])
        assert await asked(application, "PUT", {}, DATA) == (200, b"kept")
        assert await gathered(keystore.decrypt_stream("uploads", io.BytesIO(kept[0]))) == DATA


async def test_an_uploaded_sealed_file_is_read_at_any_place() -> None:
    """`open_sealed` takes the `UploadFile` itself."""
    async with opened() as keystore:
        sealed = await gathered(keystore.encrypt_stream("uploads", io.BytesIO(DATA)))

        async def part(request: Request) -> Response:
            async with request.form() as form:
                photo = form["photo"]
                assert isinstance(photo, UploadFile)
                async with keystore.open_sealed("uploads", photo) as reader:
                    return Response(await reader.read_at(1_234_567, 891))

        application = Starlette(routes=[Route("/file", part, methods=["POST"])])
        assert await asked(application, "POST", *multipart(sealed)) == (200, DATA[1_234_567:][:891])
