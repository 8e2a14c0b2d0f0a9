"""A page on which a passkey authorises the use of a key: `python examples/passkey/server.py`.

Needs the extra `webauthn`. It serves one user, on this machine alone: who the user is, a real service knows from its
own login before it lets anybody register a passkey. Keys are kept in memory, or in a store of your own (`--store`).
"""

import argparse
import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huks_async as huks
from huks_async import HuksTag as Tag
from huks_async.access import WebAuthnAuthenticator

FINGERPRINT = huks.HuksUserAuthType.HUKS_USER_AUTH_TYPE_FINGERPRINT
USER = 100
ALIAS = "payments"
MOST_BYTES = 64 * 1024
MOST_SESSIONS = 32
SECONDS = 30.0

HERE = Path(__file__).parent
PAGES = {"/": ("page.html", "text/html; charset=utf-8"), "/page.js": ("page.js", "text/javascript")}

Asked = dict[str, Any]


def options(parameters: dict[Tag, Any], data: bytes = b"") -> huks.HuksOptions:
    """Options of a call."""
    return huks.HuksOptions([huks.HuksParam(tag, value) for tag, value in parameters.items()], data)


P256 = {
    Tag.HUKS_TAG_ALGORITHM: huks.HuksKeyAlg.HUKS_ALG_ECC,
    Tag.HUKS_TAG_KEY_SIZE: huks.HuksKeySize.HUKS_ECC_KEY_SIZE_256,
    Tag.HUKS_TAG_DIGEST: huks.HuksKeyDigest.HUKS_DIGEST_SHA256,
}
SIGN, VERIFY = huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN, huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY
BOUND = {
    Tag.HUKS_TAG_PURPOSE: SIGN | VERIFY,
    Tag.HUKS_TAG_USER_AUTH_TYPE: FINGERPRINT,
    # void once another passkey is registered
    Tag.HUKS_TAG_KEY_AUTH_ACCESS_TYPE: huks.HuksAuthAccessType.HUKS_AUTH_ACCESS_INVALID_NEW_BIO_ENROLL,
    Tag.HUKS_TAG_CHALLENGE_TYPE: huks.HuksChallengeType.HUKS_CHALLENGE_TYPE_NORMAL,
    Tag.HUKS_TAG_KEY_AUTH_PURPOSE: SIGN,
}


class Service:
    """What the page asks for."""

    def __init__(self, keystore: huks.Keystore, passkeys: WebAuthnAuthenticator) -> None:
        self._keystore = keystore
        self._passkeys = passkeys
        # handle → challenge, oldest first
        self._challenges: dict[int, bytes] = {}
        self.answers: dict[str, Callable[[Asked], Awaitable[Asked]]] = {
            "/enroll/begin": self.begin_enroll,
            "/enroll/finish": self.finish_enroll,
            "/sign/begin": self.begin_sign,
            "/sign/finish": self.finish_sign,
        }

    async def begin_enroll(self, _: Asked) -> Asked:
        """What the browser needs to make a passkey."""
        made: Asked = json.loads(await self._passkeys.begin_enroll(self._keystore, USER, name="demo"))
        return made

    async def finish_enroll(self, given: Asked) -> Asked:
        """Take the passkey, and make a key that asks for it."""
        passkey = await self._passkeys.finish_enroll(self._keystore, USER, given)
        await self._keystore.generateKeyItem(ALIAS, options(P256 | BOUND))
        return {"passkey": passkey}

    async def begin_sign(self, _: Asked) -> Asked:
        """Open a session on the key; the passkey is to sign its challenge."""
        session = await self._keystore.initSession(ALIAS, options(P256 | {Tag.HUKS_TAG_PURPOSE: SIGN}))
        self._challenges[session.handle] = session.challenge
        if len(self._challenges) > MOST_SESSIONS:
            oldest = next(iter(self._challenges))
            del self._challenges[oldest]
            await self._keystore.abortSession(oldest, options({}))
        ask = json.loads(await self._passkeys.options(self._keystore, USER, session.challenge))
        # a handle is a random number of 53 bits, which JavaScript's numbers hold
        return {"session": session.handle, "ask": ask}

    async def finish_sign(self, given: Asked) -> Asked:
        """Have the passkey's answer checked, and sign the text with the key."""
        handle, text = given.get("session"), str(given.get("text")).encode()
        # the server's own record of what was asked, and each is answered once
        challenge = self._challenges.pop(handle, None) if isinstance(handle, int) else None
        if challenge is None:
            raise huks.BusinessError(12000011, "this was answered already, or never asked")
        assert isinstance(handle, int)
        try:
            token = await self._keystore.authenticate(challenge, given.get("shown"), auth_type=FINGERPRINT)
        except BaseException:
            await self._keystore.abortSession(handle, options({}))
            raise
        done = await self._keystore.finishSession(handle, options({}, text), token)
        return {"signature": done.outData.hex(), "verified": await self._verified(text, done.outData)}

    async def _verified(self, text: bytes, signature: bytes) -> bool:
        session = await self._keystore.initSession(ALIAS, options(P256 | {Tag.HUKS_TAG_PURPOSE: VERIFY}))
        await self._keystore.updateSession(session.handle, options({}, text))
        try:
            await self._keystore.finishSession(session.handle, options({}, signature))
        except huks.BusinessError:
            return False
        return True


class Server(ThreadingHTTPServer):
    """Hands what the page asks for to the event loop that has the keystore."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        # passkeys are bound to names; browsers take localhost for as safe as https
        self.origin = f"http://localhost:{self.server_address[1]}"
        self.loop = asyncio.get_running_loop()
        self.service: Service

    def ask(self, path: str, given: Asked) -> Asked | None:
        """The answer to one question, None where nobody knows the path."""
        answer = self.service.answers.get(path)
        if answer is None:
            return None

        async def within_time() -> Asked:
            async with asyncio.timeout(SECONDS):
                return await answer(given)

        return asyncio.run_coroutine_threadsafe(within_time(), self.loop).result()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = SECONDS

    def do_GET(self) -> None:
        """Give the page and its script."""
        page = PAGES.get(self.path)
        if page is None:
            self.send_error(404)
            return
        name, kind = page
        self._send(200, kind, (HERE / name).read_bytes())

    def do_POST(self) -> None:
        """Answer the page's script, and no other site's."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Origin") != self.server.origin or not 0 < length <= MOST_BYTES:
            self.send_error(403)
            return
        try:
            given = json.loads(self.rfile.read(length))
            answer = self.server.ask(self.path, given) if isinstance(given, dict) else None
        except huks.BusinessError as error:
            answer, status = {"code": error.code, "message": error.message}, 400
        except ValueError:
            answer, status = None, 400
        else:
            status = 200
        if answer is None:
            self.send_error(400)
            return
        self._send(status, "application/json", json.dumps(answer).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
        self.end_headers()
        self.wfile.write(body)


async def serve(port: int, store: str) -> None:
    """Serve until the process is interrupted."""
    server = Server(port)
    passkeys = WebAuthnAuthenticator("localhost", [server.origin])
    async with huks.Keystore.open(store, authenticator=passkeys) as keystore:
        server.service = Service(keystore, passkeys)
        Thread(target=server.serve_forever, daemon=True).start()
        print(f"open {server.origin}", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            server.shutdown()
            server.server_close()


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8765, help="0: any that is free")
    parser.add_argument("--store", default="memory:", help="memory: or sqlite:///FILE")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.port, arguments.store))


if __name__ == "__main__":
    main()
